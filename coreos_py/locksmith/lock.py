"""The semaphore in etcd's v2 keys: made when it is missing, changed by comparing and swapping.

The edge of semaphore.py; mirrors locksmith 0.6.2's lock/etcd.go and lock.go. Different on purpose:
reads are quorum reads, so that a member that lags behind does not show yesterday's holders, and a
change that lost a race is tried again on what won.
"""

from __future__ import annotations

from coreos_py.base.errors import NODE_EXIST, TEST_FAILED, StoreError
from coreos_py.etcdclient import calls
from coreos_py.locksmith.semaphore import INITIAL, key_of, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.etcdclient.sync_client import Etcd
    from coreos_py.locksmith.semaphore import Semaphore

_ATTEMPTS_MAX = 64  # every lost one means that somebody else's change went through


class Lock:
    """The reboot lock of one group; the key exists once this does."""

    def __init__(self, etcd: Etcd, *, group: str = "") -> None:
        self._etcd = etcd
        self._key = key_of(group)
        self._create()

    def read(self) -> Semaphore:
        """What is in etcd now."""
        return self._read()[0]

    def lock(self, holder: str) -> None:
        """Add a holder; SemaphoreError when there is no room or it is one already."""
        self._change(lambda semaphore: semaphore.lock(holder))

    def unlock(self, holder: str) -> None:
        """Remove a holder; HolderMissing."""
        self._change(lambda semaphore: semaphore.unlock(holder))

    def set_limit(self, limit: int) -> int:
        """Allow `limit` holders; the limit until now."""
        return self._change(lambda semaphore: semaphore.with_limit(limit)).limit

    def _create(self) -> None:
        try:
            self._etcd.result(calls.put(self._key, INITIAL.to_json(), prev_exist=False))
        except StoreError as err:
            if err.code != NODE_EXIST:
                raise

    def _read(self) -> tuple[Semaphore, int]:
        node = self._etcd.result(calls.get(self._key, quorum=True)).node
        return parse(node.value), node.modified_index

    def _change(self, change: Callable[[Semaphore], Semaphore]) -> Semaphore:
        """Put what `change` makes of the semaphore in its place; what was there before."""
        for attempt in range(1, _ATTEMPTS_MAX + 1):
            before, index = self._read()
            after = change(before)
            try:
                self._etcd.result(calls.put(self._key, after.to_json(), prev_index=index))
            except StoreError as err:
                if err.code != TEST_FAILED or attempt == _ATTEMPTS_MAX:
                    raise
            else:
                return before
        raise AssertionError("the last attempt returns or raises")
