"""Header blocks and message bodies of HTTP/1.x, shared by the server and both clients.

Pure and light: a command-line client imports this on its hot path. Strict where leniency would
let two parsers disagree about where a message ends: no bare line feeds, no folded headers, no
conflicting lengths.
"""

from __future__ import annotations

_TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CONTROL = bytes([*range(9), *range(10, 32), 127])
_HEX = b"0123456789abcdefABCDEF"
_CHUNK_LINE_MAX = 4096
_TRAILERS_MAX = 16384

_SIZE, _DATA, _DATA_END, _TRAILER = range(4)


class ParseError(Exception):
    """The peer sent something that is not acceptable HTTP; `status` is the server's reply to it."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text or "malformed HTTP message")
        self.status = status
        self.text = text


class BodyLimit(Exception):
    """A body is longer than its decoder accepts."""


def is_token(text: bytes) -> bool:
    """True for what a method or header name may be. (Not by regular expressions: compiling them
    would be a tenth of a command-line client's own start-up time.)
    """
    return bool(text) and not text.translate(None, _TOKEN)


def parse_fields(block: bytes) -> dict[bytes, bytes]:
    """Header lines, each led by CRLF, as lower-case names to values.

    Repeated names joined by a comma.
    """
    fields: dict[bytes, bytes] = {}
    for line in block.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not is_token(name) or value.translate(None, _CONTROL) != value:
            raise ParseError(400)
        name = name.lower()
        value = value.strip(b" \t")
        if name in fields:
            if name == b"host":
                raise ParseError(400, "too many Host headers")
            if name == b"authorization":
                continue  # the first counts, as in Go; two cannot be read as one
            value = fields[name] + b", " + value
        fields[name] = value
    return fields


def content_length(fields: dict[bytes, bytes]) -> int | None:
    """The announced body length, None when none is."""
    raw = fields.get(b"content-length")
    if raw is None:
        return None
    values = {v.strip(b" \t") for v in raw.split(b",")}
    text = values.pop()
    if values or not text.isdigit() or len(text) > 18:
        raise ParseError(400)
    return int(text)


def is_chunked(fields: dict[bytes, bytes]) -> bool:
    """True for a chunked body; any other transfer coding, or both framings at once, is refused."""
    raw = fields.get(b"transfer-encoding")
    if raw is None:
        return False
    if raw.lower() != b"chunked":
        raise ParseError(501, "unsupported transfer encoding")
    if b"content-length" in fields:
        raise ParseError(400)
    return True


class LengthBody:
    """Body of a known length. `feed` returns how far it read; `pieces` grows; `done` turns true."""

    __slots__ = ("_need", "done", "pieces")

    def __init__(self, length: int) -> None:
        self._need = length
        self.done = length == 0
        self.pieces: list[bytes] = []

    def feed(self, buf: bytes, pos: int) -> int:
        """Consume from `buf` at `pos`, return the position after what belongs to this body."""
        data = buf[pos : pos + self._need]
        if data:
            self._need -= len(data)
            self.pieces.append(data)
            self.done = not self._need
        return pos + len(data)


class ChunkedBody:
    """Chunked body with trailers dropped.

    Same interface as LengthBody. Raises BodyLimit past `limit` bytes.
    """

    __slots__ = ("_limit", "_line", "_need", "_size", "_state", "_trailers", "done", "pieces")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._line = b""
        self._need = 0
        self._size = 0
        self._state = _SIZE
        self._trailers = 0
        self.done = False
        self.pieces: list[bytes] = []

    def feed(self, buf: bytes, pos: int) -> int:
        """Consume from `buf` at `pos`, return the position after what belongs to this body."""
        end = len(buf)
        while pos < end and not self.done:
            if self._state == _DATA:
                data = buf[pos : pos + self._need]
                pos += len(data)
                self._need -= len(data)
                self.pieces.append(data)
                if not self._need:
                    self._state = _DATA_END
                continue
            newline = buf.find(b"\n", pos)
            if newline < 0:
                self._line += buf[pos:]
                pos = end
            else:
                line = self._line + buf[pos : newline + 1]
                self._line = b""
                pos = newline + 1
                self._on_line(line)
            if len(self._line) > _CHUNK_LINE_MAX:
                raise ParseError(400)
        return pos

    def _on_line(self, line: bytes) -> None:
        if line[-2:] != b"\r\n" or len(line) > _CHUNK_LINE_MAX:
            raise ParseError(400)
        line = line[:-2]
        if self._state == _SIZE:
            self._on_size(line)
        elif self._state == _DATA_END:
            if line:
                raise ParseError(400)
            self._state = _SIZE
        elif not line:
            self.done = True
        else:
            self._trailers += len(line)
            if self._trailers > _TRAILERS_MAX or b":" not in line:
                raise ParseError(400)

    def _on_size(self, line: bytes) -> None:
        digits = line.partition(b";")[0].rstrip(b" \t")
        if not 0 < len(digits) < 16 or digits.translate(None, _HEX):
            raise ParseError(400)
        if line.translate(None, _CONTROL) != line:
            raise ParseError(400)
        self._need = int(digits, 16)
        self._size += self._need
        if self._size > self._limit:
            raise BodyLimit
        self._state = _DATA if self._need else _TRAILER
