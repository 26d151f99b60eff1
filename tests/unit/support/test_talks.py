"""The comparison of walks through machines refuses what it has to."""

from __future__ import annotations

import pytest

from tests.support.talks import Machine, check

MACHINES = [Machine(str(n) * 32, f"10.0.0.{100 + n}", f"core-0{n}") for n in (1, 2, 3)]
TWO = "a\t11111111.../10.0.0.101\nb\t22222222.../10.0.0.102\n"
TIMES = "at Sat, 21 Nov 2026 19:06:59 GMT: 12 [<token>]\n"


@pytest.mark.parametrize(
    ("said", "pattern"),
    [
        (TWO, "a\t<id 1>.../<ip 1>\nb\t<id 2>.../<ip 2>"),
        (TWO, "a\t<id *>.../<ip *>\nb\t<id *>.../<ip *>"),
        (TWO, "a\t<id core-01>.../<ip core-01>\n..."),
        (TWO, "...\nb\t22222222.../<net>.102"),
        (TIMES, "at <date>: <n> [<token>]"),
        ("core-01\n-- x\ncore-02\n", "<host 1>\n-- x\n<host 1>"),
        ("core-01\n==> x\ncore-02\n", "<host a>\n==> x\n<host a>"),
        ("core-01\n==> x\ncore-01\n", "<host A>\n==> x\n<host A>"),
        ("", ""),
    ],
)
def test_what_fits(said: str, pattern: str):
    check(said, pattern, MACHINES)


@pytest.mark.parametrize(
    ("said", "pattern"),
    [
        (TWO, "a\t<id 1>.../<ip 1>\nb\t<id 1>.../<ip 1>"),
        (TWO, "a\t<id 1>.../<ip 2>\nb\t<id 2>.../<ip 1>"),
        (TWO, "a\t<id 1>.../<ip 1>"),
        (TWO, "a\t<id 1>.../<ip 1>\nb\t<id 2>.../<ip 2>\nc"),
        (TWO, "a\t<id core-02>.../<ip core-02>\n..."),
        (TWO, "...\nc"),
        (TIMES, "at <n>: <n> [<token>]"),
        ("core-09\n", "<host 1>"),
        ("core-01\ncore-01\n", "<host a>\n<host b>"),
        ("core-01\n-- x\ncore-02\n", "<host a>\n-- x\n<host a>"),
        ("core-01\n==> x\ncore-02\n", "<host A>\n==> x\n<host A>"),
    ],
)
def test_what_does_not(said: str, pattern: str):
    with pytest.raises(AssertionError):
        check(said, pattern, MACHINES)
