"""fleetctl cordon, uncordon, drain, rebalance: who gets new units, and moving those there are.

What moves where is decided by the pure planners; here moves are asked for, awaited and told. A move
is one swap of a unit's target in the registry: interrupting leaves every unit on one machine or on
the other, and the command can simply be given again.
"""

from __future__ import annotations

import sys
import time

from coreos_py.fleet import drain as drains
from coreos_py.fleet import rebalance as rebalancing
from coreos_py.fleet.board import Move
from coreos_py.fleet.ctl.client import APIError
from coreos_py.fleet.ctl.fleetview import NOT_OFFERED, find_machines, take
from coreos_py.fleet.ctl.session import Fatal, Session, command, complain, out
from coreos_py.fleet.ctl.waiting import explain_placement
from coreos_py.fleet.job import LAUNCHED
from coreos_py.fleet.rollout import DONE, UNDER_WAY, Seen, Tracker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from coreos_py.fleet.board import Stuck
    from coreos_py.fleet.ctl.fleetview import FleetView

    Chooser = Callable[[FleetView, list[str]], list[Move]]

EXIT_INTERRUPTED = 130
POLL_S = 0.25
_REFUSALS_MAX = 5
_RUNNING = ("active", "reloading")


@command
def cordon(session: Session) -> int:
    """Keep new units off machines."""
    return _set_cordons(session, cordoned=True)


@command
def uncordon(session: Session) -> int:
    """Let new units come to machines again."""
    return _set_cordons(session, cordoned=False)


@command
def drain(session: Session) -> int:
    """Cordon machines and move their units elsewhere."""
    machine_ids = _given(session)
    limit = positive(session, "max-unavailable")
    if session.flags["dry-run"]:
        view = _look(session)
        step = drains.step(
            view.units.values(), view.machines.values(), machine_ids, at_once=len(view.units) + 1
        )
        _tell_plan(session, step.moves)
        _tell_stuck(session, step.stuck)
        return 1 if step.stuck else 0
    if _set_cordons(session, cordoned=True):
        return 1
    stuck: list[Stuck] = []

    def choose(view: FleetView, busy: list[str]) -> list[Move]:
        step = drains.step(
            view.units.values(), view.machines.values(), machine_ids, at_once=limit, busy=busy
        )
        stuck[:] = step.stuck
        return list(step.moves)

    mover = Mover(session)
    code = mover.run(choose)
    if code != EXIT_INTERRUPTED and not mover.failed:
        _tell_stuck(session, stuck)
        code = code or (1 if stuck else 0)
    where = " ".join(session.legend(machine_id, full=False) for machine_id in machine_ids)
    count = _count(len(mover.moved))
    if code:
        complain(f"{where}: {count} moved, not drained yet; it stays cordoned")
    else:
        out(f"{where}: {count} moved, drained")
    return code


@command
def rebalance(session: Session) -> int:
    """Move units so that machines carry alike."""
    limit = positive(session, "max-unavailable")
    max_moves = int(session.flags["max-moves"])
    if max_moves < 0:
        raise Fatal(f"--max-moves={max_moves}: must not be negative")
    view = _look(session)
    plan = rebalancing.plan(view.units.values(), view.machines.values(), max_moves=max_moves)
    if not plan:
        out("Nothing to move")
        return 0
    _tell_plan(session, plan)
    if session.flags["dry-run"]:
        return 0
    waiting = list(plan)

    def choose(view: FleetView, busy: list[str]) -> list[Move]:
        room = limit - len(busy)
        chosen: list[Move] = []
        while waiting and (len(waiting[0].units) <= room or not (busy or chosen)):
            chosen.append(waiting.pop(0))
            room -= len(chosen[-1].units)
        return chosen

    mover = Mover(session, gives_up=True)
    code = mover.run(choose)
    if code:
        complain(f"{_count(len(mover.moved))} moved; run it again to plan anew from here")
    return code


