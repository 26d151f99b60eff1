"""The rules of the raft paper (Ongaro, Ousterhout 2014), by section, one node at a time."""

from __future__ import annotations

import random

import pytest

from coreos_py.raft.errors import CorruptLog
from coreos_py.raft.log import MemoryLog
from coreos_py.raft.node import Config, RawNode
from coreos_py.raft.types import (
    ConfChange,
    Entry,
    EntryType,
    Message,
    MsgType,
    Role,
    Snapshot,
    SnapshotMeta,
)
from tests.unit.raft.nodes import START, answer, candidate, drain, leader, node, of, tick, turn

APP, APP_RESP, VOTE, VOTE_RESP = MsgType.APP, MsgType.APP_RESP, MsgType.VOTE, MsgType.VOTE_RESP
HEARTBEAT, HEARTBEAT_RESP, SNAP, PROP = (
    MsgType.HEARTBEAT,
    MsgType.HEARTBEAT_RESP,
    MsgType.SNAP,
    MsgType.PROP,
)

# -- 5.1 terms ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [node, candidate, leader])
@pytest.mark.parametrize(
    ("kind", "leader_after"),
    [(APP, 2), (HEARTBEAT, 2), (VOTE, 0), (APP_RESP, 2), (HEARTBEAT_RESP, 2), (VOTE_RESP, 2)],
)
def test_a_later_term_makes_a_follower(make, kind, leader_after):
    raw = make()
    later = raw.term + 5
    raw.step(answer(raw, kind, 2, term=later, index=START))
    assert (raw.role, raw.term, raw.leader) == (Role.FOLLOWER, later, leader_after)


@pytest.mark.parametrize("make", [node, candidate, leader])
@pytest.mark.parametrize("kind", [APP, HEARTBEAT, VOTE, APP_RESP, HEARTBEAT_RESP, VOTE_RESP, SNAP])
@pytest.mark.parametrize("term", [0, 3])
def test_an_earlier_term_is_ignored_without_an_answer(make, kind, term):
    raw = make(term=8)
    before = raw.status()
    snapshot = Snapshot(b"", SnapshotMeta(START + 9, 2, (1, 2)))
    raw.step(answer(raw, kind, 2, term=term, index=START, commit=START, snapshot=snapshot))
    assert not raw.has_ready()
    assert raw.status() == before


def test_who_cannot_stand_answers_an_earlier_leader_by_asking_for_a_vote():
    """Without it a newcomer that was talked into a later term would never follow (not in 2.3)."""
    raw = node(4, nodes=(1, 2, 3), term=8)
    raw.step(answer(raw, HEARTBEAT, 1, term=5))
    raw.step(answer(raw, VOTE, 2, term=5))
    (asked,) = drain(raw)
    assert (asked.type, asked.to, asked.term) == (VOTE, 1, 8)


# -- 5.2 election ---------------------------------------------------------------------------


def test_a_node_starts_as_a_follower_and_stays_one_while_it_hears_a_leader():
    raw = node()
    for _ in range(5):
        tick(raw, 9)
        raw.step(answer(raw, HEARTBEAT, 2, commit=START))
        drain(raw)
    assert (raw.role, raw.term, raw.leader) == (Role.FOLLOWER, 1, 2)


def test_without_a_leader_it_stands_for_the_next_term_and_votes_for_itself():
    raw = node(terms=(1, 1))
    assert tick(raw, 10) == []
    votes = tick(raw, 1)
    assert (raw.role, raw.term, raw.vote, raw.leader) == (Role.CANDIDATE, 2, 1, 0)
    assert [(m.type, m.to, m.term, m.index, m.log_term) for m in votes] == [
        (VOTE, 2, 2, START + 2, 1),
        (VOTE, 3, 2, START + 2, 1),
    ]


def test_an_unsuccessful_candidate_stands_again_in_another_term():
    raw = candidate()
    tick(raw, 11)
    assert (raw.role, raw.term) == (Role.CANDIDATE, 3)


@pytest.mark.parametrize(
    ("size", "yes", "no", "role"),
    [
        (1, [], [], Role.LEADER),
        (2, [], [], Role.CANDIDATE),
        (2, [2], [], Role.LEADER),
        (3, [2], [], Role.LEADER),
        (3, [], [2], Role.CANDIDATE),
        (3, [], [2, 3], Role.FOLLOWER),
        (4, [2], [], Role.CANDIDATE),
        (4, [2, 3], [], Role.LEADER),
        (5, [2], [3, 4], Role.CANDIDATE),
        (5, [2, 3], [4], Role.LEADER),
        (5, [2], [3, 4, 5], Role.FOLLOWER),
    ],
)
def test_a_majority_decides(size, yes, no, role):
    raw = candidate(nodes=range(1, size + 1))
    for peer in no:
        raw.step(answer(raw, VOTE_RESP, peer, reject=True))
    for peer in yes:
        raw.step(answer(raw, VOTE_RESP, peer))
    assert raw.role == role
    assert raw.term == 2


