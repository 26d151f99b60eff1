"""Single nodes in a given state, for tests of one rule at a time."""

from __future__ import annotations

from collections.abc import Sequence

from coreos_py.raft.log import MemoryLog
from coreos_py.raft.node import Config, RawNode
from coreos_py.raft.types import (
    ConfChange,
    Entry,
    HardState,
    Message,
    MsgType,
    Ready,
    Snapshot,
    SnapshotMeta,
)

START = 10
"""Nodes start from a snapshot at this index, of term 1."""


class Dice:
    """A generator that always throws the same."""

    def __init__(self, value: int = 0):
        self.value = value

    def randrange(self, stop: int) -> int:
        return self.value % stop


def node(
    number: int = 1,
    *,
    nodes: Sequence[int] = (1, 2, 3),
    terms: Sequence[int] = (),
    term: int = 1,
    vote: int = 0,
    commit: int = START,
    dice: int = 0,
    **config,
) -> RawNode:
    """A follower with entries of these terms behind the start."""
    storage = MemoryLog(
        snapshot=Snapshot(b"", SnapshotMeta(START, 1, tuple(nodes))),
        entries=[Entry(t, START + i) for i, t in enumerate(terms, 1)],
        hard_state=HardState(term, vote, commit),
    )
    config.setdefault("election_ticks", 10)
    raw = RawNode(Config(number, **config), storage, rng=Dice(dice))
    drain(raw)
    return raw


def turn(raw: RawNode) -> Ready:
    """One Ready, saved and applied at once."""
    ready = raw.ready()
    for entry in ready.committed:
        if entry.type:
            raw.apply_conf_change(ConfChange(0, 0, 0))
    raw.advance(ready)
    return ready


def drain(raw: RawNode) -> list[Message]:
    """All there is to do; returns the messages."""
    messages = []
    while raw.has_ready():
        messages += turn(raw).messages
    return messages


def tick(raw: RawNode, times: int) -> list[Message]:
    for _ in range(times):
        raw.tick()
    return drain(raw)


def candidate(**state) -> RawNode:
    raw = node(**state)
    raw.campaign()
    drain(raw)
    return raw


def leader(**state) -> RawNode:
    """A leader whose first entry every follower has acknowledged."""
    raw = candidate(**state)
    others = [peer for peer in raw.nodes if peer != raw.id]
    for peer in others:
        raw.step(answer(raw, MsgType.VOTE_RESP, peer))
    drain(raw)
    last = raw.storage.last_index
    for peer in others:
        raw.step(answer(raw, MsgType.APP_RESP, peer, index=last))
    drain(raw)
    assert raw.leader == raw.id
    return raw


def answer(raw: RawNode, kind: MsgType, peer: int, **fields) -> Message:
    """A message of the node's own term from a peer."""
    fields.setdefault("term", raw.term)
    return Message(kind, to=raw.id, from_=peer, **fields)


def of(messages: Sequence[Message], kind: MsgType) -> list[Message]:
    return [m for m in messages if m.type == kind]
