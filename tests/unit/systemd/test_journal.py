"""The journal of embedded units on disk: order, rotation, reading along, damage."""

from __future__ import annotations

import os

import pytest

from coreos_py.systemd import journal
from coreos_py.systemd.manager import LogLine


@pytest.fixture
def state(tmp_path):
    (tmp_path / "journal").mkdir()
    return str(tmp_path)


def line(number):
    return LogLine(1_000_000 * number, "prog", 7, f"line {number}")


def texts(lines):
    return [one.text for one in lines]


def test_lines_come_back_as_they_went(state):
    writer = journal.Writer(state, "a.service")
    lines = [line(1), LogLine(2, "other", 0, 'quote " \u2028 \udcff \\'), line(3)]
    writer.write(lines)
    writer.close()
    assert journal.read_journal(state, "a.service", -1) == lines
    assert journal.read_journal(state, "a.service", 2) == lines[1:]
    assert journal.read_journal(state, "a.service", 9) == lines
    assert journal.read_journal(state, "a.service", 0) == []
    assert journal.read_journal(state, "b.service", -1) == []


def test_size_is_bounded_and_the_newest_lines_stay(state, tmp_path):
    writer = journal.Writer(state, "a.service", bytes_max=8000)
    for number in range(1000):
        writer.write([line(number)])
    writer.write([line(number) for number in range(1000, 3000)])
    writer.close()
    files = sorted(file.name for file in (tmp_path / "journal").iterdir())
    assert files == ["a.service.log", "a.service.log.1"]
    assert sum((tmp_path / "journal" / name).stat().st_size for name in files) <= 8000
    got = texts(journal.read_journal(state, "a.service", -1))
    assert len(got) > 50
    assert got == [f"line {number}" for number in range(3000 - len(got), 3000)]


@pytest.mark.parametrize("bytes_max", [1 << 20, 2000])
def test_reading_along_misses_nothing_across_rotations(state, bytes_max):
    writer = journal.Writer(state, "a.service", bytes_max=bytes_max)
    with journal.Reader(state, "a.service") as reader:
        assert reader.tail(10) == []
        got = []
        for number in range(200):
            writer.write([line(number)])
            got += reader.new()
    writer.close()
    assert texts(got) == [f"line {number}" for number in range(200)]


def test_a_new_writer_goes_on_in_the_same_file(state):
    for number in range(3):
        writer = journal.Writer(state, "a.service")
        writer.write([line(number)])
        writer.close()
    assert texts(journal.read_journal(state, "a.service", -1)) == ["line 0", "line 1", "line 2"]


@pytest.mark.parametrize("damage", ['{"t":1,"i":"x"', "{}", "[]", '{"t":"x","i":"","p":0,"m":""}'])
def test_a_torn_line_is_skipped(state, tmp_path, damage):
    writer = journal.Writer(state, "a.service")
    writer.write([line(1)])
    with (tmp_path / "journal" / "a.service.log").open("a") as file:
        file.write(damage + "\n")
    writer.write([line(2)])
    writer.close()
    assert texts(journal.read_journal(state, "a.service", -1)) == ["line 1", "line 2"]


def test_an_unfinished_line_is_read_when_it_is_whole(state, tmp_path):
    path = tmp_path / "journal" / "a.service.log"
    path.write_text('{"t":1,"i":"x",')
    with journal.Reader(state, "a.service") as reader:
        assert reader.tail(-1) == []
        with path.open("a") as file:
            file.write('"p":1,"m":"whole"}\n')
        assert texts(reader.new()) == ["whole"]


def test_old_journals_of_units_that_are_gone_are_removed(state, tmp_path):
    for unit in ("kept.service", "gone.service", "fresh.service"):
        writer = journal.Writer(state, unit, bytes_max=400)
        for number in range(20):
            writer.write([line(number)])
        writer.close()
    for file in (tmp_path / "journal").iterdir():
        if "fresh" not in file.name:
            os.utime(file, (1, 1))
    journal.remove_old_journals(state, {"kept.service"}, older_than_s=60)
    assert sorted(file.name for file in (tmp_path / "journal").iterdir()) == [
        "fresh.service.log",
        "fresh.service.log.1",
        "kept.service.log",
        "kept.service.log.1",
    ]
