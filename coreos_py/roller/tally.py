"""How an instance counts in its group, and what changes when it does not stay as it was. Pure.

A group has one tally per version: how many run it, were granted it, are on their way to it, and
got there. The sums replace a look at every instance.
"""

from __future__ import annotations

from typing import NamedTuple

from coreos_py.roller.records import Standing


class Tally(NamedTuple):
    """One version's numbers in one group."""

    running: int = 0
    granted: int = 0
    in_progress: int = 0  # on the way to it
    succeeded: int = 0  # granted, and running it


def add(one: Tally, other: Tally) -> Tally:
    """The sum."""
    return Tally._make(a + b for a, b in zip(one, other, strict=True))


def changes(before: Standing | None, after: Standing) -> dict[tuple[str, str], Tally]:
    """What to add to the tallies, by group and version, when a standing changes."""
    deltas: dict[tuple[str, str], Tally] = {}
    for key, tally in _counts(after):
        deltas[key] = add(deltas.get(key, Tally()), tally)
    if before is not None:
        for key, tally in _counts(before):
            negative = Tally._make(-number for number in tally)
            deltas[key] = add(deltas.get(key, Tally()), negative)
    return {key: delta for key, delta in deltas.items() if any(delta)}


def _counts(standing: Standing) -> list[tuple[tuple[str, str], Tally]]:
    group_id, granted = standing.group_id, standing.granted_version
    if group_id is None or not standing.seen:
        return []
    counts = [((group_id, standing.version), Tally(running=1))]
    if granted is not None:
        succeeded = not standing.in_progress and standing.version == granted
        tally = Tally(0, 1, int(standing.in_progress), int(succeeded))
        counts.append(((group_id, granted), tally))
    return counts
