"""The semaphore in etcd: made when it is missing, changed by comparing and swapping.

The edge of semaphore.py; mirrors locksmith 0.6.2's lock/etcd.go and lock.go. Different on purpose:
reads are quorum reads, so that a member that lags behind does not show yesterday's holders, a
change that lost a race is tried again on what won, and notes.py's notes are kept beside it.
"""

from __future__ import annotations

from time import time_ns

from coreos_py.base.errors import KEY_NOT_FOUND, NODE_EXIST, TEST_FAILED, CoreosError, StoreError
from coreos_py.etcdclient import calls
from coreos_py.locksmith import notes
from coreos_py.locksmith.semaphore import INITIAL, HolderMissing, key_of, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from coreos_py.etcdclient.model import Node
    from coreos_py.etcdclient.sync_client import Etcd
    from coreos_py.etcdclient.v3sync import Etcd3
    from coreos_py.locksmith.notes import Notes
    from coreos_py.locksmith.semaphore import Semaphore

    class Keys(Protocol):
        """What the lock needs of an etcd, over either API."""

        def read(self, key: str) -> Node:
            """What a quorum says about a key; StoreError 100."""

        def read_tree(self, key: str) -> Node:
            """A directory and all below it; StoreError 100."""

        def create(self, key: str, value: str) -> int:
            """Write a key that must not exist; its index, or StoreError 105."""

        def swap(self, key: str, value: str, *, index: int) -> int:
            """Write a key that is at `index`; its new index, or StoreError 101."""

        def write(self, key: str, value: str) -> None:
            """Write a key."""


_ATTEMPTS_MAX = 64  # every lost one means that somebody else's change went through
_FLEET_MACHINES = "/_coreos.com/fleet/machines"


class KeysV2:
    """The v2 keys API."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd

    def read(self, key: str) -> Node:
        return self._etcd.result(calls.get(key, quorum=True)).node

    def read_tree(self, key: str) -> Node:
        return self._etcd.result(calls.get(key, recursive=True, quorum=True)).node

    def create(self, key: str, value: str) -> int:
        return self._etcd.result(calls.put(key, value, prev_exist=False)).node.modified_index

    def swap(self, key: str, value: str, *, index: int) -> int:
        return self._etcd.result(calls.put(key, value, prev_index=index)).node.modified_index

    def write(self, key: str, value: str) -> None:
        self._etcd.result(calls.put(key, value))


class KeysV3:
    """The JSON gateway of etcd 3."""

    def __init__(self, etcd: Etcd3) -> None:
        self._etcd = etcd

    def read(self, key: str) -> Node:
        return self._etcd.get(key, quorum=True).node

    def read_tree(self, key: str) -> Node:
        return self._etcd.get(key, recursive=True, quorum=True).node

    def create(self, key: str, value: str) -> int:
        return self._etcd.put(key, value, prev_exist=False).node.modified_index

    def swap(self, key: str, value: str, *, index: int) -> int:
        return self._etcd.put(key, value, prev_index=index).node.modified_index

    def write(self, key: str, value: str) -> None:
        self._etcd.put(key, value)


class Holder:
    """Who holds the lock. `since_ns` is 0 when unknown, `in_fleet` None without a fleet."""

    __slots__ = ("id", "in_fleet", "since_ns")

    def __init__(self, id: str, since_ns: int, *, in_fleet: bool | None) -> None:
        self.id = id
        self.since_ns = since_ns
        self.in_fleet = in_fleet


class Lock:
    """The reboot lock of one group; the key exists once this does."""

    def __init__(
        self, keys: Keys, *, group: str = "", clock_ns: Callable[[], int] = time_ns
    ) -> None:
        self._keys = keys
        self._key = key_of(group)
        self._notes_key = notes.key_of(self._key)
        self._clock_ns = clock_ns
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

    def holders(self) -> tuple[Semaphore, list[Holder]]:
        """What is in etcd now, and what is known about those who hold it."""
        semaphore, index = self._read()
        since = self._notes().at(index)
        found = semaphore.holders or ()
        machines = self._fleet() if found else None
        return semaphore, [
            Holder(
                holder,
                since.get(holder, 0),
                in_fleet=None if machines is None else holder in machines,
            )
            for holder in found
        ]

    def release(self, holder: str, *, after_ns: int) -> str:
        """Remove a holder that has had the lock for so long and is not in fleet; HolderMissing.

        Returns why it was not done, "" when it was. Nothing is removed that has changed since.
        """
        semaphore, index = self._read()
        after = semaphore.unlock(holder)
        known = self._notes()
        now_ns = self._clock_ns()
        since_ns = known.at(index).get(holder, 0)
        if holder in (self._fleet() or ()):
            return "it is a machine of fleet, which is alive"
        if not 0 < since_ns <= now_ns:  # or it was noted by a clock ahead of this one
            held = known.carried(semaphore.holders or (), before=index, after=index, now_ns=now_ns)
            self._keys.write(self._notes_key, held.to_json())
            return "nobody knows since when it has the lock; its age counts from now on"
        if now_ns - since_ns < after_ns:
            return "it has not had the lock for long enough"
        changed = self._keys.swap(self._key, after.to_json(), index=index)
        self._note(known, after, before=index, after=changed)
        return ""

    def _create(self) -> None:
        try:
            self._keys.create(self._key, INITIAL.to_json())
        except StoreError as err:
            if err.code != NODE_EXIST:
                raise

    def _read(self) -> tuple[Semaphore, int]:
        node = self._keys.read(self._key)
        return parse(node.value), node.modified_index

    def _change(self, change: Callable[[Semaphore], Semaphore]) -> Semaphore:
        """Put what `change` makes of the semaphore in its place; what was there before."""
        for attempt in range(1, _ATTEMPTS_MAX + 1):
            before, index = self._read()
            after = change(before)
            try:
                changed = self._keys.swap(self._key, after.to_json(), index=index)
            except StoreError as err:
                if err.code != TEST_FAILED or attempt == _ATTEMPTS_MAX:
                    raise
            else:
                if before.holders or after.holders:
                    self._note(None, after, before=index, after=changed)
                return before
        raise AssertionError("the last attempt returns or raises")

    def _note(self, known: Notes | None, semaphore: Semaphore, *, before: int, after: int) -> None:
        try:
            old = self._notes() if known is None else known
            new = old.carried(
                semaphore.holders or (), before=before, after=after, now_ns=self._clock_ns()
            )
            self._keys.write(self._notes_key, new.to_json())
        except CoreosError:
            return  # the change is made; without a note the ages are unknown, and no more

    def _notes(self) -> Notes:
        try:
            return notes.parse(self._keys.read(self._notes_key).value)
        except StoreError as err:
            if err.code != KEY_NOT_FOUND:
                raise
            return notes.NONE

    def _fleet(self) -> set[str] | None:
        """The machines that fleet in this etcd takes for alive; None when there is no fleet."""
        try:
            machines = self._keys.read_tree(_FLEET_MACHINES).nodes
        except StoreError:
            return None
        return {
            machine.key.rpartition("/")[2]
            for machine in machines
            if any(child.key.endswith("/object") for child in machine.nodes)
        }


def unlock_if_held(lock: Lock, holder: str) -> bool:
    """Give a machine's lock back; False when it had none."""
    try:
        lock.unlock(holder)
    except HolderMissing:
        return False
    return True
