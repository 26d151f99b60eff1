"""Make a payload: full, or the difference to an older image. Pure, and the same bytes every time.

    plan = Plan(sink)                       # sink takes the data of the operations, in order
    plan.full(image, size=..., compress=...)
    plan.kernel(data, compress=...)
    manifest = plan.manifest(new_info=..., key_bytes=256)

A full payload has the layout of update_engine 0.4.10's delta_generator, byte for byte: chunks of
1 MiB, each compressed where that is shorter, extents of whole chunks also at the end, and the dummy
operations that old clients need to skip the kernel and the signature.
"""

from __future__ import annotations

import bz2
import hashlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

from coreos_py.base.errors import UsageError
from coreos_py.update.payload import manifest as head
from coreos_py.update.payload.manifest import (
    BLOCK_SIZE,
    HOLE,
    Extent,
    FileKind,
    Info,
    Kind,
    Manifest,
    Operation,
    Procedure,
)

CHUNK_BLOCKS = 256
CHUNK = CHUNK_BLOCKS * BLOCK_SIZE

Sink = Callable[[bytes], object]


class Piece(NamedTuple):
    """An operation whose data has no place in the file yet."""

    operation: Operation
    data: bytes


def replace(data: bytes, target: tuple[Extent, ...]) -> Piece:
    """Write `data`, compressed where that is shorter."""
    packed = bz2.compress(data, 9)
    if len(packed) < len(data):
        return Piece(Operation(Kind.REPLACE_BZ, target=target), packed)
    return Piece(Operation(Kind.REPLACE, target=target), data)


def full_piece(index: int, data: bytes) -> Piece:
    """The chunk at `index` of a new image; may be called from many threads."""
    return replace(data, (Extent(index * CHUNK_BLOCKS, CHUNK_BLOCKS),))


class Plan:
    """Collects operations, and gives their data to `sink`."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._at = 0
        self._operations: list[Operation] = []
        self._procedures: list[Procedure] = []
        self._noops: list[Operation] = []

    def add(self, pieces: Iterable[Piece]) -> None:
        """Operations on the partition."""
        self._operations += [self._place(piece) for piece in pieces]

    def file(self, kind: FileKind, data: bytes) -> None:
        """A file beside the partition, the kernel mostly."""
        starts = range(0, len(data), CHUNK) if data else range(0)
        pieces = [
            full_piece(index, data[start : start + CHUNK]) for index, start in enumerate(starts)
        ]
        placed = tuple(self._place(piece) for piece in pieces)
        info = Info(len(data), hashlib.sha256(data).digest())
        self._procedures.append(Procedure(kind, placed, None, info))
        self._noops += [_dummy(item) for item in placed]

    def manifest(self, *, new: Info, old: Info | None = None, key_bytes: int = 0) -> Manifest:
        """Everything together; with a key's size there is room for one signature."""
        size = head.signatures_size(key_bytes) if key_bytes else 0
        noops = tuple(self._noops)
        if size:
            hole = (Extent(HOLE, -(-size // BLOCK_SIZE)),)
            signature = Operation(Kind.REPLACE, data_offset=self._at, data_length=size, target=hole)
            noops = (*noops, signature)
        return Manifest(
            operations=tuple(self._operations),
            noop_operations=noops,
            block_size=BLOCK_SIZE,
            signatures_offset=self._at if size else None,
            signatures_size=size or None,
            old_info=old,
            new_info=new,
            procedures=tuple(self._procedures),
        )

    def _place(self, piece: Piece) -> Operation:
        if not piece.data:
            return piece.operation
        self._sink(piece.data)
        placed = piece.operation._replace(
            data_offset=self._at,
            data_length=len(piece.data),
            data_sha256=hashlib.sha256(piece.data).digest(),
        )
        self._at += len(piece.data)
        if self._at >= 1 << 32:
            raise UsageError("a payload cannot hold more than 4 GiB of data")
        return placed


def _dummy(operation: Operation) -> Operation:
    blocks = -(-operation.data_length // BLOCK_SIZE)
    return operation._replace(kind=Kind.REPLACE, target=(Extent(HOLE, blocks),))


def resigned(manifest: Manifest, *, key_bytes: int) -> Manifest:
    """The same manifest with room for one signature of another key, or for none."""
    data_end = head.data_end(manifest)
    noops = [item for item in manifest.noop_operations if item.data_sha256]
    plain = manifest._replace(
        noop_operations=tuple(noops), signatures_offset=None, signatures_size=None
    )
    if not key_bytes:
        return plain
    size = head.signatures_size(key_bytes)
    hole = (Extent(HOLE, -(-size // manifest.block_size)),)
    signature = Operation(Kind.REPLACE, data_offset=data_end, data_length=size, target=hole)
    return plain._replace(
        noop_operations=(*noops, signature), signatures_offset=data_end, signatures_size=size
    )
