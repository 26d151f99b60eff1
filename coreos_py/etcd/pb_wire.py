"""What etcd needs of protobuf besides base/protobuf.py: numbers written fast, from tables. Pure."""

from __future__ import annotations

from coreos_py.base.errors import WireError

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


def check_newer(tag: int, last: int, name: str) -> None:
    """Pass over a field newer than etcd 2.3's; refuse a known one of the wrong wire type."""
    if tag >> 3 <= last:
        raise WireError(f"protobuf: {name}: wrong wire type {tag & 7} for field {tag >> 3}")
