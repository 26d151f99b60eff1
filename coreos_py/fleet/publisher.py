"""Publishes what the unit manager says about this machine's units.

The manager is asked every second, and at once when it or the agent hints at a change. What changed
is written at once, everything else often enough for its TTL; what is no longer held is withdrawn.
Mirrors agent/unit_state.go and unit/generator.go of fleet 1.0.0.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from coreos_py.base.errors import CoreosError
from coreos_py.fleet.heartbeat import STATE_POLL_S
from coreos_py.fleet.job import UnitState
from coreos_py.fleet.recorder import unheard
from coreos_py.fleet.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from coreos_py.fleet.heartbeat import Timings
    from coreos_py.fleet.recorder import Note
    from coreos_py.fleet.registry import Registry
    from coreos_py.systemd.manager import UnitManager

log = logging.getLogger(__name__)

# What a unit comes to rest in.
_RESTS = ("active", "inactive", "failed")
_WRITERS = 16


class Publisher:
    """The states of one machine's units, as the registry was told last."""

    def __init__(
        self,
        registry: Registry,
        manager: UnitManager,
        machine_id: str,
        *,
        timings: Timings,
        note: Note = unheard,
    ) -> None:
        self._note = note
        self._registry = registry
        self._manager = manager
        self._machine_id = machine_id
        self._timings = timings
        self._subscribed: dict[str, None] = {}
        self._told: dict[str, str] = {}
        self._published: dict[str, tuple[UnitState, float]] = {}
        self._refused: set[str] = set()
        self._wakeup = Wakeup()
        self._hinted: set[str] = set()

    @property
    def subscribed(self) -> list[str]:
        """The units whose state is of interest."""
        return sorted(self._subscribed)

    @property
    def published(self) -> Mapping[str, UnitState]:
        """What was written last, by unit."""
        return {name: state for name, (state, _) in sorted(self._published.items())}

    def subscribe(self, name: str, *, is_news: bool = True) -> None:
        """Publish the unit's state from now on; it is no news when it ran before this fleetd."""
        self._subscribed[name] = None
        if not is_news:
            self._told.setdefault(name, "active")
        self.hint(name)

    def unsubscribe(self, name: str) -> None:
        """Withdraw the unit's state."""
        self._subscribed.pop(name, None)
        if self._told.pop(name, "inactive") != "inactive":
            self._note("state", unit=name, machine=self._machine_id, text="unloaded")
        self._hinted.discard(name)
        self._wakeup.set()

    def hint(self, name: str) -> None:
        """Look again now: the unit's state may have changed ("": any unit's)."""
        if not name:
            self._hinted.update(self._subscribed)
        elif name in self._subscribed:
            self._hinted.add(name)
        if self._hinted:
            self._wakeup.set()

    async def run(self) -> None:
        """Publish for ever: what was hinted at when woken, now and then all."""
        polled_s, checked_s = 0.0, time.monotonic()
        while True:
            started_s = time.monotonic()
            is_poll = started_s >= polled_s + STATE_POLL_S
            try:
                if started_s >= checked_s + self._timings.agent_ttl_s:
                    checked_s = started_s
                    await self.check()
                await self.round(None if is_poll else self._hinted.copy())
            except CoreosError as err:
                log.error("Failed fetching unit states: %s", err)
            if is_poll:
                polled_s = started_s
            now_s = time.monotonic()
            rest_s = max(polled_s + STATE_POLL_S - now_s, 0.0)
            await self._wakeup.wait(rest_s, busy_s=now_s - started_s)

    async def round(self, names: Iterable[str] | None = None) -> None:
        """Ask the manager once, for all units or for these; write what is due."""
        asked = list(self._subscribed if names is None else names)
        self._hinted.difference_update(asked)
        current = await self._manager.states(asked) if asked else {}
        now = time.monotonic()
        due = []
        for name, found in current.items():
            last, written_s = self._published.get(name, (None, 0.0))
            # A unit on its way out still stops, but its file is no longer held.
            unit_hash = found.hash or (last.hash if last is not None else "")
            state = UnitState(
                name, found.load, found.active, found.sub, self._machine_id, unit_hash
            )
            if state != last or now - written_s >= self._timings.publish_s:
                due.append(state)
                self._tell(state)
        gone = [s for name, (s, _) in self._published.items() if name not in self._subscribed]
        limit = asyncio.Semaphore(_WRITERS)
        async with asyncio.TaskGroup() as group:
            for state in due:
                group.create_task(self._write(state, limit))
            for state in gone:
                group.create_task(self._withdraw(state, limit))

    async def check(self) -> None:
        """Look whether what was written is there still, to write it again in the next round.

        Keys go early when the clock of etcd's leader jumps, and when fleet 1.0.0 withdraws a state
        it removes that of every machine.
        """
        found = await self._registry.states()
        for name, (state, _) in self._published.items():
            if found.get((name, self._machine_id)) != state:
                self._published[name] = (state, float("-inf"))

    async def purge(self) -> None:
        """Withdraw everything, for a graceful stop."""
        self._subscribed.clear()
        await self.round()

    def _tell(self, state: UnitState) -> None:
        """Record what a unit came to; what it passes through on the way is no event."""
        told = self._told.get(state.name, "inactive")
        is_retrying = state.sub == "auto-restart"
        if state.active == told or not (state.active in _RESTS or is_retrying):
            return
        self._told[state.name] = state.active
        text = f"{state.active} ({state.sub})"
        self._note("state", unit=state.name, machine=self._machine_id, text=text)

    async def _write(self, state: UnitState, limit: asyncio.Semaphore) -> None:
        if not state.hash:
            if state.name not in self._refused:
                log.error("Refusing to push UnitState(%s), no UnitHash: %s", state.name, state)
            self._refused.add(state.name)
            return
        async with limit:
            try:
                await self._registry.save_state(state, ttl_s=self._timings.state_ttl_s)
            except CoreosError as err:
                log.warning("Failed to push UnitState(%s): %s", state.name, err)
                return
        self._refused.discard(state.name)
        self._published[state.name] = (state, time.monotonic())

    async def _withdraw(self, state: UnitState, limit: asyncio.Semaphore) -> None:
        async with limit:
            try:
                await self._registry.remove_state(state)
            except CoreosError as err:
                text = "Failed to destroy UnitState(%s) in Registry: %s"
                log.error(text, state.name, err)
                return
        if self._published.get(state.name, (None, 0.0))[0] == state:
            del self._published[state.name]
