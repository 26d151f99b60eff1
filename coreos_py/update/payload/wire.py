"""The fields of a payload's manifest in protobuf. Pure.

Readers raise ValueError for whatever is malformed.
"""

from __future__ import annotations

from collections.abc import Iterator

from coreos_py.base.errors import WireError
from coreos_py.base.protobuf import scan

VARINT = 0
BYTES = 2


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
    """Field number and value of each field, in order; other kinds are passed over."""
    try:
        found = scan(data)
    except WireError as err:
        raise ValueError(str(err)) from None
    for tag, value, content in found:
        if tag & 7 == VARINT:
            yield tag >> 3, value
        elif tag & 7 == BYTES:
            yield tag >> 3, content
