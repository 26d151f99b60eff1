"""A leader's side of replication: appends, heartbeats, counting, reads, snapshots.

Appends are not sent one by one: what changes marks followers as due, and flush() sends each due
follower its messages, once per turn of the driver. Mirrors the stepLeader half of etcd 2.3
raft/raft.go. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from coreos_py.raft.errors import ProposalDropped
from coreos_py.raft.progress import PROBE, REPLICATE, SNAPSHOT, Progress
from coreos_py.raft.types import Entry, EntryType, Message, MsgType

if TYPE_CHECKING:
    from coreos_py.raft.core import Raft

APPENDS_PER_TURN = 16
"""Messages one follower may be sent in one turn; its answers ask for the rest."""


def tick(r: Raft) -> None:
    """Heartbeat, and once per election timeout see whether a quorum still answers."""
    r.heartbeat_elapsed += 1
    r.election_elapsed += 1
    if r.election_elapsed >= r.config.election_ticks:
        r.election_elapsed = 0
        if r.config.check_quorum and not _quorum_active(r):
            r.become_follower(r.term, 0)
            return
    if r.heartbeat_elapsed >= r.config.heartbeat_ticks:
        r.heartbeat_elapsed = 0
        for progress in r.progress.values():
            progress.paused = False
        send_heartbeats(r)


def _quorum_active(r: Raft) -> bool:
    """True if a quorum was heard of since the last time this was asked."""
    count = 0
    for node, progress in r.progress.items():
        count += node == r.id or progress.active
        progress.active = False
    return count >= r.quorum


def send_heartbeats(r: Raft) -> None:
    """Tell every follower who leads, and to commit no more than it is known to have."""
    token = r.reads.token()
    committed = r.log.committed
    for node, progress in r.progress.items():
        if node != r.id:
            commit = min(progress.match, committed)
            r.outbox.append(
                Message(MsgType.HEARTBEAT, node, r.id, r.term, commit=commit, context=token)
            )


def propose(r: Raft, entries: Sequence[Entry]) -> None:
    """Append proposals; a configuration change while another is pending becomes an empty entry."""
    if r.id not in r.progress:
        raise ProposalDropped("this leader has been removed from the cluster")
    term, index = r.term, r.log.storage.last_index
    stamped = []
    for entry in entries:
        index += 1
        if entry.type == EntryType.CONF_CHANGE:
            if r.conf_change_pending():
                stamped.append(Entry(term, index))
                continue
            r.pending_conf = index
        stamped.append(Entry(term, index, entry.type, entry.data))
    append(r, stamped)


def append(r: Raft, entries: Sequence[Entry]) -> None:
    """Put entries of this term on the log. They count here only once the disk has them."""
    r.log.storage.append(entries)
    broadcast(r)


def stable_moved(r: Raft) -> None:
    """The leader's own disk has caught up to log.stable."""
    own = r.progress.get(r.id)
    if own is not None and own.acknowledged(r.log.stable):
        _maybe_commit(r)


def quorum_changed(r: Raft) -> None:
    """Fewer nodes may mean that what was short of a quorum no longer is."""
    _maybe_commit(r)
    _settle_reads(r)


def _maybe_commit(r: Raft) -> bool:
    """Commit what a quorum has, if it is of this term (raft paper 5.4.2)."""
    matches = sorted([progress.match for progress in r.progress.values()])
    index = matches[-r.quorum]
    if index > r.log.committed and r.log.storage.term(index) == r.term:
        r.log.commit_to(index)
        broadcast(r)
        return True
    return False


def broadcast(r: Raft) -> None:
    """Every follower is due a message."""
    r.due = True
    for progress in r.progress.values():
        progress.due = True


def _due(r: Raft, progress: Progress) -> None:
    r.due = progress.due = True


def flush(r: Raft) -> None:
    """Send what is due: a read round if reads wait, and appends."""
    if can_start_reads(r):
        r.reads.start(r.log.committed)
        send_heartbeats(r)
        _settle_reads(r)
    if not r.due:
        return
    r.due = False
    for node, progress in r.progress.items():
        if progress.due:
            progress.due = False
            if node != r.id:
                _send_appends(r, node, progress)


def can_start_reads(r: Raft) -> bool:
    """True if reads wait and this leader's commit index is no older than any before it."""
    return bool(r.reads.waiting) and r.log.storage.term(r.log.committed) == r.term


def _send_appends(r: Raft, to: int, progress: Progress) -> None:
    storage = r.log.storage
    for _ in range(APPENDS_PER_TURN):
        if progress.is_blocked():
            return
        if progress.next < storage.first_index:
            _send_snapshot(r, to, progress)
            return
        prev = progress.next - 1
        last = storage.last_index
        entries: list[Entry] = []
        if prev < last:
            entries = storage.entries(prev + 1, last + 1, r.config.max_size_per_msg)
        r.outbox.append(
            Message(
                MsgType.APP,
                to,
                r.id,
                r.term,
                storage.term(prev),
                prev,
                tuple(entries),
                r.log.committed,
            )
        )
        if not entries:
            return
        progress.sent(entries[-1].index)
        if entries[-1].index == last:
            return


def _send_snapshot(r: Raft, to: int, progress: Progress) -> None:
    """Send the last saved snapshot to a follower that is there but too far behind."""
    if not progress.active:
        return
    snapshot = r.log.storage.snapshot()
    if snapshot is None:
        return
    progress.become_snapshot(snapshot.meta.index)
    r.outbox.append(Message(MsgType.SNAP, to, r.id, r.term, snapshot=snapshot))


def on_append_response(r: Raft, m: Message) -> None:
    """A follower has taken or refused an append."""
    progress = r.progress.get(m.from_)
    if progress is None or m.index > r.log.storage.last_index:
        return
    progress.active = True
    if m.reject:
        if progress.rejected(m.index, hint=m.reject_hint):
            if progress.state == REPLICATE:
                progress.become_probe()
            _due(r, progress)
        return
    blocked = progress.is_blocked()
    if not progress.acknowledged(m.index):
        return
    if progress.state == REPLICATE:
        progress.free_to(m.index)
    elif progress.state == PROBE:
        progress.become_replicate()
    elif progress.match >= progress.snapshot_index:
        progress.become_probe()
    if not _maybe_commit(r) and (blocked or progress.next <= r.log.storage.last_index):
        _due(r, progress)


def on_heartbeat_response(r: Raft, m: Message) -> None:
    """A follower is alive; if it lacks entries, see whether some were lost."""
    progress = r.progress.get(m.from_)
    if progress is None:
        return
    progress.active = True
    if progress.state == REPLICATE and progress.is_blocked():
        progress.inflight.popleft()
    if progress.match < r.log.storage.last_index:
        _due(r, progress)
    if m.context:
        r.reads.answer(m.from_, m.context)
        _settle_reads(r)


def _settle_reads(r: Raft) -> None:
    r.read_states.extend(r.reads.settle(voters=r.progress, leader=r.id, quorum=r.quorum))


def unreachable(r: Raft, node: int) -> None:
    """A message to this follower was probably lost: stop streaming, find out."""
    progress = r.progress.get(node)
    if progress is not None and progress.state == REPLICATE:
        progress.become_probe()


def snapshot_reported(r: Raft, node: int, *, ok: bool) -> None:
    """A snapshot has arrived, or not: probe after the next heartbeat or answer."""
    progress = r.progress.get(node)
    if progress is None or progress.state != SNAPSHOT:
        return
    if not ok:
        progress.snapshot_index = 0
    progress.become_probe()
    progress.paused = True
