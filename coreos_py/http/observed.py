"""`Observed`: a reply in the making whose status and size somebody wants to know."""

from __future__ import annotations

from collections.abc import Callable

from coreos_py.http.exchange import Pending
from coreos_py.http.message import Headers, Response


class Observed(Pending):
    """A reply in the making that tells, once, what became of it."""

    __slots__ = ("_done", "_size", "_status")

    def __init__(self, done: Callable[[int, int], None]) -> None:
        super().__init__()
        self._done: Callable[[int, int], None] | None = done
        self._status = 0
        self._size = 0
        self.on_close(self._report)

    def complete(self, response: Response) -> None:
        self._status, self._size = response.status, len(response.body)
        self._report()
        super().complete(response)

    def start(self, status: int, headers: Headers, *, content_length: int | None = None) -> None:
        self._status = status
        super().start(status, headers, content_length=content_length)

    def write(self, chunk: bytes) -> None:
        self._size += len(chunk)
        super().write(chunk)

    def end(self, last: bytes = b"") -> None:
        self._size += len(last)
        self._report()
        super().end(last)

    def cut(self) -> None:
        self._report()
        super().cut()

    def _report(self) -> None:
        done, self._done = self._done, None
        if done is not None and self._status:
            done(self._status, self._size)
