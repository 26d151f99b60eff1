"""The nouns of consensus: entries, messages, states, and what a node hands to its driver.

Field names follow raftpb of etcd 2.3; the protobuf encoding is etcd/pb.py's business.
Pure: no I/O, no clock, no randomness. (`index` is raft's word; that it hides tuple.index is meant.)
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class EntryType(IntEnum):
    NORMAL = 0
    CONF_CHANGE = 1


class ConfChangeType(IntEnum):
    ADD_NODE = 0
    REMOVE_NODE = 1
    UPDATE_NODE = 2


class MsgType(IntEnum):
    """raftpb.MessageType; HUP, BEAT, UNREACHABLE, SNAP_STATUS and CHECK_QUORUM stay on the node."""

    HUP = 0
    BEAT = 1
    PROP = 2
    APP = 3
    APP_RESP = 4
    VOTE = 5
    VOTE_RESP = 6
    SNAP = 7
    HEARTBEAT = 8
    HEARTBEAT_RESP = 9
    UNREACHABLE = 10
    SNAP_STATUS = 11
    CHECK_QUORUM = 12


class Role(IntEnum):
    FOLLOWER = 0
    CANDIDATE = 1
    LEADER = 2


class Entry(NamedTuple):
    term: int
    index: int  # type: ignore[assignment]
    type: int = 0
    data: bytes = b""


class HardState(NamedTuple):
    """What must be on disk before a message that depends on it leaves."""

    term: int = 0
    vote: int = 0
    commit: int = 0


class SoftState(NamedTuple):
    leader: int
    role: Role


class ConfChange(NamedTuple):
    id: int
    type: int
    node_id: int
    context: bytes = b""


class SnapshotMeta(NamedTuple):
    index: int = 0  # type: ignore[assignment]
    term: int = 0
    nodes: tuple[int, ...] = ()


class Snapshot(NamedTuple):
    data: bytes = b""
    meta: SnapshotMeta = SnapshotMeta()


class Message(NamedTuple):
    """One raftpb.Message. `context` (field 12) is ours: read-index rounds; etcd 2.3 skips it."""

    type: int
    to: int = 0
    from_: int = 0
    term: int = 0
    log_term: int = 0
    index: int = 0  # type: ignore[assignment]
    entries: tuple[Entry, ...] = ()
    commit: int = 0
    snapshot: Snapshot | None = None
    reject: bool = False
    reject_hint: int = 0
    context: bytes = b""


class ReadState(NamedTuple):
    """A read asked for with `context` may be served once `index` is applied."""

    index: int  # type: ignore[assignment]
    context: bytes


class Ready(NamedTuple):
    """One turn's output of a node.

    The driver saves `snapshot`, `entries` and `hard_state` (fsync if `must_sync`), then sends
    `messages` (a leader's may leave while its own save is under way), applies `snapshot` and
    `committed`, answers `read_states`, then calls advance().
    """

    soft_state: SoftState | None
    hard_state: HardState | None
    entries: list[Entry]
    snapshot: Snapshot | None
    committed: list[Entry]
    messages: list[Message]
    read_states: list[ReadState]
    must_sync: bool
