"""fleetctl list-machines, list-units, list-unit-files, cat, verify, version: tables and texts."""

from __future__ import annotations

import sys

from coreos_py.base.gostring import quote
from coreos_py.base.tabular import columns
from coreos_py.fleet.ctl.client import APIError
from coreos_py.fleet.ctl.session import Session, command, complain, id_legend, unit_name
from coreos_py.fleet.resources import show_cpu, show_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, TypeVar

    from coreos_py.cli.program import Call
    from coreos_py.fleet.ctl.client import Machine, Unit, UnitState

    T = TypeVar("T")
    # One cell of a row: the thing, whether it shall be shown in full.
    Cells = Mapping[str, Callable[[T, bool], str]]


@command
def list_machines(session: Session) -> int:
    """List the machines."""
    rows: dict[str, dict[str, Any]] = {}

    def extra(machine: Machine) -> dict[str, Any]:
        return rows.get(machine.id, {})

    cells: Cells[Machine] = {
        "machine": lambda machine, full: id_legend(machine.id, full=full),
        "ip": lambda machine, full: machine.ip or "-",
        "metadata": lambda machine, full: _metadata(machine) or "-",
        "state": lambda machine, full: str(extra(machine).get("state", "-")),
        "units": lambda machine, full: str(extra(machine).get("units", "-")),
        "memory": lambda machine, full: _share(extra(machine), "memory", show_memory),
        "cpu": lambda machine, full: _share(extra(machine), "milliCPU", show_cpu),
    }
    fields = _fields(session, cells)
    if fields is None:
        return 1
    try:
        machines = session.client.machines()
        if not {"machine", "ip", "metadata"}.issuperset(fields):
            rows.update((row["id"], row) for row in session.client.machine_rows() or ())
    except APIError as err:
        complain(f"Error retrieving list of active machines from fleet API ({err})")
        complain("Possible issues:")
        complain("  etcd is unhealthy and/or lost quorum")
        complain("  connection cannot be established to any etcd servers")
        return 1
    _print(session, fields, cells, machines)
    return 0


@command
def list_units(session: Session) -> int:
    """List the published unit states."""
    cells: Cells[UnitState] = {
        "unit": lambda state, full: state.name,
        "load": lambda state, full: state.load,
        "active": lambda state, full: state.active,
        "sub": lambda state, full: state.sub,
        "machine": lambda state, full: _machine(session, state.machine_id, full=full),
        "hash": lambda state, full: (state.hash if full else state.hash[:7]) or "-",
    }
    fields = _fields(session, cells)
    if fields is None:
        return 1
    try:
        states = session.client.states()
    except APIError as err:
        complain(f"Error retrieving list of units from repository: {err}")
        return 1
    _print(session, fields, cells, states)
    return 0


@command
def list_unit_files(session: Session) -> int:
    """List the units of the registry."""
    reasons: dict[str, str] = {}

    def target(unit: Unit, full: bool) -> str:  # a cell, like its neighbours
        return "global" if unit.is_global else _machine(session, unit.machine_id, full=full)

    cells: Cells[Unit] = {
        "unit": lambda unit, full: unit.name,
        "global": lambda unit, full: "true" if unit.is_global else "false",
        "dstate": lambda unit, full: unit.desired_state or "-",
        "target": target,
        "tmachine": target,
        "state": lambda unit, full: "-" if unit.is_global else unit.current_state or "-",
        "hash": lambda unit, full: unit.file.hash if full else unit.file.short_hash,
        "desc": lambda unit, full: unit.file.description or "-",
        "reason": lambda unit, full: reasons.get(unit.name, "-"),
    }
    fields = _fields(session, cells)
    if fields is None:
        return 1
    for _ in range(fields.count("tmachine")):
        complain('WARNING: The "tmachine" field is deprecated. Use "target" instead')
    try:
        units = session.client.units()
        if "reason" in fields:
            reasons.update(session.client.reasons())
    except APIError as err:
        complain(f"Error retrieving list of units from repository: {err}")
        return 1
    _print(session, fields, cells, units)
    return 0


@command
def cat(session: Session) -> int:
    """Print a unit's text, nothing added."""
    if len(session.args) != 1:
        complain("One unit file must be provided")
        return 1
    name = unit_name(session.args[0])
    try:
        unit = session.client.unit(name)
    except APIError as err:
        complain(f"Error retrieving Unit {name}: {err}")
        return 1
    if unit is None:
        complain(f"Unit {name} not found")
        return 1
    sys.stdout.write(unit.file.serialise())
    return 0


def verify(call: Call) -> int:
    """Say that this does nothing any more."""
    complain('Command "verify" is deprecated, DEPRECATED - No longer works')
    complain("WARNING: The signed/verified units feature is DEPRECATED and cannot be used.")
    return 2


def version(call: Call) -> int:
    """Print the version."""
    return call.program.on_version(call)


def _fields(session: Session, cells: Mapping[str, object]) -> list[str] | None:
    """Return the columns asked for; None, with a message, when they make no sense."""
    text: str = session.flags["fields"]
    if not text:
        complain("Must define output format")
        return None
    fields = text.split(",")
    for name in fields:
        if name not in cells:
            complain(f"Invalid key in output format: {quote(name)}")
            return None
    return fields


def _print(session: Session, fields: list[str], cells: Cells[T], items: Iterable[T]) -> None:
    full: bool = session.flags["full"]
    rows = [[cells[name](item, full) for name in fields] for item in items]
    if not session.flags["no-legend"]:
        rows.insert(0, [name.upper() for name in fields])
    sys.stdout.write(columns(rows))


def _metadata(machine: Machine) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(machine.metadata.items()))


def _share(row: Mapping[str, Any], key: str, show: Callable[[int], str]) -> str:
    """Return what is reserved of what a machine has."""
    return f"{show(row[f'{key}Reserved'])}/{show(row[key])}" if row.get(key) else "-"


def _machine(session: Session, machine_id: str, *, full: bool) -> str:
    return session.legend(machine_id, full=full) if machine_id else "-"
