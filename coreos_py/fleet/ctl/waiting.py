"""Waiting until units are where they were sent: many at once, one poll for all of them.

One attempt lasts two seconds, as in fleetctl 1.0.0; the polls in it come faster than its 250 ms at
first, so that a quick cluster feels quick.
"""

from __future__ import annotations

import sys
import time

from coreos_py.fleet.ctl.client import APIError
from coreos_py.fleet.ctl.session import SINGLE_READS, complain, out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from coreos_py.fleet.ctl.client import Unit, UnitState
    from coreos_py.fleet.ctl.session import Session

ATTEMPT_S = 2.0
# How long a machine may take to tell for the first time how a launched unit does.
REPORT_S = 30.0
_POLLS_S = (0.02, 0.03, 0.05, 0.05, 0.1, 0.1, 0.15)
_POLL_MAX_S = 0.25
# A unit still without a machine after this long deserves a word.
_EXPLAIN_AFTER_S = 3.0

_TROUBLE = ("refused", "problem")  # events of an agent

NEVER = -1
FOREVER = 0


def block_attempts(session: Session) -> int:
    """Return how many attempts the flags allow: NEVER, FOREVER or a number."""
    if session.flag("no-block"):
        return NEVER
    return max(int(session.flags["block-attempts"]), FOREVER)


def reach_state(session: Session, names: Sequence[str], verb: str, *, state: str) -> str:
    """Wait as the flags say, or say that there is no waiting; the problem, "" when all is well."""
    attempts = block_attempts(session)
    if attempts == NEVER:
        for name in names:
            out(f"Triggered unit {name} {verb}")
        return ""
    failures = wait_for_state(session, names, state, attempts=attempts)
    if failures:
        complain(f"Error waiting for units: {failures[0]}")
        return failures[0]
    return ""


def wait_for_state(
    session: Session, names: Iterable[str], state: str, *, attempts: int
) -> list[str]:
    """Wait until every unit reports the state, printing each as it does; one text per failure."""
    waiting = dict.fromkeys(names)
    deadline = time.monotonic() + ATTEMPT_S * attempts if attempts > 0 else None
    explain_at = time.monotonic() + _EXPLAIN_AFTER_S
    pause = _Pauses()
    while waiting:
        units = _fetch(session, waiting)
        if time.monotonic() >= explain_at:
            explain_at = float("inf")
            for unit in units:
                explain(session, unit)
        for unit in units:
            found = unit.desired_state if unit.is_global else unit.current_state
            if found == state:
                out(_arrival(session, unit))
                del waiting[unit.name]
        if not waiting:
            break
        if deadline is not None and time.monotonic() >= deadline:
            return [f"timed out waiting for unit {n} to report state {state}" for n in waiting]
        pause.sleep()
    return []


def wait_for_active(session: Session, units: Iterable[Unit]) -> list[str]:
    """Wait until systemd has started what was launched; one text per failure.

    A oneshot unit that has ended well counts as started, which it does not for fleetctl 1.0.0; and
    the time of a unit runs from its first report: a slow machine's silence is no failure.
    """
    waiting = {unit.name: unit for unit in units}
    begin = time.monotonic()
    told = dict.fromkeys(waiting, begin + REPORT_S - ATTEMPT_S)
    began: set[str] = set()
    failed: set[str] = set()
    pause = _Pauses()
    while waiting:
        states = _active_states(session, waiting)
        for name, unit in list(waiting.items()):
            found = states.get(name, "")
            if found:
                told[name] = min(told[name], time.monotonic())
            if found == "active" or (found == "inactive" and name in began):
                del waiting[name]
            elif _is_oneshot(unit) and found == "activating":
                began.add(name)
            if found == "failed":
                failed.add(name)
            else:
                failed.discard(name)
        if waiting and time.monotonic() >= max(told[name] for name in waiting) + ATTEMPT_S:
            break
        if waiting:
            pause.sleep()
    return [
        f"Failed to find an active unit {name} within 2s, err: Failed to fetch states within 2s"
        for name, unit in waiting.items()
        if name in failed or not _is_oneshot(unit)
    ]


