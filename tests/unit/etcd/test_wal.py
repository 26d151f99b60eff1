"""The write-ahead log: its bytes, its files, its locks, and what it does when the disk fails."""

from __future__ import annotations

import errno
import logging
import os
import random
import resource
import shutil
import stat
import threading
from pathlib import Path

import pytest

from coreos_py.base.errors import CoreosError, Corrupt
from coreos_py.etcd import pb, wal_record
from coreos_py.etcd import wal as wal_module
from coreos_py.etcd.wal import WAL, exists
from coreos_py.etcd.wal_files import purge
from coreos_py.raft.types import Entry, HardState, Snapshot, SnapshotMeta
from tests.sim.disk import Image, SnapFile
from tests.support.waltools import (
    CLUSTER,
    FIRST_NAME,
    METADATA,
    NODE,
    founding,
    put,
    read_log,
    record_starts,
    write_small_log,
)

GOLDEN = Path(__file__).parents[2] / "data/wal" / FIRST_NAME


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "wal"


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# --- bytes ----------------------------------------------------------------------------------------


def test_a_new_log_has_the_bytes_of_etcd(directory):
    WAL.create(str(directory), b"\x08\x01\x10\x02").close()
    data = (directory / FIRST_NAME).read_bytes()
    # The checksums are those of 08011002 and of 0801100208001000: c59c3b29 and dfbfe799.
    assert data == bytes.fromhex(
        "0400000000000000 0804 1000"
        "0e00000000000000 0801 10a9f6f0ac0c 1a04 08011002"
        "0e00000000000000 0805 1099cffffd0d 1a04 08001000"
    )
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / FIRST_NAME).stat().st_mode) == 0o600


def test_the_first_sixteen_bytes_of_any_log(directory):
    write_small_log(directory)
    start = bytes.fromhex("0400000000000000 08041000 1f000000")
    assert GOLDEN.read_bytes()[:16] == (directory / FIRST_NAME).read_bytes()[:16] == start


def test_a_real_log_is_read(directory):
    directory.mkdir()
    shutil.copy(GOLDEN, directory)
    contents = read_log(directory)
    assert pb.decode_metadata(contents.metadata) == pb.Metadata(NODE, CLUSTER)
    assert contents.hard_state == HardState(2, NODE, 16)
    assert [entry.index for entry in contents.entries] == list(range(1, 17))
    assert [entry.term for entry in contents.entries] == [1] + [2] * 15


def test_a_real_log_is_read_from_its_snapshot_on(directory):
    directory.mkdir()
    shutil.copy(GOLDEN, directory)
    contents = read_log(directory, at=(11, 2))
    assert [entry.index for entry in contents.entries] == [12, 13, 14, 15, 16]
    last = pb.decode_request(contents.entries[-1].data)
    assert (last.path, last.val, last.prev_exist) == ("/1/c", "last", False)


def test_a_real_log_is_written_again_identically():
    data = GOLDEN.read_bytes()
    parts: list[bytes] = []
    crc = 0
    for found in wal_record.RecordReader(data, None):
        if found.kind == wal_record.CRC:
            parts.append(wal_record.frame(wal_record.CRC, b"", crc))
        elif found.kind == wal_record.ENTRY:
            entry = wal_record.read_entry(found)
            crc = wal_record.append_entries(parts, crc, entries=[entry])
        else:
            crc = wal_record.append_record(parts, crc, kind=found.kind, data=found.data)
    assert b"".join(parts) == data


def test_what_was_saved_is_read(directory):
    entries = write_small_log(directory)
    contents = read_log(directory)
    assert contents == (METADATA, HardState(2, NODE, 5), entries)
    assert read_log(directory, at=(3, 2)).entries == entries[3:]


