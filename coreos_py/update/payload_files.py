"""Payloads as files: build them from images, take them apart, check and sign them. An edge.

The pure parts are under payload/. Whatever is written appears under its name only when it is whole.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, NamedTuple, Self

from coreos_py.base.atomic import is_special, replacing, write_all
from coreos_py.base.errors import ConfigError, CoreosError, UsageError
from coreos_py.omaha.codes import ErrorCode
from coreos_py.update.payload import delta, writer
from coreos_py.update.payload import manifest as head
from coreos_py.update.payload.apply import apply, extent_end
from coreos_py.update.payload.errors import PayloadError
from coreos_py.update.payload.manifest import BLOCK_SIZE, FileKind, Info, Manifest
from coreos_py.update.payload.reader import SignatureCheck, Verified, Verifier
from coreos_py.update.payload.writer import CHUNK, Plan
from coreos_py.update.rsa import PrivateKey

_COPY = 1 << 20

Progress = Callable[[str], None]


class Summary(NamedTuple):
    """What an update server has to know about a payload."""

    size: int
    sha1: bytes
    sha256: bytes


class Image:
    """A file or partition that is read and written in blocks."""

    def __init__(self, path: str, *, writable: bool = False) -> None:
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC
        try:
            self._fd = os.open(path, flags)
            self.size = os.lseek(self._fd, 0, os.SEEK_END)
        except OSError as err:
            raise ConfigError(f"{path}: {err.strerror}") from None
        self.path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes; OSError behind the end."""
        parts = []
        while size:
            part = os.pread(self._fd, min(size, _COPY), offset)
            if not part:
                raise OSError(5, "read behind the end", self.path)
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return b"".join(parts)

    def write(self, offset: int, data: bytes) -> None:
        """All of `data`."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self._fd, view, offset)
            view = view[done:]
            offset += done

    def blocks(self, start: int, count: int) -> bytes:
        """Blocks of the image; behind its end there are zeros."""
        offset, size = start * BLOCK_SIZE, count * BLOCK_SIZE
        there = max(0, min(size, self.size - offset))
        return self.read(offset, there) + bytes(size - there)

    def info(self) -> Info:
        """Size and digest."""
        digest = hashlib.sha256()
        for offset in range(0, self.size, _COPY):
            digest.update(self.read(offset, min(_COPY, self.size - offset)))
        return Info(self.size, digest.digest())

    def sync(self) -> None:
        """Everything written is on the disk."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def build(
    output: str,
    *,
    image: str,
    old_image: str = "",
    kernel: str = "",
    pcr_policy: str = "",
    key: PrivateKey | None = None,
    jobs: int = 1,
    progress: Progress = lambda text: None,
) -> Summary:
    """Write a payload that makes `image`; from `old_image`, if there is one."""
    with Image(image) as new, _scratch(output) as blobs:
        if not new.size:
            raise UsageError(f"{image}: an empty image")
        plan = Plan(blobs.write)
        old_info = None
        with ThreadPoolExecutor(jobs) as pool:
            if old_image:
                with Image(old_image) as old:
                    old_info = old.info()
                    _add_delta(plan, old, new, pool, progress)
            else:
                _add_full(plan, new, pool, progress)
        for kind, path in ((FileKind.KERNEL, kernel), (FileKind.PCR_POLICY, pcr_policy)):
            if path:
                plan.file(kind, _file(path))
        manifest = plan.manifest(new=new.info(), old=old_info, key_bytes=key.size if key else 0)
        return _assemble(output, manifest, blobs, key)


