"""Links between nodes: they lose, delay, duplicate, reorder, clog and break, one way or both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.etcd import pb
from coreos_py.raft.types import Message, MsgType

if TYPE_CHECKING:
    from tests.sim.world import World


class Network:
    """All ordered pairs of nodes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.child("network")
        self.cut: set[tuple[int, int]] = set()
        self.clogged: dict[tuple[int, int], int] = {}
        self.calm = False
        self.sent = 0

    def send(self, m: Message) -> None:
        """A message leaves; what becomes of it is the network's choice."""
        world, options, rng = self.world, self.world.options, self.rng
        self.sent += 1
        link = (m.from_, m.to)
        if link in self.cut or (not self.calm and rng.random() < options.loss):
            self._lost(m)
            return
        packed = pb.encode_message(m) if options.codec else m
        world.at(self._delay(link), self._deliver, packed)
        if not self.calm and rng.random() < options.duplicate:
            world.at(self._delay(link), self._deliver, packed)

    def _delay(self, link: tuple[int, int]) -> int:
        options = self.world.options
        if self.calm:
            return min(options.delay_min_us, options.tick_us // 10) + 1
        delay = options.delay_min_us + int(self.rng.expovariate(1) * options.delay_mean_us)
        until = self.clogged.get(link)
        if until is not None and until > self.world.now:
            delay += until - self.world.now
        return delay + 1

    def _lost(self, m: Message) -> None:
        self.world.note("lost", m)
        sender = self.world.servers.get(m.from_)
        if m.type == MsgType.SNAP:
            self.world.at(self.world.options.tick_us, self._report_snapshot, sender, m.to, False)
        elif sender is not None and self.rng.random() < 0.3:
            sender.unreachable(m.to)

    def _deliver(self, packed: Message | bytes) -> None:
        m = pb.decode_message(packed) if isinstance(packed, bytes) else packed
        receiver = self.world.servers.get(m.to)
        if receiver is None or (m.from_, m.to) in self.cut:
            self._lost(m)
            return
        if m.type == MsgType.SNAP:
            sender = self.world.servers.get(m.from_)
            self.world.at(1, self._report_snapshot, sender, m.to, True)
        receiver.receive(m)

    def _report_snapshot(self, sender, to: int, ok: bool) -> None:
        if sender is not None and sender.alive:
            sender.snapshot_reported(to, ok=ok)
