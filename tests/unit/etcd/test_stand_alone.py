"""--force-new-cluster keeps what was acknowledged and decides who is a member."""

from __future__ import annotations

import pytest

from coreos_py.etcd import pb
from coreos_py.etcd.membership import Member, member_json
from coreos_py.etcd.stand_alone import committed, stand_alone
from coreos_py.etcd.wal import WAL
from coreos_py.raft.types import ConfChange, ConfChangeType, Entry, EntryType, HardState
from tests.support.waltools import METADATA

ME, SECOND, THIRD, FOURTH = 10, 20, 30, 40
ADD, REMOVE, UPDATE = (
    ConfChangeType.ADD_NODE,
    ConfChangeType.REMOVE_NODE,
    ConfChangeType.UPDATE_NODE,
)


def write(index, term=1):
    return Entry(term, index, EntryType.NORMAL, b"w%d" % index)


def change(index, kind, number, term=1):
    data = pb.encode_conf_change(ConfChange(index, kind, number))
    return Entry(term, index, EntryType.CONF_CHANGE, data)


FOUNDED = [change(1, ADD, ME), change(2, ADD, SECOND), change(3, ADD, THIRD)]


def changes(entries):
    found = [pb.decode_conf_change(entry.data) for entry in entries if entry.type]
    return [(item.type, item.node_id) for item in found]


def test_a_follower_keeps_what_it_has_not_heard_of_as_committed():
    log = [*FOUNDED, write(4, 2), write(5, 2), write(6, 2)]
    alone = stand_alone(ME, (), hard_state=HardState(2, SECOND, 4), entries=log)
    assert alone.kept == log
    assert changes(alone.appended) == [(REMOVE, SECOND), (REMOVE, THIRD)]
    assert [entry[:2] for entry in alone.appended] == [(2, 7), (2, 8)]
    assert alone.hard_state == HardState(2, SECOND, 8)


# the log's end, who is removed, what becomes of the end (None: it stays)
PENDING = [
    ([change(4, REMOVE, ME), write(5)], [SECOND, THIRD], [Entry(1, 4), write(5)]),
    ([write(4), change(5, ADD, FOURTH)], [SECOND, THIRD], [Entry(1, 5)]),
    ([change(4, REMOVE, SECOND), change(5, ADD, FOURTH), write(6)], [SECOND, THIRD],
     [Entry(1, 4), Entry(1, 5), write(6)]),
    ([change(4, UPDATE, ME)], [SECOND, THIRD], [Entry(1, 4)]),
]  # fmt: skip


@pytest.mark.parametrize(("end", "removed", "rewritten"), PENDING)
def test_changes_of_members_that_are_not_committed_do_not_happen(end, removed, rewritten):
    alone = stand_alone(ME, (), hard_state=HardState(1, 0, 3), entries=[*FOUNDED, *end])
    assert alone.appended[: len(rewritten)] == rewritten
    rest = alone.appended[len(rewritten) :]
    assert changes(rest) == [(REMOVE, number) for number in removed]
    whole = alone.kept + alone.appended
    assert [entry.index for entry in whole] == list(range(1, len(whole) + 1))
    assert alone.hard_state.commit == len(whole)


def test_committed_changes_count():
    log = [*FOUNDED, change(4, REMOVE, SECOND), change(5, ADD, FOURTH)]
    alone = stand_alone(ME, (), hard_state=HardState(1, 0, 5), entries=log)
    assert changes(alone.appended) == [(REMOVE, THIRD), (REMOVE, FOURTH)]


def test_voters_of_a_snapshot_count():
    alone = stand_alone(ME, (ME, SECOND), hard_state=HardState(3, 0, 9), entries=[])
    assert alone.kept == []
    assert changes(alone.appended) == [(REMOVE, SECOND)]
    assert alone.appended[0][:2] == (3, 10)


def test_a_backup_has_an_id_that_is_no_member():
    """Seen of etcd 2.3.8: it adds itself with URLs that nobody reaches."""
    alone = stand_alone(99, (ME,), hard_state=HardState(1, 0, 4), entries=[])
    assert changes(alone.appended) == [(REMOVE, ME), (ADD, 99)]
    told = pb.decode_conf_change(alone.appended[1].data).context.decode()
    assert told == member_json(Member(99, ("http://localhost:7001", "http://localhost:2380")))


def test_a_save_that_was_cut_off_leaves_the_term_behind():
    assert committed(HardState(2, 7, 3), [write(4, 3)]) == HardState(3, 0, 4)
    assert committed(HardState(2, 7, 3), []) == HardState(2, 7, 3)
    assert committed(HardState(2, 7, 9), [write(4, 2)]) == HardState(2, 7, 9)


def test_the_log_on_disk_says_the_same(tmp_path):
    log = [*FOUNDED, write(4), change(5, REMOVE, ME), write(6)]
    directory = str(tmp_path / "wal")
    wal = WAL.create(directory, METADATA)
    wal.save(HardState(1, 0, 3), log, sync=True)
    alone = stand_alone(ME, (), hard_state=HardState(1, 0, 3), entries=log)
    wal.save(alone.hard_state, alone.appended, sync=True)
    wal.close()
    wal = WAL.open(directory)
    found = wal.read_all()
    wal.close()
    assert found.entries == alone.kept + alone.appended
    assert found.hard_state == alone.hard_state
    again = stand_alone(ME, (), hard_state=found.hard_state, entries=found.entries)
    assert again == (found.hard_state, found.entries, [])
