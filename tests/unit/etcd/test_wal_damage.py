"""Damaged logs: a torn tail is repaired once, anything else is refused; never other data.

The rules are those of etcd 2.3.8 where it does not panic or drop whole records in silence.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from coreos_py.base.errors import CoreosError, Corrupt
from coreos_py.etcd import pb, wal_record
from coreos_py.etcd.wal import WAL
from coreos_py.etcd.wal_replay import Replay
from coreos_py.raft.types import Entry, HardState
from tests.support.waltools import (
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
HEAD_RECORDS = 3  # crc, metadata, the marker of index 0


@pytest.fixture
def small(tmp_path):
    """A small log's directory, its only file, its bytes and its entries."""
    directory = tmp_path / "wal"
    entries = write_small_log(directory)
    path = directory / FIRST_NAME
    return directory, path, path.read_bytes(), entries


def replay(data: bytes) -> list[Entry]:
    """Entries of one file's bytes, without touching a disk."""
    found = Replay(pb.Marker())
    for record in wal_record.RecordReader(data, None):
        found.take(record)
    assert found.problem(first_seq=0) == ""
    return found.entries


def test_a_log_cut_anywhere_is_repaired_or_refused(small):
    directory, path, data, entries = small
    starts = record_starts(data)
    broken = directory / f"{FIRST_NAME}.broken"
    for size in range(len(data)):
        path.write_bytes(data[:size])
        whole = max(start for start in starts if start <= size)
        if whole < starts[HEAD_RECORDS]:
            with pytest.raises(Corrupt) as caught:
                read_log(directory)
            assert (caught.value.path, caught.value.offset) == (str(path), whole)
            assert path.read_bytes() == data[:size]
            assert not broken.exists()
            continue
        lines: list[tuple[int, str]] = []
        contents = read_log(directory, log=lambda level, text, to=lines: to.append((level, text)))
        assert contents.entries == entries[: len(contents.entries)]
        assert contents.entries == replay(data[:whole])
        assert path.read_bytes() == data[:whole]
        if whole == size:
            assert (broken.exists(), lines) == (False, [])
            continue
        assert broken.read_bytes() == data[:size]
        assert [level for level, _ in lines] == [25, 25]
        assert lines[0][1] == f"repairing {path}"
        assert f"of {size - whole} bytes at offset {whole} of {path}" in lines[1][1]
        broken.unlink()
        assert read_log(directory).entries == contents.entries
        assert not broken.exists()


def test_a_repaired_log_can_be_written_to(small):
    directory, path, data, entries = small
    path.write_bytes(data[:-1])
    wal = WAL.open(str(directory))
    contents = wal.read_all()
    assert contents.entries == entries
    wal.save(None, [put(7)], sync=True)
    wal.close()
    assert read_log(directory).entries == [*entries, put(7)]


def test_reading_for_a_backup_changes_nothing(small):
    directory, path, data, entries = small
    path.write_bytes(data[:-1])
    wal = WAL.open_for_read(str(directory))
    assert wal.read_all().entries == entries
    with pytest.raises(AssertionError):
        wal.save(None, [put(7)], sync=True)
    wal.close()
    assert path.read_bytes() == data[:-1]
    assert [item.name for item in directory.iterdir()] == [FIRST_NAME]


def test_every_single_flipped_bit_is_refused(small):
    directory, path, data, _ = small
    starts = record_starts(data)
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(Corrupt) as caught:
                read_log(directory)
            assert caught.value.path == str(path)
            assert caught.value.offset in starts[:-1], (position, bit)
            assert f"{path}: damaged at offset {caught.value.offset}: " in str(caught.value)
            assert path.read_bytes() == damaged
    assert [item.name for item in directory.iterdir()] == [FIRST_NAME]


def test_every_single_flipped_bit_of_a_real_log_is_refused():
    data = GOLDEN.read_bytes()
    accepted = []
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            try:
                replay(bytes(damaged))
            except wal_record.BadRecord as bad:
                if not bad.torn:
                    continue
            accepted.append((position, bit))
    assert accepted == []


@pytest.fixture
def two_files(tmp_path):
    """A log of two files, its directory and the bytes of each."""
    directory = tmp_path / "wal"
    wal = WAL.create(str(directory), METADATA)
    wal.save(HardState(2, NODE, 1), [founding(), put(2)], sync=True)
    wal.cut()
    wal.save(HardState(2, NODE, 2), [put(3)], sync=True)
    wal.close()
    paths = sorted(directory.iterdir())
    return directory, paths, [path.read_bytes() for path in paths]


