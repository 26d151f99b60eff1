"""The engine: one of them leads, and the leader carries out the scheduler's plan.

Every pass works from a fresh reading of the registry; events only make it happen sooner. Mirrors
engine/engine.go of fleet 1.0.0, whose leases and log lines it shares.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from coreos_py.base.errors import CoreosError
from coreos_py.fleet import metrics as counters
from coreos_py.fleet import scheduler
from coreos_py.fleet.model import ENGINE_VERSION, Lease
from coreos_py.fleet.recorder import unheard
from coreos_py.fleet.scheduler import SCHEDULE, Decision

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from coreos_py.fleet.heartbeat import Contact, Timings
    from coreos_py.fleet.job import Machine, Unit
    from coreos_py.fleet.metrics import Metrics
    from coreos_py.fleet.recorder import Note
    from coreos_py.fleet.registry import Registry
    from coreos_py.fleet.registry_machines import HeldLease
    from coreos_py.fleet.wakeup import Wakeup

log = logging.getLogger(__name__)

_PARALLEL_TASKS = 16
# A lease younger than this part of the interval is not renewed again by an early pass.
_FRESH = 0.5
_SWEEP_S = 60.0


class Engine:
    """One machine's candidate for the lead."""

    def __init__(
        self,
        registry: Registry,
        machine_id: str,
        *,
        timings: Timings,
        contact: Contact,
        metrics: Metrics,
        wakeup: Wakeup,
        vacancy: Wakeup | None = None,
        note: Note = unheard,
    ) -> None:
        """`wakeup` tells of units and machines, `vacancy` of a lead that is free."""
        self._note = note
        self._registry = registry
        self._own = Lease(machine_id, ENGINE_VERSION)
        self._timings = timings
        self._contact = contact
        self._metrics = metrics
        self._wakeup = wakeup
        self._vacancy = vacancy or wakeup
        self._held: HeldLease | None = None
        self._known: set[str] | None = None  # machines, and units without one, when last seen
        self._waiting: set[str] = set()
        self._renewed_s = 0.0
        self._listed: set[str] = set()
        self._swept_s = 0.0

    @property
    def is_leader(self) -> bool:
        """Tell whether this engine holds the lease, as far as it knows."""
        return self._held is not None and self._held.lease.machine_id == self._own.machine_id

    async def run(self) -> None:
        """Reconcile for ever: at once, every interval, and when woken."""
        woken = False
        while True:
            started = time.monotonic()
            try:
                async with asyncio.timeout(self._timings.lease_ttl_s):
                    await self.reconcile(from_events=woken)
            except TimeoutError:
                log.warning("Engine reconciliation aborted after %gs", self._timings.lease_ttl_s)
            except CoreosError as err:
                log.error("Engine reconciliation failed: %s", err)
            spent = time.monotonic() - started
            if spent > self._timings.engine_interval_s:
                log.warning("Engine completed reconciliation in %.3fs", spent)
            # What happens to units is the leader's business, the end of its lease the others'.
            wakeup = self._wakeup if self.is_leader else self._vacancy
            woken = await wakeup.wait(self._timings.engine_pass_s, busy_s=spent)

    async def reconcile(self, *, from_events: bool = False) -> None:
        """Make one pass: version, lease, and, when leading, the plan."""
        if not await self._version_fits():
            return
        await self._lead_or_follow()
        if not self.is_leader:
            return
        (units, orphans), machines = await asyncio.gather(
            self._registry.units_and_orphans(from_events=from_events), self._registry.machines()
        )
        await self._bury(orphans)
        if self._own.machine_id not in {machine.id for machine in machines}:
            self._contact.doubt(time.monotonic())  # the clock of etcd's leader may have jumped
        trusted = self._contact.absent_means_gone(time.monotonic())
        plan = scheduler.plan(units, machines, absent_means_gone=trusted)
        for name, reason in plan.unplaced.items():
            log.debug("Unable to schedule Job(%s): %s", name, reason)
            self._metrics.trouble(counters.SCHEDULE)
        self._observe(units, machines, plan.unplaced, trusted=trusted)
        await self._carry_out(plan.decisions)
        if trusted:
            await self._sweep({machine.id for machine in machines})
        self._metrics.reconciled()

    async def _sweep(self, listed: set[str]) -> None:
        """Remove what machines that are gone have left: what they said last of their units."""
        now = time.monotonic()
        if listed >= self._listed and now < self._swept_s + _SWEEP_S:
            self._listed = listed
            return
        for name, machine_id in await self._registry.states():
            if machine_id not in listed:
                await self._registry.forget_state(name, machine_id)
        self._listed, self._swept_s = listed, now

    def _observe(
        self,
        units: Iterable[Unit],
        machines: Sequence[Machine],
        unplaced: Mapping[str, str],
        *,
        trusted: bool,
    ) -> None:
        """Record which machines came and went, and which units wait, since this engine leads."""
        known, waited = self._known, self._waiting
        there = {machine.id for machine in machines}
        self._known, self._waiting = there, set(unplaced)
        if known is None:
            return
        if not trusted:
            there |= known  # etcd was away: who is missing may only be late
        for machine_id in sorted(there - known):
            self._note("joined", machine=machine_id)
        for machine_id in sorted(known - there):
            self._note("lost", machine=machine_id)
        fresh = sorted(self._waiting - waited)
        reasons = scheduler.reasons(units, machines) if fresh else {}
        for name in fresh:
            self._note("waiting", unit=name, text=reasons.get(name, unplaced[name]))

    async def _bury(self, orphans: Mapping[str, str]) -> None:
        """Remove placements that an engine wrote just after their unit was destroyed."""
        for name, machine_id in orphans.items():
            try:
                await self._registry.remove_orphan(name, machine_id)
            except CoreosError as err:
                log.warning("Failed removing the placement of destroyed Unit(%s): %s", name, err)

    async def release(self) -> None:
        """Give the lead up, if it is ours."""
        held, self._held = self._held, None
        if held is None or held.lease.machine_id != self._own.machine_id:
            return
        try:
            await self._registry.release_lease(held)
        except CoreosError as err:
            log.error("Failed to release lease: %s", err)

    # -- leadership

    async def _version_fits(self) -> bool:
        try:
            current = await self._registry.engine_version()
        except CoreosError as err:
            log.error("Unable to determine cluster engine version: %s", err)
            return False
        if current < ENGINE_VERSION:
            try:
                await self._registry.raise_engine_version(current, ENGINE_VERSION)
            except CoreosError as err:
                text = "Failed updating cluster engine version from %d to %d: %s"
                log.error(text, current, ENGINE_VERSION, err)
                return False
            log.info("Updated cluster engine version from %d to %d", current, ENGINE_VERSION)
        elif current > ENGINE_VERSION:
            text = "Cluster engine version higher than local engine version (%d > %d)"
            log.debug(text, current, ENGINE_VERSION)
            return False
        return True

    async def _lead_or_follow(self) -> None:
        before = self._held
        if before is not None and self.is_leader:
            self._held = await self._renewed(before)
            return
        self._held = found = await self._acquired()
        if found is None or found.lease.machine_id == self._own.machine_id:
            return
        leader = found.lease.machine_id
        if before is None:
            log.info("Engine leader is %s", leader)
        elif before.lease.machine_id != leader:
            text = "Engine leadership changed from %s to %s"
            log.info(text, before.lease.machine_id, leader)

    async def _renewed(self, held: HeldLease) -> HeldLease | None:
        now = time.monotonic()
        if now - self._renewed_s < self._timings.engine_pass_s * _FRESH:
            return held
        try:
            ttl_s = self._timings.lease_ttl_s
            renewed = await self._registry.renew_lease(held, self._own, ttl_s=ttl_s)
        except CoreosError as err:
            log.error("Engine leadership lost, renewal failed: %s", err)
            return None
        self._renewed_s = now
        return renewed

    async def _acquired(self) -> HeldLease | None:
        now, ttl_s = time.monotonic(), self._timings.lease_ttl_s
        try:
            found = await self._registry.lease()
            if found is None:
                held = await self._registry.acquire_lease(self._own, ttl_s=ttl_s)
                if held is not None:
                    log.info("Engine leadership acquired")
                    self._begin(now)
                return held
        except CoreosError as err:
            log.error("Unable to determine current lease: %s", err)
            return None
        if found.lease.version >= ENGINE_VERSION:
            if found.lease.machine_id == self._own.machine_id:
                log.info("Engine leadership resumed")  # this machine's, before a restart
                self._begin(0.0)
            return found
        return await self._steal(found)

    async def _steal(self, found: HeldLease) -> HeldLease | None:
        ttl_s = self._timings.lease_ttl_s + found.ttl_s
        try:
            held = await self._registry.renew_lease(found, self._own, ttl_s=ttl_s)
        except CoreosError as err:
            log.error("Engine leadership steal failed: %s", err)
            return None
        log.info("Stole engine leadership from Machine(%s)", found.lease.machine_id)
        self._begin(time.monotonic())
        if found.ttl_s > 0:
            log.info("Waiting %gs for previous lease to expire", found.ttl_s)
            await asyncio.sleep(found.ttl_s)
        return held

    def _begin(self, now: float) -> None:
        self._renewed_s = now
        self._known, self._waiting = None, set()
        self._metrics.leader_since(time.time())
        self._note("leading", machine=self._own.machine_id)

    # -- the plan

    async def _carry_out(self, decisions: Iterable[Decision]) -> None:
        by_unit: dict[str, list[Decision]] = {}
        for decision in decisions:
            by_unit.setdefault(decision.unit, []).append(decision)
        limit = asyncio.Semaphore(_PARALLEL_TASKS)

        async def one_unit(steps: list[Decision]) -> None:
            async with limit:
                for step in steps:
                    if not await self._do(step):
                        return

        async with asyncio.TaskGroup() as group:
            for steps in by_unit.values():
                group.create_task(one_unit(steps))

    async def _do(self, step: Decision) -> bool:
        try:
            if step.type == SCHEDULE:
                await self._registry.schedule(step.unit, step.machine_id)
                log.info("Scheduled Unit(%s) to Machine(%s)", step.unit, step.machine_id)
            else:
                await self._registry.unschedule(step.unit, step.machine_id)
                if step.reason.endswith(scheduler.WENT_AWAY):
                    await self._registry.forget_state(step.unit, step.machine_id)
                log.info("Unscheduled Job(%s) from Machine(%s)", step.unit, step.machine_id)
        except CoreosError as err:
            verb = "scheduling" if step.type == SCHEDULE else "unscheduling"
            text = "Failed %s Unit(%s) on Machine(%s): %s"
            log.error(text, verb, step.unit, step.machine_id, err)
            self._metrics.task(step.type, failed=True)
            return False
        self._metrics.task(step.type, failed=False)
        kind = "scheduled" if step.type == SCHEDULE else "unscheduled"
        self._note(kind, unit=step.unit, machine=step.machine_id, text=step.reason)
        if step.type != SCHEDULE:
            away = step.reason.endswith(scheduler.WENT_AWAY)
            self._metrics.trouble(counters.MACHINE_AWAY if away else counters.RUN)
        log.info(
            'EngineReconciler completed task: {Type: %s, JobName: %s, MachineID: %s, Reason: "%s"}',
            step.type,
            step.unit,
            step.machine_id,
            step.reason.replace('"', '\\"'),
        )
        return True
