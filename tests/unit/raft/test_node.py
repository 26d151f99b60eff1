"""RawNode: what a driver may do when, and what it is handed."""

from __future__ import annotations

import random

import pytest

from coreos_py.raft.errors import NotLeader, ProposalDropped
from coreos_py.raft.log import MemoryLog
from coreos_py.raft.node import Config, RawNode
from coreos_py.raft.progress import State
from coreos_py.raft.types import (
    ConfChange,
    ConfChangeType,
    Entry,
    EntryType,
    HardState,
    Message,
    MsgType,
    ReadState,
    Role,
    Snapshot,
    SnapshotMeta,
    SoftState,
)
from tests.unit.raft.nodes import START, Dice, answer, drain, leader, node, of, tick, turn


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"id": 0}, "node id must be positive, not 0"),
        ({"id": 1, "heartbeat_ticks": 0}, "heartbeat_ticks must be at least 1, not 0"),
        ({"id": 1, "election_ticks": 1}, r"election_ticks \(1\) must be greater than"),
        ({"id": 1, "max_inflight": 0}, "max_inflight must be at least 1, not 0"),
    ],
)
def test_impossible_configurations(fields, problem):
    with pytest.raises(ValueError, match=problem):
        RawNode(Config(**fields), MemoryLog(), rng=Dice())


def test_founding_a_cluster():
    """Entries 1..n of term 1 in the given order, hard state {1, 0, n}: what etcd 2.3 writes."""
    raw = RawNode(Config(7), MemoryLog(), rng=Dice())
    raw.bootstrap([(7, b"add 7"), (9, b"add 9"), (3, b"add 3")])
    ready = raw.ready()
    conf = EntryType.CONF_CHANGE
    assert ready.entries == [
        Entry(1, 1, conf, b"add 7"),
        Entry(1, 2, conf, b"add 9"),
        Entry(1, 3, conf, b"add 3"),
    ]
    assert ready.committed == ready.entries
    assert ready.hard_state == HardState(1, 0, 3)
    assert ready.must_sync
    for member in (7, 9, 3):
        nodes = raw.apply_conf_change(ConfChange(0, ConfChangeType.ADD_NODE, member))
    assert nodes == raw.nodes == (3, 7, 9)
    raw.advance(ready)
    assert not raw.has_ready()
    raw.campaign()
    assert raw.role == Role.CANDIDATE


def test_only_an_empty_node_can_found_a_cluster():
    with pytest.raises(ValueError, match="only an empty node"):
        node().bootstrap([(1, b"")])


def test_a_newcomer_waits_for_a_leader():
    raw = RawNode(Config(4), MemoryLog(), rng=Dice())
    assert not raw.has_ready()
    assert tick(raw, 100) == []
    assert (raw.term, raw.role, raw.nodes) == (0, Role.FOLLOWER, ())


def test_restart_hands_out_what_was_committed_after_the_snapshot():
    storage = MemoryLog(
        snapshot=Snapshot(b"", SnapshotMeta(4, 2, (1, 2))),
        entries=[Entry(2, 5), Entry(3, 6), Entry(3, 7)],
        hard_state=HardState(3, 2, 6),
    )
    raw = RawNode(Config(1), storage, rng=Dice())
    assert (raw.term, raw.vote, raw.committed, raw.applied) == (3, 2, 6, 4)
    ready = turn(raw)
    assert ready.committed == [Entry(2, 5), Entry(3, 6)]
    assert (ready.entries, ready.hard_state, ready.messages) == ([], None, [])
    assert not ready.must_sync
    assert raw.applied == 6
    assert not raw.has_ready()


def test_entries_on_disk_without_their_hard_state_raise_the_term():
    """A crash between the two parts of one save: the term is that of the log, no vote was cast."""
    storage = MemoryLog(entries=[Entry(5, 1)], hard_state=HardState(4, 2, 0))
    raw = RawNode(Config(1), storage, rng=Dice())
    assert (raw.term, raw.vote) == (5, 0)
    ready = turn(raw)
    assert ready.hard_state == HardState(5, 0, 0)
    assert ready.must_sync


def test_one_ready_at_a_time():
    raw = leader()
    raw.propose([b"a"])
    ready = raw.ready()
    raw.propose([b"b"])
    assert not raw.has_ready()
    with pytest.raises(RuntimeError, match="has not been advanced"):
        raw.ready()
    with pytest.raises(RuntimeError, match="takes the Ready that is out"):
        raw.advance(ready._replace())
    raw.advance(ready)
    assert [e.data for e in raw.ready().entries] == [b"b"]