def test_an_earlier_file_cut_anywhere_is_refused(two_files):
    directory, (first, second), (data, _) = two_files
    for size in range(len(data)):
        first.write_bytes(data[:size])
        with pytest.raises(Corrupt) as caught:
            read_log(directory)
        assert caught.value.path in (str(first), str(second))
    assert sorted(directory.iterdir()) == [first, second]


def test_the_last_file_cut_in_its_head_is_refused(two_files):
    directory, (_, second), (_, data) = two_files
    for size in range(record_starts(data)[2]):
        second.write_bytes(data[:size])
        with pytest.raises(Corrupt) as caught:
            read_log(directory)
        assert caught.value.path == str(second)


def test_flips_in_a_later_file_are_refused(two_files):
    directory, (_, second), (_, data) = two_files
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        second.write_bytes(damaged)
        with pytest.raises(Corrupt) as caught:
            read_log(directory)
        assert caught.value.path == str(second)


TAILS = [
    (bytes(8), "malformed record"),
    (bytes(512), "malformed record"),
    (b"\xff" * 8, "record length 18446744073709551615 is out of bounds"),
    ((1 << 40).to_bytes(8, "little") + b"\x08", "record length 1099511627776 is out of bounds"),
    (b"\x20\0\0\0\0\0\0\0\x08\x06\x10\x00\x1a", "unexpected block type 6"),
    (b"\x20\0\0\0\0\0\0\0\x08\x02\x10\x00\x1a\x05", "record length does not match its data"),
    (b"\x20\0\0\0\0\0\0\0garbage", "malformed record"),
]


@pytest.mark.parametrize(("tail", "text"), TAILS)
def test_a_tail_that_never_was_a_record_is_refused(small, tail, text):
    directory, path, data, _ = small
    path.write_bytes(data + tail)
    with pytest.raises(Corrupt) as caught:
        read_log(directory)
    assert (caught.value.path, caught.value.offset) == (str(path), len(data))
    assert caught.value.detail == f"read wal error ({text}) and cannot be repaired"
    assert path.read_bytes() == data + tail


def test_a_wrong_checksum_has_the_words_of_etcd(small):
    directory, path, data, _ = small
    path.write_bytes(data[:-1] + bytes((data[-1] ^ 1,)))
    with pytest.raises(Corrupt, match=r"\(walpb: crc mismatch\) and cannot be repaired"):
        read_log(directory)


NEWER = " (starting at 0, but a snapshot was taken at 3)"

# Records whose checksums are right but that cannot follow the log: kind, data, what is said.
IMPOSSIBLE = [
    (2, pb.encode_entry(put(8)), f"entry 8 follows entry 6{NEWER}"),
    (2, pb.encode_entry(Entry(2, 7, 1)), "entry of type 1 with 0 bytes"),
    (2, pb.encode_entry(Entry(2, 7, 2, b"x")), "entry of type 2 with 1 bytes"),
    (2, pb.encode_entry(Entry(0, 7, 0, b"x")), "entry with term 0 and index 7"),
    (2, b"\x10\x02\x18\x07", "not an entry"),
    (2, b"\x0a\x00", "protobuf: Entry: wrong wire type 2 for field 1"),
    (3, pb.encode_hard_state(HardState(2, NODE, 7)), f"entries end at 6 but 7 is committed{NEWER}"),
    (3, pb.encode_hard_state(HardState(0, 1, 2)), "not a hard state"),
    (3, b"\x08\x02\x10\x01", "not a hard state"),
    (3, b"\x08", "protobuf: unexpected EOF"),
    (5, b"\x08\x01", "not a snapshot marker"),
    (5, b"\x0a\x00", "protobuf: Snapshot: wrong wire type 2 for field 1"),
    (1, b"\x08\x01\x10\x02", "wal: conflicting metadata found"),
]


@pytest.mark.parametrize(("kind", "data", "text"), IMPOSSIBLE)
def test_records_that_cannot_follow_are_refused(small, kind, data, text):
    directory, path, before, _ = small
    reader = wal_record.RecordReader(before, None)
    list(reader)
    assert reader.crc is not None
    parts = [before]
    wal_record.append_record(parts, reader.crc, kind=kind, data=data)
    path.write_bytes(b"".join(parts))
    with pytest.raises(Corrupt) as caught:
        read_log(directory)
    assert caught.value.detail == f"read wal error ({text}) and cannot be repaired"
    assert caught.value.offset in (len(before), len(b"".join(parts)))


