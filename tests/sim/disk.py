"""A disk that keeps what was fsynced, and after a crash some prefix of what was not.

It holds raft records instead of bytes, with the reading rules of the WAL: a later entry of the
same index cuts off what followed, a torn record ends the log, and a snapshot is in force once its
file is there. Writes are kept in order; a crash may cut between any two records or inside one.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from coreos_py.raft.log import MemoryLog
from coreos_py.raft.types import Entry, HardState, Ready, Snapshot, SnapshotMeta


class SnapFile(NamedTuple):
    snapshot: Snapshot


class Release(NamedTuple):
    """Old WAL files are deleted: entries up to `index` are gone."""

    upto: int


class Torn(NamedTuple):
    """Half a record: its checksum does not fit."""

    record: object


Record = Entry | HardState | SnapFile | Release | Torn


class DiskCorrupt(Exception):
    """What is on disk cannot be read as a log."""


class Image:
    """What reading the disk would find."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.offset = 0
        self.entries: list[Entry] = []
        self.hard_state = HardState()

    def apply(self, record: Record) -> None:
        match record:
            case Entry():
                self._entry(record)
            case HardState():
                self.hard_state = record
            case SnapFile():
                self._snapshot(record.snapshot)
            case Release():
                self._release(record.upto)

    def _entry(self, entry: Entry) -> None:
        position = entry.index - self.offset - 1
        if position > len(self.entries):
            raise DiskCorrupt(f"entry {entry.index} after {self.offset + len(self.entries)}")
        if position >= 0:
            del self.entries[position:]
            self.entries.append(entry)

    def _snapshot(self, snapshot: Snapshot) -> None:
        meta = snapshot.meta
        if meta.index <= self.snapshot.meta.index:
            return
        self.snapshot = snapshot
        if not self.holds(meta.index, meta.term):
            # It came from a leader and replaced a log that differs: nothing after it is ours.
            self.offset = meta.index
            self.entries = []

    def _release(self, upto: int) -> None:
        if upto > self.offset:
            del self.entries[: upto - self.offset]
            self.offset = upto

    def holds(self, index: int, term: int) -> bool:
        """True if this very entry is in the log part."""
        position = index - self.offset - 1
        return 0 <= position < len(self.entries) and self.entries[position].term == term

    def covers(self, index: int, term: int) -> bool:
        """True if a restart from here would have this entry, as such or in the snapshot."""
        return index <= self.snapshot.meta.index or self.holds(index, term)

    @property
    def founded(self) -> bool:
        """False if the very first save never ended: nothing was promised, so begin again."""
        return self.hard_state.term > 0

    def load(self) -> MemoryLog:
        """A log to restart a node from."""
        start = self.snapshot.meta.index
        if self.offset > start:
            raise DiskCorrupt(f"the log starts after {self.offset}, the snapshot is at {start}")
        entries = self.entries[start - self.offset :]
        return MemoryLog(
            snapshot=self.snapshot if start else None,
            entries=entries,
            hard_state=self.hard_state,
        )


class Disk:
    """One node's disk across its crashes. Positions count all records ever written."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.image = Image()
        self.pending: list[Record] = []
        self.synced = 0
        self.busy_until = 0
        self.full = False

    def write(self, records: list[Record]) -> int:
        """Hand records to the operating system; returns the position to sync up to."""
        self.pending.extend(records)
        return self.synced + len(self.pending)

    def write_in_part(self, records: list[Record]) -> None:
        """Hand over what still fits; the last record only in part."""
        keep = self.rng.randrange(len(records))
        self.pending.extend([*records[:keep], Torn(records[keep])])

    def sync(self, position: int) -> None:
        """Everything written before `position` is durable."""
        count = position - self.synced
        if count > 0:
            for record in self.pending[:count]:
                self.image.apply(record)
            del self.pending[:count]
            self.synced = position

    def crash(self) -> None:
        """Power is gone: some prefix of the unsynced records made it, the last maybe in part."""
        if self.pending:
            keep = self.rng.randrange(len(self.pending) + 1)
            if keep < len(self.pending) and self.rng.random() < 0.3:
                self.pending[keep] = Torn(self.pending[keep])
                keep += 1
            self.sync(self.synced + keep)
            self.synced += len(self.pending)
            self.pending.clear()
        self.busy_until = 0


def records_of(ready: Ready) -> list[Record]:
    """What a Ready asks to be saved, in the order it is written."""
    records: list[Record] = []
    if ready.snapshot is not None:
        records.append(SnapFile(ready.snapshot))
    records.extend(ready.entries)
    if ready.hard_state is not None:
        records.append(ready.hard_state)
    return records


def local_snapshot(data: bytes, index: int, *, term: int, nodes: tuple[int, ...]) -> list[Record]:
    """A node's own snapshot: the file first, then the log files it makes superfluous go."""
    return [SnapFile(Snapshot(data, SnapshotMeta(index, term, nodes))), Release(index)]
