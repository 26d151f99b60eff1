"""Links between nodes: they lose, delay, duplicate, reorder, clog and break, one way or both."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from coreos_py.base.errors import WireError
from coreos_py.etcd import pb
from coreos_py.etcd.rafthttp_codec import MessageDecoder, MessageEncoder
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
        if options.garbled and not self.calm and rng.random() < options.garbled:
            self._garble(m)
            self._lost(m)
            return
        packed = pb.encode_message(m) if options.codec else m
        world.at(self._delay(link), self._deliver, packed)
        if not self.calm and rng.random() < options.duplicate:
            world.at(self._delay(link), self._deliver, packed)

    def _garble(self, m: Message) -> None:
        """The connection breaks in the middle, or damage gets past TCP's checksum and breaks it.

        Half a frame is no message; a damaged one is refused, or makes sense, but never harms.
        """
        frame = bytearray(MessageEncoder().encode(m))
        at = self.rng.randrange(len(frame))
        if MessageDecoder().feed(bytes(frame[:at])):
            self.world.oracle.fail(f"decoded a message from {frame[:at].hex()}")
        frame[at] ^= 1 << self.rng.randrange(8)
        with suppress(WireError):
            MessageDecoder().feed(bytes(frame))

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
