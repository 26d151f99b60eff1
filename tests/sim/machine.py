"""The replicated state: a few keys, each with the index of its last write, and the members.

Two machines that applied the same entries have the same digest. Commands are JSON.
"""

from __future__ import annotations

import json
import zlib

from coreos_py.etcd import pb
from coreos_py.raft.types import ConfChange, ConfChangeType, Entry


class Machine:
    """What applying the log up to `applied` makes."""

    def __init__(self) -> None:
        self.applied = 0
        self.values: dict[str, tuple[int, int]] = {}
        self.nodes: tuple[int, ...] = ()
        self.removed: tuple[int, ...] = ()
        self.digest = 0

    def apply(self, entry: Entry) -> int | None:
        """Apply one entry; returns the id of the operation in it, if any."""
        if entry.index != self.applied + 1:
            raise AssertionError(f"entry {entry.index} applied after {self.applied}")
        self.applied = entry.index
        self.digest = zlib.crc32(entry.data, self.digest ^ entry.index)
        if entry.type or not entry.data:
            return None
        operation, key, value = json.loads(entry.data)
        self.values[key] = (value, entry.index)
        return int(operation)

    def admits(self, change: ConfChange) -> bool:
        """False for what etcd refuses at apply time: a member twice, a removed one, an unknown.

        Two members are not made one: if the leader is the one to go and the word that it may is
        lost, the other needs its vote for ever. Raft has no answer to that, nor has etcd 2.3.
        """
        if change.type == ConfChangeType.ADD_NODE:
            return change.node_id not in self.nodes and change.node_id not in self.removed
        return change.node_id in self.nodes and len(self.nodes) > 2

    def members_changed(self, nodes: tuple[int, ...], change: ConfChange) -> None:
        if change.type == ConfChangeType.REMOVE_NODE:
            self.removed += (change.node_id,)
        self.nodes = nodes

    def save(self) -> bytes:
        state = [self.applied, self.digest, self.nodes, self.removed, self.values]
        return json.dumps(state).encode()

    @classmethod
    def load(cls, data: bytes) -> Machine:
        machine = cls()
        if data:
            machine.applied, machine.digest, nodes, removed, values = json.loads(data)
            machine.nodes, machine.removed = tuple(nodes), tuple(removed)
            machine.values = {key: (value, index) for key, (value, index) in values.items()}
        return machine


def command(operation: int, key: str, value: int) -> bytes:
    return json.dumps([operation, key, value]).encode()


def conf_change(operation: int, kind: ConfChangeType, node: int) -> bytes:
    return pb.encode_conf_change(ConfChange(operation, kind, node))
