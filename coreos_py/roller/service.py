"""rollerd's handler: asks the families of routes in turn, and runs what they name.

A family maps a request to a handler for the database's thread, to an answer, to a reply in the
making, or to None when the path is not its own.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from coreos_py.http.exchange import Pending
from coreos_py.http.message import Request, Response
from coreos_py.roller.call import Call, Config, Handler
from coreos_py.roller.worker import Job, Worker

Route: TypeAlias = Callable[[Request], "Handler | Response | Pending | None"]
Access: TypeAlias = Callable[[str, Request, int, int], None]
Changed: TypeAlias = Callable[[set[tuple[str, str]]], None]

_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
_READS = ("GET", "HEAD")


class Rules(NamedTuple):
    """How clients reach the service."""

    public_url: str = ""  # instead of what the Host header says
    trust_proxy: bool = False


class Service:
    """The handler of the HTTP server."""

    def __init__(
        self,
        worker: Worker,
        families: Sequence[Route],
        rules: Rules,
        *,
        config: Config,
        on_access: Access,
        on_changed: Changed,
    ) -> None:
        self._worker = worker
        self._families = families
        self._rules = rules
        self._config = config
        self._on_access = on_access
        self._on_changed = on_changed

    def handle(self, request: Request) -> Response | Pending:
        """One request of a client."""
        peer = self.client(request)
        found: Handler | Response | Pending | None = None
        for route in self._families:
            found = route(request)
            if found is not None:
                break
        else:
            found = Response(404, _TEXT, b"404 page not found\n")
        if isinstance(found, Pending):
            return found
        if isinstance(found, Response):
            self._on_access(peer, request, found.status, len(found.body))
            return found
        return self._run(found, self.call(request, peer))

    def call(self, request: Request, peer: str = "") -> Call:
        """The record that a handler gets for this request."""
        return Call(
            request,
            time.time_ns() // 1000,
            self._base_url(request),
            peer or self.client(request),
            None,
            _new_id,
            self._config,
            set(),
        )

    def client(self, request: Request) -> str:
        """The address of who asks, without a port."""
        if self._rules.trust_proxy:
            forwarded = request.get("X-Forwarded-For").partition(",")[0].strip()
            if forwarded:
                return forwarded
        return request.peer.rpartition(":")[0].strip("[]")

    def _run(self, handler: Handler, call: Call) -> Pending:
        pending = Pending()
        request = call.request

        def done(response: Response) -> None:
            self._on_access(call.peer, request, response.status, len(response.body))
            if call.changed:
                self._on_changed(call.changed)
            pending.complete(response)

        self._worker.submit(Job(handler, call, done), write=request.method not in _READS)
        return pending

    def _base_url(self, request: Request) -> str:
        if self._rules.public_url:
            return self._rules.public_url
        scheme = "https" if request.tls else "http"
        return f"{scheme}://{request.get('Host')}"


def _new_id() -> str:
    return str(uuid.uuid4())
