"""The replicated log in memory: a list with an offset, a snapshot in front of it.

Mirrors etcd 2.3 raft/storage.go and raft/log_unstable.go in one: entries are appended here as
soon as the node accepts them, and raftlog.RaftLog remembers how far the disk has followed.
The driver never appends; it restores at start, records snapshots and compacts.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

from coreos_py.raft.errors import Compacted, CorruptLog
from coreos_py.raft.types import Entry, HardState, Snapshot, SnapshotMeta

ENTRY_OVERHEAD_BYTES = 24
"""What an encoded entry costs besides its data, near enough for message size limits."""

NO_STATE = HardState()

SnapshotData = bytes | Callable[[], bytes | None]


class MemoryLog:
    """Entries first_index..last_index, the snapshot to send, and the hard state to start from."""

    __slots__ = (
        "_base_bytes",
        "_data",
        "_end_bytes",
        "_entries",
        "_offset",
        "_offset_term",
        "hard_state",
        "snapshot_meta",
    )

    def __init__(
        self,
        *,
        snapshot: Snapshot | None = None,
        entries: Sequence[Entry] = (),
        hard_state: HardState = NO_STATE,
    ) -> None:
        """Restore what was on disk: `entries` follow the snapshot without a gap."""
        self.hard_state = hard_state
        self.snapshot_meta = SnapshotMeta()
        self._data: SnapshotData = b""
        self._offset = 0
        self._offset_term = 0
        self._entries: list[Entry] = []
        self._end_bytes: array[int] = array("Q")
        self._base_bytes = 0
        if snapshot is not None:
            self.apply_snapshot(snapshot)
        index, term = self._offset, self._offset_term
        for entry in entries:
            if entry.index != index + 1:
                raise CorruptLog(f"entry {entry.index} found where {index + 1} belongs")
            if entry.term < term:
                raise CorruptLog(f"entry {entry.index} of term {entry.term} follows term {term}")
            index, term = entry.index, entry.term
        self.append(entries)

    @property
    def first_index(self) -> int:
        """Index of the oldest entry still held (last_index + 1 if none is)."""
        return self._offset + 1

    @property
    def last_index(self) -> int:
        """Index of the newest entry, or of the snapshot if there are none."""
        return self._offset + len(self._entries)

    @property
    def last_term(self) -> int:
        """Term of the entry at last_index."""
        entries = self._entries
        return entries[-1][0] if entries else self._offset_term

    def term(self, index: int) -> int:
        """Term of one entry; 0 if it is compacted away or not yet there."""
        position = index - self._offset - 1
        if 0 <= position < len(self._entries):
            return self._entries[position][0]
        return self._offset_term if position == -1 else 0

    def matches(self, index: int, term: int) -> bool:
        """True if the log holds exactly this entry (or starts right after it)."""
        position = index - self._offset - 1
        if 0 <= position < len(self._entries):
            return self._entries[position][0] == term
        return position == -1 and self._offset_term == term

    def entries(self, lo: int, hi: int, max_bytes: int | None = None) -> list[Entry]:
        """Entries lo..hi-1, cut after the one that exceeds max_bytes, but never to nothing."""
        start = lo - self._offset - 1
        if start < 0:
            raise Compacted(f"entries before {self.first_index} are compacted, asked for {lo}")
        end = min(hi - self._offset - 1, len(self._entries))
        if max_bytes is not None and end - start > 1:
            ends = self._end_bytes
            before = ends[start - 1] if start else self._base_bytes
            end = max(bisect_right(ends, before + max_bytes, start, end), start + 1)
        return self._entries[start:end]

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries right after last_index. Only the raft node calls this while it runs."""
        if not entries:
            return
        ends = self._end_bytes
        sizes = [len(entry[3]) + ENTRY_OVERHEAD_BYTES for entry in entries]
        sizes[0] += ends[-1] if ends else self._base_bytes
        ends.extend(accumulate(sizes))
        self._entries.extend(entries)

    def truncate(self, last: int) -> None:
        """Forget everything after index `last`."""
        keep = last - self._offset
        del self._entries[keep:]
        del self._end_bytes[keep:]

    def compact(self, index: int) -> None:
        """Drop entries up to and including `index`; they must be covered by the snapshot."""
        count = index - self._offset
        if count <= 0:
            return
        if index > self.snapshot_meta.index:
            raise Compacted(f"cannot compact to {index}: snapshot is at {self.snapshot_meta.index}")
        self._offset_term = self._entries[count - 1][0]
        self._offset = index
        self._base_bytes = self._end_bytes[count - 1]
        del self._entries[:count]
        del self._end_bytes[:count]

    def create_snapshot(self, index: int, *, nodes: Sequence[int], data: SnapshotData) -> None:
        """Record the snapshot that was saved at an applied `index`; `data` may be a loader.

        A loader that returns None means "not to be had just now"; the follower is tried later.
        """
        if index <= self.snapshot_meta.index:
            return
        if not self._offset <= index <= self.last_index:
            raise Compacted(f"no entry {index} to take a snapshot at")
        self.snapshot_meta = SnapshotMeta(index, self.term(index), tuple(sorted(nodes)))
        self._data = data

    def supply_snapshot(self, data: SnapshotData) -> None:
        """Have the recorded snapshot's data come from somewhere else, such as its file."""
        self._data = data

    def apply_snapshot(self, snapshot: Snapshot) -> None:
        """Start over from a snapshot: every entry held so far is dropped."""
        self.snapshot_meta = snapshot.meta
        self._data = snapshot.data
        self._offset = snapshot.meta.index
        self._offset_term = snapshot.meta.term
        self._entries.clear()
        del self._end_bytes[:]
        self._base_bytes = 0

    def snapshot(self) -> Snapshot | None:
        """The snapshot to send to a follower that is too far behind, if it can be had now."""
        if not self.snapshot_meta.index:
            return None
        data = self._data if isinstance(self._data, bytes) else self._data()
        return None if data is None else Snapshot(data, self.snapshot_meta)
