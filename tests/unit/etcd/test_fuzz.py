"""What anybody may send: forms, bodies on /raft, and raft messages that no member would make.

Each is answered or refused in the words made for it, in bounded memory.
"""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coreos_py.base.errors import StoreError
from coreos_py.etcd import keys_request, pb
from coreos_py.etcd.pb import Request
from coreos_py.etcd.transport import Transport
from coreos_py.http import message as http
from coreos_py.http.aclient import AsyncHTTPClient
from coreos_py.raft.errors import RaftError
from coreos_py.raft.log import MemoryLog
from coreos_py.raft.node import Config, RawNode
from coreos_py.raft.types import (
    ConfChange,
    Entry,
    HardState,
    Message,
    Snapshot,
    SnapshotMeta,
)

FORM = b"application/x-www-form-urlencoded"
NOW_NS = 1_700_000_000_000_000_000
MIB = 1 << 20
MANY = 20_000

# -- forms ----------------------------------------------------------------------------------------

NAMES = (
    "value prevValue prevIndex prevExist ttl dir recursive sorted wait waitIndex stream quorum "
    "refresh unknown"
).split()
PAIRS = st.tuples(
    st.sampled_from([name.encode() for name in NAMES]) | st.binary(max_size=8),
    st.sampled_from(b"true false 1 0 -1 18446744073709551616 %zz %ff + ; %00".split())
    | st.binary(max_size=12),
)
FORMS = st.binary(max_size=60) | st.lists(PAIRS, max_size=6).map(
    lambda pairs: b"&".join(name + b"=" + value for name, value in pairs)
)
TYPES = st.sampled_from([FORM, FORM + b"; charset=utf-8", b"", b"a/b;;", b"/"]) | st.binary(
    max_size=30
)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from("GET HEAD PUT POST DELETE".split()), FORMS, FORMS, TYPES)
def test_any_form_is_a_request_or_a_refusal(method, query, body, content_type):
    try:
        found = keys_request.parse(
            method,
            "/v2/keys/k",
            query=query,
            content_type=content_type,
            body=body,
            now_ns=NOW_NS,
            request_id=7,
        )
    except StoreError:
        return
    assert type(found) is Request
    assert pb.decode_request(pb.encode_request(found)) == found


