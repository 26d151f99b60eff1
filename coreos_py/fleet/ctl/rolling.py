"""fleetctl rollout: give units new text, or restart them, a few at a time, and stop when one fails.

Nothing is kept between runs: a unit that has the new text and is well needs nothing more, so the
same command goes on where an earlier one was stopped. Each change is one request that leaves the
unit wanted as it was, so that an interrupted run leaves no unit down; a restart has two, and an
interrupted one is finished first.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from coreos_py.base.unitfile import name_info
from coreos_py.fleet import requirements
from coreos_py.fleet.board import natural
from coreos_py.fleet.ctl.client import APIError
from coreos_py.fleet.ctl.creating import CreationError, beside, read_unit_file
from coreos_py.fleet.ctl.fleetview import convert, is_oneshot
from coreos_py.fleet.ctl.moving import EXIT_INTERRUPTED, positive, rest
from coreos_py.fleet.ctl.session import (
    Fatal,
    Session,
    command,
    complain,
    is_glob,
    out,
    unit_name,
)
from coreos_py.fleet.ctl.waiting import explain_placement
from coreos_py.fleet.gomatch import matches
from coreos_py.fleet.job import INACTIVE, LAUNCHED, LOADED
from coreos_py.fleet.requirements import RequirementsError
from coreos_py.fleet.rollout import DONE, UNDER_WAY, Seen, Tracker, turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from coreos_py.base.unitfile import UnitFile
    from coreos_py.fleet.ctl.client import UnitState
    from coreos_py.fleet.job import Unit

_RUNNING = ("active", "reloading")


class Change(NamedTuple):
    """What shall become of the units: new text for each, None for a restart as they are."""

    texts: Mapping[str, UnitFile | None]
    templates: Mapping[str, UnitFile]


@command
def rollout(session: Session) -> int:
    """Change units a few at a time."""
    if not session.args:
        raise Fatal("No units given")
    limit = positive(session, "max-unavailable")
    known = _known(session)
    change = _change(session, known)
    if not change.texts:
        raise Fatal("Units not found in registry")
    run = Rollout(session, change, limit=limit)
    try:
        code = run.run()
    except KeyboardInterrupt:
        run.finish_restarts()
        complain("Interrupted")
        code = EXIT_INTERRUPTED
    run.tell()
    return code


class Rollout:
    """One run over the units."""

    def __init__(self, session: Session, change: Change, *, limit: int) -> None:
        self._session = session
        self._change = change
        self._limit = limit
        self._timeout_s = float(session.flags["timeout"])
        self._tracker = Tracker(settle_s=float(session.flags["settle"]), timeout_s=self._timeout_s)
        self._waiting = sorted(change.texts, key=natural)
        self._stopping: dict[str, float] = {}
        self._sent: set[str] = set()
        self._done: list[str] = []
        self._failed: list[str] = []
        self._units: dict[str, Unit] = {}
        self._states: dict[tuple[str, str], UnitState] = {}

    def run(self) -> int:
        """Work until all is done or something fails; the exit code."""
        answered_s = time.monotonic()
        while True:
            began_s = time.monotonic()
            try:
                self._read()
                answered_s = time.monotonic()
                self._skip_what_is_done()
                self._check()
                if not self._failed:
                    self._go_on()
                if not self._tracker.under_way and not self._stopping:
                    if self._failed:
                        return 1
                    if not self._waiting:
                        return self._renew_templates()
            except APIError as err:
                if time.monotonic() - answered_s >= self._timeout_s:
                    complain(f"Error: {err}")
                    return 1
                self._session.debug(f"trying again: {err}")
            rest(time.monotonic() - began_s)

    def finish_restarts(self) -> None:
        """Start again what was stopped and not started yet."""
        for name in self._stopping:
            try:
                self._session.client.set_target_state(name, LAUNCHED)
            except APIError as err:
                complain(f"Unit {name} stays stopped: {err}")

    def tell(self) -> None:
        """Say where the rollout stands, unless all is done."""
        if self._failed or self._waiting or self._tracker.under_way or self._stopping:
            total = len(self._change.texts)
            complain(f"{len(self._done)} of {total} units are done")
            under_way = [*self._tracker.under_way, *self._stopping]
            for title, names in (
                ("failed", self._failed),
                ("under way", under_way),
                ("not touched", self._waiting),
            ):
                if names:
                    complain(f"  {title}: {' '.join(names)}")
            complain("The same command goes on from here; with the old unit file it goes back.")

    # -- one round

    def _read(self) -> None:
        client = self._session.client
        self._units = {shown.name: convert(shown) for shown in client.units()}
        self._states = {(s.name, s.machine_id): s for s in client.states()}
        for names in (self._waiting, self._tracker.under_way, list(self._stopping)):
            for name in names:
                if name not in self._units:
                    raise Fatal(f"Unit {name} was destroyed meanwhile")

    def _skip_what_is_done(self) -> None:
        """Pass over units that have the text and are well; wait for those that are not."""
        for name in list(self._waiting):
            text, unit = self._change.texts[name], self._units[name]
            if text is None or unit.file != text:
                continue
            self._waiting.remove(name)
            if unit.target_state == LAUNCHED and not self._is_up(name):
                self._tracker.begin(name, time.monotonic(), needs_active=True)
            else:
                self._done.append(name)

    def _check(self) -> None:
        now_s = time.monotonic()
        for name in list(self._stopping):
            self._check_stopping(name, now_s)
        for name in self._tracker.under_way:
            verdict = self._tracker.look(name, self._seen(name), now_s)
            if verdict == DONE:
                self._done.append(name)
                if name in self._sent:
                    verb = "restarted" if self._change.texts[name] is None else "replaced"
                    out(f"Unit {name} {verb}{self._where(name)}")
            elif verdict != UNDER_WAY:
                complain(f"Unit {name}: {verdict}")
                explain_placement(self._session, name, self._units[name].machine_id)
                self._failed.append(name)

    def _check_stopping(self, name: str, now_s: float) -> None:
        unit = self._units[name]
        state = self._states.get((name, unit.machine_id))
        is_down = state is None or state.active in ("inactive", "failed")
        if is_down and not unit.heartbeat:
            self._session.client.set_target_state(name, LAUNCHED)
            del self._stopping[name]
            self._tracker.begin(name, now_s, needs_active=True)
        elif now_s - self._stopping[name] >= self._timeout_s:
            complain(f"Unit {name}: it does not stop")
            self._session.client.set_target_state(name, LAUNCHED)
            del self._stopping[name]
            self._failed.append(name)

    def _go_on(self) -> None:
        down = [name for name in self._waiting if not self._is_up(name)]
        under_way = len(self._tracker.under_way) + len(self._stopping)
        for name in turn(self._waiting, down=down, under_way=under_way, at_once=self._limit):
            self._send(name)
            self._waiting.remove(name)
            self._sent.add(name)

    def _send(self, name: str) -> None:
        client, unit, text = self._session.client, self._units[name], self._change.texts[name]
        if text is not None:
            client.create(name, text, target_state=unit.target_state)
            if unit.target_state == INACTIVE:
                self._done.append(name)
                out(f"Unit {name} replaced")
                return
            needs_active = unit.target_state == LAUNCHED
            self._tracker.begin(name, time.monotonic(), needs_active=needs_active)
        elif unit.heartbeat:
            client.set_target_state(name, LOADED)
            self._stopping[name] = time.monotonic()
        else:
            self._tracker.begin(name, time.monotonic(), needs_active=True)

    def _renew_templates(self) -> int:
        """Give the templates the text that their instances are well with."""
        for name, text in self._change.templates.items():
            template = self._units.get(name)
            if template is not None and template.file != text:
                self._session.client.create(name, text, target_state=template.target_state)
                out(f"Unit {name} replaced")
        out(f"{len(self._done)} of {len(self._change.texts)} units are done")
        return 0

    # -- what is seen

    def _seen(self, name: str) -> Seen:
        unit, text = self._units[name], self._change.texts[name]
        state = self._states.get((name, unit.machine_id))
        if state is None or (text is not None and state.hash != text.hash):
            return Seen()
        is_launched = bool(unit.heartbeat) and unit.heartbeat == unit.machine_id
        return Seen(True, is_launched, state.active, state.sub, is_oneshot(unit))

    def _is_up(self, name: str) -> bool:
        state = self._states.get((name, self._units[name].machine_id))
        if state is None:
            return False
        ended_well = state.active == "inactive" and is_oneshot(self._units[name])
        return state.active in _RUNNING or ended_well

    def _where(self, name: str) -> str:
        machine_id = self._units[name].machine_id
        return f" on {self._session.legend(machine_id, full=False)}" if machine_id else ""


# -- what to change


def _known(session: Session) -> dict[str, Unit]:
    try:
        return {shown.name: convert(shown) for shown in session.client.units()}
    except APIError as err:
        raise Fatal(f"Error: {err}") from None


def _change(session: Session, known: Mapping[str, Unit]) -> Change:
    """Find the units that the arguments mean, and their new text."""
    is_restart: bool = session.flags["restart"]
    texts: dict[str, UnitFile | None] = {}
    templates: dict[str, UnitFile] = {}
    for argument in session.args:
        for name in _matching(unit_name(argument), known):
            unit = known[name]
            if unit.is_global:
                raise Fatal(
                    f"Unit {name} is global and changes everywhere at once:"
                    " use fleetctl start --replace"
                )
            if is_restart:
                if unit.target_state == LAUNCHED:
                    texts[name] = None
                continue
            texts[name] = _new_text(argument, name, known)
        template = unit_name(argument)
        info = name_info(template)
        if info is not None and info.is_template and not is_restart:
            templates[template] = _new_text(argument, template, known)
    return Change(texts, templates)


def _matching(wanted: str, known: Mapping[str, Unit]) -> list[str]:
    """Return the instances of a template, what a glob matches, or the one unit there is."""
    units = [name for name in known if not _is_template(name)]
    info = name_info(wanted)
    if info is not None and info.is_template:
        return [name for name in units if _template_of(name) == wanted]
    if is_glob(wanted):
        return [name for name in units if matches(wanted, name)]
    if wanted not in known:
        raise Fatal(f"Unit {wanted} not found in registry")
    return [wanted]


def _new_text(argument: str, name: str, known: Mapping[str, Unit]) -> UnitFile:
    """Read the unit's file beside where the argument points, or its template's, or take that of
    the cluster."""
    info = name_info(name)
    paths = [beside(argument, name)]
    if info is not None and info.is_instance:
        paths.append(beside(argument, info.template))
    for path in paths:
        if os.path.exists(path):
            try:
                file = read_unit_file(path)
                requirements.check(file.options)
            except (CreationError, RequirementsError) as err:
                raise Fatal(f"{path}: {err}") from None
            return file
    template = name if info is not None and info.is_template else _template_of(name)
    if template in known and "/" not in argument:
        return known[template].file
    raise Fatal(f"{name}: no unit file {' or '.join(paths)}; --restart restarts units as they are")


def _is_template(name: str) -> bool:
    info = name_info(name)
    return info is not None and info.is_template


def _template_of(name: str) -> str:
    info = name_info(name)
    return info.template if info is not None and info.is_instance else ""
