"""The endpoints of a cluster: order of trying, the pinned one, and which replies count as failures.

Pure: randomness is a function passed in.
"""

from __future__ import annotations

import os

from coreos_py.etcdclient.errors import NoEndpoints
from coreos_py.http.client import TransportError
from coreos_py.http.url import Endpoint, parse_endpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from coreos_py.http.reply import Reply

REDIRECTS_MAX = 10
_STATUS_TEXT = {
    501: "Not Implemented",
    502: "Bad Gateway",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}


class Endpoints:
    """Endpoints in random order; the one that answered last is tried first."""

    def __init__(
        self, urls: Iterable[str], *, shuffle: Callable[[list[Endpoint]], None] | None = None
    ) -> None:
        self._shuffle = shuffle or shuffle_in_place
        self._all: list[Endpoint] = []
        self._pinned = 0
        self.replace(urls)

    def replace(self, urls: Iterable[str]) -> None:
        """Use other endpoints; no change if they are the same set, so that the pin stays."""
        new = list(urls)
        if not new:
            raise NoEndpoints
        if self._all and sorted(new) == sorted(self.urls):
            return
        self._all = [parse_endpoint(url) for url in new]
        self._shuffle(self._all)
        self._pinned = 0

    @property
    def urls(self) -> list[str]:
        """The endpoints as written, in the order of trying (before pinning)."""
        return [endpoint.text for endpoint in self._all]

    def order(self) -> list[Endpoint]:
        """The endpoints to try for one request."""
        return self._all[self._pinned :] + self._all[: self._pinned]

    def pin(self, endpoint: Endpoint) -> None:
        """This endpoint answered: start with it next time."""
        for i, candidate in enumerate(self._all):
            if candidate is endpoint:
                self._pinned = i


def failure(endpoint: Endpoint, status: int) -> str | None:
    """Why a reply with this status makes the client go on to the next endpoint, None if it does
    not.
    """
    if status // 100 != 5:
        return None
    if status in (500, 503):
        return f"client: etcd member {endpoint.text} has no leader"
    text = _STATUS_TEXT.get(status, "")
    return f"client: etcd member {endpoint.text} returns server error [{text}]"


def redirected(endpoint: Endpoint, reply: Reply) -> tuple[Endpoint, str]:
    """Where a redirect leads, as endpoint and target; TransportError when it leads nowhere."""
    location = reply.get("location")
    if not location:
        raise TransportError("Location header not set")
    if location.startswith("/"):
        return endpoint, location
    scheme, _, rest = location.partition("://")
    authority, _, path = rest.partition("/")
    try:
        return parse_endpoint(f"{scheme}://{authority}"), f"/{path}"
    except ValueError:
        raise TransportError(f"Location header not valid URL: {location}") from None


def shuffle_in_place(items: list[Endpoint]) -> None:
    """Fisher-Yates on the kernel's randomness; importing random would cost a CLI 3 ms."""
    for i in range(len(items) - 1, 0, -1):
        j = int.from_bytes(os.urandom(4), "little") % (i + 1)
        items[i], items[j] = items[j], items[i]
