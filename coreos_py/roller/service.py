"""rollerd's handler: asks the families of routes in turn, and runs what they name.

A family maps a request to a handler for the database's thread, to an answer, to a reply in the
making, or to None when the path is not its own.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote

from coreos_py.http.exchange import Pending
from coreos_py.http.message import Request, Response
from coreos_py.http.observed import Observed
from coreos_py.roller.call import Call, Config, Handler, LookFirst
from coreos_py.roller.metrics import Metrics
from coreos_py.roller.worker import Job, Worker

Route: TypeAlias = Callable[[Request], "Handler | LookFirst | Response | Pending | None"]
Access: TypeAlias = Callable[[str, Request, int, int], None]
Changed: TypeAlias = Callable[[set[tuple[str, str]]], None]

_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
_READS = ("GET", "HEAD", "OPTIONS")
_OBJECT = re.compile(r"/api/(apps|[a-z]+)(?:/([^/]+)(?:/(groups|channels|packages))?)?(?:/.*)?")


class Family(NamedTuple):
    """Routes that belong together; `name` is what the metrics call them."""

    name: str
    route: Route


class Rules(NamedTuple):
    """How clients reach the service."""

    public_url: str = ""  # instead of what the Host header says
    trust_proxy: bool = False


class Service:
    """The handler of the HTTP server."""

    def __init__(
        self,
        worker: Worker,
        rules: Rules,
        *,
        config: Config,
        metrics: Metrics,
        on_access: Access | None,
        on_changed: Changed,
    ) -> None:
        self._worker = worker
        self._rules = rules
        self._config = config
        self._metrics = metrics
        self._on_access = on_access
        self._on_changed = on_changed
        self._families: tuple[Family, ...] = ()

    def serve(self, families: Sequence[Family]) -> None:
        """Ask these, in this order."""
        self._families = tuple(families)

    def handle(self, request: Request) -> Response | Pending:
        """One request of a client."""
        for family in self._families:
            found = family.route(request)
            if found is None:
                continue
            if isinstance(found, Pending):
                return found
            if isinstance(found, Response):
                self._note(family.name, self.client(request), request, found)
                return found
            return self._run(family.name, found, self.call(request))
        response = Response(404, _TEXT, b"404 page not found\n")
        self._note("none", self.client(request), request, response)
        return response

    def call(self, request: Request) -> Call:
        """The record that a handler gets for this request."""
        return Call(
            request,
            time.time_ns() // 1000,
            self._base_url(request),
            self.client(request),
            _new_id,
            self._config,
            set(),
        )

    def begin(self, family: str, request: Request) -> Pending:
        """A reply in the making that is counted when it has ended."""
        peer = self.client(request)  # not known any more when the client has gone away

        def done(status: int, size: int) -> None:
            self._metrics.count(family, status)
            self._metrics.streamed(family, size)
            if self._on_access is not None:
                self._on_access(peer, request, status, size)
            if request.method not in _READS and status < 300:
                self._on_changed(told_by(request.path))

        return Observed(done)

    def client(self, request: Request) -> str:
        """The address of who asks, without a port."""
        if self._rules.trust_proxy:
            forwarded = request.get("X-Forwarded-For").partition(",")[0].strip()
            if _is_address(forwarded):
                return forwarded
        return request.peer.rpartition(":")[0].strip("[]")

    def _run(self, family: str, found: Handler | LookFirst, call: Call) -> Pending:
        pending = Pending()
        request = call.request

        def done(response: Response) -> None:
            self._metrics.took(time.time_ns() // 1000 - call.now_us)
            self._note(family, call.peer, request, response)
            if request.method not in _READS and response.status < 300:
                self._on_changed(call.changed or told_by(request.path))
            pending.complete(response)

        def looked(response: Response) -> None:
            if response.status == 200:
                self._worker.submit(Job(handler, call, done), write=True)
            else:
                done(response)

        if isinstance(found, LookFirst):
            handler = found.write
            self._worker.submit(Job(found.look, call, looked), write=False)
        else:
            handler = found
            self._worker.submit(Job(handler, call, done), write=request.method not in _READS)
        return pending

    def _note(self, family: str, peer: str, request: Request, response: Response) -> None:
        self._metrics.count(family, response.status)
        if self._on_access is not None:
            self._on_access(peer, request, response.status, len(response.body))

    def _base_url(self, request: Request) -> str:
        if self._rules.public_url:
            return self._rules.public_url
        return f"{'https' if request.tls else 'http'}://{request.get('Host')}"


def told_by(path: str) -> set[tuple[str, str]]:
    """What a successful write to this path has changed: kinds of records, and the application."""
    found = _OBJECT.fullmatch(path)
    if found is None:
        return set()
    root, app_id, inner = found.groups()
    kind = (inner or root).removesuffix("s")
    return {(kind, unquote(app_id) if root == "apps" and app_id else ""), ("activity", "")}


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _new_id() -> str:
    return str(uuid.uuid4())