def test_a_vote_counts_once_and_the_first_answer_holds():
    raw = candidate(nodes=(1, 2, 3, 4, 5))
    for reject in (False, False, True, True):
        raw.step(answer(raw, VOTE_RESP, 2, reject=reject))
    raw.step(answer(raw, VOTE_RESP, 9))
    assert raw.role == Role.CANDIDATE


@pytest.mark.parametrize(
    ("vote", "asks", "granted"), [(0, 2, True), (0, 3, True), (2, 2, True), (2, 3, False)]
)
def test_one_vote_per_term_first_come_first_served(vote, asks, granted):
    raw = node(vote=vote)
    raw.step(answer(raw, VOTE, asks, index=START, log_term=1))
    (reply,) = drain(raw)
    assert (reply.type, reply.to, reply.reject) == (VOTE_RESP, asks, not granted)
    assert raw.vote == (asks if granted else vote)


@pytest.mark.parametrize("make", [candidate, leader])
def test_candidates_and_leaders_refuse_votes_of_their_term(make):
    raw = make()
    raw.step(answer(raw, VOTE, 2, index=START + 99, log_term=raw.term))
    (reply,) = drain(raw)
    assert (reply.type, reply.reject, raw.vote) == (VOTE_RESP, True, 1)


@pytest.mark.parametrize("kind", [APP, HEARTBEAT])
def test_a_candidate_gives_in_to_a_leader_of_its_term(kind):
    raw = candidate()
    raw.step(answer(raw, kind, 3, index=START, log_term=1, commit=START))
    assert (raw.role, raw.leader) == (Role.FOLLOWER, 3)


def test_granting_a_vote_restarts_the_clock_but_refusing_does_not():
    for log_term, role in ((1, Role.FOLLOWER), (0, Role.CANDIDATE)):
        raw = node()
        tick(raw, 6)
        raw.step(answer(raw, VOTE, 2, index=START, log_term=log_term))
        tick(raw, 6)
        assert raw.role == role


def test_timeouts_are_random_between_one_and_two_periods():
    seen = set()
    for seed in range(200):
        storage = MemoryLog(snapshot=Snapshot(b"", SnapshotMeta(START, 1, (1, 2, 3))))
        raw = RawNode(Config(1, election_ticks=10), storage, rng=random.Random(seed))
        for round_ in range(1, 4):
            ticks = 0
            while raw.term <= round_:
                raw.tick()
                ticks += 1
            seen.add(ticks)
    assert seen == set(range(11, 20))


def test_a_leader_sends_heartbeats_and_nothing_else_while_idle():
    raw = leader(heartbeat_ticks=2, check_quorum=False)
    for count in (0, 2, 0, 2):
        beats = tick(raw, 1)
        assert [(m.type, m.to) for m in beats] == [(HEARTBEAT, 2), (HEARTBEAT, 3)][:count]


def test_who_has_no_vote_does_not_stand():
    raw = node(4, nodes=(1, 2, 3))
    tick(raw, 100)
    raw.campaign()
    assert (raw.role, raw.term) == (Role.FOLLOWER, 1)


def test_a_leader_does_not_stand_again():
    raw = leader()
    raw.campaign()
    assert (raw.role, raw.term) == (Role.LEADER, 2)


# -- 5.3 replication ------------------------------------------------------------------------


def test_a_new_leader_appends_an_empty_entry_of_its_term():
    raw = leader(terms=(1,))
    assert raw.storage.entries(START + 2, START + 3) == [Entry(2, START + 2)]


def test_a_leader_appends_and_sends_what_precedes():
    raw = leader()
    last = raw.storage.last_index
    raw.propose([b"a", b"b"])
    ready = turn(raw)
    new = [Entry(2, last + 1, 0, b"a"), Entry(2, last + 2, 0, b"b")]
    assert ready.entries == new
    assert [(m.to, m.index, m.log_term, list(m.entries), m.commit) for m in ready.messages] == [
        (2, last, 2, new, last),
        (3, last, 2, new, last),
    ]


