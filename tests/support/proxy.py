"""A TCP proxy between real processes that a test can tell to hold bytes back."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import NamedTuple, Self

CHUNK_BYTES = 1 << 16


class Piece(NamedTuple):
    """Some bytes on their way."""

    is_reply: bool
    data: bytes


class Proxy:
    """Relays connections to a port; every piece waits until `gate(piece)` lets it pass."""

    def __init__(self, port: int, gate: Callable[[Piece], None]) -> None:
        self._to = ("127.0.0.1", port)
        self._gate = gate
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = [self._listener]
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    @staticmethod
    def _start(work: Callable[..., None], *args: object) -> None:
        threading.Thread(target=work, args=args, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._start(self._serve, near)

    def _serve(self, near: socket.socket) -> None:
        self._open.append(near)
        with contextlib.suppress(OSError):
            far = socket.create_connection(self._to)
            self._open.append(far)
            self._start(self._relay, far, near, True)
            self._relay(near, far, False)
        near.close()

    def _relay(self, source: socket.socket, sink: socket.socket, is_reply: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                self._gate(Piece(is_reply, data))
                sink.sendall(data)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
