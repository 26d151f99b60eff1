"""CRC-32C (Castagnoli) with a running value, as etcd's WAL, snapshots and fleet's hashes chain it.

`crc32c(data, value)` continues from an earlier result, so crc32c(b, crc32c(a)) == crc32c(a + b).
The C module of the same name is used when it imports; otherwise eight tables, eight bytes a step.
The choice is made here and nowhere else. Pure: no I/O.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Buffer = bytes | bytearray | memoryview

POLYNOMIAL = 0x82F63B78

_WORDS = Struct("<Q")
_tables: list[tuple[int, ...]] = []


def _make_tables() -> list[tuple[int, ...]]:
    first = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
        first.append(crc)
    tables = [tuple(first)]
    for _ in range(7):
        tables.append(tuple(first[crc & 0xFF] ^ crc >> 8 for crc in tables[-1]))
    return tables


def crc32c_tables(data: Buffer, value: int = 0) -> int:
    """CRC-32C of data continued from value, without the C module."""
    if not _tables:
        _tables.extend(_make_tables())
    t0, t1, t2, t3, t4, t5, t6, t7 = _tables
    crc = value ^ 0xFFFFFFFF
    whole = len(data) & ~7
    for (word,) in _WORDS.iter_unpack(memoryview(data)[:whole]):
        word ^= crc
        crc = (
            t7[word & 0xFF]
            ^ t6[word >> 8 & 0xFF]
            ^ t5[word >> 16 & 0xFF]
            ^ t4[word >> 24 & 0xFF]
            ^ t3[word >> 32 & 0xFF]
            ^ t2[word >> 40 & 0xFF]
            ^ t1[word >> 48 & 0xFF]
            ^ t0[word >> 56]
        )
    for byte in data[whole:]:
        crc = t0[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _choose() -> Callable[[Buffer, int], int]:
    try:
        import crc32c as module
    except ImportError:
        return crc32c_tables
    found: Callable[[Buffer, int], int] = module.crc32c
    return found


crc32c: Callable[[Buffer, int], int] = _choose()
