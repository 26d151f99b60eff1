"""The operations that turn one image into another in place, block by block. Pure.

What stays where it is needs none. Blocks that were elsewhere are moved; what changed becomes a
bsdiff against what was at the same distance, or is replaced, whichever is shortest. An operation
that reads a block comes before the one that overwrites it; where they wait for each other in a
circle, one is replaced by its whole content. No file system is looked at.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterator
from typing import NamedTuple

from coreos_py.update.payload import bsdiff
from coreos_py.update.payload.manifest import BLOCK_SIZE, Extent, Kind, Operation
from coreos_py.update.payload.writer import CHUNK_BLOCKS, Piece, replace

Read = Callable[[int, int], bytes]
"""(first block, number of blocks) to their bytes; beyond the end there are zeros."""


class Run(NamedTuple):
    """Blocks of the new image with what they are made of; `source` is -1 for nothing."""

    target: int
    source: int
    blocks: int
    is_move: bool


def plan(old: Read, new: Read, *, old_blocks: int, new_blocks: int) -> list[Run]:
    """What has to be done, in the order of the new image."""
    places: dict[bytes, int] = {}
    old_digests: list[bytes] = []
    for at, (digest, is_constant) in enumerate(_digests(old, old_blocks)):
        old_digests.append(digest)
        if not is_constant:
            places.setdefault(digest, at)
    runs: list[Run] = []
    distance = 0  # from where the last moved block is to where it was
    follows = False
    for at, (digest, _) in enumerate(_digests(new, new_blocks)):
        if at < old_blocks and old_digests[at] == digest:
            follows = False
            continue
        near = at + distance
        if 0 <= near < old_blocks and old_digests[near] == digest:
            source = near
        else:
            source = places.get(digest, -1)
        if source >= 0:
            distance = source - at
            follows = True
            _extend(runs, Run(at, source, 1, is_move=True))
        else:
            guess = near if follows else at
            _extend(runs, Run(at, guess if 0 <= guess < old_blocks else -1, 1, is_move=False))
    return runs


def _digests(read: Read, blocks: int) -> Iterator[tuple[bytes, bool]]:
    """Each block's digest, and whether all its bytes are the same: those are not worth moving."""
    for start in range(0, blocks, CHUNK_BLOCKS):
        count = min(CHUNK_BLOCKS, blocks - start)
        chunk = read(start, count)
        for at in range(0, count * BLOCK_SIZE, BLOCK_SIZE):
            block = chunk[at : at + BLOCK_SIZE]
            yield hashlib.sha256(block).digest(), block == block[:1] * BLOCK_SIZE


def _extend(runs: list[Run], run: Run) -> None:
    if runs:
        last = runs[-1]
        goes_on = last.target + last.blocks == run.target and last.is_move == run.is_move
        follows = last.source + last.blocks == run.source if run.source >= 0 else last.source < 0
        if goes_on and follows and last.blocks < CHUNK_BLOCKS:
            runs[-1] = last._replace(blocks=last.blocks + 1)
            return
    runs.append(run)


def make(run: Run, old: Read, new: Read) -> Piece:
    """The shortest operation for a run; may be called from many threads."""
    target = (Extent(run.target, run.blocks),)
    source = (Extent(run.source, run.blocks),)
    if run.is_move:
        return Piece(Operation(Kind.MOVE, source=source, target=target), b"")
    data = new(run.target, run.blocks)
    whole = replace(data, target)
    if run.source < 0:
        return whole
    before = old(run.source, run.blocks)
    delta = bsdiff.diff(before, data)
    if len(delta) >= len(whole.data):
        return whole
    operation = Operation(
        Kind.BSDIFF,
        source=source,
        source_length=len(before),
        target=target,
        target_length=len(data),
    )
    return Piece(operation, delta)


def order(pieces: list[Piece], new: Read) -> list[Piece]:
    """An order in which nothing is overwritten before it is read; circles are cut."""
    writer: dict[int, int] = {}
    for index, piece in enumerate(pieces):
        for block in _blocks(piece.operation.target):
            writer[block] = index
    # waits[i]: how many have to read before i may write; after[i]: who waits for i.
    waits = [0] * len(pieces)
    after: list[list[int]] = [[] for _ in pieces]
    for index, piece in enumerate(pieces):
        overwriters = {writer.get(block, index) for block in _blocks(piece.operation.source)}
        for other in sorted(overwriters - {index}):
            after[index].append(other)
            waits[other] += 1
    ready = [index for index, count in enumerate(waits) if not count]
    heapq.heapify(ready)
    done: set[int] = set()
    loose = set(ready)
    result: list[Piece] = []
    candidates = iter(range(len(pieces)))

    def release(index: int) -> None:
        for other in after[index]:
            waits[other] -= 1
            if not waits[other] and other not in done and other not in loose:
                loose.add(other)
                heapq.heappush(ready, other)
        after[index] = []

    while len(done) < len(pieces):
        if not ready:
            # Everybody waits. One stops reading; then those who wait for it may go on.
            index = next(i for i in candidates if i not in done and after[i])
            target = pieces[index].operation.target
            extent = target[0]
            pieces[index] = replace(new(extent.start, extent.blocks), target)
            release(index)
            continue
        index = heapq.heappop(ready)
        result.append(pieces[index])
        done.add(index)
        release(index)
    return result


def _blocks(extents: tuple[Extent, ...]) -> Iterator[int]:
    for extent in extents:
        yield from range(extent.start, extent.start + extent.blocks)
