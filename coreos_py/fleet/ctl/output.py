"""fleetctl journal and status: what a unit printed, and how it is.

On the unit's own machine with systemd journalctl and systemctl are run, as fleetctl 1.0.0 does.
Elsewhere fleetd is asked, which passes on what the unit's machine says; a fleetd that cannot do
that (1.0.0, or one that announced no address) leaves ssh.
"""

from __future__ import annotations

import os
import sys
from time import gmtime, localtime, strftime

from coreos_py.base.unitfile import name_info
from coreos_py.fleet.ctl.client import APIError
from coreos_py.fleet.ctl.session import Session, command, complain, is_local, out, unit_name
from coreos_py.fleet.ctl.waiting import explain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from coreos_py.fleet.ctl.client import Unit, UnitState

    Line = Mapping[str, Any]

STATUS_LINES = 10
EXIT_NOT_RUNNING = 3  # systemctl status of a unit that is not active


@command
def journal(session: Session) -> int:
    """Print a unit's journal."""
    if len(session.args) != 1:
        complain("One unit file must be provided.")
        return 1
    name = unit_name(session.args[0])
    try:
        unit = session.client.unit(name, fresh=True)
    except APIError as err:
        complain(f"Error retrieving unit {name}: {err}")
        return 1
    if unit is None:
        complain(f"Unit {name} does not exist.")
    elif unit.is_global:
        complain(f"Unable to retrieve journal of global unit {name}.")
    elif unit.current_state == "inactive":
        complain(f"Unit {name} does not appear to be running.")
    else:
        return _journal(session, unit)
    return 1


@command
def status(session: Session) -> int:
    """Print the status of units; stops at the first that is not active."""
    try:
        session.expand_globs()
    except APIError as err:
        complain(f"Error retrieving unit: {err}")
        return 1
    for number, name in enumerate(map(unit_name, session.args)):
        try:
            unit = session.client.unit(name, fresh=True)
        except APIError as err:
            complain(f"Error retrieving unit: {err}")
            return 1
        if unit is None:
            complain(f"Unit {name} does not exist.")
            return 1
        if not unit.is_global and unit.current_state == "inactive":
            complain(f"Unit {name} does not appear to be loaded.")
            explain(session, unit)
            return 1
        if number:
            out("")
        code = _status_everywhere(session, unit) if unit.is_global else _status(session, unit)
        if code:
            return code
    return 0


# -- journal


def _journal(session: Session, unit: Unit) -> int:
    lines, follow = session.flags["lines"], session.flags["follow"]
    mode = session.flags["output"]
    words = ["journalctl", "--unit", unit.name, "--no-pager", "-n", str(lines)]
    words += ["--output", mode, *(["-f"] if follow else [])]
    if session.flags["sudo"]:
        words.insert(0, "sudo")
    if _has_systemd(unit.machine_id):
        return _run_here(words)
    try:
        found = session.client.journal(
            unit.name, machine_id=unit.machine_id, lines=lines, follow=follow
        )
        if found is None:
            return _run_there(session, unit.machine_id, words)
        try:
            return _print_lines(found, mode, follow=follow)
        finally:
            found.close()
    except APIError as err:
        complain(f"Error retrieving journal of {unit.name}: {err}")
        return 1


def _print_lines(lines: Iterable[Line], mode: str, *, follow: bool) -> int:
    render = MODES.get(mode)
    if render is None:
        complain(f"Unknown output format '{mode}'.")
        return 1
    for line in lines:
        sys.stdout.write(render(line) + "\n")
        if follow:
            sys.stdout.flush()
    return 0


