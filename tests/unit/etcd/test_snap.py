"""Snapshot files: the real one, durable saving, choosing the newest that is whole."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coreos_py.base.errors import CoreosError, Corrupt
from coreos_py.etcd.snap import Snapshotter, read_snapshot
from coreos_py.etcd.wal_files import purge
from coreos_py.raft.types import Snapshot, SnapshotMeta
from tests.support.waltools import NODE

GOLDEN = Path(__file__).parents[2] / "data/wal/0000000000000002-000000000000000b.snap"


def snapshot(index: int, *, term: int = 2, data: bytes = b"{}") -> Snapshot:
    return Snapshot(data, SnapshotMeta(index, term, (1, 2)))


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_real_snapshot_is_read():
    found = read_snapshot(str(GOLDEN))
    assert found.meta == SnapshotMeta(11, 2, (NODE,))
    store = json.loads(found.data)
    assert store["CurrentVersion"] == 2
    assert store["Root"]["Children"]["1"]["Children"]["a"]["Value"] == "hé"


def test_a_real_snapshot_is_written_again_identically(tmp_path):
    found = read_snapshot(str(GOLDEN))
    path = Path(Snapshotter(str(tmp_path)).save(found))
    assert path.name == GOLDEN.name
    assert path.read_bytes() == GOLDEN.read_bytes()


@pytest.mark.parametrize("step", [1, 1000, 100_000])
def test_data_may_come_in_pieces(tmp_path, step):
    found = read_snapshot(str(GOLDEN))
    pieces = (found.data[at : at + step] for at in range(0, len(found.data), step))
    path = Snapshotter(str(tmp_path)).save(Snapshot(b"", found.meta), chunks=pieces)
    assert Path(path).read_bytes() == GOLDEN.read_bytes()


def test_the_newest_is_loaded(tmp_path):
    snapshotter = Snapshotter(str(tmp_path))
    assert snapshotter.load() is None
    for term, index in ((1, 300), (2, 16), (2, 15)):
        snapshotter.save(snapshot(index, term=term))
    assert snapshotter.load() == snapshot(16)
    assert names(tmp_path) == [
        "0000000000000001-000000000000012c.snap",
        "0000000000000002-000000000000000f.snap",
        "0000000000000002-0000000000000010.snap",
    ]


def test_damaged_ones_are_set_aside_until_one_is_whole(tmp_path):
    lines: list[tuple[int, str]] = []
    snapshotter = Snapshotter(str(tmp_path), log=lambda level, text: lines.append((level, text)))
    for index in (1, 2, 3, 4):
        snapshotter.save(snapshot(index))
    for index, bad in ((2, b""), (3, GOLDEN.read_bytes()[:-1]), (4, b"\xff\xff")):
        (tmp_path / f"{2:016x}-{index:016x}.snap").write_bytes(bad)
    (tmp_path / "notes").touch()
    assert snapshotter.load() == snapshot(1)
    assert names(tmp_path) == [
        "0000000000000002-0000000000000001.snap",
        "0000000000000002-0000000000000002.snap.broken",
        "0000000000000002-0000000000000003.snap.broken",
        "0000000000000002-0000000000000004.snap.broken",
        "notes",
    ]
    assert [level for level, _ in lines] == [logging.WARNING] + [logging.ERROR] * 3
    assert lines[0][1] == "skipped unexpected non snapshot file notes"
    assert all("corrupted snapshot file " in text for _, text in lines[1:])
    assert "unexpected empty snapshot" in lines[3][1]


def test_all_damaged_is_none_and_a_backup_renames_nothing(tmp_path):
    snapshotter = Snapshotter(str(tmp_path))
    path = Path(snapshotter.save(snapshot(1)))
    path.write_bytes(path.read_bytes()[:-1])
    assert snapshotter.load(rename_broken=False) is None
    assert names(tmp_path) == [path.name]
    assert snapshotter.load() is None
    assert names(tmp_path) == [f"{path.name}.broken"]


def test_every_cut_and_every_flipped_bit_is_refused(tmp_path):
    path = Path(Snapshotter(str(tmp_path)).save(snapshot(7, data=b'{"Root":{}}')))
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(Corrupt, match=path.name):
            read_snapshot(str(path))
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(Corrupt, match=path.name):
                read_snapshot(str(path))


@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_snapshot_or_corrupt(tmp_path, data):
    path = tmp_path / "any.snap"
    path.write_bytes(data)
    with pytest.raises(Corrupt):
        read_snapshot(str(path))


def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path):
    (tmp_path / "0000000000000001-0000000000000001.snap").mkdir()
    with pytest.raises(CoreosError, match="is a directory") as caught:
        Snapshotter(str(tmp_path)).load()
    assert not isinstance(caught.value, Corrupt)
    with pytest.raises(CoreosError, match="no such file"):
        Snapshotter(str(tmp_path / "missing")).load()


def test_a_failed_save_leaves_nothing(tmp_path, monkeypatch):
    snapshotter = Snapshotter(str(tmp_path))

    def fail(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CoreosError, match="no space left on device"):
        snapshotter.save(snapshot(1))
    assert names(tmp_path) == []


def test_what_an_interrupted_save_left_is_removed_when_told(tmp_path):
    left = tmp_path / "0000000000000002-0000000000000001.snap.tmp"
    left.write_bytes(b"x")
    snapshotter = Snapshotter(str(tmp_path))
    assert snapshotter.load() is None
    assert left.exists()
    snapshotter.remove_leftovers()
    assert names(tmp_path) == []


def test_purging_keeps_the_newest(tmp_path):
    snapshotter = Snapshotter(str(tmp_path))
    for index in range(1, 6):
        snapshotter.save(snapshot(index))
    shutil.copy(GOLDEN, tmp_path / "a.snap.broken")
    assert len(purge(str(tmp_path), ".snap", keep=2)) == 3
    assert names(tmp_path) == [
        "0000000000000002-0000000000000004.snap",
        "0000000000000002-0000000000000005.snap",
        "a.snap.broken",
    ]
