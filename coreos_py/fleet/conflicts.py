"""Who may not share a machine with whom, answered from an index instead of by comparing all pairs.

A pattern that somebody declares is matched once against the sorted unit names; after that a machine
only counts, per pattern, how many of its units match it and how many declare it. A newcomer is in
the way of a machine when one of its own patterns has matches there, or one of the patterns that
match it is declared there. Mirrors AgentState.HasConflict of fleet 1.0.0. Pure.
"""

from __future__ import annotations

from bisect import bisect_left

from coreos_py.fleet.gomatch import is_literal, literal_prefix, literal_suffix, matches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from coreos_py.fleet.job import Unit

    Counts = dict[str, int]  # machine ID -> how many units

# Above every character a unit name may hold.
_LAST = "\U0010ffff"
# So few names are tried faster than narrowed down.
_FEW = 64


def in_conflict(first: Unit, second: Unit) -> bool:
    """Tell whether either of two different units declares the other as a conflict."""
    if first.name == second.name:
        return False
    return matches_any(first.requirements.conflicts, second.name) or matches_any(
        second.requirements.conflicts, first.name
    )


def replaces(first: Unit, second: Unit) -> bool:
    """Tell whether `first` replaces `second`; two that name each other replace nobody."""
    if first.name == second.name:
        return False
    return matches_any(first.requirements.replaces, second.name) and not matches_any(
        second.requirements.replaces, first.name
    )


def matches_any(patterns: Iterable[str], name: str) -> bool:
    """Tell whether one of the patterns matches the name."""
    return any(matches(pattern, name) for pattern in patterns)


class Names:
    """Unit names sorted from both ends, so that a pattern need not be tried on all of them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._known = frozenset(names)
        self._sorted = sorted(self._known)
        self._mirrored: list[str] = []

    def matching(self, pattern: str) -> Sequence[str]:
        """Return every name the pattern matches, in a fixed order."""
        if is_literal(pattern):
            return (pattern,) if pattern in self._known else ()
        return [name for name in self._candidates(pattern) if matches(pattern, name)]

    def _candidates(self, pattern: str) -> Iterable[str]:
        """Return the shorter of two lists that hold all matches: by prefix or by suffix."""
        by_prefix = _with_prefix(self._sorted, literal_prefix(pattern))
        suffix = literal_suffix(pattern)
        if not suffix or len(by_prefix) <= _FEW:
            return by_prefix
        if not self._mirrored:
            self._mirrored = sorted(name[::-1] for name in self._sorted)
        by_suffix = _with_prefix(self._mirrored, suffix[::-1])
        if len(by_prefix) <= len(by_suffix):
            return by_prefix
        return sorted(name[::-1] for name in by_suffix)


def _with_prefix(names: list[str], prefix: str) -> list[str]:
    return names[bisect_left(names, prefix) : bisect_left(names, prefix + _LAST)]


class ConflictIndex:
    """Which machines hold something that a unit conflicts with."""

    def __init__(self, units: Iterable[Unit]) -> None:
        self._own: dict[str, tuple[str, ...]] = {}
        self._hit_by: dict[str, list[str]] = {}
        self._matched: dict[str, Counts] = {}
        self._declared: dict[str, Counts] = {}
        names: list[str] = []
        for unit in units:
            names.append(unit.name)
            if unit.requirements.conflicts:
                self._own[unit.name] = tuple(dict.fromkeys(unit.requirements.conflicts))
        patterns = dict.fromkeys(pattern for own in self._own.values() for pattern in own)
        index = Names(names) if patterns else None
        for pattern in patterns:
            self._matched[pattern] = {}
            self._declared[pattern] = {}
            for name in index.matching(pattern) if index is not None else ():
                self._hit_by.setdefault(name, []).append(pattern)

    def signature(self, name: str) -> tuple[object, ...]:
        """Return what decides whom this unit conflicts with: equal signatures, equal answers."""
        return (self._own.get(name), tuple(self._hit_by.get(name, ())))

    def concerns(self, name: str) -> bool:
        """Tell whether the unit can conflict with anything at all."""
        return name in self._own or name in self._hit_by

    def blockers(self, name: str) -> list[Counts]:
        """Return tables whose keys are the machines where the unit, not there yet, would conflict.

        A unit whose pattern matches its own name finds itself where it is: take it out first.
        """
        tables = [self._matched[pattern] for pattern in self._own.get(name, ())]
        tables += [self._declared[pattern] for pattern in self._hit_by.get(name, ())]
        return [table for table in tables if table]

    def is_blocked(self, name: str, machine_id: str) -> bool:
        """Tell whether the unit, not on the machine yet, would conflict there."""
        return any(machine_id in table for table in self.blockers(name))

    def add(self, name: str, machine_id: str) -> None:
        """Count the unit as present on the machine."""
        for pattern in self._hit_by.get(name, ()):
            table = self._matched[pattern]
            table[machine_id] = table.get(machine_id, 0) + 1
        for pattern in self._own.get(name, ()):
            table = self._declared[pattern]
            table[machine_id] = table.get(machine_id, 0) + 1

    def remove(self, name: str, machine_id: str) -> None:
        """Undo add()."""
        tables = [self._matched[pattern] for pattern in self._hit_by.get(name, ())]
        tables += [self._declared[pattern] for pattern in self._own.get(name, ())]
        for table in tables:
            if table[machine_id] == 1:
                del table[machine_id]
            else:
                table[machine_id] -= 1
