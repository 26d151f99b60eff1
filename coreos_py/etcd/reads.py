"""Quorum reads: those of one turn share one entry of the log, or one round of heartbeats.

Through the log as in etcd 2.3.8, whose every read is an entry of its own: the entry is proposed
when all its reads have come, so whoever applies it has applied what was answered before them. By
index they leave no entry: the leader proves that it still leads, then answers. A read that gets no
proof, because the leadership ended or took too long, is handed back and goes through the log; so
every read given to add() is served or handed back, once. Raft's side is raft/readonly.py.
"""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.raft.errors import NotLeader
from coreos_py.raft.types import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from coreos_py.etcd.waiters import Waiter
    from coreos_py.raft.node import RawNode
    from coreos_py.raft.types import ReadState
    from coreos_py.store.event import Event

CAPABILITY_HEADER = "X-Coreos-Py"
CAPABILITY = "read-index"
"""What members tell each other on their streams; etcd 2.3.8 neither sends nor minds it."""


class SharedRead:
    """Reads that wait for the same entry, which is the first one's request."""

    __slots__ = ("reads", "request", "start_s")

    def __init__(self, reads: list[Waiter]) -> None:
        self.reads = reads
        self.request = reads[0].request
        self.start_s = reads[0].start_s

    def done(self, _event: Event | None, error: Exception | None) -> None:
        """The entry was given up."""
        for read in self.reads:
            read.done(None, error)


class _Batch(NamedTuple):
    """The reads of one turn, asked for in one leadership."""

    term: int
    asked_s: float
    reads: list[Waiter]
    commit: int = 0


class ReadQueue:
    """The quorum reads of one member."""

    def __init__(
        self,
        node: RawNode,
        *,
        by_index: Callable[[], bool],
        serve: Callable[[Waiter], None],
        redo: Callable[[list[Waiter]], None],
        age_max_s: float,
    ) -> None:
        """`serve` answers a read from the store, `redo` puts some through the log in one entry."""
        self._node = node
        self._by_index = by_index
        self._serve = serve
        self._redo = redo
        self._age_max_s = age_max_s
        self._new: list[Waiter] = []
        self._asked: dict[bytes, _Batch] = {}
        self._confirmed: deque[_Batch] = deque()
        self._number = 0

    def add(self, read: Waiter) -> None:
        """One more read for the next ask()."""
        self._new.append(read)

    def ask(self) -> None:
        """Hand back what will not be proved, then ask for what has come since the last time."""
        if self._asked or self._confirmed:
            self._hand_back()
        if not self._new:
            return
        reads, self._new = self._new, []
        if not self._by_index():
            self._redo(reads)
            return
        self._number += 1
        context = self._number.to_bytes(8, "big")
        try:
            self._node.read_index(context)
        except NotLeader:
            self._redo(reads)
        else:
            self._asked[context] = _Batch(self._node.term, monotonic(), reads)

    def _hand_back(self) -> None:
        node = self._node
        leads = node.role == Role.LEADER
        oldest_s = monotonic() - self._age_max_s
        for context, batch in list(self._asked.items()):
            # Between two turns a leadership may have ended and another begun.
            if not leads or batch.term != node.term or batch.asked_s < oldest_s:
                del self._asked[context]
                self._redo(batch.reads)
        while self._confirmed and self._confirmed[0].asked_s < oldest_s:
            self._redo(self._confirmed.popleft().reads)

    def confirm(self, states: Sequence[ReadState]) -> None:
        """Raft's answers: these reads may be served once so much is applied."""
        for state in states:
            batch = self._asked.pop(state.context, None)
            if batch is not None:
                self._confirmed.append(batch._replace(commit=state.index))

    def serve(self, applied: int) -> None:
        """Answer what is proved and applied."""
        confirmed = self._confirmed
        while confirmed and confirmed[0].commit <= applied:
            for read in confirmed.popleft().reads:
                self._serve(read)

    def drain(self) -> list[Waiter]:
        """Take out every read, unanswered."""
        batches = [*self._asked.values(), *self._confirmed]
        left = [read for batch in batches for read in batch.reads] + self._new
        self._asked.clear()
        self._confirmed.clear()
        self._new = []
        return left
