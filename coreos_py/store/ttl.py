"""Which keys run out when. Mirrors etcd 2.3 store/ttl_key_heap.go.

Entries are never searched for: a key that was rewritten or removed leaves its old entry behind,
and the caller sees from the key's present expiry that the entry is void.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SLACK = 1024


class ExpiryQueue:
    """A heap of (expire_ns, key): oldest first, equal times in key order."""

    __slots__ = ("_heap", "_limit")

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._limit = SLACK

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, expire_ns: int, key: str, is_live: Callable[[int, str], bool]) -> None:
        """Add an entry; void entries are swept out when they may be the majority."""
        if len(self._heap) >= self._limit:
            self._heap = list({entry for entry in self._heap if is_live(*entry)})
            heapify(self._heap)
            self._limit = 2 * len(self._heap) + SLACK
        heappush(self._heap, (expire_ns, key))

    def pop_due(self, cutoff_ns: int) -> tuple[int, str] | None:
        """Remove and return the oldest entry that is not after the cutoff."""
        heap = self._heap
        if heap and heap[0][0] <= cutoff_ns:
            return heappop(heap)
        return None
