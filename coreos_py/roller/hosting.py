"""Payloads over HTTP: GET and HEAD of one file, whole or in part.

The file is read in another thread, a piece at a time, and no faster than the client takes it: a
thousand downloads need a thousand pieces of memory, and none of them keeps the others waiting.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

from coreos_py.http.exchange import Pending
from coreos_py.http.message import Request, Response
from coreos_py.roller.payloads import File, Payloads
from coreos_py.roller.ranges import Part, select

PREFIXES = ("/packages/", "/coreos/")
_PIECE = 128 << 10
_PIECE_TIME_S = 300.0  # who takes longer for one piece downloads nothing in any useful time
_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
_METHODS = ("GET", "HEAD")

log = logging.getLogger(__name__)


class Hosting:
    """The route. `begin` makes the reply for a request."""

    def __init__(
        self,
        payloads: Payloads,
        threads: ThreadPoolExecutor,
        *,
        begin: Callable[[Request], Pending],
    ) -> None:
        self._payloads = payloads
        self._threads = threads
        self._begin = begin

    def route(self, request: Request) -> Response | Pending | None:
        """The answer to a request for a payload; None for other paths."""
        for prefix in PREFIXES:
            if request.path.startswith(prefix):
                return self._answer(request, unquote(request.path[len(prefix) :]))
        return None

    def _answer(self, request: Request, name: str) -> Response | Pending:
        if request.method not in _METHODS:
            return Response(405, (*_TEXT, ("Allow", ", ".join(_METHODS))), b"Method Not Allowed\n")
        file = self._payloads.open(name)
        if file is None:
            return Response(404, _TEXT, b"404 page not found\n")
        part = select(request.get, file.size, file.validators)
        headers = _headers(file, part)
        if request.method == "HEAD" or part.status not in (200, 206):
            os.close(file.fd)
            return Response(part.status, headers, content_length=part.length)
        pending = self._begin(request)
        Sending(pending, file, part, threads=self._threads).start(headers)
        return pending


class Sending:
    """One download."""

    def __init__(
        self, pending: Pending, file: File, part: Part, *, threads: ThreadPoolExecutor
    ) -> None:
        self._pending = pending
        self._fd = file.fd
        self._position = part.start
        self._end = part.start + part.length
        self._status = part.status
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._patience: asyncio.TimerHandle | None = None

    def start(self, headers: list[tuple[str, str]]) -> None:
        length = self._end - self._position
        self._pending.start(self._status, headers, content_length=length)
        self._read()

    def _read(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        if self._pending.closed or self._position == self._end:
            os.close(self._fd)
            self._pending.end()
            return
        size = min(_PIECE, self._end - self._position)
        work = self._loop.run_in_executor(self._threads, os.pread, self._fd, size, self._position)
        work.add_done_callback(self._write)

    def _write(self, work: asyncio.Future[bytes]) -> None:
        if work.cancelled():
            os.close(self._fd)
            return
        error = work.exception()
        data = b"" if error is not None else work.result()
        if not data:
            log.error("payloads: a file ends before its end: %s", error or "it was cut")
            os.close(self._fd)
            self._pending.cut()
            return
        self._position += len(data)
        self._patience = self._loop.call_later(_PIECE_TIME_S, self._pending.cut)
        self._pending.write(data)
        self._pending.on_drain(self._read)


def _headers(file: File, part: Part) -> list[tuple[str, str]]:
    headers = [
        ("Accept-Ranges", "bytes"),
        ("ETag", file.validators.etag),
        ("Last-Modified", file.validators.last_modified),
    ]
    if part.status in (206, 416):
        headers.append(("Content-Range", part.content_range(file.size)))
    if part.status in (200, 206):
        headers.append(("Content-Type", "application/octet-stream"))
        headers.append(("X-Content-Type-Options", "nosniff"))
    return headers
