"""The hour of the day somewhere: the one place where rollerd reads the time zone database."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from coreos_py.roller.policy import Local

_UTC_NAMES = ("UTC", "Etc/UTC", "GMT", "Zulu")


@lru_cache(maxsize=512)
def _zone(name: str) -> tzinfo | None:
    """None where the name is unknown: no such zone, or no tzdata on this machine."""
    if name in _UTC_NAMES:
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # names that are no file names, too
        return None


def is_known(name: str) -> bool:
    """Whether office hours can be kept there."""
    return bool(name) and _zone(name) is not None


def local(name: str | None, now_us: int) -> Local | None:
    """The day and hour there; None where the zone is not known."""
    zone = _zone(name) if name else None
    if zone is None:
        return None
    then = datetime.fromtimestamp(now_us / 1_000_000, zone)
    return Local(then.weekday(), then.hour)


def names() -> list[str]:
    """All zones, for people to choose from."""
    return sorted({"UTC", *available_timezones()})
