"""What the raft core costs by itself: proposals through one node and through three, CPU only.

Run: python tests/bench/raft_micro.py [name...]; one JSON line per measurement, best of several
rounds. Nothing is saved and nothing is encoded; the log is compacted as a server would do it.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from coreos_py.raft.log import MemoryLog
from coreos_py.raft.node import Config, RawNode
from coreos_py.raft.types import ConfChange, Message

ROUNDS = 5
DATA = b"x" * 256
KEEP_ENTRIES = 5000
SNAPSHOT_COUNT = 10_000


class Group:
    """Nodes that hand each other their messages at once."""

    def __init__(self, size: int) -> None:
        members = range(1, size + 1)
        self.nodes = {n: RawNode(Config(n), MemoryLog(), rng=random.Random(n)) for n in members}
        for node in self.nodes.values():
            node.bootstrap([(n, b"") for n in members])
        self.settle()
        self.leader = self.nodes[1]
        self.leader.campaign()
        self.settle()

    def turn(self) -> bool:
        messages: list[Message] = []
        for node in self.nodes.values():
            if node.has_ready():
                ready = node.ready()
                messages += ready.messages
                for entry in ready.committed:
                    if entry.type:
                        node.apply_conf_change(ConfChange(0, 0, entry.index))
                node.advance(ready)
        for message in messages:
            self.nodes[message.to].step(message)
        return bool(messages) or any(node.has_ready() for node in self.nodes.values())

    def settle(self) -> None:
        while self.turn():
            pass

    def compact(self) -> None:
        for node in self.nodes.values():
            if node.applied - node.storage.snapshot_meta.index > SNAPSHOT_COUNT:
                node.storage.create_snapshot(node.applied, nodes=node.nodes, data=b"")
                node.storage.compact(node.applied - KEEP_ENTRIES)


def proposals(size: int, batch: int, entries: int) -> Callable[[], int]:
    """A run of `entries` proposals, `batch` per turn; returns how many were committed."""
    group = Group(size)
    datas = [DATA] * batch

    def run() -> int:
        start = group.leader.committed
        for _ in range(entries // batch):
            group.leader.propose(datas)
            group.turn()
            group.compact()
        group.settle()
        return group.leader.committed - start

    return run


MEASUREMENTS: dict[str, Callable[[], int]] = {
    "single_batch64": proposals(1, 64, 200_000),
    "single_batch1": proposals(1, 1, 50_000),
    "three_batch64": proposals(3, 64, 100_000),
    "three_batch1": proposals(3, 1, 10_000),
}


def main() -> None:
    for name in sys.argv[1:] or MEASUREMENTS:
        run = MEASUREMENTS[name]
        best = 0.0
        for _ in range(ROUNDS):
            started = time.process_time()
            committed = run()
            best = max(best, committed / (time.process_time() - started))
        print(json.dumps({"name": f"raft_{name}", "value": round(best), "unit": "proposals/s"}))


if __name__ == "__main__":
    main()
