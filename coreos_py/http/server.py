"""HTTP/1.x server edge on asyncio: one protocol object per connection, no task per request.

A handler maps a Request to a Response or to a Pending that is completed later. Requests of one
connection are handled one after the other, so pipelined replies are in order and a read sees the
write before it. Faults of a peer end in an error reply or a closed connection, never in a
traceback.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, TypeAlias

from coreos_py.http.exchange import Pending
from coreos_py.http.framing import ParseError
from coreos_py.http.limits import Limits
from coreos_py.http.message import Request, Response, encode_response, error_body, error_reply
from coreos_py.http.parser import BodySink, BodyTooLarge, Head, RequestParser

__all__ = ["BodySink", "HTTPServer", "Handler", "Limits", "Pending", "Request", "Response"]

Handler: TypeAlias = Callable[[Request], Response | Pending]
SinkFor: TypeAlias = Callable[[Request], BodySink | None]

_log = logging.getLogger(__name__)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
_LINGER_S = 0.5
_BODY_LINGER_S = 10.0  # for clients that read only when they have sent all
_WRITE_BATCH = 65536
# asyncio would allocate 256 KiB for every read, which malloc takes from the kernel and gives back.
_READ_MAX = 64 << 10


class HTTPServer:
    """The handler, its limits and the live connections.

    Use it as the protocol factory: `server.connection`. `sink_for` is asked, once the head of a
    request is there, whether its body shall go elsewhere than into memory.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        limits: Limits | None = None,
        oversize: Handler | None = None,
        sink_for: SinkFor | None = None,
    ) -> None:
        self.handler = handler
        self.limits = limits or Limits()
        self.oversize = oversize or _too_large
        self.sink_for = sink_for
        self.connections: set[Connection] = set()
        self.heads: dict[bytes, Head] = {}
        self.draining = False
        self.now = 0.0
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty: asyncio.Event | None = None

    def forget(self, conn: Connection) -> None:
        """A connection ended."""
        self.connections.discard(conn)
        if self._empty is not None and not self.connections:
            self._empty.set()

    def connection(self) -> Connection:
        """A protocol for one accepted connection."""
        if self._sweeper is None:
            self._sweep()
        return Connection(self)

    async def drain(self, grace_s: float) -> None:
        """Close idle connections and streams, let replies in the making finish within `grace_s`,
        then cut.
        """
        self.draining = True
        for conn in list(self.connections):
            conn.drain()
        if self.connections:
            self._empty = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), grace_s)
        for conn in list(self.connections):
            conn.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self.now = now = loop.time()
        for conn in list(self.connections):
            conn.check_timeouts(now)
        self._sweeper = loop.call_later(1.0, self._sweep)


