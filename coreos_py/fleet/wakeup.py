"""Waking the loops early: a resettable event, and the watches on etcd that set it.

Nothing here carries information: a lost event costs time until the next periodic pass, never a
decision. fleet 1.0.0 sleeps a second after every event; here a burst is gathered for 20 ms.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from coreos_py.base.errors import EVENT_INDEX_CLEARED, CoreosError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from coreos_py.etcdclient.model import Result
    from coreos_py.fleet.registry import Registry

log = logging.getLogger(__name__)

_GATHER_S = 0.02
_RETRY_S = 1.0
_GONE = ("delete", "expire", "compareAndDelete")
_JOB_KEYS = ("target", "target-state", "object")


class Wakeup:
    """What a periodic loop sleeps on."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """End the current or the next wait."""
        self._event.set()

    async def wait(self, limit_s: float) -> None:
        """Wait until woken, a little longer for companions, or until the limit."""
        try:
            async with asyncio.timeout(limit_s):
                await self._event.wait()
        except TimeoutError:
            return
        await asyncio.sleep(_GATHER_S)
        self._event.clear()


async def watch_jobs(registry: Registry, wakeups: Iterable[Wakeup]) -> None:
    """Wake on every change of what units should be or where."""
    await _watch(registry, "job", _concerns_job, list(wakeups))


async def watch_machines(registry: Registry, wakeups: Iterable[Wakeup]) -> None:
    """Wake when a machine comes, goes or gets other metadata."""
    await _watch(registry, "machines", _concerns_machine, list(wakeups))


def _concerns_job(result: Result) -> bool:
    name = result.node.key.rpartition("/")[2]
    return name in _JOB_KEYS or (result.action in _GONE and name != "job-state")


def _concerns_machine(result: Result) -> bool:
    parts = result.node.key.split("/")
    if parts[-1] == "object":
        return result.action in (*_GONE, "create")
    return "metadata" in parts[-2:]


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
