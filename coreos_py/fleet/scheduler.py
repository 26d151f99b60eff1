"""The engine's decisions: a frozen view of the cluster in, placements with reasons out.

Mirrors engine/{reconciler,scheduler}.go and agent/state.go of fleet 1.0.0: existing placements are
checked first, then every unit that wants to run and has no machine goes to the least loaded machine
able to run it. Where upstream walks maps in random order this goes by name, so the same view always
gives the same plan. Two things upstream does not have: a cordoned machine keeps what is there and
gets nothing new, and reservations (fleet/resources.py) are honoured; a unit that runs is not taken
off for one. Pure; meant for 10 000 units on 1 000 machines within a second.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import NamedTuple

from coreos_py.base.unitfile import name_info
from coreos_py.fleet.conflicts import ConflictIndex, Names, matches_any, replaces
from coreos_py.fleet.job import INACTIVE, SHORT_ID_CHARS, has_metadata, match_id
from coreos_py.fleet.resources import Ledger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from coreos_py.fleet.job import Machine, Unit
    from coreos_py.fleet.requirements import Requirements

SCHEDULE = "AttemptScheduleUnit"
UNSCHEDULE = "UnscheduleUnit"
NO_MACHINES = "zero agents available"
NO_ABLE_MACHINE = "no agents able to run job"
WENT_AWAY = " went away"
CORDONED = "local Machine is cordoned"

# For so many units at most the machines are gone through one by one for their reasons.
_DETAILED = 200
# Machines tried one by one before the free ones are computed as a set.
_SCAN_FIRST = 24


class Decision(NamedTuple):
    """One thing to do: take a unit off a machine or put it on one."""

    type: str
    unit: str
    machine_id: str
    reason: str


class Plan(NamedTuple):
    """What to do, in order, and why some units stay without a machine."""

    decisions: tuple[Decision, ...]
    unplaced: Mapping[str, str]


def plan(
    units: Iterable[Unit], machines: Iterable[Machine], *, absent_means_gone: bool = True
) -> Plan:
    """Decide what to move and where.

    With `absent_means_gone` False the units of machines that are not listed stay where they are:
    the list may be incomplete because etcd has only just come back.
    """
    cluster = Cluster(units, machines)
    cluster.check_placements(absent_means_gone=absent_means_gone)
    cluster.count_globals()
    cluster.check_global_peers()
    cluster.move_replaced()
    unplaced = cluster.place()
    return Plan(tuple(cluster.decisions), unplaced)


def explain(units: Iterable[Unit], machines: Iterable[Machine], name: str) -> dict[str, str]:
    """Return per machine why the unit cannot run there; "" where it can."""
    cluster = view(units, machines)
    unit = cluster.jobs[name]
    return {machine_id: cluster.why_not(unit, machine_id) for machine_id in cluster.machines}


def reasons(units: Iterable[Unit], machines: Iterable[Machine]) -> dict[str, str]:
    """Return in one line each why units that want a machine have none, or cannot stay there."""
    cluster = view(units, machines)
    found = {d.unit: d.reason for d in cluster.decisions if wants_machine(cluster.jobs[d.unit])}
    for unit in cluster.jobs.values():
        if unit.machine_id or not wants_machine(unit):
            continue
        if len(found) >= _DETAILED:
            found[unit.name] = NO_ABLE_MACHINE
            continue
        counted: dict[str, int] = {}
        for machine_id in cluster.machines:
            why = cluster.why_not(unit, machine_id)
            counted[why] = counted.get(why, 0) + 1
        if "" not in counted:
            found[unit.name] = _summary(counted)
    return found


def _summary(counted: Mapping[str, int]) -> str:
    if not counted:
        return NO_MACHINES
    parts = [f"{why} ({number} machines)" if number > 1 else why for why, number in counted.items()]
    return f"{NO_ABLE_MACHINE}: {'; '.join(parts)}"


def view(units: Iterable[Unit], machines: Iterable[Machine]) -> Cluster:
    """Return the cluster as it is, everything placed and counted, to try things out on."""
    cluster = Cluster(units, machines)
    cluster.check_placements(absent_means_gone=False)
    cluster.count_globals()
    return cluster


class Cluster:
    """The view, kept up to date with the decisions taken so far."""

    def __init__(self, units: Iterable[Unit], machines: Iterable[Machine]) -> None:
        self.machines = {m.id: m for m in sorted(machines, key=_machine_key)}
        ordered = sorted(units, key=_unit_key)
        self.jobs = {unit.name: unit for unit in ordered if not unit.is_global}
        self.globals = {unit.name: unit for unit in ordered if unit.is_global}
        self.decisions: list[Decision] = []
        self.index = ConflictIndex(ordered)
        self.location: dict[str, str] = {}  # job -> machine
        self.global_locations: dict[str, Collection[str]] = {}
        self.present: dict[str, set[str]] = {machine_id: set() for machine_id in self.machines}
        self.ledger = Ledger(self.machines)
        # Shaped like the tables of the conflict index: the keys are machines to pass over.
        self.cordoned = {m.id: 1 for m in self.machines.values() if m.is_cordoned}
        self.followers: dict[str, list[Unit]] = {}
        for unit in self.jobs.values():
            for peer in dict.fromkeys(unit.requirements.peers):
                self.followers.setdefault(peer, []).append(unit)
        self._by_metadata: dict[object, frozenset[str]] = {}
        self._load: dict[str, int] = dict.fromkeys(self.machines, 0)
        self._order: list[tuple[int, str]] = [(0, machine_id) for machine_id in self.machines]

    # -- pass 1: existing placements

    def check_placements(self, *, absent_means_gone: bool) -> None:
        """Keep, by name, every placement that still holds; unschedule the others."""
        for unit in self.jobs.values():
            if unit.machine_id and wants_machine(unit):
                self.location[unit.name] = unit.machine_id
        removed = []
        for unit in self._running_first():
            machine_id = unit.machine_id
            if not machine_id:
                continue
            if not wants_machine(unit):
                reason = "target state inactive"
            elif machine_id not in self.machines:
                if not absent_means_gone:
                    continue
                reason = f"target Machine({machine_id}){WENT_AWAY}"
            else:
                why = self._why_not_here(unit, machine_id) or self._why_no_room(unit, machine_id)
                if not why:
                    self._add(unit.name, machine_id)
                    continue
                reason = _unable(machine_id, why)
            self.location.pop(unit.name, None)
            self._decide(UNSCHEDULE, unit.name, machine_id, reason)
            removed.append((unit.name, machine_id))
        for name, machine_id in removed:
            self._unschedule_followers(name, machine_id)

    def _running_first(self) -> list[Unit]:
        """Return the jobs by name, behind those that run on what they have reserved."""
        return sorted(self.jobs.values(), key=_is_not_running)

    def _why_no_room(self, unit: Unit, machine_id: str) -> str:
        if not unit.requirements.reserves or unit.heartbeat == machine_id:
            return ""
        return self.ledger.why_not(unit.requirements, machine_id)

    def check_global_peers(self) -> None:
        """Unschedule the followers of global units that do not run beside them."""
        for peer in self.globals:
            for unit in self.followers.get(peer, ()):
                machine_id = self.location.get(unit.name)
                if machine_id in self.machines and not self._is_local(peer, machine_id):
                    self._unschedule(unit.name, machine_id, _unable(machine_id, _lonely(peer)))

    def _unschedule(self, name: str, machine_id: str, reason: str) -> None:
        self._remove(name, machine_id)
        self._decide(UNSCHEDULE, name, machine_id, reason)
        self._unschedule_followers(name, machine_id)

    def _unschedule_followers(self, peer: str, machine_id: str) -> None:
        for unit in self.followers.get(peer, ()):
            if self.location.get(unit.name) == machine_id and machine_id in self.machines:
                self._unschedule(unit.name, machine_id, _unable(machine_id, _lonely(peer)))

    # -- global units

    def count_globals(self) -> None:
        """Count each global unit on the machines that will run it, by name, after all jobs."""
        for unit in self.globals.values():
            allowed = self._allowed(unit)
            wants = unit.requirements
            if not self.index.concerns(unit.name) and not wants.reserves:
                self.global_locations[unit.name] = allowed
                for machine_id in allowed:
                    self._load[machine_id] += 1
                continue
            blockers = self.index.blockers(unit.name)
            free = sorted(m for m in allowed if not any(m in table for table in blockers))
            if wants.reserves:
                free = [m for m in free if not self.ledger.why_not(wants, m)]
            self.global_locations[unit.name] = frozenset(free)
            for machine_id in free:
                self.index.add(unit.name, machine_id)
                self.ledger.add(wants, machine_id)
                self.present[machine_id].add(unit.name)
                self._load[machine_id] += 1
        self._order = sorted((load, machine_id) for machine_id, load in self._load.items())

    # -- Replaces

    def move_replaced(self) -> None:
        """Move units off the machine of a unit that replaces them, where another can take them.

        A replaced unit that no other machine can run stays: upstream lets both bounce.
        """
        active = [u for u in self.jobs.values() if u.requirements.replaces]
        names = Names(self.jobs) if active else None
        for unit in active:
            machine_id = self.location.get(unit.name, "")
            if names is None or machine_id not in self.machines:
                continue
            for name in _matching(names, unit.requirements.replaces):
                if self.location.get(name) == machine_id and replaces(unit, self.jobs[name]):
                    self._move(name, machine_id)

    def _move(self, name: str, machine_id: str) -> None:
        unit = self.jobs[name]
        self._remove(name, machine_id)
        target = next((m for m in self._able(unit) if not self._is_in_replace(unit, m)), "")
        if target in ("", machine_id):
            self._add(name, machine_id)
            return
        reason = _unable(machine_id, f"found replace with locally-scheduled Unit({name})")
        self._decide(UNSCHEDULE, name, machine_id, reason)
        self._decide(SCHEDULE, name, target, reason)
        self._add(name, target)
        self._unschedule_followers(name, machine_id)

    def _is_in_replace(self, unit: Unit, machine_id: str) -> bool:
        here = (self.jobs[name] for name in self.present[machine_id] if name in self.jobs)
        return any(replaces(unit, other) or replaces(other, unit) for other in here)

    # -- pass 2: units without a machine

    def place(self) -> dict[str, str]:
        """Place what wants a machine and has none; return why the rest has to wait."""
        queue = [u for u in self.jobs.values() if wants_machine(u) and u.name not in self.location]
        unplaced = {}
        hopeless: set[object] = set()
        while queue:
            retry: dict[str, Unit] = {}
            for unit in queue:
                target = self._choose(unit, hopeless)
                if not target:
                    unplaced[unit.name] = NO_ABLE_MACHINE if self.machines else NO_MACHINES
                    continue
                unplaced.pop(unit.name, None)
                reason = f"target state {unit.target_state} and unit not scheduled"
                self._decide(SCHEDULE, unit.name, target, reason)
                self._add(unit.name, target)
                for follower in self.followers.get(unit.name, ()):
                    if follower.name in unplaced:
                        retry[follower.name] = follower
            queue = [retry[name] for name in sorted(retry) if name in unplaced]
        return unplaced

    def _choose(self, unit: Unit, hopeless: set[object]) -> str:
        if unit.requirements.peers:
            return next(self._able(unit), "")
        # Machines only fill up during this pass: what failed once fails for all its likes.
        wants = unit.requirements
        demand = (
            wants.machine_id,
            _metadata_key(wants.metadata),
            self.index.signature(unit.name),
            wants.memory,
            wants.cpu,
        )
        if demand in hopeless:
            return ""
        target = next(self._able(unit), "")
        if not target:
            hopeless.add(demand)
        return target

    def _able(self, unit: Unit) -> Iterator[str]:
        """Yield the machines able to run the unit, least loaded first."""
        wants = unit.requirements
        if not wants.reserves:
            return self._fitting(unit)
        return (m for m in self._fitting(unit) if not self.ledger.why_not(wants, m))

    def _fitting(self, unit: Unit) -> Iterator[str]:
        allowed = self._candidates(unit)
        blockers = self.index.blockers(unit.name)
        if self.cordoned:
            blockers.append(self.cordoned)
        if allowed is not None and len(allowed) <= _SCAN_FIRST:
            yield from sorted(_free(allowed, blockers), key=self._rank)
            return
        for _, machine_id in self._order[:_SCAN_FIRST]:
            if (allowed is None or machine_id in allowed) and not any(
                machine_id in table for table in blockers
            ):
                yield machine_id
        rest = self._order[_SCAN_FIRST:]
        free = _free(self.machines if allowed is None else allowed, blockers)
        if free:
            yield from (machine_id for _, machine_id in rest if machine_id in free)

    def _candidates(self, unit: Unit) -> Collection[str] | None:
        """Return the machines that fit by ID, metadata and peers; None stands for all."""
        wants = unit.requirements
        found: set[str] | None = None
        if wants.machine_id is not None:
            found = {m for m in self._by_id(wants.machine_id) if match_id(m, wants.machine_id)}
        if wants.metadata:
            allowed = self._allowed(unit)
            if found is None and not wants.peers:
                return allowed
            found = set(allowed) if found is None else found & allowed
        for peer in wants.peers:
            there = self._where(peer)
            found = set(there) if found is None else found & set(there)
        return found

    def _by_id(self, wanted: str) -> Iterable[str]:
        if wanted in self.machines:
            return (wanted,)
        return self.machines if len(wanted) == SHORT_ID_CHARS else ()

    # -- one unit on one machine

    def why_not(self, unit: Unit, machine_id: str) -> str:
        """Return why a unit that is not on the machine cannot run there, "" when it can."""
        here = self.location.get(unit.name) == machine_id
        if here:
            self.index.remove(unit.name, machine_id)
            self.ledger.remove(unit.requirements, machine_id)
        why = self._why_not_here(unit, machine_id)
        if not why and machine_id in self.cordoned and not here:
            why = CORDONED
        if not why and unit.requirements.reserves:
            why = self.ledger.why_not(unit.requirements, machine_id)
        if here:
            self.index.add(unit.name, machine_id)
            self.ledger.add(unit.requirements, machine_id)
        return why

    def _why_not_here(self, unit: Unit, machine_id: str) -> str:
        wants = unit.requirements
        if wants.machine_id is not None and not match_id(machine_id, wants.machine_id):
            return f'agent ID "{machine_id}" does not match required "{wants.machine_id}"'
        if wants.metadata and machine_id not in self._allowed(unit):
            return "local Machine metadata insufficient"
        for peer in wants.peers:
            if not self._is_local(peer, machine_id):
                return _lonely(peer)
        if self.index.is_blocked(unit.name, machine_id):
            return f"found conflict with locally-scheduled Unit([{self._rival(unit, machine_id)}])"
        return ""

    def _rival(self, unit: Unit, machine_id: str) -> str:
        # fleet 1.0.0 names the unit itself when the other side declares the pattern.
        for name in sorted(self.present[machine_id]):
            other = self.jobs.get(name) or self.globals[name]
            if matches_any(other.requirements.conflicts, unit.name):
                return unit.name
            if matches_any(unit.requirements.conflicts, name):
                return name
        raise AssertionError(f"{unit.name} is blocked on {machine_id} by nobody")

    def _is_local(self, peer: str, machine_id: str) -> bool:
        if peer in self.globals:
            counted = self.global_locations.get(peer)
            return counted is None or machine_id in counted
        return self.location.get(peer) == machine_id

    def _where(self, peer: str) -> Collection[str]:
        if peer in self.globals:
            return self.global_locations[peer]
        machine_id = self.location.get(peer)
        return (machine_id,) if machine_id in self.machines else ()

    def _allowed(self, unit: Unit) -> frozenset[str]:
        """Return the machines whose metadata satisfies the unit."""
        required = unit.requirements.metadata
        key = _metadata_key(required)
        found = self._by_metadata.get(key)
        if found is None:
            found = frozenset(
                m.id for m in self.machines.values() if has_metadata(m.metadata, required)
            )
            self._by_metadata[key] = found
        return found

    # -- trying things out

    def load(self, machine_id: str) -> int:
        """Return how many units count on the machine."""
        return self._load[machine_id]

    def by_load(self) -> list[str]:
        """Return the machines, least loaded first."""
        return [machine_id for _, machine_id in self._order]

    def put(self, name: str, machine_id: str) -> None:
        """Put a job that is nowhere on a machine, whether it can run there or not."""
        self._add(name, machine_id)

    def take(self, name: str, machine_id: str) -> None:
        """Take a job off the machine it is on."""
        self._remove(name, machine_id)

    # -- bookkeeping

    def _decide(self, type_: str, name: str, machine_id: str, reason: str) -> None:
        self.decisions.append(Decision(type_, name, machine_id, reason))

    def _rank(self, machine_id: str) -> tuple[int, str]:
        return (self._load[machine_id], machine_id)

    def _add(self, name: str, machine_id: str) -> None:
        self.location[name] = machine_id
        self.index.add(name, machine_id)
        self.present[machine_id].add(name)
        self._book(name, machine_id, self.ledger.add)
        self._shift(machine_id, 1)

    def _remove(self, name: str, machine_id: str) -> None:
        del self.location[name]
        self.index.remove(name, machine_id)
        self.present[machine_id].discard(name)
        self._book(name, machine_id, self.ledger.remove)
        self._shift(machine_id, -1)

    def _book(self, name: str, machine_id: str, enter: Callable[[Requirements, str], None]) -> None:
        wants = self.jobs[name].requirements
        if wants.reserves:
            enter(wants, machine_id)

    def _shift(self, machine_id: str, by: int) -> None:
        load = self._load[machine_id]
        del self._order[bisect_left(self._order, (load, machine_id))]
        insort(self._order, (load + by, machine_id))
        self._load[machine_id] = load + by


def wants_machine(unit: Unit) -> bool:
    """Tell whether the unit should be on some machine: templates never are."""
    if unit.target_state == INACTIVE:
        return False
    if "@." not in unit.name:
        return True  # asked thirty thousand times for ten thousand units
    info = name_info(unit.name)
    return info is None or not info.is_template


def _free(machine_ids: Collection[str], blockers: Sequence[Mapping[str, int]]) -> Collection[str]:
    return set(machine_ids).difference(*blockers) if blockers else machine_ids


def _matching(names: Names, patterns: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name for pattern in patterns for name in names.matching(pattern)))


def _metadata_key(required: Mapping[str, frozenset[str]]) -> object:
    return frozenset(required.items()) if required else None


def _unit_key(unit: Unit) -> str:
    return unit.name


def _is_not_running(unit: Unit) -> bool:
    return not (unit.requirements.reserves and unit.heartbeat == unit.machine_id)


def _machine_key(machine: Machine) -> str:
    return machine.id


def _lonely(peer: str) -> str:
    return f"required peer Unit({peer}) is not scheduled locally"


def _unable(machine_id: str, why: str) -> str:
    return f"target Machine({machine_id}) unable to run unit: {why}"
