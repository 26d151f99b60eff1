"""A cluster to try moves out on: where a unit, with all that must go along, could go instead.

Units tied by MachineOf on one machine move together, the one that the others need first. The rules
are the scheduler's; what is decided here is carried out by swapping targets, which fleet 1.0.0's
engines and agents follow as well. Pure.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from coreos_py.fleet import scheduler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from coreos_py.fleet.job import Machine, Unit

_NUMBER = re.compile(r"(\d+)")


class Move(NamedTuple):
    """Units that go from one machine to another together, in this order."""

    units: tuple[str, ...]
    source: str
    target: str


class Stuck(NamedTuple):
    """Units that no machine can take, and why each cannot, by machine."""

    units: tuple[str, ...]
    source: str
    reasons: tuple[tuple[str, str], ...]


class Board:
    """The units and machines as they are, and as they would be after the moves made here."""

    def __init__(self, units: Iterable[Unit], machines: Iterable[Machine]) -> None:
        self._view = scheduler.view(units, machines)

    @property
    def machines(self) -> Sequence[str]:
        """The machines' IDs in order."""
        return list(self._view.machines)

    def is_cordoned(self, machine_id: str) -> bool:
        """Tell whether nothing new may go there."""
        return machine_id in self._view.cordoned

    def is_overbooked(self, machine_id: str) -> bool:
        """Tell whether more is reserved there than the machine has."""
        return self._view.ledger.is_overbooked(machine_id)

    def load(self, machine_id: str) -> int:
        """Return how many units count there, global ones included."""
        return self._view.load(machine_id)

    def reserves(self, name: str) -> bool:
        """Tell whether the unit has a part of its machine reserved."""
        return self._view.jobs[name].requirements.reserves

    def groups(self, machine_id: str) -> list[tuple[str, ...]]:
        """Return what is on the machine, tied units together; global units are not moved."""
        here = {n for n in self._view.present.get(machine_id, ()) if n in self._view.jobs}
        found, seen = [], set[str]()
        for name in sorted(here, key=natural):
            if name not in seen:
                group = self._tied(name, here)
                seen |= set(group)
                found.append(group)
        return found

    def find(self, group: tuple[str, ...], source: str) -> Move | Stuck:
        """Return where the group could go, the least loaded machine first; nothing is moved."""
        view = self._view
        for name in reversed(group):
            view.take(name, source)
        reasons = []
        try:
            for target in view.by_load():
                if target != source:
                    why = self._try(group, target)
                    if not why:
                        return Move(group, source, target)
                    reasons.append((target, why))
        finally:
            for name in group:
                view.put(name, source)
        return Stuck(group, source, tuple(sorted(reasons)))

    def make(self, move: Move) -> None:
        """Make the move on the board."""
        for name in reversed(move.units):
            self._view.take(name, move.source)
        for name in move.units:
            self._view.put(name, move.target)

    def _try(self, group: tuple[str, ...], target: str) -> str:
        """Return why the group, which is nowhere now, cannot be there, "" when it can."""
        placed = []
        try:
            for name in group:
                why = self._view.why_not(self._view.jobs[name], target)
                if why:
                    return why if len(group) == 1 else f"{name}: {why}"
                self._view.put(name, target)
                placed.append(name)
        finally:
            for name in reversed(placed):
                self._view.take(name, target)
        return ""

    def _tied(self, name: str, here: set[str]) -> tuple[str, ...]:
        """Return the unit and what MachineOf ties it to on its machine, peers before followers."""
        group, queue = {name}, [name]
        while queue:
            current = queue.pop()
            near = [p for p in self._view.jobs[current].requirements.peers if p in here]
            near += [u.name for u in self._view.followers.get(current, ()) if u.name in here]
            fresh = [other for other in near if other not in group]
            group |= set(fresh)
            queue += fresh
        return self._peers_first(group)

    def _peers_first(self, group: set[str]) -> tuple[str, ...]:
        found: list[str] = []
        entered = set[str]()

        def visit(name: str) -> None:
            if name in entered:
                return
            entered.add(name)
            for peer in self._view.jobs[name].requirements.peers:
                if peer in group:
                    visit(peer)
            found.append(name)

        for name in sorted(group, key=natural):
            visit(name)
        return tuple(found)


def natural(name: str) -> list[tuple[int, str]]:
    """Return what sorts web@2 before web@10."""
    parts = _NUMBER.split(name)
    return [(int(p) if i % 2 else 0, "" if i % 2 else p) for i, p in enumerate(parts)]
