"""The agent: makes this machine hold what the registry says it should.

Each pass compares the registry with the unit files of the manager and carries out the tasks of
fleet.reconcile. Unlike fleet 1.0.0, whose first failing task ends the pass, every unit goes its own
way: one that fails is tried again later and later, and nobody waits for it. After a restart of
fleetd running units are taken over as they are. Mirrors agent/{agent,reconcile}.go.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.base.errors import CoreosError
from coreos_py.fleet import reconcile
from coreos_py.fleet.heartbeat import AGENT_PASS_S
from coreos_py.fleet.job import INACTIVE, LAUNCHED, LOADED
from coreos_py.fleet.reconcile import LOAD, RELOAD, START, STOP, UNLOAD, Actual, Task
from coreos_py.fleet.recorder import unheard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
    from typing import TypeVar

    from coreos_py.fleet.heartbeat import Timings
    from coreos_py.fleet.job import Unit
    from coreos_py.fleet.publisher import Publisher
    from coreos_py.fleet.recorder import Note
    from coreos_py.fleet.registry import Registry
    from coreos_py.fleet.wakeup import Wakeup
    from coreos_py.systemd.manager import UnitManager

    T = TypeVar("T")

log = logging.getLogger(__name__)

_PARALLEL_TASKS = 32
_UNLOAD_PATIENCE_S = 0.5
_RUNNING = ("active", "reloading", "activating", "deactivating")
_RETRY_FIRST_S = 5.0
_RETRY_MAX_S = 60.0


class Fault(NamedTuple):
    """A unit whose task failed: what was wanted, when to try again, and the wait after that."""

    wanted: tuple[str, str]
    retry_at_s: float
    wait_s: float


class Agent:
    """The units of one machine."""

    def __init__(
        self,
        registry: Registry,
        manager: UnitManager,
        machine_id: str,
        *,
        timings: Timings,
        publisher: Publisher,
        wakeup: Wakeup,
        note: Note = unheard,
    ) -> None:
        self._note = note
        self._registry = registry
        self._manager = manager
        self._machine_id = machine_id
        self._timings = timings
        self._publisher = publisher
        self._wakeup = wakeup
        self._table: dict[str, str] = {}
        self._faults: dict[str, Fault] = {}
        self._refused: dict[str, str] = {}
        self._known: Collection[str] = ()
        self._adopted = False
        self._unloading: dict[str, asyncio.Task[bool]] = {}

    @property
    def table(self) -> Mapping[str, str]:
        """How far each unit was taken: loaded or launched."""
        return self._table

    async def run(self) -> None:
        """Reconcile for ever: at once, every few seconds, and when woken."""
        woken = False
        while True:
            started = time.monotonic()
            try:
                await self.reconcile(from_events=woken)
            except CoreosError as err:
                log.error("Unable to determine agent's desired state: %s", err)
            spent = time.monotonic() - started
            if spent > AGENT_PASS_S:
                log.warning("AgentReconciler completed reconciliation in %.3fs", spent)
            woken = await self._wakeup.wait(AGENT_PASS_S, busy_s=spent)

    async def beat(self) -> None:
        """Renew the heartbeat of every launched unit, for ever."""
        while True:
            await asyncio.sleep(self._timings.publish_s)
            launched = [name for name, state in self._table.items() if state == LAUNCHED]
            await _each(launched, self._heartbeat)

    async def reconcile(self, *, from_events: bool = False) -> None:
        """Make one pass. Raises CoreosError, and does nothing, when the registry cannot be read."""
        machine = await self._registry.machine(self._machine_id)
        if machine is None:
            log.error("Failed fetching machine state from Registry: not registered")
            return
        known = await self._registry.units(from_events=from_events)
        units = {unit.name: unit for unit in known}
        self._known = units.keys()
        held = await self._manager.units()
        if not self._adopted:
            await self._adopt(held, units)
        desired = reconcile.desired_units(units.values(), machine)
        self._refuse(desired, reconcile.without_room(desired, machine, held))
        tasks = reconcile.tasks(desired, self._actual(held))
        if not from_events:
            await _each(self._unheard(desired.values()), self._heartbeat)
        # What cannot be read may be wanted: it stays as it is.
        unreadable = self._registry.unreadable
        tasks = [task for task in tasks if task.unit not in unreadable]
        await self._carry_out(self._due(tasks, desired), desired)

    def _unheard(self, units: Iterable[Unit]) -> list[str]:
        """Return the launched units whose heartbeat has gone before its time."""
        return [
            unit.name
            for unit in units
            if self._table.get(unit.name) == unit.target_state == LAUNCHED
            and unit.heartbeat != self._machine_id
            and not (unit.is_global and unit.heartbeat)
        ]

    async def purge(self, *, within_s: float | None = None) -> list[str]:
        """Unload everything, for a graceful stop; return what takes longer to stop."""
        held = await self._manager.units()
        await self._carry_out(reconcile.purge_tasks(held.keys() - self._unloading.keys()), {})
        if self._unloading:
            await asyncio.wait(self._unloading.values(), timeout=within_s)
        return sorted(self._unloading)

    async def hand_back(self) -> None:
        """Give up the placements of a machine that has left, so that nobody has to wait for it to
        be missed."""
        units = await self._registry.units()
        mine = [unit.name for unit in units if unit.machine_id == self._machine_id]
        await _each(mine, self._unschedule)

    async def _unschedule(self, name: str) -> None:
        try:
            await self._registry.unschedule(name, self._machine_id)
        except CoreosError as err:
            log.warning("Unit(%s) stays scheduled here: %s", name, err)

    def _refuse(self, desired: dict[str, Unit], reasons: Mapping[str, str]) -> None:
        """Leave out what the machine has no room for; say so once."""
        for name, why in reasons.items():
            del desired[name]
            if self._refused.get(name) != why:
                log.warning("Unable to run local unit %s: %s", name, why)
                self._note("refused", unit=name, machine=self._machine_id, text=why)
        self._refused = dict(reasons)

    # -- what is here

    def _actual(self, held: Mapping[str, str]) -> dict[str, Actual]:
        return {
            name: Actual(self._table.get(name, INACTIVE), unit_hash)
            for name, unit_hash in held.items()
        }

    async def _adopt(self, held: Mapping[str, str], units: Mapping[str, Unit]) -> None:
        """Take over what an earlier fleetd left: what runs was launched, a failed unit as well if
        its heartbeat is still there; anything else is loaded again."""
        states = await self._manager.states(held)
        for name in held:
            unit = units.get(name)
            state = states[name]
            beating = unit is not None and unit.heartbeat == self._machine_id
            if state.active in _RUNNING or (beating and state.active == "failed"):
                self._table[name] = LAUNCHED
                self._publisher.subscribe(name, is_news=False)
                await self._heartbeat(name)
                log.info("Adopted running unit(%s)", name)
        self._adopted = True

    # -- tasks

    def _due(self, tasks: Iterable[Task], desired: Mapping[str, Unit]) -> list[Task]:
        """Leave out units still being unloaded, and those that failed lately unless something else
        is wanted of them now."""
        now = time.monotonic()
        due = []
        for task in tasks:
            fault = self._faults.get(task.unit)
            if fault is not None and fault.wanted != _wanted(desired.get(task.unit)):
                del self._faults[task.unit]
                fault = None
            if task.unit not in self._unloading and (fault is None or now >= fault.retry_at_s):
                due.append(task)
        return [] if all(task.type == RELOAD for task in due) else due

    async def _carry_out(self, tasks: Iterable[Task], desired: Mapping[str, Unit]) -> None:
        """Run the tasks phase by phase; within a phase side by side."""
        tasks = list(tasks)
        failed: set[str] = set()

        async def one(task: Task) -> None:
            if not await self._attempt(task, desired):
                failed.add(task.unit)

        await self._start_unloading([t for t in tasks if t.type == UNLOAD], desired)
        for phase in reconcile.PHASES[1:]:
            blocked = failed | self._unloading.keys()
            await _each([t for t in tasks if t.type == phase and t.unit not in blocked], one)
            if phase == RELOAD and "" in failed:
                # What was loaded is not in force: load it again.
                for task in tasks:
                    if task.type == LOAD:
                        self._table.pop(task.unit, None)
                        failed.add(task.unit)
        for task in tasks:
            # Only now: nobody needs to hear of the moment between loading and starting.
            if task.type == LOAD and task.unit in self._table:
                self._publisher.subscribe(task.unit)
        for name in {task.unit for task in tasks} - failed - self._unloading.keys():
            self._faults.pop(name, None)

    async def _start_unloading(self, tasks: list[Task], desired: Mapping[str, Unit]) -> None:
        """Unload side by side; a unit that takes its time to stop does not hold up the others."""
        for task in tasks:
            lane = asyncio.create_task(self._attempt(task, desired))
            self._unloading[task.unit] = lane
            lane.add_done_callback(partial(self._unloaded, task.unit))
        if tasks:
            await asyncio.wait([self._unloading[t.unit] for t in tasks], timeout=_UNLOAD_PATIENCE_S)
            await asyncio.sleep(0)  # let the lanes that ended take themselves off the list

    def _unloaded(self, name: str, _lane: asyncio.Task[bool]) -> None:
        del self._unloading[name]
        self._wakeup.set()

    async def _attempt(self, task: Task, desired: Mapping[str, Unit]) -> bool:
        name = task.unit or "N/A"
        try:
            await self._do(task, desired)
        except CoreosError as err:
            text = 'AgentReconciler task failed: type=%s job=%s reason="%s" err=%s'
            log.warning(text, task.type, name, task.reason, err)
            self._note("problem", unit=task.unit, machine=self._machine_id, text=str(err))
            self._fault(task.unit, desired)
            return False
        text = 'AgentReconciler completed task: type=%s job=%s reason="%s"'
        log.info(text, task.type, name, task.reason)
        return True

    def _fault(self, name: str, desired: Mapping[str, Unit]) -> None:
        before = self._faults.get(name)
        wait_s = _RETRY_FIRST_S if before is None else min(before.wait_s * 2, _RETRY_MAX_S)
        wanted = _wanted(desired.get(name))
        self._faults[name] = Fault(wanted, time.monotonic() + wait_s, wait_s)

    async def _do(self, task: Task, desired: Mapping[str, Unit]) -> None:
        if task.type == UNLOAD:
            await self._unload(task.unit)
        elif task.type == LOAD:
            await self._manager.load(task.unit, desired[task.unit].file)
            self._table[task.unit] = LOADED
        elif task.type == RELOAD:
            await self._manager.reload_unit_files()
        elif task.type == STOP:
            self._table[task.unit] = LOADED
            await self._manager.stop(task.unit)
            await self._clear_heartbeat(task.unit)
        elif task.type == START:
            await self._manager.start(task.unit)
            self._table[task.unit] = LAUNCHED
            await self._heartbeat(task.unit)
        self._publisher.hint(task.unit)

    async def _unload(self, name: str) -> None:
        launched = self._table.pop(name, INACTIVE) == LAUNCHED
        try:
            await self._manager.unload(name)
        finally:
            self._publisher.unsubscribe(name)
            if launched and name in self._known:  # else its heartbeat has gone with it
                await self._clear_heartbeat(name)
        log.info("Stopped unit(%s)", name)

    async def _clear_heartbeat(self, name: str) -> None:
        try:
            await self._registry.clear_heartbeat(name, self._machine_id)
        except CoreosError as err:
            log.warning("heartbeat of %s stays until it expires: %s", name, err)

    async def _heartbeat(self, name: str) -> None:
        try:
            ttl_s = self._timings.state_ttl_s
            await self._registry.heartbeat(name, self._machine_id, ttl_s=ttl_s)
        except CoreosError as err:
            log.warning("heartbeat of %s was not written: %s", name, err)


def _wanted(unit: Unit | None) -> tuple[str, str]:
    return ("", "") if unit is None else (unit.target_state, unit.file.hash)


async def _each(items: Sequence[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Work on all items, a bounded number at a time."""
    limit = asyncio.Semaphore(_PARALLEL_TASKS)

    async def one(item: T) -> None:
        async with limit:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for item in items:
            group.create_task(one(item))
