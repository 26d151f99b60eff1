"""The limit on what clients may store: --quota-backend-bytes, off by default. Ours.

Counts the bytes of keys and values. Counting walks the whole store, so it is done when what was let
in since the last time could have reached the limit, and seldom enough to take little of the time
there is. What other members let in is seen at the next count. Removing is always allowed.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from coreos_py.base.errors import QUOTA_EXCEEDED, StoreError
from coreos_py.store.node import File

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.etcd.pb import Request
    from coreos_py.store.store import Store

COUNT_INTERVAL_S = 1.0
COUNT_SHARE = 50  # a count is followed by so many times its duration without one
FOREIGN_WRITES = 100  # after so many writes that were not let in here, count again
TRUSTED_S = 10.0  # how long a count is good for when there were fewer


class Quota:
    """Lets writes in while the store is below `limit_bytes`."""

    def __init__(
        self, store: Store, limit_bytes: int, *, clock_s: Callable[[], float] = monotonic
    ) -> None:
        self.limit_bytes = limit_bytes
        self._store = store
        self._clock_s = clock_s
        self._used = 0
        self._index = -FOREIGN_WRITES - 1  # never counted
        self._next_count_s = self._trusted_to_s = 0.0

    def admit(self, request: Request) -> None:
        """Take note of a write; StoreError if there is no room for it."""
        if request.method == "DELETE":
            return
        old = self._store.peek(request.path)
        grows = size(request.val) - size(old.value) if old is not None else 0
        if old is None:
            grows = size(request.path) + size(request.val)
        if grows <= 0 or request.refresh:
            return
        if self._is_stale() or self._used + grows > self.limit_bytes:
            self._count()
        if self._used + grows > self.limit_bytes:
            cause = f"{self._used} of {self.limit_bytes} bytes are used, {grows} more are refused"
            raise StoreError(QUOTA_EXCEEDED, cause, self._store.index)
        self._used += grows
        self._index += 1

    def _is_stale(self) -> bool:
        foreign = self._store.index - self._index
        return foreign > FOREIGN_WRITES or (foreign > 0 and self._clock_s() >= self._trusted_to_s)

    def _count(self) -> None:
        start_s = self._clock_s()
        if start_s < self._next_count_s:
            return
        self._used = used_bytes(self._store)
        self._index = self._store.index
        end_s = self._clock_s()
        self._trusted_to_s = end_s + TRUSTED_S
        self._next_count_s = end_s + max(COUNT_INTERVAL_S, COUNT_SHARE * (end_s - start_s))


def used_bytes(store: Store) -> int:
    """Keys and values of everything clients have stored."""
    total = 0
    for node in store.nodes():
        if node.key.startswith("/1/"):
            total += size(node.key)
            if type(node) is File:
                total += size(node.value)
    return total


def size(text: str) -> int:
    """Length in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))
