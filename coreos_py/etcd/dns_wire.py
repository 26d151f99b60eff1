"""DNS messages (RFC 1035, RFC 2782): a question out, the SRV records of an answer in.

Pure and light: etcdctl imports it. Every length is checked before it is used and a compression
pointer must point back, so that no message can make the reader loop or read past its end.
"""

from __future__ import annotations

import struct

TYPE_CNAME = 5
TYPE_SRV = 33
CLASS_IN = 1

NO_ERROR = 0
NAME_ERROR = 3

_LABEL_MAX = 63
_NAME_MAX = 255
_HEADER = struct.Struct("!HHHHHH")
_QUESTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_SRV = struct.Struct("!HHH")
_RESPONSE = 0x8000
_TRUNCATED = 0x0200
_RECURSION_DESIRED = 0x0100
_OPCODE = 0x7800
_ALIASES_MAX = 16


class DNSError(ValueError):
    """Not a message we can use, or a name that cannot be asked for."""


class SRV:
    """One service location; `target` is without its final dot, "" when there is no service."""

    __slots__ = ("port", "priority", "target", "weight")

    def __init__(self, priority: int, weight: int, port: int, target: str) -> None:
        self.priority = priority
        self.weight = weight
        self.port = port
        self.target = target

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SRV) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"SRV({self.priority}, {self.weight}, {self.port}, {self.target!r})"

    def _key(self) -> tuple[int, int, int, str]:
        return (self.priority, self.weight, self.port, self.target)


class Answer:
    """What a server said: its verdict, whether it left something out, and the records."""

    __slots__ = ("code", "records", "truncated")

    def __init__(self, code: int, records: list[SRV], *, truncated: bool) -> None:
        self.code = code
        self.records = records
        self.truncated = truncated


def encode_query(number: int, name: str) -> bytes:
    """A recursive question for the SRV records of a name; DNSError if it is no domain name."""
    head = _HEADER.pack(number, _RECURSION_DESIRED, 1, 0, 0, 0)
    return head + encode_name(name) + _QUESTION.pack(TYPE_SRV, CLASS_IN)


def encode_name(name: str) -> bytes:
    """A domain name as labels."""
    if not name.isascii() or name.translate(_FORBIDDEN) != name:
        raise DNSError("invalid domain name")
    labels = name.removesuffix(".").split(".")
    if not all(0 < len(label) <= _LABEL_MAX for label in labels):
        raise DNSError("invalid domain name")
    data = b"".join([bytes([len(label)]) + label.encode() for label in labels]) + b"\0"
    if len(data) > _NAME_MAX:
        raise DNSError("invalid domain name")
    return data


def parse_answer(data: bytes, number: int, name: str) -> Answer | None:
    """The answer to that question; None if it answers another; DNSError if it is damaged.

    SRV records count if they belong to the name or to what its aliases lead to.
    """
    if len(data) < _HEADER.size:
        raise DNSError("message too short")
    found, flags, questions, answers, _, _ = _HEADER.unpack_from(data)
    if found != number or not flags & _RESPONSE or flags & _OPCODE:
        return None
    code = flags & 15
    if not questions and code:
        return Answer(code, [], truncated=False)  # not even our question was understood
    if questions != 1:
        raise DNSError("not one question")
    asked, pos = _read_name(data, _HEADER.size)
    if pos + _QUESTION.size > len(data):
        raise DNSError("question cut short")
    if _QUESTION.unpack_from(data, pos) != (TYPE_SRV, CLASS_IN) or asked != _folded(name):
        return None
    if flags & _TRUNCATED:
        return Answer(code, [], truncated=True)
    records = _read_records(data, pos + _QUESTION.size, answers, asked=asked)
    return Answer(code, records, truncated=False)


def _read_records(data: bytes, pos: int, count: int, *, asked: str) -> list[SRV]:
    aliases: dict[str, str] = {}
    services: list[tuple[str, SRV]] = []
    for _ in range(count):
        owner, pos = _read_name(data, pos)
        if pos + _RECORD.size > len(data):
            raise DNSError("record cut short")
        kind, family, _, length = _RECORD.unpack_from(data, pos)
        pos += _RECORD.size
        end = pos + length
        if end > len(data):
            raise DNSError("record cut short")
        if family == CLASS_IN and kind == TYPE_CNAME:
            aliases[owner] = _read_whole_name(data, pos, end)
        elif family == CLASS_IN and kind == TYPE_SRV:
            if length < _SRV.size + 1:
                raise DNSError("SRV record cut short")
            target = _read_whole_name(data, pos + _SRV.size, end)
            priority, weight, port = _SRV.unpack_from(data, pos)
            services.append((owner, SRV(priority, weight, port, target)))
        pos = end
    names = {asked}
    for _ in range(_ALIASES_MAX):
        asked = aliases.get(asked, asked)
        names.add(asked)
    return [record for owner, record in services if owner in names]


def _read_whole_name(data: bytes, pos: int, end: int) -> str:
    name, after = _read_name(data, pos)
    if after != end:
        raise DNSError("name and record differ in length")
    return name


def _read_name(data: bytes, pos: int) -> tuple[str, int]:
    """A name in lower case without its final dot, and the position after it."""
    labels: list[str] = []
    size = 1
    after = -1
    floor = pos
    while True:
        if pos >= len(data):
            raise DNSError("name cut short")
        length = data[pos]
        if length >= 0xC0:
            if pos + 2 > len(data):
                raise DNSError("name cut short")
            if after < 0:
                after = pos + 2
            pos = (length & 0x3F) << 8 | data[pos + 1]
            if pos >= floor:
                raise DNSError("name points forward")
            floor = pos
            continue
        if length > _LABEL_MAX:
            raise DNSError("unknown label type")
        pos += 1
        if not length:
            return ".".join(labels), after if after >= 0 else pos
        if pos + length > len(data):
            raise DNSError("name cut short")
        size += length + 1
        if size > _NAME_MAX:
            raise DNSError("name too long")
        labels.append(_label(data[pos : pos + length]))
        pos += length


def _label(raw: bytes) -> str:
    text = raw.decode("latin-1").lower()
    if not raw.isascii() or "." in text or text.translate(_FORBIDDEN) != text:
        raise DNSError("label with odd bytes")
    return text


def _folded(name: str) -> str:
    return name.removesuffix(".").lower()


# Control bytes, blanks and what would change the meaning of a URL.
_FORBIDDEN = dict.fromkeys([*range(33), 127, *map(ord, '/\\@:?#[]"<>^`{|}%,=')])
