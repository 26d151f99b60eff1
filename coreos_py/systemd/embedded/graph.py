"""Who needs whom, who comes first, and who goes down together. Pure.

Only units that are held are ever returned; the others might as well not exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from coreos_py.systemd.embedded.definition import Dependencies


class StartPlan(NamedTuple):
    """Units a start pulls in, the asked-for one last, and units that must make way."""

    units: tuple[str, ...]
    conflicting: tuple[str, ...]


class Needs(NamedTuple):
    """Units that must be up at once, and those that must have come up before."""

    present_now: tuple[str, ...]
    present_first: tuple[str, ...]


class Graph:
    """The dependencies of all units held."""

    def __init__(self) -> None:
        self._units: dict[str, Dependencies] = {}

    def add(self, name: str, dependencies: Dependencies) -> None:
        self._units[name] = dependencies

    def remove(self, name: str) -> None:
        self._units.pop(name, None)

    def started_with(self, name: str) -> StartPlan:
        """What starting a unit means for the others."""
        units: dict[str, None] = {}
        self._pull(name, units)
        conflicting = [
            other for unit in units for other in self.conflicts(unit) if other not in units
        ]
        return StartPlan(tuple(units), tuple(dict.fromkeys(conflicting)))

    def _pull(self, name: str, units: dict[str, None]) -> None:
        stack = [(name, False)]
        opened = set()
        while stack:
            unit, expanded = stack.pop()
            if expanded:
                units[unit] = None
                continue
            if unit in opened or unit not in self._units:
                continue
            opened.add(unit)
            stack.append((unit, True))
            one = self._units[unit]
            stack.extend((other, False) for other in (*one.wants, *one.binds_to, *one.requires))

    def stopped_with(self, name: str) -> list[str]:
        """The unit and, transitively, those that must not be up without it."""
        if name not in self._units:
            return []
        found = {name: None}
        queue = [name]
        while queue:
            gone = queue.pop()
            for unit, one in self._units.items():
                if unit not in found and (
                    gone in one.requires
                    or gone in one.binds_to
                    or gone in one.part_of
                    or gone in one.requisite
                ):
                    found[unit] = None
                    queue.append(unit)
        return list(found)

    def bound_to(self, name: str) -> list[str]:
        """Units with BindsTo= on this one."""
        return [unit for unit, one in self._units.items() if name in one.binds_to]

    def after(self, name: str) -> list[str]:
        """Units that come up before this one."""
        own = self._units[name]
        return [
            unit
            for unit, one in self._units.items()
            if unit != name and (unit in own.after or name in one.before)
        ]

    def before(self, name: str) -> list[str]:
        """Units that come up after this one, hence go down before it."""
        own = self._units[name]
        return [
            unit
            for unit, one in self._units.items()
            if unit != name and (unit in own.before or name in one.after)
        ]

    def conflicts(self, name: str) -> list[str]:
        """Units that cannot be up together with this one, whichever side says so."""
        own = self._units[name]
        return [
            unit
            for unit, one in self._units.items()
            if unit != name and (unit in own.conflicts or name in one.conflicts)
        ]

    def needs(self, name: str) -> Needs:
        """What must be up for a start: Requisite= in any case, Requires=, BindsTo= when ordered."""
        own = self._units[name]
        first = set(self.after(name))
        ordered = [unit for unit in (*own.requires, *own.binds_to) if unit in first]
        return Needs(tuple(unit for unit in own.requisite if unit in self._units), tuple(ordered))
