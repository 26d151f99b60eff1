"""Log lines in the shapes of etcd 2.3 and fleet 1.0."""

from __future__ import annotations

import io
import logging
import time

import pytest

from coreos_py.base import golog


def record(level=logging.INFO, text="text", args=(), exc_info=None):
    made = logging.LogRecord("etcdserver", level, "/x/engine.py", 42, text, args, exc_info)
    made.created = 1795228993.803618
    return made


@pytest.mark.parametrize(
    ("level", "letter"),
    [
        (logging.CRITICAL, "C"),
        (logging.ERROR, "E"),
        (logging.WARNING, "W"),
        (golog.NOTICE, "N"),
        (logging.INFO, "I"),
        (logging.DEBUG, "D"),
    ],
)
def test_etcd(monkeypatch, level, letter):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        line = golog.EtcdFormatter().format(record(level, "set %s to %s", ("a", 2)))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert line == f"2026-11-21 02:43:13.803618 {letter} | etcdserver: set a to 2"


@pytest.mark.parametrize(
    ("level", "word"),
    [
        (logging.CRITICAL, "FATAL"),
        (logging.ERROR, "ERROR"),
        (logging.WARNING, "WARN"),
        (logging.INFO, "INFO"),
        (logging.DEBUG, "DEBUG"),
    ],
)
def test_fleet(level, word):
    assert golog.FleetFormatter().format(record(level)) == f"{word} engine.py:42: text"


def test_journal():
    assert golog.JournalFormatter().format(record()) == "etcdserver: text"


def test_one_record_is_one_line():
    try:
        raise ValueError("bad\nvalue")
    except ValueError as err:
        info = (type(err), err, err.__traceback__)
    line = golog.FleetFormatter().format(record(text="first\r\nsecond", exc_info=info))
    assert "\n" not in line
    assert "\r" not in line
    assert line.startswith("INFO engine.py:42: first second: Traceback")


def test_setup_replaces_what_was_there():
    root = logging.getLogger()
    before, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    first, second = io.StringIO(), io.StringIO()
    try:
        golog.setup(golog.FleetFormatter(), stream=first)
        golog.setup(golog.FleetFormatter(), level=logging.WARNING, stream=second)
        logging.getLogger("x").warning("seen")
        logging.getLogger("x").info("not seen")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.raiseExceptions = raising
    assert first.getvalue() == ""
    assert second.getvalue().startswith("WARN test_golog.py:")
    assert second.getvalue().endswith(": seen\n")
