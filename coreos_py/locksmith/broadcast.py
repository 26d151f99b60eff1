"""Tells everybody who is logged in at a terminal that the machine will reboot.

Every record of utmp with a line that can be opened counts, a waiting getty included, as in
locksmith 0.6.2. A terminal that does not take the words is not waited for.
"""

from __future__ import annotations

import contextlib
import os

UTMP = "/run/utmp"
DEVICES = "/dev"
# The size of glibc's struct utmp, and where the terminal's name is in it.
_RECORD_BYTES = 400 if os.uname().machine == "aarch64" else 384
_LINE = slice(8, 40)
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
    whole = len(data) - len(data) % _RECORD_BYTES
    records = [data[start : start + _RECORD_BYTES] for start in range(0, whole, _RECORD_BYTES)]
    names = [record[_LINE].split(b"\0", 1)[0] for record in records]
    lines = [name.decode("utf-8", "surrogateescape") for name in names]
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
