"""What is damaged in a member's data directory, what would be cut, and cutting it.

Looking changes nothing. Repairing keeps every byte that it takes away under another name, and what
stays is read again before it is called repaired. The directory must not be in use. etcd 2.3.8 only
drops an incomplete last record, at its start, and gives up on all other damage.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import NamedTuple

from coreos_py.base.atomic import fsync_dir
from coreos_py.base.errors import CoreosError, Corrupt
from coreos_py.etcd import pb
from coreos_py.etcd import wal_files as files
from coreos_py.etcd import wal_record as records
from coreos_py.etcd.offline import datacopy
from coreos_py.etcd.snap import SNAP_SUFFIX, read_snapshot
from coreos_py.etcd.wal import WAL
from coreos_py.etcd.wal_replay import Replay
from coreos_py.raft.types import HardState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.etcd.datadir import MemberDirs
    from coreos_py.etcd.wal_files import WalName
    from coreos_py.raft.types import SnapshotMeta

NOTHING_LEFT = "no snapshot and no log from the beginning: restore a backup"


class Cut(NamedTuple):
    """A log file that is whole up to `size`; `lost` bytes follow."""

    path: str
    size: int
    lost: int
    reason: str
    torn: bool


class Damage(NamedTuple):
    """What is wrong, and what a repair leaves: entries up to `last` behind the snapshot."""

    snapshots: tuple[tuple[str, str], ...]  # path and reason
    cut: Cut | None
    aside: tuple[str, ...]  # whole files, or the directory of the log
    rebuild: str  # why the log has to be begun again, or nothing
    snapshot: SnapshotMeta | None
    metadata: bytes
    last: int

    @property
    def is_none(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.snapshots or self.cut or self.aside or self.rebuild)


class _Log(NamedTuple):
    """How far a log reads."""

    first_seq: int
    replay: Replay
    cut: Cut | None
    aside: tuple[str, ...]


def examine(dirs: MemberDirs) -> Damage:
    """Look at everything; CoreosError if it is in use, cannot be read or cannot be repaired."""
    with ExitStack() as stack:
        names = files.list_wal(dirs.wal, log=files.no_log)
        if not names:
            raise CoreosError(f"{dirs.wal}: there is no log here")
        for name in names:
            path = os.path.join(dirs.wal, str(name))
            fd = files.open_locked(path, os.O_RDONLY, must_lock=True)
            stack.callback(os.close, fd)
        newest, broken = _snapshots(dirs.snap)
        return _plan(dirs.wal, names, newest, broken)


def repair(dirs: MemberDirs, damage: Damage) -> None:
    """Do what examine() proposed; CoreosError if what is left does not read."""
    try:
        for path, _reason in damage.snapshots:
            os.rename(path, path + files.BROKEN_SUFFIX)
        if damage.cut is not None:
            _cut(damage.cut)
        for path in damage.aside:
            os.rename(path, path + files.BROKEN_SUFFIX)
            fsync_dir(os.path.dirname(path))
        fsync_dir(dirs.snap)
    except OSError as error:
        raise files.failure(dirs.member, error) from error
    if damage.rebuild and damage.snapshot is not None:
        meta = damage.snapshot
        log = WAL.create(dirs.wal, damage.metadata)
        try:
            log.save(HardState(meta.term, 0, meta.index), [], sync=True)
            log.save_snapshot(meta.index, meta.term)
        finally:
            log.close()
    datacopy.read(dirs)


def _snapshots(directory: str) -> tuple[SnapshotMeta | None, list[tuple[str, str]]]:
    """The newest whole snapshot, and the damaged ones that are newer."""
    broken: list[tuple[str, str]] = []
    names = [name for name in files.list_names(directory) if name.endswith(SNAP_SUFFIX)]
    for name in reversed(names):
        path = os.path.join(directory, name)
        try:
            return read_snapshot(path).meta, broken
        except Corrupt as error:
            broken.append((path, str(error).removeprefix(f"{path}: ")))
    return None, broken


def _plan(
    directory: str,
    names: list[WalName],
    newest: SnapshotMeta | None,
    broken: list[tuple[str, str]],
) -> Damage:
    index, term = (newest.index, newest.term) if newest is not None else (0, 0)
    log = _read(directory, names, pb.Marker(index, term))
    if log is not None and not log.replay.problem(first_seq=log.first_seq):
        last = index + len(log.replay.entries)
        metadata = log.replay.metadata
        return Damage(tuple(broken), log.cut, log.aside, "", newest, metadata, last)
    found = _any_metadata(directory, names)
    if newest is None or not found:
        raise CoreosError(f"{directory}: cannot be repaired: {NOTHING_LEFT}")
    why = "no file of it reaches back to the snapshot"
    if log is not None:
        why = log.replay.problem(first_seq=log.first_seq)
        if log.cut is not None:
            why = f"{log.cut.path} is damaged at offset {log.cut.size}: {log.cut.reason}"
    return Damage(tuple(broken), None, (directory,), why, newest, found, index)


def _read(directory: str, names: list[WalName], start: pb.Marker) -> _Log | None:
    """Read as far as it goes; None if no file starts at or before the snapshot."""
    starts = [position for position, name in enumerate(names) if name.first <= start.index]
    if not starts:
        return None
    replay = Replay(start)
    crc: int | None = None
    chosen = names[starts[-1] :]
    first_seq = chosen[0].seq
    for position, name in enumerate(chosen):
        path = os.path.join(directory, str(name))
        later = tuple(os.path.join(directory, str(other)) for other in chosen[position + 1 :])
        if position and name.seq != chosen[position - 1].seq + 1:
            return _Log(first_seq, replay, None, (path, *later))
        data = _content(path)
        reader = records.RecordReader(data, crc)
        replay.begin_file()
        end = 0
        try:
            for found in reader:
                replay.take(found)
                end = reader.end
        except records.BadRecord as bad:
            if not replay.has_head:
                return _Log(first_seq, replay, None, (path, *later))
            return _Log(
                first_seq, replay, Cut(path, end, len(data) - end, bad.detail, bad.torn), later
            )
        if not replay.has_head:
            return _Log(first_seq, replay, None, (path, *later))
        crc = reader.crc
    return _Log(first_seq, replay, None, ())


def _any_metadata(directory: str, names: list[WalName]) -> bytes:
    """The metadata at the head of any file that has a whole head."""
    for name in reversed(names):
        reader = records.RecordReader(_content(os.path.join(directory, str(name))), None)
        try:
            for found in reader:
                if found.kind == records.METADATA:
                    return found.data
        except records.BadRecord:
            continue
    return b""


def _content(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise files.failure(path, error) from error
    try:
        return files.read_whole(fd, path)
    finally:
        os.close(fd)


def _cut(cut: Cut) -> None:
    fd = files.open_locked(cut.path, os.O_RDWR, must_lock=True)
    try:
        data = files.read_whole(fd, cut.path)
        files.cut_tail(fd, cut.path, data=data, size=cut.size)
    finally:
        os.close(fd)
