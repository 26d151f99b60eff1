"""What hostile bytes may cost: readers of the wire and of files take time and memory in proportion.

Every reader gets a quarter of a mebibyte made to be expensive, in small pieces where it reads a
wire. Time is the process's own, with room for a slow machine.
"""

from __future__ import annotations

import json
import random
import time
import tracemalloc

import pytest

from coreos_py.base.errors import CoreosError, Corrupt, WireError
from coreos_py.etcd import pb
from coreos_py.etcd.rafthttp_codec import MessageDecoder, MsgAppDecoder
from coreos_py.etcd.snap import read_snapshot
from coreos_py.etcd.wal import WAL
from coreos_py.http.framing import ParseError
from coreos_py.http.parser import BodyTooLarge, RequestParser
from coreos_py.http.reply import ReplyParser
from coreos_py.raft.types import Entry, HardState, Message
from coreos_py.store.snapshot import BadSnapshot, load
from tests.support.waltools import FIRST_NAME, METADATA

MIB = 1 << 20
SIZE = MIB // 4
PIECE = 64
CPU_MAX_S = 60.0
HEAD = b"PUT /v2/keys/k HTTP/1.1\r\nHost: h\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = HEAD + b"Content-Length: %d\r\n\r\n" % MIB


def cost(work):
    """(processor seconds, peak bytes) of some work; to measure memory makes it slower."""
    start = time.process_time()
    tracemalloc.start()
    try:
        work()
        return time.process_time() - start, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def in_bounds(work, *, size, times):
    """Whether work on so many bytes holds no more than so many times as much."""
    seconds, peak = cost(work)
    assert peak < times * size + MIB
    assert seconds < CPU_MAX_S