@pytest.mark.parametrize(
    ("size", "acks", "committed"),
    [
        (1, [], True),
        (2, [], False),
        (2, [2], True),
        (3, [], False),
        (3, [2], True),
        (5, [2], False),
        (5, [2, 3], True),
        (5, [2, 2, 2], False),
        (5, [2, 9], False),
    ],
)
def test_a_majority_commits(size, acks, committed):
    raw = leader(nodes=range(1, size + 1))
    raw.propose([b"x"])
    turn(raw)
    last = raw.storage.last_index
    for peer in acks:
        raw.step(answer(raw, APP_RESP, peer, index=last))
    assert (raw.committed == last) is committed


def test_the_commit_index_against_counting(rng: random.Random):
    """Sorting matches gives the highest index that a majority has."""
    for _ in range(200):
        size = rng.choice((1, 2, 3, 4, 5, 6, 7))
        raw = leader(nodes=range(1, size + 1))
        raw.propose([b"x"] * 20)
        turn(raw)
        base, last = raw.committed, raw.storage.last_index
        matches = {1: last}
        for peer in range(2, size + 1):
            matches[peer] = rng.randrange(START + 1, last + 1)
            raw.step(answer(raw, APP_RESP, peer, index=matches[peer]))
        by_counting = max(
            index
            for index in range(START, last + 1)
            if sum(match >= index for match in matches.values()) > size // 2
        )
        assert raw.committed == max(base, by_counting)


def test_a_follower_applies_in_order_what_the_leader_has_committed():
    raw = node()
    new = (Entry(1, START + 1, 0, b"a"), Entry(1, START + 2, 0, b"b"))
    raw.step(answer(raw, APP, 2, index=START, log_term=1, entries=new, commit=START + 1))
    ready = turn(raw)
    assert ready.entries == list(new)
    assert ready.committed == [new[0]]
    (reply,) = ready.messages
    assert (reply.type, reply.index, reply.reject) == (APP_RESP, START + 2, False)
    raw.step(answer(raw, HEARTBEAT, 2, commit=START + 2))
    assert turn(raw).committed == [new[1]]


@pytest.mark.parametrize(
    ("index", "log_term", "reject", "reply_index", "hint"),
    [
        (START + 2, 2, False, START + 2, 0),
        (START + 1, 1, False, START + 1, 0),
        (START, 1, False, START, 0),
        (START + 2, 3, True, START + 2, START + 2),
        (START + 3, 2, True, START + 3, START + 2),
        (START + 1, 2, True, START + 1, START + 2),
        # Before what is committed there can be no disagreement.
        (START - 5, 1, False, START, 0),
    ],
)
def test_a_follower_compares_the_preceding_entry(index, log_term, reject, reply_index, hint):
    raw = node(terms=(1, 2), term=2)
    raw.step(answer(raw, APP, 2, index=index, log_term=log_term))
    (reply,) = drain(raw)
    assert (reply.index, reply.reject, reply.reject_hint) == (reply_index, reject, hint)


def test_a_leader_never_changes_its_own_log():
    raw = leader(terms=(1, 1))
    before = raw.storage.entries(START + 1, raw.storage.last_index + 1)
    raw.step(answer(raw, APP_RESP, 2, index=START + 2, reject=True, reject_hint=START))
    raw.step(answer(raw, APP, 2, index=START, log_term=1, entries=(Entry(9, START + 1),)))
    raw.propose([b"x"])
    drain(raw)
    assert raw.storage.entries(START + 1, START + 4) == before


def test_a_rejection_is_followed_by_an_earlier_probe():
    raw = candidate(terms=(1, 1, 1))
    raw.step(answer(raw, VOTE_RESP, 2))
    (probe, _) = of(drain(raw), APP)
    assert (probe.to, probe.index) == (2, START + 3)
    raw.step(answer(raw, APP_RESP, 2, index=START + 3, reject=True, reject_hint=START + 1))
    (probe,) = drain(raw)
    assert (probe.to, probe.index, len(probe.entries)) == (2, START + 1, 3)


# -- 5.4 safety -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "log_term", "granted"),
    [
        (START + 2, 3, True),
        (START + 3, 3, True),
        (START + 1, 3, False),
        (START + 1, 4, True),
        (START + 9, 2, False),
    ],
)
def test_a_vote_needs_a_log_at_least_as_new(index, log_term, granted):
    raw = node(terms=(3, 3), term=4)
    raw.step(answer(raw, VOTE, 2, index=index, log_term=log_term))
    (reply,) = drain(raw)
    assert reply.reject is not granted


