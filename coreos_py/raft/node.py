"""RawNode: the one door to a raft node, for a driver that owns disk, network and time.

The driver's turn:

    node.tick() / node.step(m) / node.propose([...])      as things happen, at any time
    for m in node.early_messages(): send it               at any time; they need no disk
    if node.has_ready():
        rd = node.ready()
        save rd.snapshot, rd.entries, rd.hard_state       fsync if rd.must_sync
        send rd.messages                                  a leader may send them before saving
        apply rd.snapshot, rd.committed                   apply_conf_change() for each conf entry
        answer rd.read_states once their index is applied
        node.advance(rd)

Only one Ready is out at a time: between ready() and advance() has_ready() is False, while tick,
step, propose and early_messages stay allowed, so saving may happen in another thread. Answers to
messages that arrive meanwhile are part of the next Ready. So no acknowledgement, not even of a
duplicate, overtakes the save it speaks of; and a leader counts its own entries toward commit only
at advance(). Committed entries in a Ready are already saved or are saved with it.

Entries enter the MemoryLog by themselves; the driver never appends. Every CONF_CHANGE entry in
rd.committed needs one apply_conf_change() before advance(), with node_id 0 if it was refused.
When the node stops leading, reads that were asked for are forgotten: once the read_states of a
Ready are taken care of, fail the others if its soft_state says so.
Mirrors etcd 2.3 raft/rawnode.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, repeat
from typing import NamedTuple

from coreos_py.raft import leader
from coreos_py.raft.core import LEADER, PROMISES, Config, Raft, Random
from coreos_py.raft.errors import NotLeader, ProposalDropped
from coreos_py.raft.log import MemoryLog
from coreos_py.raft.progress import State
from coreos_py.raft.types import (
    ConfChange,
    Entry,
    EntryType,
    Message,
    MsgType,
    Ready,
    Role,
    SoftState,
)

__all__ = ["Config", "ProgressStatus", "ProposalDropped", "RawNode", "Status"]

LOCAL = frozenset(
    {
        MsgType.HUP,
        MsgType.BEAT,
        MsgType.UNREACHABLE,
        MsgType.SNAP_STATUS,
        MsgType.CHECK_QUORUM,
    }
)
RESPONSES = frozenset({MsgType.APP_RESP, MsgType.VOTE_RESP, MsgType.HEARTBEAT_RESP})


class ProgressStatus(NamedTuple):
    """How far one follower is, as its leader knows it."""

    match: int
    next: int
    state: State
    paused: bool


class Status(NamedTuple):
    """A picture of the node for statistics and debugging; `progress` is empty unless it leads."""

    id: int
    term: int
    vote: int
    committed: int
    applied: int
    last_index: int
    leader: int
    role: Role
    nodes: tuple[int, ...]
    progress: dict[int, ProgressStatus]


class RawNode:
    """One member of a raft group."""

    def __init__(self, config: Config, storage: MemoryLog, *, rng: Random) -> None:
        self.storage = storage
        self._raft = Raft(config, storage, rng=rng)
        self._out: Ready | None = None
        self._saved = storage.hard_state
        self._soft = SoftState(0, Role.FOLLOWER)
        self._held_snapshot: Message | None = None

    @property
    def id(self) -> int:
        return self._raft.id

    @property
    def term(self) -> int:
        return self._raft.term

    @property
    def vote(self) -> int:
        return self._raft.vote

    @property
    def leader(self) -> int:
        """Id of the leader this node follows, its own if it leads, 0 if none is known."""
        return self._raft.leader

    @property
    def role(self) -> Role:
        return self._raft.role

    @property
    def committed(self) -> int:
        return self._raft.log.committed

    @property
    def applied(self) -> int:
        return self._raft.log.applied

    @property
    def nodes(self) -> tuple[int, ...]:
        """Ids of the members, ascending, as of the last applied configuration."""
        return tuple(self._raft.progress)

    def bootstrap(self, peers: Sequence[tuple[int, bytes]]) -> None:
        """Found a cluster: log entries 1..n of term 1 add `peers` (id, ConfChange bytes).

        Every founder must be given the same list.
        """
        r = self._raft
        if r.log.storage.last_index or r.term:
            raise ValueError("only an empty node can found a cluster")
        r.become_follower(1, 0)
        kind = EntryType.CONF_CHANGE
        r.log.storage.append([Entry(1, i, kind, data) for i, (_, data) in enumerate(peers, 1)])
        r.log.commit_to(len(peers))
        r.set_nodes(tuple(node for node, _ in peers))

    def tick(self) -> None:
        """One tick of the driver's clock has passed."""
        self._raft.tick()

    def campaign(self) -> None:
        """Stand for election now."""
        self._raft.campaign()

    def step(self, m: Message) -> None:
        """Take a message from the network; what does not concern us is ignored.

        Raises CorruptLog if the message proves that this node has lost saved entries.
        """
        kind = m.type
        if kind in LOCAL or (kind in RESPONSES and m.from_ not in self._raft.progress):
            return
        if kind == MsgType.SNAP and self._out is not None:
            # Its members must not be mixed up with conf changes that are being applied.
            self._held_snapshot = m
            return
        self._raft.step(m)

    def propose(self, datas: Sequence[bytes]) -> None:
        """Append all `datas`, or pass them to the leader. Raises ProposalDropped if there is none.

        Success does not mean that they will be committed.
        """
        r = self._raft
        if r.role == LEADER and r.id in r.progress:
            first = r.log.storage.last_index + 1
            fields = zip(repeat(r.term), count(first), repeat(0), datas, strict=False)
            leader.append(r, list(map(Entry._make, fields)))
        else:
            self._propose_entries(tuple(Entry(0, 0, 0, data) for data in datas))

    def propose_conf(self, cc_bytes: bytes) -> None:
        """Propose a configuration change; if one is pending it becomes an empty entry."""
        self._propose_entries((Entry(0, 0, EntryType.CONF_CHANGE, cc_bytes),))

    def _propose_entries(self, entries: tuple[Entry, ...]) -> None:
        r = self._raft
        if r.role == LEADER:
            leader.propose(r, entries)
        elif r.leader:
            r.outbox.append(Message(MsgType.PROP, r.leader, r.id, entries=entries))
        else:
            raise ProposalDropped(f"no leader at term {r.term}")

    def apply_conf_change(self, cc: ConfChange) -> tuple[int, ...]:
        """Take a committed change into effect; returns the members, ascending."""
        return self._raft.apply_conf_change(cc)

    def read_index(self, context: bytes) -> None:
        """Ask for a ReadState with `context`. Raises NotLeader if this node does not lead."""
        r = self._raft
        if r.role != LEADER or r.id not in r.progress:
            raise NotLeader(f"reads are ordered by the leader ({r.leader:x})")
        r.reads.ask(context)

    def report_unreachable(self, node: int) -> None:
        """The transport could not deliver to this member."""
        if self._raft.role == LEADER:
            leader.unreachable(self._raft, node)

    def report_snapshot(self, node: int, *, ok: bool) -> None:
        """A MsgSnap to this member was received, or was not. Must be called for each."""
        if self._raft.role == LEADER:
            leader.snapshot_reported(self._raft, node, ok=ok)

    def early_messages(self) -> list[Message]:
        """Take out the messages that promise nothing about this node's disk: send them now."""
        r = self._raft
        if r.role == LEADER:
            leader.flush(r)
        saved_term = self._saved.term
        early: list[Message] = []
        late: list[Message] = []
        for m in r.outbox:
            (late if m.type in PROMISES or m.term > saved_term else early).append(m)
        r.outbox = late
        return early

    def has_ready(self) -> bool:
        """True if ready() would have something to do and no Ready is out."""
        if self._out is not None:
            return False
        r = self._raft
        log = r.log
        return bool(
            r.outbox
            or r.due
            or r.read_states
            or leader.can_start_reads(r)
            or log.incoming
            or log.stable < log.storage.last_index
            or log.applied < log.committed
            or r.hard_state() != self._saved
            or (r.leader, r.role) != self._soft
        )

    def ready(self) -> Ready:
        """Everything to do since the last time. The next one comes after advance()."""
        if self._out is not None:
            raise RuntimeError("the previous Ready has not been advanced")
        r = self._raft
        log = r.log
        if r.role == LEADER:
            leader.flush(r)
        entries = log.unstable()
        committed = log.next_committed()
        r.conf_handed = [e[1] for e in committed if e[2]]
        hard = r.hard_state()
        saved = self._saved
        soft = SoftState(r.leader, r.role)
        ready = Ready(
            soft_state=soft if soft != self._soft else None,
            hard_state=hard if hard != saved else None,
            entries=entries,
            snapshot=log.incoming,
            committed=committed,
            messages=r.outbox,
            read_states=r.read_states,
            # A member that forgets which members it has may wait for the vote of one that is gone.
            must_sync=bool(entries or log.incoming or hard[:2] != saved[:2] or r.conf_handed),
        )
        r.outbox = []
        r.read_states = []
        self._soft = soft
        self._out = ready
        return ready

    def advance(self, ready: Ready) -> None:
        """The Ready is saved, sent and applied."""
        if ready is not self._out:
            raise RuntimeError("advance() takes the Ready that is out")
        self._out = None
        r = self._raft
        log = r.log
        if ready.hard_state is not None:
            self._saved = ready.hard_state
        if ready.snapshot is not None:
            log.incoming = None
            log.applied = max(log.applied, ready.snapshot.meta.index)
        if ready.committed:
            log.applied = ready.committed[-1].index
        if ready.entries:
            log.saved()
            if r.role == LEADER:
                leader.stable_moved(r)
        if self._held_snapshot is not None:
            held, self._held_snapshot = self._held_snapshot, None
            r.step(held)

    def status(self) -> Status:
        """A picture of the node."""
        r = self._raft
        progress = {}
        if r.role == LEADER:
            progress = {
                node: ProgressStatus(p.match, p.next, p.state, p.is_blocked())
                for node, p in r.progress.items()
            }
        return Status(
            id=r.id,
            term=r.term,
            vote=r.vote,
            committed=r.log.committed,
            applied=r.log.applied,
            last_index=r.log.storage.last_index,
            leader=r.leader,
            role=r.role,
            nodes=tuple(r.progress),
            progress=progress,
        )
