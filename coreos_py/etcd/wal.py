"""The write-ahead log of etcd 2.3, byte for byte: raft entries, hard states, snapshot markers.

A log is a directory of files that are only ever appended to. create() it, or open() it and
read_all(); then save() and sync(). save() hands one batch to the kernel in one write; sync() makes
everything saved so far durable and starts the next file when this one is full; it may run in
a thread while the owner goes on saving. After a failed write or sync nothing more is accepted: what
a failed fsync left behind cannot be known, so it is never tried again.
Mirrors wal/wal.go of etcd 2.3.8.
"""

from __future__ import annotations

import logging
import os
import threading
from itertools import pairwise
from typing import NamedTuple, Self

from coreos_py.base.atomic import fsync_dir, write_all
from coreos_py.base.errors import CoreosError, Corrupt
from coreos_py.base.golog import NOTICE
from coreos_py.etcd import pb
from coreos_py.etcd import wal_files as files
from coreos_py.etcd import wal_record as records
from coreos_py.etcd.wal_files import WalName
from coreos_py.etcd.wal_replay import Replay
from coreos_py.raft.types import Entry, HardState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

SEGMENT_BYTES = 64 * 1000 * 1000
FILE_NOT_FOUND = "wal: file not found"

_FIRST = WalName(0, 0)
_NO_STATE = HardState()


class WalContents(NamedTuple):
    """What a log holds behind the snapshot it was opened at."""

    metadata: bytes
    hard_state: HardState
    entries: list[Entry]


class _Segment(NamedTuple):
    name: WalName
    path: str
    fd: int


class _Tail(NamedTuple):
    """An incomplete last record: the file's bytes and how many of them are whole records."""

    data: bytes
    size: int


