"""Readers of systemd's value syntaxes: booleans, time spans, signals, exit statuses, limits.

Each raises ValueError on text systemd would refuse. Pure.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

INFINITY = math.inf

_UNITS_S = {
    "usec": 1e-6,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "msec": 1e-3,
    "ms": 1e-3,
    "seconds": 1,
    "second": 1,
    "sec": 1,
    "s": 1,
    "": 1,
    "minutes": 60,
    "minute": 60,
    "min": 60,
    "m": 60,
    "hours": 3600,
    "hour": 3600,
    "hr": 3600,
    "h": 3600,
    "days": 86400,
    "day": 86400,
    "d": 86400,
    "weeks": 604800,
    "week": 604800,
    "w": 604800,
    "months": 2629800,
    "month": 2629800,
    "M": 2629800,
    "years": 31557600,
    "year": 31557600,
    "y": 31557600,
}
_SPAN_PART = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-zµμ]*)")
_SIZE = re.compile(r"(\d+)([KMGTPE]?)")
# Linux's numbers, except on Alpha, MIPS and SPARC, where CoreOS never ran.
_SIGNAL_WORDS = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP"
    " TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
)
_SIGNALS = {name: number for number, name in enumerate(_SIGNAL_WORDS.split(), 1)}
_SIGNAL_NAMES = {number: name for name, number in _SIGNALS.items()}
_SIGNAL_ALIASES = {"IOT": 6, "CLD": 17, "POLL": 29}
SIGRTMIN = 34
SIGRTMAX = 64
SIGHUP = 1
SIGINT = 2
SIGABRT = 6
SIGKILL = 9
SIGPIPE = 13
SIGTERM = 15
_TRUE = frozenset({"1", "yes", "y", "true", "t", "on"})
_FALSE = frozenset({"0", "no", "n", "false", "f", "off"})

# Names systemd.exec(5) gives to exit statuses, as far as programs use them by name.
EXIT_NAMES = {
    0: "SUCCESS",
    1: "FAILURE",
    2: "INVALIDARGUMENT",
    3: "NOTIMPLEMENTED",
    4: "NOPERMISSION",
    5: "NOTINSTALLED",
    6: "NOTCONFIGURED",
    7: "NOTRUNNING",
    64: "USAGE",
    65: "DATAERR",
    66: "NOINPUT",
    67: "NOUSER",
    68: "NOHOST",
    69: "UNAVAILABLE",
    70: "SOFTWARE",
    71: "OSERR",
    72: "OSFILE",
    73: "CANTCREAT",
    74: "IOERR",
    75: "TEMPFAIL",
    76: "PROTOCOL",
    77: "NOPERM",
    78: "CONFIG",
    200: "CHDIR",
    203: "EXEC",
    205: "LIMITS",
    209: "STDOUT",
    216: "GROUP",
    217: "USER",
    222: "STDERR",
}
EXIT_CHDIR = 200
EXIT_EXEC = 203
EXIT_LIMITS = 205
EXIT_STDOUT = 209
EXIT_GROUP = 216
EXIT_USER = 217
_EXIT_NUMBERS = {name: number for number, name in EXIT_NAMES.items()}


class ExitSet(NamedTuple):
    """Exit statuses and signals named by one setting."""

    codes: frozenset[int] = frozenset()
    signals: frozenset[int] = frozenset()


def parse_bool(text: str) -> bool:
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(f"not a boolean: {text}")


def parse_span(text: str) -> float:
    """Seconds of a time span such as "1min 30s"; a bare number is seconds."""
    text = text.strip()
    if text == "infinity":
        return INFINITY
    if not text:
        raise ValueError("empty time span")
    total, at = 0.0, 0
    while at < len(text):
        found = _SPAN_PART.match(text, at)
        if found is None or found[2] not in _UNITS_S:
            raise ValueError(f"not a time span: {text}")
        total += float(found[1]) * _UNITS_S[found[2]]
        at = found.end()
        while at < len(text) and text[at].isspace():
            at += 1
    return total


def parse_signal(text: str) -> int:
    """Number of a signal given as "SIGTERM", "TERM", "15" or "RTMIN+3"."""
    word = text.strip()
    name = word.removeprefix("SIG")
    if word.isdigit():
        number = int(word)
    elif name.startswith(("RTMIN", "RTMAX")):
        number = _realtime_signal(name)
    else:
        number = _SIGNALS.get(name, 0) or _SIGNAL_ALIASES.get(name, 0)
    if not 0 < number <= SIGRTMAX:
        raise ValueError(f"not a signal: {text}")
    return number


def _realtime_signal(name: str) -> int:
    """RTMIN, RTMIN+n or RTMAX-n; 0 for anything else."""
    base, sign = (SIGRTMIN, 1) if name.startswith("RTMIN") else (SIGRTMAX, -1)
    offset = name[5:]
    if not offset:
        return base
    if offset[0] != "+-"[sign < 0] or not offset[1:].isdigit():
        return 0
    number = base + sign * int(offset[1:])
    return number if SIGRTMIN <= number <= SIGRTMAX else 0


def signal_name(number: int) -> str:
    """Name without SIG, as systemd prints it: 15 is "TERM"."""
    return _SIGNAL_NAMES.get(number) or f"RTMIN+{number - SIGRTMIN}"


def exit_name(status: int) -> str:
    """Text systemd prints for an exit status: "203/EXEC", or the number twice."""
    return f"{status}/{EXIT_NAMES.get(status, 'n/a')}"


def parse_exit_set(text: str) -> ExitSet:
    """Numbers, status names and signal names separated by blanks."""
    codes, signals = set(), set()
    for word in text.split():
        if word.isdigit() and int(word) <= 255:
            codes.add(int(word))
        elif word in _EXIT_NUMBERS:
            codes.add(_EXIT_NUMBERS[word])
        else:
            signals.add(parse_signal(word))
    return ExitSet(frozenset(codes), frozenset(signals))


def parse_limit(name: str, text: str) -> tuple[float, float]:
    """(soft, hard) of a Limit*= value; INFINITY where unlimited."""
    soft, colon, hard = text.strip().partition(":")
    parsed = _parse_limit_part(name, soft)
    return parsed, (_parse_limit_part(name, hard) if colon else parsed)


def _parse_limit_part(name: str, text: str) -> float:
    if text == "infinity":
        return INFINITY
    if name == "CPU":
        return float(math.ceil(parse_span(text)))
    if name == "RTTIME" and not text.isdigit():
        return float(round(parse_span(text) * 1e6))
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"not a limit: {text}")
    return float(int(found[1]) * 1024 ** " KMGTPE".index(found[2] or " "))


def parse_mode(text: str) -> int:
    """An octal file mode."""
    if not re.fullmatch(r"[0-7]{1,5}", text.strip()) or int(text, 8) > 0o7777:
        raise ValueError(f"not a mode: {text}")
    return int(text, 8)
