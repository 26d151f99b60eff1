"""Write a verified payload to the other slot, and read it back. An edge; runs in a thread.

Restartable at any point: nothing boots the slot while this is under way, and it always begins
anew. Mirrors filesystem_copier_action.cc, download_action.cc and kernel_verifier_action.cc.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading

from coreos_py.base.atomic import fsync_file, write_atomically
from coreos_py.base.errors import CoreosError
from coreos_py.omaha.codes import ErrorCode
from coreos_py.update.disk import Area
from coreos_py.update.payload.apply import apply, extent_end
from coreos_py.update.payload.errors import PayloadError
from coreos_py.update.payload.manifest import FileKind, Info, Procedure
from coreos_py.update.payload.reader import Verified
from coreos_py.update.slots import Slots
from coreos_py.update.spool import Interrupted, Spool

log = logging.getLogger(__name__)

_PIECE = 1 << 20
FILE_MAX = 512 << 20
_FILE_CODES = {
    FileKind.KERNEL: ErrorCode.NEW_KERNEL_VERIFICATION,
    FileKind.PCR_POLICY: ErrorCode.NEW_PCR_POLICY_VERIFICATION,
}


class Paths:
    """Where the files of both slots are, by FileKind; an empty pattern for none."""

    def __init__(self, patterns: dict[FileKind, str]) -> None:
        self._patterns = patterns

    def of(self, kind: FileKind, letter: str) -> str:
        """The file of a slot; "" where this machine has none."""
        return self._patterns.get(kind, "").replace("@", letter)


def write(
    verified: Verified, spool: Spool, slots: Slots, paths: Paths, stop: threading.Event
) -> list[str]:
    """Carry the payload out; the arguments for its postinst. PayloadError with the code."""
    manifest = verified.manifest
    assert manifest.new_info is not None
    _write_partition(verified, spool, slots, stop)
    words = []
    for kind, name in ((FileKind.KERNEL, "KERNEL"), (FileKind.PCR_POLICY, "PCR_POLICY")):
        procedure = manifest.file(kind)
        path = paths.of(kind, slots.other.letter)
        if procedure is not None and path:
            old = paths.of(kind, slots.current.letter)
            _write_file(verified, spool, procedure, path, old)
            words.append(f"{name}={path}")
    return words


def _write_partition(verified: Verified, spool: Spool, slots: Slots, stop: threading.Event) -> None:
    manifest = verified.manifest
    assert manifest.new_info is not None
    size = manifest.block_size
    needed = max(
        [manifest.new_info.size, *(extent_end(item, size) for item in manifest.operations)]
    )
    try:
        target = slots.other.open(write=True)
    except CoreosError as err:
        raise PayloadError(ErrorCode.INSTALL_DEVICE_OPEN_ERROR, str(err)) from None
    try:
        if needed > target.size:
            text = f"{slots.other.device}: {needed} bytes of image, {target.size} of room"
            raise PayloadError(ErrorCode.DOWNLOAD_OPERATION_EXECUTION, text)
        if manifest.is_delta:
            _copy(slots, target, manifest.old_info, stop)
        try:
            for index, operation in enumerate(manifest.operations):
                _go_on(stop)
                offset = verified.metadata_size + operation.data_offset
                data = spool.read(offset, operation.data_length)
                apply(operation, data, target, block_size=size)
                if index % 100 == 0:
                    log.info("Completed %d/%d operations", index + 1, len(manifest.operations))
            target.sync()
        except OSError as err:
            text = f"{slots.other.device}: {err.strerror}"
            raise PayloadError(ErrorCode.DOWNLOAD_OPERATION_EXECUTION, text) from None
        _read_back(target, manifest.new_info, stop)
    finally:
        target.close()


def _copy(slots: Slots, target: Area, info: Info | None, stop: threading.Event) -> None:
    """The running slot's content, which a delta starts from; 4, or 20 when it is another one."""
    log.info("Copying %s to %s", slots.current.device, slots.other.device)
    digest = hashlib.sha256()
    source = slots.current.open()
    size = info.size if info is not None else source.size
    try:
        if size > min(source.size, target.size):
            raise OSError(28, "the slots are too small")
        for at in range(0, size, _PIECE):
            _go_on(stop)
            data = source.read(at, min(_PIECE, size - at))
            digest.update(data)
            target.write(at, data)
    except OSError as err:
        text = f"copying {slots.current.device}: {err.strerror}"
        raise PayloadError(ErrorCode.FILESYSTEM_COPIER_ERROR, text) from None
    finally:
        source.close()
    if info is not None and digest.digest() != info.sha256:
        text = f"{slots.current.device} is not what this payload was made for"
        raise PayloadError(ErrorCode.DOWNLOAD_STATE_INITIALIZATION, text)


