"""When a member may take a snapshot of its own, and when a leader's is in the way."""

from __future__ import annotations

import asyncio
import random

from coreos_py.etcd.snapshots import SnapshotKeeper
from coreos_py.raft.log import MemoryLog
from coreos_py.raft.node import Config, RawNode
from coreos_py.raft.types import Entry, HardState, Message, MsgType, Snapshot, SnapshotMeta
from coreos_py.store.store import Store


class RecordingDisk:
    def __init__(self):
        self.saved = []

    def save_snapshot(self, snapshot, *, chunks):
        self.saved.append(snapshot.meta)

    def loader(self, meta):
        return lambda: b""


def follower() -> RawNode:
    storage = MemoryLog(
        snapshot=Snapshot(b"", SnapshotMeta(10, 3, (1, 2))),
        entries=[Entry(4, 11), Entry(4, 12)],
        hard_state=HardState(4, 0, 12),
    )
    node = RawNode(Config(1), storage, rng=random.Random(1))
    node.advance(node.ready())
    return node


def snapshots_taken(node: RawNode) -> list[SnapshotMeta]:
    async def take():
        keeper = SnapshotKeeper(node, Store(), disk, every=1, last_index=10, fatal=failures.append)
        keeper.maybe_start(12)
        await keeper.wait()

    disk = RecordingDisk()
    failures: list[Exception] = []
    asyncio.run(take())
    assert failures == []
    return disk.saved


def test_a_snapshot_carries_term_and_members_of_what_was_applied():
    assert snapshots_taken(follower()) == [SnapshotMeta(12, 4, (1, 2))]


def test_none_is_taken_while_a_leaders_snapshot_is_being_saved():
    """The raft log has gone ahead of the store: it knows neither term nor members of index 12."""
    node = follower()
    newer = Snapshot(b"", SnapshotMeta(90, 7, (1, 2, 3)))
    node.step(Message(MsgType.SNAP, 1, 2, 7, snapshot=newer))
    assert node.ready().snapshot == newer
    assert snapshots_taken(node) == []
