"""Bugs put in on purpose. Each must be noticed by the simulator, or the simulator is too kind.

A mutant is a context manager that breaks one promise of the core, of the driver, or of the disk.
"""

from __future__ import annotations

from contextlib import contextmanager

from coreos_py.etcd.apply import Applier
from coreos_py.raft import core, leader, node
from coreos_py.raft.core import Raft
from coreos_py.raft.log import MemoryLog
from coreos_py.raft.node import RawNode
from coreos_py.raft.progress import Progress
from coreos_py.raft.raftlog import RaftLog
from coreos_py.raft.readonly import ReadRounds
from coreos_py.raft.types import Entry, HardState, MsgType, ReadState, Role
from tests.sim import disk, server
from tests.sim.disk import Image
from tests.sim.mutation import MUTANTS, handler, mutant, patched
from tests.sim.server import Server

__all__ = ["MUTANTS"]

# -- votes ----------------------------------------------------------------------------------


@mutant()
def vote_not_persisted():
    def records(ready):
        hard = ready.hard_state
        return original(ready._replace(hard_state=hard and hard._replace(vote=0)))

    original = disk.records_of
    return patched(disk, records_of=records)


@mutant()
def term_not_persisted():
    def apply(self, record):
        if isinstance(record, HardState):
            record = record._replace(term=max(self.hard_state.term, 1))
        original(self, record)

    original = Image.apply
    return patched(Image, apply=apply)


@mutant()
def no_up_to_date_check_when_voting():
    return patched(RaftLog, is_up_to_date=lambda self, index, term: True)


@mutant()
def vote_compares_length_only():
    return patched(
        RaftLog, is_up_to_date=lambda self, index, term: index >= self.storage.last_index
    )


@mutant()
def two_votes_in_a_term():
    def on_vote(r, m):
        if r.log.is_up_to_date(m.index, m.log_term):
            r.vote = m.from_
            r.send(MsgType.VOTE_RESP, m.from_)

    return handler(Role.FOLLOWER, MsgType.VOTE, on_vote)


