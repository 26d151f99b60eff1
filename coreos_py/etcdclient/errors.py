"""What can go wrong between an etcd client and its cluster, in the words of etcd 2.3's client."""

from __future__ import annotations

from coreos_py.base.errors import CoreosError, Unavailable, WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_NOT_ETCD = (
    "client: response is invalid json. The endpoint is probably not valid etcd cluster endpoint."
)


class ClusterUnavailable(Unavailable):
    """Every endpoint failed; `errors` holds one text per endpoint, in the order tried."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("client: etcd cluster is unavailable or misconfigured")
        self.errors = tuple(errors)

    def detail(self) -> str:
        """One `error #N: text` line per endpoint."""
        return "".join([f"error #{i}: {text}\n" for i, text in enumerate(self.errors)])

    def summary(self) -> str:
        """All of it in one line."""
        return "; ".join([str(self), *self.detail().splitlines()])


class NoEndpoints(CoreosError):
    """There is nobody to ask."""

    def __init__(self) -> None:
        super().__init__("client: no endpoints available")


class DeadlineExceeded(Unavailable):
    """The time for the whole operation is over."""

    def __init__(self) -> None:
        super().__init__("context deadline exceeded")


class InvalidJSON(WireError):
    """The reply is not what an etcd sends."""

    def __init__(self) -> None:
        super().__init__(_NOT_ETCD, status_hint=502)


class EmptyBody(WireError):
    """A reply without a body; a watch that ends so is to be asked again."""

    def __init__(self) -> None:
        super().__init__("client: response body is empty", status_hint=502)


class UnexpectedStatus(CoreosError):
    """An admin request was answered with a status that etcd 2.3's client does not expect."""

    def __init__(self, status: int) -> None:
        super().__init__(f"unexpected status code {status}")
        self.status = status


class MembersError(CoreosError):
    """The members API refused; the text is the server's."""
