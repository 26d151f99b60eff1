"""Carry out a payload's operations on a partition or file that can be read and written. Pure.

Operations work in place, in the order of the file: MOVE and BSDIFF read what earlier ones left.
Mirrors update_engine 0.4.10's delta_performer.cc. Data that comes here was verified before.
"""

from __future__ import annotations

import bz2
from typing import Protocol

from coreos_py.omaha.codes import ErrorCode
from coreos_py.update.payload import bsdiff
from coreos_py.update.payload.errors import PayloadError
from coreos_py.update.payload.manifest import HOLE, Extent, Kind, Operation

BYTES_MAX = 1 << 30  # what one operation may hold in memory


class Blocks(Protocol):
    """Where operations read and write."""

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes; OSError."""

    def write(self, offset: int, data: bytes) -> None:
        """All of `data`; OSError."""


def apply(operation: Operation, data: bytes, target: Blocks, *, block_size: int) -> None:
    """Carry out one operation; PayloadError 28, or the OSError of the target."""
    room = _size(operation.target, block_size)
    if max(room, _size(operation.source, block_size)) > BYTES_MAX:
        raise _bad("an operation of more than 1 GiB")
    if operation.kind is Kind.REPLACE:
        _write(operation, data, target, block_size=block_size, room=room)
    elif operation.kind is Kind.REPLACE_BZ:
        _write(operation, _expand(data, room), target, block_size=block_size, room=room)
    elif operation.kind is Kind.MOVE:
        if data or _size(operation.source, block_size) != room:
            raise _bad("a move between places of different size")
        content = _read(operation.source, target, block_size)
        _write(operation, content, target, block_size=block_size, room=room)
    else:
        old = _read(operation.source, target, block_size)[: operation.source_length]
        if len(old) != operation.source_length or operation.target_length > room:
            raise _bad("a difference between places that are too small")
        try:
            content = bsdiff.patch(old, data, size_max=operation.target_length)
        except bsdiff.BadPatch as err:
            raise _bad(f"a difference that cannot be applied: {err}") from None
        if len(content) != operation.target_length:
            raise _bad("a difference that makes less than announced")
        _write(operation, content, target, block_size=block_size, room=room)


def extent_end(operation: Operation, block_size: int) -> int:
    """The first byte behind everything that the operation touches."""
    places = (*operation.source, *operation.target)
    return max(((e.start + e.blocks) * block_size for e in places if e.start != HOLE), default=0)


def _size(extents: tuple[Extent, ...], block_size: int) -> int:
    return sum(extent.blocks for extent in extents) * block_size


def _read(extents: tuple[Extent, ...], target: Blocks, block_size: int) -> bytes:
    parts = []
    for extent in extents:
        size = extent.blocks * block_size
        hole = extent.start == HOLE
        parts.append(bytes(size) if hole else target.read(extent.start * block_size, size))
    return b"".join(parts)


def _write(
    operation: Operation, content: bytes, target: Blocks, *, block_size: int, room: int
) -> None:
    """Fill the extents one after the other; the last block that is begun ends in zeros."""
    if len(content) > room:
        raise _bad("more data than room")
    content += bytes(-len(content) % block_size)
    at = 0
    for extent in operation.target:
        part = content[at : at + extent.blocks * block_size]
        at += len(part)
        if part and extent.start != HOLE:
            target.write(extent.start * block_size, part)


def _expand(data: bytes, room: int) -> bytes:
    decompressor = bz2.BZ2Decompressor()
    try:
        content = decompressor.decompress(data, room + 1)
    except (OSError, ValueError):
        raise _bad("compressed data that is damaged") from None
    if len(content) > room:
        raise _bad("more data than room")
    if not decompressor.eof or decompressor.unused_data:
        raise _bad("compressed data that does not end where it should")
    return content


def _bad(text: str) -> PayloadError:
    return PayloadError(ErrorCode.DOWNLOAD_OPERATION_EXECUTION, text)