def test_entries_are_written_before_the_hard_state(directory):
    wal = WAL.create(str(directory), METADATA)
    wal.save(HardState(1, 0, 1), [founding(), Entry(1, 2)], sync=True)
    wal.close()
    data = (directory / FIRST_NAME).read_bytes()
    kinds = [found.kind for found in wal_record.RecordReader(data, None)]
    assert kinds == [4, 1, 5, 2, 2, 3]


def test_nothing_to_save_writes_nothing(directory):
    wal = WAL.create(str(directory), METADATA)
    before = (directory / FIRST_NAME).read_bytes()
    wal.save(HardState(), [], sync=False)
    wal.save(None, [], sync=False)
    wal.close()
    assert (directory / FIRST_NAME).read_bytes() == before


def test_later_entries_replace_earlier_ones(directory):
    wal = WAL.create(str(directory), METADATA)
    first = [founding(), put(2), put(3), put(4)]
    second = [put(3, term=3, value="new"), put(4, term=3)]
    wal.save(HardState(2, NODE, 1), first, sync=True)
    wal.save(HardState(3, 0, 1), second[:1], sync=True)
    wal.close()
    assert read_log(directory).entries == [*first[:2], second[0]]
    wal = WAL.open(str(directory))
    wal.read_all()
    wal.save(None, second[1:], sync=True)
    wal.close()
    assert read_log(directory).entries == [*first[:2], *second]


def test_a_snapshot_of_the_leader_replaces_a_log_that_disagreed(directory):
    wal = WAL.create(str(directory), METADATA)
    wal.save(HardState(2, 0, 1), [founding(), put(2), put(3), put(4), put(5)], sync=True)
    wal.save_snapshot(3, 4)
    wal.close()
    assert read_log(directory, at=(3, 4)).entries == []
    wal = WAL.open(str(directory), at=(3, 4))
    wal.read_all()
    wal.save(HardState(4, 0, 3), [put(4, term=4)], sync=True)
    wal.close()
    assert read_log(directory, at=(3, 4)).entries == [put(4, term=4)]


def test_a_snapshot_of_the_leader_replaces_a_log_that_goes_on_in_its_term(directory):
    wal = WAL.create(str(directory), METADATA)
    entries = [founding(), put(2), put(3, term=2), put(4, term=4), put(5, term=4)]
    wal.save(HardState(4, 0, 1), entries, sync=True)
    wal.save_snapshot(3, 4)
    wal.close()
    assert read_log(directory, at=(3, 4)).entries == []


def test_a_log_that_was_cut_back_before_the_snapshot_has_no_tail(directory):
    wal = WAL.create(str(directory), METADATA)
    wal.save(HardState(2, 0, 1), [founding(), *(put(index) for index in range(2, 7))], sync=True)
    wal.save(HardState(3, 0, 3), [put(2, term=3), put(3, term=3)], sync=True)
    wal.save_snapshot(3, 3)
    wal.close()
    assert read_log(directory, at=(3, 3)).entries == []


def test_an_entry_that_was_cut_off_again_is_not_the_snapshots(directory):
    wal = WAL.create(str(directory), METADATA)
    wal.save(HardState(2, 0, 1), [founding(), put(2), put(3), put(4), put(5)], sync=True)
    wal.save(HardState(4, 0, 1), [put(2, term=4)], sync=True)
    wal.save_snapshot(3, 2)
    wal.save(None, [put(4, term=4)], sync=True)
    wal.close()
    assert read_log(directory, at=(3, 2)).entries == [put(4, term=4)]


