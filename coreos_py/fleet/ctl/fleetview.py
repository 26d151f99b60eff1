"""The cluster as the pure planners want it, read through whatever client there is."""

from __future__ import annotations

from typing import NamedTuple

from coreos_py.fleet import requirements
from coreos_py.fleet.ctl.client import APIError
from coreos_py.fleet.ctl.session import Fatal
from coreos_py.fleet.job import LAUNCHED, Machine, Unit
from coreos_py.fleet.rollout import Seen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from coreos_py.fleet.ctl.client import Unit as ShownUnit
    from coreos_py.fleet.ctl.client import UnitState
    from coreos_py.fleet.ctl.session import Session

NOT_OFFERED = "fleetd does not offer this; fleetd 1.0.0 needs --driver=etcd for it"


class FleetView(NamedTuple):
    """One reading of everything."""

    units: Mapping[str, Unit]
    machines: Mapping[str, Machine]
    states: Mapping[tuple[str, str], UnitState]

    def seen(self, name: str, *, unit_hash: str = "", away_from: str = "") -> Seen:
        """Return how a unit does on its machine; a state of another text or place is none."""
        unit = self.units[name]
        left = self.states.get((name, away_from))
        if left is not None:
            return Seen(sub=f"{left.active} where it was")
        state = self.states.get((name, unit.machine_id))
        if state is None or unit.machine_id == away_from or unit_hash not in ("", state.hash):
            return Seen()
        is_launched = unit.heartbeat == unit.machine_id
        return Seen(True, is_launched, state.active, state.sub, is_oneshot(unit))


def take(session: Session) -> FleetView:
    """Read units, machines and states; APIError when that fails."""
    client = session.client
    rows = client.machine_rows()
    if rows is None:
        raise Fatal(NOT_OFFERED)
    extra = {row["id"]: row for row in rows}
    machines = {}
    for shown in client.machines():
        row = extra.get(shown.id, {})
        machines[shown.id] = Machine(
            shown.id,
            shown.ip,
            shown.metadata,
            "",
            row.get("memory", 0),
            row.get("milliCPU", 0),
            row.get("state") == "cordoned",
        )
    units = {shown.name: convert(shown) for shown in client.units()}
    states = {(state.name, state.machine_id): state for state in client.states()}
    return FleetView(units, machines, states)


def convert(shown: ShownUnit) -> Unit:
    """Return a unit as the scheduler knows it."""
    wants = requirements.parse(shown.name, shown.file.options)
    beats = shown.machine_id if shown.current_state == LAUNCHED else ""
    return Unit(shown.name, shown.file, wants, shown.desired_state, shown.machine_id, beats)


def is_oneshot(unit: Unit) -> bool:
    """Tell whether the unit's process is meant to end."""
    return unit.file.values("Service", "Type")[-1:] == ["oneshot"]


def find_machines(session: Session, words: Iterable[str]) -> list[str]:
    """Return the IDs that the words begin; Fatal when one is nobody's or several machines'."""
    try:
        known = [machine.id for machine in session.client.machines()]
    except APIError as err:
        raise Fatal(f"Error retrieving list of active machines: {err}") from None
    found = []
    for word in words:
        matching = [machine_id for machine_id in known if machine_id.startswith(word)]
        if word in matching:
            matching = [word]
        if len(matching) != 1:
            problem = "found more than one machine" if matching else "machine does not exist"
            raise Fatal(f"{word}: {problem}")
        found += matching
    return list(dict.fromkeys(found))