def test_a_ready_tells_only_what_is_new():
    raw = leader()
    raw.propose([b"a"])
    ready = turn(raw)
    assert (ready.soft_state, ready.hard_state, ready.snapshot) == (None, None, None)
    raw.step(answer(raw, MsgType.APP_RESP, 2, index=raw.storage.last_index))
    ready = turn(raw)
    assert ready.hard_state == HardState(2, 1, START + 2)
    assert not ready.must_sync
    raw.step(answer(raw, MsgType.HEARTBEAT, 3, term=5, commit=0))
    ready = turn(raw)
    assert ready.soft_state == SoftState(3, Role.FOLLOWER)
    assert ready.hard_state == HardState(5, 0, START + 2)
    assert ready.must_sync


def test_a_conf_change_is_synced_before_it_is_applied():
    raw = leader(nodes=(1,))
    raw.propose_conf(b"")
    turn(raw)
    ready = raw.ready()
    assert [e.type for e in ready.committed] == [EntryType.CONF_CHANGE]
    assert ready.entries == []
    assert ready.must_sync


def test_proposals_of_a_turn_are_one_message_per_follower():
    raw = leader()
    for number in range(64):
        raw.propose([b"%d" % number])
    ready = turn(raw)
    assert len(ready.entries) == 64
    assert [(m.to, len(m.entries)) for m in ready.messages] == [(2, 64), (3, 64)]


def test_an_empty_proposal_does_nothing():
    raw = leader()
    last = raw.storage.last_index
    raw.propose([])
    drain(raw)
    assert raw.storage.last_index == last


def test_proposals_without_a_leader_are_dropped():
    raw = node(term=3)
    with pytest.raises(ProposalDropped, match="no leader at term 3"):
        raw.propose([b"a"])
    with pytest.raises(ProposalDropped, match="no leader at term 3"):
        raw.propose_conf(b"a")


def test_a_removed_leader_takes_nothing():
    raw = leader()
    raw.apply_conf_change(ConfChange(0, ConfChangeType.REMOVE_NODE, 1))
    with pytest.raises(ProposalDropped, match="has been removed"):
        raw.propose([b"a"])
    with pytest.raises(ProposalDropped, match="has been removed"):
        raw.propose_conf(b"a")
    with pytest.raises(NotLeader):
        raw.read_index(b"r")
    last = raw.storage.last_index
    raw.step(Message(MsgType.PROP, 1, 2, 0, entries=(Entry(0, 0, 0, b"x"),)))
    assert raw.storage.last_index == last


@pytest.mark.parametrize(
    "kind",
    [
        MsgType.HUP,
        MsgType.BEAT,
        MsgType.UNREACHABLE,
        MsgType.SNAP_STATUS,
        MsgType.CHECK_QUORUM,
        99,
    ],
)
def test_local_and_unknown_messages_from_the_network_are_ignored(kind):
    raw = leader()
    before = raw.status()
    raw.step(Message(kind, 1, 2, raw.term))
    assert raw.status() == before
    assert not raw.has_ready()


@pytest.mark.parametrize("kind", [MsgType.APP_RESP, MsgType.VOTE_RESP, MsgType.HEARTBEAT_RESP])
def test_answers_of_strangers_are_ignored_whatever_their_term(kind):
    raw = leader()
    raw.step(answer(raw, kind, 9, term=50))
    assert (raw.role, raw.term) == (Role.LEADER, 2)


def test_strangers_may_ask_and_lead():
    raw = node()
    raw.step(answer(raw, MsgType.VOTE, 9, term=5, index=START, log_term=1))
    (reply,) = drain(raw)
    assert (reply.to, reply.reject) == (9, False)


def test_what_speaks_of_the_disk_waits_for_it():
    raw = node()
    entry = Entry(1, START + 1, 0, b"x")
    append = answer(raw, MsgType.APP, 2, index=START, log_term=1, entries=(entry,))
    raw.step(append)
    raw.step(answer(raw, MsgType.HEARTBEAT, 2, commit=START))
    assert [m.type for m in raw.early_messages()] == [MsgType.HEARTBEAT_RESP]
    ready = raw.ready()
    assert [m.type for m in ready.messages] == [MsgType.APP_RESP]
    raw.step(append)
    raw.step(answer(raw, MsgType.VOTE, 3, term=4, index=START + 9, log_term=3))
    assert raw.early_messages() == []
    raw.advance(ready)
    ready = raw.ready()
    assert [m.type for m in ready.messages] == [MsgType.APP_RESP, MsgType.VOTE_RESP]
    assert ready.hard_state == HardState(4, 3, START)


