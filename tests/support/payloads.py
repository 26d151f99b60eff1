"""Images, keys and payloads for tests of the update path."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

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
    private = PrivateKey(key) if key else None
    new = Info(len(content), hashlib.sha256(content).digest())
    manifest = plan.manifest(new=new, key_bytes=private.size if private else 0)
    data = head.head(head.encode(manifest)) + b"".join(blobs)
    if private is not None:
        data += head.encode_signatures([private.sign(hashlib.sha256(data).digest())])
    return data
