"""A whole cluster in one deterministic thread: a clock, a heap of events, and dice.

The same seed gives the same run, event by event. Only the raft core is the product; what is
around it plays the server, the network, the disk and the clients.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable
from typing import NamedTuple

from coreos_py.raft.types import ConfChange, ConfChangeType, Role
from tests.sim import swarm
from tests.sim.client import Client
from tests.sim.disk import Disk
from tests.sim.faults import Faults
from tests.sim.machine import command
from tests.sim.network import Network
from tests.sim.oracle import Oracle
from tests.sim.server import Server
from tests.sim.swarm import Options

COMPARE_EVERY = 1000
EVENTS_MAX = 1_000_000


class Result(NamedTuple):
    """What one run was."""

    seed: int
    events: int
    simulated_s: float
    committed: int
    elections: int
    reads: int
    digest: str


class World:
    """One seed's cluster."""

    def __init__(
        self,
        seed: int,
        *,
        options: Options | None = None,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self.seed = seed
        self.options = options or swarm.draw(seed)
        self.trace = trace
        self.now = 0
        self.events = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self._sequence = 0
        self._operation = 0
        self._runs: dict[int, int] = {}
        self.hash = hashlib.sha256()
        self.rng = self.child("world")
        self.oracle = Oracle(self)
        self.network = Network(self)
        self.disks: dict[int, Disk] = {}
        self.clocks_us: dict[int, int] = {}
        self.servers: dict[int, Server] = {}
        self.leaving: set[int] = set()
        self.gone: set[int] = set()
        self.founders = tuple(range(1, self.options.nodes + 1))
        self._next_node = self.options.nodes
        for node in self.founders:
            self.start(node)
        self.faults = Faults(self)
        for number in range(self.options.clients):
            Client(self, number)

    # -- time and chance --------------------------------------------------------------------

    def child(self, name: str) -> random.Random:
        """A generator of its own for one part, so that its draws do not shift the others'."""
        return random.Random(f"{self.seed}/{name}")

    def at(self, delay_us: int, action: Callable[..., None], *args: object) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (self.now + delay_us, self._sequence, action, args))

    def run(self) -> Result:
        """Play the whole story: trouble, then calm, in which everything must come right."""
        self._run_until(self.options.duration_us)
        self._calm_down()
        self._converge()
        self.oracle.finish()
        return Result(
            self.seed,
            self.events,
            self.now / 1e6,
            len(self.oracle.log) - 1,
            self.oracle.elections,
            self.oracle.reads,
            self.hash.hexdigest(),
        )

    def _run_until(self, end: int) -> None:
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= end:
            self.now, _, action, args = pop(heap)
            self.events += 1
            action(*args)
            if self.events % COMPARE_EVERY == 0:
                self.oracle.compare_logs()
                self._sample()
                if self.events > EVENTS_MAX:
                    self.oracle.fail(f"no end after {self.events} events")
        self.now = end

    def _sample(self) -> None:
        state = [
            (s.id, s.raw.term, s.raw.committed, s.machine.digest, s.raw.role)
            for s in self.servers.values()
        ]
        self.hash.update(repr((self.now, state)).encode())

    def note(self, what: str, detail: object) -> None:
        if self.trace is not None:
            self.trace(f"{self.now / 1e6:10.6f} {what} {detail}")

    def loses_power(self, server: Server, where: str) -> bool:
        """True if this is the moment; the server is gone then."""
        if not server.alive:
            return True
        chance = self.options.crash_point
        if not chance or self.network.calm or server.rng.random() >= chance / 10:
            return False
        self.note("power cut", (server.id, where))
        server.crash()
        return True

    # -- members ----------------------------------------------------------------------------

    def start(self, node: int) -> None:
        """Start or restart a member on its disk."""
        if node in self.servers or node in self.gone:
            return
        if node not in self.disks:
            self.disks[node] = Disk(self.child(f"disk/{node}"))
        run = self._runs[node] = self._runs.get(node, 0) + 1
        founders = self.founders if node in self.founders else ()
        self.note("start", node)
        self.servers[node] = Server(self, node, disk=self.disks[node], founders=founders, run=run)

    def crashed(self, server: Server) -> None:
        self.note("crash", server.id)
        self.servers.pop(server.id, None)
        self.at(int(self.options.restart_us * self.rng.uniform(0.5, 1.5)), self.start, server.id)

    def members_changed(self, server: Server, change: ConfChange) -> None:
        """Somebody applied a change: new members are started, removed ones go after a while."""
        if change.type == ConfChangeType.ADD_NODE:
            if change.node_id not in self.disks:
                self.at(
                    self.rng.randrange(2 * self.options.election_us), self.start, change.node_id
                )
        elif change.node_id == server.id:
            self.tell_removed(server.id)

    def tell_removed(self, node: int) -> None:
        """A removed member hears of it and shuts down for ever, after a while."""
        if node not in self.leaving:
            self.leaving.add(node)
            self.at(self.options.election_us, self._stop_removed, node)

    def _stop_removed(self, node: int) -> None:
        """It stays until a majority of the others knows: else its vote may still be needed."""
        machines = [s.machine for s in self.servers.values()]
        newest = max(machines, key=lambda machine: machine.applied, default=None)
        if newest is None or node not in newest.removed:
            self.at(self.options.election_us, self._stop_removed, node)
            return
        members = [self.servers[n] for n in newest.nodes if n in self.servers]
        know = sum(node in member.machine.removed for member in members)
        if know <= len(newest.nodes) // 2:
            self.at(self.options.election_us, self._stop_removed, node)
            return
        self.gone.add(node)
        if node in self.servers:
            self.servers[node].stop()

    def any_server(self, rng: random.Random) -> Server | None:
        servers = list(self.servers.values())
        return rng.choice(servers) if servers else None

    def leader(self) -> Server | None:
        """The leader of the highest term, if there is one."""
        leaders = [s for s in self.servers.values() if s.raw.role == Role.LEADER]
        return max(leaders, key=lambda s: s.raw.term, default=None)

    def leader_known_to(self, server: Server) -> Server | None:
        return self.servers.get(server.raw.leader)

    def new_operation(self) -> int:
        self._operation += 1
        return self._operation

    def new_node(self) -> int:
        self._next_node += 1
        return self._next_node

    # -- the end ----------------------------------------------------------------------------

    def _calm_down(self) -> None:
        """No more trouble; everybody who is down comes back."""
        self.note("calm", "")
        network = self.network
        network.calm = True
        network.cut.clear()
        network.clogged.clear()
        for server in self.servers.values():
            server.paused_until = 0
        for node, disk in list(self.disks.items()):
            disk.full = False
            self.start(node)

    def _converge(self) -> None:
        """Within 20 election timeouts: one leader, all equal, writes accepted everywhere."""
        timeout_us = 2 * self.options.election_ticks * self.options.tick_us
        lag = max((s.raw.storage.last_index for s in self.servers.values()), default=0)
        deadline = self.now + 20 * timeout_us + lag * self.options.tick_us // 2
        done: set[int] = set()
        while not self._converged(done):
            if self.now >= deadline:
                self.oracle.fail(f"no progress in {20} election timeouts: {self._describe()}")
            for server in list(self.servers.values()):
                if server.id not in done:
                    self._final_write(server, done)
            self._run_until(self.now + timeout_us)

    def _final_write(self, server: Server, done: set[int]) -> None:
        operation = self.new_operation()
        floor = self.oracle.start("final")

        def reply(index: int) -> None:
            self.oracle.wrote("final", operation, index=index, floor=floor)
            done.add(server.id)

        data = command(operation, "final", operation)
        server.propose([data], operation=operation, reply=reply)

    def _converged(self, done: set[int]) -> bool:
        leader = self.leader()
        if leader is None:
            return False
        members = leader.machine.nodes
        return all(
            node in done
            and node in self.servers
            and self.servers[node].machine.applied == leader.raw.storage.last_index
            and self.servers[node].raw.leader == leader.id
            for node in members
        )

    def _describe(self) -> str:
        return "; ".join(str(server.raw.status()) for server in self.servers.values())


def run(seed: int, *, trace: Callable[[str], None] | None = None) -> Result:
    """One world from its seed."""
    return World(seed, trace=trace).run()
