"""The last events of the whole store, for watchers that ask for an old index.

One event per index without gaps, so an index is found by subtraction. (Snapshots of releases
before 2.3.8 may have gaps; then the scan starts at the oldest event.)
Mirrors etcd 2.3 store/event_history.go and event_queue.go.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from coreos_py.base.errors import EVENT_INDEX_CLEARED, StoreError
from coreos_py.store.event import DELETE, EXPIRE
from coreos_py.store.watch import is_hidden_below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.store.event import Event

CAPACITY = 1000


class History:
    """A ring of the newest `capacity` events."""

    __slots__ = ("capacity", "events", "ring_offset")

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.events: deque[Event] = deque(maxlen=capacity)
        self.ring_offset = 0
        """What to add to the last index to get the ring position that etcd would write next."""

    @property
    def start_index(self) -> int:
        """Index of the oldest event, 0 when there is none."""
        return self.events[0].etcd_index if self.events else 0

    @property
    def last_index(self) -> int:
        """Index of the newest event, 0 when there is none."""
        return self.events[-1].etcd_index if self.events else 0

    def append(self, event: Event) -> None:
        """Add the newest event; the oldest falls out of a full ring."""
        events = self.events
        if events:
            events[-1].drop_long_line()
        events.append(event)

    def scan(self, key: str, *, recursive: bool, since_index: int, index: int) -> Event | None:
        """The first kept event from `since_index` on that a watcher of `key` wants to see."""
        start = self._check_start(since_index, index)
        below = key if key == "/" else f"{key}/"
        gapless = self.last_index - start < len(self.events)
        for event in islice(self.events, since_index - start if gapless else 0, None):
            if event.refresh or event.etcd_index < since_index:
                continue
            event_key = event.node.key
            # etcd 2.3.8 compares a recursive watcher's own key for the first event only, and so
            # may wait for ever; we answer.
            if event_key == key or (recursive and event_key.startswith(below)):
                return event
            if event.action in (DELETE, EXPIRE):
                prev = event.prev_node
                # etcd 2.3.8 compares text, not components: deleting /a also wakes a watch of /ab.
                if prev is not None and prev.is_dir and key.startswith(prev.key):
                    return event
        return None

    def replay(self, key: str, *, recursive: bool, since_index: int, index: int) -> list[Event]:
        """Every kept event from `since_index` on that a stream of `key` would have shown live."""
        self._check_start(since_index, index)
        below = key if key == "/" else f"{key}/"
        found = []
        for event in self.events:
            if event.refresh or event.etcd_index < since_index:
                continue
            event_key = event.node.key
            if event_key == key or (
                recursive and event_key.startswith(below) and not is_hidden_below(key, event_key)
            ):
                found.append(event)
            elif event.action in (DELETE, EXPIRE):
                prev = event.prev_node
                if prev is not None and prev.is_dir and key.startswith(f"{prev.key}/"):
                    found.append(event)
        return found

    def _check_start(self, since_index: int, index: int) -> int:
        start = self.start_index
        if since_index < start:
            raise StoreError(
                EVENT_INDEX_CLEARED,
                f"the requested history has been cleared [{start}/{since_index}]",
                index,
            )
        return start
