"""Whose turn it is in a rolling change, and how each unit that was changed is getting on.

Works on what was seen and when; drain and rebalance watch their units' arrival with it too. Pure:
the caller owns the clock.
"""

from __future__ import annotations

from typing import NamedTuple

from coreos_py.fleet.board import natural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

UNDER_WAY = ""
DONE = "done"

_RUNNING = ("active", "reloading")
# A unit may still show the failure before its restart for so long.
_FAILED_S = 3.0


class Seen(NamedTuple):
    """What is known of a unit now.

    `is_there`: its state comes from the right machine and the right text; `is_launched`: the agent
    says it has started it; `is_short`: a oneshot unit, that need not stay active.
    """

    is_there: bool = False
    is_launched: bool = False
    active: str = ""
    sub: str = ""
    is_short: bool = False


class Watch(NamedTuple):
    """One unit that was changed: since when, and what would be well."""

    began_s: float
    needs_active: bool
    up_since_s: float | None = None
    failed_since_s: float | None = None


class Tracker:
    """Tells when a changed unit is well, or that it is not."""

    def __init__(self, *, settle_s: float, timeout_s: float) -> None:
        self._settle_s = settle_s
        self._timeout_s = timeout_s
        self._watches: dict[str, Watch] = {}

    @property
    def under_way(self) -> list[str]:
        """The units that are watched."""
        return list(self._watches)

    def begin(self, name: str, now_s: float, *, needs_active: bool) -> None:
        """Watch a unit that has just been changed."""
        self._watches[name] = Watch(now_s, needs_active)

    def look(self, name: str, seen: Seen, now_s: float) -> str:
        """Return UNDER_WAY, DONE, or what is wrong; the latter two end the watch."""
        verdict = self._verdict(name, seen, now_s)
        if verdict != UNDER_WAY:
            del self._watches[name]
        return verdict

    def _verdict(self, name: str, seen: Seen, now_s: float) -> str:
        watch = self._watches[name]
        if seen.is_there and not watch.needs_active:
            return DONE
        if _is_up(seen):
            since_s = now_s if watch.up_since_s is None else watch.up_since_s
            self._watches[name] = watch._replace(up_since_s=since_s, failed_since_s=None)
            has_ended = seen.active not in _RUNNING
            return DONE if has_ended or now_s - since_s >= self._settle_s else UNDER_WAY
        if seen.is_there and watch.up_since_s is not None:
            return f"it did not stay active: {seen.active} ({seen.sub})"
        if seen.is_there and seen.active == "failed":
            since_s = now_s if watch.failed_since_s is None else watch.failed_since_s
            self._watches[name] = watch._replace(failed_since_s=since_s)
            if now_s - since_s >= _FAILED_S:
                return f"it failed ({seen.sub})"
        if now_s - watch.began_s >= self._timeout_s:
            state = f"{seen.active} ({seen.sub})" if seen.is_there else seen.sub or "not there"
            return f"not active after {self._timeout_s:g} s: {state}"
        return UNDER_WAY


def _is_up(seen: Seen) -> bool:
    if not seen.is_there:
        return False
    ended_well = seen.is_short and seen.is_launched and seen.active == "inactive"
    return seen.active in _RUNNING or ended_well


def turn(
    waiting: Iterable[str], *, down: Collection[str], under_way: int, at_once: int
) -> list[str]:
    """Return whom to change now: what is down already first, as that costs nobody anything."""
    ordered = sorted(waiting, key=lambda name: (name not in down, natural(name)))
    return ordered[: max(at_once - under_way, 0)]
