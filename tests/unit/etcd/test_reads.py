"""Reads by index: proved by a round, served once applied, handed back if leadership is lost."""

from __future__ import annotations

import random

import pytest

from coreos_py.etcd import pb, reads
from coreos_py.etcd.reads import ReadQueue
from coreos_py.raft.log import MemoryLog
from coreos_py.raft.node import Config, RawNode
from coreos_py.raft.types import ConfChange, ConfChangeType, Message, MsgType, Role

AGE_MAX_S = 1.0


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


class Bench:
    """Member 1 of some, led through a queue; `turn` is what the driver does."""

    def __init__(self, members: int) -> None:
        self.node = node = RawNode(Config(1), MemoryLog(), rng=random.Random(1))
        add = ConfChangeType.ADD_NODE
        changes = [(i, pb.encode_conf_change(ConfChange(0, add, i))) for i in range(1, members + 1)]
        node.bootstrap(changes)
        self.served: list[str] = []
        self.redone: list[str] = []
        self.by_index = True
        self.queue: ReadQueue = ReadQueue(
            node,
            serve=self.served.append,  # type: ignore[arg-type]
            redo=self.redone.extend,  # type: ignore[arg-type]
            by_index=lambda: self.by_index,
            age_max_s=AGE_MAX_S,
        )
        self.applied = 0
        self.sent: list[Message] = []
        self.turn()

    def turn(self) -> None:
        node, queue = self.node, self.queue
        queue.ask()
        self.sent += node.early_messages()
        while node.has_ready():
            ready = node.ready()
            queue.confirm(ready.read_states)
            self.sent += ready.messages
            for entry in ready.committed:
                self.applied = entry.index
                if entry.type:
                    node.apply_conf_change(pb.decode_conf_change(entry.data))
            node.advance(ready)
        queue.serve(self.applied)

    def add(self, *names: str) -> None:
        for name in names:
            self.queue.add(name)  # type: ignore[arg-type]

    def lead(self, *, committed: bool = True) -> None:
        node = self.node
        node.campaign()
        for voter in range(2, len(node.nodes) + 1):
            node.step(Message(MsgType.VOTE_RESP, 1, voter, node.term))
        assert node.role == Role.LEADER
        self.turn()
        if committed:
            self.acknowledge()

    def acknowledge(self) -> None:
        node = self.node
        last = node.storage.last_index
        for follower in range(2, len(node.nodes) + 1):
            node.step(Message(MsgType.APP_RESP, 1, follower, node.term, index=last))
        self.turn()

    def rounds(self) -> list[bytes]:
        """The rounds asked for since the last time, one per follower and round."""
        sent, self.sent = self.sent, []
        return [m.context for m in sent if m.type == MsgType.HEARTBEAT and m.context]

    def answer(self, follower: int, context: bytes, *, term: int = 0) -> None:
        kind = MsgType.HEARTBEAT_RESP
        self.node.step(Message(kind, 1, follower, term or self.node.term, context=context))
        self.turn()


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(reads, "monotonic", clock)
    return clock


def test_a_single_member_answers_at_once():
    bench = Bench(1)
    bench.lead()
    bench.add("a", "b")
    bench.turn()
    assert (bench.served, bench.redone) == (["a", "b"], [])


def test_reads_of_one_turn_share_one_round():
    bench = Bench(3)
    bench.lead()
    bench.rounds()
    bench.add("a", "b", "c")
    bench.turn()
    tokens = bench.rounds()
    assert len(tokens) == 2
    assert len(set(tokens)) == 1
    assert bench.served == []
    bench.answer(2, tokens[0])
    assert bench.served == ["a", "b", "c"]


def test_an_answer_to_an_earlier_round_proves_nothing():
    bench = Bench(3)
    bench.lead()
    bench.rounds()
    bench.add("a")
    bench.turn()
    first = bench.rounds()[0]
    bench.add("b")
    bench.turn()
    second = bench.rounds()[0]
    bench.answer(3, first)
    assert bench.served == ["a"]
    bench.answer(3, second)
    assert bench.served == ["a", "b"]