def _read_back(target: Area, info: Info, stop: threading.Event) -> None:
    target.forget_cached()
    digest = hashlib.sha256()
    try:
        for at in range(0, info.size, _PIECE):
            _go_on(stop)
            digest.update(target.read(at, min(_PIECE, info.size - at)))
    except OSError as err:
        text = f"reading {target.path} back: {err.strerror}"
        raise PayloadError(ErrorCode.FILESYSTEM_COPIER_ERROR, text) from None
    if digest.digest() != info.sha256:
        text = f"{target.path}: what was written is not what was read back"
        raise PayloadError(ErrorCode.NEW_ROOTFS_VERIFICATION, text)


class _Buffer:
    """A file in memory that grows as it is written."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self.content[offset : offset + size]).ljust(size, b"\0")

    def write(self, offset: int, data: bytes) -> None:
        end = offset + len(data)
        if end > FILE_MAX:
            raise OSError(27, "file too large")
        self.content.extend(bytes(max(0, end - len(self.content))))
        self.content[offset:end] = data


def _write_file(
    verified: Verified, spool: Spool, procedure: Procedure, path: str, old: str
) -> None:
    """Make the file whole beside its place, compare it, and put it there."""
    assert procedure.kind is not None
    assert procedure.new_info is not None
    code = _FILE_CODES[procedure.kind]
    buffer = _Buffer(_old_file(procedure.old_info, old))
    try:
        for operation in procedure.operations:
            offset = verified.metadata_size + operation.data_offset
            data = spool.read(offset, operation.data_length)
            apply(operation, data, buffer, block_size=verified.manifest.block_size)
    except OSError as err:
        raise PayloadError(ErrorCode.KERNEL_DEVICE_OPEN_ERROR, f"{path}: {err.strerror}") from None
    content = bytes(buffer.content[: procedure.new_info.size])
    if Info(len(content), hashlib.sha256(content).digest()) != procedure.new_info:
        raise PayloadError(code, f"{path}: what would be written is not what was announced")
    try:
        write_atomically(path, content, mode=0o600)
        fsync_file(path)
        written = _read(path)
    except OSError as err:
        text = f"{path}: {err.strerror}"
        raise PayloadError(ErrorCode.KERNEL_DEVICE_OPEN_ERROR, text) from None
    if written != content:
        raise PayloadError(code, f"{path}: what was written is not what was read back")


def _old_file(info: Info | None, path: str) -> bytes:
    """What a delta starts from; 20 when it is not there, or another one."""
    if info is None:
        return b""
    try:
        content = _read(path)
    except OSError as err:
        text = f"{path}: {err.strerror}"
        raise PayloadError(ErrorCode.DOWNLOAD_STATE_INITIALIZATION, text) from None
    if Info(len(content), hashlib.sha256(content).digest()) != info:
        text = f"{path} is not what this payload was made for"
        raise PayloadError(ErrorCode.DOWNLOAD_STATE_INITIALIZATION, text)
    return content


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        return file.read(FILE_MAX)


def _go_on(stop: threading.Event) -> None:
    if stop.is_set():
        raise Interrupted("interrupted")
