"""Sockets that were opened for us: LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES of sd_listen_fds(3)."""

from __future__ import annotations

import os
import socket
from typing import NamedTuple

FIRST_FD = 3


class Passed(NamedTuple):
    """One descriptor handed over, with the name its socket unit gave it."""

    fd: int
    name: str


def passed(environ: dict[str, str] | os._Environ[str] | None = None) -> list[Passed]:
    """The descriptors meant for this process; from now on no child inherits them."""
    env = os.environ if environ is None else environ
    if env.get("LISTEN_PID") != str(os.getpid()):
        return []
    try:
        count = int(env.get("LISTEN_FDS", ""))
    except ValueError:
        return []
    names = env.get("LISTEN_FDNAMES", "").split(":")
    found = []
    for at in range(max(count, 0)):
        os.set_inheritable(FIRST_FD + at, False)
        found.append(Passed(FIRST_FD + at, names[at] if at < len(names) else ""))
    return found


def stream_sockets() -> list[socket.socket]:
    """The listening stream sockets among them, TCP and unix."""
    sockets = []
    for item in passed():
        try:
            sock = socket.socket(fileno=item.fd)
        except OSError:
            continue  # a FIFO or a file: not ours to serve
        if sock.type != socket.SOCK_STREAM or not _listens(sock):
            sock.detach()
            continue
        sock.setblocking(False)
        sockets.append(sock)
    return sockets


def _listens(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