@pytest.mark.parametrize("number", range(40))
def test_a_log_is_read_as_the_simulated_disk_reads_it(directory, seed, number):
    """Random lives of a log, with own and foreign snapshots, against the simulator's plain rule."""
    rng = random.Random(f"{seed}/{number}")
    image = Image()
    wal = WAL.create(str(directory), METADATA)
    term, committed = 1, 0
    wal.save(HardState(term, 0, committed), [], sync=False)  # the term comes before all
    for _ in range(rng.randrange(1, 30)):
        last = image.offset + len(image.entries)
        kind = rng.choice(["append", "append", "cut back", "own", "foreign", "new file"])
        start = image.snapshot.meta.index
        if kind in ("append", "cut back"):
            if kind == "cut back":
                term += 1
            first = rng.randrange(committed, last + 1) + 1 if kind == "cut back" else last + 1
            new = [put(i, term=term, value=kind) for i in range(first, first + rng.randrange(1, 4))]
            wal.save(HardState(term, 0, committed), new, sync=False)
            for entry in new:
                image.apply(entry)
            committed = rng.randrange(committed, new[-1].index + 1)
        elif kind == "own" and committed > start:
            at = rng.randrange(start, committed) + 1
            held = image.entries[at - image.offset - 1].term
            wal.save_snapshot(at, held)
            image.apply(SnapFile(Snapshot(b"", SnapshotMeta(at, held))))
        elif kind == "foreign":
            at, of = committed + rng.randrange(1, 6), rng.randrange(1, term + 2)
            wal.save_snapshot(at, of)
            image.apply(SnapFile(Snapshot(b"", SnapshotMeta(at, of))))
            committed, term = at, max(term, of)
        elif kind == "new file":
            wal.cut()
    wal.close()
    meta = image.snapshot.meta
    found = read_log(directory, at=(meta.index, meta.term))
    assert found.entries == image.entries[meta.index - image.offset :]


def test_entries_ahead_of_an_own_snapshot_stay(directory):
    entries = [founding(), put(2), put(3), put(4), put(5)]
    wal = WAL.create(str(directory), METADATA)
    wal.save(HardState(2, 0, 3), entries, sync=True)
    wal.save_snapshot(3, 2)
    wal.close()
    assert read_log(directory, at=(3, 2)).entries == entries[3:]


# --- opening --------------------------------------------------------------------------------------


def test_a_log_is_not_created_twice(directory):
    write_small_log(directory)
    with pytest.raises(CoreosError, match="a log exists here already"):
        WAL.create(str(directory), METADATA)


def test_a_crash_while_creating_leaves_no_log(directory):
    directory.mkdir()
    (directory / f"{FIRST_NAME}.tmp").write_bytes(b"\x04\0\0\0\0\0\0\0\x08\x04")
    assert not exists(str(directory))
    entries = write_small_log(directory)
    assert names(directory) == [FIRST_NAME]
    assert read_log(directory).entries == entries


def test_exists(directory):
    assert not exists(str(directory))
    directory.mkdir()
    assert not exists(str(directory))
    (directory / "anything").touch()
    assert exists(str(directory))


def test_foreign_names_are_logged_and_passed_over(directory):
    entries = write_small_log(directory)
    (directory / "0000000000000001-0000000000000007.wal.tmp").touch()
    (directory / "0-0.wal").touch()
    lines: list[tuple[int, str]] = []
    assert (
        read_log(directory, log=lambda level, text: lines.append((level, text))).entries == entries
    )
    assert lines == [
        (logging.WARNING, "ignored file 0-0.wal in wal"),
        (logging.WARNING, "ignored file 0000000000000001-0000000000000007.wal.tmp in wal"),
    ]


@pytest.mark.parametrize(
    ("at", "text"),
    [((3, 1), "wal: snapshot mismatch"), ((2, 2), "wal: snapshot not found")],
)
def test_the_marker_of_the_snapshot_must_be_there(directory, at, text):
    write_small_log(directory)
    with pytest.raises(Corrupt, match=text) as caught:
        read_log(directory, at=at)
    assert caught.value.path == str(directory / FIRST_NAME)


def test_a_directory_without_a_log_is_refused(directory):
    with pytest.raises(CoreosError, match="no such file"):
        WAL.open(str(directory))
    directory.mkdir()
    with pytest.raises(CoreosError, match="wal: file not found"):
        WAL.open(str(directory))


