"""Small logs for tests: what to put in, how to read one back, where its records start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.etcd import pb
from coreos_py.etcd.wal import WAL, WalContents
from coreos_py.raft.types import ConfChange, Entry, EntryType, HardState

if TYPE_CHECKING:
    from pathlib import Path

# The ids in the recorded log of etcd 2.3.8.
NODE = 0xC15F87B48EB024B1
CLUSTER = 0x519874E7CF555DB2
METADATA = pb.encode_metadata(pb.Metadata(NODE, CLUSTER))
FIRST_NAME = "0000000000000000-0000000000000000.wal"


def put(index: int, *, term: int = 2, value: str = "v") -> Entry:
    """A normal entry holding a PUT."""
    request = pb.Request(index, "PUT", f"/1/k{index}", value)
    return Entry(term, index, EntryType.NORMAL, pb.encode_request(request))


def founding() -> Entry:
    """The conf-change entry that a member's log starts with."""
    context = b'{"id":%d,"peerURLs":["http://127.0.0.1:2380"],"name":"one"}' % NODE
    change = pb.encode_conf_change(ConfChange(0, 0, NODE, context))
    return Entry(1, 1, EntryType.CONF_CHANGE, change)


def write_small_log(directory: Path) -> list[Entry]:
    """A log with every kind of record in it, closed."""
    entries = [founding(), Entry(2, 2), *(put(index) for index in range(3, 7))]
    wal = WAL.create(str(directory), METADATA)
    wal.save(HardState(1, 0, 1), entries[:1], sync=True)
    wal.save(HardState(2, NODE, 1), entries[1:2], sync=True)
    wal.save(HardState(2, NODE, 3), entries[2:4], sync=True)
    wal.save_snapshot(3, 2)
    wal.save(None, entries[4:5], sync=True)
    wal.save(HardState(2, NODE, 5), [], sync=False)
    wal.save(HardState(2, NODE, 5), entries[5:], sync=True)
    wal.close()
    return entries


def read_log(directory: Path, *, at: tuple[int, int] = (0, 0), log=None) -> WalContents:
    """Open for writing, read everything, close."""
    wal = (
        WAL.open(str(directory), at=at) if log is None else WAL.open(str(directory), at=at, log=log)
    )
    try:
        return wal.read_all()
    finally:
        wal.abandon()


def record_starts(data: bytes) -> list[int]:
    """Offsets of the records in intact bytes of a log, and their end, from the lengths alone."""
    starts = [0]
    while starts[-1] < len(data):
        begin = starts[-1]
        starts.append(begin + 8 + int.from_bytes(data[begin : begin + 8], "little"))
    assert starts[-1] == len(data)
    return starts
