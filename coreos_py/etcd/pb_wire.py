"""The protobuf wire format: varints, tags, and a scanner that any bytes may be fed to.

What malformed input raises is WireError, never anything else; the work done is linear in the input.
Messages are etcd/pb.py's business. Pure: no I/O.
"""

from __future__ import annotations

from coreos_py.base.errors import WireError

U64_MASK = (1 << 64) - 1
FIELD_MAX = (1 << 29) - 1

# Two bytes of a longer varint for each 14-bit group, and the last one or two bytes of any varint.
_LOW = [bytes((0x80 | low,)) for low in range(128)]
_MORE = [low + high for high in _LOW for low in _LOW]
_LAST = [bytes((low,)) for low in range(128)] + [
    low + bytes((high,)) for high in range(1, 128) for low in _LOW
]


def uvarint(value: int) -> bytes:
    """Unsigned 64-bit varint."""
    if value < 1 << 14:
        if value < 0:
            raise ValueError(f"{value} is negative")
        return _LAST[value]
    if value < 1 << 28:
        return _MORE[value & 16383] + _LAST[value >> 14]
    if value < 1 << 42:
        return _MORE[value & 16383] + _MORE[value >> 14 & 16383] + _LAST[value >> 28]
    head = _MORE[value & 16383] + _MORE[value >> 14 & 16383] + _MORE[value >> 28 & 16383]
    if value < 1 << 56:
        return head + _LAST[value >> 42]
    if value < 1 << 64:
        return head + _MORE[value >> 42 & 16383] + _LAST[value >> 56]
    raise ValueError(f"{value} does not fit 64 bits")


def read_uvarint(data: bytes, at: int) -> tuple[int, int]:
    """The varint at an offset and the offset behind it; IndexError when data ends inside it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & U64_MASK, at
        shift += 7
        if shift > 63:
            raise WireError("protobuf: integer overflow")


def scan(data: bytes) -> list[tuple[int, int, bytes]]:
    """The fields of one message as (tag, number, bytes); fixed widths and groups come out empty."""
    found: list[tuple[int, int, bytes]] = []
    at, size = 0, len(data)
    try:
        while at < size:
            tag = data[at]
            at += 1
            if tag > 0x7F:
                tag, at = read_uvarint(data, at - 1)
            if not 8 <= tag <= FIELD_MAX << 3 | 7:
                raise WireError(f"protobuf: illegal tag {tag >> 3}")
            wire = tag & 7
            if wire != 0 and wire != 2:
                at = _skip(data, at, wire)
                found.append((tag, 0, b""))
                continue
            value = data[at]
            at += 1
            if value > 0x7F:
                value, at = read_uvarint(data, at - 1)
            if wire == 0:
                found.append((tag, value, b""))
                continue
            end = at + value
            if end > size:
                raise WireError("protobuf: unexpected EOF")
            found.append((tag, 0, data[at:end]))
            at = end
    except IndexError:
        raise WireError("protobuf: unexpected EOF") from None
    if at > size:
        raise WireError("protobuf: unexpected EOF")
    return found


def _skip(data: bytes, at: int, wire: int) -> int:
    depth = 0
    while True:
        match wire:
            case 0:
                _, at = read_uvarint(data, at)
            case 1:
                at += 8
            case 2:
                length, at = read_uvarint(data, at)
                at += length
            case 3:
                depth += 1
            case 4:
                depth -= 1
            case 5:
                at += 4
            case _:
                raise WireError(f"protobuf: illegal wire type {wire}")
        if depth < 0:
            raise WireError("protobuf: end group without a group")
        if depth == 0:
            return at
        tag, at = read_uvarint(data, at)
        wire = tag & 7


def check_newer(tag: int, last: int, name: str) -> None:
    """Pass over a field newer than etcd 2.3's; refuse a known one of the wrong wire type."""
    if tag >> 3 <= last:
        raise WireError(f"protobuf: {name}: wrong wire type {tag & 7} for field {tag >> 3}")


def int32(value: int) -> int:
    """A varint as Go reads it into an int32."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def int64(value: int) -> int:
    """A varint as Go reads it into an int64."""
    return value - (1 << 64) if value >> 63 else value
