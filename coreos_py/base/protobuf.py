"""The protobuf wire format as it is read: a scanner that any bytes may be fed to.

What malformed input raises is WireError, never anything else; the work done is linear in the input.
Pure: messages are the business of who has them.
"""

from __future__ import annotations

from coreos_py.base.errors import WireError

U64_MASK = (1 << 64) - 1
FIELD_MAX = (1 << 29) - 1


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


def int32(value: int) -> int:
    """A varint as Go reads it into an int32."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def int64(value: int) -> int:
    """A varint as Go reads it into an int64."""
    return value - (1 << 64) if value >> 63 else value