def _add_full(plan: Plan, new: Image, pool: ThreadPoolExecutor, progress: Progress) -> None:
    count = -(-new.size // CHUNK)

    def piece(index: int) -> writer.Piece:
        offset = index * CHUNK
        return writer.full_piece(index, new.read(offset, min(CHUNK, new.size - offset)))

    for index, made in enumerate(pool.map(piece, range(count))):
        plan.add([made])
        progress(f"chunk {index + 1} of {count}")


def _add_delta(
    plan: Plan, old: Image, new: Image, pool: ThreadPoolExecutor, progress: Progress
) -> None:
    progress("comparing")
    sizes = [-(-image.size // BLOCK_SIZE) for image in (old, new)]
    runs = delta.plan(old.blocks, new.blocks, old_blocks=sizes[0], new_blocks=sizes[1])
    pieces = []
    for made in pool.map(lambda run: delta.make(run, old.blocks, new.blocks), runs):
        pieces.append(made)
        progress(f"difference {len(pieces)} of {len(runs)}")
    plan.add(delta.order(pieces, new.blocks))


def _file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as err:
        raise ConfigError(f"{path}: {err.strerror}") from None


def _assemble(output: str, manifest: Manifest, blobs: IO[bytes], key: PrivateKey | None) -> Summary:
    """Head, data and signature, under the output's name when all of it is there."""
    sha1, sha256 = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
    size = 0
    with _output(output) as fd:

        def put(data: bytes) -> None:
            nonlocal size
            write_all(fd, data)
            sha1.update(data)
            sha256.update(data)
            size += len(data)

        put(head.head(head.encode(manifest)))
        blobs.seek(0)
        left = head.data_end(manifest)
        while left:
            data = blobs.read(min(_COPY, left))
            if not data:
                raise CoreosError(f"{output}: the data ended early")
            put(data)
            left -= len(data)
        if key is not None:
            put(head.encode_signatures([key.sign(sha256.digest())]))
    return Summary(size, sha1.digest(), sha256.digest())


@contextmanager
def _output(path: str) -> Iterator[int]:
    """A descriptor of what will be the file at `path` if nothing goes wrong, or of a device."""
    if not is_special(path):
        with replacing(path, mode=0o644) as fd:
            yield fd
        return
    with open(path, "wb", buffering=0) as device:
        yield device.fileno()


def _scratch(output: str) -> IO[bytes]:
    """A file without a name, where there has to be room anyway."""
    try:
        folder = None if is_special(output) else os.path.dirname(output) or "."
        return tempfile.TemporaryFile(dir=folder)
    except OSError as err:
        raise ConfigError(f"{output}: {err.strerror}") from None


def summary(path: str) -> Summary:
    """A payload's size and digests."""
    sha1, sha256 = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
    size = 0
    for data in _pieces(path):
        sha1.update(data)
        sha256.update(data)
        size += len(data)
    return Summary(size, sha1.digest(), sha256.digest())


def _pieces(path: str) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            while data := file.read(_COPY):
                yield data
    except OSError as err:
        raise ConfigError(f"{path}: {err.strerror}") from None


def read_manifest(path: str) -> tuple[Manifest, int]:
    """The manifest as it is, not checked, and where the data begins."""
    try:
        with open(path, "rb") as file:
            start = file.read(head.HEAD_SIZE)
            if len(start) < head.HEAD_SIZE:
                head.manifest_length(start.ljust(head.HEAD_SIZE, b"\0"))
            length = head.manifest_length(start)
            data = file.read(length)
    except OSError as err:
        raise ConfigError(f"{path}: {err.strerror}") from None
    if len(data) < length:
        text = "the manifest is longer than the payload"
        raise PayloadError(ErrorCode.DOWNLOAD_INVALID_METADATA_SIZE, text)
    return head.decode(data), head.HEAD_SIZE + length


def verify(
    path: str, *, sha256: bytes | None = None, check_signature: SignatureCheck | None = None
) -> Verified:
    """Check every byte as update_engine does; PayloadError."""
    found = summary(path)
    verifier = Verifier(
        size=found.size, sha256=sha256 or found.sha256, check_signature=check_signature
    )
    for data in _pieces(path):
        verifier.feed(data)
    return verifier.finish()


def rehearse(path: str, verified: Verified, *, old_image: str = "") -> None:
    """Apply a payload to a scratch copy; PayloadError 15 or 20 unless the result is announced."""
    manifest = verified.manifest
    assert manifest.new_info is not None
    with tempfile.NamedTemporaryFile(prefix="coreos-payload.") as scratch, Image(path) as source:
        if old_image:
            for data in _pieces(old_image):
                scratch.write(data)
            scratch.flush()
        if manifest.old_info is not None:
            check_old(scratch.name, manifest.old_info)
        ends = [head_end(manifest), manifest.new_info.size, os.path.getsize(scratch.name)]
        os.truncate(scratch.name, max(ends))
        with Image(scratch.name, writable=True) as target:
            for operation in manifest.operations:
                offset = verified.metadata_size + operation.data_offset
                data = source.read(offset, operation.data_length)
                apply(operation, data, target, block_size=manifest.block_size)
            check_new(target, manifest.new_info)


def head_end(manifest: Manifest) -> int:
    """How large the partition has to be while operations run."""
    return max((extent_end(op, manifest.block_size) for op in manifest.operations), default=0)


def check_old(path: str, info: Info) -> None:
    """PayloadError 20 unless the partition begins with what a delta was made for."""
    with Image(path) as image:
        if image.size < info.size or _digest(image, info.size) != info.sha256:
            text = "the old image is not the one this payload was made for"
            raise PayloadError(ErrorCode.DOWNLOAD_STATE_INITIALIZATION, text)


def check_new(image: Image, info: Info) -> None:
    """PayloadError 15 unless the partition begins with what the manifest announces."""
    if image.size < info.size or _digest(image, info.size) != info.sha256:
        text = f"{image.path}: what was written is not what the payload announces"
        raise PayloadError(ErrorCode.NEW_ROOTFS_VERIFICATION, text)


def _digest(image: Image, size: int) -> bytes:
    digest = hashlib.sha256()
    for offset in range(0, size, _COPY):
        digest.update(image.read(offset, min(_COPY, size - offset)))
    return digest.digest()


def sign(path: str, output: str, *, key: PrivateKey) -> Summary:
    """Write the payload anew with this key's signature instead of the one it had."""
    manifest, metadata_size = read_manifest(path)
    head.check(manifest)
    with open(path, "rb") as source, _scratch(output) as t:
        source.seek(metadata_size)
        left = head.data_end(manifest)
        while left and (data := source.read(min(_COPY, left))):
            t.write(data)
            left -= len(data)
        if left:
            text = "the payload ends before its data does"
            raise PayloadError(ErrorCode.PAYLOAD_SIZE_MISMATCH, text)
        return _assemble(output, writer.resigned(manifest, key_bytes=key.size), t, key)
