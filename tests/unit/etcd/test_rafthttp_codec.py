"""Stream framing: real recordings, the codec's state, every split of the bytes, bounds."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreos_py.base.errors import WireError
from coreos_py.etcd.rafthttp_codec import (
    LINK_HEARTBEAT,
    MessageDecoder,
    MessageEncoder,
    MsgAppDecoder,
    MsgAppEncoder,
    is_link_heartbeat,
)
from coreos_py.raft.types import Entry, Message, MsgType

RECORDED = Path(__file__).parents[2] / "data/rafthttp"
LEADER = 0xE0F05364B39DC1E2
FOLLOWER = 0x6A8DE3D0224774E3


def app(term: int, log_term: int, index: int, entries: str = "", commit: int = 0) -> Message:
    """A MsgApp from 1 to 2 whose entries are given by their one-letter payloads."""
    found = tuple(
        Entry(term, index + 1 + offset, 0, letter.encode()) for offset, letter in enumerate(entries)
    )
    return Message(MsgType.APP, 2, 1, term, log_term, index, found, commit)


# Consecutive messages of one stream and the type byte each is sent with (etcd 2.3.8's own cases).
CONVERSATION = [
    (LINK_HEARTBEAT, 0),
    (app(1, 1, 0, "abc"), 2),
    (app(1, 1, 3, "d"), 1),
    (LINK_HEARTBEAT, 0),
    (app(1, 1, 4, "e", 3), 1),
    (app(1, 1, 5, "", 5), 1),
    (app(3, 1, 5, "f"), 2),
    (LINK_HEARTBEAT, 0),
    (app(3, 2, 6, "g"), 2),
    (app(3, 3, 7), 1),
    (app(3, 3, 8, "x"), 2),
]
SENT = [message for message, _ in CONVERSATION if not is_link_heartbeat(message)]


def encoded() -> list[bytes]:
    encoder = MsgAppEncoder()
    return [encoder.encode(message) for message, _ in CONVERSATION]


def test_the_short_form_is_used_exactly_when_the_other_end_can_predict():
    assert [data[0] for data in encoded()] == [kind for _, kind in CONVERSATION]


def test_bytes_of_the_short_form():
    entry = "08001001180422 01 64"
    size = len(bytes.fromhex(entry))
    expected = "01 0000000000000001" + f"{size:016x}" + entry + "0000000000000000"
    assert encoded()[2] == bytes.fromhex(expected)


def test_a_conversation_comes_out_as_it_went_in():
    decoder = MsgAppDecoder(2, 1)
    assert decoder.feed(b"".join(encoded())) == SENT
    assert (decoder.heartbeats, decoder.pending) == (3, 0)


def test_byte_by_byte_is_the_same():
    decoder = MsgAppDecoder(2, 1)
    found: list[Message] = []
    for data in encoded():
        for byte in data:
            found += decoder.feed(bytes((byte,)))
    assert found == SENT
    assert decoder.pending == 0


@given(st.lists(st.integers(0, 2000), max_size=12))
def test_any_split_gives_the_same_messages(cuts):
    data = b"".join(encoded())
    borders = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    decoder = MsgAppDecoder(2, 1)
    found: list[Message] = []
    for begin, end in pairwise(borders):
        found += decoder.feed(data[begin:end])
    assert found == SENT


def replay(data: bytes, decoder, encoder) -> tuple[list[Message], bytes]:
    """Read a recorded stream byte by byte and write down again what comes out of it."""
    messages, written = [], b""
    for byte in data:
        heartbeats = decoder.heartbeats
        found = decoder.feed(bytes((byte,)))
        if decoder.heartbeats > heartbeats:
            written += encoder.heartbeat
        for message in found:
            written += encoder.encode(message)
        messages += found
    return messages, written


def test_a_real_msgapp_stream_reads_and_encodes_identically():
    data = (RECORDED / "msgapp.bin").read_bytes()
    decoder = MsgAppDecoder(FOLLOWER, LEADER)
    messages, written = replay(data, decoder, MsgAppEncoder())
    assert written == data
    assert {(m.from_, m.to, m.type) for m in messages} == {(LEADER, FOLLOWER, MsgType.APP)}
    assert [entry.index for m in messages for entry in m.entries] == list(range(1, 32))
    assert (decoder.heartbeats, decoder.pending) == (5, 0)


def test_a_real_message_stream_reads_and_encodes_identically():
    data = (RECORDED / "message.bin").read_bytes()
    decoder = MessageDecoder()
    messages, written = replay(data, decoder, MessageEncoder())
    assert written == data
    assert {m.type for m in messages} == {MsgType.HEARTBEAT}
    assert (decoder.heartbeats, decoder.pending) == (5, 0)


MESSAGES = [
    Message(MsgType.VOTE, 1, 2, 3, 4, 5),
    Message(MsgType.HEARTBEAT, 1, 2, 3, commit=9, context=b"read"),
    LINK_HEARTBEAT,
    Message(MsgType.PROP, 1, 2, entries=(Entry(0, 0, 0, b"data"),)),
]


@given(st.integers(1, 60))
def test_message_streams_in_steps_of_any_size(step):
    encoder = MessageEncoder()
    data = b"".join(encoder.encode(message) for message in MESSAGES)
    decoder = MessageDecoder()
    found: list[Message] = []
    for begin in range(0, len(data), step):
        found += decoder.feed(data[begin : begin + step])
    assert found == [message for message in MESSAGES if message is not LINK_HEARTBEAT]
    assert decoder.heartbeats == 1


def test_the_heartbeat_of_a_message_stream_is_an_encoded_message():
    assert MessageEncoder.heartbeat == MessageEncoder().encode(LINK_HEARTBEAT)


BROKEN = [
    (b"\x03", "failed to parse type 3"),
    (b"\x02" + b"\xff" * 8, "too long"),
    (b"\x02" + (1001).to_bytes(8, "big"), "too long"),
    (b"\x02" + (1).to_bytes(8, "big") + b"\x08", "unexpected EOF"),
    (b"\x01" + (1).to_bytes(8, "big") + (1001).to_bytes(8, "big"), "too long"),
    (b"\x01" + (1).to_bytes(8, "big") + (1).to_bytes(8, "big") + b"\x00", "illegal tag"),
    (
        b"\x01" + (1).to_bytes(8, "big") + (6).to_bytes(8, "big") + b"\x08\x00\x10\x01\x18\x02",
        "after",
    ),
]


@pytest.mark.parametrize(("data", "text"), BROKEN)
def test_a_broken_stream_is_refused_for_good(data, text):
    decoder = MsgAppDecoder(2, 1, frame_bytes_max=1000)
    with pytest.raises(WireError, match=text):
        decoder.feed(data)
    with pytest.raises(WireError, match=text):
        decoder.feed(b"\x00")


def test_entries_that_are_too_long_together_are_refused():
    many = Message(
        MsgType.APP, 2, 1, entries=tuple(Entry(0, n, 0, b"x" * 90) for n in range(1, 20))
    )
    data = MsgAppEncoder().encode(many)
    assert data[0] == 1
    with pytest.raises(WireError, match="too long"):
        MsgAppDecoder(2, 1, frame_bytes_max=1000).feed(data)
    assert MsgAppDecoder(2, 1, frame_bytes_max=2500).feed(data) == [many]


def test_a_huge_count_alone_takes_no_memory():
    decoder = MsgAppDecoder(2, 1)
    assert decoder.feed(b"\x01" + b"\xff" * 8) == []
    assert decoder.pending == 0


def test_a_frame_in_small_pieces_is_not_copied_for_every_piece():
    big = Message(MsgType.APP, 2, 1, 5, 4, 0, (Entry(5, 1, 0, bytes(4 << 20)),))
    data = MsgAppEncoder().encode(big)
    decoder = MsgAppDecoder(2, 1)
    found: list[Message] = []
    for begin in range(0, len(data), 512):
        found += decoder.feed(data[begin : begin + 512])
    assert found == [big]


@settings(max_examples=300)
@given(st.binary(max_size=120), st.integers(1, 40))
def test_any_bytes_are_messages_or_a_wire_error(data, step):
    for decoder in (MessageDecoder(), MsgAppDecoder(2, 1)):
        fed = 0
        try:
            for begin in range(0, len(data), step):
                decoder.feed(data[begin : begin + step])
                fed = begin + step
        except WireError:
            fed = len(data)
        assert fed >= len(data)
