"""RaftLog: how entries of a leader meet a follower's log, and how far the disk has followed."""

from __future__ import annotations

import pytest

from coreos_py.raft.errors import CorruptLog
from coreos_py.raft.log import MemoryLog
from coreos_py.raft.raftlog import RaftLog
from coreos_py.raft.types import Entry, EntryType, HardState, Snapshot, SnapshotMeta


def entries(*pairs: tuple[int, int]) -> list[Entry]:
    """(index, term) pairs."""
    return [Entry(term, index) for index, term in pairs]


def log_of(*terms: int, commit: int = 0) -> RaftLog:
    storage = MemoryLog(
        entries=[Entry(term, index) for index, term in enumerate(terms, 1)],
        hard_state=HardState(max(terms, default=0), 0, commit),
    )
    return RaftLog(storage)


def terms(log: RaftLog) -> list[int]:
    storage = log.storage
    return [e.term for e in storage.entries(storage.first_index, storage.last_index + 1)]


@pytest.mark.parametrize(
    ("index", "term", "new", "commit", "result", "after", "committed"),
    [
        # The log is 1 2 3, committed 1.
        (3, 3, [], 3, 3, [1, 2, 3], 3),
        (3, 3, [], 9, 3, [1, 2, 3], 3),
        (3, 3, [], 2, 3, [1, 2, 3], 2),
        (3, 3, [], 0, 3, [1, 2, 3], 1),
        (3, 3, [(4, 4)], 4, 4, [1, 2, 3, 4], 4),
        (3, 3, [(4, 4)], 3, 4, [1, 2, 3, 4], 3),
        (3, 3, [(4, 4), (5, 4)], 9, 5, [1, 2, 3, 4, 4], 5),
        # The entry before differs, or is not there.
        (3, 4, [(4, 4)], 4, None, [1, 2, 3], 1),
        (4, 4, [(5, 4)], 5, None, [1, 2, 3], 1),
        (9, 9, [], 9, None, [1, 2, 3], 1),
        # What is there already is not cut off.
        (1, 1, [(2, 2)], 9, 2, [1, 2, 3], 2),
        (2, 2, [], 9, 2, [1, 2, 3], 2),
        (1, 1, [(2, 2), (3, 3)], 3, 3, [1, 2, 3], 3),
        (1, 1, [(2, 2), (3, 3), (4, 4)], 4, 4, [1, 2, 3, 4], 4),
        # What conflicts is replaced, with all that follows.
        (2, 2, [(3, 4)], 3, 3, [1, 2, 4], 3),
        (1, 1, [(2, 4)], 2, 2, [1, 4], 2),
        (1, 1, [(2, 4), (3, 4)], 1, 3, [1, 4, 4], 1),
    ],
)
def test_append_from_leader(index, term, new, commit, result, after, committed):
    log = log_of(1, 2, 3, commit=1)
    assert log.append_from_leader(index, term, entries(*new), commit=commit) == result
    assert terms(log) == after
    assert log.committed == committed


def test_committed_entries_are_never_replaced():
    log = log_of(1, 2, 3, commit=2)
    with pytest.raises(CorruptLog, match="entry 2 of term 4 conflicts with committed entry"):
        log.append_from_leader(1, 1, entries((2, 4)), commit=0)
    assert terms(log) == [1, 2, 3]


@pytest.mark.parametrize(
    ("index", "term", "newer"),
    [
        (3, 3, True),
        (4, 3, True),
        (1, 4, True),
        (2, 3, False),
        (9, 2, False),
    ],
)
def test_up_to_date_means_last_term_then_length(index, term, newer):
    assert log_of(1, 2, 3).is_up_to_date(index, term) is newer


def test_commit_never_falls_and_never_passes_the_end():
    log = log_of(1, 2, 3, commit=2)
    log.commit_to(1)
    assert log.committed == 2
    with pytest.raises(CorruptLog, match="told to commit 4 but the log ends at 3"):
        log.commit_to(4)


def test_a_commit_index_beyond_the_log_is_refused_at_start():
    with pytest.raises(CorruptLog, match="commit index 5 is beyond the last entry 3"):
        log_of(1, 2, 3, commit=5)


def test_a_snapshot_counts_as_committed_at_start():
    storage = MemoryLog(
        snapshot=Snapshot(b"", SnapshotMeta(7, 2, (1,))), hard_state=HardState(2, 0, 3)
    )
    log = RaftLog(storage)
    assert (log.committed, log.applied, log.stable) == (7, 7, 7)


def test_unstable_entries_are_handed_out_until_saved():
    log = log_of(1, 1)
    assert log.unstable() == []
    log.append_from_leader(2, 1, entries((3, 2), (4, 2)), commit=0)
    assert log.unstable() == entries((3, 2), (4, 2))
    assert log.stable == 2
    log.append_from_leader(4, 2, entries((5, 2)), commit=0)
    log.saved()
    assert log.stable == 4
    assert log.unstable() == entries((5, 2))


def test_what_was_cut_off_while_it_was_saved_is_not_stable():
    log = log_of(1, 1)
    log.append_from_leader(2, 1, entries((3, 2), (4, 2), (5, 2)), commit=0)
    log.unstable()
    log.append_from_leader(3, 2, entries((4, 3)), commit=0)
    log.saved()
    assert log.stable == 3
    assert log.unstable() == entries((4, 3))


def test_cutting_off_stable_entries_makes_their_place_unstable():
    log = log_of(1, 1, 1)
    log.append_from_leader(1, 1, entries((2, 3)), commit=0)
    assert log.stable == 1
    assert log.unstable() == entries((2, 3))


def test_next_committed_follows_the_snapshot():
    log = log_of(1, 1, 1, commit=2)
    assert log.next_committed() == entries((1, 1), (2, 1))
    log.applied = 2
    assert log.next_committed() == []
    log.restore(Snapshot(b"", SnapshotMeta(9, 4, (1,))))
    assert log.next_committed() == []
    log.append_from_leader(9, 4, entries((10, 4)), commit=10)
    assert log.next_committed() == entries((10, 4))
    assert log.unstable() == entries((10, 4))


def test_last_conf_change():
    log = log_of(1)
    conf = EntryType.CONF_CHANGE
    new = [Entry(1, 2, conf), Entry(1, 3), Entry(1, 4, conf), Entry(1, 5)]
    log.append_from_leader(1, 1, new, commit=0)
    assert [log.last_conf_change(after=i) for i in (0, 2, 3, 4, 5)] == [4, 4, 4, 0, 0]
