"""This machine's part of the cluster's history: events gathered, written, read, followed.

Nothing is written while nothing happens. After a quiet time events wait half a second for company,
in a busy one five: a unit that restarts for ever costs one small write in five seconds. History is
a convenience: when it cannot be written it is dropped and nobody else is disturbed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from coreos_py.base.errors import EVENT_INDEX_CLEARED, KEY_NOT_FOUND, CoreosError, StoreError
from coreos_py.fleet import events
from coreos_py.fleet.events import Event, Ring

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from coreos_py.etcdclient.model import Node
    from coreos_py.fleet.registry import Registry

log = logging.getLogger(__name__)

DIRECTORY = "x-events"
# A history nobody added to for so long goes.
HISTORY_S = 7 * 86400
_GATHER_S = 0.5
_BUSY_GATHER_S = 5.0
_PENDING_MAX = events.SLOTS * events.SLOT_EVENTS
_RETRY_S = 1.0


class Note(Protocol):
    """What those who have something to tell are given."""

    def __call__(self, kind: str, *, unit: str = "", machine: str = "", text: str = "") -> None:
        """Tell."""


def unheard(kind: str, *, unit: str = "", machine: str = "", text: str = "") -> None:
    """Take an event for nobody."""


class Recorder:
    """Takes events of one fleetd; `run` brings them to etcd."""

    def __init__(self, registry: Registry, machine_id: str, *, is_on: bool = True) -> None:
        self._registry = registry
        self._machine_id = machine_id
        self._is_on = is_on
        self._pending: deque[tuple[int, Event]] = deque(maxlen=_PENDING_MAX)
        self._arrived = asyncio.Event()
        self._writing = asyncio.Lock()
        self._ring: Ring | None = None

    def note(self, kind: str, *, unit: str = "", machine: str = "", text: str = "") -> None:
        """Enter an event; it is written in a moment."""
        if not self._is_on:
            return
        event = Event(0, 0, kind, unit, machine, text)
        self._pending.append((time.time_ns() // 1_000_000, event))
        self._arrived.set()

    async def run(self) -> None:
        """Write for ever."""
        wrote_s = float("-inf")
        while True:
            await self._arrived.wait()
            is_quiet = time.monotonic() - wrote_s > _BUSY_GATHER_S
            await asyncio.sleep(_GATHER_S if is_quiet else _BUSY_GATHER_S)
            await self.flush()
            wrote_s = time.monotonic()

    async def flush(self) -> None:
        """Write what is there."""
        async with self._writing:  # a slot's older text must not come after its newer one
            pending = list(self._pending)
            self._pending.clear()
            self._arrived.clear()
            if not pending:
                return
            try:
                await self._write(pending)
            except CoreosError as err:
                log.debug("%d events are not recorded: %s", len(pending), err)

    async def _write(self, pending: list[tuple[int, Event]]) -> None:
        ring = await self._open()
        slots: dict[int, str] = {}
        for unix_ms, event in pending:
            closed = ring.add(unix_ms, event)
            if closed is not None:
                slots.update([closed])
        slots.update([ring.current()])
        for slot, text in slots.items():
            key = self._registry.key(DIRECTORY, self._machine_id, str(slot))
            await self._registry.etcd.set(key, text, ttl_s=HISTORY_S)

    async def _open(self) -> Ring:
        if self._ring is None:
            ring = Ring()
            try:
                key = self._registry.key(DIRECTORY, self._machine_id)
                found = await self._registry.etcd.get(key, recursive=True)
            except StoreError as err:
                if err.code != KEY_NOT_FOUND:
                    raise
            else:
                ring.resume(_slots(found.node))
            self._ring = ring
        return self._ring


async def read_events(registry: Registry) -> list[Event]:
    """Return the history of all machines, oldest first."""
    return (await _read(registry))[0]


async def follow_events(registry: Registry) -> AsyncIterator[list[Event]]:
    """Yield the history, even if there is none, then what is added to it, for ever."""
    told: dict[str, int] = {}
    index = 0
    while True:
        try:
            if not index:
                found, index = await _read(registry)
                yield _untold(found, told)
            key = registry.key(DIRECTORY)
            result = await registry.etcd.watch(key, wait_index=index, recursive=True)
            index = result.node.modified_index + 1
            reporter = result.node.key.split("/")[-2]
            fresh = _untold(events.decode(result.node.value, reporter=reporter), told)
            if fresh:
                yield fresh
        except StoreError as err:
            index = 0  # the watch has lost its place: read everything again
            if err.code != EVENT_INDEX_CLEARED:
                await asyncio.sleep(_RETRY_S)
        except CoreosError as err:
            log.debug("following events: %s", err)
            await asyncio.sleep(_RETRY_S)


async def _read(registry: Registry) -> tuple[list[Event], int]:
    """Return the history, and the index from which to watch for more."""
    try:
        result = await registry.etcd.get(registry.key(DIRECTORY), recursive=True)
    except StoreError as err:
        if err.code != KEY_NOT_FOUND:
            raise
        return [], err.index + 1
    found = events.in_order(
        event
        for machine in result.node.nodes
        for slot in machine.nodes
        for event in events.decode(slot.value, reporter=_base(machine.key))
    )
    return found, result.etcd_index + 1


def _untold(found: list[Event], told: dict[str, int]) -> list[Event]:
    fresh = [event for event in found if event.number > told.get(event.reporter, 0)]
    for event in fresh:
        told[event.reporter] = event.number
    return fresh


def _slots(directory: Node) -> dict[int, str]:
    nodes = directory.nodes
    return {int(_base(n.key)): n.value for n in nodes if _base(n.key).isdecimal()}


def _base(key: str) -> str:
    return key[key.rfind("/") + 1 :]