def wait_until_stopped(session: Session, names: Iterable[str], *, attempts: int) -> bool:
    """Wait until no machine says that one of the units runs; False when that takes too long."""
    deadline = time.monotonic() + ATTEMPT_S * attempts if attempts > 0 else None
    pause = _Pauses()
    for name in names:
        while any(s.active not in ("inactive", "failed") for s in _states(session, name)):
            if deadline is not None and time.monotonic() >= deadline:
                return False
            pause.sleep()
    return True


class _Pauses:
    """Short at first, then 250 ms."""

    def __init__(self) -> None:
        self._left = list(_POLLS_S)

    def sleep(self) -> None:
        sys.stdout.flush()  # what has arrived is news now, into a pipe too
        time.sleep(self._left.pop(0) if self._left else _POLL_MAX_S)


def _fetch(session: Session, waiting: Iterable[str]) -> list[Unit]:
    """Return those of the units that can be read just now."""
    try:
        return list(session.lookup(waiting, fresh=True).values())
    except APIError as err:
        session.debug(f"Retrying assertion of states. err: {err}")
        return []


def _arrival(session: Session, unit: Unit) -> str:
    text = f"Unit {unit.name} {unit.current_state}"
    if unit.machine_id and session.machine(unit.machine_id) is not None:
        text += f" on {session.legend(unit.machine_id, full=False)}"
    return text


def explain(session: Session, unit: Unit) -> None:
    """Say why a unit that wants a machine has none, or is not taken there, if fleetd can tell."""
    if not unit.is_global and unit.desired_state != "inactive":
        explain_placement(session, unit.name, unit.machine_id)


def explain_placement(session: Session, name: str, machine_id: str) -> None:
    """Say why a unit that is wanted has no machine, or what its machine says about it."""
    try:
        if machine_id:
            _explain_refusal(session, name, machine_id)
            return
        reasons = session.client.explain(name)
    except APIError as err:
        session.debug(f"no explanation for {name}: {err}")
        return
    if reasons and all(reasons.values()):
        complain(f"Unit {name} waits for a machine able to run it:")
        for other, reason in reasons.items():
            complain(f"  {session.legend(other, full=False)}: {reason}")


def _explain_refusal(session: Session, name: str, machine_id: str) -> None:
    """Tell what the unit's machine said last about not taking it."""
    found = session.client.events(unit=name, machine=machine_id)
    if found is None:
        return
    last = ""
    try:
        for event in found:
            last = event.get("text", "") if event["kind"] in _TROUBLE else ""
    finally:
        found.close()
    if last:
        where = session.legend(machine_id, full=False)
        complain(f"Unit {name} is scheduled to {where}, which says: {last}")


def _active_states(session: Session, units: Mapping[str, Unit]) -> dict[str, str]:
    """Return the active states of the units; many are asked for with one list."""
    found = {}
    try:
        if len(units) > SINGLE_READS:
            placed = {unit.name: unit.machine_id for unit in session.lookup(units).values()}
            for state in session.client.states():
                if placed.get(state.name) == state.machine_id:
                    found[state.name] = _shown_active(state)
            return found
        for name in units:
            one = session.client.state(name)
            if one is not None:
                found[name] = _shown_active(one)
    except APIError as err:
        session.debug(f"Retrying assertion of states. err: {err}")
    return found


def _shown_active(state: UnitState) -> str:
    return state.active if state.load == "loaded" else "not loaded"


def _states(session: Session, name: str) -> Sequence[UnitState]:
    try:
        return session.client.states(name)
    except APIError as err:
        session.debug(f"Retrying assertion of states. err: {err}")
        return []


def _is_oneshot(unit: Unit) -> bool:
    return unit.file.values("Service", "Type")[-1:] == ["oneshot"]
