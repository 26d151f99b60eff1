"""Reboot windows: a span of time every day or every week, and how far away it is.

Pure: the clock and the calendar are arguments, so that daylight saving is the caller's time zone's
business. Mirrors locksmith 0.6.2's pkg/timeutil/periodic.go, whose texts the errors are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from coreos_py.base import durations

DAILY = -1
_DAY_NS = 24 * durations.HOUR
_DAYS_OF_WEEK = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class Window(NamedTuple):
    """When it begins, and its length. `weekday` is 0 for Sunday, or DAILY."""

    weekday: int
    hour: int
    minute: int
    length_ns: int


class Now(NamedTuple):
    """A moment in a time zone. `at(days, hour, minute)` is that wall-clock time, `days` from today,
    as Unix nanoseconds.
    """

    unix_ns: int
    weekday: int
    at: Callable[[int, int, int], int]


def parse(start: str, length: str) -> Window:
    """A window from `[day] hour:minute` and a Go duration; ValueError."""
    try:
        weekday, hour, minute = _start(start)
    except ValueError as err:
        raise ValueError(f"unable to parse start: {err}") from None
    try:
        length_ns = durations.parse(length)
    except ValueError as err:
        raise ValueError(f"unable to parse duration: {err}") from None
    if length_ns < 0:
        raise ValueError("duration cannot be negative")
    if length_ns >= (_DAY_NS if weekday == DAILY else 7 * _DAY_NS):
        raise ValueError("duration cannot exceed period")
    return Window(weekday, hour, minute, length_ns)


def until_open_ns(window: Window, now: Now) -> int:
    """How long until the window opens; inside it, its last instant included, 0 or less."""
    last, following = _around(window, now)
    if last + window.length_ns >= now.unix_ns:
        return last - now.unix_ns
    return following - now.unix_ns


def next_ns(window: Window, now: Now) -> tuple[int, int]:
    """When the next window begins and ends, in ns since 1970; the one that is open is not next."""
    _, following = _around(window, now)
    return following, following + window.length_ns


def _around(window: Window, now: Now) -> tuple[int, int]:
    """The last beginning until now, and the first after it."""
    period = 1 if window.weekday == DAILY else 7
    days = 0 if window.weekday == DAILY else window.weekday - now.weekday
    start = now.at(days, window.hour, window.minute)
    if start <= now.unix_ns:
        return start, now.at(days + period, window.hour, window.minute)
    return now.at(days - period, window.hour, window.minute), start


def _start(text: str) -> tuple[int, int, int]:
    words = text.split()
    if len(words) not in (1, 2):
        raise ValueError("wrong number of fields")
    weekday = DAILY
    if len(words) == 2:
        if words[0].lower() not in _DAYS_OF_WEEK:
            raise ValueError(f'invalid day of week "{words[0]}"')
        weekday = _DAYS_OF_WEEK.index(words[0].lower())
    return (weekday, *_time_of_day(words[-1]))


def _time_of_day(text: str) -> tuple[int, int]:
    try:
        hour, rest = _number(text)
        if not rest:
            raise ValueError("unexpected EOF")
        if rest[0] != ":":
            raise ValueError("input does not match format")
        minute, _ = _number(rest[1:])  # what follows is ignored, as by Go's Sscanf
        if not 0 <= hour <= 23:
            raise ValueError("hour must be >= 0 and <= 23")
        if not 0 <= minute <= 59:
            raise ValueError("minute must be >= 0 and <= 59")
    except ValueError as err:
        raise ValueError(f'invalid time of day "{text}": {err}') from None
    return hour, minute


def _number(text: str) -> tuple[int, str]:
    """The number a text begins with, and what follows."""
    sign = text[:1] if text[:1] in ("+", "-") else ""
    end = len(sign)
    while end < len(text) and text[end] in "0123456789":
        end += 1
    digits = text[len(sign) : end]
    if not digits:
        raise ValueError("EOF" if not text[len(sign) :] else "expected integer")
    if len(digits.lstrip("0")) > 18:
        raise ValueError(f'strconv.ParseInt: parsing "{text[:end]}": value out of range')
    return int(sign + digits), text[end:]