def exists(directory: str) -> bool:
    """Whether a log was ever created here; what a crash in create() leaves does not count."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise files.failure(directory, error) from error
    return any(name != f"{_FIRST}{files.TEMP_SUFFIX}" for name in names)


class WAL:
    """One log. Damage raises Corrupt with file and offset; whatever else fails, CoreosError."""

    def __init__(
        self, directory: str, segments: list[_Segment], *, writable: bool, log: files.Log
    ) -> None:
        self.directory = directory
        self._segments = segments
        self._writable = writable
        self._log = log
        self._start = pb.Marker()
        self._ready = False
        self._metadata = b""
        self._state = _NO_STATE
        self._crc = 0
        self._last_index = 0
        self._size = 0
        self._failed: Exception | None = None
        self._append_lock = threading.Lock()
        self._sync_lock = threading.Lock()  # taken before the append lock, if both

    # --- opening ----------------------------------------------------------------------------------

    @classmethod
    def create(cls, directory: str, metadata: bytes, *, log: files.Log = files.no_log) -> Self:
        """A new log in a directory that has none, ready for save()."""
        assert metadata, "a log needs metadata"
        _refuse_existing(directory)
        try:
            os.makedirs(directory, 0o700, exist_ok=True)
        except OSError as error:
            raise files.failure(directory, error) from error
        wal = cls(directory, [], writable=True, log=log)
        wal._metadata = metadata
        try:
            wal._begin_file(_FIRST, [(records.MARKER, pb.encode_marker(pb.Marker()))])
            fsync_dir(os.path.dirname(os.path.abspath(directory)))
        except OSError as error:
            wal.abandon()
            raise files.failure(directory, error) from error
        wal._ready = True
        return wal

    @classmethod
    def open(
        cls, directory: str, *, at: tuple[int, int] = (0, 0), log: files.Log = files.no_log
    ) -> Self:
        """Lock the log's files from snapshot (index, term) on; read_all() comes next."""
        return cls._open(directory, pb.Marker(*at), writable=True, log=log)

    @classmethod
    def open_for_read(
        cls, directory: str, *, at: tuple[int, int] = (0, 0), log: files.Log = files.no_log
    ) -> Self:
        """The same without demanding the locks, for backups; nothing is ever changed."""
        return cls._open(directory, pb.Marker(*at), writable=False, log=log)

    @classmethod
    def _open(cls, directory: str, start: pb.Marker, *, writable: bool, log: files.Log) -> Self:
        names = _names_from(directory, files.list_wal(directory, log=log), start.index)
        wal = cls(directory, [], writable=writable, log=log)
        wal._start = start
        try:
            for name in names:
                path = os.path.join(directory, str(name))
                last = writable and name is names[-1]
                flags = os.O_RDWR | os.O_APPEND if last else os.O_RDONLY
                fd = files.open_locked(path, flags, must_lock=writable)
                wal._segments.append(_Segment(name, path, fd))
        except CoreosError:
            wal.abandon()
            raise
        return wal

    # --- reading ----------------------------------------------------------------------------------

    def read_all(self) -> WalContents:
        """Everything behind the snapshot opened at; repairs a torn tail, then allows save().

        A last record that is cut off was never acknowledged: it is dropped, with a copy of the file
        kept under <name>.broken and a line in the log. Anything else is Corrupt, nothing changed.
        """
        assert not self._ready, "read_all() is for a log just opened"
        replay = Replay(self._start)
        crc: int | None = None
        tail: _Tail | None = None
        size = 0
        last = self._segments[-1]
        for segment in self._segments:
            data = files.read_whole(segment.fd, segment.path)
            reader = records.RecordReader(data, crc)
            replay.begin_file()
            try:
                replay.take_all(reader)
            except records.BadRecord as bad:
                if not (bad.torn and segment is last and replay.has_head):
                    raise _corrupt(segment.path, bad.offset, bad.detail) from None
                tail = _Tail(data, reader.end)
            if not replay.has_head:
                raise _corrupt(segment.path, reader.end, records.UNEXPECTED_EOF)
            crc, size = reader.crc, reader.end
        problem = replay.problem(first_seq=self._segments[0].name.seq)
        if problem:
            raise _corrupt(last.path, size, problem)
        if tail is not None and self._writable:
            self._drop_tail(last, tail)
        assert crc is not None
        self._crc, self._size, self._last_index = crc, size, replay.last_index
        self._metadata, self._state = replay.metadata, replay.hard_state
        self._ready = self._writable
        return WalContents(replay.metadata, replay.hard_state, replay.entries)

    def _drop_tail(self, segment: _Segment, tail: _Tail) -> None:
        self._log(NOTICE, f"repairing {segment.path}")
        files.cut_tail(segment.fd, segment.path, data=tail.data, size=tail.size)
        lost = len(tail.data) - tail.size
        self._log(
            NOTICE,
            f"dropped an incomplete record of {lost} bytes at offset {tail.size} of {segment.path},"
            f" the file as it was is {segment.path}{files.BROKEN_SUFFIX}",
        )

    # --- writing ----------------------------------------------------------------------------------

    def save(self, hard_state: HardState | None, entries: Sequence[Entry], *, sync: bool) -> None:
        """Append entries, then the hard state, in one write; durable only after a sync."""
        with self._append_lock:
            self._check()
            parts: list[bytes] = []
            crc = records.append_entries(parts, self._crc, entries=entries)
            if hard_state is not None and hard_state != _NO_STATE:
                data = pb.encode_hard_state(hard_state)
                crc = records.append_record(parts, crc, kind=records.STATE, data=data)
                self._state = hard_state
            if parts:
                self._append(parts, crc)
            if entries:
                self._last_index = entries[-1].index
        if sync:
            self.sync()

    def save_snapshot(self, index: int, term: int) -> None:
        """Record, durably, that the snapshot (index, term) is about to be saved."""
        with self._append_lock:
            self._check()
            parts: list[bytes] = []
            data = pb.encode_marker(pb.Marker(index, term))
            crc = records.append_record(parts, self._crc, kind=records.MARKER, data=data)
            self._append(parts, crc)
            self._last_index = max(self._last_index, index)
        self.sync()

    def sync(self) -> None:
        """Make all that was saved before this call durable; any thread may call it."""
        with self._sync_lock:
            self._check()
            try:
                os.fdatasync(self._segments[-1].fd)
            except OSError as error:
                raise self._fail(error) from error
            if self._size >= SEGMENT_BYTES:
                with self._append_lock:
                    self._cut()

    def cut(self) -> None:
        """Start the next file now."""
        with self._sync_lock, self._append_lock:
            self._check()
            self._cut()

    def release_to(self, index: int) -> None:
        """Unlock the files that a log opened at a snapshot of this index would not need."""
        with self._append_lock:
            older = sum(segment.name.first < index for segment in self._segments)
            drop = max(older - 1, 0)
            for segment in self._segments[:drop]:
                os.close(segment.fd)
            del self._segments[:drop]

    def close(self) -> None:
        """Sync what was saved and give up the locks."""
        try:
            if self._ready and self._failed is None:
                self.sync()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Give up the locks without another write or sync."""
        with self._sync_lock, self._append_lock:
            self._ready = False
            for segment in self._segments:
                os.close(segment.fd)
            self._segments.clear()

    def _check(self) -> None:
        if self._failed is not None:
            raise CoreosError(
                f"{self.directory}: no writes after an earlier failure: {self._failed}"
            ) from self._failed
        assert self._ready, "the log is not open for writing"

    def _fail(self, error: OSError) -> CoreosError:
        self._failed = files.failure(self._segments[-1].path, error)
        return self._failed

    def _append(self, parts: list[bytes], crc: int) -> None:
        data = b"".join(parts)
        try:
            write_all(self._segments[-1].fd, data)
        except OSError as error:
            raise self._fail(error) from error
        self._crc = crc
        self._size += len(data)

    def _cut(self) -> None:
        try:
            os.fdatasync(self._segments[-1].fd)
            head = []
            if self._state != _NO_STATE:
                head.append((records.STATE, pb.encode_hard_state(self._state)))
            name = WalName(self._segments[-1].name.seq + 1, self._last_index + 1)
            self._begin_file(name, head)
        except OSError as error:
            raise self._fail(error) from error
        except CoreosError as error:
            self._failed = error
            raise
        self._log(logging.INFO, f"segmented wal file {self._segments[-1].path} is created")

    def _begin_file(self, name: WalName, head: Sequence[tuple[int, bytes]]) -> None:
        path = os.path.join(self.directory, str(name))
        temp = path + files.TEMP_SUFFIX
        fd = files.open_locked(temp, os.O_WRONLY | os.O_APPEND | os.O_CREAT, must_lock=True)
        try:
            if os.path.lexists(path):
                raise FileExistsError(17, "file exists", path)
            parts = [records.frame(records.CRC, b"", self._crc)]
            crc = self._crc
            for kind, data in ((records.METADATA, self._metadata), *head):
                crc = records.append_record(parts, crc, kind=kind, data=data)
            os.ftruncate(fd, 0)
            write_all(fd, b"".join(parts))
            os.fsync(fd)
            os.rename(temp, path)
            fsync_dir(self.directory)
        except OSError:
            os.close(fd)
            raise
        self._segments.append(_Segment(name, path, fd))
        self._crc, self._size = crc, sum(map(len, parts))


def _corrupt(path: str, offset: int, detail: str) -> Corrupt:
    # The words in which etcd 2.3.8's log reports it.
    return Corrupt(path, offset, f"read wal error ({detail}) and cannot be repaired")


def _refuse_existing(directory: str) -> None:
    if exists(directory):
        raise CoreosError(f"{directory}: a log exists here already")


def _names_from(directory: str, names: list[WalName], index: int) -> list[WalName]:
    """The files to read for a snapshot's index: from the last that starts at or before it on."""
    starts = [position for position, name in enumerate(names) if name.first <= index]
    if not starts:
        raise CoreosError(f"{directory}: {FILE_NOT_FOUND} (index {index})")
    found = names[starts[-1] :]
    for before, after in pairwise(found):
        if after.seq != before.seq + 1:
            raise CoreosError(f"{directory}: {FILE_NOT_FOUND} (between {before} and {after})")
    return found
