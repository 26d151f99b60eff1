"""A form with one file (multipart/form-data), read while it comes. Pure."""

from __future__ import annotations

import re

from coreos_py.base.errors import WireError

_BOUNDARY = re.compile(
    r'(?i)multipart/form-data\s*;.*?\bboundary=(?:"([^"]{1,70})"|([^\s;"]{1,70})(?=[\s;]|$))'
)
_FILENAME = re.compile(r'(?i);\s*filename="((?:[^"\\]|\\.)*)"')
_HEAD_MAX = 8192


def boundary(content_type: str) -> str:
    """What separates the parts; "" if it is no form with files."""
    found = _BOUNDARY.match(content_type)
    return (found[1] or found[2]) if found else ""


class OneFile:
    """The first file of a form; what comes after it is passed over."""

    def __init__(self, mark: str) -> None:
        self._opening = f"--{mark}\r\n".encode()
        self._closing = f"\r\n--{mark}".encode()
        self._buffer = b""
        self.filename: str | None = None
        self.is_complete = False

    def feed(self, data: bytes) -> bytes:
        """What of the file is in the next bytes of the form; WireError if it is none."""
        if self.is_complete:
            return b""
        self._buffer += data
        if self.filename is None and not self._head():
            return b""
        at = self._buffer.find(self._closing)
        if at >= 0:
            self.is_complete = True
            content, self._buffer = self._buffer[:at], b""
            return content
        keep = len(self._closing) - 1
        content, self._buffer = self._buffer[:-keep], self._buffer[-keep:]
        return content

    def _head(self) -> bool:
        """Whether the head of the part is there, and read."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _HEAD_MAX:
                raise WireError("the form has no file")
            return False
        head = self._buffer[:end]
        found = _FILENAME.search(head.decode("utf-8", "replace"))
        if not head.startswith(self._opening) or found is None:
            raise WireError("the form does not begin with a file")
        self.filename = re.sub(r"\\(.)", r"\1", found[1])
        self._buffer = self._buffer[end + 4 :]
        return True
