"""One raft node as a machine of three roles: messages and ticks in, messages out.

Rules of the file: nothing here does I/O, reads a clock or draws from a global generator; every
message goes to `outbox` and leaves through node.RawNode, which also says when the disk has
caught up. Messages of a lower term are dropped unanswered and there is no pre-vote, as etcd 2.3.8
does. The leader's side of replication is in leader.py. Mirrors etcd 2.3 raft/raft.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from coreos_py.raft import leader
from coreos_py.raft.errors import ProposalDropped
from coreos_py.raft.log import MemoryLog
from coreos_py.raft.progress import Progress
from coreos_py.raft.raftlog import RaftLog
from coreos_py.raft.readonly import ReadRounds
from coreos_py.raft.types import (
    ConfChange,
    ConfChangeType,
    Entry,
    HardState,
    Message,
    MsgType,
    ReadState,
    Role,
    Snapshot,
)

FOLLOWER, CANDIDATE, LEADER = Role.FOLLOWER, Role.CANDIDATE, Role.LEADER
APP, APP_RESP, SNAP = MsgType.APP, MsgType.APP_RESP, MsgType.SNAP
VOTE, VOTE_RESP, PROP = MsgType.VOTE, MsgType.VOTE_RESP, MsgType.PROP
HEARTBEAT, HEARTBEAT_RESP = MsgType.HEARTBEAT, MsgType.HEARTBEAT_RESP

PROMISES = frozenset({APP_RESP, VOTE, VOTE_RESP})
"""Messages that speak about what is on disk here, so they wait for it."""


class Random(Protocol):
    """The one thing asked of a random generator (random.Random has it)."""

    def randrange(self, stop: int, /) -> int: ...


class Config(NamedTuple):
    """What a node is told once. Ticks are whatever the driver makes them."""

    id: int
    election_ticks: int = 10
    heartbeat_ticks: int = 1
    max_size_per_msg: int = 1024 * 1024
    max_inflight: int = 512
    check_quorum: bool = True

    def check(self) -> None:
        """Raise ValueError for a configuration no node can run with."""
        if self.id <= 0:
            raise ValueError(f"node id must be positive, not {self.id}")
        if self.heartbeat_ticks < 1:
            raise ValueError(f"heartbeat_ticks must be at least 1, not {self.heartbeat_ticks}")
        if self.election_ticks <= self.heartbeat_ticks:
            raise ValueError(
                f"election_ticks ({self.election_ticks}) must be greater than"
                f" heartbeat_ticks ({self.heartbeat_ticks})"
            )
        if self.max_inflight < 1:
            raise ValueError(f"max_inflight must be at least 1, not {self.max_inflight}")


class Raft:
    """The state of one node. Public to this package; drivers use node.RawNode."""

    def __init__(self, config: Config, storage: MemoryLog, *, rng: Random) -> None:
        config.check()
        self.config = config
        self.id = config.id
        self.rng = rng
        self.log = RaftLog(storage)
        saved = storage.hard_state
        self.vote = saved.vote
        self.term = saved.term
        if storage.last_term > saved.term:
            # A crash between the entries (or snapshot) and the hard state of one save.
            self.term, self.vote = storage.last_term, 0
        self.role = FOLLOWER
        self.leader = 0
        self.votes: dict[int, bool] = {}
        self.progress: dict[int, Progress] = {}
        self.quorum = 1
        self.outbox: list[Message] = []
        self.reads = ReadRounds()
        self.read_states: list[ReadState] = []
        self.due = False
        self.pending_conf = 0
        self.conf_applied = 0
        self.conf_handed: list[int] = []
        self.election_elapsed = 0
        self.heartbeat_elapsed = 0
        self.election_timeout = 0
        self.set_nodes(storage.snapshot_meta.nodes)
        self.become_follower(self.term, 0)

    def hard_state(self) -> HardState:
        return HardState(self.term, self.vote, self.log.committed)

    def send(self, kind: MsgType, to: int, *, index: int = 0) -> None:
        self.outbox.append(Message(kind, to, self.id, self.term, index=index))

    # -- membership -------------------------------------------------------------------------

    def set_nodes(self, nodes: tuple[int, ...]) -> None:
        """Replace the whole membership (start, snapshot)."""
        self.progress = {node: self._new_progress(node) for node in sorted(nodes)}
        self.quorum = len(self.progress) // 2 + 1

    def _new_progress(self, node: int) -> Progress:
        return Progress(
            match=self.log.stable if node == self.id else 0,
            next_index=self.log.storage.last_index + 1,
            window=self.config.max_inflight,
        )

    def apply_conf_change(self, change: ConfChange) -> tuple[int, ...]:
        """Take a committed change into effect; node_id 0 means the driver refused it."""
        if self.conf_handed:
            self.conf_applied = self.conf_handed.pop(0)
        node = change.node_id
        if node and change.type == ConfChangeType.ADD_NODE and node not in self.progress:
            self.set_nodes_keeping((*self.progress, node))
            # So that a leader gives the newcomer one election timeout to say something.
            self.progress[node].active = True
        elif node and change.type == ConfChangeType.REMOVE_NODE and node in self.progress:
            self.set_nodes_keeping(tuple(other for other in self.progress if other != node))
            if self.role == LEADER and self.progress:
                leader.quorum_changed(self)
        return tuple(self.progress)

    def set_nodes_keeping(self, nodes: tuple[int, ...]) -> None:
        """Change the membership without forgetting how far the others are."""
        old = self.progress
        self.progress = {node: old.get(node) or self._new_progress(node) for node in sorted(nodes)}
        self.quorum = len(self.progress) // 2 + 1

    def conf_change_pending(self) -> bool:
        """True if a configuration entry may exist that is not applied here."""
        return self.pending_conf > max(self.log.applied, self.conf_applied)

    # -- roles ------------------------------------------------------------------------------

    def _reset(self, term: int) -> None:
        if term != self.term:
            self.term, self.vote = term, 0
        self.leader = 0
        self.votes = {}
        self.election_elapsed = self.heartbeat_elapsed = 0
        ticks = self.config.election_ticks
        self.election_timeout = ticks + 1 + self.rng.randrange(ticks - 1)
        self.set_nodes(tuple(self.progress))
        self.reads = ReadRounds()
        self.due = False
        self.pending_conf = 0

    def become_follower(self, term: int, leader_id: int) -> None:
        self._reset(term)
        self.role = FOLLOWER
        self.leader = leader_id

    def become_candidate(self) -> None:
        self._reset(self.term + 1)
        self.role = CANDIDATE
        self.vote = self.id

    def become_leader(self) -> None:
        self._reset(self.term)
        self.role = LEADER
        self.leader = self.id
        self.pending_conf = self.log.last_conf_change(after=self.log.applied)
        # A leader's messages may leave before its disk is done; older promises must not.
        self.outbox = [m for m in self.outbox if m.type not in PROMISES]
        leader.append(self, [Entry(self.term, self.log.storage.last_index + 1)])

    def campaign(self) -> None:
        """Stand for election, unless the node has no vote or does not yet know who has."""
        if self.role == LEADER or self.id not in self.progress or self._conf_unapplied():
            return
        self.become_candidate()
        self._count_vote(self.id, granted=True)
        if self.role == LEADER:
            return
        storage = self.log.storage
        for node in self.progress:
            if node != self.id:
                self.outbox.append(
                    Message(
                        VOTE,
                        node,
                        self.id,
                        self.term,
                        log_term=storage.last_term,
                        index=storage.last_index,
                    )
                )

    def left_to_one(self, node: int) -> bool:
        """True if this node was the other one of two and is removed: all that counts is `node`'s.

        What it had appended besides cannot be committed without `node`, which may not have heard
        of the removal; refusing it the vote because of a longer log would strand it for ever.
        """
        if tuple(self.progress) != (node,):
            return False
        return not self.log.last_conf_change(after=max(self.log.applied, self.conf_applied))

    def _conf_unapplied(self) -> bool:
        """True if a committed configuration is still to be applied, so the quorum is unknown."""
        log = self.log
        lo = max(log.applied + 1, log.storage.first_index)
        committed = log.storage.entries(lo, log.committed + 1)
        return any(e.type and e.index > self.conf_applied for e in committed)

    def _count_vote(self, node: int, *, granted: bool) -> None:
        self.votes.setdefault(node, granted)
        yes = sum(self.votes.values())
        if yes == self.quorum and self.id in self.progress:
            self.become_leader()
        elif len(self.votes) - yes == self.quorum:
            self.become_follower(self.term, 0)

    # -- time -------------------------------------------------------------------------------

    def tick(self) -> None:
        """One tick has passed."""
        if self.role == LEADER:
            leader.tick(self)
            return
        self.election_elapsed += 1
        if self.election_elapsed >= self.election_timeout:
            self.election_elapsed = 0
            self.campaign()

    # -- messages ---------------------------------------------------------------------------

    def step(self, m: Message) -> None:
        """Take one message from another node."""
        if m.type != PROP:
            if m.term < self.term or m.term == 0:
                self._hear_lower_term(m)
                return
            if m.term > self.term:
                self.become_follower(m.term, 0 if m.type == VOTE else m.from_)
        handler = _HANDLERS[self.role].get(m.type)
        if handler is not None:
            handler(self, m)

    def _hear_lower_term(self, m: Message) -> None:
        """Ignore it, unless it is a leader's and this node, having no vote, cannot outbid it.

        A member that has not heard of its own addition yet can have been talked into a later term
        by one that was removed; without this it would ignore the leader until the next election.
        A request for a vote it does not count makes the leader catch up with the term.
        """
        if m.term and m.type in (APP, HEARTBEAT, SNAP) and self.id not in self.progress:
            self.outbox.append(Message(VOTE, m.from_, self.id, self.term))


Handler = Callable[[Raft, Message], None]


def _forward_proposal(r: Raft, m: Message) -> None:
    """Pass a proposal on; one that nobody can take is lost, its proposer will time out."""
    if r.leader and r.leader != m.from_:
        r.outbox.append(m._replace(to=r.leader, from_=r.id, term=0))


def _propose(r: Raft, m: Message) -> None:
    try:
        leader.propose(r, m.entries)
    except ProposalDropped:
        return  # Sent by a node that has not heard of our removal; it will time out.


def _heard_leader(r: Raft, m: Message) -> None:
    if r.role == CANDIDATE:
        r.become_follower(r.term, m.from_)
    r.election_elapsed = 0
    r.leader = m.from_


def _on_append(r: Raft, m: Message) -> None:
    for index, entry in enumerate(m.entries, m.index + 1):
        if entry[1] != index:
            return  # No leader sends that, and the log must not take it; etcd 2.3 panics.
    _heard_leader(r, m)
    log = r.log
    if m.index < log.committed:
        r.send(APP_RESP, m.from_, index=log.committed)
        return
    last = log.append_from_leader(m.index, m.log_term, m.entries, commit=m.commit)
    if last is not None:
        r.send(APP_RESP, m.from_, index=last)
        return
    r.outbox.append(
        Message(
            APP_RESP,
            m.from_,
            r.id,
            r.term,
            index=m.index,
            reject=True,
            reject_hint=log.storage.last_index,
        )
    )


def _on_heartbeat(r: Raft, m: Message) -> None:
    _heard_leader(r, m)
    r.log.commit_to(m.commit)
    r.outbox.append(Message(HEARTBEAT_RESP, m.from_, r.id, r.term, context=m.context))


def _on_snapshot(r: Raft, m: Message) -> None:
    _heard_leader(r, m)
    if m.snapshot is not None and _restore(r, m.snapshot):
        r.send(APP_RESP, m.from_, index=r.log.storage.last_index)
    else:
        r.send(APP_RESP, m.from_, index=r.log.committed)


def _restore(r: Raft, snapshot: Snapshot) -> bool:
    """Start over from a snapshot; False if the log already has what it covers."""
    meta, log = snapshot.meta, r.log
    if meta.index <= log.committed:
        return False
    if log.storage.matches(meta.index, meta.term):
        log.commit_to(meta.index)
        return False
    log.restore(snapshot)
    r.set_nodes(meta.nodes)
    return True


def _on_vote(r: Raft, m: Message) -> None:
    if r.vote in (0, m.from_) and (
        r.log.is_up_to_date(m.index, m.log_term) or r.left_to_one(m.from_)
    ):
        r.election_elapsed = 0
        r.vote = m.from_
        r.send(VOTE_RESP, m.from_)
    else:
        _refuse_vote(r, m)


def _refuse_vote(r: Raft, m: Message) -> None:
    r.outbox.append(Message(VOTE_RESP, m.from_, r.id, r.term, reject=True))


def _on_vote_response(r: Raft, m: Message) -> None:
    r._count_vote(m.from_, granted=not m.reject)


_HANDLERS: Mapping[Role, Mapping[int, Handler]] = {
    FOLLOWER: {
        PROP: _forward_proposal,
        APP: _on_append,
        HEARTBEAT: _on_heartbeat,
        SNAP: _on_snapshot,
        VOTE: _on_vote,
    },
    CANDIDATE: {
        APP: _on_append,
        HEARTBEAT: _on_heartbeat,
        SNAP: _on_snapshot,
        VOTE: _refuse_vote,
        VOTE_RESP: _on_vote_response,
    },
    LEADER: {
        PROP: _propose,
        VOTE: _refuse_vote,
        APP_RESP: leader.on_append_response,
        HEARTBEAT_RESP: leader.on_heartbeat_response,
    },
}
