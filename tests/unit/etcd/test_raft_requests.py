"""Requests that somebody makes by hand on /raft: seen of etcd 2.3.8, with the same member ids."""

from __future__ import annotations

import asyncio

import pytest

from coreos_py.etcd import pb
from coreos_py.etcd.stats import LeaderStats
from coreos_py.etcd.transport import Transport
from coreos_py.http.aclient import AsyncHTTPClient
from coreos_py.http.message import Request, Response
from coreos_py.raft.types import Message, MsgType

ID, CLUSTER, GONE = 0xABC, 0xC1, 0xDEAD
CID = f"{CLUSTER:x}"
MATCHING = ("2.3.8", "2.2.0", CID)


class Owner:
    """A member that knows nobody, and one who was removed."""

    def __init__(self) -> None:
        self.leader_stats = LeaderStats(ID)
        self.taken: list[Message] = []

    def receive(self, message: Message, size: int) -> bool:
        del size
        if message.from_ == GONE:
            return False
        self.taken.append(message)
        return True

    def is_removed(self, number: int) -> bool:
        return number == GONE


def ask(method, path, versions=MATCHING, *, to=None, body=b"", owner=None):
    """One request: (status, Allow or Location, text)."""

    async def scenario():
        client = AsyncHTTPClient()
        transport = Transport(
            owner or Owner(),
            number=ID,
            cluster_id=CLUSTER,
            peer_urls=(),
            client=client,
            dial_timeout_s=1.0,
        )
        names = (b"x-server-version", b"x-min-cluster-version", b"x-etcd-cluster-id")
        headers = {
            name: value.encode()
            for name, value in zip(names, versions, strict=True)
            if value is not None
        }
        if to is not None:
            headers[b"x-raft-to"] = to.encode()
        request = Request(method, path.encode(), headers, 1)
        request.body = body
        reply = transport.handle(request, path)
        client.close()
        return reply

    reply = asyncio.run(scenario())
    assert isinstance(reply, Response)
    block = reply.headers if isinstance(reply.headers, bytes) else b""
    fields = dict(line.split(b": ", 1) for line in block.split(b"\r\n") if line)
    where = fields.get(b"Allow") or fields.get(b"Location") or b""
    return reply.status, where.decode(), reply.body.decode()


NOT_ALLOWED = "Method Not Allowed\n"
METHODS = [
    *((method, "/raft", "POST") for method in ("GET", "PUT", "HEAD", "DELETE", "OPTIONS")),
    *((method, "/raft/snapshot", "POST") for method in ("GET", "PUT", "HEAD")),
    *((method, "/raft/stream/message/1234", "GET") for method in ("POST", "PUT", "HEAD")),
]


@pytest.mark.parametrize(("method", "path", "allowed"), METHODS)
def test_wrong_methods(method, path, allowed):
    assert ask(method, path) == (405, allowed, NOT_ALLOWED)


INCOMPATIBLE, MISMATCH = "incompatible version\n", "cluster ID mismatch\n"
# versions of the server and the least cluster, cluster id; None where there is no such header
STRANGERS = [
    ((None, None, CID), INCOMPATIBLE),
    ((None, "2.2.0", CID), INCOMPATIBLE),
    (("", "", CID), INCOMPATIBLE),
    (("2.0.0", "2.0.0", CID), INCOMPATIBLE),
    (("2.1.0", "2.0.0", CID), INCOMPATIBLE),
    (("3.0.0", "2.4.0", CID), INCOMPATIBLE),
    (("3.5.0", "3.0.0", CID), INCOMPATIBLE),
    (("x", "2.2.0", CID), INCOMPATIBLE),  # etcd 2.3.8 panics and drops the connection
    (("2.3.8", "x", CID), INCOMPATIBLE),
    (("2.0.0", "2.0.0", "1"), INCOMPATIBLE),  # looked at before the cluster
    (("2.3.8", "2.2.0", "0"), MISMATCH),
    (("2.3.8", "2.2.0", "zz"), MISMATCH),
    (("2.3.8", "2.2.0", CID.upper()), MISMATCH),
    (("2.3.8", "2.2.0", ""), MISMATCH),
    (("2.3.8", "2.2.0", None), MISMATCH),
]
PLACES = [
    ("POST", "/raft"),
    ("POST", "/raft/snapshot"),
    ("GET", "/raft/stream/msgapp/1234"),
    ("GET", "/raft/stream/nosuch"),
]


@pytest.mark.parametrize(("versions", "text"), STRANGERS)
@pytest.mark.parametrize(("method", "path"), PLACES)
def test_who_may_not_talk_to_us(method, path, versions, text):
    assert ask(method, path, versions, to=f"{ID:x}") == (412, "", text)


