"""`Pending`: a reply that is not ready yet. The handler returns one and completes or streams it
later.

Knows the connection only through the small interface `Sink`; no task, no future, plain callbacks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from coreos_py.http.message import Headers, Request, Response, encode_stream_head

_WAITING, _STREAMING, _DONE, _GONE, _DETACHED = range(5)


class Sink(Protocol):
    """What a Pending needs of its connection."""

    keep: bool

    def finish(self, response: Response | None) -> None: ...
    def send(self, data: bytes) -> None: ...
    def backlog(self) -> int: ...
    def on_drain(self, callback: Callable[[], None]) -> None: ...
    def release(self) -> tuple[asyncio.Transport, bytes]: ...
    def abort(self) -> None: ...


class Pending:
    """A reply in the making.

    Exactly one of `complete`, `start`…`end`, or `detach`; all are no-ops once the peer is gone.
    """

    __slots__ = ("_chunked", "_early", "_on_close", "_request", "_sink", "_state")

    def __init__(self) -> None:
        self._sink: Sink | None = None
        self._request: Request | None = None
        self._state = _WAITING
        self._chunked = False
        self._early: list[Callable[[], None]] = []
        self._on_close: list[Callable[[], None]] = []

    @property
    def closed(self) -> bool:
        """True once the peer is gone or the reply has ended."""
        return self._state in (_DONE, _GONE)

    @property
    def buffered(self) -> int:
        """Bytes written that the peer has not taken yet."""
        return self._sink.backlog() if self._sink is not None and self._state == _STREAMING else 0

    def complete(self, response: Response) -> None:
        """Send the whole reply."""
        if self._sink is None:
            self._early.append(lambda: self.complete(response))
        elif self._state != _GONE:
            assert self._state == _WAITING, "the reply was already given"
            self._state = _DONE
            self._on_close.clear()
            self._sink.finish(response)

    def start(self, status: int, headers: Headers, *, content_length: int | None = None) -> None:
        """Send status and headers now and keep the body open.

        With `content_length`, exactly so many bytes have to be written before `end`.
        """
        if self._sink is None:
            self._early.append(lambda: self.start(status, headers, content_length=content_length))
        elif self._state != _GONE:
            assert self._state == _WAITING, "the reply was already given"
            assert self._request is not None
            if not self._request.minor:
                self._sink.keep = False
            self._chunked = self._request.minor == 1 and content_length is None
            self._state = _STREAMING
            self._sink.send(
                encode_stream_head(
                    status,
                    headers,
                    self._request,
                    keep=self._sink.keep,
                    content_length=content_length,
                )
            )

    def write(self, chunk: bytes) -> None:
        """Send a piece of the body.

        A peer that reads too slowly is cut off (see `stream_backlog_max`).
        """
        if self._sink is None:
            self._early.append(lambda: self.write(chunk))
        elif (
            self._state == _STREAMING
            and chunk
            and self._request is not None
            and self._request.method != "HEAD"
        ):
            self._sink.send(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked else chunk)

    def on_drain(self, callback: Callable[[], None]) -> None:
        """Call back once when there is room for more: at once unless the peer lags behind."""
        if self._sink is None:
            self._early.append(lambda: self.on_drain(callback))
        elif self._state == _STREAMING:
            self._sink.on_drain(callback)
        else:
            callback()

    def cut(self) -> None:
        """End a body that cannot be completed, so that the peer notices."""
        if self._sink is None:
            self._early.append(self.cut)
        elif self._state == _STREAMING:
            self._state = _DONE
            self._on_close.clear()
            self._sink.abort()

    def end(self, last: bytes = b"") -> None:
        """End the body, after one more piece; the connection goes on with the next request."""
        if self._sink is None:
            self._early.append(lambda: self.end(last))
        elif self._state == _STREAMING:
            assert self._request is not None
            if self._chunked:
                last = b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last) if last else b"0\r\n\r\n"
            if last and self._request.method != "HEAD":
                self._sink.send(last)
            if self._state == _STREAMING:  # sending may have cut the peer off
                self._state = _DONE
                self._on_close.clear()
                self._sink.finish(None)

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call back once if the peer goes away before the reply has ended."""
        if self._state == _GONE:
            callback()
        elif self._state != _DONE:
            self._on_close.append(callback)

    def detach(self) -> tuple[asyncio.Transport, bytes]:
        """Take the connection over:

        its transport (call set_protocol) and the bytes already received.
        """
        assert self._sink is not None, "detach only after the handler has returned"
        assert self._state in (_WAITING, _STREAMING), "the reply was already given"
        self._state = _DETACHED
        self._on_close.clear()
        return self._sink.release()

    # -- for the connection ------

    @property
    def watched(self) -> bool:
        """True when somebody wants to know about a disconnect."""
        return bool(self._on_close) or self._state == _STREAMING

    def attach(self, sink: Sink, request: Request) -> None:
        """Bind to the connection the request came from and replay what was called before."""
        self._sink = sink
        self._request = request
        early, self._early = self._early, []
        for call in early:
            call()

    def abandon(self) -> None:
        """The peer is gone."""
        if self._state in (_WAITING, _STREAMING):
            self._state = _GONE
            callbacks, self._on_close = self._on_close, []
            for callback in callbacks:
                callback()