def test_entries_of_earlier_terms_are_not_committed_by_counting():
    raw = candidate(terms=(1, 1), nodes=(1, 2, 3))
    raw.step(answer(raw, VOTE_RESP, 2))
    drain(raw)
    for index in (START + 1, START + 2):
        raw.step(answer(raw, APP_RESP, 2, index=index))
        raw.step(answer(raw, APP_RESP, 3, index=index))
        assert raw.committed == START
    raw.step(answer(raw, APP_RESP, 2, index=START + 3))
    assert raw.committed == START + 3


# -- etcd 2.3's own ---------------------------------------------------------------------------


def test_a_heartbeat_never_commits_more_than_the_follower_has():
    raw = leader()
    raw.propose([b"x"])
    turn(raw)
    last = raw.storage.last_index
    raw.step(answer(raw, APP_RESP, 2, index=last))
    drain(raw)
    assert {m.to: m.commit for m in tick(raw, 1)} == {2: last, 3: last - 1}


def test_a_heartbeat_beyond_the_log_means_that_it_was_lost():
    raw = node()
    with pytest.raises(CorruptLog, match="told to commit 15 but the log ends at 10"):
        raw.step(answer(raw, HEARTBEAT, 2, commit=START + 5))


def test_proposals_go_to_the_leader_without_a_term():
    raw = node(term=3)
    raw.step(answer(raw, HEARTBEAT, 2, commit=START))
    drain(raw)
    raw.propose([b"a", b"b"])
    entries = (Entry(0, 0, 0, b"a"), Entry(0, 0, 0, b"b"))
    assert drain(raw) == [Message(PROP, 2, 1, 0, entries=entries)]


def test_a_forwarded_proposal_is_appended_by_the_leader_and_not_sent_back():
    raw = leader()
    last = raw.storage.last_index
    raw.step(Message(PROP, 1, 3, 0, entries=(Entry(0, 0, 0, b"a"),)))
    assert turn(raw).entries == [Entry(2, last + 1, 0, b"a")]
    follower = node()
    follower.step(answer(follower, HEARTBEAT, 2, commit=START))
    drain(follower)
    follower.step(Message(PROP, 1, 2, 0, entries=(Entry(0, 0, 0, b"a"),)))
    follower.step(Message(PROP, 1, 3, 0, entries=(Entry(0, 0, 0, b"b"),)))
    (forwarded,) = drain(follower)
    assert (forwarded.to, forwarded.from_, forwarded.entries[0].data) == (2, 1, b"b")


@pytest.mark.parametrize("make", [node, candidate])
def test_a_forwarded_proposal_nobody_can_take_is_lost(make):
    raw = make()
    raw.step(Message(PROP, 1, 3, 0, entries=(Entry(0, 0, 0, b"a"),)))
    assert not raw.has_ready()


def test_a_second_conf_change_becomes_an_empty_entry_until_the_first_is_applied():
    raw = leader()
    last = raw.storage.last_index
    raw.propose_conf(b"one")
    raw.propose_conf(b"two")
    raw.step(Message(PROP, 1, 3, 0, entries=(Entry(0, 0, 1, b"three"), Entry(0, 0, 0, b"x"))))
    assert turn(raw).entries == [
        Entry(2, last + 1, 1, b"one"),
        Entry(2, last + 2),
        Entry(2, last + 3),
        Entry(2, last + 4, 0, b"x"),
    ]
    raw.step(answer(raw, APP_RESP, 2, index=last + 4))
    drain(raw)
    raw.propose_conf(b"four")
    assert turn(raw).entries == [Entry(2, last + 5, 1, b"four")]


def test_a_snapshot_is_sent_when_the_entries_are_gone_and_the_follower_is_there():
    raw = leader()
    raw.propose([b"x"] * 5)
    turn(raw)
    last = raw.storage.last_index
    raw.step(answer(raw, APP_RESP, 2, index=last))
    drain(raw)
    raw.storage.create_snapshot(last, nodes=(1, 2, 3), data=b"state")
    raw.storage.compact(last)
    raw.report_unreachable(3)
    raw.step(answer(raw, HEARTBEAT_RESP, 3))
    (sent,) = drain(raw)
    assert sent == Message(
        SNAP, 3, 1, 2, snapshot=Snapshot(b"state", SnapshotMeta(last, 2, (1, 2, 3)))
    )
    assert {m.type for m in tick(raw, 3)} == {HEARTBEAT}


