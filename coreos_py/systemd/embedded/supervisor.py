"""The embedded unit manager: supervises processes itself, as whoever runs it, without systemd.

State directory: units/ (the unit files), run/ (what runs, for the next manager), journal/ (output),
pipe/ and notify/ (what units hold open). One manager at a time; units outlive it, and the next
manager takes them over instead of starting them twice.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from typing import TYPE_CHECKING

from coreos_py.base import unitfile
from coreos_py.base.atomic import private_dir
from coreos_py.base.errors import ConfigError
from coreos_py.systemd import files, journal
from coreos_py.systemd.embedded import launch, process, records
from coreos_py.systemd.embedded.directives import define
from coreos_py.systemd.embedded.runner import Runner
from coreos_py.systemd.embedded.states import DOWN, Snapshot
from coreos_py.systemd.manager import NOT_FOUND, LogLine, UnitManagerError, UnitState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from coreos_py.base.unitfile import UnitFile
    from coreos_py.systemd.embedded.definition import Definition
    from coreos_py.systemd.embedded.service import Service
    from coreos_py.systemd.manager import ChangeHint

log = logging.getLogger(__name__)

NAME_BYTES_MAX = 240  # file names made of it get a suffix
STOP_WAIT_S = 120.0
JOURNAL_KEPT_S = 7 * 86400.0  # of units that are here no more
_LEFTOVER = Snapshot("stop", asked_to_stop=True)


class EmbeddedManager:
    """A UnitManager (see manager.py) whose units are this process's own children."""

    def __init__(
        self,
        state_dir: str,
        *,
        machine_id: str,
        units_dir: str = "",
        hostname: str = "",
        environment: Mapping[str, str] | None = None,
        journal_bytes_max: int = journal.BYTES_MAX,
    ) -> None:
        """`environment` is what units inherit; by default this process's own, without FLEET_*.

        COREOS_BOOT_ID in this process's environment replaces the kernel's boot id: a pretended
        machine that is started again has lost what ran on it, as after any boot.
        """
        self._state_dir = os.path.abspath(state_dir)
        self._units_dir = os.path.abspath(units_dir or os.path.join(state_dir, "units"))
        self._boot = os.environ.get("COREOS_BOOT_ID") or process.boot_id()
        self._facts = launch.facts(
            machine_id, hostname=hostname, boot=self._boot, units_dir=self._units_dir
        )
        self._environment = launch.base_environment(
            os.environ if environment is None else environment
        )
        self._journal_bytes_max = journal_bytes_max
        self._hashes: dict[str, str] = {}
        self._leaving: set[str] = set()
        self._reported: set[str] = set()
        self._hints: list[ChangeHint] = []
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}
        self._lock = -1
        self._runner_open: Runner | None = None

    # The interface

    async def open(self) -> None:
        """Take over what an earlier manager left running."""
        try:
            for name in ("", "run", "journal", "pipe", "notify"):
                private_dir(os.path.join(self._state_dir, name))
            os.makedirs(self._units_dir, exist_ok=True)
            self._take_lock()
        except OSError as error:
            path = error.filename or self._state_dir
            raise ConfigError(f"cannot use {path} for units: {error.strerror}") from None
        process.become_subreaper()
        self._runner_open = Runner(
            self._state_dir,
            self._facts,
            environment=self._environment,
            journal_bytes_max=self._journal_bytes_max,
            changed=self._changed,
        )
        self._read_units()
        self._recover()
        journal.remove_old_journals(self._state_dir, self._hashes, older_than_s=JOURNAL_KEPT_S)

    async def close(self) -> None:
        """Let go of resources; units keep running."""
        if self._runner_open is not None:
            self._runner_open.close()
            self._runner_open = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def load(self, name: str, unit: UnitFile) -> None:
        """Write the unit's file and hold it; a running unit keeps its old text until it ends."""
        _check_name(name)
        text = unit.serialise().encode("utf-8", "surrogateescape")
        try:
            files.replace_file(self._unit_path(name), text, mode=0o644)
        except OSError as error:
            message = f"cannot write {self._unit_path(name)}: {error.strerror}"
            raise UnitManagerError(name, message) from None
        self._leaving.discard(name)
        definition = self._hold(name, unit)
        for warning in definition.warnings:
            self._runner.output.say(name, warning)
        if definition.problem:
            self._runner.output.say(name, f"{name}: {definition.problem}")

    async def unload(self, name: str) -> None:
        """Stop the unit, wait for that, then forget it and its file."""
        runner = self._runner
        self._hashes.pop(name, None)
        if name not in runner.engine.services:
            return
        self._leaving.add(name)
        try:
            runner.do(runner.engine.stop(name, runner.now()))
            await self._until_down(name)
        finally:
            if name not in self._hashes:  # else it was loaded again meanwhile
                files.remove_file(self._unit_path(name))
                self._leave(name)

    async def abandon(self) -> None:
        """Kill what is still being unloaded: nobody would see to its end."""
        self._runner.kill(sorted(self._leaving))

    async def start(self, name: str) -> None:
        """Ask for the unit, and what it needs, to be started."""
        runner = self._runner
        service = self._service(name)
        if service.definition.problem:
            raise UnitManagerError(name, f"unit {name} cannot start: {service.definition.problem}")
        runner.do(runner.engine.start(name, runner.now()))
        await asyncio.sleep(0)  # a fork takes milliseconds: let others in between two of them

    async def stop(self, name: str) -> None:
        """Ask for the unit, and what cannot be without it, to be stopped."""
        self._service(name)
        runner = self._runner
        runner.do(runner.engine.stop(name, runner.now()))

    async def reload(self, name: str) -> None:
        """Run the unit's ExecReload=."""
        self._service(name)
        runner = self._runner
        runner.do(runner.engine.reload(name, runner.now()))

    async def reload_unit_files(self) -> None:
        """Nothing to do: `load` takes effect at once."""

    async def states(self, names: Iterable[str]) -> dict[str, UnitState]:
        """The state of every name asked for."""
        return {name: self._state(name) for name in names}

    async def units(self) -> dict[str, str]:
        """Name -> hash of the unit files held."""
        return dict(self._hashes)

    def on_change(self, hint: ChangeHint) -> None:
        """Call `hint(name)` after each change of a unit's state."""
        self._hints.append(hint)

    async def journal(self, name: str, *, lines: int) -> list[LogLine]:
        """The last lines of the unit's output."""
        self._runner.output.drain(name)
        return journal.read_journal(self._state_dir, name, lines)

    async def follow(self, name: str, *, lines: int) -> AsyncIterator[LogLine]:
        """The last lines, then new ones as they come."""
        with journal.Reader(self._state_dir, name) as reader:
            for line in reader.tail(lines):
                yield line
            while True:
                new = reader.new()
                for line in new:
                    yield line
                if not new:
                    await asyncio.sleep(journal.FOLLOW_POLL_S)

    # Units

    @property
    def _runner(self) -> Runner:
        assert self._runner_open is not None, "the manager is not open"
        return self._runner_open

    def _service(self, name: str) -> Service:
        service = self._runner.engine.services.get(name)
        if service is None:
            raise UnitManagerError(name, f"unit {name} is not loaded")
        return service

    def _state(self, name: str) -> UnitState:
        service = self._runner.engine.services.get(name)
        if service is None:
            return NOT_FOUND
        held = name in self._hashes
        word = "bad-setting" if service.definition.problem else "loaded"
        return UnitState(
            word if held else "not-found", service.active, service.sub, self._hashes.get(name, "")
        )

    def _hold(self, name: str, unit: UnitFile) -> Definition:
        definition = define(name, unit, self._facts)
        self._hashes[name] = unit.hash
        self._runner.engine.load(definition)
        if unit.hash in self._reported:
            return definition
        self._reported.add(unit.hash)
        for text in definition.warnings:
            log.warning("%s", text)
        if definition.problem:
            log.warning("%s: %s", name, definition.problem)
        return definition

    async def _until_down(self, name: str) -> None:
        service = self._runner.engine.services.get(name)
        if service is None or service.active in DOWN:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(name, []).append(waiter)
        try:
            async with asyncio.timeout(STOP_WAIT_S):
                await waiter
        except TimeoutError:
            log.warning("%s: still %s after %d s", name, service.sub, STOP_WAIT_S)

    def _changed(self, name: str) -> None:
        service = self._runner.engine.services.get(name)
        if service is not None and service.active in DOWN:
            waiters = [one for one in self._waiters.pop(name, []) if not one.done()]
            for waiter in waiters:
                waiter.set_result(None)
            if name in self._leaving and not waiters:
                self._leave(name)
        for hint in self._hints:
            hint(name)

    def _leave(self, name: str) -> None:
        """Forget a unit without a file; one that is still stopping is forgotten when it is down."""
        if self._runner.engine.forget(name):
            self._leaving.discard(name)
            self._runner.forget(name)

    # Coming back

    def _take_lock(self) -> None:
        path = os.path.join(self._state_dir, "lock")
        self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            self._lock = -1
            raise ConfigError(f"{self._state_dir}: another unit manager is running there") from None

    def _read_units(self) -> None:
        for name in files.unit_names(self._units_dir):
            unit = files.read_unit(self._unit_path(name))
            if unit is None or len(name) > NAME_BYTES_MAX:
                log.warning("%s: not a unit file, ignored", self._unit_path(name))
            else:
                self._hold(name, unit)

    def _recover(self) -> None:
        runner = self._runner
        table = process.processes()
        for record in records.load_all(os.path.join(self._state_dir, "run")):
            same_boot = record.boot == self._boot
            held = record.unit in self._hashes
            if not held and same_boot and process.tree(record.mark, table):
                # Its unit file went before it could be stopped.
                runner.engine.load(define(record.unit, unitfile.UnitFile(), self._facts))
                self._leaving.add(record.unit)
                runner.adopt(record._replace(snapshot=_LEFTOVER), table)
            elif held and same_boot:
                runner.adopt(record, table)
            else:
                runner.forget(record.unit)
        runner.do(runner.engine.settle(runner.now()))

    def _unit_path(self, name: str) -> str:
        return os.path.join(self._units_dir, name)


def _check_name(name: str) -> None:
    try:
        unitfile.validate_name(name)
    except unitfile.UnitNameError as error:
        raise UnitManagerError(name, str(error)) from None
    if len(name.encode()) > NAME_BYTES_MAX:
        message = f"unit name exceeds the maximum length here ({NAME_BYTES_MAX})"
        raise UnitManagerError(name, message)
