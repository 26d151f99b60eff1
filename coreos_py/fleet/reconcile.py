"""The agent's decisions: what should be on this machine, and the ordered tasks that get it there.

Mirrors agent/reconcile.go of fleet 1.0.0. Running the tasks and asking again yields none. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

from coreos_py.base.unitfile import name_info
from coreos_py.fleet.conflicts import in_conflict
from coreos_py.fleet.job import INACTIVE, LAUNCHED, LOADED, has_metadata
from coreos_py.fleet.resources import Ledger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from coreos_py.fleet.job import Machine, Unit

UNLOAD = "UnloadUnit"
LOAD = "LoadUnit"
RELOAD = "ReloadUnitFiles"
STOP = "StopUnit"
START = "StartUnit"

# The order over the whole machine.
PHASES = (UNLOAD, LOAD, RELOAD, STOP, START)

NOT_SCHEDULED = "unit loaded but not scheduled here"
NOT_LOADED = "unit scheduled here but not loaded"
HASH_DIFFERS = "unit loaded but hash differs to expected"
ALWAYS_RELOAD = "always reload unit files"
SHOULD_STOP = "unit currently launched but desired state is loaded"
SHOULD_START = "unit currently loaded but desired state is launched"
PURGING = "purging agent"


class Actual(NamedTuple):
    """One unit file on this machine: how far the agent took it, and the hash of its text."""

    state: str
    hash: str


class Task(NamedTuple):
    """One step; `unit` is "" for the reload of all unit files."""

    type: str
    unit: str
    reason: str


def desired_units(units: Iterable[Unit], machine: Machine) -> dict[str, Unit]:
    """Return what this machine should hold, by name.

    Of two that conflict the first by name wins. Requirements of units that the engine placed here
    are its business and not checked again.
    """
    wanted: dict[str, Unit] = {}
    declarers: list[Unit] = []
    for unit in sorted(units, key=lambda unit: unit.name):
        if not _belongs_here(unit, machine):
            continue
        rivals = wanted.values() if unit.requirements.conflicts else declarers
        if any(in_conflict(unit, other) for other in rivals):
            continue
        wanted[unit.name] = unit
        if unit.requirements.conflicts:
            declarers.append(unit)
    return wanted


def without_room(
    desired: Mapping[str, Unit], machine: Machine, held: Collection[str]
) -> dict[str, str]:
    """Return which of the units this machine cannot give what they reserve, and why.

    What is here already keeps its part, so that nothing that runs is ever stopped for it; of the
    others the first by name get theirs. An engine of fleet 1.0.0 knows nothing of reservations.
    """
    reserving = [unit for unit in desired.values() if unit.requirements.reserves]
    if not reserving:
        return {}
    ledger = Ledger({machine.id: machine})
    refused = {}
    for unit in sorted(reserving, key=lambda unit: (unit.name not in held, unit.name)):
        why = "" if unit.name in held else ledger.why_not(unit.requirements, machine.id)
        if unit.target_state == INACTIVE:
            continue
        if why:
            refused[unit.name] = why
        else:
            ledger.add(unit.requirements, machine.id)
    return refused


def tasks(desired: Mapping[str, Unit], actual: Mapping[str, Actual]) -> list[Task]:
    """Return what to do, phase by phase and by name within a phase."""
    found: list[Task] = []
    for name in sorted({*desired, *actual}):
        found += _unit_tasks(name, desired.get(name), actual.get(name))
    if any(task.type in (UNLOAD, LOAD) for task in found):
        found.append(Task(RELOAD, "", ALWAYS_RELOAD))
    return sorted(found, key=lambda task: PHASES.index(task.type))


def purge_tasks(actual: Iterable[str]) -> list[Task]:
    """Return the tasks of a graceful stop: unload everything."""
    return [Task(UNLOAD, name, PURGING) for name in sorted(actual)]


def _belongs_here(unit: Unit, machine: Machine) -> bool:
    if unit.is_global:
        info = name_info(unit.name)
        is_template = info is not None and info.is_template
        return not is_template and has_metadata(machine.metadata, unit.requirements.metadata)
    return bool(unit.machine_id) and unit.machine_id == machine.id


def _unit_tasks(name: str, desired: Unit | None, actual: Actual | None) -> list[Task]:
    if desired is None or desired.target_state == INACTIVE:
        return [Task(UNLOAD, name, NOT_SCHEDULED)] if actual is not None else []
    load = Task(LOAD, name, NOT_LOADED)
    start = [Task(START, name, SHOULD_START)] if desired.target_state == LAUNCHED else []
    if actual is None:
        return [load, *start]
    if actual.hash != desired.file.hash:
        return [Task(UNLOAD, name, HASH_DIFFERS), load, *start]
    if actual.state == INACTIVE:
        return [load, *start]
    if actual.state == LOADED:
        return start
    return [] if start else [Task(STOP, name, SHOULD_STOP)]
