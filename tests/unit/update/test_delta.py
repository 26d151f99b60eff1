"""Deltas: whatever two images hold, the operations turn one into the other in place."""

from __future__ import annotations

import random

import pytest

from coreos_py.update.payload import apply, delta
from coreos_py.update.payload.manifest import BLOCK_SIZE, Kind
from tests.support import payloads
from tests.support.payloads import Memory


def _reader(content):
    def read(start, count):
        part = content[start * BLOCK_SIZE : (start + count) * BLOCK_SIZE]
        return part.ljust(count * BLOCK_SIZE, b"\0")

    return read


def _pieces(old, new):
    sizes = [-(-len(item) // BLOCK_SIZE) for item in (old, new)]
    runs = delta.plan(_reader(old), _reader(new), old_blocks=sizes[0], new_blocks=sizes[1])
    made = [delta.make(run, _reader(old), _reader(new)) for run in runs]
    return delta.order(made, _reader(new))


def _turned(old, pieces, size):
    target = Memory(old, size=max(len(old), size))
    for piece in pieces:
        apply.apply(piece.operation, piece.data, target, block_size=BLOCK_SIZE)
    return bytes(target.content[:size])


def _blocks(*numbers):
    return b"".join((b"%d " % number * BLOCK_SIZE)[:BLOCK_SIZE] for number in numbers)


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        ((1, 2, 3), (1, 2, 3), []),
        ((1, 2, 3), (3, 2, 1), ["MOVE", "REPLACE_BZ"]),
        ((1, 2, 3, 4), (2, 3, 4, 1), ["MOVE", "REPLACE_BZ"]),
        ((1, 2), (1, 2, 2), ["MOVE"]),
        ((1, 2, 3), (1,), []),
        ((1,), (9,), ["REPLACE_BZ"]),
        ((), (9,), ["REPLACE_BZ"]),
    ],
)
def test_small_ones(old, new, kinds):
    pieces = _pieces(_blocks(*old), _blocks(*new))
    assert sorted(piece.operation.kind.name for piece in pieces) == kinds
    assert _turned(_blocks(*old), pieces, len(new) * BLOCK_SIZE) == _blocks(*new)


def _mixed(rng, old):
    """Blocks swapped, shifted, copied and changed."""
    blocks = [old[at : at + BLOCK_SIZE] for at in range(0, len(old), BLOCK_SIZE)]
    for _ in range(rng.randrange(8)):
        kind = rng.randrange(5)
        a, b = rng.randrange(len(blocks)), rng.randrange(len(blocks))
        if kind == 0:
            blocks[a], blocks[b] = blocks[b], blocks[a]
        elif kind == 1:
            blocks.insert(a, rng.randbytes(BLOCK_SIZE))
        elif kind == 2:
            blocks[a] = blocks[b]
        elif kind == 3:
            changed = bytearray(blocks[a])
            changed[rng.randrange(BLOCK_SIZE)] ^= 7
            blocks[a] = bytes(changed)
        else:
            size = rng.randrange(1, 9)
            part = blocks[a : a + size]
            del blocks[a : a + size]
            at = rng.randrange(len(blocks) + 1)
            blocks[at:at] = part
    return b"".join(blocks)


def test_many(seed):
    for number in range(60):
        rng = random.Random(f"{seed}-{number}")
        old = payloads.image(rng.randrange(1 << 30), blocks=rng.randrange(1, 40))
        new = _mixed(rng, old)
        pieces = _pieces(old, new)
        assert _turned(old, pieces, len(new)) == new
        assert pieces == _pieces(old, new)


def test_a_changed_file_is_a_difference():
    old = payloads.image(7, blocks=32)
    new = bytearray(old)
    for at in range(0, len(new), 1000):
        new[at] ^= 0xFF
    pieces = _pieces(old, bytes(new))
    assert {piece.operation.kind for piece in pieces} == {Kind.BSDIFF}
    assert sum(len(piece.data) for piece in pieces) < len(new) // 20
    assert _turned(old, pieces, len(new)) == new


def test_an_inserted_block_costs_one_block():
    old = payloads.image(9, blocks=300).replace(bytes(4096), b"\1" * 4096)
    new = old[: 4096 * 10] + random.Random(1).randbytes(4096) + old[4096 * 10 :]
    pieces = _pieces(old, new)
    assert _turned(old, pieces, len(new)) == new
    assert sum(len(piece.data) for piece in pieces) < 3 * 4096
