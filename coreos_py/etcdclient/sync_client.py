"""etcd v2 client for command-line programs: blocking, no asyncio, same records and errors as the
async one. Endpoint failover as in etcd 2.3's client.
"""

from __future__ import annotations

from time import monotonic

from coreos_py.etcdclient import calls
from coreos_py.etcdclient.cluster import REDIRECTS_MAX, Endpoints, failure, redirected
from coreos_py.etcdclient.errors import ClusterUnavailable, DeadlineExceeded, EmptyBody
from coreos_py.http.client import HTTPClient, TimedOut, TransportError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable

    from coreos_py.etcdclient.calls import Call
    from coreos_py.etcdclient.model import Member, Result
    from coreos_py.http.client import ReplyStream
    from coreos_py.http.reply import Reply
    from coreos_py.http.url import Endpoint


class Etcd:
    """Talks to the cluster behind `endpoints`.

    `timeout_s` bounds each attempt at one endpoint up to the reply's head (watches excepted);
    `deadline` (monotonic seconds, None for none) bounds everything. `trace` sees every request.
    """

    def __init__(
        self,
        endpoints: Iterable[str],
        *,
        timeout_s: float | None = 1.0,
        deadline: float | None = None,
        username: str = "",
        password: str = "",
        tls: Callable[[], ssl.SSLContext] | None = None,
        shuffle: Callable[[list[Endpoint]], None] | None = None,
        trace: Callable[[Call, Endpoint, str], None] | None = None,
    ) -> None:
        self.deadline = deadline
        self._endpoints = Endpoints(endpoints, shuffle=shuffle)
        self._timeout_s = timeout_s
        self.http = HTTPClient(tls=tls)
        self._auth = (calls.basic_auth(username, password),) if username else ()
        self._trace = trace

    @property
    def endpoints(self) -> list[str]:
        """The endpoints in use."""
        return self._endpoints.urls

    def result(self, call: Call) -> Result:
        """Send a keys call; StoreError when etcd refused. A watch is asked again until it fires."""
        while True:
            try:
                return calls.read_result(self.send(call))
            except EmptyBody:
                if not call.wait:
                    raise

    def members(self) -> list[Member]:
        """The members of the cluster."""
        return calls.read_members(self.send(calls.members()))

    def leader(self) -> Member:
        """The member that leads."""
        return calls.read_member(self.send(calls.leader()), status=200)

    def sync(self) -> None:
        """Use the client URLs the members publish from now on."""
        self.use([url for m in self.members() for url in m.client_urls])

    def use(self, urls: Iterable[str]) -> None:
        """Use these endpoints from now on; NoEndpoints when there are none."""
        self._endpoints.replace(urls)

    def peers_of_0_4(self) -> list[str]:
        """The machines of a cluster that is too old for the members API, none if it is not.

        TransportError if the last endpoint could not be asked; one that is slow counts as none.
        """
        problem: TransportError | None = None
        for endpoint in self._endpoints.order():
            try:
                reply = self._attempt(calls.Call("GET", "/v2/peers"), endpoint)
            except TimedOut:
                problem = None
                continue
            except TransportError as exc:
                problem = exc
                continue
            problem = None
            if reply.status == 200 and reply.body:
                return reply.body.decode("utf-8", "surrogateescape").split(", ")
        if problem is not None:
            raise problem
        return []

    def send(self, call: Call) -> Reply:
        """Send one call to the first endpoint that answers."""
        errors: list[str] = []
        for endpoint in self._endpoints.order():
            try:
                reply = self._attempt(call, endpoint)
            except TimedOut as exc:
                if self.deadline is not None and monotonic() >= self.deadline:
                    raise DeadlineExceeded from exc
                errors.append(f"client: endpoint {endpoint.text} exceeded header timeout")
                continue
            except TransportError as exc:
                errors.append(str(exc))
                continue
            problem = failure(endpoint, reply.status)
            if problem is None:
                self._endpoints.pin(endpoint)
                return reply
            errors.append(problem)
        raise ClusterUnavailable(errors)

    def download(self, call: Call) -> ReplyStream:
        """Send one call to the first endpoint that answers, and leave the body to be read."""
        errors: list[str] = []
        for endpoint in self._endpoints.order():
            target = endpoint.path + call.target
            if self._trace is not None:
                self._trace(call, endpoint, target)
            limit = None
            if self._timeout_s is not None and not call.wait:
                limit = monotonic() + self._timeout_s
            try:
                stream = self.http.stream(
                    call.method,
                    endpoint,
                    target,
                    headers=(*call.headers, *self._auth),
                    header_deadline=limit,
                )
            except TransportError as exc:
                errors.append(str(exc))
                continue
            problem = failure(endpoint, stream.status)
            if problem is None:
                self._endpoints.pin(endpoint)
                return stream
            stream.close()
            errors.append(problem)
        raise ClusterUnavailable(errors)

    def close(self) -> None:
        """Close the kept connections."""
        self.http.close()

    def _attempt(self, call: Call, endpoint: Endpoint) -> Reply:
        where, target = endpoint, endpoint.path + call.target
        header_deadline = None
        for _ in range(REDIRECTS_MAX + 1):
            if self._trace is not None:
                self._trace(call, where, target)
            if self._timeout_s is not None and not call.wait:
                header_deadline = monotonic() + self._timeout_s
            reply = self.http.request(
                call.method,
                where,
                target,
                headers=(*call.headers, *self._auth),
                body=call.body or b"",
                header_deadline=header_deadline,
                deadline=self.deadline,
            )
            if reply.status // 100 != 3:
                return reply
            where, target = redirected(where, reply)
        raise TransportError("client: too many redirects")