def test_an_empty_payload_written_by_go_is_an_entry(small):
    directory, path, before, entries = small
    reader = wal_record.RecordReader(before, None)
    list(reader)
    assert reader.crc is not None
    parts = [before]
    data = pb.encode_entry(Entry(2, 7)) + b"\x22\x00"
    wal_record.append_record(parts, reader.crc, kind=wal_record.ENTRY, data=data)
    path.write_bytes(b"".join(parts))
    assert read_log(directory).entries == [*entries, Entry(2, 7)]


MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["set", "insert", "delete", "copy"]),
        st.integers(0, 700),
        st.integers(0, 700),
        st.binary(min_size=1, max_size=9),
    ),
    min_size=1,
    max_size=4,
)


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(MUTATIONS)
@example([("delete", 0, 0, b"x" * 8)])
def test_mutated_logs_are_refused_or_read_as_a_beginning(small, mutations):
    directory, path, data, entries = small
    damaged = bytearray(data)
    for what, at, other, patch in mutations:
        begin = min(at, len(damaged))
        if what == "set":
            damaged[begin : begin + len(patch)] = patch
        elif what == "insert":
            damaged[begin:begin] = patch
        elif what == "delete":
            del damaged[begin : begin + len(patch)]
        else:
            damaged[begin:begin] = damaged[other : other + 40]
    path.write_bytes(damaged)
    try:
        contents = read_log(directory)
    except CoreosError as refusal:
        problem = str(refusal)
    else:
        problem = ""
        assert contents.entries == entries[: len(contents.entries)]
    assert "\n" not in problem
    for leftover in directory.glob("*.broken"):
        leftover.unlink()


class LongWay(wal_record.RecordReader):
    """Reads every record by itself."""

    def run(self, before):
        return [], b""


def outcome(reader, start):
    """All that reading shows: what is held, what is refused and where."""
    found = Replay(start)
    try:
        found.take_all(reader)
    except wal_record.BadRecord as bad:
        refusal = (bad.offset, bad.detail, bad.torn)
    else:
        refusal = None
    state = (found.hard_state, found.last_index, found.problem(first_seq=0))
    return found.entries, state, refusal, reader.end, reader.crc


@pytest.mark.parametrize("start", [pb.Marker(), pb.Marker(3, 2), pb.Marker(5, 2), pb.Marker(9, 7)])
def test_the_short_way_shows_what_the_long_way_shows(tmp_path, start, rng):
    directory = tmp_path / "wal"
    write_small_log(directory)
    wal = WAL.open(str(directory))
    last = wal.read_all().entries[-1].index
    for term in (7, 300, 1 << 62):
        for _ in range(12):
            sizes = [rng.choice([0, 1, 60, 200, 20_000]) for _ in range(rng.randrange(4))]
            entries = [put(last + i, term=term, value="v" * n) for i, n in enumerate(sizes, 1)]
            last += len(entries)
            vote = rng.choice([0, 1, NODE, (1 << 64) - 1])
            wal.save(HardState(term, vote, last - 1), entries, sync=False)
    wal.close()
    data = bytearray((directory / FIRST_NAME).read_bytes())
    assert outcome(LongWay(bytes(data), None), start)[0][-1].index == last
    for _ in range(300):
        short, long = wal_record.RecordReader(bytes(data), None), LongWay(bytes(data), None)
        assert outcome(short, start) == outcome(long, start)
        data = bytearray((directory / FIRST_NAME).read_bytes())
        at = rng.choice([rng.randrange(len(data)), rng.choice(record_starts(bytes(data))[:-1])])
        if rng.random() < 0.5:
            data[at + rng.randrange(min(30, len(data) - at))] ^= 1 << rng.randrange(8)
        else:
            del data[at : at + rng.choice([1, 8, 1000])]


def test_a_refusal_is_logged_nowhere_else(small, caplog):
    directory, path, data, _ = small
    path.write_bytes(data[:40])
    with caplog.at_level(logging.DEBUG), pytest.raises(Corrupt):
        read_log(directory)
    assert caplog.records == []