class Connection(asyncio.Protocol):
    """One connection: reads requests, runs the handler, writes replies in order."""

    __slots__ = (
        "_in_partial",
        "_is_body_held",
        "_limits",
        "_loop",
        "_on_drain",
        "_parser",
        "_pending",
        "_request",
        "_sent",
        "_server",
        "_since",
        "_stalled",
        "_stopped",
        "_transport",
        "_write_paused",
        "keep",
    )

    def __init__(self, server: HTTPServer) -> None:
        limits = server.limits
        self._server = server
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._parser = RequestParser(
            limits.body_max,
            limits.head_max,
            server.heads,
            sink_for=self._sink_for if server.sink_for is not None else None,
        )
        self._transport: asyncio.Transport | None = None
        self._pending: Pending | None = None
        self._request: Request | None = None
        self._stopped = False  # no further request is read: closing, lingering or detached
        self._write_paused = False
        self._on_drain: Callable[[], None] | None = None
        self._is_body_held = False
        self._sent = 0
        self._stalled = (-1, 0.0)  # what the peer had taken, and when that was more than before
        self._in_partial = False
        self._since = server.now
        self.keep = True

    # -- asyncio callbacks ------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if hasattr(transport, "max_size"):
            transport.max_size = _READ_MAX
        self._in_partial = (
            True  # a peer that connects and says nothing is as slow as one that stops mid-head
        )
        self._since = self._loop.time()
        self._server.connections.add(self)
        if self._server.draining:
            self._close()

    def data_received(self, data: bytes) -> None:
        if self._stopped:
            return
        parser = self._parser
        parser.feed(data)
        if parser.sink is not None:
            self._since = self._loop.time()  # as long as it goes on, however long that takes
        if self._pending is None and not self._write_paused:
            self._run()
        elif parser.buffered > self._limits.pipeline_max:
            assert self._transport is not None
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        pending = self._pending
        if pending is None or pending.watched or self._stopped:
            return False
        self.keep = False
        return self.extra("ssl_object") is None

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.forget(self)
        self._stopped = True
        self._transport = None
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.abandon()
        if (sink := self._parser.sink) is not None:
            sink.abandon()
        self._drained()

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._drained()
        self._resume()

    # -- reading ------

    def _run(self) -> None:
        """Handle complete requests, with one write for their replies, until one is pending."""
        parser, handler = self._parser, self._server.handler
        out: list[bytes] = []
        size = 0
        while (request := self._next(out)) is not None:
            result = self._call(handler, request)
            if type(result) is not Response:
                self._flush(out)
                self._begin(result, request)
                if self._pending is not None or self._stopped:
                    return
                continue
            data = encode_response(result, request, keep=self.keep)
            out.append(data)
            if not self.keep:
                self._flush(out)
                self._close()
                return
            if not parser.buffered:
                break
            size += len(data)
            if size > _WRITE_BATCH:
                self._flush(out)
                size = 0
                if self._write_paused:
                    return
        if self._stopped:
            return
        self._flush(out)
        if parser.partial:
            self._wait_for_more()
        else:
            self._in_partial = False
            self._since = self._server.now

    def _next(self, out: list[bytes]) -> Request | None:
        """The next request; what cannot be one is answered here, after the replies in `out`."""
        parser = self._parser
        try:
            request = parser.next()
        except ParseError as exc:
            out.append(error_reply(exc.status, exc.text))
            self._refuse(out)
        except BodyTooLarge as exc:
            self._flush(out)
            self._handle_oversize(exc.request)
        else:
            if request is not None:
                request.connection = self
                self.keep = parser.keep
            return request
        return None

    def _wait_for_more(self) -> None:
        if not self._in_partial:
            self._in_partial = True
            self._since = self._loop.time()
        if self._parser.want_continue and not self._is_body_held:
            self._parser.want_continue = False
            self._write(_CONTINUE)

    def _sink_for(self, request: Request) -> BodySink | None:
        assert self._server.sink_for is not None
        request.connection = self
        return self._server.sink_for(request)

    def _call(self, handler: Handler, request: Request) -> Response | Pending:
        try:
            return handler(request)
        except Exception as exc:  # noqa: BLE001 - the handler boundary: a fault becomes a 500, the server lives on
            _log.error("http: %s %s: %s: %s", request.method, request.path, type(exc).__name__, exc)
            return Response(500, _TEXT, error_body(500))

    def _begin(self, pending: Pending | Response, request: Request) -> None:
        assert isinstance(pending, Pending)
        self._pending = pending
        self._request = request
        pending.attach(self, request)

    def _handle_oversize(self, request: Request) -> None:
        self.keep = False
        request.oversize = True
        request.connection = self
        result = self._call(self._server.oversize, request)
        self._stopped = True
        if isinstance(result, Response):
            self._refuse([encode_response(result, request, keep=False)])
        else:
            self._begin(result, request)

    def _resume(self) -> None:
        """Go on with what was received while a reply was in the making."""
        if (
            self._stopped
            or self._pending is not None
            or self._write_paused
            or self._transport is None
        ):
            return
        if not self._transport.is_closing():
            self._transport.resume_reading()
            if self._parser.buffered:
                self._run()

    # -- writing ------

    def _flush(self, out: list[bytes]) -> None:
        if out:
            self._write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._sent += len(data)
            self._transport.write(data)

    def _refuse(self, out: list[bytes], *, linger_s: float = _LINGER_S) -> None:
        """Reply and close, leaving the peer a moment to read the reply before a reset can destroy
        it.
        """
        self._stopped = True
        self._flush(out)
        transport = self._transport
        if transport is None:
            return
        if transport.can_write_eof():
            with contextlib.suppress(OSError):  # a reset that nobody has read yet
                transport.write_eof()
            self._loop.call_later(linger_s, transport.abort)
        else:
            transport.close()

    def _close(self) -> None:
        self._stopped = True
        if self._transport is not None:
            self._transport.close()

    # -- for Pending ------

    def finish(self, response: Response | None) -> None:
        """The pending reply is given (None: it was streamed)."""
        request, self._pending, self._request = self._request, None, None
        transport = self._transport
        if transport is None or request is None:
            return
        if response is not None:
            self._write(encode_response(response, request, keep=self.keep))
        if self._stopped:
            self._refuse([])
        elif not self.keep or self._server.draining:
            self._close()
        else:
            self._in_partial = False
            self._since = self._server.now
            if self._parser.partial:
                # not now: the caller is in the middle of its own work, the next handler call is a
                # new turn
                self._loop.call_soon(self._resume)

    def send(self, data: bytes) -> None:
        """Write a piece of a stream; a reader that is too far behind is cut off."""
        self._write(data)
        if self.backlog() > self._limits.stream_backlog_max:
            self.abort()

    def backlog(self) -> int:
        """Bytes not yet taken by the peer."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def on_drain(self, callback: Callable[[], None]) -> None:
        """Call back once when the peer has caught up or is gone."""
        self._on_drain = callback
        if not self._write_paused or self._transport is None:
            self._drained()

    def _drained(self) -> None:
        callback, self._on_drain = self._on_drain, None
        if callback is not None:
            callback()

    def release(self) -> tuple[asyncio.Transport, bytes]:
        """Give the transport away; this object is done."""
        transport = self._transport
        assert transport is not None
        self._server.forget(self)
        self._stopped = True
        self._transport = self._pending = self._request = None
        return transport, self._parser.take_rest()

    # -- for a BodySink ------

    def hold_body(self) -> None:
        """Read no more of the body for now."""
        self._is_body_held = True
        if self._transport is not None:
            self._transport.pause_reading()

    def accept_body(self) -> None:
        """Go on with the body that was held."""
        self._is_body_held = False
        if self._transport is not None and not self._stopped:
            if self._pending is None:
                self._wait_for_more()
            self._transport.resume_reading()

    def refuse_body(self, response: Response) -> None:
        """Answer before the body has come, and close."""
        request = Request("POST", b"/", {}, 1)
        if self._transport is not None and not self._stopped:
            self._transport.resume_reading()
            self._refuse([encode_response(response, request, keep=False)], linger_s=_BODY_LINGER_S)

    # -- for HTTPServer and Request ------

    def peer(self) -> str:
        """Address of the other end."""
        name = self.extra("peername")
        if isinstance(name, tuple):
            host = f"[{name[0]}]" if ":" in name[0] else name[0]
            return f"{host}:{name[1]}"
        return str(name or "")

    def extra(self, name: str) -> Any:
        """Transport facts such as `peername`, `ssl_object`, `peercert`."""
        return None if self._transport is None else self._transport.get_extra_info(name)

    def drain(self) -> None:
        """Take no further request; close now unless a plain reply is in the making."""
        pending = self._pending
        if pending is None or pending.watched:
            self._close()
        else:
            self.keep = False

    def abort(self) -> None:
        """Cut the connection without waiting for unsent data."""
        self._stopped = True
        if self._transport is not None:
            self._transport.abort()
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.abandon()

    def check_timeouts(self, now: float) -> None:
        """Close the connection if the peer is too slow; called once a second."""
        limits, transport = self._limits, self._transport
        if transport is None:
            return
        backlog = transport.get_write_buffer_size()
        taken = self._sent - backlog
        if backlog == 0 or taken > self._stalled[0]:
            self._stalled = (taken, now)
        elif limits.write_timeout_s is not None and now - self._stalled[1] > limits.write_timeout_s:
            self.abort()
            return
        if self._pending is not None or backlog or self._stopped:
            return
        if self._parser.in_body:
            timeout = limits.body_timeout_s
        elif self._in_partial:
            timeout = limits.head_timeout_s
        else:
            timeout = limits.idle_timeout_s
        if timeout is not None and now - self._since > timeout:
            self._close()


def _too_large(_request: Request) -> Response:
    return Response(413, _TEXT, error_body(413))
