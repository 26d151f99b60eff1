"""A MemoryLog with the cursors that consensus moves: stable, committed, applied.

applied <= committed <= last index, and stable <= last index. `stable` is how far the driver has
confirmed the disk; entries after it are handed out for saving. Mirrors etcd 2.3 raft/log.go.
"""

from __future__ import annotations

from collections.abc import Sequence

from coreos_py.raft.errors import CorruptLog
from coreos_py.raft.log import MemoryLog
from coreos_py.raft.types import Entry, EntryType, Snapshot

CONF_CHANGE = EntryType.CONF_CHANGE


class RaftLog:
    """What one node knows of the log, and how far."""

    __slots__ = ("applied", "committed", "incoming", "saving", "stable", "storage")

    def __init__(self, storage: MemoryLog) -> None:
        self.storage = storage
        self.stable = storage.last_index
        self.saving = self.stable
        start = storage.snapshot_meta.index
        self.committed = max(start, storage.hard_state.commit)
        self.applied = start
        self.incoming: Snapshot | None = None
        if self.committed > storage.last_index:
            raise CorruptLog(
                f"commit index {self.committed} is beyond the last entry {storage.last_index}"
            )

    def is_up_to_date(self, index: int, term: int) -> bool:
        """True if a candidate whose log ends with (index, term) has all we could have voted in."""
        last_term = self.storage.last_term
        return term > last_term or (term == last_term and index >= self.storage.last_index)

    def append_from_leader(
        self, index: int, term: int, entries: Sequence[Entry], *, commit: int
    ) -> int | None:
        """Follow a leader's log: the index now known to match, or None if (index, term) differs."""
        storage = self.storage
        if not storage.matches(index, term):
            return None
        last_new = index + len(entries)
        if entries:
            if index == storage.last_index:
                storage.append(entries)
            else:
                self._merge(entries)
        self.commit_to(min(commit, last_new))
        return last_new

    def _merge(self, entries: Sequence[Entry]) -> None:
        """Append what is new; what conflicts with it, and everything after that, goes."""
        storage = self.storage
        for position, entry in enumerate(entries):
            if storage.matches(entry.index, entry.term):
                continue
            if entry.index <= self.committed:
                raise CorruptLog(
                    f"entry {entry.index} of term {entry.term} conflicts with committed entry"
                    f" of term {storage.term(entry.index)} [committed {self.committed}]"
                )
            self._truncate(entry.index - 1)
            storage.append(entries[position:])
            return

    def _truncate(self, last: int) -> None:
        if last < self.storage.last_index:
            self.storage.truncate(last)
            self.stable = min(self.stable, last)
            self.saving = min(self.saving, last)

    def commit_to(self, index: int) -> None:
        """Raise the commit index; it never falls."""
        if index > self.committed:
            if index > self.storage.last_index:
                raise CorruptLog(
                    f"told to commit {index} but the log ends at {self.storage.last_index};"
                    " was it truncated or lost?"
                )
            self.committed = index

    def restore(self, snapshot: Snapshot) -> None:
        """Replace everything by a snapshot that still has to be saved."""
        self.storage.apply_snapshot(snapshot)
        self.incoming = snapshot
        self.committed = self.stable = self.saving = snapshot.meta.index

    def unstable(self) -> list[Entry]:
        """Entries the disk does not have yet; from now on they count as being saved."""
        last = self.storage.last_index
        if last == self.stable:
            return []
        self.saving = last
        return self.storage.entries(self.stable + 1, last + 1)

    def next_committed(self) -> list[Entry]:
        """Entries to apply: committed, not yet applied, and not part of a snapshot."""
        lo = max(self.applied + 1, self.storage.first_index)
        if lo > self.committed:
            return []
        return self.storage.entries(lo, self.committed + 1)

    def saved(self) -> None:
        """The entries handed out by unstable() are on disk, but for those cut off meanwhile."""
        self.stable = max(self.stable, self.saving)

    def last_conf_change(self, *, after: int) -> int:
        """Index of the newest configuration entry after an index; 0 if there is none."""
        lo = max(after + 1, self.storage.first_index)
        for entry in reversed(self.storage.entries(lo, self.storage.last_index + 1)):
            if entry.type == CONF_CHANGE:
                return entry.index
        return 0
