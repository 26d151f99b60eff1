"""What goes wrong in a world: power cuts, stops, partitions, clogs, members coming and going."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.raft.types import ConfChangeType
from tests.sim.machine import conf_change

if TYPE_CHECKING:
    from tests.sim.server import Server
    from tests.sim.world import World


HOUR_US = 3600 * 1_000_000


class Faults:
    """The ill will of one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.child("faults")
        options = world.options
        self._every(options.crash_every_us, self.crash_one)
        self._every(options.pause_every_us, self.pause_one)
        self._every(options.churn_every_us, self.change_members)
        self._every(options.disk_full_every_us, self.fill_disk)
        self._every(options.clock_jump_every_us, self.jump_clock)
        if options.partition != "none":
            self._every(options.partition_every_us, self.partition)

    def _every(self, period_us: int, action) -> None:
        if period_us:
            self.world.at(self._soon(period_us), self._again, period_us, action)

    def _soon(self, period_us: int) -> int:
        return int(self.rng.expovariate(1) * period_us) + 1

    def _again(self, period_us: int, action) -> None:
        if not self.world.network.calm:
            action()
            self._every(period_us, action)

    def crash_one(self) -> None:
        server = self.world.any_server(self.rng)
        if self.rng.random() < 0.5:
            server = self.world.leader() or server
        if server is not None:
            server.crash()
        if self.rng.random() < 0.1:
            for other in list(self.world.servers.values()):
                other.crash()

    def pause_one(self) -> None:
        """SIGSTOP, with a bias for the leader."""
        server = self.world.any_server(self.rng)
        if self.rng.random() < 0.5:
            server = self.world.leader() or server
        if server is not None:
            server.paused_until = self.world.now + self.rng.randrange(
                4 * self.world.options.election_us
            )
            self.world.note("pause", server.id)

    def fill_disk(self) -> None:
        """Somebody else's files take all the space, for a while."""
        node = self.rng.choice(sorted(self.world.disks))
        self.world.disks[node].full = True
        self.world.note("disk full", node)
        self.world.at(
            self.rng.randrange(6 * self.world.options.election_us) + 1, self._make_room, node
        )

    def _make_room(self, node: int) -> None:
        self.world.disks[node].full = False

    def jump_clock(self) -> None:
        """A wall clock is set, up to an hour wrong; only deadlines of keys may depend on it."""
        node = self.rng.choice(sorted(self.world.disks))
        self.world.clocks_us[node] = self.rng.randrange(-HOUR_US, HOUR_US)
        self.world.note("clock set", (node, self.world.clocks_us[node]))

    def partition(self) -> None:
        """Break links, or heal them if some are broken."""
        network, rng = self.world.network, self.rng
        if network.cut:
            network.cut.clear()
            self.world.note("healed", "")
            return
        nodes = sorted(self.world.disks)
        rng.shuffle(nodes)
        leader = self.world.leader()
        if leader is not None and rng.random() < 0.5:
            nodes.sort(key=lambda node: node != leader.id)
        pairs = {(a, b) for a in nodes for b in nodes if a != b}
        match self.world.options.partition:
            case "one":
                network.cut = {(a, b) for a, b in pairs if nodes[0] in (a, b)}
            case "halves":
                left = set(nodes[: rng.randrange(len(nodes)) + 1])
                network.cut = {(a, b) for a, b in pairs if (a in left) != (b in left)}
            case "ring":
                at = {node: place for place, node in enumerate(nodes)}
                near = (1, len(nodes) - 1)
                network.cut = {(a, b) for a, b in pairs if (at[a] - at[b]) % len(nodes) not in near}
            case "one-way":
                network.cut = {pair for pair in sorted(pairs) if rng.random() < 0.3}
            case "leader-keeps-one":
                alone, friend = nodes[0], nodes[-1]
                network.cut = {(a, b) for a, b in pairs if alone in (a, b) and friend not in (a, b)}
        self.world.note("cut", sorted(network.cut))

    def new_leader(self, server: Server) -> None:
        """A fresh leader may not last."""
        options = self.world.options
        if self.rng.random() < options.leader_dies_young:
            self.world.at(
                self._soon(options.tick_us + 2 * options.delay_mean_us), self._die, server
            )

    def broadcast(self, server: Server) -> None:
        """A leader's links to all but one follower may be stuck for a while (figure 8)."""
        world, rng = self.world, self.rng
        if rng.random() < world.options.clog and not world.network.calm:
            others = [node for node in server.raw.nodes if node != server.id]
            rng.shuffle(others)
            until = world.now + rng.randrange(3 * world.options.election_us)
            for node in others[1:]:
                world.network.clogged[(server.id, node)] = until

    def _die(self, server: Server) -> None:
        if server.alive and not self.world.network.calm:
            server.crash()

    def change_members(self) -> None:
        """Ask some member to add a new one or to remove one."""
        world, rng = self.world, self.rng
        server = world.any_server(rng)
        if server is None or not server.machine.nodes:
            return
        members = server.machine.nodes
        if len(members) < 2 or (len(members) < 6 and rng.random() < 0.5):
            change = conf_change(world.new_operation(), ConfChangeType.ADD_NODE, world.new_node())
        else:
            gone = rng.choice(members)
            change = conf_change(world.new_operation(), ConfChangeType.REMOVE_NODE, gone)
        server.propose_conf(change)
        if rng.random() < 0.3:
            server.propose_conf(change)
