"""The protobuf wire format, as far as a payload's manifest needs it. Pure.

Readers raise ValueError for whatever is malformed, and their work is linear in the input.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT = 0
BYTES = 2
_FIXED = {1: 8, 5: 4}
_U64 = (1 << 64) - 1


def varint(value: int) -> bytes:
    """An unsigned number of at most 64 bits."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """A field that holds a number."""
    return varint(field << 3 | VARINT) + varint(value)


def octets(field: int, value: bytes) -> bytes:
    """A field that holds bytes or a message."""
    return varint(field << 3 | BYTES) + varint(len(value)) + value


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field number and value of each field, in order; fixed-width ones are passed over."""
    at, size = 0, len(data)
    while at < size:
        tag, at = _varint(data, at)
        field, kind = tag >> 3, tag & 7
        if field == 0:
            raise ValueError("field number 0")
        if kind == VARINT:
            value, at = _varint(data, at)
            yield field, value
        elif kind == BYTES:
            length, at = _varint(data, at)
            if length > size - at:
                raise ValueError("a field is longer than its message")
            yield field, data[at : at + length]
            at += length
        elif kind in _FIXED:
            at += _FIXED[kind]
            if at > size:
                raise ValueError("a field is longer than its message")
        else:
            raise ValueError(f"wire type {kind}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise ValueError("a number is cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _U64, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