def peak_bytes(work: Callable[[], object]) -> int:
    """The most memory that was held while it ran."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "unit", [b"&", b"%", b"%41", b"a=b&", b"a%41=&", b"+", b";", b"=", b"\xff", b"value=x&"]
)
def test_a_large_form_takes_no_more_than_some_copies_of_it(unit):
    body = unit * (MIB // 4 // len(unit))

    def work():
        try:
            keys_request.parse(
                "PUT", "/v2/keys/k", query=b"", content_type=FORM, body=body, now_ns=NOW_NS
            )
        except StoreError:
            return

    assert peak_bytes(work) < 100 * len(body) + MIB


# -- bodies on /raft ------------------------------------------------------------------------------


class Owner:
    """What the transport talks to; every message that is let through is kept."""

    def __init__(self) -> None:
        self.taken: list[Message] = []

    def receive(self, message: Message, size: int) -> bool:
        del size
        self.taken.append(message)
        return True


def post(bodies: list[bytes]) -> tuple[list[int], list[Message]]:
    """The statuses of these bodies sent as messages, and what came out of them."""

    async def scenario():
        owner, client = Owner(), AsyncHTTPClient()
        transport = Transport(
            owner,
            number=1,
            cluster_id=2,
            peer_urls=(),
            client=client,
            dial_timeout_s=1.0,
        )
        headers = {
            b"x-server-version": b"2.3.8",
            b"x-min-cluster-version": b"2.1.0",
            b"x-etcd-cluster-id": b"2",
        }
        statuses = []
        for body in bodies:
            request = http.Request("POST", b"/raft", headers, 1)
            request.body = body
            reply = transport.handle(request, "/raft")
            assert isinstance(reply, http.Response)
            statuses.append(reply.status)
        client.close()
        return statuses, owner.taken

    return asyncio.run(scenario())


SMALL = st.integers(0, 9)
TERMS = st.integers(0, 4)
WILD = st.sampled_from([1 << 31, (1 << 63) - 1, (1 << 64) - 1])
NUMBERS = SMALL | SMALL | WILD
ENTRIES = st.builds(Entry, TERMS | WILD, NUMBERS, st.integers(-1, 2), st.binary(max_size=4))
METAS = st.builds(SnapshotMeta, NUMBERS, TERMS, st.lists(SMALL, max_size=4).map(tuple))
SNAPSHOTS = st.none() | st.builds(Snapshot, st.binary(max_size=4), METAS)
APPENDS = st.builds(
    Message,
    st.just(3),
    st.just(1),
    st.just(2),
    st.integers(1, 3),
    st.just(1),
    st.integers(3, 6),
    st.lists(ENTRIES, max_size=3).map(tuple),
    SMALL,
)
MESSAGES = st.builds(
    Message,
    st.integers(-1, 14),
    st.just(1),
    SMALL,
    TERMS | WILD,
    TERMS,
    NUMBERS,
    st.lists(ENTRIES, max_size=4).map(tuple),
    NUMBERS,
    SNAPSHOTS,
    st.booleans(),
    NUMBERS,
    st.binary(max_size=9),
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.binary(max_size=80), max_size=5),
    st.lists(st.tuples(MESSAGES, st.integers(0, 200), st.integers(0, 255)), max_size=5),
)
def test_any_body_on_raft_is_taken_or_refused(noise, damaged):
    bodies = list(noise)
    for message, at, byte in damaged:
        body = bytearray(pb.encode_message(message))
        body[at % len(body)] = byte
        bodies.append(bytes(body))
    statuses, taken = post(bodies)
    assert set(statuses) <= {204, 400}
    assert statuses.count(204) == len(taken)


@pytest.mark.parametrize(
    "body",
    [b"\x3a\xff\xff\xff\xff\x0f", b"\x3a" * MANY, b"\x3a\x00" * MANY, b"\x4a\x00" * MANY],
    ids=["long length", "cut off", "many entries", "many snapshots"],
)
def test_a_body_on_raft_takes_no_more_than_in_proportion(body):
    assert peak_bytes(lambda: post([body])) < 300 * len(body) + 2 * MIB


# -- messages that no member would make -----------------------------------------------------------


def member(seed: int) -> RawNode:
    """Member 1 of three, with a log and perhaps in office."""
    rng = random.Random(seed)
    changes = [pb.encode_conf_change(ConfChange(0, 0, node)) for node in (1, 2, 3)]
    entries = [Entry(1, at, 1, data) for at, data in enumerate(changes, 1)]
    entries += [Entry(1, at, 0, b"x") for at in (4, 5)]
    log = MemoryLog(
        snapshot=Snapshot(b"", SnapshotMeta(3, 1, (1, 2, 3))),
        entries=entries[3:],
        hard_state=HardState(1, 0, 4),
    )
    node = RawNode(Config(1, check_quorum=False), log, rng=rng)
    if seed % 2:
        node.campaign()
        node.step(Message(6, 1, 2, node.term))
    return node


def turn(node: RawNode) -> None:
    """Do what the node asks for, with a driver's trust."""
    node.early_messages()
    for _ in range(20):
        if not node.has_ready():
            return
        ready = node.ready()
        for entry in ready.committed:
            if entry.type == 1:
                node.apply_conf_change(ConfChange(0, 0, 0))
        node.advance(ready)


@settings(max_examples=400, deadline=None)
@given(st.lists(MESSAGES | APPENDS, max_size=6), st.integers(0, 3))
@example([Message(3, 1, 2, 1, 1, 5, (Entry(1, 9),), 9)], 0)
@example([Message(3, 1, 2, 1, 1, 5, (Entry(1, 6), Entry(1, 8)), 6)], 0)
def test_any_messages_are_followed_or_end_in_a_refusal(messages, seed):
    """A refusal is what the server ends with, naming the reason; etcd 2.3.8 panics here."""
    node = member(seed)
    try:
        for message in messages:
            committed = node.committed
            node.step(message)
            turn(node)
            node.tick()
            assert node.committed >= committed
            assert node.applied <= node.committed <= node.storage.last_index
            first, last = node.storage.first_index, node.storage.last_index
            held = [entry.index for entry in node.storage.entries(first, last + 1)]
            assert held == list(range(first, last + 1))
    except RaftError:
        return
