"""What leaves a machine that is being emptied, a few units at a time.

Asked again after every step with the cluster as it is then, so nothing here remembers anything and
a drain can be taken up wherever it was left. Global units stay: they belong to the machine. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

from coreos_py.fleet.board import Board, Move, Stuck

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from coreos_py.fleet.job import Machine, Unit


class Step(NamedTuple):
    """What to move now, and what cannot be moved as things are."""

    moves: tuple[Move, ...]
    stuck: tuple[Stuck, ...]


def step(
    units: Iterable[Unit],
    machines: Iterable[Machine],
    sources: Collection[str],
    *,
    at_once: int,
    busy: Collection[str] = (),
) -> Step:
    """Choose what leaves the sources next.

    No more than `at_once` units are on their way together with the `busy` ones, except that a group
    which is larger goes on its own. A source is never a target, cordoned or not.
    """
    shut = [m._replace(is_cordoned=True) if m.id in sources else m for m in machines]
    board = Board(units, shut)
    room = at_once - len(busy)
    moves: list[Move] = []
    stuck: list[Stuck] = []
    for source in sorted(sources):
        for group in board.groups(source):
            if any(name in busy for name in group):
                continue
            found = board.find(group, source)
            if isinstance(found, Stuck):
                stuck.append(found)
                continue
            is_alone = not moves and not busy
            if len(group) <= room or (is_alone and room > 0):
                board.make(found)
                moves.append(found)
                room -= len(group)
    return Step(tuple(moves), tuple(stuck))
