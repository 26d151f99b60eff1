"""A reply that stands in for another one."""

from __future__ import annotations

import pytest

from coreos_py.etcd.auth.deferred import Deferred
from coreos_py.http.exchange import Pending
from coreos_py.http.message import Request, Response
from tests.unit.etcd.auth.world import Client

REQUEST = Request("GET", b"/", {}, 1)


def test_becomes_a_response():
    reply = Deferred(b"")
    client = Client(reply, REQUEST)
    assert not reply.watched
    reply.become(Response(204))
    assert client.response.status == 204


def test_becomes_a_reply_that_is_given_later():
    reply, later = Deferred(b""), Pending()
    client = Client(reply, REQUEST)
    reply.become(later)
    assert client.response is None
    later.complete(Response(201))
    assert client.response.status == 201


def test_becomes_a_reply_that_was_given_before():
    reply, given = Deferred(b""), Pending()
    given.complete(Response(201))
    client = Client(reply, REQUEST)
    reply.become(given)
    assert client.response.status == 201


@pytest.mark.parametrize("early", [False, True])
def test_becomes_a_stream_whose_disconnect_is_noticed(early):
    reply, stream, closed = Deferred(b""), Pending(), []
    stream.start(200, b"")
    stream.on_close(lambda: closed.append(True))
    if early:
        reply.become(stream)
    client = Client(reply, REQUEST)
    if not early:
        reply.become(stream)
    assert reply.watched
    stream.write(b"event")
    assert b"event" in client.stream
    assert closed == []
    client.leave()
    assert closed == [True]


def test_only_what_becomes_a_stream_cares_about_a_peer_that_sends_no_more():
    assert Deferred(b"", streams=True).watched
    assert not Deferred(b"").watched


def test_a_disconnect_before_the_stream_closes_it_as_soon_as_it_is_there():
    reply, stream, closed = Deferred(b""), Pending(), []
    client = Client(reply, REQUEST)
    client.leave()
    stream.start(200, b"")
    stream.on_close(lambda: closed.append(True))
    reply.become(stream)
    assert closed == [True]
    assert client.stream == b""


def test_a_disconnect_does_not_undo_what_the_reply_was_about():
    reply, ran = Deferred(b""), []
    client = Client(reply, REQUEST)
    client.leave()

    def write():
        ran.append(True)
        return Response(200)

    reply.settle(write)
    assert ran == [True]
    assert client.response is None


def test_extra_headers():
    reply = Deferred(b"B: 2\r\n")
    client = Client(reply, REQUEST)
    reply.become(Response(200, [("A", "1")]))
    assert client.response.headers == b"A: 1\r\nB: 2\r\n"


def test_a_fault_is_a_500(caplog):
    reply = Deferred(b"")
    client = Client(reply, REQUEST)

    def fault():
        raise LookupError("gone")

    reply.settle(fault)
    assert client.response.status == 500
    assert "LookupError: gone" in caplog.text
