"""MemoryLog: a list with an offset and a snapshot in front of it."""

from __future__ import annotations

import random

import pytest

from coreos_py.raft.errors import Compacted, CorruptLog
from coreos_py.raft.log import ENTRY_OVERHEAD_BYTES, MemoryLog
from coreos_py.raft.types import Entry, HardState, Snapshot, SnapshotMeta


def entry(term: int, index: int, size: int = 0) -> Entry:
    return Entry(term, index, 0, b"x" * size)


def log_of(*terms: int, start: tuple[int, int] = (0, 0)) -> MemoryLog:
    """A log behind a snapshot at (index, term), with one entry per term."""
    index, term = start
    snapshot = Snapshot(b"data", SnapshotMeta(index, term, (1,))) if index else None
    return MemoryLog(
        snapshot=snapshot, entries=[entry(t, index + i) for i, t in enumerate(terms, 1)]
    )


@pytest.mark.parametrize(
    ("log", "first", "last", "last_term"),
    [
        (log_of(), 1, 0, 0),
        (log_of(1, 1, 2), 1, 3, 2),
        (log_of(start=(5, 3)), 6, 5, 3),
        (log_of(3, 4, start=(5, 3)), 6, 7, 4),
    ],
)
def test_bounds(log, first, last, last_term):
    assert (log.first_index, log.last_index, log.last_term) == (first, last, last_term)


@pytest.mark.parametrize(
    ("index", "term"), [(3, 0), (4, 0), (5, 3), (6, 3), (7, 4), (8, 0), (1000, 0)]
)
def test_term_is_zero_outside_the_log(index, term):
    log = log_of(3, 4, start=(5, 3))
    assert log.term(index) == term
    assert log.matches(index, term) == (term != 0)
    assert not log.matches(index, 99)


def test_an_empty_log_matches_its_beginning():
    assert log_of().matches(0, 0)


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ([entry(1, 7)], "entry 7 found where 6 belongs"),
        ([entry(3, 6), entry(3, 8)], "entry 8 found where 7 belongs"),
        ([entry(3, 6), entry(3, 6)], "entry 6 found where 7 belongs"),
        ([entry(2, 6)], "entry 6 of term 2 follows term 3"),
        ([entry(5, 6), entry(4, 7)], "entry 7 of term 4 follows term 5"),
    ],
)
def test_a_log_that_cannot_be_is_refused(entries, problem):
    snapshot = Snapshot(b"", SnapshotMeta(5, 3, (1,)))
    with pytest.raises(CorruptLog, match=problem):
        MemoryLog(snapshot=snapshot, entries=entries)


def test_entries_are_cut_by_size_but_never_to_nothing():
    sizes = [10, 20, 30, 40]
    log = MemoryLog(entries=[entry(1, i, size) for i, size in enumerate(sizes, 1)])
    cost = [size + ENTRY_OVERHEAD_BYTES for size in sizes]
    for limit, count in [
        (0, 1),
        (cost[0] - 1, 1),
        (cost[0], 1),
        (cost[0] + cost[1] - 1, 1),
        (cost[0] + cost[1], 2),
        (sum(cost) - 1, 3),
        (sum(cost), 4),
        (1 << 30, 4),
        (None, 4),
    ]:
        assert [e.index for e in log.entries(1, 5, limit)] == list(range(1, count + 1)), limit
    assert [e.index for e in log.entries(2, 4, cost[1])] == [2]
    assert log.entries(3, 3) == []


def test_size_limits_against_the_obvious_algorithm(rng: random.Random):
    log = MemoryLog()
    for _ in range(300):
        match rng.randrange(4):
            case 0 | 1:
                count = rng.randrange(1, 6)
                first = log.last_index + 1
                log.append([entry(1, first + i, rng.randrange(50)) for i in range(count)])
            case 2:
                if log.last_index >= log.first_index:
                    log.truncate(rng.randrange(log.first_index - 1, log.last_index + 1))
            case 3:
                if log.last_index > log.snapshot_meta.index:
                    log.create_snapshot(log.last_index, nodes=(1,), data=b"")
                    log.compact(rng.randrange(log.first_index, log.last_index + 1))
        lo = rng.randrange(log.first_index, log.last_index + 2)
        limit = rng.randrange(300)
        expected: list[Entry] = []
        size = 0
        for candidate in log.entries(lo, log.last_index + 1):
            size += len(candidate.data) + ENTRY_OVERHEAD_BYTES
            if expected and size > limit:
                break
            expected.append(candidate)
        assert log.entries(lo, log.last_index + 1, limit) == expected


def test_compacted_entries_cannot_be_had():
    log = log_of(3, 4, start=(5, 3))
    with pytest.raises(Compacted, match="entries before 6 are compacted, asked for 5"):
        log.entries(5, 7)


def test_compaction_keeps_the_term_before_the_first_entry():
    log = log_of(1, 1, 2, 3)
    log.create_snapshot(3, nodes=(2, 1), data=b"state")
    log.compact(2)
    assert (log.first_index, log.last_index) == (3, 4)
    assert (log.term(1), log.term(2), log.term(3)) == (0, 1, 2)
    log.compact(1)
    log.compact(2)
    assert log.first_index == 3
    assert log.snapshot() == Snapshot(b"state", SnapshotMeta(3, 2, (1, 2)))


def test_compaction_stays_behind_the_snapshot():
    log = log_of(1, 1, 1)
    log.create_snapshot(2, nodes=(1,), data=b"")
    with pytest.raises(Compacted, match="cannot compact to 3: snapshot is at 2"):
        log.compact(3)


def test_an_older_snapshot_is_not_recorded():
    log = log_of(1, 1, 1)
    log.create_snapshot(2, nodes=(1,), data=b"two")
    log.create_snapshot(1, nodes=(1,), data=b"one")
    assert log.snapshot() == Snapshot(b"two", SnapshotMeta(2, 1, (1,)))
    with pytest.raises(Compacted, match="no entry 4"):
        log.create_snapshot(4, nodes=(1,), data=b"")


def test_snapshot_data_is_loaded_when_it_is_needed():
    log = log_of(1, 1)
    assert log.snapshot() is None
    answers = [None, b"later"]
    log.create_snapshot(2, nodes=(1,), data=lambda: answers.pop(0))
    assert log.snapshot() is None
    assert log.snapshot() == Snapshot(b"later", SnapshotMeta(2, 1, (1,)))
    log.supply_snapshot(b"elsewhere")
    assert log.snapshot() == Snapshot(b"elsewhere", SnapshotMeta(2, 1, (1,)))


def test_a_foreign_snapshot_replaces_everything():
    log = log_of(1, 1, 1)
    log.apply_snapshot(Snapshot(b"s", SnapshotMeta(10, 4, (1, 2))))
    assert (log.first_index, log.last_index, log.last_term) == (11, 10, 4)
    log.append([entry(5, 11, 3)])
    assert log.entries(11, 12, 0) == [entry(5, 11, 3)]


def test_hard_state_is_what_it_was_given():
    assert MemoryLog(hard_state=HardState(3, 2, 0)).hard_state == HardState(3, 2, 0)
