"""The turn of one raft node: proposals in, log to disk, messages out, committed entries applied.

All proposals of one turn of the event loop become one append, one write and one fdatasync. While
the disk works, the loop goes on: it parses requests, appends their proposals to the raft log and
sends them to the followers; what was committed before is applied and answered. Nothing is applied
that is not durable here. Mirrors the raftNode loop of etcd 2.3.8's etcdserver/raft.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from coreos_py.raft.errors import ProposalDropped
from coreos_py.raft.types import Role

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from coreos_py.etcd.disk import Disk
    from coreos_py.etcd.reads import ReadQueue
    from coreos_py.raft.node import RawNode
    from coreos_py.raft.types import Entry, Message, Ready, Snapshot, SoftState


class Machine(Protocol):
    """What the driver drives."""

    def role_changed(self, state: SoftState) -> None: ...
    def send(self, messages: Sequence[Message]) -> None: ...
    def apply(self, entries: Sequence[Entry]) -> None: ...
    def restore(self, snapshot: Snapshot) -> None: ...
    def turn_done(self) -> None: ...
    def is_wanted(self, data: bytes) -> bool: ...


class Driver:
    """Runs a RawNode on an event loop. Failures of any kind end in `fatal`, once."""

    def __init__(
        self,
        node: RawNode,
        disk: Disk,
        machine: Machine,
        *,
        loop: asyncio.AbstractEventLoop,
        fatal: Callable[[Exception], None],
        reads: ReadQueue | None = None,
    ) -> None:
        self.node = node
        self._reads = reads
        self._disk = disk
        self._machine = machine
        self._loop = loop
        self._fatal = fatal
        self._proposals: list[bytes] = []
        self._conf_proposals: list[bytes] = []
        self._scheduled = False
        self._stopped = False
        self._out: Ready | None = None
        self._applied_early = 0
        self._sent_early = False

    def propose(self, data: bytes) -> None:
        """Offer an entry to the cluster; it waits here while there is no leader."""
        self._proposals.append(data)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def propose_conf(self, data: bytes) -> None:
        """Offer a configuration change; it waits here while there is no leader."""
        self._conf_proposals.append(data)
        self.kick()

    def step(self, message: Message) -> None:
        """Take a message from a peer."""
        if self._stopped:
            return
        node = self.node
        node.step(message)
        # Many answers of followers change nothing: the majority was there before them.
        if not self._scheduled and (self._out is not None or node.has_ready()):
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def tick(self) -> None:
        """One heartbeat interval has passed."""
        self.node.tick()
        self.kick()

    def kick(self) -> None:
        """See to the node soon."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def stop(self) -> None:
        """Do nothing more; a save under way is not waited for."""
        self._stopped = True

    def _turn(self) -> None:
        if self._stopped:
            return
        try:
            if self._reads is not None:
                self._reads.ask()  # what it proposes is part of this turn
            self._scheduled = False
            self._advance()
        except Exception as error:  # noqa: BLE001 - a replica that failed half way must not go on
            self._stopped = True
            self._fatal(error)

    def _advance(self) -> None:
        node = self.node
        proposed = bool(self._proposals or self._conf_proposals) and bool(node.leader)
        if proposed:
            self._hand_over()
        if proposed or self._out is not None or node.role != Role.LEADER:
            messages = node.early_messages()
            if messages:
                self._machine.send(messages)
        while self._out is None and node.has_ready():
            self._begin(node.ready())
        self._machine.turn_done()

    def _hand_over(self) -> None:
        datas, self._proposals = self._proposals, []
        confs, self._conf_proposals = self._conf_proposals, []
        try:
            if datas:
                self.node.propose(datas)
            while confs:
                self.node.propose_conf(confs[0])
                del confs[0]
        except ProposalDropped:
            # This leader is no member any more: its clients will time out.
            return

    def prune(self) -> None:
        """Forget waiting proposals nobody waits for any more."""
        wanted = self._machine.is_wanted
        self._proposals = [data for data in self._proposals if wanted(data)]
        self._conf_proposals = [data for data in self._conf_proposals if wanted(data)]

    def _begin(self, ready: Ready) -> None:
        """Start on a Ready; it stays `_out` if it has to wait for the disk."""
        machine = self._machine
        if ready.read_states and self._reads is not None:
            self._reads.confirm(ready.read_states)
        if ready.soft_state is not None:
            self.prune()
            machine.role_changed(ready.soft_state)
        if ready.snapshot is not None:
            self._out = ready
            self._disk.receive_snapshot(ready.snapshot, self._snapshot_saved)
            return
        if not ready.must_sync:
            # Only a commit index. No disk has to have it, but the kernel: what was acknowledged
            # before a kill is committed for a backup and for --force-new-cluster, too.
            if ready.hard_state is not None:
                self._disk.append(ready.hard_state, ready.entries)
            self._finish(ready)
            return
        self._disk.append(ready.hard_state, ready.entries)
        if self.node.role == Role.LEADER:
            self._sent_early = True
            machine.send(ready.messages)
        self._apply_durable(ready)
        if self._disk.sync(self._saved):
            self._finish(ready)
        else:
            self._out = ready

    def _apply_durable(self, ready: Ready) -> None:
        """Apply what was committed and saved before this Ready's own entries."""
        committed, entries = ready.committed, ready.entries
        if not committed:
            return
        if entries and committed[-1].index >= entries[0].index:
            first = entries[0].index
            committed = [entry for entry in committed if entry.index < first]
        self._applied_early = len(committed)
        if committed:
            self._machine.apply(committed)

    def _snapshot_saved(self) -> None:
        ready, self._out = self._out, None
        if ready is None or self._stopped:
            return
        assert ready.snapshot is not None
        try:
            self._machine.restore(ready.snapshot)
            self._disk.append(ready.hard_state, ready.entries)
        except Exception as error:  # noqa: BLE001 - as in _turn
            self._stopped = True
            self._fatal(error)
            return
        self._out = ready
        if self._disk.sync(self._saved):
            self._saved()

    def _saved(self) -> None:
        ready, self._out = self._out, None
        if ready is None or self._stopped:
            return
        try:
            self._finish(ready)
            self._advance()
        except Exception as error:  # noqa: BLE001 - as in _turn
            self._stopped = True
            self._fatal(error)

    def _finish(self, ready: Ready) -> None:
        machine = self._machine
        messages = ready.messages
        committed = ready.committed
        if self._applied_early:
            committed = committed[self._applied_early :]
            self._applied_early = 0
        if self._sent_early:
            self._sent_early = False
        elif messages and committed and self._may_answer_first(committed):
            machine.apply(committed)
            machine.send(messages)
            committed = []
        elif messages:
            machine.send(messages)
        if committed:
            machine.apply(committed)
        self.node.advance(ready)

    def _may_answer_first(self, committed: Sequence[Entry]) -> bool:
        """Whether clients may have their answers before the followers hear of the commit.

        But a member that is removed has to hear of it before it is forgotten here.
        """
        return self.node.role == Role.LEADER and not any(entry[2] for entry in committed)
