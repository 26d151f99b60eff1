"""The data directory: what it is, what is refused, the older layout."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from coreos_py.base.errors import CoreosError
from coreos_py.etcd import datadir
from coreos_py.etcd.datadir import DirKind
from tests.support.waltools import read_log, write_small_log

KINDS = [
    ([], DirKind.EMPTY, []),
    (["member"], DirKind.MEMBER, []),
    (["proxy"], DirKind.PROXY, []),
    (["lost+found"], DirKind.EMPTY, ["lost+found"]),
    (["member", "wal", "snap"], DirKind.MEMBER, ["snap", "wal"]),
]


@pytest.mark.parametrize(("names", "kind", "unknown"), KINDS)
def test_what_a_directory_is(tmp_path, names, kind, unknown):
    for name in names:
        (tmp_path / name).mkdir()
    lines: list[str] = []
    assert datadir.identify(str(tmp_path), log=lambda _, text: lines.append(text)) == kind
    assert [line.split()[3] for line in lines] == unknown
    assert all(line.startswith("found invalid file/dir ") for line in lines)


def test_a_missing_directory_is_empty(tmp_path):
    assert datadir.identify(str(tmp_path / "none")) == DirKind.EMPTY


def test_both_kinds_are_refused(tmp_path):
    (tmp_path / "member").mkdir()
    (tmp_path / "proxy").mkdir()
    with pytest.raises(CoreosError, match="both member and proxy directories exist"):
        datadir.identify(str(tmp_path))


def test_a_file_in_its_place_is_refused(tmp_path):
    path = tmp_path / "data"
    path.write_text("x")
    with pytest.raises(CoreosError, match=r"error listing data dir: .*data: not a directory"):
        datadir.identify(str(path))
    with pytest.raises(CoreosError, match="cannot access data directory: "):
        datadir.prepare_member(str(path))


def test_preparing_creates_nothing_but_the_directory(tmp_path):
    dirs = datadir.prepare_member(str(tmp_path / "a" / "b"))
    assert list((tmp_path / "a" / "b").iterdir()) == []
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    datadir.create_member(dirs)
    assert stat.S_IMODE(Path(dirs.member).stat().st_mode) == 0o700
    assert [path.name for path in Path(dirs.member).iterdir()] == ["snap"]
    assert dirs.wal == str(tmp_path / "a" / "b" / "member" / "wal")


def test_the_log_may_live_elsewhere(tmp_path):
    dirs = datadir.prepare_member(str(tmp_path / "data"), wal_dir=str(tmp_path / "log"))
    assert dirs.wal == str(tmp_path / "log")


def test_data_of_the_v3_store_is_refused(tmp_path):
    snap = tmp_path / "member" / "snap"
    snap.mkdir(parents=True)
    (snap / "db").touch()
    with pytest.raises(CoreosError, match="experimental-v3demo cannot be disabled"):
        datadir.prepare_member(str(tmp_path))


def old_layout(directory: Path) -> None:
    (directory / "snap").mkdir(parents=True)
    (directory / "snap" / "x.snap").touch()
    write_small_log(directory / "wal")


def test_the_layout_before_2_0_1_is_moved(tmp_path):
    old_layout(tmp_path)
    lines: list[str] = []
    dirs = datadir.prepare_member(str(tmp_path), log=lambda _, text: lines.append(text))
    assert len(read_log(Path(dirs.wal)).entries) == 6
    assert [path.name for path in Path(dirs.snap).iterdir()] == ["x.snap"]
    assert [path.name for path in tmp_path.iterdir()] == ["member"]
    assert stat.S_IMODE((tmp_path / "member").stat().st_mode) == 0o700
    assert len(lines) == 1


@pytest.mark.parametrize("moved", [[], ["snap"], ["snap", "wal"]])
def test_an_interrupted_move_is_continued(tmp_path, moved):
    old_layout(tmp_path)
    (tmp_path / "member.moving").mkdir()
    for name in moved:
        (tmp_path / name).rename(tmp_path / "member.moving" / name)
    dirs = datadir.prepare_member(str(tmp_path))
    assert len(read_log(Path(dirs.wal)).entries) == 6
    assert [path.name for path in tmp_path.iterdir()] == ["member"]


def test_an_empty_wal_directory_is_no_older_layout(tmp_path):
    (tmp_path / "snap").mkdir()
    (tmp_path / "wal").mkdir()
    datadir.prepare_member(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["snap", "wal"]
