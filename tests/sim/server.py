"""A driver around the real RawNode: persist, send, apply, reply, as a server does it.

Nothing here is clever: what the drivers of the product must do is done in the plainest way, with
a chance to lose power between any two steps.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

from coreos_py.etcd import pb
from coreos_py.raft.errors import NotLeader, ProposalDropped
from coreos_py.raft.node import Config, RawNode
from coreos_py.raft.types import ConfChangeType, Entry, EntryType, Message, Ready, Role, SoftState
from tests.sim import disk as disks
from tests.sim.machine import Machine, conf_change, sync

if TYPE_CHECKING:
    from tests.sim.disk import Disk
    from tests.sim.world import World

TURNS_MAX = 10_000
SYNC_TICKS = 5

Reply = Callable[[int], None]
ReadReply = Callable[[tuple[int, int] | None], None]


class Server:
    """One run of one member, from start to crash."""

    def __init__(
        self, world: World, node: int, *, disk: Disk, founders: tuple[int, ...], run: int
    ) -> None:
        options = world.options
        if not disk.image.founded:
            disk.image = disks.Image()
        self.world, self.id, self.disk = world, node, disk
        self.rng = random.Random(f"{world.seed}/server/{node}/{run}")
        self.alive = True
        self.paused_until = 0
        self.saving: Ready | None = None
        self.snapshotting = False
        self.snapshot_index = disk.image.snapshot.meta.index
        self.waiters: dict[int, Reply] = {}
        self.asked: dict[bytes, tuple[str, ReadReply]] = {}
        self.reads: list[tuple[int, str, ReadReply]] = []
        self.read_number = 0
        self.observed_commit = 0
        self.observed_term = 0
        self.ticks = 0
        self.machine = Machine.load(disk.image.snapshot.data, with_store=options.store)
        config = Config(
            node,
            election_ticks=options.election_ticks,
            max_size_per_msg=options.max_size_per_msg,
            max_inflight=options.max_inflight,
            check_quorum=options.check_quorum,
        )
        self.raw = RawNode(config, disk.image.load(), rng=self.rng)
        if founders and not disk.image.founded:
            add = ConfChangeType.ADD_NODE
            self.raw.bootstrap([(member, conf_change(0, add, member)) for member in founders])
        self.tick_us = int(options.tick_us * self.rng.uniform(0.95, 1.05))
        world.at(self.rng.randrange(self.tick_us), self.tick)
        world.at(0, self.turn)

    def gone(self) -> bool:
        """True once this run has ended, by a crash or by a shutdown."""
        return not self.alive

    # -- what happens to it -----------------------------------------------------------------

    def _postponed(self, action: Callable[..., None], *args) -> bool:
        """True if nothing happens now: the process is gone, or stopped and does it later."""
        if self.alive and self.paused_until > self.world.now:
            self.world.at(self.paused_until - self.world.now, action, *args)
            return True
        return not self.alive

    def tick(self) -> None:
        if self._postponed(self.tick):
            return
        self.raw.tick()
        self.ticks += 1
        if self.world.options.store and self.ticks % SYNC_TICKS == 0:
            self._propose_sync()
        self.turn()
        self.world.at(self.tick_us, self.tick)

    def clock_us(self) -> int:
        """What its wall clock shows."""
        return self.world.now + self.world.clocks_us.get(self.id, 0)

    def _propose_sync(self) -> None:
        if self.raw.role == Role.LEADER and not self.world.network.calm:
            with suppress(ProposalDropped):  # It leads, but is no member any more.
                self.raw.propose([sync(self.clock_us())])

    def receive(self, m: Message) -> None:
        if self._postponed(self.receive, m):
            return
        if m.from_ in self.machine.removed:
            self.world.tell_removed(m.from_)
            return
        self.world.note("got", m)
        self.raw.step(m)
        self.turn()

    def unreachable(self, node: int) -> None:
        if self.alive:
            self.raw.report_unreachable(node)

    def snapshot_reported(self, node: int, *, ok: bool) -> None:
        if not self._postponed(lambda: self.snapshot_reported(node, ok=ok)):
            self.raw.report_snapshot(node, ok=ok)
            self.turn()

    def propose(self, datas: list[bytes], *, operation: int, reply: Reply) -> bool:
        """Propose; `reply` is called with the index once the operation is applied here."""
        try:
            self.raw.propose(datas)
        except ProposalDropped:
            return False
        self.waiters[operation] = reply
        self.turn()
        return True

    def propose_conf(self, data: bytes) -> None:
        try:
            self.raw.propose_conf(data)
        except ProposalDropped:
            return
        self.turn()

    def read(self, key: str, reply: ReadReply) -> bool:
        """A linearizable read; `reply` gets (value, index), or None if it has to be tried anew."""
        self.read_number += 1
        context = self.read_number.to_bytes(8, "big")
        try:
            self.raw.read_index(context)
        except NotLeader:
            return False
        self.asked[context] = (key, reply)
        self.turn()
        return True

    def crash(self) -> None:
        """Lose power."""
        self.alive = False
        self.disk.crash()
        self.world.crashed(self)

    def stop(self) -> None:
        """Shut down for good, having saved everything."""
        self.alive = False
        self.disk.sync(self.disk.synced + len(self.disk.pending))
        self.world.servers.pop(self.id, None)

    # -- the driver -------------------------------------------------------------------------

    def turn(self) -> None:
        """Do whatever the node asks for, until it waits for the disk or has no more to ask."""
        for turns in count():
            if turns > TURNS_MAX:
                self.world.oracle.fail(f"{self.id} is never done")
            if self.gone():
                return
            self.world.oracle.observe(self)
            if self.world.options.early_messages:
                self._send(self.raw.early_messages())
            if self.gone() or self.saving is not None or not self.raw.has_ready():
                return
            if self.world.loses_power(self, "before saving"):
                return
            ready = self.raw.ready()
            records = disks.records_of(ready)
            messages = ready.messages
            if self.world.options.leader_sends_early and self.raw.role == Role.LEADER:
                self._send(messages)
                messages = []
            if not self.alive:
                return
            self.saving = ready
            if records:
                self._save(ready, records, messages)
                return
            self._finish(ready, messages)

    def _save(self, ready: Ready, records: list[disks.Record], messages: list[Message]) -> None:
        position = self._write(records)
        if position is None:
            return
        delay = self._disk_delay() if ready.must_sync else self.rng.randrange(100)
        self.world.at(delay, self._saved, ready, position if ready.must_sync else 0, messages)

    def _write(self, records: list[disks.Record]) -> int | None:
        """Hand it to the disk; None if that is full and the process has ended."""
        if self.disk.full:
            self.world.note("no space", self.id)
            self.disk.write_in_part(records)
            self.crash()
            return None
        return self.disk.write(records)

    def _sync(self, position: int) -> bool:
        """Make it durable; False if the disk failed and the process has ended."""
        if self.fsync_fails():
            self.world.note("fsync failed", self.id)
            self.crash()
            return False
        self.disk.sync(position)
        return True

    def fsync_fails(self) -> bool:
        chance = self.world.options.fsync_fails
        return bool(chance) and not self.world.network.calm and self.rng.random() < chance

    def _disk_delay(self) -> int:
        world = self.world
        latency = world.options.fsync_us
        if world.network.calm:
            latency = min(latency, world.options.tick_us // 10)
        done = max(world.now, self.disk.busy_until) + int(latency * self.rng.uniform(0.2, 2)) + 1
        self.disk.busy_until = done
        return done - world.now

    def _saved(self, ready: Ready, position: int, messages: list[Message]) -> None:
        if self._postponed(self._saved, ready, position, messages):
            return
        if position and not self._sync(position):
            return
        if not self.world.loses_power(self, "saved"):
            self._finish(ready, messages)
            self.turn()

    def _finish(self, ready: Ready, messages: list[Message]) -> None:
        """The rest of a turn once the disk is done."""
        self._send(messages)
        if not self.alive:
            return
        if ready.snapshot is not None:
            with_store = self.world.options.store
            self.machine = Machine.load(ready.snapshot.data, with_store=with_store)
            self.snapshot_index = max(self.snapshot_index, ready.snapshot.meta.index)
        for entry in ready.committed:
            self._apply(entry)
            if not self.alive:
                return
        self.saving = None
        self.raw.advance(ready)
        self.world.oracle.applied(self)
        for state in ready.read_states:
            self.reads.append((state.index, *self.asked.pop(state.context)))
        if ready.soft_state is not None:
            self._role_changed(ready.soft_state)
        self._answer_reads()
        self._maybe_snapshot()

    def _send(self, messages: list[Message]) -> None:
        if self.raw.role == Role.LEADER and messages:
            self.world.faults.broadcast(self)
        for m in messages:
            if self.world.loses_power(self, "sending"):
                return
            if m.reject_hint and self.world.options.pessimistic_hints:
                # A hint may be too low; then the leader offers what the follower has already.
                m = m._replace(reject_hint=self.rng.randrange(m.reject_hint + 1))
            self.world.network.send(m)

    def _apply(self, entry: Entry) -> None:
        operation = self.machine.apply(entry, clock_us=self.clock_us())
        if entry.type == EntryType.CONF_CHANGE:
            change = pb.decode_conf_change(entry.data)
            if self.machine.admits(change):
                nodes = self.raw.apply_conf_change(change)
                self.machine.members_changed(nodes, change)
                self.world.members_changed(self, change)
            else:
                self.raw.apply_conf_change(change._replace(node_id=0))
        reply = None if operation is None else self.waiters.pop(operation, None)
        if reply is not None and not self.world.loses_power(self, "before the reply"):
            reply(entry.index)

    def _role_changed(self, state: SoftState) -> None:
        self.world.note("role", (self.id, state))
        if state.role != Role.LEADER:
            for _, reply in self.asked.values():
                reply(None)
            self.asked.clear()
        else:
            self.world.faults.new_leader(self)

    def _answer_reads(self) -> None:
        waiting, self.reads = self.reads, []
        for index, key, reply in waiting:
            if index <= self.machine.applied:
                reply(self.machine.values.get(key, (0, 0)))
            else:
                self.reads.append((index, key, reply))

    # -- snapshots --------------------------------------------------------------------------

    def _maybe_snapshot(self) -> None:
        machine = self.machine
        if self.snapshotting or (
            machine.applied - self.snapshot_index <= self.world.options.snapshot_count
        ):
            return
        if machine.applied < self.raw.storage.snapshot_meta.index:
            return  # A leader's snapshot is being saved: the raft log is that far already.
        self.snapshotting = True
        index, nodes, data = machine.applied, machine.nodes, machine.save()
        term = self.raw.storage.term(index)
        position = self._write(disks.local_snapshot(data, index, term=term, nodes=nodes))
        if position is None:
            return
        self.world.at(self._disk_delay(), self._snapshot_saved, index, nodes, data, position)

    def _snapshot_saved(
        self, index: int, nodes: tuple[int, ...], data: bytes, position: int
    ) -> None:
        if self._postponed(self._snapshot_saved, index, nodes, data, position):
            return
        if not self._sync(position):
            return
        self.snapshotting = False
        self.snapshot_index = max(self.snapshot_index, index)
        storage = self.raw.storage
        storage.create_snapshot(index, nodes=nodes, data=lambda: data)
        storage.compact(index - self.world.options.catch_up_entries)
