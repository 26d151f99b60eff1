"""A member's data directory as one value: read from files that may be in use, written anew.

Nothing that is read is ever changed, and nothing that exists is ever written over. Mirrors
etcdctl/command/backup_command.go of etcd 2.3.8, which renames damaged snapshots of its source.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from coreos_py.base.atomic import fsync_dir
from coreos_py.base.errors import CoreosError, WireError
from coreos_py.etcd import pb, wal
from coreos_py.etcd.datadir import DIR_MODE, MemberDirs
from coreos_py.etcd.snap import Snapshotter
from coreos_py.etcd.wal import WAL
from coreos_py.etcd.wal_files import failure, list_names, no_log
from coreos_py.raft.types import Entry, HardState, Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.etcd.wal_files import Log

_ID_BYTES = 8


class Contents(NamedTuple):
    """All that a member needs to go on: newest snapshot, and the log behind it."""

    metadata: pb.Metadata
    snapshot: Snapshot | None
    hard_state: HardState
    entries: list[Entry]

    @property
    def at(self) -> tuple[int, int]:
        """(index, term) of the snapshot that the log starts behind."""
        meta = self.snapshot.meta if self.snapshot is not None else None
        return (meta.index, meta.term) if meta is not None else (0, 0)


def read(dirs: MemberDirs, *, log: Log = no_log) -> Contents:
    """What a data directory holds; a record that is still being written is left out."""
    snapshot = Snapshotter(dirs.snap, log=log).load(rename_broken=False)
    at = (snapshot.meta.index, snapshot.meta.term) if snapshot is not None else (0, 0)
    source = WAL.open_for_read(dirs.wal, at=at, log=log)
    try:
        found = source.read_all()
    finally:
        source.abandon()
    try:
        metadata = pb.decode_metadata(found.metadata)
    except WireError as error:
        raise CoreosError(f"{dirs.wal}: the log's metadata is damaged: {error}") from None
    return Contents(metadata, snapshot, found.hard_state, found.entries)


def write(dirs: MemberDirs, contents: Contents) -> None:
    """Write a data directory that any etcd 2.3 opens; CoreosError if there is one already."""
    if wal.exists(dirs.wal):
        raise CoreosError(f"{dirs.wal}: a log exists here already")
    try:
        os.makedirs(dirs.snap, DIR_MODE, exist_ok=True)
    except OSError as error:
        raise failure(dirs.snap, error) from error
    if list_names(dirs.snap):
        raise CoreosError(f"{dirs.snap}: there are snapshots here already")
    if contents.snapshot is not None:
        Snapshotter(dirs.snap).save(contents.snapshot)
    target = WAL.create(dirs.wal, pb.encode_metadata(contents.metadata))
    try:
        target.save(contents.hard_state, contents.entries, sync=True)
        target.save_snapshot(*contents.at)
    finally:
        target.close()
    fsync_dir(os.path.dirname(dirs.snap))


def new_id() -> int:
    """An id that no cluster has."""
    return int.from_bytes(os.urandom(_ID_BYTES), "big") or 1
