"""The replicated state: a few keys, each with the index of its last write, and the members.

Two machines that applied the same entries have the same digest. Commands are JSON. In some worlds
the product's store and applier do the same work beside it, with keys that expire.
"""

from __future__ import annotations

import json
import zlib

from coreos_py.etcd import pb
from coreos_py.etcd.apply import Applier
from coreos_py.etcd.membership import Cluster
from coreos_py.raft.types import ConfChange, ConfChangeType, Entry
from coreos_py.store.store import Store

EPOCH_US = 1_700_000_000 * 1_000_000
"""When the worlds begin, for the store: it takes times before 2000 for none."""


class Machine:
    """What applying the log up to `applied` makes."""

    def __init__(self, *, with_store: bool = False) -> None:
        self.store = Store() if with_store else None
        self.applied = 0
        self.values: dict[str, tuple[int, int]] = {}
        self.nodes: tuple[int, ...] = ()
        self.removed: tuple[int, ...] = ()
        self.digest = 0

    def apply(self, entry: Entry, *, clock_us: int = 0) -> int | None:
        """Apply one entry; returns the id of the operation in it, if any.

        `clock_us` is what this member's wall clock shows.
        """
        if entry.index != self.applied + 1:
            raise AssertionError(f"entry {entry.index} applied after {self.applied}")
        self.applied = entry.index
        self.digest = zlib.crc32(entry.data, self.digest ^ entry.index)
        if entry.type or not entry.data:
            return None
        operation, key, value, expire_us = json.loads(entry.data)
        if self.store is not None:
            request = _request(operation, key, value, expire_us)
            applier = Applier(self.store, Cluster(1), notice=print)
            applier.apply(request, now_ns=(EPOCH_US + clock_us) * 1000)
            self.digest ^= self.store.index
        if key == SYNC:
            return None
        self.values[key] = (value, entry.index)
        return int(operation)

    def tree(self) -> object:
        """All that the store holds, without what is only counted."""
        return json.loads(self.store.save())["Root"] if self.store is not None else None

    def admits(self, change: ConfChange) -> bool:
        """False for what etcd refuses at apply time: a member twice, a removed one, an unknown.

        Two members may be made one because the one that goes stays until the other knows.
        """
        if change.type == ConfChangeType.ADD_NODE:
            return change.node_id not in self.nodes and change.node_id not in self.removed
        return change.node_id in self.nodes and len(self.nodes) > 1

    def members_changed(self, nodes: tuple[int, ...], change: ConfChange) -> None:
        if change.type == ConfChangeType.REMOVE_NODE:
            self.removed += (change.node_id,)
        self.nodes = nodes

    def save(self) -> bytes:
        store = self.store.save().decode() if self.store is not None else ""
        state = [self.applied, self.digest, self.nodes, self.removed, self.values, store]
        return json.dumps(state).encode()

    @classmethod
    def load(cls, data: bytes, *, with_store: bool = False) -> Machine:
        machine = cls(with_store=with_store)
        if data:
            machine.applied, machine.digest, nodes, removed, values, store = json.loads(data)
            if machine.store is not None:
                machine.store.recover(store.encode())
            machine.nodes, machine.removed = tuple(nodes), tuple(removed)
            machine.values = {key: (value, index) for key, (value, index) in values.items()}
        return machine


def command(operation: int, key: str, value: int, *, expire_us: int = 0) -> bytes:
    return json.dumps([operation, key, value, expire_us]).encode()


SYNC = ""


def sync(clock_us: int) -> bytes:
    """The leader's clock, by which keys expire everywhere."""
    return command(0, SYNC, clock_us)


def _request(operation: int, key: str, value: int, expire_us: int) -> pb.Request:
    if key == SYNC:
        return pb.Request(operation, "SYNC", time=(EPOCH_US + value) * 1000)
    expiration = (EPOCH_US + expire_us) * 1000 if expire_us else 0
    return pb.Request(operation, "PUT", f"/1/{key}", str(value), expiration=expiration)


def conf_change(operation: int, kind: ConfChangeType, node: int) -> bytes:
    return pb.encode_conf_change(ConfChange(operation, kind, node))
