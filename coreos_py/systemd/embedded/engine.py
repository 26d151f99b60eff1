"""Many services and the order between them: jobs, dependencies, what follows from an exit. Pure.

A request becomes jobs, one per unit; a job waits for the units it is ordered after (After=,
Before=) and is done when its unit is up, down or failed. Names nobody loaded are treated as absent:
they are neither pulled in nor waited for. Rules from systemd.unit(5); one is ours: a unit that was
stopped, or not started, because a unit it depends on went away by itself comes up with that one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.systemd.embedded.effects import Changed, Effect, Say
from coreos_py.systemd.embedded.graph import Graph
from coreos_py.systemd.embedded.policy import Exit
from coreos_py.systemd.embedded.service import Service
from coreos_py.systemd.embedded.states import ACTIVE_OF, DOWN, UP, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from coreos_py.systemd.embedded.definition import Condition, Definition

    Holds = Callable[[Condition], bool]


class Job:
    """A unit's pending start or stop; `issued` once the service was told."""

    __slots__ = ("issued", "kind")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.issued = False


class Engine:
    """All units of one manager. Every method that takes an event returns the effects, in order."""

    def __init__(self, holds: Holds) -> None:
        self.services: dict[str, Service] = {}
        self.jobs: dict[str, Job] = {}
        self.graph = Graph()
        self._holds = holds
        self._revive: dict[str, str] = {}
        self._effects: list[Effect] = []
        self._seen: dict[str, tuple[object, ...]] = {}
        self._touched: dict[str, None] = {}

    # What is held

    def load(self, definition: Definition) -> None:
        """Hold a unit, or give a held one a new definition for its next start."""
        name = definition.name
        self.graph.add(name, definition.dependencies)
        service = self.services.get(name)
        if service is None:
            self.services[name] = Service(definition, self._effects)
            self._seen[name] = _face(self.services[name])
            return
        service.definition = definition
        if service.active in DOWN:
            service.run = definition

    def forget(self, name: str) -> bool:
        """Drop a unit that is down; False while it is not."""
        service = self.services.get(name)
        if service is None:
            return True
        if service.active not in DOWN or name in self.jobs:
            return False
        self.graph.remove(name)
        del self.services[name]
        for table in (self._seen, self._revive, self._touched):
            table.pop(name, None)
        return True

    # Requests

    def start(self, name: str, now: float) -> list[Effect]:
        """Start a unit and what it needs."""
        self._revive.pop(name, None)
        self._queue_start(name)
        return self.settle(now)

    def stop(self, name: str, now: float) -> list[Effect]:
        """Stop a unit and what cannot be without it."""
        for unit in self.graph.stopped_with(name):
            self._revive.pop(unit, None)
            self._queue_stop(unit)
        return self.settle(now)

    def reload(self, name: str, now: float) -> list[Effect]:
        """Run a unit's ExecReload."""
        self._touch(name).reload()
        return self.settle(now)

    def reset(self, name: str, now: float) -> list[Effect]:
        """Forget a unit's failure."""
        self._touch(name).reset()
        return self.settle(now)

    def adopt(self, name: str, old: Snapshot, *, main_alive: bool, tree_alive: bool) -> None:
        """Take over a unit from an earlier manager; call `settle` after the last one."""
        service = self._touch(name)
        self._seen[name] = (ACTIVE_OF[old.sub],)
        if service.adopt(old, main_alive=main_alive, tree_alive=tree_alive):
            self.jobs[name] = Job("start")

    # Events

    def spawned(self, name: str, role: str, pid: int, now: float) -> list[Effect]:
        self._touch(name).spawned(role, pid)
        return self.settle(now)

    def spawn_failed(
        self, name: str, role: str, end: Exit, *, reason: str, now: float
    ) -> list[Effect]:
        self._touch(name).spawn_failed(role, end, reason)
        return self.settle(now)

    def exited(self, name: str, pid: int, end: Exit, now: float) -> list[Effect]:
        if name in self.services:
            self._touch(name).exited(pid, end)
        return self.settle(now)

    def main_found(self, name: str, pid: int, now: float) -> list[Effect]:
        if name in self.services:
            self._touch(name).main_found(pid)
        return self.settle(now)

    def tree_empty(self, name: str, now: float) -> list[Effect]:
        if name in self.services:
            self._touch(name).tree_empty()
        return self.settle(now)

    def notify(
        self, name: str, fields: dict[str, str], *, main_pid: int, now: float
    ) -> list[Effect]:
        if name in self.services:
            self._touch(name).notify(fields, main_pid=main_pid)
        return self.settle(now)

    def timer(self, name: str, which: str, now: float) -> list[Effect]:
        """A timer asked for with effects.Timer has run out."""
        if name not in self.services:
            return []
        service = self._touch(name)
        if which == "watchdog":
            service.watchdog()
        elif service.sub == "auto-restart":
            self._restart(name)
        else:
            service.timeout()
        return self.settle(now)

    # Jobs

    def _queue_start(self, name: str) -> None:
        plan = self.graph.started_with(name)
        for unit in plan.conflicting:
            if self._is_wanted(unit):
                self._queue_stop(unit)
        for unit in plan.units:
            service = self.services[unit]
            job = self.jobs.get(unit)
            if service.active in UP and (job is None or job.kind == "start"):
                continue
            if job is None or job.kind == "stop":
                self.jobs[unit] = Job("start")

    def _queue_stop(self, unit: str) -> None:
        service = self.services[unit]
        if service.active in DOWN:
            self.jobs.pop(unit, None)
            return
        job = self.jobs.get(unit)
        if job is None or job.kind == "start":
            self.jobs[unit] = Job("stop")

    def _restart(self, name: str) -> None:
        self._say(
            name,
            f"{name}: Scheduled restart job, restart counter is at {self.services[name].restarts}.",
        )
        for unit in self.graph.stopped_with(name)[1:]:
            if self._is_wanted(unit):
                self._revive[unit] = name
                self._queue_stop(unit)
        self._queue_start(name)

    def _is_wanted(self, unit: str) -> bool:
        job = self.jobs.get(unit)
        if job is not None:
            return job.kind == "start"
        return self.services[unit].active in (*UP, "activating")

    def settle(self, now: float) -> list[Effect]:
        """Carry out jobs and consequences until nothing more follows from what is known."""
        going = True
        while going:
            touched = self._touched
            self._touched = {}
            going = self._notice_changes(touched)
            for name in list(self.jobs):
                job = self.jobs.get(name)
                if job is None or (job.issued and name not in touched):
                    continue
                if self._advance(name, now):
                    going = True
            going = going or self._break_cycle(now)
        effects = self._effects[:]
        self._effects.clear()
        return effects

    def _touch(self, name: str) -> Service:
        self._touched[name] = None
        return self.services[name]

    def _notice_changes(self, touched: Iterable[str]) -> bool:
        noticed = False
        for name in touched:
            service = self.services[name]
            face = _face(service)
            before = self._seen[name]
            if face == before:
                continue
            noticed = True
            self._seen[name] = face
            self._effects.append(Changed(name))
            self._follow(name, before[0], service.active)
        return noticed

    def _break_cycle(self, now: float) -> bool:
        """Issue one job when all that are left wait for each other."""
        if not self.jobs or any(
            job.issued or self._is_busy(self.services[name]) for name, job in self.jobs.items()
        ):
            return False
        name = next(iter(self.jobs))
        self._say(name, f"{name}: ordering cycle with {', '.join(self.jobs)} broken here")
        self._issue(name, self.jobs[name], now)
        return True

    @staticmethod
    def _is_busy(service: Service) -> bool:
        return service.spawning or service.active == "deactivating"

    def _follow(self, name: str, before: object, after: str) -> None:
        """What a change of one unit's active state means for others."""
        job = self.jobs.get(name)
        stops = after in (*DOWN, "deactivating")
        if stops and before in (*UP, "activating") and (job is None or job.kind == "start"):
            for unit in self.graph.bound_to(name):
                if self._is_wanted(unit) and not self._waits_for_start(unit):
                    self._revive[unit] = name
                    self._queue_stop(unit)
        if after in UP and before not in UP:
            for unit in [unit for unit, to in self._revive.items() if to == name]:
                del self._revive[unit]
                self._queue_start(unit)

    def _waits_for_start(self, unit: str) -> bool:
        job = self.jobs.get(unit)
        return job is not None and job.kind == "start" and not job.issued

    def _advance(self, name: str, now: float) -> bool:
        """Issue or finish one job; whether something happened."""
        job, service = self.jobs[name], self.services[name]
        if job.issued:
            return self._finish_job(name, job, service)
        if service.spawning or self._blocked(name, job):
            return False
        if job.kind == "start" and service.active == "deactivating":
            return False
        self._issue(name, job, now)
        return True

    def _issue(self, name: str, job: Job, now: float) -> None:
        service = self._touch(name)
        job.issued = True
        if job.kind == "stop":
            service.stop()
            return
        unit, why = self._failed_need(name)
        if unit:
            del self.jobs[name]
            self._revive[name] = unit
            self._say(name, f"Dependency failed for {service.definition.title}: {why}")
        elif service.active in DOWN or service.sub == "auto-restart":
            self._issue_start(name, service, now)

    def _issue_start(self, name: str, service: Service, now: float) -> None:
        definition = service.definition
        if definition.problem:
            service.refuse(definition.problem)
            return
        failed = _failed_condition(definition.conditions, self._holds)
        if failed is None:
            service.start(now)
            return
        del self.jobs[name]
        word = "Assertion" if failed.is_assert else "Condition"
        test = f"{word}{failed.kind}={'!' if failed.negate else ''}{failed.argument}"
        if failed.is_assert:
            service.refuse(f"{test} failed")
        else:
            self._say(name, f"{name}: skipped because of an unmet condition check ({test})")

    def _finish_job(self, name: str, job: Job, service: Service) -> bool:
        if job.kind == "stop":
            done = service.active in DOWN
        else:
            done = service.active in (*UP, *DOWN) or service.sub == "auto-restart"
        if done:
            del self.jobs[name]
        return done

    def _blocked(self, name: str, job: Job) -> bool:
        if job.kind == "start":
            return any(unit in self.jobs for unit in self.graph.after(name)) or any(
                self.jobs[unit].kind == "stop"
                for unit in self.graph.conflicts(name)
                if unit in self.jobs
            )
        return any(
            self.jobs[unit].kind == "stop" for unit in self.graph.before(name) if unit in self.jobs
        )

    def _failed_need(self, name: str) -> tuple[str, str]:
        """The needed unit that is not up though it should be by now, and how it is."""
        needs = self.graph.needs(name)
        for unit in needs.present_now:
            if self.services[unit].active not in UP:
                return unit, f"{unit} is not active"
        for unit in needs.present_first:
            service = self.services[unit]
            if service.active not in UP and not _finished_well(service):
                return unit, f"{unit} is {service.active}"
        return "", ""

    def _say(self, name: str, text: str) -> None:
        self._effects.append(Say(name, text))


def _face(service: Service) -> tuple[object, ...]:
    """What others can see of a service; a difference is worth a Changed."""
    return (
        ACTIVE_OF[service.sub],
        service.sub,
        service.result,
        service.main_pid,
        service.control_pid,
        service.step,
        service.asked_to_stop,
        service.restarts,
    )


def _finished_well(service: Service) -> bool:
    oneshot = service.run.type == "oneshot"
    return oneshot and service.sub == "dead" and bool(service.starts)


def _failed_condition(conditions: tuple[Condition, ...], holds: Holds) -> Condition | None:
    """The condition that keeps a unit from starting; of "|" conditions one must hold."""
    triggers = [one for one in conditions if one.trigger]
    for one in conditions:
        if not one.trigger and holds(one) == one.negate:
            return one
    if triggers and all(holds(one) == one.negate for one in triggers):
        return triggers[-1]
    return None
