"""Go durations: "1m30s" to nanoseconds and back, as time.ParseDuration and Duration.String do it.

Whole nanoseconds as int, so that nothing is rounded on the way. Mirrors Go's time/format.go.
"""

from __future__ import annotations

NANOSECOND = 1
MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

_UNITS = {
    "ns": NANOSECOND,
    "us": MICROSECOND,
    "µs": MICROSECOND,  # U+00B5, micro sign
    "μs": MICROSECOND,  # U+03BC, Greek mu; Go takes both
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
}
_MAX = (1 << 63) - 1
_DIGITS = "0123456789"


def parse(text: str) -> int:
    """Nanoseconds of a Go duration; ValueError in Go's words."""
    rest = text
    negative = rest[:1] == "-"
    if rest[:1] in ("-", "+"):
        rest = rest[1:]
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f'time: invalid duration "{text}"')
    total = 0
    while rest:
        part, rest = _component(rest, text)
        total += part
        if total > _MAX + negative:
            raise ValueError(f'time: invalid duration "{text}"')
    return -total if negative else total


def _component(rest: str, text: str) -> tuple[int, str]:
    whole, rest = _digits(rest)
    fraction = ""
    if rest[:1] == ".":
        fraction, rest = _digits(rest[1:])
    if not whole and not fraction:
        raise ValueError(f'time: invalid duration "{text}"')
    end = 0
    while end < len(rest) and rest[end] not in _DIGITS and rest[end] != ".":
        end += 1
    unit_name, rest = rest[:end], rest[end:]
    if not unit_name:
        raise ValueError(f'time: missing unit in duration "{text}"')
    unit = _UNITS.get(unit_name)
    if unit is None:
        raise ValueError(f'time: unknown unit "{unit_name}" in duration "{text}"')
    value = int(whole or "0") * unit
    if fraction:
        value += int(fraction) * unit // 10 ** len(fraction)
    return value, rest


def _digits(text: str) -> tuple[str, str]:
    end = 0
    while end < len(text) and text[end] in _DIGITS:
        end += 1
    return text[:end], text[end:]


def format(duration_ns: int) -> str:
    """The text Go prints: 1m30s, 1.5s, 100ms, 0s."""
    if duration_ns == 0:
        return "0s"
    sign = "-" if duration_ns < 0 else ""
    value = abs(duration_ns)
    if value < SECOND:
        for unit, name in ((MILLISECOND, "ms"), (MICROSECOND, "µs"), (NANOSECOND, "ns")):
            if value >= unit:
                return sign + _decimal(value, unit) + name
    minutes, below = divmod(value, MINUTE)
    text = _decimal(below, SECOND) + "s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = f"{minutes}m{text}"
        if hours:
            text = f"{hours}h{text}"
    return sign + text


def _decimal(value: int, unit: int) -> str:
    whole, part = divmod(value, unit)
    if not part:
        return str(whole)
    return f"{whole}.{str(part).zfill(len(str(unit)) - 1).rstrip('0')}"


def seconds(duration_ns: int) -> float:
    """For edges that hand a timeout to the operating system."""
    return duration_ns / SECOND
