"""Copies of data directories, and etcdctl backup around them."""

from __future__ import annotations

from pathlib import Path

import pytest

from coreos_py.base.errors import CoreosError, Corrupt
from coreos_py.etcd import pb
from coreos_py.etcd.cmd_etcdctl import main
from coreos_py.etcd.datadir import member_dirs
from coreos_py.etcd.offline import datacopy
from coreos_py.etcd.snap import Snapshotter
from coreos_py.raft.types import HardState, Snapshot, SnapshotMeta
from tests.support.waltools import CLUSTER, FIRST_NAME, NODE, put, write_small_log

SNAPSHOT = Snapshot(b'{"Root":1}', SnapshotMeta(3, 2, (NODE,)))


@pytest.fixture
def source(tmp_path):
    """A data directory with a snapshot at 3 and a log up to 6."""
    dirs = member_dirs(str(tmp_path / "source"))
    (tmp_path / "source/member/snap").mkdir(parents=True)
    write_small_log(tmp_path / "source/member/wal")
    Snapshotter(dirs.snap).save(SNAPSHOT)
    return tmp_path / "source"


def files_of(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_backup_holds_the_same_under_new_ids(source, tmp_path, capsys):
    before = files_of(source)
    target = tmp_path / "copy"
    assert main(["etcdctl", "backup", "--data-dir", str(source), "--backup-dir", str(target)]) == 0
    assert capsys.readouterr() == ("", "")
    assert files_of(source) == before
    found = datacopy.read(member_dirs(str(target)))
    assert found.snapshot == SNAPSHOT
    assert found.entries == [put(4), put(5), put(6)]
    # What the member had not heard of as committed may have been acknowledged all the same.
    assert datacopy.read(member_dirs(str(source))).hard_state == HardState(2, NODE, 5)
    assert found.hard_state == HardState(2, NODE, 6)
    assert len({*found.metadata, NODE, CLUSTER}) == 4


def test_logs_may_lie_elsewhere(source, tmp_path):
    (source / "member/wal").rename(tmp_path / "log")
    words = ["--data-dir", str(source), "--wal-dir", str(tmp_path / "log")]
    words += ["--backup-dir", str(tmp_path / "copy"), "--backup-wal-dir", str(tmp_path / "log2")]
    assert main(["etcdctl", "backup", *words]) == 0
    assert not (tmp_path / "copy/member/wal").exists()
    dirs = member_dirs(str(tmp_path / "copy"), wal_dir=str(tmp_path / "log2"))
    assert [entry.index for entry in datacopy.read(dirs).entries] == [4, 5, 6]


def test_a_record_being_written_is_left_out(source):
    log = source / "member/wal" / FIRST_NAME
    whole = log.read_bytes()
    log.write_bytes(whole[:-9])
    found = datacopy.read(member_dirs(str(source)))
    # The last record was a hard state; the entries before it are whole.
    assert [entry.index for entry in found.entries] == [4, 5, 6]
    assert log.read_bytes() == whole[:-9]


def test_a_damaged_snapshot_is_passed_over_and_stays(source):
    dirs = member_dirs(str(source))
    newest = Snapshotter(dirs.snap).save(SNAPSHOT._replace(meta=SnapshotMeta(5, 2, (NODE,))))
    Path(newest).write_bytes(b"\0\0\0" + Path(newest).read_bytes()[3:])
    said: list[str] = []
    found = datacopy.read(dirs, log=lambda _level, text: said.append(text))
    assert found.at == (3, 2)
    assert len(said) == 1
    assert newest in said[0]
    assert newest in {str(path) for path in files_of(source)}


def test_nothing_is_written_over(source, tmp_path, capsys):
    words = ["etcdctl", "backup", "--data-dir", str(source), "--backup-dir"]
    before = files_of(source)
    assert main([*words, str(source)]) == 1
    assert capsys.readouterr().err == f"{source}/member/wal: a log exists here already\n"
    assert files_of(source) == before
    with_snapshots = tmp_path / "half"
    (with_snapshots / "member/snap").mkdir(parents=True)
    (with_snapshots / "member/snap/x.snap").write_bytes(b"")
    assert main([*words, str(with_snapshots)]) == 1
    assert "there are snapshots here already" in capsys.readouterr().err


def test_refusals_write_nothing(source, tmp_path, capsys):
    target = tmp_path / "copy"
    words = ["etcdctl", "backup", "--backup-dir", str(target), "--data-dir"]
    assert main([*words, str(tmp_path / "none")]) == 1
    text = f"{tmp_path}/none/member/snap: no such file or directory\n"
    assert capsys.readouterr().err == text
    log = source / "member/wal" / FIRST_NAME
    data = bytearray(log.read_bytes())
    data[60] ^= 1
    log.write_bytes(data)
    assert main([*words, str(source)]) == 1
    assert str(log) in capsys.readouterr().err
    assert not target.exists()


def test_a_log_of_etcd_3_is_named_as_such(source):
    log = source / "member/wal" / FIRST_NAME
    # The first record of etcd 3.4: four bytes of data and four of padding.
    log.write_bytes(bytes.fromhex("04000000000000840804100000000000") + log.read_bytes()[12:])
    with pytest.raises(Corrupt, match="etcd 3 writes them"):
        datacopy.read(member_dirs(str(source)))


def test_metadata_that_does_not_read(tmp_path):
    dirs = member_dirs(str(tmp_path))
    contents = datacopy.Contents(pb.Metadata(1, 2), None, HardState(1, 0, 0), [])
    datacopy.write(dirs, contents)
    assert datacopy.read(dirs) == contents
    with pytest.raises(CoreosError, match="a log exists"):
        datacopy.write(dirs, contents)
