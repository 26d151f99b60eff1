"""The receiving side of sd_notify(3): one datagram socket per run of a unit that may use it."""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Received = Callable[[str, int, dict[str, str]], None]

_ADDRESS_BYTES_MAX = 107  # sun_path without its NUL
_DATAGRAM_BYTES_MAX = 4096
_CREDENTIALS = struct.Struct("iII")
_DESCRIPTORS_MAX = 16


class NotifySockets:
    """Sockets by unit; `received` gets the unit, the sender's pid and the fields."""

    def __init__(self, directory: str, received: Received) -> None:
        self._directory = directory
        self._received = received
        self._sockets: dict[str, tuple[socket.socket, str]] = {}
        self._loop = asyncio.get_running_loop()

    def open(self, unit: str, key: str, *, abstract: bool = False) -> str:
        """Listen for a unit and return its $NOTIFY_SOCKET; `key` makes the address its own."""
        if unit in self._sockets:
            return self._sockets[unit][1]
        path = os.path.join(self._directory, key)
        if abstract or len(os.fsencode(path)) > _ADDRESS_BYTES_MAX:
            address, bind_to = f"@coreos-notify-{key}", f"\0coreos-notify-{key}"
        else:
            address, bind_to = path, path
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            one.bind(bind_to)
            if bind_to == path:
                os.chmod(path, 0o777)  # noqa: S103  units with User= must reach it; its pid is checked
        except OSError:
            one.close()
            raise
        self._sockets[unit] = (one, address)
        self._loop.add_reader(one.fileno(), self._read, unit, one)
        return address

    def close(self, unit: str) -> None:
        """Stop listening for a unit."""
        one, address = self._sockets.pop(unit, (None, ""))
        if one is None:
            return
        self._loop.remove_reader(one.fileno())
        one.close()
        if not address.startswith("@"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address)

    def detach(self) -> None:
        """Stop listening for all; addresses stay, for the next manager to take over."""
        for one, _ in self._sockets.values():
            self._loop.remove_reader(one.fileno())
            one.close()
        self._sockets.clear()

    def _read(self, unit: str, one: socket.socket) -> None:
        space = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(4 * _DESCRIPTORS_MAX)
        try:
            data, ancillary, _, _ = one.recvmsg(_DATAGRAM_BYTES_MAX, space)
        except BlockingIOError:
            return
        pid = 0
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                pid = _CREDENTIALS.unpack(content[: _CREDENTIALS.size])[0]
            elif level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                _close_all(content)
        self._received(unit, pid, parse(data))


def parse(data: bytes) -> dict[str, str]:
    """The fields of one notification."""
    fields = {}
    for line in data.decode("utf-8", "replace").split("\n"):
        name, equals, value = line.partition("=")
        if equals:
            fields[name] = value
    return fields


def _close_all(content: bytes) -> None:
    """Descriptors sent along (FDSTORE=1) are not kept."""
    fds = array.array("i")
    fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    for fd in fds:
        os.close(fd)