def test_two_writers_are_refused_and_a_reader_is_not(directory):
    entries = write_small_log(directory)
    owner = WAL.open(str(directory))
    with pytest.raises(CoreosError, match="file already locked"):
        WAL.open(str(directory))
    reader = WAL.open_for_read(str(directory))
    assert reader.read_all().entries == entries
    reader.close()
    owner.abandon()
    assert read_log(directory).entries == entries


def test_an_unreadable_file_is_named(directory):
    write_small_log(directory)
    (directory / FIRST_NAME).unlink()
    (directory / FIRST_NAME).mkdir()
    with pytest.raises(CoreosError, match=f"{FIRST_NAME}: is a directory"):
        WAL.open(str(directory))


# --- several files --------------------------------------------------------------------------------


@pytest.fixture
def three_files(directory):
    """A log cut after entries 3 and 6, with a snapshot marker at 5."""
    wal = WAL.create(str(directory), METADATA)
    wal.save(HardState(2, 0, 1), [founding(), put(2), put(3)], sync=True)
    wal.cut()
    wal.save(HardState(2, NODE, 3), [put(4), put(5), put(6)], sync=True)
    wal.save_snapshot(5, 2)
    wal.cut()
    wal.save(HardState(2, NODE, 6), [put(7)], sync=True)
    wal.close()
    return directory


THREE = [
    FIRST_NAME,
    "0000000000000001-0000000000000004.wal",
    "0000000000000002-0000000000000007.wal",
]


def test_a_file_starts_with_crc_metadata_and_hard_state(three_files):
    assert names(three_files) == THREE
    crc = None
    for name in THREE:
        reader = wal_record.RecordReader((three_files / name).read_bytes(), crc)
        found = list(reader)
        crc = reader.crc
        third = wal_record.MARKER if name == FIRST_NAME else wal_record.STATE
        assert [record.kind for record in found[:3]] == [4, 1, third]
        assert found[1].data == METADATA
    last = (three_files / THREE[2]).read_bytes()
    (_, _, state, *_) = wal_record.RecordReader(last, None)
    assert pb.decode_hard_state(state.data) == HardState(2, NODE, 3)


def test_all_files_are_read_in_order(three_files):
    contents = read_log(three_files)
    assert [entry.index for entry in contents.entries] == [1, 2, 3, 4, 5, 6, 7]
    assert contents.hard_state == HardState(2, NODE, 6)


def test_reading_starts_at_the_last_file_that_can_hold_the_snapshot(three_files):
    (three_files / FIRST_NAME).unlink()
    assert [entry.index for entry in read_log(three_files, at=(5, 2)).entries] == [6, 7]
    with pytest.raises(CoreosError, match="wal: file not found"):
        read_log(three_files, at=(2, 2))


def test_a_missing_file_in_between_is_refused(three_files):
    (three_files / THREE[1]).unlink()
    with pytest.raises(CoreosError, match=rf"wal: file not found \(between {THREE[0]}"):
        read_log(three_files)


def test_a_file_of_another_log_is_refused(three_files, tmp_path):
    other = tmp_path / "other"
    wal = WAL.create(str(other), pb.encode_metadata(pb.Metadata(1, 2)))
    wal.save(HardState(2, 0, 1), [founding(), put(2), put(3)], sync=True)
    wal.cut()
    wal.close()
    shutil.copy(other / THREE[1], three_files)
    with pytest.raises(Corrupt, match="wal: crc mismatch") as caught:
        read_log(three_files)
    assert (caught.value.path, caught.value.offset) == (str(three_files / THREE[1]), 0)


def test_metadata_may_not_change(directory):
    write_small_log(directory)
    path = directory / FIRST_NAME
    data = path.read_bytes()
    reader = wal_record.RecordReader(data, None)
    list(reader)
    assert reader.crc is not None
    parts = [data]
    wal_record.append_record(parts, reader.crc, kind=wal_record.METADATA, data=b"\x08\x01\x10\x02")
    path.write_bytes(b"".join(parts))
    with pytest.raises(Corrupt, match="wal: conflicting metadata found") as caught:
        read_log(directory)
    assert caught.value.offset == len(data)


