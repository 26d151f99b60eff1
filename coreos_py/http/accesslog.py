"""Lines of Apache's common log format, as gorilla/handlers writes them, and their way to stdout."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coreos_py.http.message import Request

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SHORT = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}

log = logging.getLogger(__name__)


class AccessLog:
    """One line on stdout for every request, until nobody wants to read it."""

    def __init__(self) -> None:
        self._is_open = True

    def write(self, peer: str, request: Request, status: int, size: int) -> None:
        """Note one request and its answer; `peer` is ip:port."""
        if not self._is_open:
            return
        now = time.localtime()
        when = stamp(
            now.tm_year,
            now.tm_mon,
            now.tm_mday,
            time.strftime("%H:%M:%S", now),
            offset_s=now.tm_gmtoff,
        )
        text = line(
            peer,
            when,
            method=request.method,
            target=request.target.decode("utf-8", "surrogateescape"),
            version=request.version,
            status=status,
            size=size,
        )
        try:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
        except OSError as error:
            self._is_open = False
            log.error("the access log ends: %s", error.strerror)


def stamp(year: int, month: int, day: int, clock: str, *, offset_s: int) -> str:
    """21/Nov/2026:03:11:26 +0000, of local time parts and the zone's offset east of UTC."""
    sign = "-" if offset_s < 0 else "+"
    hours, minutes = divmod(abs(offset_s) // 60, 60)
    return f"{day:02d}/{_MONTHS[month - 1]}/{year:04d}:{clock} {sign}{hours:02d}{minutes:02d}"


def line(
    peer: str, when: str, *, method: str, target: str, version: str, status: int, size: int
) -> str:
    """One request and its answer; `peer` is ip:port, `size` the bytes of the body."""
    host = peer.rpartition(":")[0].removeprefix("[").removesuffix("]") or "-"
    shown = "".join(_shown(char) for char in target)
    return f'{host} - - [{when}] "{method} {shown} HTTP/{version}" {status} {size}'


def _shown(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    if char < " " or char == "\x7f":
        return f"\\x{ord(char):02x}"
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char
