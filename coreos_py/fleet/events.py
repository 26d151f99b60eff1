"""What happened in the cluster: one record per event, and the ring of etcd keys that keeps them.

Every fleetd writes what it did and saw below x-events/MACHINE/SLOT, where fleet 1.0.0 does not
look. A slot holds events as JSON, one per line; when it is full the next one is begun and the
oldest goes, so a machine's history has a fixed size. What repeats is counted instead of listed.
Pure: times are arguments.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from coreos_py.fleet.gomatch import matches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STATE = "state"  # of a unit; one that fails and comes back for ever is told once
SLOTS = 4
SLOT_EVENTS = 64
_TEXT_MAX = 500
_WORDS = ("kind", "unit", "machine", "text", "reporter")
# So many events back something counts as said already.
_REPEAT_WITHIN = 16


class Event(NamedTuple):
    """One thing that happened. `number` counts the events of one reporting machine."""

    number: int
    unix_ms: int
    kind: str
    unit: str = ""
    machine: str = ""  # the machine it is about
    text: str = ""
    times: int = 1
    reporter: str = ""

    def says_as(self, other: Event) -> bool:
        """Tell whether both say the same."""
        return self[2:6] == other[2:6]


class Ring:
    """One machine's slots, as far as it is still writing them."""

    def __init__(self) -> None:
        self._slot = 0
        self._next = 1
        self._events: list[Event] = []

    def resume(self, slots: Mapping[int, str]) -> None:
        """Go on after what an earlier process has left."""
        newest = max(slots, key=lambda slot: _last_number(slots[slot]), default=None)
        if newest is not None:
            self._slot = newest % SLOTS
            self._events = decode(slots[newest])
            self._next = _last_number(slots[newest]) + 1

    def add(self, unix_ms: int, event: Event) -> tuple[int, str] | None:
        """Enter an event; its number and time are set here. Return the slot that this closed."""
        fresh = event._replace(unix_ms=unix_ms, text=event.text[:_TEXT_MAX])
        for at in range(len(self._events) - 1, max(len(self._events) - _REPEAT_WITHIN, 0) - 1, -1):
            old = self._events[at]
            if old.says_as(fresh):
                del self._events[at]
                fresh = fresh._replace(times=old.times + fresh.times)
                break
            if old.unit == fresh.unit and fresh.kind != STATE:
                break  # something else came between: the order tells the story
        closed = None
        if len(self._events) >= SLOT_EVENTS:
            closed = self.current()
            self._slot = (self._slot + 1) % SLOTS
            self._events = []
        self._events.append(fresh._replace(number=self._next))
        self._next += 1
        return closed

    def current(self) -> tuple[int, str]:
        """Return the slot being filled and its text."""
        return self._slot, encode(self._events)


def encode(events: Iterable[Event]) -> str:
    """Return a slot's text."""
    return "\n".join(json.dumps(_data(event), separators=(",", ":")) for event in events)


def decode(text: str, *, reporter: str = "") -> list[Event]:
    """Read a slot; lines that make no sense are passed over."""
    found = []
    for line in text.splitlines():
        try:
            event = from_data(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        found.append(event._replace(reporter=reporter))
    return found


def to_data(event: Event) -> dict[str, object]:
    """Return an event as the API and fleetctl --json show it."""
    data = _data(event)
    if event.reporter:
        data["reporter"] = event.reporter
    return data


def from_data(data: Mapping[str, object]) -> Event:
    """Read what to_data() wrote."""
    number, unix_ms, times = data["n"], data["t"], data.get("times", 1)
    if not (isinstance(number, int) and isinstance(unix_ms, int) and isinstance(times, int)):
        raise ValueError("an event's numbers are not numbers")
    kind, unit, machine, text, reporter = (str(data.get(key, "")) for key in _WORDS)
    return Event(number, unix_ms, kind, unit, machine, text, times, reporter)


def _data(event: Event) -> dict[str, object]:
    data: dict[str, object] = {"n": event.number, "t": event.unix_ms, "kind": event.kind}
    for key in ("unit", "machine", "text"):
        value = getattr(event, key)
        if value:
            data[key] = value
    if event.times > 1:
        data["times"] = event.times
    return data


def _last_number(text: str) -> int:
    return max((event.number for event in decode(text)), default=0)


def in_order(events: Iterable[Event]) -> list[Event]:
    """Return the events of all machines, oldest first."""
    return sorted(events, key=lambda event: (event.unix_ms, event.reporter, event.number))


def is_wanted(event: Event, *, unit: str = "", machine: str = "") -> bool:
    """Tell whether an event is about a unit that the glob matches and the machine, by prefix."""
    if unit and not matches(unit, event.unit):
        return False
    return not machine or event.machine.startswith(machine)
