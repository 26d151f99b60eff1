"""Replaying a log: which sequences of whole records make sense, and what they add up to.

Each file starts with a crc record and the metadata; entries may overwrite earlier ones, never leave
a gap; the marker of the snapshot to start from must be there. Mirrors WAL.ReadAll of etcd 2.3.8,
which panics on some of what is refused here. Pure: records in, state out.
"""

from __future__ import annotations

from coreos_py.etcd import pb
from coreos_py.etcd import wal_record as records
from coreos_py.etcd.wal_record import BadRecord
from coreos_py.raft.types import Entry, HardState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.etcd.pb import Marker

HEAD_RECORDS = 2
SNAPSHOT_NOT_FOUND = "wal: snapshot not found"
SNAPSHOT_MISMATCH = "wal: snapshot mismatch"
METADATA_CONFLICT = "wal: conflicting metadata found"


class Replay:
    """Takes the records of all files in order; entries up to `start` are passed over."""

    def __init__(self, start: Marker) -> None:
        self.start = start
        self.metadata = b""
        self.hard_state = HardState()
        self.entries: list[Entry] = []
        self.last_index = 0
        self.matched = False
        self._newest = start.index
        self._start_term: int | None = None  # no entry up to the start: as in a backup
        self._position = 0

    def begin_file(self) -> None:
        """The next record is the first of its file."""
        self._position = 0

    @property
    def has_head(self) -> bool:
        """Whether the current file's crc and metadata have been read."""
        return self._position >= HEAD_RECORDS

    def take_all(self, reader: records.RecordReader) -> None:
        """Add the records of a file; BadRecord at the first that is damaged or cannot follow."""
        for found in reader:
            self.take(found)
            if found.kind == records.ENTRY:
                self._take_run(reader, records.read_entry(found))

    def _take_run(self, reader: records.RecordReader, before: Entry) -> None:
        entries, state = reader.run(before)
        if state:
            self.hard_state = pb.decode_hard_state(state)
        if not entries:
            return
        self.last_index = entries[-1].index
        passed = self.start.index + 1 - entries[0].index
        if passed >= len(entries):
            self._start_term = before.term if self.last_index == self.start.index else 0
            return
        if passed > 0:
            self._start_term = before.term
            del entries[:passed]
        self.entries += entries

    def take(self, found: records.Found) -> None:
        """Add one record; BadRecord if it cannot follow what was taken before."""
        kind = found.kind
        if self._position < HEAD_RECORDS:
            if kind != (records.CRC, records.METADATA)[self._position]:
                raise BadRecord(found.offset, "wal file without crc and metadata at its head")
            self._position += 1
        if kind == records.ENTRY:
            self._take_entry(found)
        elif kind == records.STATE:
            self.hard_state = records.read_state(found)
        elif kind == records.MARKER:
            self._take_marker(found)
        elif kind == records.METADATA:
            if self.metadata and self.metadata != found.data:
                raise BadRecord(found.offset, METADATA_CONFLICT)
            self.metadata = found.data

    def _take_entry(self, found: records.Found) -> None:
        entry = records.read_entry(found)
        self.last_index = entry.index
        position = entry.index - self.start.index - 1
        entries = self.entries
        if position < 0:
            # The log ends here for now, and holds the start's entry only if this is it.
            self._start_term = entry.term if position == -1 else 0
            entries.clear()
            return
        if position > len(entries):
            last = self.start.index + len(entries)
            problem = f"entry {entry.index} follows entry {last}"
            raise BadRecord(found.offset, problem + self._newer_snapshot())
        del entries[position:]
        entries.append(entry)

    def _take_marker(self, found: records.Found) -> None:
        marker = records.read_marker(found)
        self.last_index = max(self.last_index, marker.index)
        self._newest = max(self._newest, marker.index)
        if marker.index != self.start.index:
            return
        if marker.term != self.start.term:
            raise BadRecord(found.offset, SNAPSHOT_MISMATCH)
        self.matched = True
        if self._start_term not in (None, marker.term):
            # It came from the leader and replaced a log without that entry: nothing after is ours.
            self.entries.clear()

    def problem(self, *, first_seq: int) -> str:
        """What is wrong with the log as a whole, or nothing."""
        if not self.matched:
            return f"{SNAPSHOT_NOT_FOUND} (index {self.start.index}, term {self.start.term})"
        if first_seq and not self.hard_state.term:
            return "no hard state in a log of several files"
        last = self.start.index + len(self.entries)
        if self.hard_state.commit > last:
            problem = f"entries end at {last} but {self.hard_state.commit} is committed"
            return problem + self._newer_snapshot()
        return ""

    def _newer_snapshot(self) -> str:
        if self._newest <= self.start.index:
            return ""
        return f" (starting at {self.start.index}, but a snapshot was taken at {self._newest})"