@mutant()
def quorum_off_by_one():
    def set_nodes(self, nodes):
        original(self, nodes)
        self.quorum = max(1, (len(nodes) + 1) // 2)

    def keeping(self, nodes):
        original_keeping(self, nodes)
        self.quorum = max(1, len(nodes) // 2)

    original, original_keeping = Raft.set_nodes, Raft.set_nodes_keeping
    return patched(Raft, set_nodes=set_nodes, set_nodes_keeping=keeping)


@mutant()
def vote_of_an_older_term_counts():
    def step(self, m):
        if m.type == MsgType.VOTE_RESP and m.term < self.term:
            m = m._replace(term=self.term)
        original(self, m)

    original = Raft.step
    return patched(Raft, step=step)


@mutant(duplicate=0.5, clog=0.1)
def lower_terms_are_listened_to():
    def step(self, m):
        if m.type in (MsgType.APP, MsgType.HEARTBEAT) and 0 < m.term < self.term:
            m = m._replace(term=self.term)
        original(self, m)

    original = Raft.step
    return patched(Raft, step=step)


@mutant(stories=True)
def campaigns_with_unapplied_members():
    return patched(Raft, _conf_unapplied=lambda self: False)


# -- the log --------------------------------------------------------------------------------


@mutant(clog=0.3, crash_point=0.1, max_size_per_msg=1)
def commits_older_terms_by_counting():
    def maybe_commit(r):
        matches = sorted(progress.match for progress in r.progress.values())
        index = matches[-r.quorum]
        if index > r.log.committed:
            r.log.commit_to(index)
            leader.broadcast(r)
            return True
        return False

    return patched(leader, _maybe_commit=maybe_commit)


@mutant()
def conflicting_suffix_not_truncated():
    def merge(self, entries):
        new = [e for e in entries if e.index > self.storage.last_index]
        self.storage.append(new)

    return patched(RaftLog, _merge=merge)


@mutant()
def previous_entry_not_compared():
    def append(self, index, term, entries, *, commit):
        if self.storage.first_index - 1 <= index <= self.storage.last_index:
            term = self.storage.term(index)
        return original(self, index, term, entries, commit=commit)

    original = RaftLog.append_from_leader
    return patched(RaftLog, append_from_leader=append)


@mutant(pessimistic_hints=True, clog=0.1)
def follower_commits_past_the_last_new_entry():
    def append(self, index, term, entries, *, commit):
        last = original(self, index, term, entries, commit=0)
        if last is not None:
            self.commit_to(min(commit, self.storage.last_index))
        return last

    original = RaftLog.append_from_leader
    return patched(RaftLog, append_from_leader=append)


@mutant()
def heartbeat_commits_what_the_follower_lacks():
    def send_heartbeats(r):
        start = len(r.outbox)
        original(r)
        r.outbox[start:] = [m._replace(commit=r.log.committed) for m in r.outbox[start:]]

    original = leader.send_heartbeats
    return patched(leader, send_heartbeats=send_heartbeats)


@mutant(stories=True)
def answers_of_strangers_count():
    def on_append_response(r, m):
        if m.from_ not in r.progress:
            r.progress[m.from_] = r._new_progress(m.from_)
        original(r, m)

    original = leader.on_append_response
    stack = handler(Role.LEADER, MsgType.APP_RESP, on_append_response)

    @contextmanager
    def both():
        with stack, patched(node, RESPONSES=frozenset()):
            yield

    return both()


@mutant()
def leader_counts_itself_before_its_disk():
    def append(r, entries):
        original(r, entries)
        own = r.progress.get(r.id)
        if own is not None and own.acknowledged(r.log.storage.last_index):
            leader._maybe_commit(r)

    original = leader.append
    return patched(leader, append=append)


@mutant(clog=0.3, fsync_us=20_000, delay_mean_us=10_000)
def overtaken_entries_count_as_saved():
    def truncate(self, last):
        if last < self.storage.last_index:
            self.storage.truncate(last)
            self.stable = min(self.stable, last)

    def saved(self):
        self.stable = max(self.stable, min(self.saving, self.storage.last_index))

    return patched(RaftLog, _truncate=truncate, saved=saved)


# -- the driver and its disk ----------------------------------------------------------------


@mutant()
def acknowledges_before_fsync():
    def save(self, ready, records, messages):
        self._send(messages)
        original(self, ready, records, [])

    original = Server._save
    return patched(Server, _save=save)


@mutant()
def answer_to_a_duplicate_overtakes_the_fsync():
    def early_messages(self):
        if self._out is not None:
            self._raft.outbox, late = [], self._raft.outbox
            return late
        return original(self)

    original = RawNode.early_messages
    return patched(RawNode, early_messages=early_messages)


@mutant()
def saves_end_out_of_order():
    def save(self, ready, records, messages):
        """Like one Ready at a time, but the next does not wait for the last."""
        delay = self._disk_delay() if ready.must_sync else 1
        self.disk.busy_until = 0
        self.world.at(delay, finish, self, records, messages)
        self._finish(ready, [])

    def finish(self, records, messages):
        if self.alive:
            self.disk.sync(self.disk.write(records))
            self._send(messages)

    return patched(Server, _save=save)


@mutant()
def torn_record_is_read():
    def apply(self, record):
        if isinstance(record, disk.Torn):
            record = record.record
            if isinstance(record, Entry):
                record = record._replace(data=record.data[: len(record.data) // 2])
            elif isinstance(record, HardState):
                record = record._replace(vote=0)
        original(self, record)

    original = Image.apply
    return patched(Image, apply=apply)


@mutant()
def log_released_before_the_snapshot_is_saved():
    def local_snapshot(data, index, *, term, nodes):
        return original(data, index, term=term, nodes=nodes)[::-1]

    original = disk.local_snapshot
    return patched(disk, local_snapshot=local_snapshot)


@mutant()
def acknowledged_on_append():
    def propose(self, datas, *, operation, reply):
        def at_once(index):
            return None

        if not original(self, datas, operation=operation, reply=at_once):
            return False
        if self.alive and self.raw.role == Role.LEADER:
            reply(self.raw.storage.last_index)
        return True

    original = Server.propose
    return patched(Server, propose=propose)


# -- members --------------------------------------------------------------------------------


@mutant(churn_every_us=50_000)
def members_change_while_a_change_is_pending():
    return patched(Raft, conf_change_pending=lambda self: False)


@mutant(stories=True)
def new_leader_forgets_the_pending_change():
    return patched(RaftLog, last_conf_change=lambda self, *, after: 0)


@mutant(churn_every_us=50_000)
def members_change_at_append():
    def append(r, entries):
        original(r, entries)
        for entry in entries:
            if entry.type:
                change = server.pb.decode_conf_change(entry.data)
                before, r.conf_handed = r.conf_handed, []
                r.apply_conf_change(change)
                r.conf_handed = before

    original = leader.append
    return patched(leader, append=append)


@mutant(snapshot_count=3, catch_up_entries=0, churn_every_us=50_000)
def members_of_a_snapshot_are_ignored():
    def restore(r, snapshot):
        nodes = tuple(r.progress)
        done = original(r, snapshot)
        r.set_nodes(nodes or snapshot.meta.nodes)
        return done

    original = core._restore
    return patched(core, _restore=restore)


# -- snapshots ------------------------------------------------------------------------------


@mutant()
def stale_snapshot_is_restored():
    def restore(r, snapshot):
        r.log.restore(snapshot)
        r.set_nodes(snapshot.meta.nodes)
        return True

    return patched(core, _restore=restore)


@mutant(stories=True)
def snapshot_is_taken_up_during_a_save():
    def step(self, m):
        if m.type == MsgType.SNAP:
            self._raft.step(m)
        else:
            original(self, m)

    original = RawNode.step
    return patched(RawNode, step=step)


@mutant()
def snapshot_carries_a_later_index():
    def create(self, index, *, nodes, data):
        original(self, min(index + 1, self.last_index), nodes=nodes, data=data)

    original = MemoryLog.create_snapshot
    return patched(MemoryLog, create_snapshot=create)


# -- reads ----------------------------------------------------------------------------------


@mutant()
def reads_from_local_state():
    def read(self, key, reply):
        if self.raw.role != Role.LEADER:
            return False
        reply(self.machine.values.get(key, (0, 0)))
        return True

    return patched(Server, read=read)


@mutant(check_quorum=False, partition="one", reads=0.6, keys=1)
def read_without_a_quorum_round():
    def settle(self, *, voters, leader, quorum):
        del voters, leader, quorum
        states = [ReadState(r.commit, c) for r in self._rounds for c in r.contexts]
        self._rounds.clear()
        return states

    return patched(ReadRounds, settle=settle)


# -- disks and clocks -----------------------------------------------------------------------


@mutant(fsync_fails=0.03)
def failed_fsync_is_ignored():
    def sync(self, position):
        if not self.fsync_fails():
            self.disk.sync(position)
        return True

    return patched(Server, _sync=sync)


@mutant(disk_full_every_us=1_000_000)
def full_disk_is_ignored():
    def write(self, records):
        if self.disk.full:
            records = []
        return self.disk.write(records)

    return patched(Server, _write=write)


@mutant(store=True, clock_jump_every_us=1_000_000, burst=4)
def keys_expire_by_the_local_clock():
    def apply(self, request, *, now_ns):
        if request.method == "SYNC":
            request = request._replace(time=now_ns)
        return original(self, request, now_ns=now_ns)

    original = Applier.apply
    return patched(Applier, apply=apply)


@mutant(reads=0.6, keys=1)
def read_before_the_first_commit_of_the_term():
    return patched(leader, can_start_reads=lambda r: bool(r.reads.waiting))


@mutant(stories=True)
def read_answer_of_an_earlier_round_counts():
    def answer(self, node, token):
        del token
        self._answered[node] = self._number

    return patched(ReadRounds, answer=answer)


# -- progress (these are safe, and stand still) ----------------------------------------------


@mutant(max_inflight=1)
def answers_do_not_open_the_window():
    def blocked_forever(self, index):
        del self, index

    return patched(Progress, free_to=blocked_forever)


@mutant()
def probe_is_never_resumed():
    def tick(r):
        paused = {node: p.paused for node, p in r.progress.items()}
        original(r)
        for node_id, progress in r.progress.items():
            progress.paused = progress.paused or paused.get(node_id, False)

    original = leader.tick
    return patched(leader, tick=tick)


@mutant(snapshot_count=3, catch_up_entries=0, loss=0.3)
def lost_snapshot_is_never_sent_again():
    def reported(r, node_id, *, ok):
        if ok:
            original(r, node_id, ok=ok)

    original = leader.snapshot_reported
    return patched(leader, snapshot_reported=reported)


@mutant()
def rejections_do_not_step_back():
    return patched(Progress, rejected=lambda self, index, *, hint: False)


@mutant()
def commit_is_not_passed_on():
    def flush(r):
        original(r)
        r.outbox = [m._replace(commit=0) for m in r.outbox]

    original = leader.flush
    return patched(leader, flush=flush)