def test_nothing_is_served_before_the_leader_has_committed_in_its_term():
    bench = Bench(3)
    bench.lead(committed=False)
    bench.rounds()
    bench.add("a")
    bench.turn()
    assert bench.rounds() == []
    bench.acknowledge()
    (token, _) = bench.rounds()
    bench.answer(2, token)
    assert bench.served == ["a"]


def test_a_proved_read_waits_until_its_index_is_applied():
    bench = Bench(1)
    bench.lead()
    applied, bench.applied = bench.applied, 0
    bench.add("a")
    bench.queue.ask()
    bench.node.early_messages()
    ready = bench.node.ready()
    bench.queue.confirm(ready.read_states)
    bench.node.advance(ready)
    bench.queue.serve(applied - 1)
    assert bench.served == []
    bench.queue.serve(applied)
    assert bench.served == ["a"]


def test_a_lost_leadership_hands_its_reads_back():
    bench = Bench(3)
    bench.lead()
    bench.rounds()
    bench.add("a")
    bench.turn()
    token = bench.rounds()[0]
    bench.node.step(Message(MsgType.HEARTBEAT, 1, 2, bench.node.term + 1))
    bench.turn()
    assert (bench.served, bench.redone) == ([], ["a"])
    bench.answer(3, token, term=2)
    bench.add("b")
    bench.turn()
    assert (bench.served, bench.redone) == ([], ["a", "b"])


def test_a_leadership_lost_and_won_again_between_two_turns_hands_its_reads_back():
    bench = Bench(3)
    bench.lead()
    bench.rounds()
    bench.add("a")
    bench.turn()
    bench.node.step(Message(MsgType.HEARTBEAT, 1, 2, bench.node.term + 1))
    bench.lead()
    assert (bench.served, bench.redone) == ([], ["a"])


def test_a_read_proved_just_before_the_leadership_was_lost_is_served():
    bench = Bench(3)
    bench.lead()
    bench.rounds()
    bench.add("a", "b")
    bench.turn()
    token = bench.rounds()[0]
    node, queue = bench.node, bench.queue
    node.step(Message(MsgType.HEARTBEAT_RESP, 1, 2, node.term, context=token))
    node.step(Message(MsgType.HEARTBEAT, 1, 2, node.term + 1))
    ready = node.ready()
    assert ready.soft_state is not None
    queue.confirm(ready.read_states)
    node.advance(ready)
    bench.turn()
    assert (bench.served, bench.redone) == (["a", "b"], [])


def test_a_round_without_answers_is_given_up_in_time(clock):
    bench = Bench(3)
    bench.lead()
    bench.rounds()
    bench.add("a")
    bench.turn()
    token = bench.rounds()[0]
    clock.now_s += AGE_MAX_S
    bench.turn()
    assert bench.redone == []
    clock.now_s += 0.001
    bench.turn()
    assert bench.redone == ["a"]
    bench.answer(2, token)
    assert bench.served == []


class Read:
    request = pb.Request(7, "QGET", "/1/k")
    start_s = 3.0

    def __init__(self):
        self.outcomes = []

    def done(self, event, error):
        self.outcomes.append((event, error))


def test_reads_of_one_turn_go_through_the_log_together():
    node = RawNode(Config(1), MemoryLog(), rng=random.Random(1))
    batches: list[list[Read]] = []
    queue = ReadQueue(
        node,
        by_index=lambda: False,
        serve=lambda read: pytest.fail(f"{read} is not applied yet"),
        redo=batches.append,
        age_max_s=AGE_MAX_S,
    )
    first, second, third = Read(), Read(), Read()
    queue.add(first)
    queue.add(second)
    queue.ask()
    queue.add(third)
    queue.ask()
    queue.ask()
    assert batches == [[first, second], [third]]
    assert queue.drain() == []


def test_who_shares_an_entry_shares_its_failure():
    some = [Read(), Read()]
    shared = reads.SharedRead(some)
    assert (shared.request, shared.start_s) == (Read.request, Read.start_s)
    error = RuntimeError("timed out")
    shared.done(None, error)
    assert [read.outcomes for read in some] == [[(None, error)]] * 2


def test_the_end_finds_every_read():
    bench = Bench(3)
    bench.lead()
    bench.add("a")
    bench.turn()
    bench.add("b")
    assert sorted(map(str, bench.queue.drain())) == ["a", "b"]
    assert bench.queue.drain() == []
