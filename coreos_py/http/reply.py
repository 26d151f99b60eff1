"""Replies as a client sees them: an incremental parser, and the finished record.

Pure and light: on every CLI's hot path.
"""

from __future__ import annotations

from coreos_py.http.framing import (
    ChunkedBody,
    LengthBody,
    ParseError,
    content_length,
    is_chunked,
    parse_fields,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_HEAD_MAX = 1 << 20
_INTERIM_MAX = 5  # as in Go
_NO_BODY_STATUS = (204, 304)


class Reply:
    """A complete reply."""

    __slots__ = ("body", "fields", "status")

    def __init__(self, status: int, fields: dict[bytes, bytes], body: bytes) -> None:
        self.status = status
        self.fields = fields
        self.body = body

    def get(self, name: str) -> str:
        """A header (any case) as text, "" when absent."""
        return self.fields.get(name.lower().encode(), b"").decode("latin-1")


class _UntilClose:
    """Body that ends with the connection."""

    __slots__ = ("done", "pieces")

    def __init__(self) -> None:
        self.done = False
        self.pieces: list[bytes] = []

    def feed(self, buf: bytes, pos: int) -> int:
        if pos < len(buf):  # an empty piece would look like the end
            self.pieces.append(buf[pos:])
        return len(buf)


class ReplyParser:
    """Feed bytes; `status` is 0 until the head is there, `done` tells when the body is complete."""

    __slots__ = (
        "_body",
        "_body_max",
        "_buf",
        "_head_only",
        "_interim",
        "_scan",
        "done",
        "fields",
        "keep",
        "status",
    )

    def __init__(self, method: str, *, body_max: int = 1 << 40) -> None:
        self._head_only = method == "HEAD"
        self._body_max = body_max
        self._buf = b""
        self._scan = 0
        self._interim = 0
        self._body: LengthBody | ChunkedBody | _UntilClose | None = None
        self.status = 0
        self.fields: dict[bytes, bytes] = {}
        self.keep = False
        self.done = False

    def feed(self, data: bytes) -> None:
        """Consume what was received; ParseError if it is not HTTP."""
        pos = 0
        if self._body is None:
            data = self._buf + data
            pos = self._head(data)
            if pos < 0:
                return
        body = self._body
        assert body is not None
        pos = body.feed(data, pos)
        if body.done:
            self.done = True
            self.keep = self.keep and pos == len(data)

    def eof(self) -> None:
        """The connection ended; ParseError if the reply is cut short."""
        if not self.done:
            if not isinstance(self._body, _UntilClose):
                raise ParseError(502, "unexpected EOF" if self._buf or self.status else "EOF")
            self.done = True

    def take(self) -> list[bytes]:
        """Pieces of the body received since the last call."""
        if self._body is None:
            return []
        pieces, self._body.pieces = self._body.pieces, []
        return pieces

    def _head(self, data: bytes) -> int:
        """Where the head ends; -1 if it does not yet, and then what is left is kept."""
        start = 0
        while True:
            end = data.find(b"\r\n\r\n", max(start, self._scan))
            if end < 0:
                if len(data) - start > _HEAD_MAX:
                    raise ParseError(502, "reply header too large")
                self._buf = data[start:]
                self._scan = max(0, len(self._buf) - 3)
                return -1
            eol = data.find(b"\r\n", start)
            self._status_line(data[start:eol])
            start = end + 4
            self._scan = 0
            if self.status >= 200:  # 1xx are interim
                self._frame(data[eol:end])
                return start
            self._interim += 1
            if self._interim > _INTERIM_MAX:
                raise ParseError(502, "too many 1xx informational responses")

    def _status_line(self, line: bytes) -> None:
        version, _, rest = line.partition(b" ")
        code = rest[:3]
        if not version.startswith(b"HTTP/1.") or not code.isdigit() or rest[3:4] not in (b" ", b""):
            raise ParseError(502, f'malformed HTTP response "{line[:64].decode("latin-1")}"')
        self.status = int(code)
        self.keep = version == b"HTTP/1.1"

    def _frame(self, block: bytes) -> None:
        self.fields = fields = parse_fields(block)
        option = fields.get(b"connection", b"").lower()
        self.keep = option != b"close" and (self.keep or option == b"keep-alive")
        length = content_length(fields)
        if self._head_only or self.status in _NO_BODY_STATUS:
            self._body = LengthBody(0)
        elif is_chunked(fields):
            self._body = ChunkedBody(self._body_max)
        elif length is not None:
            if length > self._body_max:
                raise ParseError(502, "reply body too large")
            self._body = LengthBody(length)
        else:
            self._body = _UntilClose()
            self.keep = False


def encode_request(
    method: str, authority: str, target: str, headers: Iterable[tuple[str, str]], body: bytes
) -> bytes:
    """A whole request as one byte string; one that says it is chunked gets no length."""
    lines = [f"{method} {target} HTTP/1.1\r\nHost: {authority}\r\n"]
    is_chunked = False
    for name, value in headers:
        is_chunked = is_chunked or name == "Transfer-Encoding"
        if "\r" in value or "\n" in value:
            raise ValueError(f"header {name}: line break in {value!r}")
        lines.append(f"{name}: {value}\r\n")
    if not is_chunked and (body or method in ("PUT", "POST", "PATCH")):
        lines.append(f"Content-Length: {len(body)}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("utf-8", "surrogateescape") + body
