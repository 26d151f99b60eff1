"""Who wants to hear about which key.

The hub never calls out while its tables are half changed: it first decides who hears of an
event, then delivers. A callback may therefore add and remove watchers and write to the store.
Mirrors etcd 2.3 store/watcher_hub.go and watcher.go.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from coreos_py.store.event import Event

BUFFER_EVENTS = 100
"""A watcher that leaves more than this many events waiting is dropped."""


class Watcher:
    """One watch. Without a callback, or while paused, events wait in a buffer of 100."""

    __slots__ = (
        "_callback",
        "_hub",
        "_on_close",
        "_paused",
        "closed",
        "path",
        "pending",
        "recursive",
        "since_index",
        "start_index",
        "stream",
        "strict",
    )

    def __init__(
        self,
        hub: WatchHub,
        path: str,
        *,
        recursive: bool,
        stream: bool,
        since_index: int,
        start_index: int,
        strict: bool = False,
    ) -> None:
        """A strict one ends when it might miss an event."""
        self._hub = hub
        self.path = path
        self.recursive = recursive
        self.stream = stream
        self.since_index = since_index
        self.start_index = start_index
        self.strict = strict
        self.closed = False
        self.pending: list[Event] = []
        self._callback: Callable[[Event], None] | None = None
        self._on_close: Callable[[], None] | None = None
        self._paused = True

    def on_event(
        self, callback: Callable[[Event], None], *, on_close: Callable[[], None] | None = None
    ) -> None:
        """Deliver to `callback` from now on, waiting events first; `on_close` tells of a drop."""
        self._callback = callback
        self._on_close = on_close
        self.resume()

    def pause(self) -> None:
        """Let events wait in the buffer, for a client that reads too slowly."""
        self._paused = True

    def resume(self) -> None:
        """Deliver what waits, then deliver directly again."""
        callback = self._callback
        if callback is None:
            return
        self._paused = False
        while self.pending and not self._paused:
            callback(self.pending.pop(0))
        if self.closed and not self.pending and self._on_close is not None:
            on_close, self._on_close = self._on_close, None
            on_close()

    def take(self) -> list[Event]:
        """The events that wait, which stop waiting."""
        events, self.pending = self.pending, []
        return events

    def remove(self) -> None:
        """Stop watching; nothing is delivered afterwards. Safe to repeat."""
        self._callback = None
        self._on_close = None
        self._paused = True
        self.pending.clear()
        self.closed = True
        self._hub.discard(self)

    def end(self) -> None:
        """Drop the watcher; whoever waits is told."""
        self.closed = True
        self._hub.discard(self)
        self.resume()

    def deliver(self, event: Event) -> None:
        """Hand over one event, or drop the watcher if its buffer is full."""
        if not self._paused and not self.pending:
            callback = self._callback
            if callback is not None:
                callback(event)
        elif self.closed:
            return
        elif len(self.pending) < BUFFER_EVENTS:
            self.pending.append(event)
        else:
            self.closed = True
            self._hub.discard(self)


class WatchHub:
    """All live watchers by the key they watch."""

    __slots__ = ("count", "groups")

    def __init__(self) -> None:
        self.groups: dict[str, dict[Watcher, None]] = {}
        self.count = 0

    def add(self, watcher: Watcher) -> None:
        """Register a watcher that found nothing in the history."""
        self.groups.setdefault(watcher.path, {})[watcher] = None
        self.count += 1

    def discard(self, watcher: Watcher) -> None:
        """Forget a watcher; unknown ones are ignored."""
        group = self.groups.get(watcher.path)
        if group is not None and group.pop(watcher, self) is None:
            self.count -= 1
            if not group:
                del self.groups[watcher.path]

    def end_strict(self) -> None:
        """Events were passed over: end who must not miss one."""
        strict = [watcher for group in self.groups.values() for watcher in group if watcher.strict]
        for watcher in strict:
            watcher.end()

    def notify(self, event: Event, removed: Iterable[str] = ()) -> None:
        """Tell everyone concerned; `removed` are the keys that vanished with the event's key."""
        groups = self.groups
        if not groups:
            return
        chosen: list[Watcher] = []
        for path in removed:
            if path in groups:
                self._choose(event, path, chosen, deleted=True)
        key = event.node.key
        if "/" in groups:
            self._choose(event, "/", chosen, deleted=False)
        end = key.find("/", 1)
        while end > 0:
            path = key[:end]
            if path in groups:
                self._choose(event, path, chosen, deleted=False)
            end = key.find("/", end + 1)
        if key in groups:
            self._choose(event, key, chosen, deleted=False)
        for watcher in chosen:
            watcher.deliver(event)

    def _choose(self, event: Event, path: str, chosen: list[Watcher], *, deleted: bool) -> None:
        """Add to `chosen` who at `path` hears of the event; one-shot watchers leave the group."""
        key = event.node.key
        exact = key == path
        if not exact and is_hidden_below(path, key):
            return
        everyone = exact or deleted
        index = event.etcd_index
        group = self.groups[path]
        leaving: list[Watcher] = []
        for watcher in group:
            if (everyone or watcher.recursive) and index >= watcher.since_index:
                chosen.append(watcher)
                if not watcher.stream:
                    leaving.append(watcher)
        self.count -= len(leaving)
        if len(leaving) == len(group):
            del self.groups[path]
        else:
            for watcher in leaving:
                del group[watcher]


def is_hidden_below(path: str, key: str) -> bool:
    """Whether the part of `key` below `path` has a component that starts with an underscore."""
    return len(path) <= len(key) and key.find("/_", 0 if path == "/" else len(path)) >= 0
