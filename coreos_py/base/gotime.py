"""Go's time text: RFC 3339 with nanoseconds, from and to integer nanoseconds since 1970 (UTC).

Works on integers only, so it is exact, covers the years 0 to 9999 and imports nothing.
Mirrors time.Time MarshalJSON and Parse(RFC3339Nano).
"""

from __future__ import annotations

ZERO = "0001-01-01T00:00:00Z"
"""How Go prints the zero time.Time."""

ZERO_NS = -62_135_596_800_000_000_000
"""The zero time.Time in nanoseconds since 1970."""

SECOND_NS = 1_000_000_000
_DAY_S = 86_400
_DATES_KEPT = 256
_dates: dict[int, str] = {}
_DAYS_IN_MONTH = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def format_ns(ns: int) -> str:
    """RFC3339Nano in UTC: up to nine fractional digits, trailing zeros dropped, `Z`."""
    seconds, fraction = divmod(ns, SECOND_NS)
    days, second = divmod(seconds, _DAY_S)
    minute, second = divmod(second, 60)
    hour, minute = divmod(minute, 60)
    date = _dates.get(days) or _date(days)
    if fraction:
        digits = f"{fraction:09d}".rstrip("0")
        return f"{date}T{hour:02d}:{minute:02d}:{second:02d}.{digits}Z"
    return f"{date}T{hour:02d}:{minute:02d}:{second:02d}Z"


def _date(days: int) -> str:
    year, month, day = _civil(days)
    date = f"{year:04d}-{month:02d}-{day:02d}"
    if len(_dates) >= _DATES_KEPT:
        _dates.clear()
    _dates[days] = date
    return date


def parse_ns(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time with `Z` or an offset; else ValueError."""
    try:
        return _parse(text)
    except (ValueError, IndexError):
        raise ValueError(f"not an RFC 3339 time: {text!r}") from None


def _parse(text: str) -> int:
    if text[4] != "-" or text[7] != "-" or text[10] not in "Tt" or text[13] + text[16] != "::":
        raise ValueError(text)
    year, month, day = _number(text[0:4]), _number(text[5:7]), _number(text[8:10])
    hour, minute, second = _number(text[11:13]), _number(text[14:16]), _number(text[17:19])
    if not (1 <= month <= 12 and 1 <= day <= _month_days(year, month)):
        raise ValueError(text)
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(text)
    end = 19
    fraction = 0
    if text[end] == ".":
        end += 1
        start = end
        while text[end].isdigit():
            end += 1
        fraction = _number(text[start:end][:9].ljust(9, "0")) if end > start else _number("")
    seconds = _days(year, month, day) * _DAY_S + hour * 3600 + minute * 60 + second
    return (seconds - _offset_s(text[end:])) * SECOND_NS + fraction


def _number(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(digits)
    return int(digits)


def _offset_s(zone: str) -> int:
    if zone in ("Z", "z"):
        return 0
    if len(zone) != 6 or zone[0] not in "+-" or zone[3] != ":":
        raise ValueError(zone)
    hours, minutes = _number(zone[1:3]), _number(zone[4:6])
    if hours > 24 or minutes > 59:
        raise ValueError(zone)
    offset = hours * 3600 + minutes * 60
    return -offset if zone[0] == "-" else offset


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _month_days(year: int, month: int) -> int:
    return 29 if month == 2 and _is_leap(year) else _DAYS_IN_MONTH[month - 1]


def _days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 in the proleptic Gregorian calendar; the year starts in March here."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return (
        era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    ) - 719_468


def _civil(days: int) -> tuple[int, int, int]:
    """The inverse of `_days`."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1
