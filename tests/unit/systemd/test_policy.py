"""Clean exits, restart policy and start limits: the tables of systemd.service(5)."""

from __future__ import annotations

import pytest

from coreos_py.systemd.embedded.definition import Definition
from coreos_py.systemd.embedded.policy import (
    Exit,
    Result,
    control_result,
    main_result,
    may_start,
    restarts,
)
from coreos_py.systemd.embedded.values import ExitSet


@pytest.mark.parametrize(
    ("end", "kind", "expected"),
    [
        (Exit("exited", 0), "simple", "success"),
        (Exit("exited", 1), "simple", "exit-code"),
        (Exit("exited", 75), "simple", "success"),
        (Exit("killed", 15), "simple", "success"),
        (Exit("killed", 1), "simple", "success"),
        (Exit("killed", 13), "simple", "success"),
        (Exit("killed", 15), "oneshot", "signal"),
        (Exit("killed", 9), "simple", "signal"),
        (Exit("killed", 10), "simple", "success"),
        (Exit("killed", 10), "oneshot", "success"),
        (Exit("dumped", 11), "simple", "core-dump"),
        (Exit("dumped", 10), "simple", "core-dump"),
        (Exit("lost", 0), "simple", "exit-code"),
    ],
)
def test_main_result(end, kind, expected):
    success = ExitSet(frozenset({75}), frozenset({10}))
    assert main_result(Definition("a.service", type=kind, success=success), end) == expected


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (Exit("exited", 0), "success"),
        (Exit("exited", 75), "exit-code"),
        (Exit("killed", 15), "signal"),
    ],
)
def test_control_result(end, expected):
    assert control_result(end) == expected


#             success exit-code signal core-dump timeout watchdog
RESTART_TABLE = {
    "no": "------",
    "on-success": "x-----",
    "on-failure": "-xxxxx",
    "on-abnormal": "--xxxx",
    "on-watchdog": "-----x",
    "on-abort": "--xx--",
    "always": "xxxxxx",
}
RESULTS = ["success", "exit-code", "signal", "core-dump", "timeout", "watchdog"]


@pytest.mark.parametrize(
    ("setting", "result", "expected"),
    [
        (setting, result, mark == "x")
        for setting, marks in RESTART_TABLE.items()
        for result, mark in zip(RESULTS, marks, strict=True)
    ],
)
def test_restart_table(setting, result, expected):
    unit = Definition("a.service", restart=setting)
    assert restarts(unit, Result(result), Exit("exited", 1)) is expected


def test_restart_exceptions():
    unit = Definition(
        "a.service",
        restart="on-failure",
        restart_prevent=ExitSet(frozenset({7}), frozenset({9})),
        restart_force=ExitSet(frozenset({0})),
    )
    assert not restarts(unit, Result.EXIT_CODE, Exit("exited", 7))
    assert not restarts(unit, Result.SIGNAL, Exit("killed", 9))
    assert restarts(unit, Result.EXIT_CODE, Exit("exited", 9))
    assert restarts(unit, Result.SUCCESS, Exit("exited", 0))
    assert restarts(unit, Result.EXIT_CODE, Exit("lost", 0))
    assert not restarts(unit, Result.START_LIMIT, None)


@pytest.mark.parametrize(
    ("starts", "now", "expected"),
    [
        ([], 100, True),
        ([95, 96, 97, 98], 100, True),
        ([95, 96, 97, 98, 99], 100, False),
        ([80, 96, 97, 98, 99], 100, True),
        ([90, 96, 97, 98, 99], 100, True),
    ],
)
def test_start_limit(starts, now, expected):
    assert may_start(Definition("a.service"), starts, now) is expected


@pytest.mark.parametrize("unlimited", [{"start_limit_burst": 0}, {"start_limit_interval_s": 0}])
def test_start_limit_can_be_switched_off(unlimited):
    assert may_start(Definition("a.service", **unlimited), [99] * 50, 100)


def test_how_an_exit_reads():
    assert str(Exit("exited", 203)) == "code=exited, status=203/EXEC"
    assert str(Exit("killed", 9)) == "code=killed, status=9/KILL"
    assert Exit("killed", 15).status_word == "TERM"
    assert Exit("exited", 3).status_word == "3"
