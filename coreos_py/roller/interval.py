"""Lengths of time as PostgreSQL reads them: `15 minutes`, `1 day 02:30`, `PT90S`, `1.5 hours`.

Mirrors what interval_in takes of what people write; a month is 30 days and a year 12 of them, as
where PostgreSQL compares intervals.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

LENGTH_MAX = 60
_LONGEST_US = 1 << 56

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_MONTH = 30 * _DAY
_UNITS = {
    "microseconds": 1,
    "milliseconds": 1000,
    "seconds": _SECOND,
    "minutes": 60 * _SECOND,
    "hours": 3600 * _SECOND,
    "days": _DAY,
    "weeks": 7 * _DAY,
    "months": _MONTH,
    "years": 12 * _MONTH,
    "decades": 120 * _MONTH,
    "centuries": 1200 * _MONTH,
}
_SHORT = {
    "us usec usecs microsecond": "microseconds",
    "ms msec msecs millisecond": "milliseconds",
    "s sec secs second": "seconds",
    "m min mins minute": "minutes",
    "h hr hrs hour": "hours",
    "d day": "days",
    "w week": "weeks",
    "mon mons month": "months",
    "y yr yrs year": "years",
    "dec decs decade": "decades",
    "c cent century": "centuries",
}
_NAMES = {name: unit for names, unit in _SHORT.items() for name in names.split()}
_NAMES |= {name: name for name in _UNITS}

_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_PART = re.compile(rf"\s*({_NUMBER})\s*([a-z]+)")
_CLOCK = re.compile(
    r"\s*([+-]?)([0-9]{1,9}):([0-9]{1,2})(?::([0-9]{1,2}(?:\.[0-9]{1,9})?))?(?![0-9:.])"
)
_BARE = re.compile(rf"\s*({_NUMBER})\s*")
_ISO = re.compile(
    r"P(?:([0-9.]+)Y)?(?:([0-9.]+)M)?(?:([0-9.]+)W)?(?:([0-9.]+)D)?"
    r"(?:T(?:([0-9.]+)H)?(?:([0-9.]+)M)?(?:([0-9.]+)S)?)?"
)
_ISO_UNITS = ("years", "months", "weeks", "days", "hours", "minutes", "seconds")


@lru_cache(maxsize=256)  # every check of every machine asks for its group's
def parse_us(text: str) -> int | None:
    """Microseconds, perhaps negative; None when PostgreSQL would not take it either."""
    if len(text) > LENGTH_MAX:
        return None
    bare = text.strip()
    found = _iso(bare) if bare[:1] == "P" else _parts(bare.lower())
    if found is None or abs(found) > _LONGEST_US:
        return None
    return round(found)


def _iso(text: str) -> Fraction | None:
    match = _ISO.fullmatch(text)
    if match is None or not any(match.groups()) or text.endswith("T"):
        return None
    total = Fraction(0)
    for number, unit in zip(match.groups(), _ISO_UNITS, strict=True):
        if number is None:
            continue
        if not re.fullmatch(_NUMBER, number):
            return None
        total += Fraction(number.rstrip(".")) * _UNITS[unit]
    return total


def _parts(text: str) -> Fraction | None:
    """`@ 1 day 2 hours ago` and the like."""
    text = text.removeprefix("@")
    ago = text.endswith(" ago")
    if ago:
        text = text[: -len(" ago")]
    total, seen, at = Fraction(0), set[str](), 0
    while at < len(text.rstrip()):
        if match := _CLOCK.match(text, at):
            unit, amount = "clock", _clock(match)
        elif match := _PART.match(text, at):
            unit = _NAMES.get(match[2], "")
            amount = Fraction(match[1].rstrip(".")) * _UNITS[unit] if unit else None
        elif match := _BARE.fullmatch(text, at):  # seconds, when nothing is behind it
            unit, amount = "seconds", Fraction(match[1].rstrip(".")) * _SECOND
        else:
            return None
        if amount is None or unit in seen:
            return None
        seen.add(unit)
        total += amount
        at = match.end()
    if not seen:
        return None
    return -total if ago else total


def _clock(match: re.Match[str]) -> Fraction | None:
    sign, hours, minutes, seconds = match.groups()
    if int(minutes) > 59 or (seconds and Fraction(seconds) >= 61):
        return None
    total = int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds or 0)
    return (-total if sign == "-" else total) * _SECOND
