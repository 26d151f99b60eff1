"""A follower as its leader sees it: what it has, what to send next, and whether to hold back.

PROBE: one message with entries per heartbeat, until an answer tells where the follower stands.
REPLICATE: entries are streamed; at most `window` messages unanswered.
SNAPSHOT: nothing but heartbeats until the snapshot is reported or overtaken.
Mirrors etcd 2.3 raft/progress.go. Pure.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum


class State(IntEnum):
    PROBE = 0
    REPLICATE = 1
    SNAPSHOT = 2


PROBE, REPLICATE, SNAPSHOT = State.PROBE, State.REPLICATE, State.SNAPSHOT


class Progress:
    """One follower (or the leader itself, of which only `match` matters)."""

    __slots__ = (
        "active",
        "due",
        "inflight",
        "match",
        "next",
        "paused",
        "snapshot_index",
        "state",
        "window",
    )

    def __init__(self, *, match: int, next_index: int, window: int) -> None:
        self.match = match
        self.next = next_index
        self.window = window
        self.state = PROBE
        self.paused = False
        self.active = False
        self.due = False
        self.snapshot_index = 0
        self.inflight: deque[int] = deque()

    def _enter(self, state: State) -> None:
        self.state = state
        self.paused = False
        self.snapshot_index = 0
        self.inflight.clear()

    def become_probe(self) -> None:
        """Find out where the follower stands; after a snapshot, that is past the snapshot."""
        after = self.snapshot_index if self.state == SNAPSHOT else 0
        self._enter(PROBE)
        self.next = max(self.match, after) + 1

    def become_replicate(self) -> None:
        """The follower's log is known to match up to `match`: stream from there."""
        self._enter(REPLICATE)
        self.next = self.match + 1

    def become_snapshot(self, index: int) -> None:
        """A snapshot at `index` is on its way."""
        self._enter(SNAPSHOT)
        self.snapshot_index = index

    def is_blocked(self) -> bool:
        """True if no append may be sent now."""
        if self.state == REPLICATE:
            return len(self.inflight) >= self.window
        return self.state == SNAPSHOT or self.paused

    def sent(self, last: int) -> None:
        """A message with entries up to `last` has left."""
        if self.state == REPLICATE:
            self.next = last + 1
            self.inflight.append(last)
        else:
            self.paused = True

    def acknowledged(self, index: int) -> bool:
        """The follower has everything up to `index`; False if that is no news."""
        self.next = max(self.next, index + 1)
        if index <= self.match:
            return False
        self.match = index
        self.paused = False
        return True

    def free_to(self, index: int) -> None:
        """Messages up to `index` have been answered."""
        inflight = self.inflight
        while inflight and inflight[0] <= index:
            inflight.popleft()

    def rejected(self, index: int, *, hint: int) -> bool:
        """The follower has no such entry at `index` and its log ends at `hint`; False if stale."""
        if self.state == REPLICATE:
            if index <= self.match:
                return False
            self.next = self.match + 1
            return True
        if index != self.next - 1:
            return False
        self.next = max(min(index, hint + 1), 1)
        self.paused = False
        return True
