"""Carries out what the engine decides: runs, signals and awaits processes, keeps time and records.

The engine is told every result as an event. All of it runs in one event loop, without threads.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
import signal
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.systemd.embedded import conditions, effects, launch, process, records
from coreos_py.systemd.embedded.engine import Engine
from coreos_py.systemd.embedded.notify import NotifySockets
from coreos_py.systemd.embedded.output import Collector
from coreos_py.systemd.embedded.policy import Exit
from coreos_py.systemd.embedded.process import Reaper
from coreos_py.systemd.embedded.streams import Streams
from coreos_py.systemd.embedded.values import EXIT_EXEC, EXIT_STDOUT, INFINITY
from coreos_py.systemd.embedded.watching import TreeWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from coreos_py.systemd.embedded.definition import Definition
    from coreos_py.systemd.embedded.effects import Effect
    from coreos_py.systemd.embedded.specifiers import Facts

log = logging.getLogger(__name__)

_PID_FILE_POLL_S = 0.05


class Run(NamedTuple):
    """The identity of a unit's present run."""

    mark: int
    invocation: str


class Runner:
    """The engine's hands. `changed(unit)` is called after the unit's state may have changed."""

    def __init__(
        self,
        state_dir: str,
        facts: Facts,
        *,
        environment: Mapping[str, str],
        journal_bytes_max: int,
        changed: Callable[[str], None],
    ) -> None:
        self.engine = Engine(
            lambda one: conditions.holds(one, hostname=facts.hostname, machine_id=facts.machine_id)
        )
        self.runs: dict[str, Run] = {}
        self.output = Collector(state_dir, self._source, journal_bytes_max=journal_bytes_max)
        self._facts = facts
        self._environment = environment
        self._changed = changed
        self._records = os.path.join(state_dir, "run")
        self._loop = asyncio.get_running_loop()
        self._reaper = Reaper(self._loop, self._ended)
        self._notify = NotifySockets(os.path.join(state_dir, "notify"), self._notified)
        self._trees = TreeWatch(self._loop, self._emptied, self._marks)
        self._units_of: dict[int, str] = {}
        self._starts: dict[int, int] = {}
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._idents: dict[str, str] = {}
        self._late_signals: dict[str, list[tuple[int, tuple[int, ...]]]] = {}
        self._queue: deque[Effect] = deque()
        self._busy = False
        self._unrecorded = ""
        self._reaper.reap_orphans()

    def now(self) -> float:
        return self._loop.time()

    def do(self, found: list[Effect]) -> None:
        """Carry out effects, and those that follow from them, in order."""
        self._queue.extend(found)
        if self._busy:
            return
        self._busy = True
        dirty: dict[str, None] = {}
        try:
            while self._queue:
                effect = self._queue.popleft()
                if isinstance(effect, effects.Changed):
                    dirty[effect.unit] = None
                else:
                    self._carry_out(effect)
        finally:
            self._busy = False
            for unit in dirty:
                self._save(unit)
                self._changed(unit)

    def close(self) -> None:
        """Let go of everything; what runs goes on running."""
        for handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
        self._trees.close()
        self._reaper.close()
        self._notify.detach()
        self.output.close()

    def kill(self, units: Iterable[str]) -> None:
        """Kill the processes of units at once."""
        table = process.processes()
        for unit in units:
            if unit in self.runs:
                for one in process.tree(self.runs[unit].mark, table):
                    log.warning("%s: killing process %d", unit, one.pid)
                    _send(one.pid, signal.SIGKILL)

    def adopt(self, record: records.Record, table: list[process.Process]) -> None:
        """Take over a run that an earlier manager has written down."""
        unit, old = record.unit, record.snapshot
        tree = process.tree(record.mark, table)
        found = next((one for one in table if one.pid == old.main_pid), None)
        alive = process.is_alive(found) and found is not None and found.start == record.main_start
        self.runs[unit] = Run(record.mark, record.invocation)
        if alive:
            self._track(unit, old.main_pid)
        if tree or self.output.has_pipe(unit):
            self.output.open(unit)
        if tree:
            self._open_notify(unit, self.engine.services[unit].definition)
        self.engine.adopt(unit, old, main_alive=alive, tree_alive=bool(tree))

    def forget(self, unit: str) -> None:
        """Drop what is kept of a unit that is down."""
        self.output.forget(unit)
        self._notify.close(unit)
        self.runs.pop(unit, None)
        self._idents.pop(unit, None)
        records.remove(self._records, unit)

    # Effects

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case effects.Begin(unit):
                self._begin(unit)
            case effects.Spawn():
                self._spawn(effect)
            case effects.Signal():
                self._signal(effect)
            case effects.Timer(unit, name, delay_s):
                self._set_timer(unit, name, delay_s)
            case effects.Watch(unit, on):
                self._trees.watch(unit, on=on)
            case effects.FindMain(unit, pid_file, guess):
                self._find_main(unit, pid_file, guess)
            case effects.Say(unit, text, warning):
                self.output.say(unit, text)
                log.log(logging.WARNING if warning else logging.DEBUG, "%s", text)
            case effects.End(unit):
                self._late_signals.pop(unit, None)
                self.output.drain(unit)
                self._notify.close(unit)

    def _begin(self, unit: str) -> None:
        self.runs[unit] = Run(process.new_mark(), secrets.token_hex(16))
        self._unrecorded = "" if self._save(unit) else unit

    def _spawn(self, effect: effects.Spawn) -> None:
        unit, run = effect.unit, self.runs[effect.unit]
        execution = effect.definition.execution
        own = {"INVOCATION_ID": run.invocation}
        try:
            if self._unrecorded == unit:
                # Should we be killed now, the next manager would start it a second time.
                raise launch.LaunchError(EXIT_EXEC, "not started: its record cannot be written")
            address = self._open_notify(unit, effect.definition)
            if address:
                own["NOTIFY_SOCKET"] = address
            if effect.definition.watchdog_s != INFINITY:
                own["WATCHDOG_USEC"] = str(int(effect.definition.watchdog_s * 1e6))
            with Streams(execution, self.output.writing_end(unit)) as streams:
                prepared = launch.prepare(
                    effect.command,
                    execution,
                    inherited=self._environment,
                    own=own | effect.extra,
                    stdout=streams.stdout,
                    stderr=streams.stderr,
                )
                name = execution.identifier or os.path.basename(prepared.path)
                self._idents[unit] = name
                pid = process.spawn(prepared, run.mark)
        except launch.LaunchError as error:
            self._spawn_failed(effect, error.status, str(error))
        except OSError as error:
            where = error.filename or effect.command.path
            status = EXIT_STDOUT if where in _outputs(effect.definition) else EXIT_EXEC
            self._spawn_failed(effect, status, f"cannot execute {where}: {error.strerror}")
        else:
            self._track(unit, pid)
            self.do(self.engine.spawned(unit, effect.role, pid, self.now()))

    def _spawn_failed(self, effect: effects.Spawn, status: int, reason: str) -> None:
        end = Exit("exited", status)
        self.do(
            self.engine.spawn_failed(effect.unit, effect.role, end, reason=reason, now=self.now())
        )

    def _signal(self, effect: effects.Signal) -> None:
        """Signal the known processes now; the rest of a tree at the watch's next look.

        That look is shared by all units, so that stopping many does not mean many looks.
        """
        for pid in effect.pids:
            _send(pid, effect.number)
        if effect.tree:
            self._late_signals.setdefault(effect.unit, []).append((effect.number, effect.pids))

    def _signal_rest(self, unit: str, tree: list[process.Process]) -> None:
        for number, told in self._late_signals.pop(unit, []):
            for one in tree:
                if one.pid not in told:
                    _send(one.pid, number)

    def _set_timer(self, unit: str, name: str, delay_s: float | None) -> None:
        old = self._timers.pop((unit, name), None)
        if old is not None:
            old.cancel()
        if delay_s is not None:
            self._timers[unit, name] = self._loop.call_later(delay_s, self._run_out, unit, name)

    def _run_out(self, unit: str, name: str) -> None:
        self._timers.pop((unit, name), None)
        self.do(self.engine.timer(unit, name, self.now()))

    # Main processes of forking services

    def _find_main(self, unit: str, pid_file: str, guess: bool) -> None:
        service = self.engine.services.get(unit)
        if service is None or service.sub != "start":
            return
        tree = process.tree(self.runs[unit].mark, process.processes())
        pid = 0
        if pid_file:
            pid = _read_pid(pid_file)
            if not any(one.pid == pid for one in tree):
                again = (unit, pid_file, guess)
                self._loop.call_later(_PID_FILE_POLL_S, self._find_main, *again)
                return
        elif guess:
            orphans = [one.pid for one in tree if one.parent in (1, os.getpid())]
            pid = orphans[0] if len(orphans) == 1 else 0
        if pid:
            self._track(unit, pid)
        self.do(self.engine.main_found(unit, pid, self.now()))

    # Events

    def _track(self, unit: str, pid: int) -> None:
        self._units_of[pid] = unit
        found = process.look_up(pid)
        self._starts[pid] = found.start if found is not None else 0
        self._reaper.watch(pid)

    def _ended(self, pid: int, end: Exit) -> None:
        unit = self._units_of.pop(pid, "")
        self._starts.pop(pid, None)
        if unit:
            self.output.drain(unit)
            self._trees.hurry(unit)
            self.do(self.engine.exited(unit, pid, end, self.now()))

    def _emptied(self, unit: str, table: list[process.Process]) -> None:
        """Called by the tree watch with each look; tells the engine, or kills what came late."""
        service = self.engine.services.get(unit)
        left = process.tree(self._marks()[unit], table)
        self._signal_rest(unit, left)
        if service is not None and left and service.sub.endswith("sigkill"):
            for one in left:
                process.send(one.pid, signal.SIGKILL)
        if not left:
            self._trees.watch(unit, on=False)
            self.do(self.engine.tree_empty(unit, self.now()))

    def _notified(self, unit: str, pid: int, fields: dict[str, str]) -> None:
        service = self.engine.services.get(unit)
        if service is None or unit not in self.runs:
            return
        access = service.run.notify_access
        allowed = {"main": (service.main_pid,), "exec": (service.main_pid, service.control_pid)}
        if access != "all" and pid not in allowed.get(access, ()):
            log.debug("%s: notification of pid %d ignored, NotifyAccess=%s", unit, pid, access)
            return
        main_pid = 0
        text = fields.get("MAINPID", "")
        if text.isdigit() and int(text) in self._tree_pids(unit):
            main_pid = int(text)
            self._track(unit, main_pid)
        self.do(self.engine.notify(unit, fields, main_pid=main_pid, now=self.now()))

    # Small things

    def _open_notify(self, unit: str, definition: Definition) -> str:
        if definition.notify_access == "none":
            return ""
        key = hashlib.sha256(f"{self._facts.units_dir}/{unit}".encode()).hexdigest()[:16]
        # Another user cannot enter our directory, but can reach an abstract address.
        return self._notify.open(unit, key, abstract=bool(definition.execution.user))

    def _tree_pids(self, unit: str) -> set[int]:
        return {one.pid for one in process.tree(self.runs[unit].mark, process.processes())}

    def _marks(self) -> dict[str, int]:
        return {unit: run.mark for unit, run in self.runs.items()}

    def _source(self, unit: str) -> tuple[str, int]:
        service = self.engine.services.get(unit)
        pid = 0 if service is None else service.control_pid or service.main_pid
        return self._idents.get(unit, unit.rpartition(".")[0]), pid

    def _save(self, unit: str) -> bool:
        service, run = self.engine.services.get(unit), self.runs.get(unit)
        if service is None or run is None:
            return True
        start = self._starts.get(service.main_pid, 0)
        snapshot = service.snapshot()
        record = records.Record(
            unit, self._facts.boot_id, run.mark, run.invocation, start, snapshot
        )
        try:
            records.save(self._records, record)
        except OSError as error:
            log.warning("%s: cannot write its record: %s", unit, error)
            return False
        return True


def _send(pid: int, number: int) -> None:
    if pid in (0, 1, os.getpid()):
        return
    process.send(pid, number)
    if number != signal.SIGKILL:
        process.send(pid, signal.SIGCONT)


def _read_pid(path: str) -> int:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read(32).strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0


def _outputs(definition: Definition) -> tuple[str, ...]:
    return (definition.execution.stdout.path, definition.execution.stderr.path)
