"""Snapshot files of etcd 2.3: an envelope with a CRC-32C around a raftpb.Snapshot.

Files are written under another name, synced and renamed, so a .snap file is whole or damaged by
others. The newest that reads is the one to start from. Mirrors snap/snapshotter.go of etcd 2.3.8.
"""

from __future__ import annotations

import logging
import os
from time import perf_counter

from coreos_py.base.atomic import fsync_dir, write_all
from coreos_py.base.crc import crc32c
from coreos_py.base.errors import Corrupt, WireError
from coreos_py.etcd import pb
from coreos_py.etcd import wal_files as files
from coreos_py.etcd.pb_wire import uvarint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from coreos_py.raft.types import Snapshot

    OnSaved = Callable[[float, float], None]
    """Seconds to wrap the document, and in all."""

SNAP_SUFFIX = ".snap"
DB_NAME = "db"


class Snapshotter:
    """The .snap files of one directory, which must exist."""

    def __init__(self, directory: str, *, log: files.Log = files.no_log) -> None:
        self.directory = directory
        self._log = log
        self.on_saved: OnSaved | None = None

    def save(self, snapshot: Snapshot, *, chunks: Iterable[bytes] | None = None) -> str:
        """Write a snapshot durably and return its path; chunks, if given, replace its data."""
        meta = snapshot.meta
        assert meta.index, "an empty snapshot is not saved"
        blocks = [snapshot.data] if chunks is None else list(chunks)
        path = os.path.join(self.directory, f"{meta.term:016x}-{meta.index:016x}{SNAP_SUFFIX}")
        temp = path + files.TEMP_SUFFIX
        start_s = perf_counter()
        parts = envelope(blocks, snapshot)
        marshal_s = perf_counter() - start_s
        try:
            # etcd 2.3.8 gives these files 0666 less the umask.
            fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
            try:
                for part in parts:
                    write_all(fd, part)
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(temp, path)
            fsync_dir(self.directory)
        except OSError as error:
            self._remove(temp)
            raise files.failure(path, error) from error
        if self.on_saved is not None:
            self.on_saved(marshal_s, perf_counter() - start_s)
        return path

    def load(self, *, rename_broken: bool = True) -> Snapshot | None:
        """The newest snapshot that reads, or None; damaged ones are set aside as .broken."""
        for name in self._names():
            path = os.path.join(self.directory, name)
            try:
                return read_snapshot(path)
            except Corrupt as damage:
                self._log(logging.ERROR, f"corrupted snapshot file {damage}")
                if rename_broken:
                    self._set_aside(path)
        return None

    def remove_leftovers(self) -> None:
        """Remove what an interrupted save() left; only for the one process that saves here."""
        for name in files.list_names(self.directory):
            if name.endswith(SNAP_SUFFIX + files.TEMP_SUFFIX):
                self._remove(os.path.join(self.directory, name))

    def _names(self) -> list[str]:
        found = []
        for name in files.list_names(self.directory):
            if name.endswith(SNAP_SUFFIX):
                found.append(name)
            else:
                self._log(logging.WARNING, f"skipped unexpected non snapshot file {name}")
        return found[::-1]

    def _set_aside(self, path: str) -> None:
        try:
            os.rename(path, path + files.BROKEN_SUFFIX)
        except OSError as error:
            self._log(
                logging.WARNING, f"cannot rename broken snapshot file: {files.failure(path, error)}"
            )

    def _remove(self, path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            self._log(logging.ERROR, f"failed to remove snapshot file {files.failure(path, error)}")


def envelope(blocks: list[bytes], snapshot: Snapshot) -> list[bytes]:
    """snappb.snapshot around raftpb.Snapshot, in pieces so that the data is never copied."""
    size = sum(map(len, blocks))
    meta = pb.encode_snapshot_meta(snapshot.meta)
    inner = [b"\x0a" + uvarint(size), *blocks] if size else []
    inner.append(b"\x12%b%b" % (uvarint(len(meta)), meta))
    crc = 0
    for part in inner:
        crc = crc32c(part, crc)
    return [_envelope_head(crc, sum(map(len, inner))), *inner]


def _envelope_head(crc: int, size: int) -> bytes:
    return b"\x08%b\x12%b" % (uvarint(crc), uvarint(size))


def read_snapshot(path: str) -> Snapshot:
    """The snapshot in a file; Corrupt if it is damaged, CoreosError if it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise files.failure(path, error) from error
    try:
        content = files.read_whole(fd, path)
    finally:
        os.close(fd)
    try:
        outer = pb.decode_snap_file(content)
        if not outer.data or not outer.crc:
            raise Corrupt(path, 0, "unexpected empty snapshot")
        if crc32c(outer.data, 0) != outer.crc:
            raise Corrupt(path, 0, "crc mismatch")
        head = _envelope_head(outer.crc, len(outer.data))
        if len(head) + len(outer.data) != len(content) or not content.startswith(head):
            raise Corrupt(path, 0, "malformed envelope")
        del content
        snapshot = pb.decode_snapshot(outer.data)
    except WireError as error:
        raise Corrupt(path, 0, str(error)) from None
    if not snapshot.meta.index:
        raise Corrupt(path, 0, "unexpected empty snapshot")
    return snapshot