def test_a_full_file_is_followed_by_another(directory, monkeypatch):
    monkeypatch.setattr(wal_module, "SEGMENT_BYTES", 600)
    lines: list[str] = []
    wal = WAL.create(str(directory), METADATA, log=lambda _, text: lines.append(text))
    entries = [founding(), *(put(index) for index in range(2, 60))]
    for entry in entries:
        wal.save(HardState(2, 0, 1), [entry], sync=True)
    wal.close()
    sizes = [(directory / name).stat().st_size for name in names(directory)]
    assert len(sizes) > 5
    assert all(600 <= size < 800 for size in sizes[:-1])
    assert len(lines) == len(sizes) - 1
    assert all(line.startswith("segmented wal file ") for line in lines)
    assert read_log(directory).entries == entries


def test_what_a_crashed_cut_left_is_overwritten(directory):
    write_small_log(directory)
    (directory / "0000000000000001-0000000000000007.wal.tmp").write_bytes(b"x" * 5000)
    wal = WAL.open(str(directory))
    entries = wal.read_all().entries
    wal.cut()
    wal.save(None, [put(7)], sync=True)
    wal.close()
    assert names(directory) == [FIRST_NAME, "0000000000000001-0000000000000007.wal"]
    assert read_log(directory).entries == [*entries, put(7)]


def test_a_log_goes_on_after_being_read(directory, monkeypatch):
    monkeypatch.setattr(wal_module, "SEGMENT_BYTES", 700)
    WAL.create(str(directory), METADATA).close()
    expected: list[Entry] = []
    for index in range(1, 30):
        wal = WAL.open(str(directory))
        assert wal.read_all().entries == expected
        expected.append(put(index))
        wal.save(HardState(2, 0, index), expected[-1:], sync=True)
        wal.close()
    assert len(names(directory)) > 3


# --- locks and purging ----------------------------------------------------------------------------


# Index released to, files then still locked: etcd 2.3.8's own table of cases for ReleaseLockTo.
RELEASES = [(1, 3), (4, 3), (5, 2), (7, 2), (8, 1), (100, 1)]


@pytest.mark.parametrize(("index", "locked"), RELEASES)
def test_locks_are_released_up_to_a_snapshot(three_files, index, locked):
    wal = WAL.open(str(three_files))
    wal.read_all()
    wal.release_to(index)
    removed = purge(str(three_files), ".wal", keep=1)
    assert [Path(path).name for path in removed] == THREE[: 3 - locked]
    wal.save(None, [put(8)], sync=True)
    wal.close()


def test_purging_keeps_as_many_as_asked(three_files):
    assert purge(str(three_files), ".wal", keep=0) == []
    assert purge(str(three_files), ".wal", keep=3) == []
    assert purge(str(three_files), ".wal", keep=2) == [str(three_files / FIRST_NAME)]
    assert names(three_files) == THREE[1:]


# --- durability and failure -----------------------------------------------------------------------


@pytest.fixture
def syncs(monkeypatch):
    """File descriptors given to fdatasync, in order."""
    found: list[int] = []
    real = os.fdatasync

    def record(fd):
        found.append(fd)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", record)
    return found


def test_saving_syncs_only_when_told(directory, syncs):
    wal = WAL.create(str(directory), METADATA)
    wal.save(HardState(1, 0, 1), [founding()], sync=False)
    assert syncs == []
    wal.save(HardState(2, 0, 1), [], sync=True)
    assert len(syncs) == 1
    wal.sync()
    wal.save_snapshot(1, 1)
    assert len(syncs) == 3
    wal.close()


