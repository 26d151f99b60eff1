"""When an exit is clean, when a service is started again, and how often it may be. Pure.

The tables are those of systemd.service(5), Restart= and SuccessExitStatus=.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.systemd.embedded.values import (
    SIGHUP,
    SIGINT,
    SIGPIPE,
    SIGTERM,
    exit_name,
    signal_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coreos_py.systemd.embedded.definition import Definition


class Result(StrEnum):
    """Why a service ended; the words are systemd's $SERVICE_RESULT."""

    SUCCESS = "success"
    EXIT_CODE = "exit-code"
    SIGNAL = "signal"
    CORE_DUMP = "core-dump"
    TIMEOUT = "timeout"
    WATCHDOG = "watchdog"
    PROTOCOL = "protocol"
    RESOURCES = "resources"
    START_LIMIT = "start-limit-hit"


class Exit(NamedTuple):
    """How a process ended; code is exited, killed, dumped, or lost when nobody could wait for it.

    `status` is the exit status or the signal number.
    """

    code: str
    status: int

    def __str__(self) -> str:
        if self.code == "exited":
            return f"code=exited, status={exit_name(self.status)}"
        if self.code == "lost":
            return "code=unknown, status lost while nobody was watching"
        return f"code={self.code}, status={self.status}/{signal_name(self.status)}"

    @property
    def status_word(self) -> str:
        """What $EXIT_STATUS holds: the number, or the signal's name."""
        return signal_name(self.status) if self.code in ("killed", "dumped") else str(self.status)


CLEAN_SIGNALS = frozenset({SIGHUP, SIGINT, SIGTERM, SIGPIPE})

_RESTARTS_ON: dict[str, frozenset[Result]] = {
    "no": frozenset(),
    "on-success": frozenset({Result.SUCCESS}),
    "on-failure": frozenset(Result) - {Result.SUCCESS},
    "on-abnormal": frozenset(Result) - {Result.SUCCESS, Result.EXIT_CODE},
    "on-watchdog": frozenset({Result.WATCHDOG}),
    "on-abort": frozenset({Result.SIGNAL, Result.CORE_DUMP}),
    "always": frozenset(Result),
}


def main_result(definition: Definition, end: Exit) -> Result:
    """What the end of the main process means."""
    if end.code == "exited":
        clean = end.status == 0 or end.status in definition.success.codes
    else:
        clean = end.code == "killed" and (
            end.status in definition.success.signals
            or (definition.type != "oneshot" and end.status in CLEAN_SIGNALS)
        )
    return Result.SUCCESS if clean else _failure(end)


def control_result(end: Exit) -> Result:
    """What the end of an ExecStartPre, ExecStop, ... process means."""
    return Result.SUCCESS if end == ("exited", 0) else _failure(end)


def _failure(end: Exit) -> Result:
    return {"killed": Result.SIGNAL, "dumped": Result.CORE_DUMP}.get(end.code, Result.EXIT_CODE)


def restarts(definition: Definition, result: Result, end: Exit | None) -> bool:
    """Whether a service that nobody asked to stop is started again."""
    if result is Result.START_LIMIT:
        return False
    if end is not None:
        if _is_in(end, definition.restart_prevent):
            return False
        if _is_in(end, definition.restart_force):
            return True
    return result in _RESTARTS_ON[definition.restart]


def _is_in(end: Exit, exits: tuple[frozenset[int], frozenset[int]]) -> bool:
    codes, signals = exits
    return end.status in (codes if end.code == "exited" else signals if end.code != "lost" else ())


def may_start(definition: Definition, starts: Iterable[float], now: float) -> bool:
    """Whether one more start keeps within StartLimitBurst= per StartLimitIntervalSec=."""
    if definition.start_limit_interval_s <= 0 or definition.start_limit_burst <= 0:
        return True
    recent = sum(1 for at in starts if now - at < definition.start_limit_interval_s)
    return recent < definition.start_limit_burst