class Mover:
    """Carries moves out, a few at a time, until there are none left or one goes wrong."""

    def __init__(self, session: Session, *, gives_up: bool = False) -> None:
        timeout_s = float(session.flags["timeout"])
        self.moved: list[str] = []
        self.failed: list[str] = []
        self._session = session
        self._gives_up = gives_up  # at a move that is refused, instead of planning again
        self._timeout_s = timeout_s
        self._tracker = Tracker(settle_s=0.0, timeout_s=timeout_s)
        self._source: dict[str, str] = {}
        self._refusals: dict[str, int] = {}

    def run(self, choose: Chooser) -> int:
        """Move what is chosen, wait for it, and choose again; the exit code."""
        try:
            return self._run(choose)
        except KeyboardInterrupt:
            complain("Interrupted")
            for name in self._tracker.under_way:
                complain(f"Unit {name} is on its way")
            return EXIT_INTERRUPTED

    def _run(self, choose: Chooser) -> int:
        answered_s = time.monotonic()
        while True:
            began_s = time.monotonic()
            try:
                view = take(self._session)
                answered_s = time.monotonic()
                self._check(view)
                if not self.failed:
                    self._begin(view, choose(view, self._tracker.under_way))
            except APIError as err:
                if time.monotonic() - answered_s >= self._timeout_s:
                    complain(f"Error: {err}")
                    return 1
                self._session.debug(f"trying again: {err}")
            else:
                if not self._tracker.under_way and not self._refusals:
                    return 1 if self.failed else 0
            rest(time.monotonic() - began_s)

    def _begin(self, view: FleetView, moves: Iterable[Move]) -> None:
        before, self._refusals = self._refusals, {}
        for move in moves:
            for name in move.units:
                state = view.states.get((name, move.source))
                try:
                    self._session.client.move(name, move.source, move.target)
                except APIError as err:
                    if err.status != 409:
                        raise
                    self._refused(name, str(err), before.get(name, 0) + 1)
                    break
                # Whoever was down before need not come up for a move to have worked.
                was_up = state is not None and state.active in _RUNNING
                needs_active = was_up and view.units[name].target_state == LAUNCHED
                self._source[name] = move.source
                self._tracker.begin(name, time.monotonic(), needs_active=needs_active)

    def _refused(self, name: str, why: str, times: int) -> None:
        if self._gives_up or times >= _REFUSALS_MAX:
            complain(f"Unit {name} was not moved: {why}")
            self.failed.append(name)
        else:
            self._refusals[name] = times

    def _check(self, view: FleetView) -> None:
        for name in self._tracker.under_way:
            if name in view.units:
                seen = view.seen(name, away_from=self._source[name])
            else:
                seen = Seen(True, True, "active")  # destroyed meanwhile: nothing to wait for
            verdict = self._tracker.look(name, seen, time.monotonic())
            if verdict == UNDER_WAY:
                continue
            if verdict == DONE:
                self._arrived(view, name)
            else:
                complain(f"Unit {name} was moved, but {verdict}")
                explain_placement(self._session, name, view.units[name].machine_id)
                self.failed.append(name)

    def _arrived(self, view: FleetView, name: str) -> None:
        self.moved.append(name)
        unit = view.units.get(name)
        if unit is not None:
            source, target = self._source[name], unit.machine_id
            out(f"Unit {name} moved from {self._legend(source)} to {self._legend(target)}")

    def _legend(self, machine_id: str) -> str:
        return self._session.legend(machine_id, full=False)


def rest(spent_s: float) -> None:
    """Wait until the next look: a quarter of a second, or as long as looking takes."""
    sys.stdout.flush()  # what has arrived is news now, into a pipe too
    time.sleep(max(POLL_S, spent_s))


def _given(session: Session) -> list[str]:
    if not session.args:
        raise Fatal("No machines given")
    return find_machines(session, session.args)


def positive(session: Session, flag: str) -> int:
    """Return a flag that has to be a number above zero."""
    number = int(session.flags[flag])
    if number < 1:
        raise Fatal(f"--{flag}={number}: must be at least 1")
    return number


def _look(session: Session) -> FleetView:
    try:
        return take(session)
    except APIError as err:
        raise Fatal(f"Error: {err}") from None


def _set_cordons(session: Session, *, cordoned: bool) -> int:
    for machine_id in _given(session):
        try:
            session.client.set_cordon(machine_id, cordoned=cordoned)
        except APIError as err:
            legend = session.legend(machine_id, full=False)
            if err.status in (404, 405) and session.client.machine_rows() is None:
                raise Fatal(NOT_OFFERED) from None
            raise Fatal(f"Error: {legend}: {err}") from None
        word = "cordoned" if cordoned else "uncordoned"
        out(f"Machine {session.legend(machine_id, full=False)} {word}")
    return 0


def _tell_plan(session: Session, moves: Sequence[Move]) -> None:
    for move in moves:
        source = session.legend(move.source, full=False)
        target = session.legend(move.target, full=False)
        out(f"Move {' '.join(move.units)} from {source} to {target}")


def _tell_stuck(session: Session, stuck: Iterable[Stuck]) -> None:
    for units, source, reasons in stuck:
        complain(f"Unable to move {' '.join(units)} from {session.legend(source, full=False)}:")
        for machine_id, why in reasons:
            complain(f"  {session.legend(machine_id, full=False)}: {why}")
        if not reasons:
            complain("  there is no other machine")


def _count(number: int) -> str:
    return "1 unit" if number == 1 else f"{number} units"
