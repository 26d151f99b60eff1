"""One etcd member: proposals and their waiters, applying what was committed, its own housekeeping.

Everything runs on one event loop. A reply to a write is given only after its entry is durable here,
committed and applied. Mirrors etcdserver/server.go of etcd 2.3.8.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic, time_ns
from typing import TYPE_CHECKING

from coreos_py.base.errors import RAFT_INTERNAL, CoreosError, StoreError
from coreos_py.base.golog import NOTICE
from coreos_py.etcd import housekeeping, membership, pb
from coreos_py.etcd.apply import Applier
from coreos_py.etcd.clock import Clock
from coreos_py.etcd.disk import Disk
from coreos_py.etcd.driver import Driver
from coreos_py.etcd.leadership import Leadership
from coreos_py.etcd.member_changes import MemberChanges
from coreos_py.etcd.metrics import Requests, server_histogram
from coreos_py.etcd.reads import ReadQueue, SharedRead
from coreos_py.etcd.snapshots import SnapshotKeeper
from coreos_py.etcd.stats import CANDIDATE, FOLLOWER, LEADER, LeaderStats, ServerStats
from coreos_py.etcd.version import downgrade
from coreos_py.etcd.waiters import CallbackWaiter, Waiters
from coreos_py.raft.types import EntryType, MsgType, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from coreos_py.etcd.bootstrap import Started
    from coreos_py.etcd.config import Config
    from coreos_py.etcd.metrics import Histogram
    from coreos_py.etcd.pb import Request
    from coreos_py.etcd.transport import Transport
    from coreos_py.etcd.waiters import Done, Waiter
    from coreos_py.raft.types import Entry, Message, Snapshot, SoftState
    from coreos_py.store.event import Event

STOPPED = "etcdserver: server stopped"

_STATES = {Role.LEADER: LEADER, Role.FOLLOWER: FOLLOWER, Role.CANDIDATE: CANDIDATE}
_U40 = (1 << 40) - 1
_U48 = (1 << 48) - 1

log = logging.getLogger("etcdserver")


class Server:
    """The member. Made from a bootstrapped node; run() starts it, stop() ends it."""

    def __init__(
        self,
        config: Config,
        started: Started,
        *,
        loop: asyncio.AbstractEventLoop,
        exit_with: Callable[[int], None],
    ) -> None:
        """`exit_with` ends the process with a status; it is called at most once."""
        self.config = config
        self.id = started.id
        self.cluster = started.cluster
        self.store = started.store
        self.index = started.applied
        self.term = started.applied_term
        self.stats = ServerStats(config.name, started.id, now_ns=time_ns())
        self.leader_stats = LeaderStats(started.id)
        self.stopping = False
        self.version_wanted = asyncio.Event()
        self._loop = loop
        self.exit_with = exit_with
        self._disk = Disk(started.wal, started.snapshotter, loop=loop, on_failure=self._fatal)
        self.node = started.node
        self._reads = ReadQueue(
            started.node,
            by_index=self._reads_by_index,
            serve=self._serve_read,
            redo=self._read_through_log,
            age_max_s=config.election_ms / 1000,
        )
        self._driver = Driver(
            started.node, self._disk, self, loop=loop, fatal=self._fatal, reads=self._reads
        )
        self._applier = Applier(started.store, started.cluster, notice=self._notice)
        self._snapshots = SnapshotKeeper(
            started.node,
            started.store,
            self._disk,
            every=config.snapshot_count,
            last_index=started.applied,
            fatal=self._fatal,
        )
        self._leadership = Leadership(
            config,
            started.id,
            started.node,
            cluster=self.cluster,
            connected_since=lambda number, s: self.transport.connected_since(number, s),
        )
        self.members = MemberChanges(self, propose=self._propose_conf, on_leave=self._leave)
        self._waiters = Waiters(
            loop,
            timeout_s=config.request_timeout_s,
            cause=self._leadership.timeout_cause,
            on_expired=self._driver.prune,
        )
        self._waiting = self._waiters.by_entry
        self.requests = Requests()
        self.proposal_seconds = server_histogram()
        self._id_prefix = (started.id & 0xFFFF) << 48
        self._id_suffix = (time_ns() // 1_000_000 & _U40) << 8
        self._tasks: list[asyncio.Task[None]] = []
        self._clock = Clock(self, loop)
        self._removed = False
        self.transport: Transport

    # -- life ------------------------------------------------------------------------------------

    def run(self, transport: Transport) -> None:
        """Start ticking, and replay what is committed already."""
        self.transport = transport
        self._clock.start()
        if self.node.nodes == (self.id,):
            self.node.campaign()  # the only voter has nobody to wait for
        self._driver.kick()

    def start_task(self, task: asyncio.Task[None]) -> None:
        """Have a housekeeping task cancelled at the end; its failure is ours."""
        self._tasks.append(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self._fatal(error)

    def stop(self) -> None:
        """Stop taking part, close the log; waiting clients are told."""
        if self.stopping:
            return
        self.stopping = True
        self._driver.stop()
        for task in self._tasks:
            task.cancel()
        self.transport.stop()
        for waiter in (*self._waiters.drain(), *self._reads.drain()):
            waiter.done(None, StoreError(RAFT_INTERNAL, STOPPED))
        try:
            self._disk.close()
        except CoreosError as error:
            log.critical("raft close storage error: %s", error)

    def _fatal(self, error: Exception) -> None:
        if self.stopping:
            return
        self.stopping = True
        self._driver.stop()
        if isinstance(error, CoreosError):
            log.critical("%s", error)
        else:
            log.critical("%s: %s", type(error).__name__, error, exc_info=error)
        self.exit_with(1)

    def _notice(self, text: str) -> None:
        log.log(NOTICE, "%s", text)

    def purge(self) -> list[str]:
        """Remove old log and snapshot files. Blocks; any thread."""
        config = self.config
        return self._disk.purge(max_wals=config.max_wals, max_snapshots=config.max_snapshots)

    @property
    def sync_seconds(self) -> Histogram:
        """How long the log took to become durable."""
        return self._disk.sync_seconds

    @property
    def snapshot_seconds(self) -> tuple[Histogram, Histogram]:
        """How long snapshots took: to wrap their document, and in all."""
        return self._disk.snapshot_seconds

    @property
    def pending_proposals(self) -> int:
        """How many proposals wait to be applied."""
        return len(self._waiting)

    @property
    def failed_proposals(self) -> int:
        """How many proposals were waited for in vain."""
        return self._waiters.expired

    # -- requests --------------------------------------------------------------------------------

    def next_id(self) -> int:
        """A request id no other member uses."""
        self._id_suffix = suffix = self._id_suffix + 1
        return self._id_prefix | (suffix & _U48)

    def propose(self, request: Request, done: Done) -> None:
        """Send a request (with its id) through the log; `done` gets the event or the error."""
        self.submit(request, CallbackWaiter(request, done))

    def submit(self, request: Request, waiter: Waiter) -> None:
        """The same for a waiter that knows its request."""
        data = pb.encode_request(request)
        self._waiters.add(data, waiter)
        self._driver.propose(data)

    def read(self, waiter: Waiter) -> None:
        """Answer a QGET that sees every write answered before it, by the cheapest safe way."""
        self._reads.add(waiter)
        self._driver.kick()

    def _reads_by_index(self) -> bool:
        return (
            self.config.quorum_read == "index"
            and self.node.role == Role.LEADER
            and self.transport.reads_by_index
        )

    def _read_through_log(self, reads: list[Waiter]) -> None:
        request = reads[0].request
        assert request is not None
        self.submit(request, SharedRead(reads))

    def _serve_read(self, waiter: Waiter) -> None:
        assert waiter.request is not None
        try:
            event = self._applier.apply(waiter.request, now_ns=time_ns())
        except StoreError as error:
            waiter.done(None, error)
        else:
            waiter.done(event, None)

    async def propose_and_wait(self, request: Request) -> None:
        """The same for a task; raises what the request failed with."""
        future: asyncio.Future[None] = self._loop.create_future()
        self.propose(request, _settle(future))
        await future

    def _propose_conf(self, data: bytes, done: Done) -> None:
        self._waiters.add(data, CallbackWaiter(None, done))
        self._driver.propose_conf(data)

    def is_wanted(self, data: bytes) -> bool:
        """True while somebody waits for this entry."""
        return data in self._waiting

    # -- raft's machine --------------------------------------------------------------------------

    @property
    def leader(self) -> int:
        """Id of the leader, 0 if none is known."""
        return self.node.leader

    def receive(self, message: Message, size: int) -> bool:
        """Take a message from a peer; False if its sender was removed from the cluster."""
        if message.from_ in self.cluster.removed:
            log.warning("reject message from removed member %x", message.from_)
            return False
        if message.type == MsgType.APP:
            self.stats.received(message.from_, size, now_ns=time_ns())
        self._driver.step(message)
        return True

    def is_removed(self, number: int) -> bool:
        """Whether an id belonged to a member that was removed."""
        return number in self.cluster.removed

    def report_unreachable(self, number: int) -> None:
        """The transport could not deliver to a peer."""
        self.node.report_unreachable(number)
        self._driver.kick()

    def report_snapshot(self, number: int, *, ok: bool) -> None:
        """A snapshot reached a peer, or did not."""
        self.node.report_snapshot(number, ok=ok)
        self._driver.kick()

    def role_changed(self, state: SoftState) -> None:
        """Raft's view of who leads has changed."""
        self.stats.role_changed(_STATES[state.role], now_ns=time_ns())
        self._leadership.changed(state)

    def send(self, messages: Sequence[Message]) -> None:
        """Hand messages to the transport."""
        removed = self.cluster.removed
        self.transport.send([m for m in messages if m.to not in removed] if removed else messages)

    def apply(self, entries: Sequence[Entry]) -> None:
        """Apply committed entries in order and answer whoever waits for them."""
        now_ns, now_s = time_ns(), monotonic()
        waiters = self._waiting
        apply = self._applier.apply
        observe = self.proposal_seconds.observe
        for entry in entries:
            self.term, self.index, kind, data = entry
            if kind == EntryType.CONF_CHANGE:
                waiter = waiters.pop(data, None)
                error = self.members.apply(data, now_ns=now_ns)
                if waiter is not None:
                    waiter.done(None, error)
            elif data:
                waiter = waiters.pop(data, None)
                if waiter is None:
                    self._apply_foreign(data, now_ns)
                    continue
                assert waiter.request is not None
                observe(now_s - waiter.start_s)
                if type(waiter) is SharedRead:
                    for read in waiter.reads:
                        self._serve_read(read)
                    continue
                try:
                    event = apply(waiter.request, now_ns=now_ns)
                except StoreError as refusal:
                    waiter.done(None, refusal)
                else:
                    waiter.done(event, None)
            else:
                self.version_wanted.set()

    def _apply_foreign(self, data: bytes, now_ns: int) -> None:
        """An entry that nobody here waits for."""
        request = pb.decode_request(data)
        try:
            self._applier.apply(request, now_ns=now_ns)
        except StoreError:
            return  # whoever sent it learns of it where he sent it
        if request.path == membership.VERSION_KEY:
            self._refuse_downgrade()

    def _leave(self) -> None:
        chore = housekeeping.leave(self, self.transport.client)
        self.start_task(self._loop.create_task(chore))

    def removed(self) -> None:
        """This member is not part of the cluster any more: end quietly."""
        if self.stopping or self._removed:
            return
        self._removed = True
        log.error("the member has been permanently removed from the cluster")
        log.info("the data-dir used by this member must be removed.")
        self.exit_with(0)

    def restore(self, snapshot: Snapshot) -> None:
        """Start over from a snapshot the leader sent."""
        meta = snapshot.meta
        self.store.recover(snapshot.data)
        self.cluster.recover(self.store)
        self._refuse_downgrade()
        self.transport.set_peers(
            {m.id: m.peer_urls for m in self.cluster.sorted() if m.id != self.id}
        )
        self.index, self.term = meta.index, meta.term
        self._snapshots.restored(meta)
        log.info("recovered from incoming snapshot at index %d", meta.index)
        if self.id in self.cluster.removed:
            self._leave()

    def turn_done(self) -> None:
        """Nothing is left to do for now: see whether it is time for a snapshot."""
        self._reads.serve(self.index)
        self._snapshots.maybe_start(self.index)

    def _refuse_downgrade(self) -> None:
        problem = downgrade(self.cluster.version)
        if problem:
            self._fatal(CoreosError(problem))

    def tick(self) -> None:
        """One heartbeat interval has passed."""
        self._driver.tick()

    def sync(self) -> None:
        """The leader's clock expires keys everywhere."""
        if self.node.role == Role.LEADER:
            request = pb.Request(self.next_id(), "SYNC", time=time_ns())
            self._driver.propose(pb.encode_request(request))


def _settle(future: asyncio.Future[None]) -> Done:
    def done(_event: Event | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    return done
