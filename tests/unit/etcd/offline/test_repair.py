"""etcdctl repair: it tells before it cuts, cuts no more than it told, and keeps what it cuts."""

from __future__ import annotations

from pathlib import Path

import pytest

from coreos_py.etcd.cmd_etcdctl import main
from coreos_py.etcd.datadir import member_dirs
from coreos_py.etcd.offline import datacopy
from coreos_py.etcd.snap import Snapshotter
from coreos_py.etcd.wal import WAL
from coreos_py.raft.types import HardState, Snapshot, SnapshotMeta
from tests.support.waltools import FIRST_NAME, METADATA, NODE, founding, put, record_starts

META = SnapshotMeta(4, 2, (NODE,))


@pytest.fixture
def data_dir(tmp_path):
    """Entries 1 to 4 in the first file, 5 to 8 in the second, a snapshot at 4, older one at 2."""
    directory = tmp_path / "data"
    (directory / "member/snap").mkdir(parents=True)
    snapshotter = Snapshotter(str(directory / "member/snap"))
    wal = WAL.create(str(directory / "member/wal"), METADATA)
    wal.save(HardState(2, NODE, 2), [founding(), put(2)], sync=True)
    wal.save_snapshot(2, 2)
    snapshotter.save(Snapshot(b"old", META._replace(index=2)))
    wal.save(HardState(2, NODE, 4), [put(3), put(4)], sync=True)
    wal.save_snapshot(4, 2)
    snapshotter.save(Snapshot(b"new", META))
    wal.cut()
    wal.save(HardState(2, NODE, 6), [put(5), put(6)], sync=True)
    wal.save(HardState(2, NODE, 8), [put(7), put(8)], sync=True)
    wal.close()
    return directory


@pytest.fixture
def repair(data_dir, capsys):
    """Run it: (exit code, output); everything that is there, before and after."""

    def run(*words):
        status = main(["etcdctl", "repair", "--data-dir", str(data_dir), *words])
        out, err = capsys.readouterr()
        return status, (out + err).replace(f"{data_dir}/", "")

    return run


def files_of(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def second_log(data_dir: Path) -> Path:
    return sorted((data_dir / "member/wal").glob("*.wal"))[1]


def contents(data_dir: Path):
    found = datacopy.read(member_dirs(str(data_dir)))
    return found.at, [entry.index for entry in found.entries], found.hard_state.commit


def test_nothing_is_wrong(repair, data_dir):
    before = files_of(data_dir)
    for words in ([], ["--yes"]):
        status, text = repair(*words)
        assert (status, text.split(": ")[1]) == (0, "nothing is damaged\n")
    assert files_of(data_dir) == before


def tear(data_dir: Path) -> None:
    log = second_log(data_dir)
    log.write_bytes(log.read_bytes()[:-5])


def flip_in_log(data_dir: Path) -> None:
    log = second_log(data_dir)
    data = bytearray(log.read_bytes())
    data[record_starts(bytes(data))[4] + 20] ^= 1  # entry 6, behind crc, metadata, state and 5
    log.write_bytes(data)


def break_snapshot(data_dir: Path) -> None:
    newest = max((data_dir / "member/snap").iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])


def break_first_log(data_dir: Path) -> None:
    log = data_dir / "member/wal" / FIRST_NAME
    data = bytearray(log.read_bytes())
    data[record_starts(bytes(data))[4] + 20] ^= 1
    log.write_bytes(data)


# damage, lines it tells, what stays: snapshot, entries, commit
DAMAGES = [
    (tear, ["unexpected EOF"], ((4, 2), [5, 6, 7, 8], 6)),
    (flip_in_log, ["walpb: crc mismatch", "acknowledged may be lost"], ((4, 2), [5], 4)),
    (break_snapshot, ["damaged at offset 0", ".broken"], ((2, 2), [3, 4, 5, 6, 7, 8], 8)),
    (break_first_log, ["A new log to be begun", "acknowledged may be lost"], ((4, 2), [], 4)),
]


@pytest.mark.parametrize(
    ("damage", "told", "left"), DAMAGES, ids=lambda x: getattr(x, "__name__", "")
)
def test_damage_is_told_then_cut(repair, data_dir, damage, told, left):
    damage(data_dir)
    before = files_of(data_dir)
    status, text = repair()
    assert status == 3
    assert all(words in text for words in told)
    assert text.endswith("Nothing was changed; --yes does all of this.\n")
    assert files_of(data_dir) == before

    status, again = repair("--yes")
    assert status == 0
    assert again.startswith(text.rpartition("Nothing was changed")[0])
    assert contents(data_dir) == left
    kept = set(files_of(data_dir).values())
    assert all(data in kept for data in before.values())
    assert repair()[0] == 0


def test_what_is_in_use_is_left_alone(repair, data_dir):
    tear(data_dir)
    wal = WAL.open(str(data_dir / "member/wal"), at=(4, 2))
    try:
        status, text = repair("--yes")
    finally:
        wal.abandon()
    assert status == 1
    assert text.startswith("member/wal/")
    assert "file already locked" in text


def test_what_cannot_be_repaired(repair, data_dir, tmp_path, capsys):
    break_first_log(data_dir)
    for path in (data_dir / "member/snap").iterdir():
        path.write_bytes(b"")
    second_log(data_dir).write_bytes(b"")
    before = files_of(data_dir)
    status, _text = repair("--yes")
    # Without a snapshot the log from its beginning up to the damage is all there is.
    assert (status, contents(data_dir)) == (0, ((0, 0), [1], 0))
    assert all(data in files_of(data_dir).values() for data in before.values())
    (data_dir / "member/wal" / FIRST_NAME).unlink()
    assert repair("--yes")[0] == 1
    assert main(["etcdctl", "repair", "--data-dir", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err == f"{tmp_path}/none/member/wal: no such file or directory\n"
    assert main(["etcdctl", "repair"]) == 1
    assert capsys.readouterr().err == "no data directory provided (use --data-dir)\n"