def test_nothing_of_a_term_leaves_before_the_term_is_saved():
    raw = node()
    raw.step(answer(raw, MsgType.HEARTBEAT, 2, term=6, commit=START))
    assert raw.early_messages() == []
    ready = raw.ready()
    assert [m.type for m in ready.messages] == [MsgType.HEARTBEAT_RESP]
    raw.step(answer(raw, MsgType.HEARTBEAT, 2, term=6, commit=START))
    assert raw.early_messages() == []
    raw.advance(ready)
    assert [m.type for m in raw.early_messages()] == [MsgType.HEARTBEAT_RESP]


def test_a_leader_sends_while_its_disk_is_busy():
    raw = leader()
    raw.propose([b"a"])
    ready = raw.ready()
    raw.propose([b"b"])
    raw.tick()
    early = raw.early_messages()
    assert [(m.type, m.to) for m in of(early, MsgType.APP)] == [(MsgType.APP, 2), (MsgType.APP, 3)]
    assert len(of(early, MsgType.HEARTBEAT)) == 2
    assert all(m.entries[0].data == b"b" for m in of(early, MsgType.APP))
    raw.advance(ready)
    assert raw.ready().messages == []


def test_a_leader_counts_its_own_copy_when_it_is_saved():
    raw = leader(nodes=(1,))
    raw.propose([b"a"])
    ready = raw.ready()
    last = raw.storage.last_index
    assert raw.committed == last - 1
    raw.advance(ready)
    assert raw.committed == last
    assert turn(raw).committed == ready.entries


def test_old_promises_do_not_leave_early_with_a_leaders_messages():
    """A lone member may grant a vote and then elect itself before anything is saved."""
    raw = node(nodes=(1,))
    raw.step(answer(raw, MsgType.VOTE, 9, term=5, index=START, log_term=1))
    raw.campaign()
    assert raw.role == Role.LEADER
    assert turn(raw).messages == []


def test_a_snapshot_that_arrives_during_a_save_waits():
    raw = node()
    raw.step(answer(raw, MsgType.APP, 2, index=START, log_term=1, entries=(Entry(1, START + 1),)))
    ready = raw.ready()
    snapshot = Snapshot(b"s", SnapshotMeta(START + 9, 1, (1, 2)))
    raw.step(answer(raw, MsgType.SNAP, 2, snapshot=snapshot))
    assert raw.storage.last_index == START + 1
    raw.advance(ready)
    ready = turn(raw)
    assert ready.snapshot == snapshot
    assert (raw.applied, raw.committed, raw.nodes) == (START + 9, START + 9, (1, 2))


def test_snapshot_reports_end_the_pause():
    for ok, next_index in ((True, START + 3), (False, START + 2)):
        raw = leader()
        raw.propose([b"a"])
        turn(raw)
        raw.step(answer(raw, MsgType.APP_RESP, 2, index=START + 2))
        drain(raw)
        raw.storage.create_snapshot(START + 2, nodes=(1, 2, 3), data=b"")
        raw.storage.compact(START + 2)
        raw.report_unreachable(3)
        raw.step(answer(raw, MsgType.HEARTBEAT_RESP, 3))
        drain(raw)
        assert raw.status().progress[3].state == State.SNAPSHOT
        raw.report_snapshot(3, ok=ok)
        progress = raw.status().progress[3]
        assert (progress.state, progress.next, progress.paused) == (State.PROBE, next_index, True)
        raw.report_snapshot(3, ok=not ok)
        raw.report_snapshot(9, ok=ok)
        assert raw.status().progress[3] == progress


def test_reports_to_a_follower_are_nothing():
    raw = node()
    raw.report_unreachable(2)
    raw.report_snapshot(2, ok=True)
    assert not raw.has_ready()


def test_reads_are_for_the_leader():
    with pytest.raises(NotLeader, match=r"reads are ordered by the leader \(0\)"):
        node().read_index(b"r")


def test_reads_of_a_turn_share_a_round():
    raw = leader()
    for context in (b"a", b"b"):
        raw.read_index(context)
    beats = turn(raw).messages
    assert len(beats) == 2
    assert beats[0].context == beats[1].context != b""
    raw.step(answer(raw, MsgType.HEARTBEAT_RESP, 2, context=beats[0].context))
    index = raw.committed
    assert turn(raw).read_states == [ReadState(index, b"a"), ReadState(index, b"b")]


def test_a_follower_returns_the_context_it_was_given():
    raw = node()
    raw.step(answer(raw, MsgType.HEARTBEAT, 2, commit=START, context=b"round"))
    (reply,) = drain(raw)
    assert reply.context == b"round"


def test_a_lone_leader_needs_no_round():
    raw = leader(nodes=(1,))
    raw.read_index(b"r")
    ready = turn(raw)
    assert (ready.read_states, ready.messages) == ([ReadState(raw.committed, b"r")], [])