@pytest.mark.parametrize(
    "versions",
    [
        ("2.2.0", "2.2.0", CID),
        ("2.3.8", None, CID),
        ("3.0.0", "2.3.0", CID),
        ("2.3.8", "2.3.9", CID),
    ],
)
def test_who_may(versions):
    assert ask("POST", "/raft", versions) == (204, "", "")


NOT_FOUND = "404 page not found\n"
PATHS = [
    ("/raft/stream", 301, "/raft/stream/", '<a href="/raft/stream/">Moved Permanently</a>.\n\n'),
    ("/raft/stream/", 404, "", "invalid path\n"),
    ("/raft/stream/message", 404, "", "invalid path\n"),
    ("/raft/stream/message/", 404, "", "invalid from\n"),
    ("/raft/stream/message/zz", 404, "", "invalid from\n"),
    ("/raft/stream/message/-1", 404, "", "invalid from\n"),
    ("/raft/stream/msgapp/0x12", 404, "", "invalid from\n"),
    ("/raft/stream/msgapp/ffffffffffffffffff", 404, "", "invalid from\n"),
    ("/raft/stream/nosuch/1234", 404, "", "invalid path\n"),
    ("/raft/stream/msgappv2/1234", 404, "", "invalid path\n"),
    ("/raft/stream/message/1234/x", 404, "", "invalid path\n"),
    ("/raft/stream/message/1234", 404, "", "error sender not found\n"),
    (f"/raft/stream/message/{GONE:x}", 410, "", "removed member\n"),
    ("/raft/", 404, "", NOT_FOUND),
    ("/raft/x", 404, "", NOT_FOUND),
    ("/raft/probing/x", 404, "", NOT_FOUND),
]


@pytest.mark.parametrize(("path", "status", "where", "text"), PATHS)
def test_paths(path, status, where, text):
    assert ask("GET", path, to=f"{ID:x}") == (status, where, text)


@pytest.mark.parametrize("to", [None, "", "1", "zz", f"{ID:X}"])
def test_a_stream_for_another_member(to):
    async def scenario():
        client = AsyncHTTPClient()
        transport = Transport(
            Owner(), number=ID, cluster_id=CLUSTER, peer_urls=(), client=client, dial_timeout_s=1.0
        )
        transport.add_peer(0x1234, ("http://127.0.0.1:1",))
        headers = {
            b"x-server-version": b"2.3.8",
            b"x-min-cluster-version": b"2.2.0",
            b"x-etcd-cluster-id": CID.encode(),
        }
        if to is not None:
            headers[b"x-raft-to"] = to.encode()
        reply = transport.handle(Request("GET", b"", headers, 1), "/raft/stream/message/1234")
        transport.stop()
        client.close()
        return reply

    reply = asyncio.run(scenario())
    assert isinstance(reply, Response)
    assert (reply.status, reply.body) == (412, b"to field mismatch\n")


BAD = "error unmarshaling raft message\n"
SNAP = pb.encode_message(Message(MsgType.SNAP, ID, 1, 1))
BODIES = [
    ("/raft", b"", 204, ""),
    ("/raft", b"\x08\x00", 204, ""),
    ("/raft", b"x", 400, BAD),
    ("/raft", b"\x08", 400, BAD),
    ("/raft", b"\xff" * 20, 400, BAD),
    ("/raft", pb.encode_message(Message(MsgType.APP, ID, GONE, 1)), 403,
     '{"message":"cannot process message from removed member"}'),
    ("/raft/snapshot", b"", 400, "failed to decode raft message (EOF)\n"),
    ("/raft/snapshot", b"x", 400, "failed to decode raft message (unexpected EOF)\n"),
    ("/raft/snapshot", b"\0" * 7 + b"\x09", 400, "failed to decode raft message (EOF)\n"),
    ("/raft/snapshot", b"\0" * 7 + b"\x09abc", 400,
     "failed to decode raft message (unexpected EOF)\n"),
    ("/raft/snapshot", b"\0" * 8, 400, "wrong raft message type\n"),
    ("/raft/snapshot", b"\xff" * 20, 400, "failed to decode raft message (unexpected EOF)\n"),
    ("/raft/snapshot", len(SNAP).to_bytes(8, "big") + SNAP + b"db", 500,
     "failed to save KV snapshot (this member keeps no v3 keys)\n"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status", "text"), BODIES)
def test_bodies(path, body, status, text):
    owner = Owner()
    assert ask("POST", path, body=body, owner=owner) == (status, "", text)
    assert len(owner.taken) == (status == 204)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_probing_looks_at_no_method(method):
    status, _, text = ask(method, "/raft/probing", (None, None, None))
    assert status == 200
    assert text.startswith('{"OK":true,"Now":"20')
    assert text.endswith('"}\n')
