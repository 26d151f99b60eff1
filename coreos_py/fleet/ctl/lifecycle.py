"""fleetctl submit, load, start, stop, unload, destroy, restart."""

from __future__ import annotations

from coreos_py.fleet.ctl.client import APIError, Change
from coreos_py.fleet.ctl.creating import INACTIVE, LAUNCHED, LOADED, create_units
from coreos_py.fleet.ctl.session import Session, command, complain, go_list, out, unit_name
from coreos_py.fleet.ctl.waiting import (
    block_attempts,
    reach_state,
    wait_for_active,
    wait_for_state,
    wait_until_stopped,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.fleet.ctl.client import Unit


@command
def submit(session: Session) -> int:
    """Upload units."""
    if not _given(session):
        return 0
    return 0 if create_units(session) else 1


@command
def load(session: Session) -> int:
    """Upload units and give them a machine."""
    if not _given(session):
        return 0
    if not _expanded(session):
        return 1
    units = _raise_to(session, "load", LOADED)
    if units is None:
        return 1
    problem = reach_state(session, [unit.name for unit in units], "load", state=LOADED)
    if problem:
        complain(f"Error waiting for unit states, exit status: {problem}")
    return 1 if problem else 0


@command
def start(session: Session) -> int:
    """Upload units, give them a machine and start them."""
    if not _given(session):
        return 0
    if not _expanded(session):
        return 1
    units = _raise_to(session, "start", LAUNCHED)
    if units is None:
        return 1
    names = [unit.name for unit in units]
    problem = reach_state(session, names, "start", state=LAUNCHED)
    if problem:
        complain(f"Error waiting for unit states, exit status: {problem}")
        return 1
    if block_attempts(session) < 0:
        for name in names:  # fleetctl 1.0.0 says it twice
            out(f"Triggered unit {name} start")
        return 0
    for failure in wait_for_active(session, units):
        complain(f"Error waiting for units: {failure}")
        complain(f"Error waiting for systemd unit states, err: {failure}")
        return 1
    return 0


@command
def stop(session: Session) -> int:
    """Stop units; they stay loaded."""
    if not _given(session):
        return 0
    if not _expanded(session, skip_inactive=True):
        return 1
    found = _known(session)
    if not found:
        return 1 if found is None else 0
    stopping = []
    for unit in found:
        if not unit.is_global:
            if unit.current_state == INACTIVE:
                complain(f"Unable to stop unit {unit.name} in state {INACTIVE}")
                return 1
            if unit.current_state == LOADED and unit.desired_state != LAUNCHED:
                session.debug(f"Unit({unit.name}) already {LOADED}, skipping.")
                continue
        if not _send(session, unit, LOADED):
            return 1
        if unit.is_global:
            out(f"Triggered global unit {unit.name} stop")
        else:
            stopping.append(unit.name)
    problem = reach_state(session, stopping, "stop", state=LOADED)
    if problem:
        complain(f"Failed to stop units {go_list(stopping)}. err: {problem}")
        return 1
    complain(f"Successfully stopped units {go_list(stopping)}.")
    return 0


@command
def unload(session: Session) -> int:
    """Stop units and take them off their machines."""
    if not _given(session):
        return 0
    if not _expanded(session):
        return 1
    found = _known(session)
    if not found:
        return 1 if found is None else 0
    leaving = []
    for unit in found:
        if not unit.is_global and unit.current_state == unit.desired_state == INACTIVE:
            session.debug(f"Target state of Unit({unit.name}) already {INACTIVE}, skipping.")
            continue
        if not _send(session, unit, INACTIVE):
            return 1
        if unit.is_global:
            out(f"Triggered global unit {unit.name} unload")
        else:
            leaving.append(unit.name)
    problem = reach_state(session, leaving, "unload", state=INACTIVE)
    if problem:
        complain(f"Failed to unload units {go_list(leaving)}. err: {problem}")
        return 1
    complain(f"Successfully unloaded units {go_list(leaving)}.")
    return 0


@command
def destroy(session: Session) -> int:
    """Remove units from the cluster."""
    if not _given(session):
        return 0
    if not _expanded(session):
        return 1
    found = _known(session)
    if not found:
        return 1 if found is None else 0
    code = 0
    changes = [Change(unit.name, is_removal=True) for unit in found]
    for change, problem in zip(changes, session.client.change(changes), strict=True):
        if problem is None:
            out(f"Destroyed {change.name}")
        elif problem.status != 404:
            complain(f"Error destroying units: {problem}")
            code = 1
    return code


@command
def restart(session: Session) -> int:
    """Stop units and start them again, one after the other."""
    if not _given(session):
        return 0
    if not _expanded(session):
        return 1
    found = _known(session, must_exist=False)
    if found is None:
        return 1
    if not create_units(session):
        return 1
    for unit in found:
        if not unit.is_global and unit.current_state == INACTIVE:
            complain(f"Unable to restart unit {unit.name} in state {INACTIVE}")
        elif not _restart(session, unit):
            return 1
    return 0


def _restart(session: Session, unit: Unit) -> bool:
    attempts = block_attempts(session)
    if unit.current_state == LOADED and not unit.is_global:
        session.info(f"Unit({unit.name}) already loaded, starting.")
    if unit.is_global or unit.current_state == LAUNCHED:
        if not _send(session, unit, LOADED):
            return False
        if not unit.is_global and not _arrive(session, unit.name, LOADED):
            return False
        # "loaded" only says that the stop was asked for.
        if not wait_until_stopped(session, [unit.name], attempts=attempts):
            complain(f"Error waiting for units: unit {unit.name} does not stop")
            return False
    if not _send(session, unit, LAUNCHED):
        return False
    if unit.is_global:
        out(f"Triggered global unit {unit.name} restart")
        return True
    if not _arrive(session, unit.name, LAUNCHED):
        return False
    if unit.current_state == LAUNCHED:
        session.info(f"Unit({unit.name}) was restarted.")
    return True


def _arrive(session: Session, name: str, state: str) -> bool:
    failures = wait_for_state(session, [name], state, attempts=block_attempts(session))
    for problem in failures:
        complain(f"Error waiting for units: {problem}")
        complain(f"Error waiting for unit states, exit status: {problem}")
    return not failures


# -- shared steps


def _given(session: Session) -> bool:
    """Tell whether units were named; complain when not."""
    if not session.args:
        complain("No units given")
    return bool(session.args)


def _expanded(session: Session, *, skip_inactive: bool = False) -> bool:
    """Replace globs by what they match; False, with a message, on failure."""
    try:
        session.expand_globs(skip_inactive=skip_inactive)
    except APIError as err:
        complain(str(err))
        return False
    return True


def _known(session: Session, *, must_exist: bool = True) -> list[Unit] | None:
    """Return the units among the arguments that exist; None, with a message, on failure."""
    try:
        by_name = {unit.name: unit for unit in session.client.units()}
    except APIError as err:
        complain(str(err))
        return None
    found = [by_name[name] for name in map(unit_name, session.args) if name in by_name]
    if not found and must_exist:
        complain("Units not found in registry")
    return found


def _raise_to(session: Session, verb: str, state: str) -> list[Unit] | None:
    """Create and send the units; those to wait for, or None, with a message, on failure."""
    if not create_units(session):
        return None
    what = {"load": "loading", "start": "starting"}[verb]
    names = list(map(unit_name, session.args))
    try:
        units = session.lookup(names)
    except APIError as err:
        complain(f"Error {what} units: error retrieving unit {names[0]} from registry: {err}")
        return None
    wanted = list(dict.fromkeys(names))
    missing = [name for name in wanted if name not in units]
    if missing:
        wanted = wanted[: wanted.index(missing[0])]
    changes = []
    for name in wanted:
        if units[name].desired_state == state:
            session.debug(f"Unit({name}) already {state}, skipping.")
        else:
            session.debug(f"Setting Unit({name}) target state to {state}")
            changes.append(Change(name, state=state))
    triggered = []
    for change, problem in zip(changes, session.client.change(changes), strict=True):
        if problem is not None:
            complain(f"Error {what} units: {problem}")
            return None
        unit = units[change.name]
        if not unit.is_global:
            triggered.append(unit)
        else:
            out(f"Triggered global unit {unit.name} {verb}")
    if missing:
        complain(f"Error {what} units: unable to find unit {missing[0]}")
        return None
    return triggered


def _send(session: Session, unit: Unit, state: str) -> bool:
    session.debug(f"Setting target state of Unit({unit.name}) to {state}")
    try:
        session.client.set_target_state(unit.name, state)
    except APIError as err:
        complain(f"Error setting target state for unit {unit.name}: {err}")
        return False
    return True