def test_a_read_waits_for_the_first_commit_of_the_term_without_keeping_the_driver_busy():
    raw = node()
    raw.campaign()
    drain(raw)
    raw.step(answer(raw, MsgType.VOTE_RESP, 2))
    raw.read_index(b"r")
    drain(raw)
    assert not raw.has_ready()
    raw.step(answer(raw, MsgType.APP_RESP, 2, index=START + 1))
    (beat, _) = of(drain(raw), MsgType.HEARTBEAT)
    raw.step(answer(raw, MsgType.HEARTBEAT_RESP, 3, context=beat.context))
    assert turn(raw).read_states == [ReadState(START + 1, b"r")]


def test_reads_are_forgotten_with_the_leadership():
    raw = leader()
    raw.read_index(b"r")
    (beat, _) = drain(raw)
    raw.step(answer(raw, MsgType.VOTE, 3, term=9, index=START, log_term=1))
    drain(raw)
    raw.step(answer(raw, MsgType.HEARTBEAT_RESP, 2, term=9, context=beat.context))
    assert drain(raw) == []


def test_a_removal_settles_reads_and_commits_that_wait_for_the_removed():
    raw = leader(nodes=(1, 2))
    raw.propose([b"a"])
    raw.read_index(b"r")
    turn(raw)
    index = raw.committed
    raw.apply_conf_change(ConfChange(0, ConfChangeType.REMOVE_NODE, 2))
    assert raw.committed == index + 1
    assert turn(raw).read_states == [ReadState(index, b"r")]


@pytest.mark.parametrize(
    ("kind", "member", "nodes"),
    [
        (ConfChangeType.ADD_NODE, 4, (1, 2, 3, 4)),
        (ConfChangeType.ADD_NODE, 2, (1, 2, 3)),
        (ConfChangeType.REMOVE_NODE, 2, (1, 3)),
        (ConfChangeType.REMOVE_NODE, 9, (1, 2, 3)),
        (ConfChangeType.UPDATE_NODE, 2, (1, 2, 3)),
        (ConfChangeType.ADD_NODE, 0, (1, 2, 3)),
        (ConfChangeType.REMOVE_NODE, 0, (1, 2, 3)),
    ],
)
def test_apply_conf_change(kind, member, nodes):
    raw = leader()
    before = raw.status().progress
    assert raw.apply_conf_change(ConfChange(1, kind, member)) == nodes == raw.nodes
    after = raw.status().progress
    assert all(after[peer] == before[peer] for peer in nodes if peer in before)


def test_removing_the_last_member_leaves_nothing_to_do():
    raw = leader(nodes=(1,))
    assert raw.apply_conf_change(ConfChange(1, ConfChangeType.REMOVE_NODE, 1)) == ()
    tick(raw, 5)


def test_status_of_a_leader_has_everybodys_progress():
    status = leader().status()
    assert (status.id, status.leader, status.role, status.term) == (1, 1, Role.LEADER, 2)
    assert sorted(status.progress) == [1, 2, 3]
    assert status.progress[2] == (START + 1, START + 2, State.REPLICATE, False)
    assert node().status().progress == {}


def test_the_window_limits_what_one_turn_sends():
    raw = leader(max_size_per_msg=1, max_inflight=100)
    raw.propose([b"x"] * 40)
    sent = [m for m in turn(raw).messages if m.to == 2]
    assert [len(m.entries) for m in sent] == [1] * 16
    raw.step(answer(raw, MsgType.APP_RESP, 2, index=sent[0].entries[-1].index))
    more = [m for m in turn(raw).messages if m.to == 2]
    assert more[0].index == sent[-1].entries[-1].index
    assert len(more) == 16


def test_a_random_storm_of_messages_breaks_no_node(rng: random.Random):
    """Whatever well-formed messages arrive in whatever order, a follower stays consistent."""
    for _ in range(100):
        raw = node(terms=(1, 1, 2), term=2)
        for _ in range(40):
            kind = rng.choice(
                [MsgType.APP_RESP, MsgType.VOTE, MsgType.VOTE_RESP, MsgType.HEARTBEAT]
            )
            index = rng.randrange(START, START + 5)
            raw.step(
                Message(
                    kind,
                    1,
                    rng.choice((2, 3, 9)),
                    rng.randrange(0, 6),
                    log_term=rng.randrange(3),
                    index=index,
                    commit=rng.randrange(START + 1),
                    reject=rng.random() < 0.3,
                    reject_hint=index,
                )
            )
            if rng.random() < 0.5:
                raw.tick()
            drain(raw)
        assert START <= raw.applied == raw.committed <= raw.storage.last_index