def test_a_follower_that_does_not_answer_is_sent_no_snapshot():
    raw = candidate(terms=(1, 1))
    raw.step(answer(raw, VOTE_RESP, 2))
    drain(raw)
    raw.step(answer(raw, APP_RESP, 2, index=START + 3))
    drain(raw)
    raw.storage.create_snapshot(START + 3, nodes=(1, 2, 3), data=b"")
    raw.storage.compact(START + 3)
    assert of(tick(raw, 3), SNAP) == []


def test_a_snapshot_that_cannot_be_had_is_tried_again():
    raw = leader()
    raw.propose([b"x"] * 2)
    turn(raw)
    last = raw.storage.last_index
    raw.step(answer(raw, APP_RESP, 2, index=last))
    drain(raw)
    answers = [None, b"state"]
    raw.storage.create_snapshot(last, nodes=(1, 2, 3), data=lambda: answers.pop(0))
    raw.storage.compact(last)
    raw.report_unreachable(3)
    raw.step(answer(raw, HEARTBEAT_RESP, 3))
    assert drain(raw) == []
    raw.step(answer(raw, HEARTBEAT_RESP, 3))
    assert [m.type for m in drain(raw)] == [SNAP]


@pytest.mark.parametrize(
    ("index", "term", "restored", "reply_index", "commit"),
    [
        (START + 9, 2, True, START + 9, START + 9),
        (START + 2, 2, True, START + 2, START + 2),
        (START + 2, 1, False, START + 2, START + 2),  # it has this entry: only the commit moves
        (START + 1, 1, False, START + 1, START + 1),  # nothing but what is committed
        (START - 5, 1, False, START + 1, START + 1),
    ],
)
def test_taking_a_snapshot(index, term, restored, reply_index, commit):
    raw = node(terms=(1, 1, 1), term=2, commit=START + 1)
    raw.step(
        answer(raw, SNAP, 2, snapshot=Snapshot(b"state", SnapshotMeta(index, term, (1, 2, 5))))
    )
    ready = turn(raw)
    assert (ready.snapshot is not None) is restored
    (reply,) = ready.messages
    assert (reply.type, reply.index, reply.reject) == (APP_RESP, reply_index, False)
    assert raw.committed == raw.applied == commit
    assert raw.nodes == ((1, 2, 5) if restored else (1, 2, 3))
    assert raw.leader == 2


def test_check_quorum_steps_down_after_one_silent_period():
    raw = leader()
    tick(raw, 10)
    assert raw.role == Role.LEADER
    raw.step(answer(raw, HEARTBEAT_RESP, 3))
    tick(raw, 10)
    assert raw.role == Role.LEADER
    tick(raw, 10)
    assert (raw.role, raw.term, raw.leader) == (Role.FOLLOWER, 2, 0)


def test_a_member_just_added_has_one_period_to_answer():
    raw = leader(nodes=(1,))
    raw.propose_conf(b"")
    ready = raw.ready()
    raw.advance(ready)
    ready = raw.ready()
    assert [e.type for e in ready.committed] == [1]
    assert raw.apply_conf_change(ConfChange(1, 0, 2)) == (1, 2)
    raw.advance(ready)
    tick(raw, 10)
    assert raw.role == Role.LEADER
    tick(raw, 10)
    assert raw.role == Role.FOLLOWER


def vote_of_a_removed_member(nodes, *, tail=(), term=5):
    """Member 1 has a log that is longer than candidate 2's, and is none of `nodes`."""
    raw = node(nodes=nodes, terms=[3, 3, 3], term=3)
    raw.storage.append([Entry(3, raw.storage.last_index + i, t) for i, t in enumerate(tail, 1)])
    raw.step(Message(MsgType.VOTE, 1, 2, term, log_term=1, index=START))
    (reply,) = (m for m in drain(raw) if m.type == MsgType.VOTE_RESP)
    return not reply.reject


@pytest.mark.parametrize(
    ("nodes", "tail", "granted"),
    [
        ((2,), (), True),
        ((2, 3), (), False),
        ((1, 2), (), False),
        ((3,), (), False),
        ((2,), (EntryType.CONF_CHANGE,), False),
    ],
    ids=["the last one", "two are left", "not removed", "another is", "a change is pending"],
)
def test_only_the_last_member_may_do_without_the_log_of_a_removed_one(nodes, tail, granted):
    """2 may not know yet that it is alone: it needs the vote of 1, whose longer log is void."""
    assert vote_of_a_removed_member(nodes, tail=tail) is granted
