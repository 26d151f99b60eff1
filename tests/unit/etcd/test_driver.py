"""The driver's order of things: durable first, then applied; one sync for a turn's proposals."""

from __future__ import annotations

import asyncio
import random

import pytest

from coreos_py.etcd import pb
from coreos_py.etcd.driver import Driver
from coreos_py.raft.log import MemoryLog
from coreos_py.raft.node import Config, RawNode
from coreos_py.raft.types import ConfChange, ConfChangeType, Message, MsgType


class FakeDisk:
    """A disk that is done when the test says so."""

    def __init__(self, *, fast: bool) -> None:
        self.fast = fast
        self.appended = 0
        self.committed = 0
        self.durable = 0
        self.syncs = 0
        self.done = None

    def append(self, hard_state, entries):
        if hard_state is not None:
            self.committed = hard_state.commit
        if entries:
            self.appended = entries[-1].index

    def sync(self, done):
        self.syncs += 1
        if self.fast:
            self.durable = self.appended
            return True
        assert self.done is None
        self.done = done
        return False

    def finish(self):
        done, self.done = self.done, None
        self.durable = self.appended
        done()


class FakeMachine:
    def __init__(self, disk):
        self.disk = disk
        self.applied = []
        self.sent = []
        self.turns = 0
        self.wanted = True
        self.node = None

    def role_changed(self, state):
        self.role = state.role

    def send(self, messages):
        self.sent += messages

    def apply(self, entries):
        for entry in entries:
            assert entry.index <= self.disk.durable, "applied before it was durable"
            assert entry.index <= self.disk.committed, "applied before its commit was in the log"
            if entry.type:
                self.node.apply_conf_change(pb.decode_conf_change(entry.data))
            elif entry.data:
                self.applied.append(entry.data)

    def restore(self, snapshot):
        raise AssertionError("no snapshots here")

    def turn_done(self):
        self.turns += 1

    def is_wanted(self, data):
        return self.wanted


class Bench:
    def __init__(self, members=1, *, fast=True):
        self.disk = FakeDisk(fast=fast)
        self.machine = FakeMachine(self.disk)
        self.errors = []
        node = RawNode(Config(1), MemoryLog(), rng=random.Random(1))
        add = ConfChangeType.ADD_NODE
        changes = [(i, pb.encode_conf_change(ConfChange(0, add, i))) for i in range(1, members + 1)]
        node.bootstrap(changes)
        self.node = self.machine.node = node
        self.driver = Driver(
            node,
            self.disk,
            self.machine,
            loop=asyncio.get_running_loop(),
            fatal=self.errors.append,
        )

    async def turn(self):
        """Let everything that is scheduled happen."""
        for _ in range(5):
            await asyncio.sleep(0)
        assert not self.errors, self.errors

    async def lead(self):
        self.driver.kick()
        await self.settle()
        self.node.campaign()
        for voter in range(2, len(self.node.nodes) + 1):
            vote = Message(MsgType.VOTE_RESP, 1, voter, self.node.term)
            self.driver.step(vote)
        await self.settle()

    async def settle(self):
        await self.turn()
        self.driver.kick()
        await self.turn()
        while self.disk.done is not None:
            self.disk.finish()
            await self.turn()


def test_one_sync_for_all_proposals_of_a_turn():
    async def scenario():
        bench = Bench()
        await bench.lead()
        before = bench.disk.syncs
        for number in range(64):
            bench.driver.propose(b"%d" % number)
        await bench.turn()
        assert bench.disk.syncs == before + 1
        assert bench.machine.applied == [b"%d" % number for number in range(64)]

    asyncio.run(scenario())


def test_nothing_is_applied_while_the_disk_works():
    async def scenario():
        bench = Bench(fast=False)
        await bench.lead()
        bench.driver.propose(b"a")
        await bench.turn()
        bench.driver.propose(b"b")
        await bench.turn()
        assert bench.machine.applied == []
        bench.disk.finish()
        await bench.turn()
        assert bench.machine.applied == [b"a"]
        assert bench.disk.done is not None  # the next batch is being synced meanwhile
        bench.disk.finish()
        await bench.turn()
        assert bench.machine.applied == [b"a", b"b"]

    asyncio.run(scenario())


def test_followers_are_sent_entries_before_the_leaders_disk_is_done():
    async def scenario():
        bench = Bench(3, fast=False)
        await bench.lead()
        bench.machine.sent.clear()
        for follower in (2, 3):
            index = bench.node.storage.last_index
            ack = Message(MsgType.APP_RESP, 1, follower, bench.node.term, index=index)
            bench.driver.step(ack)
        await bench.settle()
        bench.driver.propose(b"a")
        await bench.turn()
        assert bench.disk.done is not None
        appends = [m for m in bench.machine.sent if m.type == MsgType.APP and m.entries]
        assert sorted(m.to for m in appends) == [2, 3]
        index = bench.node.storage.last_index
        for follower in (2, 3):
            ack = Message(MsgType.APP_RESP, 1, follower, bench.node.term, index=index)
            bench.driver.step(ack)
        await bench.turn()
        assert bench.machine.applied == []  # a quorum has it, but our own disk has not
        bench.disk.finish()
        await bench.settle()
        assert bench.machine.applied == [b"a"]

    asyncio.run(scenario())


def test_proposals_wait_for_a_leader_and_are_dropped_when_nobody_waits():
    async def scenario():
        bench = Bench(3)
        bench.driver.propose(b"early")
        await bench.turn()
        assert bench.machine.sent == []
        bench.machine.wanted = False
        bench.driver.prune()
        bench.machine.wanted = True
        bench.driver.propose(b"late")
        bench.driver.step(Message(MsgType.HEARTBEAT, 1, 2, 2))
        await bench.settle()
        forwarded = [m for m in bench.machine.sent if m.type == MsgType.PROP]
        assert [entry.data for m in forwarded for entry in m.entries] == [b"late"]

    asyncio.run(scenario())


def test_a_failing_disk_is_fatal_once():
    async def scenario():
        bench = Bench()
        await bench.lead()

        def broken(_hard_state, _entries):
            raise OSError(28, "No space left on device")

        bench.disk.append = broken
        bench.driver.propose(b"a")
        bench.driver.propose(b"b")
        for _ in range(5):
            await asyncio.sleep(0)
        assert [type(error) for error in bench.errors] == [OSError]
        bench.driver.propose(b"c")
        bench.driver.tick()
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(bench.errors) == 1
        assert bench.machine.applied == []

    asyncio.run(scenario())


@pytest.mark.parametrize("fast", [True, False])
def test_turn_done_is_called_even_while_the_disk_works(fast):
    async def scenario():
        bench = Bench(fast=fast)
        await bench.lead()
        before = bench.machine.turns
        bench.driver.propose(b"a")
        await bench.turn()
        assert bench.machine.turns > before

    asyncio.run(scenario())


def test_an_answer_that_changes_nothing_takes_no_turn():
    async def scenario():
        bench = Bench(3)
        await bench.lead()
        turns = []
        for data in (b"a", b"b", b"c"):
            bench.driver.propose(data)
            await bench.turn()
            node = bench.node
            for follower in (2, 3):
                last = node.storage.last_index
                bench.driver.step(Message(MsgType.APP_RESP, 1, follower, node.term, index=last))
                await bench.turn()
                turns.append(bench.machine.turns)
        assert bench.machine.applied == [b"a", b"b", b"c"]
        assert turns[-1] == turns[-2]  # the first one's answer was enough
        assert turns[-3] == turns[-4]

    asyncio.run(scenario())
