"""Tells everybody who is logged in at a terminal that the machine will reboot.

Every record of utmp with a line that can be opened counts, a waiting getty included, as in
locksmith 0.6.2. A terminal that does not take the words is not waited for.
"""

from __future__ import annotations

import contextlib
import os
import struct

UTMP = "/run/utmp"
DEVICES = "/dev"
# glibc's struct utmp on 64-bit machines: type, pid, line, id, user, host, exit, session, time ...
_RECORD = struct.Struct("hi32s4s32s256s2hiii4i20x")
_WIDTH = 79


def broadcast(message: str, *, now: str, utmp: str = UTMP, devices: str = DEVICES) -> int:
    """Write to every terminal of utmp; how many there were."""
    blank = f"\r{'':{_WIDTH}}\r\n"
    head = f"Broadcast message from locksmithd at {now}:"
    text = f"{blank}{_fit(head)}\007\007\r\n{_fit(message)}\r\n{blank}".encode()
    return sum(_tell(os.path.join(devices, line), text) for line in _lines(utmp))


def _fit(text: str) -> str:
    return f"{text:{_WIDTH}.{_WIDTH}}"


def _lines(utmp: str) -> list[str]:
    try:
        with open(utmp, "rb") as file:
            data = file.read()
    except OSError:
        return []
    whole = len(data) - len(data) % _RECORD.size
    lines = [
        record[2].split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
        for record in _RECORD.iter_unpack(data[:whole])
    ]
    return [line for line in lines if line and ".." not in line.split("/")]


def _tell(path: str, text: bytes) -> bool:
    try:
        terminal = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not os.isatty(terminal):
            return False
        with contextlib.suppress(OSError):  # it is full, or was hung up: it counts all the same
            os.write(terminal, text)
    finally:
        os.close(terminal)
    return True
