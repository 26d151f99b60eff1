"""How one call finds its way to a cluster of etcd 3: endpoints, path prefix, token, leases.

Pure: a call is a generator that yields an Attempt and is sent the reply, or thrown the
TransportError, that came of it; the time is an argument. A conditional write whose outcome nobody
knows is not tried elsewhere, because it would meet its own work and call it somebody else's.
"""

from __future__ import annotations

from coreos_py.etcdclient.cluster import Endpoints
from coreos_py.etcdclient.errors import ClusterUnavailable, InvalidJSON
from coreos_py.etcdclient.v3map import grant
from coreos_py.etcdclient.v3wire import (
    HEADERS,
    PREFIXES,
    GatewayError,
    NoGateway,
    Rpc,
    number,
    read_reply,
)
from coreos_py.http.client import TimedOut, TransportError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from typing import Any

    from coreos_py.http.reply import Reply
    from coreos_py.http.url import Endpoint

    Steps = Generator["Attempt", Reply, dict[str, Any]]

# Keys that are written within this part of their TTL share a lease, which lives as much longer.
_SHARED_PART = 64


class Attempt:
    """One request to one endpoint."""

    __slots__ = ("body", "endpoint", "headers", "target")

    def __init__(
        self, endpoint: Endpoint, target: str, headers: tuple[tuple[str, str], ...], body: bytes
    ) -> None:
        self.endpoint = endpoint
        self.target = target
        self.headers = headers
        self.body = body


class Talk:
    """What a client knows about its cluster."""

    def __init__(
        self,
        endpoints: Iterable[str],
        *,
        username: str = "",
        password: str = "",
        shuffle: Callable[[list[Endpoint]], None] | None = None,
    ) -> None:
        self.endpoints = Endpoints(endpoints, shuffle=shuffle)
        self._username = username
        self._password = password
        self._token = ""
        self._prefix = PREFIXES[0]
        self._is_settled = False

    def call(self, rpc: Rpc) -> Steps:
        """The message that answers; GatewayError, or ClusterUnavailable when nobody did."""
        errors = []
        order = self.endpoints.order()
        for at, endpoint in enumerate(order):
            try:
                answer = yield from self.ask(endpoint, rpc)
            except (TransportError, GatewayError, InvalidJSON, NoGateway) as err:
                if isinstance(err, GatewayError) and not err.elsewhere:
                    self.endpoints.pin(endpoint)
                    raise
                errors.append(explain(endpoint, err))
                if not (rpc.repeatable or _is_undone(err)):
                    self.endpoints.pin(order[(at + 1) % len(order)])
                    break
            else:
                self.endpoints.pin(endpoint)
                return answer
        raise ClusterUnavailable(errors)

    def ask(self, endpoint: Endpoint, rpc: Rpc) -> Steps:
        """Ask one endpoint, under the prefix that it knows, logging in when it wants that."""
        is_fresh = False
        while True:
            used = self._token
            reply = yield self.attempt(endpoint, rpc)
            try:
                answer = read_reply(reply)
            except NoGateway:
                if not self.next_prefix():
                    raise
            except GatewayError as err:
                if not err.needs_login or not self._username or is_fresh:
                    raise
                is_fresh = True
                if used == self._token:  # else another call has logged in meanwhile
                    yield from self.login(endpoint)
            else:
                self._is_settled = True
                return answer

    def login(self, endpoint: Endpoint) -> Generator[Attempt, Reply, None]:
        """Get a token."""
        body = {"name": self._username, "password": self._password}
        self._token = ""
        reply = yield self.attempt(endpoint, Rpc("/auth/authenticate", body))
        self._token = str(read_reply(reply).get("token", ""))

    def attempt(
        self,
        endpoint: Endpoint,
        rpc: Rpc,
        *,
        headers: tuple[tuple[str, str], ...] = HEADERS,
    ) -> Attempt:
        """The request of a call."""
        if self._token:
            headers = (*headers, ("Authorization", self._token))
        target = f"{endpoint.path}{self._prefix}{rpc.path}"
        return Attempt(endpoint, target, headers, rpc.encode())

    def next_prefix(self) -> bool:
        """Try an older prefix from now on; False when there is none, or one is known to work."""
        at = PREFIXES.index(self._prefix) + 1
        if self._is_settled or at == len(PREFIXES):
            if not self._is_settled:
                self._prefix = PREFIXES[0]
            return False
        self._prefix = PREFIXES[at]
        return True

    @property
    def can_login(self) -> bool:
        """True when there is a user to log in as."""
        return bool(self._username)


class Leases:
    """The leases of one process, one per TTL and second of writing (or 64th part of a long TTL), so
    that each key expires when its last writer falls silent about it, whatever else that writes.
    """

    def __init__(self) -> None:
        self._current: dict[int, tuple[int, float]] = {}

    def find(self, ttl_s: int, now_s: float) -> int:
        """A lease on which a key written now lives for its TTL; 0 when one must be granted."""
        lease, asked_s = self._current.get(ttl_s, (0, 0.0))
        return lease if lease and now_s - asked_s < _shared_s(ttl_s) else 0

    def request(self, ttl_s: int) -> Rpc:
        """Ask for one."""
        return grant(ttl_s + _shared_s(ttl_s))

    def granted(self, ttl_s: int, answer: dict[str, Any], *, asked_s: float) -> int:
        """Keep what was granted to a request made at `asked_s`; the lease."""
        lease = number(answer.get("ID"))
        self._current[ttl_s] = (lease, asked_s)
        return lease

    def forget(self, ttl_s: int) -> None:
        """The lease is gone."""
        self._current.pop(ttl_s, None)


def _shared_s(ttl_s: int) -> int:
    return max(ttl_s // _SHARED_PART, 1)


def explain(endpoint: Endpoint, err: Exception) -> str:
    """Why an endpoint was no help."""
    if isinstance(err, TimedOut):
        return f"client: endpoint {endpoint.text} exceeded header timeout"
    if isinstance(err, GatewayError):
        return f"client: etcd member {endpoint.text}: {err}"
    if isinstance(err, TransportError):
        return str(err)
    return f"{err} [{endpoint.text}]"


def _is_undone(err: Exception) -> bool:
    """True when the call surely had no effect."""
    if isinstance(err, GatewayError):
        return err.is_undone
    return isinstance(err, NoGateway) or str(err).startswith("dial ")
