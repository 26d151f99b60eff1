"""Value syntaxes of unit files: what systemd accepts, with the meaning, and what it refuses."""

from __future__ import annotations

import signal

import pytest

from coreos_py.systemd.embedded import values
from coreos_py.systemd.embedded.values import INFINITY, ExitSet


@pytest.mark.parametrize("text", ["1", "yes", "Y", "true", "T", "on", " on "])
def test_true(text):
    assert values.parse_bool(text) is True


@pytest.mark.parametrize("text", ["0", "no", "N", "false", "F", "off"])
def test_false(text):
    assert values.parse_bool(text) is False


@pytest.mark.parametrize("text", ["", "2", "maybe", "yess"])
def test_not_a_boolean(text):
    with pytest.raises(ValueError, match="not a boolean"):
        values.parse_bool(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("5", 5),
        ("100ms", 0.1),
        ("1min 30s", 90),
        ("1min30s", 90),
        ("2h", 7200),
        ("1.5s", 1.5),
        (".5", 0.5),
        ("55s500ms", 55.5),
        ("300us", 0.0003),
        ("1 day", 86400),
        ("1M", 2629800),
        ("1m2", 62),
        ("infinity", INFINITY),
        (" 7 s ", 7),
    ],
)
def test_span(text, seconds):
    assert values.parse_span(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "x", "-1", "5 fortnights", "s"])
def test_not_a_span(text):
    with pytest.raises(ValueError, match="time span"):
        values.parse_span(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("SIGTERM", 15),
        ("TERM", 15),
        ("9", 9),
        ("SIGUSR1", 10),
        ("RTMIN+3", 37),
        ("RTMAX-1", 63),
        ("POLL", 29),
        ("SYS", 31),
        ("SIGRTMIN", 34),
    ],
)
def test_signal(text, number):
    assert values.parse_signal(text) == number


@pytest.mark.parametrize(
    "text", ["", "SIGNOTHING", "0", "99", "TERM+1", "RTMIN-1", "RTMAX+1", "RTMIN+31", "RTMIN+x"]
)
def test_not_a_signal(text):
    with pytest.raises(ValueError, match="not a signal"):
        values.parse_signal(text)


@pytest.mark.parametrize(("number", "name"), [(15, "TERM"), (9, "KILL"), (40, "RTMIN+6")])
def test_signal_name(number, name):
    assert values.signal_name(number) == name


def test_exit_set():
    assert values.parse_exit_set("TEMPFAIL 250 SIGKILL") == ExitSet(
        frozenset({75, 250}), frozenset({9})
    )
    with pytest.raises(ValueError, match="not a signal"):
        values.parse_exit_set("256")


@pytest.mark.parametrize(
    ("name", "text", "limits"),
    [
        ("NOFILE", "1024", (1024, 1024)),
        ("NOFILE", "1024:4096", (1024, 4096)),
        ("NOFILE", "infinity", (INFINITY, INFINITY)),
        ("AS", "4G", (4 << 30, 4 << 30)),
        ("CPU", "1min", (60, 60)),
        ("RTTIME", "1ms", (1000, 1000)),
    ],
)
def test_limit(name, text, limits):
    assert values.parse_limit(name, text) == limits


@pytest.mark.parametrize("text", ["", "many", "1:", "-1", "1Q"])
def test_not_a_limit(text):
    with pytest.raises(ValueError, match="not a limit"):
        values.parse_limit("NOFILE", text)


def test_mode():
    assert values.parse_mode("0022") == 0o22
    with pytest.raises(ValueError, match="not a mode"):
        values.parse_mode("0089")


def test_exit_name():
    assert values.exit_name(203) == "203/EXEC"
    assert values.exit_name(42) == "42/n/a"


def test_signal_names_are_those_of_this_system():
    for one in signal.Signals:
        assert values.parse_signal(one.name) == one.value
        if one.name not in ("SIGRTMIN", "SIGRTMAX"):
            assert values.parse_signal(values.signal_name(one.value)) == one.value