def repeated(begin, unit):
    return begin + unit * ((SIZE - len(begin)) // len(unit))


WIRES = [
    ("a long target", repeated(b"GET /", b"a")),
    ("many fields", repeated(b"GET / HTTP/1.1\r\nHost: h\r\n", b"a: b\r\n")),
    ("a folded field", repeated(HEAD + b"a: ", b"b\r\n ")),
    ("one field again and again", repeated(HEAD, b"a:\r\n")),
    ("empty lines", repeated(b"", b"\r\n")),
    ("bare line feeds", repeated(b"GET / HTTP/1.1", b"\n")),
    ("tiny chunks", repeated(CHUNKED, b"1\r\nx\r\n")),
    ("a long chunk size", repeated(CHUNKED, b"0")),
    ("a long chunk extension", repeated(CHUNKED + b"1;", b"x")),
    ("many trailers", repeated(CHUNKED + b"0\r\n", b"a: b\r\n")),
    ("a body in pieces", repeated(LENGTH, b"x")),
    ("pipelined requests", repeated(b"", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")),
    ("requests with heads of their own", b"".join(
        b"GET / HTTP/1.1\r\nHost: h%d\r\n\r\n" % number for number in range(7_000)
    )),
]  # fmt: skip


@pytest.mark.parametrize("data", [data for _, data in WIRES], ids=[name for name, _ in WIRES])
def test_requests(data):
    def work():
        parser = RequestParser(lambda _request: 2 * MIB, MIB, {})
        try:
            for at in range(0, len(data), PIECE):
                parser.feed(data[at : at + PIECE])
                while parser.next() is not None:
                    pass
        except (ParseError, BodyTooLarge):
            return

    in_bounds(work, size=len(data), times=12)


REPLY = b"HTTP/1.1 200 OK\r\n"
REPLIES = [
    repeated(b"HTTP/1.1 200 ", b"a"),
    repeated(REPLY, b"a: b\r\n"),
    repeated(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    repeated(REPLY + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    repeated(REPLY + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    repeated(REPLY + b"\r\n", b"x"),
]


@pytest.mark.parametrize("number", range(len(REPLIES)))
def test_replies(number):
    data = REPLIES[number]

    def work():
        parser = ReplyParser("GET")
        try:
            for at in range(0, len(data), PIECE):
                parser.feed(data[at : at + PIECE])
                for _ in parser.take():
                    pass
        except ParseError:
            return

    in_bounds(work, size=len(data), times=12)


def test_interim_replies_come_to_an_end():
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    for step in (1, 7, 1000):
        parser = ReplyParser("GET")
        data = interim * 5 + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
        for at in range(0, len(data), step):
            parser.feed(data[at : at + step])
        assert (parser.status, parser.done, parser.take()) == (200, True, [b"x"])
    parser = ReplyParser("GET")
    with pytest.raises(ParseError, match="too many 1xx informational responses"):
        parser.feed(interim * 6)


def framed(*bodies):
    return b"".join(len(body).to_bytes(8, "big") + body for body in bodies)


EMPTY = pb.encode_message(Message(4))
STREAMS = [
    ("small messages", MessageDecoder, repeated(b"", framed(EMPTY))),
    ("a frame that never ends", MessageDecoder, repeated((500 * MIB).to_bytes(8, "big"), b"x")),
    ("a frame too long", MessageDecoder, repeated(b"\xff" * 8, b"x")),
    ("a message of many entries", MessageDecoder, framed(b"\x3a\x00" * (SIZE // 2))),
    ("link heartbeats", MsgAppDecoder, b"\x00" * SIZE),
    ("more entries than can come", MsgAppDecoder,
     repeated(b"\x01" + (1 << 62).to_bytes(8, "big"), framed(b""))),
    ("an entry too long", MsgAppDecoder,
     b"\x01" + (1).to_bytes(8, "big") + (1 << 62).to_bytes(8, "big") + b"x" * SIZE),
    ("small full messages", MsgAppDecoder, repeated(b"", b"\x02" + framed(EMPTY))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("decoder", "data"), [item[1:] for item in STREAMS], ids=[item[0] for item in STREAMS]
)
def test_streams_of_peers(decoder, data):
    """Messages are let go as they come, so what is held is one frame at most."""

    def work():
        stream = decoder() if decoder is MessageDecoder else decoder(2, 1)
        try:
            for at in range(0, len(data), PIECE):
                stream.feed(data[at : at + PIECE])
        except WireError:
            return

    in_bounds(work, size=len(data), times=200)


def log_with(entries, tmp_path):
    wal = WAL.create(str(tmp_path / "wal"), METADATA)
    wal.save(HardState(1, 0, len(entries)), entries, sync=True)
    wal.close()
    return tmp_path / "wal" / FIRST_NAME


LOGS = [
    ("small entries", [Entry(1, at) for at in range(1, 7_000)]),
    ("one entry again and again", [Entry(1, 1, 0, b"x")] * 7_000),
    ("one large entry", [Entry(1, 1, 0, b"x" * SIZE)]),
]


@pytest.mark.parametrize("entries", [item[1] for item in LOGS], ids=[item[0] for item in LOGS])
def test_logs(entries, tmp_path, seed):
    """Whole, and with damage anywhere."""
    path = log_with(entries, tmp_path)
    data = path.read_bytes()
    rng = random.Random(seed)

    def work():
        wal = WAL.open_for_read(str(path.parent))
        try:
            wal.read_all()
        except Corrupt:
            return
        finally:
            wal.abandon()

    in_bounds(work, size=len(data), times=20)
    for _ in range(2):
        damaged = bytearray(data)
        at = rng.randrange(len(data) - 8)
        damaged[at : at + 8] = rng.choice([b"\xff" * 8, b"\x00" * 8, rng.randbytes(8)])
        path.write_bytes(damaged)
        in_bounds(work, size=len(data), times=20)


def document(root, events=()):
    ring = {"Queue": {"Events": list(events), "Size": len(events), "Capacity": 10**9}}
    return json.dumps({"Root": root, "CurrentIndex": 1, "WatcherHub": {"EventHistory": ring}})


def node(path, **rest):
    return {"Path": path, "CreatedIndex": 1, "ModifiedIndex": 1, **rest}


def deep(levels):
    """A directory in a directory in a directory."""
    head = '{"Root":' + '{"Path":"/","CreatedIndex":1,"ModifiedIndex":1,"Children":{"a":' * levels
    return head + "null" + "}}" * levels + "}"


WIDE = {f"k{number}": node(f"/k{number}", Value="") for number in range(3_000)}
DOCUMENTS = [
    ("many keys", document(node("/", Children=WIDE))),
    ("nesting without end", deep(SIZE // 70)),
    ("brackets", '{"Root":' + "[" * (SIZE - 9)),
    ("braces", '{"a":' * (SIZE // 5)),
    ("empty lists", "[" + "[]," * (SIZE // 3) + "[]]"),
    ("a number", '{"Root":' + "9" * SIZE + "}"),
    ("a string without end", '{"Root":"' + "\\u0041" * (SIZE // 6)),
    ("slots of nothing", document(node("/", Children={}), [None] * (SIZE // 6))),
    ("blanks", " " * SIZE),
]


@pytest.mark.parametrize("text", [item[1] for item in DOCUMENTS], ids=[i[0] for i in DOCUMENTS])
def test_documents_of_snapshots(text):
    data = text.encode()

    def work():
        try:
            load(data)
        except BadSnapshot:
            return

    # A list in a list, byte after byte, costs most: some dozen words each.
    in_bounds(work, size=len(data), times=160)


FILES = [
    b"\x08\x01" * (SIZE // 2),
    b"\x12" + b"\xff" * SIZE,
    b"\x12\x00" * (SIZE // 2),
    b"\0" * SIZE,
]


@pytest.mark.parametrize("number", range(len(FILES)))
def test_files_of_snapshots(number, tmp_path):
    path = tmp_path / "any.snap"
    path.write_bytes(FILES[number])

    def work():
        with pytest.raises(CoreosError):
            read_snapshot(str(path))

    in_bounds(work, size=len(FILES[number]), times=40)
