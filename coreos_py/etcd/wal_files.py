"""Files of the write-ahead log: names, locks, whole reads and writes, durable renames, purging.

Mirrors wal/util.go, wal/repair.go and pkg/fileutil of etcd 2.3.8. Knows nothing of records.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
from typing import NamedTuple

from coreos_py.base.atomic import fsync_dir, write_all
from coreos_py.base.errors import CoreosError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Log = Callable[[int, str], None]  # a logging level and a message: Logger.log will do

BROKEN_SUFFIX = ".broken"
TEMP_SUFFIX = ".tmp"
WAL_SUFFIX = ".wal"

_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.wal")
_CHUNK_BYTES = 1 << 20


class WalName(NamedTuple):
    """A WAL file by its sequence number and the first raft index it may hold."""

    seq: int
    first: int

    def __str__(self) -> str:
        return f"{self.seq:016x}-{self.first:016x}{WAL_SUFFIX}"


def no_log(level: int, message: str) -> None:
    """Say nothing."""


def failure(path: str, error: OSError) -> CoreosError:
    """An operating system's refusal in our words, naming the file."""
    return CoreosError(f"{path}: {(error.strerror or str(error)).lower()}")


def list_names(directory: str) -> list[str]:
    """Sorted names in a directory."""
    try:
        return sorted(os.listdir(directory))
    except OSError as error:
        raise failure(directory, error) from error


def list_wal(directory: str, *, log: Log) -> list[WalName]:
    """The WAL files of a directory by sequence number; other names are logged and passed over."""
    found = []
    for name in list_names(directory):
        match = _NAME.fullmatch(name)
        if match:
            found.append(WalName(int(match[1], 16), int(match[2], 16)))
        else:
            log(logging.WARNING, f"ignored file {name} in wal")
    return found


def open_locked(path: str, flags: int, *, must_lock: bool, mode: int = 0o600) -> int:
    """Open a file and take its flock; CoreosError when somebody else has it."""
    try:
        fd = os.open(path, flags | os.O_CLOEXEC, mode)
    except OSError as error:
        raise failure(path, error) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        if must_lock:
            os.close(fd)
            raise CoreosError(
                f"{path}: file already locked", hint="another etcd uses this data directory"
            ) from error
    except OSError as error:
        os.close(fd)
        raise failure(path, error) from error
    return fd


def read_whole(fd: int, path: str) -> bytes:
    """Everything in an open file, from its start."""
    chunks = []
    offset = 0
    try:
        want = os.fstat(fd).st_size
        while chunk := os.pread(fd, max(want - offset, _CHUNK_BYTES), offset):
            chunks.append(chunk)
            offset += len(chunk)
    except OSError as error:
        raise failure(path, error) from error
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def cut_tail(fd: int, path: str, *, data: bytes, size: int) -> None:
    """Keep a copy of a file's bytes as <path>.broken, then truncate the file to size."""
    copy = path + BROKEN_SUFFIX
    try:
        out = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            write_all(out, data)
            os.fsync(out)
        finally:
            os.close(out)
        os.ftruncate(fd, size)
        os.fsync(fd)
        fsync_dir(os.path.dirname(path))
    except OSError as error:
        raise failure(path, error) from error


def purge(directory: str, suffix: str, *, keep: int) -> list[str]:
    """Remove the oldest files with a suffix beyond `keep`, up to the first locked; 0 keeps all."""
    names = [name for name in list_names(directory) if name.endswith(suffix)]
    removed: list[str] = []
    for name in _oldest(names, keep):
        path = os.path.join(directory, name)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise failure(path, error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
        except BlockingIOError:
            break
        except OSError as error:
            raise failure(path, error) from error
        finally:
            os.close(fd)
        removed.append(path)
    return removed


def _oldest(names: Sequence[str], keep: int) -> Sequence[str]:
    return names[: max(len(names) - keep, 0)] if keep > 0 else ()
