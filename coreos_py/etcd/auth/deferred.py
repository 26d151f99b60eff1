"""A reply whose making has to wait for something, after which any other reply takes its place."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from coreos_py.http.exchange import Pending
from coreos_py.http.message import Response, encode_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.http.exchange import Sink
    from coreos_py.http.message import Request

log = logging.getLogger("etcdhttp")


class Deferred(Pending):
    """Stands in for a Response or a Pending that is not known yet."""

    __slots__ = ("_extra", "_other", "_streams")

    def __init__(self, extra: bytes, *, streams: bool = False) -> None:
        """`extra` are headers that a Response gets on top; a Pending has them already.

        `streams` says that this is to become a stream: a peer that sends no more is gone then.
        """
        super().__init__()
        self._extra = extra
        self._streams = streams
        self._other: Pending | None = None

    def become(self, other: Response | Pending) -> None:
        """Let the other reply take this one's place on the connection."""
        if isinstance(other, Response):
            if self._extra:
                other.headers = encode_headers(other.headers) + self._extra
            self.complete(other)
            return
        self._other = other
        if self.closed:
            other.abandon()
        elif self._sink is not None and self._request is not None:
            other.attach(self._sink, self._request)

    def settle(self, make: Callable[[], Response | Pending]) -> None:
        """Become what `make` returns."""
        try:
            other = make()
        except Exception as error:  # noqa: BLE001 - a handler's boundary, as the server's own is
            log.error("http: %s: %s", type(error).__name__, error)
            other = Response(500)
        self.become(other)

    def attach(self, sink: Sink, request: Request) -> None:
        """Bind to the connection, or bind the other reply to it if that is known already."""
        super().attach(sink, request)
        if self._other is not None:
            self._other.attach(sink, request)

    @property
    def watched(self) -> bool:
        """Whether somebody wants to know about a disconnect."""
        return self._streams if self._other is None else self._other.watched

    def abandon(self) -> None:
        """The peer is gone."""
        super().abandon()
        if self._other is not None:
            self._other.abandon()
