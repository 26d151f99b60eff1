"""Looks at the process table from time to time for units of which nothing may be left.

All watched units share one look; the pause between looks grows while nothing happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.systemd.embedded.process import Process, processes

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    Looked = Callable[[str, list[Process]], None]

_FIRST_S = 0.002
_LONGEST_S = 0.25
_GROWTH = 1.6


class TreeWatch:
    """The units being watched; `looked(unit, table)` is called for each at every look."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        looked: Looked,
        marks: Callable[[], Mapping[str, int]],
    ) -> None:
        self._loop = loop
        self._looked = looked
        self._marks = marks
        self._units: dict[str, None] = {}
        self._pause_s = _FIRST_S
        self._handle: asyncio.TimerHandle | None = None

    def watch(self, unit: str, *, on: bool) -> None:
        """Look after a unit, or no longer."""
        if on:
            self._units[unit] = None
            self.hurry(unit)
        else:
            self._units.pop(unit, None)

    def hurry(self, unit: str) -> None:
        """Look soon: something of this unit has just ended."""
        if unit in self._units:
            self._pause_s = _FIRST_S
            self._schedule()

    def close(self) -> None:
        self._units.clear()
        if self._handle is not None:
            self._handle.cancel()

    def _schedule(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.call_later(self._pause_s, self._look)

    def _look(self) -> None:
        self._handle = None
        if not self._units:
            return
        self._pause_s = min(self._pause_s * _GROWTH, _LONGEST_S)
        table = processes()
        marks = self._marks()
        for unit in list(self._units):
            if unit in marks:
                self._looked(unit, table)
        if self._units and self._handle is None:
            self._schedule()
