"""Which units to move so that machines carry alike: few moves, each of them worth it.

Overbooked machines give away what reserves first; then, again and again, the fullest machine gives
what helps to the emptiest that may take it. A group moves at most once, a single unit rather than
a group, and nothing that would only change places. Cordoned machines are left alone. Pure.
"""

from __future__ import annotations

from coreos_py.fleet.board import Board, Move

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from coreos_py.fleet.job import Machine, Unit


def plan(units: Iterable[Unit], machines: Iterable[Machine], *, max_moves: int = 0) -> list[Move]:
    """Return the moves in order; `max_moves` 0 means as many as help."""
    planner = _Planner(Board(units, machines), max_moves)
    planner.relieve()
    planner.level()
    return planner.moves


class _Planner:
    def __init__(self, board: Board, max_moves: int) -> None:
        self.board = board
        self.moves: list[Move] = []
        self._max = max_moves
        self._moved: set[str] = set()
        self._sources = [m for m in board.machines if not board.is_cordoned(m)]

    def relieve(self) -> None:
        """Take reserving units off machines that have promised more than they have."""
        for source in self._sources:
            for group in self._movable(source):
                if not self.board.is_overbooked(source) or self._is_full():
                    break
                if any(self.board.reserves(name) for name in group):
                    found = self.board.find(group, source)
                    if isinstance(found, Move):
                        self._make(found)

    def level(self) -> None:
        """Move from full machines to empty ones while that evens things out."""
        while not self._is_full():
            move = self._best()
            if move is None:
                return
            self._make(move)

    def _best(self) -> Move | None:
        """Return the first move that helps, from the fullest machine that has one."""
        least = min((self.board.load(m) for m in self._sources), default=0)
        for source in sorted(self._sources, key=lambda m: (-self.board.load(m), m)):
            load = self.board.load(source)
            for group in self._movable(source):
                if len(group) >= load - least:
                    continue
                found = self.board.find(group, source)
                if isinstance(found, Move) and len(group) < load - self.board.load(found.target):
                    return found
        return None

    def _movable(self, source: str) -> list[tuple[str, ...]]:
        groups = self.board.groups(source)
        return sorted((g for g in groups if g[0] not in self._moved), key=len)

    def _is_full(self) -> bool:
        return 0 < self._max <= len(self.moves)

    def _make(self, move: Move) -> None:
        self.board.make(move)
        self.moves.append(move)
        self._moved |= set(move.units)
