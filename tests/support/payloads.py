"""Images, keys and payloads for tests of the update path."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from coreos_py.update.payload import delta as deltas
from coreos_py.update.payload import manifest as head
from coreos_py.update.payload import writer
from coreos_py.update.payload.manifest import FileKind, Info
from coreos_py.update.rsa import PrivateKey

DATA = Path(__file__).resolve().parents[1] / "data" / "update"
KEY = str(DATA / "payload-key.pem")
PUBLIC_KEY = str(DATA / "payload-key.pub.pem")

# What tests/data/update/full-by-delta_generator.gz was made of, by update_engine 0.4.10's tool.
FULL_IMAGE = (bytes((i * i >> 7) & 0xFF for i in range(1 << 16)) * 4 + b"text " * 240_000)[:1458176]
FULL_KERNEL = bytes((i * 7) & 0xFF for i in range(5000))


class Memory:
    """A partition in memory."""

    def __init__(self, content: bytes = b"", *, size: int = 0) -> None:
        self.content = bytearray(content).ljust(size, b"\0")

    def read(self, offset: int, size: int) -> bytes:
        part = bytes(self.content[offset : offset + size])
        assert len(part) == size
        return part

    def write(self, offset: int, data: bytes) -> None:
        assert offset + len(data) <= len(self.content)
        self.content[offset : offset + len(data)] = data


def image(seed: int, *, blocks: int = 64) -> bytes:
    """Some blocks that compress and some that do not."""
    rng = random.Random(seed)
    parts = []
    for _ in range(blocks):
        kind = rng.randrange(3)
        if kind == 0:
            parts.append(rng.randbytes(4096))
        elif kind == 1:
            parts.append((b"%d " % rng.randrange(50) * 4096)[:4096])
        else:
            parts.append(bytes(4096))
    return b"".join(parts)


def full(content: bytes, *, kernel: bytes = b"", key: str = KEY, pcr_policy: bytes = b"") -> bytes:
    """A full payload that makes `content`, signed unless `key` is empty."""
    blobs: list[bytes] = []
    plan = writer.Plan(blobs.append)
    chunks = range(0, len(content), writer.CHUNK)
    plan.add(writer.full_piece(i, content[at : at + writer.CHUNK]) for i, at in enumerate(chunks))
    if kernel:
        plan.file(FileKind.KERNEL, kernel)
    if pcr_policy:
        plan.file(FileKind.PCR_POLICY, pcr_policy)
    return _signed(plan, blobs, content, key=key)


def delta(old: bytes, new: bytes, *, key: str = KEY) -> bytes:
    """A payload that makes `new` of `old`."""
    blobs: list[bytes] = []
    plan = writer.Plan(blobs.append)
    readers = [_blocks_of(content) for content in (old, new)]
    sizes = [-(-len(content) // 4096) for content in (old, new)]
    runs = deltas.plan(*readers, old_blocks=sizes[0], new_blocks=sizes[1])
    plan.add(deltas.order([deltas.make(run, *readers) for run in runs], readers[1]))
    return _signed(plan, blobs, new, key=key, old=old)


def _blocks_of(content: bytes) -> deltas.Read:
    def read(start: int, count: int) -> bytes:
        return content[start * 4096 : (start + count) * 4096].ljust(count * 4096, b"\0")

    return read


def _info(content: bytes) -> Info:
    return Info(len(content), hashlib.sha256(content).digest())


def _signed(
    plan: writer.Plan, blobs: list[bytes], new: bytes, *, key: str, old: bytes | None = None
) -> bytes:
    private = PrivateKey(key) if key else None
    manifest = plan.manifest(
        new=_info(new),
        old=None if old is None else _info(old),
        key_bytes=private.size if private else 0,
    )
    data = head.head(head.encode(manifest)) + b"".join(blobs)
    if private is not None:
        data += head.encode_signatures([private.sign(hashlib.sha256(data).digest())])
    return data
