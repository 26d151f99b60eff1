"""Records of runs, and unit files on disk."""

from __future__ import annotations

import pytest

from coreos_py.systemd import files
from coreos_py.systemd.embedded import records
from coreos_py.systemd.embedded.records import Record
from coreos_py.systemd.embedded.states import Snapshot
from coreos_py.systemd.embedded.supervisor import NAME_BYTES_MAX

LONGEST = "\\" * (NAME_BYTES_MAX - 8) + ".service"
BIGGEST = Snapshot("stop-sigterm", "start-limit-hit", 1 << 31, False, 1 << 31, True, 1 << 31)


@pytest.mark.parametrize("name", ["a.service", LONGEST])
def test_records_come_back(tmp_path, name):
    record = Record(name, "b" * 32, 1 << 62, "f" * 32, 1 << 62, BIGGEST)
    records.save(str(tmp_path), record)
    assert records.load_all(str(tmp_path)) == [record]
    shorter = Record(name, "b", 1, "f", 2, Snapshot())
    records.save(str(tmp_path), shorter)
    assert records.load_all(str(tmp_path)) == [shorter]
    records.remove(str(tmp_path), name)
    records.remove(str(tmp_path), name)
    assert records.load_all(str(tmp_path)) == []


def test_a_file_is_replaced_only_when_it_differs(tmp_path):
    path = tmp_path / "a.service"
    files.replace_file(str(path), b"one", mode=0o644)
    inode = path.stat().st_ino
    files.replace_file(str(path), b"one", mode=0o644)
    assert path.stat().st_ino == inode
    files.replace_file(str(path), b"two", mode=0o644)
    assert path.read_bytes() == b"two"
    files.replace_file(str(path), b"two", mode=0o600)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["a.service"]
    files.remove_file(str(path))
    files.remove_file(str(path))


def test_names_of_unit_files(tmp_path):
    for name in ("b.service", "a@.timer", "x.target", ".a.service.tmp", "README", "a.conf"):
        (tmp_path / name).touch()
    assert files.unit_names(str(tmp_path)) == ["a@.timer", "b.service", "x.target"]


@pytest.mark.parametrize("text", ["[Service\n", "[S] x\n"])
def test_a_file_that_makes_no_sense(tmp_path, text):
    path = tmp_path / "a.service"
    assert files.read_unit(str(path)) is None
    path.write_text(text)
    assert files.read_unit(str(path)) is None
