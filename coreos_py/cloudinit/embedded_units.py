"""units.Units where no systemd runs: the suite's embedded manager, for the length of one call.

What is started here goes on without a supervisor when the call ends; the next call takes it over.
Unit files and drop-ins are looked for where systemd looks for them.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from coreos_py.base import unitfile
from coreos_py.base.errors import CoreosError, Unavailable
from coreos_py.systemd import files
from coreos_py.systemd.embedded.supervisor import EmbeddedManager

if TYPE_CHECKING:
    from coreos_py.base.unitfile import UnitFile
    from coreos_py.systemd.manager import UnitState

DIRECTORIES = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
_JOB_TIMEOUT_S = 600.0  # systemd gives the calling unit as much
_POLL_S = 0.05
_SETTLED = ("active", "inactive", "failed")
_RUNNING = ("active", "activating", "reloading")

Action = Callable[[EmbeddedManager], Coroutine[Any, Any, str]]


class NoSuchUnit(CoreosError):
    """There is no file for the unit, or it is masked; the message is systemd's."""


class Embedded:
    """See units.Units."""

    def __init__(
        self, state_dir: str, *, directories: tuple[str, ...] = DIRECTORIES, machine_id: str = ""
    ) -> None:
        self._state_dir = state_dir
        self._directories = directories
        self._machine_id = machine_id or _machine_id()

    def enable(self, name: str, *, runtime: bool) -> None:
        path, unit = self._find(name)
        place = self._directories[1 if runtime else 0]
        for key, suffix in (("WantedBy", "wants"), ("RequiredBy", "requires")):
            for target in unit.values("Install", key):
                for word in target.split():
                    _link(path, os.path.join(place, f"{word}.{suffix}", name))
        for alias in unit.values("Install", "Alias"):
            for word in alias.split():
                _link(path, os.path.join(place, word))

    def reload(self) -> None:
        """Files are read when they are needed."""

    def run(self, name: str, command: str) -> str:
        _, unit = self._find(name)
        return asyncio.run(self._with_manager(name, unit, _action(name, command)))

    def run_script(self, unit: str, description: str, argv: list[str]) -> str:
        text = f"[Unit]\nDescription={description}\n[Service]\nExecStart={' '.join(argv)}\n"
        return asyncio.run(self._with_manager(unit, unitfile.parse(text), _action(unit, "start")))

    async def _with_manager(self, name: str, unit: UnitFile, action: Action) -> str:
        manager = EmbeddedManager(self._state_dir, machine_id=self._machine_id)
        await manager.open()
        try:
            await manager.load(name, unit)
            return await action(manager)
        finally:
            await manager.close()

    def _find(self, name: str) -> tuple[str, UnitFile]:
        """The unit's file, and its text with its drop-ins."""
        names = [name]
        before, at, after = name.partition("@")
        if at:
            names.append(f"{before}@{after[after.rfind('.') :]}")
        for candidate in names:
            for directory in self._directories:
                path = os.path.join(directory, candidate)
                if os.path.realpath(path) == os.devnull:
                    raise NoSuchUnit(f"Unit {name} is masked.")
                unit = files.read_unit(path)
                if unit is not None:
                    return path, self._with_drop_ins(names, unit)
        raise NoSuchUnit(f"Unit {name} not found.")

    def _with_drop_ins(self, names: list[str], unit: UnitFile) -> UnitFile:
        """By file name, whichever directory they are in; the first directory's counts."""
        found: dict[str, str] = {}
        for name in names:
            for directory in self._directories:
                place = os.path.join(directory, f"{name}.d")
                for item in sorted(os.listdir(place)) if os.path.isdir(place) else ():
                    if item.endswith(".conf"):
                        found.setdefault(item, os.path.join(place, item))
        options = list(unit.options)
        for item in sorted(found):
            drop_in = files.read_unit(found[item])
            if drop_in is not None:
                options += drop_in.options
        return unitfile.UnitFile(options)


def _action(name: str, command: str) -> Action:
    """What a command does, given a manager that holds the unit."""

    async def act(manager: EmbeddedManager) -> str:
        is_running = (await _state(manager, name)).active in _RUNNING
        if command in ("try-restart", "reload-or-try-restart") and not is_running:
            return "done"
        if command.startswith("reload") and is_running:
            await manager.reload(name)
            return await _settle(manager, name)
        if command == "reload":
            return "failed"
        if command != "start" and is_running:
            await manager.stop(name)
            await _settle(manager, name, until=("inactive", "failed"))
        if command != "stop":
            await manager.start(name)
            return await _settle(manager, name)
        return "done"

    return act


async def _settle(manager: EmbeddedManager, name: str, *, until: tuple[str, ...] = _SETTLED) -> str:
    """Wait for the job's end; its result."""
    deadline = time.monotonic() + _JOB_TIMEOUT_S
    while (state := await _state(manager, name)).active not in until:
        if time.monotonic() > deadline:
            return "timeout"
        await asyncio.sleep(_POLL_S)
    return "failed" if state.active == "failed" else "done"


async def _state(manager: EmbeddedManager, name: str) -> UnitState:
    return (await manager.states([name]))[name]


def _link(target: str, path: str) -> None:
    try:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        if not os.path.lexists(path):
            os.symlink(target, path)
    except OSError as error:
        raise Unavailable(f"cannot enable {path}: {error.strerror}") from None


def _machine_id() -> str:
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            return file.read().strip() or "0" * 32
    except OSError:
        return "0" * 32
