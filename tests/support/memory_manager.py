"""A unit manager without processes: the UnitManager interface over dictionaries.

Units run the moment they are started. `broken` names units whose load, start or unload fails;
unloads wait for `may_unload`.
"""

from __future__ import annotations

import asyncio

from coreos_py.systemd.manager import NOT_FOUND, LogLine, UnitManagerError, UnitState


class MemoryManager:
    """What fleet's agent drives."""

    def __init__(self):
        self.files = {}
        self.running = {}
        self.log = []
        self.broken = set()
        self.may_unload = asyncio.Event()
        self.may_unload.set()
        self.reloads_fail = 0
        self._hint = lambda name: None

    async def open(self):
        """Nothing to connect to."""

    async def close(self):
        """Nothing to let go of."""

    async def load(self, name, unit):
        self.log.append(f"load {name}")
        self._check(name)
        self.files[name] = unit

    async def unload(self, name):
        self.log.append(f"unload {name}")
        await self.may_unload.wait()
        self.files.pop(name, None)
        self.running.pop(name, None)
        self._check(name)

    async def abandon(self):
        self.log.append("abandon")

    async def start(self, name):
        self.log.append(f"start {name}")
        self._check(name)
        self.running[name] = "running"
        self._hint(name)

    async def stop(self, name):
        self.log.append(f"stop {name}")
        self.running.pop(name, None)
        self._hint(name)

    async def reload_unit_files(self):
        self.log.append("reload")
        if self.reloads_fail:
            self.reloads_fail -= 1
            raise UnitManagerError("", "reload failed")

    async def states(self, names):
        return {name: self._state(name) for name in names}

    async def units(self):
        return {name: unit.hash for name, unit in self.files.items()}

    def on_change(self, hint):
        self._hint = hint

    async def journal(self, name, *, lines):
        return [LogLine(number, "prog", 7, f"line {number}") for number in range(lines)]

    async def follow(self, name, *, lines):
        for number in range(lines):
            yield LogLine(number, "prog", 7, f"line {number}")

    def _state(self, name):
        if name not in self.files:
            return NOT_FOUND
        if name in self.running:
            return UnitState("loaded", "active", self.running[name], self.files[name].hash)
        return UnitState("loaded", "inactive", "dead", self.files[name].hash)

    def _check(self, name):
        if name in self.broken:
            raise UnitManagerError(name, f"{name} is broken")