def _short(line: Line) -> str:
    return _with_source(strftime("%b %d %H:%M:%S", localtime(line["t"] // 1_000_000)), line)


def _short_precise(line: Line) -> str:
    stamp = strftime("%b %d %H:%M:%S", localtime(line["t"] // 1_000_000))
    return _with_source(f"{stamp}.{line['t'] % 1_000_000:06d}", line)


def _short_iso(line: Line) -> str:
    return _with_source(strftime("%Y-%m-%dT%H:%M:%S%z", localtime(line["t"] // 1_000_000)), line)


def _short_utc(line: Line) -> str:
    return _with_source(strftime("%b %d %H:%M:%S", gmtime(line["t"] // 1_000_000)), line)


def _short_unix(line: Line) -> str:
    return _with_source(f"{line['t'] / 1_000_000:.6f}", line)


def _with_source(stamp: str, line: Line) -> str:
    source = f"{line['ident']}[{line['pid']}]" if line["pid"] else line["ident"]
    return f"{stamp} {line['host']} {source}: {line['text']}"


def _json(line: Line) -> str:
    fields = {
        "__REALTIME_TIMESTAMP": str(line["t"]),
        "_HOSTNAME": line["host"],
        "SYSLOG_IDENTIFIER": line["ident"],
        "_PID": str(line["pid"]),
        "MESSAGE": line["text"],
    }
    import json

    return json.dumps(fields)


MODES: dict[str, Callable[[Line], str]] = {
    "short": _short,
    "short-full": _short_iso,
    "short-iso": _short_iso,
    "short-precise": _short_precise,
    "short-unix": _short_unix,
    "short-utc": _short_utc,
    "cat": lambda line: str(line["text"]),
    "json": _json,
}


# -- status


def _status(session: Session, unit: Unit) -> int:
    words = ["systemctl", "status", "-l", unit.name]
    if _has_systemd(unit.machine_id):
        return _run_here(words)
    try:
        states = {state.machine_id: state for state in session.client.states(unit.name)}
        shown = _show(session, unit, unit.machine_id, states.get(unit.machine_id))
    except APIError as err:
        complain(f"Error retrieving unit: {err}")
        return 1
    return _run_there(session, unit.machine_id, words) if shown is None else shown


def _status_everywhere(session: Session, unit: Unit) -> int:
    """A global unit on every machine that has it; fleetctl 1.0.0 prints nothing here."""
    code = 0
    try:
        for number, state in enumerate(session.client.states(unit.name)):
            if number:
                out("")
            shown = _show(session, unit, state.machine_id, state)
            if shown is None:
                where = session.legend(state.machine_id, full=False)
                out(f"{state.active} ({state.sub}) on {where}")
            code = code or shown or 0
    except APIError as err:
        complain(f"Error retrieving unit: {err}")
        return 1
    return code


def _show(session: Session, unit: Unit, machine_id: str, state: UnitState | None) -> int | None:
    """Print one machine's view; None when its journal cannot be had through fleetd."""
    found = session.client.journal(
        unit.name, machine_id=machine_id, lines=STATUS_LINES, follow=False
    )
    if found is None:
        return None
    try:
        lines = [_short(line) for line in found]
    finally:
        found.close()
    if state is None:
        return None
    dot = {"active": "●", "failed": "\u00d7"}.get(state.active, "○")
    title = _expand(unit.file.description, unit.name)
    out(f"{dot} {unit.name}{f' - {title}' if title else ''}")
    out(f"     Loaded: {state.load} ({state.hash[:7]})")
    out(f"     Active: {state.active} ({state.sub})")
    out(f"    Machine: {session.legend(machine_id, full=False)}")
    if lines:
        out("")
        out("\n".join(lines))
    return 0 if state.active in ("active", "reloading") else EXIT_NOT_RUNNING


def _expand(text: str, name: str) -> str:
    info = name_info(name)
    if info is None:
        return text
    text = text.replace("%n", info.full_name).replace("%N", info.name)
    return text.replace("%p", info.prefix).replace("%i", info.instance)


# -- the other ways


def _has_systemd(machine_id: str) -> bool:
    return is_local(machine_id) and os.path.isdir("/run/systemd/system")


def _run_here(words: list[str]) -> int:
    from coreos_py.fleet.ctl.remote import run_here

    return run_here(words)


def _run_there(session: Session, machine_id: str, words: list[str]) -> int:
    from coreos_py.fleet.ctl.remote import run_on_machine

    return run_on_machine(session, machine_id, words)
