"""Waking the loops early: a resettable event, and the watches on etcd that set it.

Nothing here carries information: a lost event costs time until the next periodic pass, never a
decision. fleet 1.0.0 sleeps a second after every event; here a burst is waited for to end, but not
for long.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from coreos_py.base.errors import EVENT_INDEX_CLEARED, CoreosError, StoreError
from coreos_py.fleet.registry_machines import CORDON_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from coreos_py.etcdclient.keys import AsyncEvents
    from coreos_py.etcdclient.model import Result
    from coreos_py.fleet.registry import Registry

log = logging.getLogger(__name__)

# A wait ends this long after the last of a burst of events, and this long after the first at most:
# as much as the pass before took, within these bounds.
_QUIET_S = 0.02
_GATHER_MIN_S = 0.1
_GATHER_MAX_S = 0.6
_RETRY_S = 1.0
_LISTEN_S = 1.0
_GONE = ("delete", "expire", "compareAndDelete")
_JOB_KEYS = ("target", "target-state", "object")


class Wakeup:
    """What a periodic loop sleeps on."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """End the current or the next wait."""
        self._event.set()

    async def wait(self, limit_s: float, *, busy_s: float = 0.0) -> bool:
        """Wait until woken, a little longer for companions, or until the limit; tell which.

        A pass that took `busy_s` is worth waiting as long for what the next may have to do.
        """
        if not await self._set_within(limit_s):
            return False
        until = time.monotonic() + min(max(busy_s, _GATHER_MIN_S), _GATHER_MAX_S)
        self._event.clear()
        while time.monotonic() < until and await self._set_within(_QUIET_S):
            self._event.clear()
        return True

    async def _set_within(self, limit_s: float) -> bool:
        try:
            async with asyncio.timeout(limit_s):
                return await self._event.wait()
        except TimeoutError:
            return False


async def watch_jobs(registry: Registry, wakeups: Iterable[Wakeup]) -> None:
    """Wake on every change of what units should be or where, and keep the mirror."""
    woken = list(wakeups)
    while True:
        try:
            await _follow_jobs(registry, woken)
        except CoreosError as err:
            log.error("etcd watcher %s returned error: %s", registry.key("job"), err)
            await asyncio.sleep(_RETRY_S)
        finally:
            registry.jobs.stop()
        _wake(woken)


async def _follow_jobs(registry: Registry, wakeups: list[Wakeup]) -> None:
    """Read all, then take events over, until the stream of them ends."""
    stream = await registry.etcd.stream(registry.key("job"), recursive=True)
    try:
        await registry.read_jobs()
        while not registry.jobs.start(index=stream.etcd_index):
            await asyncio.sleep(_RETRY_S)  # read from a member that lags behind
            await registry.read_jobs()
        _wake(wakeups)
        await _take_over(registry, stream, wakeups)
    finally:
        stream.close()


async def _take_over(registry: Registry, stream: AsyncEvents, wakeups: list[Wakeup]) -> None:
    """Bring events into the mirror until there are no more, or some do not come."""
    now = asyncio.get_running_loop().time
    coming = asyncio.create_task(stream.next())
    try:
        while True:
            await asyncio.wait([coming], timeout=_LISTEN_S)
            if registry.jobs.is_silent(now()):
                log.warning("etcd watcher %s misses events", registry.key("job"))
                return
            if not coming.done():
                continue
            events = coming.result()
            if not events:
                return
            coming = asyncio.create_task(stream.next())
            for event in events:
                registry.jobs.apply(event)
            if any(map(_concerns_job, events)):
                _wake(wakeups)
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def watch_machines(registry: Registry, wakeups: Iterable[Wakeup]) -> None:
    """Wake when a machine comes, goes or gets other metadata."""
    await _watch(registry, "machines", _concerns_machine, list(wakeups))


async def watch_lease(registry: Registry, wakeups: Iterable[Wakeup]) -> None:
    """Wake when the lead is free."""
    await _watch(registry, "lease", _is_gone, list(wakeups))


def _is_gone(result: Result) -> bool:
    return result.action in _GONE


def _concerns_job(result: Result) -> bool:
    name = result.node.key.rpartition("/")[2]
    return name in _JOB_KEYS or (result.action in _GONE and name != "job-state")


def _concerns_machine(result: Result) -> bool:
    parts = result.node.key.split("/")
    if parts[-1] == "object":
        return result.action in (*_GONE, "create")
    return "metadata" in parts[-2:] or parts[-1] == CORDON_NAME


async def _watch(
    registry: Registry, part: str, concerns: Callable[[Result], bool], wakeups: list[Wakeup]
) -> None:
    key = registry.key(part)
    index = 0
    while True:
        try:
            result = await registry.etcd.watch(key, wait_index=index, recursive=True)
        except StoreError as err:
            log.debug("etcd watcher %s starts again: %s", key, err)
            if err.code != EVENT_INDEX_CLEARED:
                await asyncio.sleep(_RETRY_S)
            index = err.index + 1 if err.index else 0
            _wake(wakeups)
            continue
        except CoreosError as err:
            log.error("etcd watcher %s returned error: %s", key, err)
            await asyncio.sleep(_RETRY_S)
            continue
        index = result.node.modified_index + 1
        if concerns(result):
            _wake(wakeups)


def _wake(wakeups: list[Wakeup]) -> None:
    for wakeup in wakeups:
        wakeup.set()
