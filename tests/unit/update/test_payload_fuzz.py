"""Damaged payloads that announce their own digest: refused with a code, or applied, never more."""

from __future__ import annotations

import bz2
import hashlib
import random

from coreos_py.update.payload import apply
from coreos_py.update.payload.errors import PayloadError
from coreos_py.update.payload.reader import Verifier
from tests.support import payloads
from tests.support.payloads import DATA

ROUNDS = 1500
REAL = (
    (DATA / "full-by-delta_generator.gz").read_bytes(),
    (DATA / "delta-by-delta_generator.gz").read_bytes(),
    payloads.full(payloads.image(1, blocks=8), kernel=b"k"),
)
OLD = bz2.decompress((DATA / "delta-old.img.bz2").read_bytes())


class Partition(payloads.Memory):
    """Refuses what is outside, as a device does."""

    def read(self, offset, size):
        if offset + size > len(self.content):
            raise OSError(5, "behind the end")
        return super().read(offset, size)

    def write(self, offset, data):
        if offset + len(data) > len(self.content):
            raise OSError(28, "behind the end")
        super().write(offset, data)


def _damaged(rng, data):
    """A few bytes of the head changed, moved or missing."""
    head = bytearray(data[: 20 + int.from_bytes(data[12:20], "big")])
    rest = data[len(head) :]
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(head))
        kind = rng.randrange(4)
        if kind == 0:
            head[at] = rng.randrange(256)
        elif kind == 1:
            head[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del head[at : at + rng.randrange(1, 4)]
        else:
            head[at:at] = rng.randbytes(rng.randrange(1, 4))
    if rng.random() < 0.8:  # so that the reader gets further
        head[12:20] = (len(head) - 20).to_bytes(8, "big")
    return bytes(head) + rest


def _try(data):
    verifier = Verifier(size=len(data), sha256=hashlib.sha256(data).digest())
    verifier.feed(data)
    verified = verifier.finish()
    target = Partition(OLD, size=1 << 20)
    for operation in verified.manifest.operations:
        at = verified.metadata_size + operation.data_offset
        part = data[at : at + operation.data_length]
        if apply._size(operation.target, verified.manifest.block_size) > 64 << 20:
            continue  # allowed, but too much for a test
        apply.apply(operation, part, target, block_size=verified.manifest.block_size)


def test_damaged_heads(seed):
    refused = applied = 0
    for number in range(ROUNDS):
        rng = random.Random(f"{seed}-{number}")
        data = _damaged(rng, REAL[number % len(REAL)])
        try:
            _try(data)
        except (PayloadError, OSError):
            refused += 1
        else:
            applied += 1
    assert refused > ROUNDS // 2
    assert applied < ROUNDS // 2
