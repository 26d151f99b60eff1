"""The protobuf codecs: bytes as etcd 2.3.8 writes them, and refusal of everything malformed."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreos_py.base.errors import WireError
from coreos_py.base.protobuf import read_uvarint, scan
from coreos_py.etcd import pb, pb_raft, wal_record
from coreos_py.etcd.pb_wire import uvarint
from coreos_py.raft.types import (
    ConfChange,
    Entry,
    HardState,
    Message,
    Snapshot,
    SnapshotMeta,
)

GOLDEN_WAL = Path(__file__).parents[2] / "data/wal/0000000000000000-0000000000000000.wal"

# Object, its bytes as etcd 2.3.8's generated code writes them.
CASES = [
    (pb.encode_entry, pb.decode_entry, Entry(0, 0), "0800 1000 1800"),
    (pb.encode_entry, pb.decode_entry, Entry(2, 300, 1, b"hi"), "0801 1002 18ac02 2202 6869"),
    (pb.encode_hard_state, pb.decode_hard_state, HardState(), "0800 1000 1800"),
    (pb.encode_hard_state, pb.decode_hard_state, HardState(7, 128, 3), "0807 108001 1803"),
    (
        pb.encode_conf_change,
        pb.decode_conf_change,
        ConfChange(0, 1, (1 << 64) - 1),
        "0800 1001 18ffffffffffffffffff01",
    ),
    (
        pb.encode_conf_change,
        pb.decode_conf_change,
        ConfChange(5, 0, 1, b"{}"),
        "0805 1000 1801 2202 7b7d",
    ),
    (pb.encode_conf_state, pb.decode_conf_state, (1, 200), "0801 08c801"),
    (
        pb.encode_snapshot_meta,
        pb.decode_snapshot_meta,
        SnapshotMeta(9, 2, (1, 2)),
        "0a04 0801 0802 1009 1802",
    ),
    (
        pb.encode_snapshot,
        pb.decode_snapshot,
        Snapshot(b"{}", SnapshotMeta(9, 2, (1,))),
        "0a02 7b7d 1208 0a02 0801 1009 1802",
    ),
    (
        pb.encode_message,
        pb.decode_message,
        Message(8),
        "0808 1000 1800 2000 2800 3000 4000 4a08 1206 0a00 1000 1800 5000 5800",
    ),
    (
        pb.encode_message,
        pb.decode_message,
        Message(3, 1, 2, 3, 4, 5, (Entry(3, 6),), 7, None, True, 8, b"r"),
        "0803 1001 1802 2003 2804 3005 3a06 080010031806 4007 4a08 1206 0a00 1000 1800"
        "5001 5808 6201 72",
    ),
    (
        pb.encode_message,
        pb.decode_message,
        Message(7, 1, 2, 3, snapshot=Snapshot(b"d", SnapshotMeta(1, 1))),
        "0807 1001 1802 2003 2800 3000 4000 4a0b 0a01 64 1206 0a00 1001 1801 5000 5800",
    ),
    (
        pb.encode_request,
        pb.decode_request,
        pb.Request(),
        "0800 1200 1a00 2200 2800 3200 3800 4800 5000 5800 6000 6800 7000 7800 800100",
    ),
    (
        pb.encode_request,
        pb.decode_request,
        pb.Request(
            1, "PUT", "/1/a", "é\udcff", True, "p", 2, False, -1, True, 3, True, True, True, -2,
            True, True,
        ),
        "0801 1203 505554 1a04 2f312f61 2203 c3a9ff 2801 3201 70 3802 4000 48ffffffffffffffffff01"
        "5001 5803 6001 6801 7001 78feffffffffffffffff01 800101 880101",
    ),
    (pb.encode_metadata, pb.decode_metadata, pb.Metadata(1, 2), "0801 1002"),
    (pb.encode_record, pb.decode_record, pb.Record(4, 0), "0804 1000"),
    (
        pb.encode_record,
        pb.decode_record,
        pb.Record(2, 0xFFFFFFFF, b"x"),
        "0802 10ffffffff0f 1a01 78",
    ),
    (pb.encode_marker, pb.decode_marker, pb.Marker(3, 2), "0803 1002"),
    (pb.encode_snap_file, pb.decode_snap_file, pb.SnapFile(1, b"x"), "0801 1201 78"),
]  # fmt: skip

DECODERS = sorted({decode for _, decode, _, _ in CASES}, key=lambda decode: decode.__name__)


@pytest.mark.parametrize(("encode", "decode", "value", "text"), CASES)
def test_bytes_of_etcd(encode, decode, value, text):
    data = bytes.fromhex(text)
    assert encode(value) == data
    assert decode(data) == value


@pytest.mark.parametrize(("encode", "decode", "value", "text"), CASES)
def test_every_cut_is_refused_or_reads_as_fewer_fields(encode, decode, value, text):
    data = bytes.fromhex(text)
    for size in range(len(data)):
        reads_or_refuses(encode, decode, data[:size])


@pytest.mark.parametrize("decode", DECODERS)
def test_omitted_fields_are_zero_and_newer_fields_are_passed_over(decode):
    empty = decode(b"")
    newer = (
        b"\xf8\x07\x96\x01"  # field 127, varint
        b"\xf9\x07" + bytes(8) + b"\xfa\x07\x03abc\xfd\x07" + bytes(4) + b"\xfb\x07\x08\x01\xfc\x07"
    )
    assert decode(newer) == empty


def test_an_empty_payload_reads_like_none():
    assert pb.decode_entry(bytes.fromhex("0800 1001 1801 2200")) == Entry(1, 1)


def test_the_last_scalar_wins_and_embedded_messages_merge():
    assert pb.decode_hard_state(b"\x08\x01\x08\x02") == HardState(2)
    first, second = b"\x12\x02\x10\x09", b"\x12\x06\x18\x02\x0a\x02\x08\x05"
    assert pb.decode_snapshot(first + second).meta == SnapshotMeta(9, 2, (5,))


def test_enums_are_32_bits_signed():
    assert pb.decode_entry(b"\x08" + uvarint((1 << 64) - 1)).type == -1
    assert pb.encode_entry(Entry(0, 0, -1)).startswith(b"\x08" + uvarint((1 << 64) - 1))
    assert pb.decode_entry(b"\x08" + uvarint(1 << 32 | 1)).type == 1


MALFORMED = [
    ("08", "varint cut off"),
    ("0a05 61", "bytes longer than the message"),
    ("0affffffffffffffffff01 61", "length of 2^64-1"),
    ("08ffffffffffffffffffff01", "varint of eleven bytes"),
    ("00 00", "field 0"),
    ("07", "field 0, wire type 7"),
    ("0e 00", "wire type 6"),
    ("fe07 00", "newer field of wire type 6"),
    ("0c", "end group alone"),
    ("fc07", "end group of a newer field alone"),
    ("fb07", "group without an end"),
    ("fb07 0900", "group with a cut field"),
    ("f907 00", "fixed 64 cut off"),
    ("fd07 00", "fixed 32 cut off"),
    ("ffffffffffffffffff01 00", "field number beyond 2^29"),
]


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("text", [text for text, _ in MALFORMED], ids=[why for _, why in MALFORMED])
def test_malformed_input_is_a_wire_error(decode, text):
    with pytest.raises(WireError):
        decode(bytes.fromhex(text))


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("wire", [1, 3, 5])
def test_a_known_field_of_another_wire_type_is_refused(decode, wire):
    body = {1: bytes(8), 3: b"\x0c", 5: bytes(4)}[wire]
    with pytest.raises(WireError, match="wrong wire type"):
        decode(bytes((1 << 3 | wire,)) + body)


def test_deep_groups_take_no_stack():
    depth = 200_000
    assert pb.decode_marker(b"\xfb\x07" * depth + b"\xfc\x07" * depth) == pb.Marker()


def reads_or_refuses(encode, decode, data):
    """Any bytes are a WireError or a value that survives being written again."""
    with suppress(WireError):
        value = decode(data)
        assert decode(encode(value)) == value


@settings(max_examples=300)
@given(st.binary(max_size=80), st.sampled_from(CASES))
def test_any_bytes_decode_or_are_a_wire_error(data, case):
    reads_or_refuses(case[0], case[1], data)


@settings(max_examples=300)
@given(st.sampled_from(CASES), st.data())
def test_damaged_messages_decode_or_are_a_wire_error(case, data):
    encode, decode, _, text = case
    message = bytearray.fromhex(text)
    for _ in range(data.draw(st.integers(1, 4))):
        if message:
            message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    reads_or_refuses(encode, decode, bytes(message))


U64 = st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.binary(max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
BLOB = st.binary(max_size=200)
OPTIONAL = st.sampled_from([None, False, True])
FLAG = st.booleans()
REQUESTS = st.builds(
    pb.Request, U64, TEXT, TEXT, TEXT, FLAG, TEXT, U64, OPTIONAL, I64,
    FLAG, U64, FLAG, FLAG, FLAG, I64, FLAG, OPTIONAL,
)  # fmt: skip
ENTRIES = st.builds(Entry, U64, U64, st.integers(-(2**31), 2**31 - 1), BLOB)
METAS = st.builds(SnapshotMeta, U64, U64, st.lists(U64, max_size=5).map(tuple))
SNAPSHOTS = st.builds(Snapshot, BLOB, METAS)
MESSAGES = st.builds(
    Message, st.integers(0, 12), U64, U64, U64, U64, U64, st.lists(ENTRIES, max_size=4).map(tuple),
    U64, st.none() | SNAPSHOTS.filter(lambda s: s != Snapshot()), FLAG, U64, BLOB,
)  # fmt: skip


PLAIN_MESSAGES = st.builds(
    lambda numbers, commit, reject: Message(*numbers)._replace(commit=commit, reject=reject),
    st.tuples(*[U64] * 6), U64, FLAG,
)  # fmt: skip


@given(REQUESTS)
def test_requests_round_trip(request):
    assert pb.decode_request(pb.encode_request(request)) == request


@given(REQUESTS)
def test_plain_requests_round_trip(request):
    plain = pb.Request(request.id, request.method, request.path, request.val)
    assert pb.decode_request(pb.encode_request(plain)) == plain


@given(MESSAGES | PLAIN_MESSAGES, st.data())
def test_the_short_way_to_a_message_is_the_long_way(message, data):
    wire = bytearray(pb.encode_message(message._replace(type=message.type % 0x81)))
    if data.draw(st.booleans()):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    with pytest.MonkeyPatch.context() as patch:
        short = outcome(bytes(wire))
        patch.setattr(pb_raft, "_PLAIN_MESSAGE", re.compile(b"(?!)"))
        assert outcome(bytes(wire)) == short


def outcome(wire):
    try:
        return pb.decode_message(wire)
    except WireError as error:
        return str(error)


@given(MESSAGES)
def test_messages_round_trip(message):
    assert pb.decode_message(pb.encode_message(message)) == message


@given(U64)
def test_varints_are_what_the_definition_says(value):
    rest, expected = value, bytearray()
    while rest >= 0x80:
        expected.append(rest & 0x7F | 0x80)
        rest >>= 7
    expected.append(rest)
    assert uvarint(value) == expected
    assert read_uvarint(bytes(expected) + b"\x01", 0) == (value, len(expected))


@pytest.mark.parametrize("shift", range(64))
def test_varints_around_powers_of_two(shift):
    for value in ((1 << shift) - 1, 1 << shift, (1 << shift) + 1):
        assert read_uvarint(uvarint(value), 0)[0] == value


@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_numbers_that_do_not_fit_are_refused(value):
    with pytest.raises(ValueError, match=str(value)):
        uvarint(value)


def test_scan_keeps_order_and_repeats():
    assert scan(b"\x08\x01\x12\x01a\x08\x02") == [(8, 1, b""), (0x12, 0, b"a"), (8, 2, b"")]


def test_requests_of_a_real_log_come_out_as_they_went_in():
    requests = []
    for found in wal_record.RecordReader(GOLDEN_WAL.read_bytes(), None):
        if found.kind != wal_record.ENTRY:
            continue
        entry = pb.decode_entry(found.data)
        assert pb.encode_entry(entry) == found.data
        if entry.type == 1:
            change = pb.decode_conf_change(entry.data)
            assert pb.encode_conf_change(change) == entry.data
        elif entry.data:
            request = pb.decode_request(entry.data)
            assert pb.encode_request(request) == entry.data
            requests.append(request)
    assert [(r.method, r.path, r.val) for r in requests[4:8]] == [
        ("PUT", "/1/a", "1"),
        ("PUT", "/1/a", "hé"),
        ("PUT", "/1/d", ""),
        ("POST", "/1/q", "job"),
    ]
    assert requests[5].prev_value == "1"
    assert requests[6].dir
    assert requests[9].refresh is requests[9].prev_exist is True
    assert requests[13].prev_exist is False