def test_a_failed_sync_is_never_tried_again(directory, monkeypatch):
    wal = WAL.create(str(directory), METADATA)
    calls = []

    def fail(fd):
        calls.append(fd)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(CoreosError, match=f"{FIRST_NAME}: input/output error"):
        wal.save(HardState(1, 0, 1), [founding()], sync=True)
    for again in (
        wal.sync,
        wal.cut,
        lambda: wal.save(None, [put(2)], sync=False),
        lambda: wal.save_snapshot(1, 1),
    ):
        with pytest.raises(CoreosError, match=r"no writes after an earlier failure: .*error"):
            again()
    wal.close()
    assert len(calls) == 1


def test_a_full_disk_stops_the_log_and_loses_nothing_acknowledged(directory):
    wal = WAL.create(str(directory), METADATA)
    saved = [founding(), put(2), put(3)]
    wal.save(HardState(2, 0, 1), saved, sync=True)
    size = (directory / FIRST_NAME).stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, hard))
    try:
        with pytest.raises(CoreosError, match="file too large"):
            wal.save(None, [put(4), put(5)], sync=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.raises(CoreosError, match="no writes after an earlier failure"):
        wal.save(None, [put(4)], sync=True)
    wal.close()
    assert (directory / FIRST_NAME).stat().st_size == size + 50
    lines: list[str] = []
    assert read_log(directory, log=lambda _, text: lines.append(text)).entries == saved
    assert "dropped an incomplete record of 50 bytes" in lines[1]


def test_a_failed_cut_stops_the_log(directory):
    wal = WAL.create(str(directory), METADATA)
    wal.save(HardState(1, 0, 1), [founding()], sync=True)
    (directory / "0000000000000001-0000000000000002.wal").mkdir()
    with pytest.raises(CoreosError, match="file exists"):
        wal.cut()
    with pytest.raises(CoreosError, match="no writes after an earlier failure"):
        wal.save(None, [put(2)], sync=False)
    wal.close()


def test_a_record_that_is_too_long_is_refused_before_anything_is_written(directory, monkeypatch):
    monkeypatch.setattr(wal_record, "RECORD_BYTES_MAX", 100_000)
    wal = WAL.create(str(directory), METADATA)
    big = Entry(2, 2, 0, bytes(200_000))
    with pytest.raises(ValueError, match="too long"):
        wal.save(HardState(2, 0, 1), [founding(), big], sync=True)
    wal.save(HardState(1, 0, 1), [founding()], sync=True)
    wal.close()
    assert read_log(directory).entries == [founding()]


def test_syncing_in_a_thread_while_saving_and_cutting(directory, monkeypatch):
    monkeypatch.setattr(wal_module, "SEGMENT_BYTES", 4000)
    wal = WAL.create(str(directory), METADATA)
    entries = [founding(), *(put(index) for index in range(2, 1500))]
    done = threading.Event()
    failures: list[BaseException] = []

    def keep_syncing():
        try:
            while not done.is_set():
                wal.sync()
        except BaseException as error:  # noqa: BLE001  # reported by the assertion below
            failures.append(error)

    thread = threading.Thread(target=keep_syncing)
    thread.start()
    for begin in range(0, len(entries), 3):
        wal.save(HardState(2, 0, begin), entries[begin : begin + 3], sync=False)
    done.set()
    thread.join()
    wal.close()
    assert failures == []
    assert read_log(directory).entries == entries


def test_records_start_where_their_lengths_say():
    data = GOLDEN.read_bytes()
    found = [record.offset for record in wal_record.RecordReader(data, None)]
    assert [*found, len(data)] == record_starts(data)


def test_a_backups_log_has_nothing_up_to_its_snapshot(directory):
    """What `etcdctl backup` of 2.3.8 writes: the entries behind the snapshot, then its marker."""
    wal = WAL.create(str(directory), METADATA)
    wal.save(HardState(2, 0, 5), [put(4), put(5)], sync=True)
    wal.save_snapshot(3, 2)
    wal.close()
    assert read_log(directory, at=(3, 2)).entries == [put(4), put(5)]
