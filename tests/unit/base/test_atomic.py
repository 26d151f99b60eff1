"""Files that are the old one or the new one, and nothing left behind."""

from __future__ import annotations

import os

import pytest

from coreos_py.base import atomic


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "file"
    atomic.write_atomically(str(path), b"one")
    assert path.stat().st_mode & 0o777 == 0o600
    atomic.write_atomically(str(path), b"two", mode=0o644)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["file"]


def test_the_umask_has_no_say(tmp_path):
    old = os.umask(0o777)
    try:
        atomic.write_atomically(str(tmp_path / "file"), b"", mode=0o640)
    finally:
        os.umask(old)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_link_is_replaced_and_not_followed(tmp_path):
    target = tmp_path / "target"
    target.write_text("keep")
    (tmp_path / "link").symlink_to(target)
    atomic.write_atomically(str(tmp_path / "link"), b"new")
    assert target.read_text() == "keep"
    assert not (tmp_path / "link").is_symlink()


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path):
    (tmp_path / "directory").mkdir()
    with pytest.raises(OSError, match="directory"):
        atomic.write_atomically(str(tmp_path / "directory"), b"x")
    assert os.listdir(tmp_path) == ["directory"]
    with pytest.raises(FileNotFoundError):
        atomic.write_atomically(str(tmp_path / "missing" / "file"), b"x")


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")

    def full(_fd, _data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        atomic.write_atomically(str(path), b"new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("name", "special"),
    [("null", True), ("pipe", True), ("file", False), (".", False), ("missing", False)],
)
def test_what_no_file_may_replace(tmp_path, name, special):
    (tmp_path / "null").symlink_to(os.devnull)
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    assert atomic.is_special(str(tmp_path / name)) is special


def test_symlinks(tmp_path):
    path = tmp_path / "link"
    atomic.symlink_atomically("one", str(path))
    atomic.symlink_atomically("two", str(path))
    assert str(path.readlink()) == "two"
    assert os.listdir(tmp_path) == ["link"]


def test_private_dir(tmp_path):
    path = tmp_path / "a" / "b"
    atomic.private_dir(str(path))
    assert path.stat().st_mode & 0o777 == 0o700
    path.chmod(0o755)
    atomic.private_dir(str(path))
    assert path.stat().st_mode & 0o777 == 0o755


def test_write_all_survives_short_writes(monkeypatch):
    written = []
    monkeypatch.setattr(os, "write", lambda _fd, data: written.append(bytes(data[:3])) or 3)
    atomic.write_all(0, b"abcdefg12")
    assert b"".join(written) == b"abcdefg12"
