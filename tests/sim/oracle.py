"""What must never happen, checked after every step of every node.

Election safety, leader completeness, log matching, state machine safety, durability of what is
committed, real-time order of acknowledged writes and reads. It knows everything at once, so it
needs no guesses: the first committed sequence it sees is the truth.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from coreos_py.raft.types import Entry, Role

if TYPE_CHECKING:
    from tests.sim.server import Server
    from tests.sim.world import World


class Violation(AssertionError):
    """A promise of raft is broken."""


class Oracle:
    """All promises made so far in one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.log: list[Entry] = [Entry(0, 0)]
        self.committed_in: list[int] = [0]
        self.leaders: dict[int, int] = {}
        self.states: dict[int, tuple[object, ...]] = {}
        self.floor: dict[str, int] = {}
        self.acknowledged: dict[int, int] = {}
        self.elections = 0
        self.reads = 0

    def fail(self, message: str) -> None:
        raise Violation(f"at {self.world.now / 1e6:.6f} s: {message}")

    # -- a node after a step ----------------------------------------------------------------

    def observe(self, server: Server) -> None:
        """Look at one node's role and commit index."""
        raw = server.raw
        if raw.role == Role.LEADER and raw.term != server.observed_term:
            server.observed_term = raw.term
            self._new_leader(server)
        committed = raw.committed
        if committed != server.observed_commit:
            if committed < server.observed_commit:
                self.fail(f"commit of {server.id} fell to {committed}")
            self._committed(server, committed)
            server.observed_commit = committed

    def _new_leader(self, server: Server) -> None:
        raw = server.raw
        self.elections += 1
        other = self.leaders.setdefault(raw.term, server.id)
        if other != server.id:
            self.fail(f"{other} and {server.id} both lead term {raw.term}")
        last = len(self.log) - 1
        storage = raw.storage
        for index in range(max(storage.first_index, 1), last + 1):
            # Votes may be late: it need not know what a leader of a later term has committed.
            if self.committed_in[index] < raw.term and not storage.matches(
                index, self.log[index].term
            ):
                self.fail(
                    f"leader {server.id} of term {raw.term} lacks committed entry {index}"
                    f" of term {self.log[index].term}"
                )

    def _committed(self, server: Server, committed: int) -> None:
        storage, log = server.raw.storage, self.log
        first = max(server.observed_commit + 1, storage.first_index)
        if committed >= len(log) and first > len(log):
            self.fail(f"{server.id} has committed {committed} by a snapshot of the unknown")
        for entry in storage.entries(first, committed + 1):
            if entry.index < len(log):
                if log[entry.index] != entry:
                    self.fail(
                        f"{server.id} committed {entry} where {log[entry.index]} is committed"
                    )
            else:
                log.append(entry)
                self.committed_in.append(server.raw.term)
                if entry.index == committed:
                    self._durable(server, entry)
        meta = storage.snapshot_meta
        if meta.index and log[meta.index].term != meta.term:
            self.fail(f"{server.id} has a snapshot at {meta}, not of {log[meta.index]}")

    def _durable(self, server: Server, entry: Entry) -> None:
        """What is committed for the first time must be on the disks of a majority."""
        raw = server.raw
        if raw.role != Role.LEADER:
            return
        disks = self.world.disks
        have = sum(
            node in disks and disks[node].image.covers(entry.index, entry.term)
            for node in raw.nodes
        )
        if have <= len(raw.nodes) // 2:
            self.fail(
                f"{server.id} committed {entry.term}/{entry.index} on {have} disks"
                f" of {list(raw.nodes)}"
            )

    def applied(self, server: Server) -> None:
        """Two nodes at the same index are in the same state, with the same members."""
        machine = server.machine
        if machine.applied > server.raw.committed:
            self.fail(f"{server.id} applied {machine.applied} before it was committed")
        state = (machine.digest, machine.nodes, machine.removed)
        known = self.states.setdefault(machine.applied, state)
        if known != state:
            self.fail(f"{server.id} is in state {state} at {machine.applied}, others in {known}")

    # -- pairs of nodes ---------------------------------------------------------------------

    def compare_logs(self) -> None:
        """Log matching: two logs that agree on one entry agree on all before it."""
        for a, b in combinations(self.world.servers.values(), 2):
            one, two = a.raw.storage, b.raw.storage
            lo = max(one.first_index, two.first_index)
            hi = min(one.last_index, two.last_index)
            while hi >= lo and one.term(hi) != two.term(hi):
                hi -= 1
            if hi >= lo and one.entries(lo, hi + 1) != two.entries(lo, hi + 1):
                self.fail(f"{a.id} and {b.id} agree on entry {hi} but not on all before it")

    # -- clients ----------------------------------------------------------------------------

    def start(self, key: str) -> int:
        """Remember what a client may expect of an operation that starts now."""
        return self.floor.get(key, 0)

    def wrote(self, key: str, operation: int, *, index: int, floor: int) -> None:
        """A write was acknowledged at an index."""
        if index <= floor:
            self.fail(f"write at {index} started after {floor} was acknowledged")
        if index >= len(self.log):
            self.fail(f"write acknowledged at {index}, committed is {len(self.log) - 1}")
        if operation in self.acknowledged:
            self.fail(f"operation {operation} acknowledged twice")
        self.acknowledged[operation] = index
        self.floor[key] = max(self.floor.get(key, 0), index)

    def read(self, key: str, *, index: int, floor: int) -> None:
        """A linearizable read returned the value written at an index."""
        self.reads += 1
        if index < floor:
            self.fail(f"stale read of {key}: index {index}, but {floor} was known before it began")
        self.floor[key] = max(self.floor.get(key, 0), index)

    # -- the end ----------------------------------------------------------------------------

    def finish(self) -> None:
        """Acknowledged writes are in every machine's past; logs are bounded."""
        self.compare_logs()
        committed = len(self.log) - 1
        for operation, index in self.acknowledged.items():
            data = self.log[index].data if index <= committed else b""
            if not data.startswith(b"[%d," % operation):
                self.fail(f"operation {operation} was acknowledged at {index}, there is {data!r}")
        options = self.world.options
        trees: dict[int, object] = {}
        for server in self.world.servers.values():
            tree = server.machine.tree()
            if trees.setdefault(server.machine.applied, tree) != tree:
                self.fail(f"{server.id} holds {tree}, others {trees[server.machine.applied]}")
            storage = server.raw.storage
            length = storage.last_index - storage.first_index
            bound = options.snapshot_count + options.catch_up_entries + 100 * options.burst
            if length > bound:
                self.fail(f"{server.id} holds {length} entries, {bound} are enough")
