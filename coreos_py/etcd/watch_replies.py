"""Replies to watches: events as they come, or all of the history first, and progress if asked for.

Progress is ours: etcd 2.3.8 leaves a watch of a quiet key alone until its index is too old to go on
from. Who asks is told how far the store has come, so that he can go on from there.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from coreos_py.base import gojson
from coreos_py.http.exchange import Pending

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.store.event import Event
    from coreos_py.store.store import Store
    from coreos_py.store.watch import Watcher

REPLAY_AHEAD_BYTES = 128 << 10
REPLAY_BEHIND_EVENTS = 1000
PROGRESS_TICK_S = 0.1
CROWD_MIN = 64
"""From so many watches on, those that have ended are looked for when they have doubled."""
PROGRESS_HISTORIES = 4
"""Progress is due when one part in so many of the history has gone by, however early that is."""


class WatchReply(Pending):
    """The reply to a watch: headers at once, events as they come."""

    __slots__ = ("_stream", "_watcher")

    def __init__(self, watcher: Watcher, headers: bytes, *, stream: bool) -> None:
        super().__init__()
        self._watcher = watcher
        self._stream = stream
        self.start(200, headers)
        self.on_close(watcher.remove)
        watcher.on_event(self._on_event, on_close=self.end)

    def _on_event(self, event: Event) -> None:
        self._answer(event.to_line())

    def _answer(self, line: bytes) -> None:
        if self._stream:
            self.write(line)
        else:
            self._watcher.remove()
            self.end(line)

    def tell(self, line: bytes) -> None:
        """Say how far the store has come: an answer like any other."""
        self._answer(line)


class ReplayReply(Pending):
    """The reply to a stream that starts in the past: history as the client takes it, then live."""

    __slots__ = ("_behind_max", "_pumping", "_waiting", "_watcher")

    def __init__(self, watcher: Watcher, headers: bytes, events: list[Event]) -> None:
        super().__init__()
        self._watcher = watcher
        self._waiting = deque(events)
        self._behind_max = len(events) + REPLAY_BEHIND_EVENTS
        self._pumping = True
        self.start(200, headers)
        self.on_close(watcher.remove)
        watcher.on_event(self._on_event, on_close=self.end)
        self.on_drain(self._pump)

    def _on_event(self, event: Event) -> None:
        self._waiting.append(event)
        if not self._pumping:
            self._pump()
        elif len(self._waiting) > self._behind_max:
            self._waiting.clear()
            self._watcher.remove()
            self.cut()

    def _pump(self) -> None:
        """Write what waits while there is room."""
        waiting = self._waiting
        while waiting:
            self.write(waiting.popleft().to_line())
            if self.buffered > REPLAY_AHEAD_BYTES:
                self._pumping = True
                self.on_drain(self._pump)
                return
        self._pumping = False

    def tell(self, line: bytes) -> None:
        """Say how far the store has come, unless events that came before still wait."""
        if not self._pumping:
            self.write(line)


class _Followed:
    """A watch that asked for progress, and what it was told last, and when."""

    __slots__ = ("index", "interval_s", "reply", "since_s", "watcher")

    def __init__(
        self,
        reply: WatchReply | ReplayReply,
        watcher: Watcher,
        *,
        interval_s: int,
        index: int,
        now_s: float,
    ) -> None:
        self.reply = reply
        self.watcher = watcher
        self.interval_s = interval_s
        self.index = index
        self.since_s = now_s


class Progress:
    """Tells the watches that asked for it how far the store has come.

    One timer for all of them, which rests while there are none.
    """

    def __init__(
        self,
        store: Store,
        *,
        call_later: Callable[[float, Callable[[], None]], object],
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._call_later = call_later
        self._now = now
        self._followed: list[_Followed] = []
        self._crowd = CROWD_MIN
        self._due_index = self._due_s = 0.0
        self._ticking = False

    def follow(self, reply: WatchReply | ReplayReply, watcher: Watcher, *, interval_s: int) -> None:
        """Tell a watch every `interval_s`, and before the history moves on."""
        now_s = self._now()
        one = _Followed(reply, watcher, interval_s=interval_s, index=self._store.index, now_s=now_s)
        if len(self._followed) >= self._crowd:
            self._forget_gone()
            self._crowd = max(2 * len(self._followed), CROWD_MIN)
        self._followed.append(one)
        self._due_s = min(self._due_s, now_s + interval_s) if self._ticking else now_s + interval_s
        if not self._ticking:
            self._ticking = True
            self._due_index = self._store.index + self._step
            self._call_later(PROGRESS_TICK_S, self._tick)

    @property
    def _step(self) -> int:
        return max(self._store.history_capacity // PROGRESS_HISTORIES, 1)

    def _tick(self) -> None:
        now_s = self._now()
        if now_s >= self._due_s or self._store.index >= self._due_index:
            self._look(now_s)
        self._ticking = bool(self._followed)
        if self._ticking:
            self._call_later(PROGRESS_TICK_S, self._tick)

    def _look(self, now_s: float) -> None:
        """Tell who is due, forget who is gone, and find out when to look again."""
        index, step = self._store.index, self._step
        for one in self._followed:
            if now_s - one.since_s >= one.interval_s or index - one.index >= step:
                one.index, one.since_s = index, now_s
                one.reply.tell(progress_line(one.watcher, index))
        self._forget_gone()
        kept = self._followed
        self._due_s = min((one.since_s + one.interval_s for one in kept), default=0.0)
        self._due_index = min((one.index for one in kept), default=0) + step

    def _forget_gone(self) -> None:
        self._followed = [one for one in self._followed if not one.reply.closed]


def progress_line(watcher: Watcher, index: int) -> bytes:
    """An answer that says: up to this index there was nothing for you.

    In the shape of an event on the watched directory, so that a client who goes on behind the
    last modifiedIndex, as all do, goes on from the right place.
    """
    index = max(index, watcher.since_index - 1)
    key = watcher.path.removeprefix("/1")
    node = {"key": key, "dir": True, "modifiedIndex": index, "createdIndex": index}
    if not key:
        del node["key"]
    return gojson.dumps({"action": "progress", "node": node}).encode() + b"\n"
