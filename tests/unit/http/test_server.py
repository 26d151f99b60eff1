"""The server edge over a socket pair: what bytes come back for what bytes, and when."""

from __future__ import annotations

import asyncio
import logging
import re
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreos_py.http.server import HTTPServer, Limits, Pending, Response
from tests.support.awaiting import until

GET = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"
DATE = re.compile(rb"Date: [^\r]*\r\n")


LIVE: list[Bench] = []


class Bench:
    """A server whose handler is a table of paths, and raw connections to it."""

    def __init__(self, routes, **limits):
        LIVE.append(self)
        self.wires = []
        self.routes = routes
        self.requests = []
        self.server = HTTPServer(self.handle, limits=Limits(**limits), oversize=self.oversize)

    def handle(self, request):
        self.requests.append(request)
        route = self.routes.get(request.path)
        if route is None:
            return Response(404, [("X-Path", request.path)], b"none\n")
        return route(request) if callable(route) else route

    def oversize(self, request):
        return Response(413, [], b"%d" % len(request.body))

    async def connect(self):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(self.server.connection, ours)
        reader, writer = await asyncio.open_connection(sock=theirs)
        wire = Wire(reader, writer)
        self.wires.append(wire)
        return wire

    async def asked(self, count=1):
        """Once the handler has been given so many requests."""
        await until(lambda: len(self.requests) >= count, f"{count} requests")

    async def end(self):
        for wire in self.wires:
            wire.writer.transport.abort()
        await self.server.drain(1)


class Wire:
    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    def send(self, data):
        self.writer.write(data)

    async def receive(self, count):
        async with asyncio.timeout(60):
            return await self.reader.readexactly(count)

    async def until(self, mark):
        async with asyncio.timeout(60):
            return DATE.sub(b"", await self.reader.readuntil(mark))

    async def rest(self):
        """Everything until the server closes."""
        async with asyncio.timeout(60):
            return DATE.sub(b"", await self.reader.read())

    async def silent(self):
        """True if nothing arrives for a moment."""
        try:
            async with asyncio.timeout(0.05):
                await self.reader.readexactly(1)
        except TimeoutError:
            return True
        return False

    def close(self):
        self.writer.close()


def run(scenario):
    async def main():
        try:
            async with asyncio.timeout(240):
                await scenario()
        finally:
            while LIVE:
                await LIVE.pop().end()
            await asyncio.sleep(0)

    asyncio.run(main(), debug=True)


HELLO = Response(200, [("Content-Type", "text/plain")], b"hello\n")
HELLO_WIRE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n"

# request, reply up to and including the close of the connection
CLOSING = [
    (
        b"GET / HTTP/1.0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n",
    ),
    (
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
        b"Content-Length: 6\r\n\r\nhello\n",
    ),
    (
        b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
        b"Content-Length: 6\r\n\r\n",
    ),
    (
        b"GET /none HTTP/1.0\r\n\r\n",
        b"HTTP/1.0 404 Not Found\r\nX-Path: /none\r\nContent-Length: 5\r\n\r\nnone\n",
    ),
    (b"GET /empty HTTP/1.0\r\n\r\n", b"HTTP/1.0 204 No Content\r\n\r\n"),
    (
        b"bad\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 15\r\n\r\n400 Bad Request",
    ),
    (
        b"GET / HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 45\r\n\r\n"
        b"400 Bad Request: missing required Host header",
    ),
    (
        GET % b"/" + b"GET / HTTP/3.0\r\nHost: x\r\n\r\n" + GET % b"/",
        HELLO_WIRE + b"HTTP/1.1 505 HTTP Version Not Supported\r\nConnection: close\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 30\r\n\r\n"
        b"505 HTTP Version Not Supported",
    ),
    (
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n",
        b"HTTP/1.1 413 Request Entity Too Large\r\nConnection: close\r\nContent-Length: 1\r\n\r\n0",
    ),
    (
        b"GET /odd HTTP/1.0\r\n\r\n",
        b"HTTP/1.0 299 status code 299\r\nX: a b\r\nContent-Length: 0\r\n\r\n",
    ),
]

ROUTES = {
    "/": HELLO,
    "/empty": Response(204),
    "/odd": Response(299, [("X", "a\nb")]),
    "/echo": lambda request: Response(200, (), request.body),
}


@pytest.mark.parametrize(("data", "expected"), CLOSING)
def test_reply_then_close(data, expected):
    async def scenario():
        wire = await Bench(ROUTES, body_max=100).connect()
        wire.send(data)
        assert await wire.rest() == expected

        wire = await Bench(ROUTES, body_max=100).connect()
        for byte in data:
            wire.send(bytes([byte]))
            await asyncio.sleep(0)
        assert await wire.rest() == expected

    run(scenario)


def test_keep_alive_and_pipelining_in_order():
    async def scenario():
        wire = await Bench(ROUTES).connect()
        for _ in range(3):
            wire.send(GET % b"/")
            assert await wire.until(b"hello\n") == HELLO_WIRE
        wire.send(GET % b"/" * 500)
        for _ in range(500):
            assert await wire.until(b"hello\n") == HELLO_WIRE
        wire.close()

    run(scenario)


def test_http_1_0_keep_alive_is_answered():
    async def scenario():
        wire = await Bench(ROUTES).connect()
        wire.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2)
        for _ in range(2):
            assert b"\r\nConnection: keep-alive\r\n" in await wire.until(b"hello\n")
        wire.close()

    run(scenario)


def test_bodies_of_both_framings_reach_the_handler():
    async def scenario():
        wire = await Bench(ROUTES).connect()
        wire.send(
            b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
            b"PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nde\r\n2\r\nf.\r\n0\r\n\r\n"
        )
        assert (await wire.until(b"abc")).endswith(b"\r\n\r\nabc")
        assert (await wire.until(b"def.")).endswith(b"\r\n\r\ndef.")
        wire.close()

    run(scenario)


def test_expect_100_continue():
    async def scenario():
        wire = await Bench(ROUTES, body_max=100).connect()
        head = (
            b"PUT /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        )
        wire.send(head % 2)
        assert await wire.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(b"ab")
        assert (await wire.until(b"ab")).startswith(b"HTTP/1.1 200 OK\r\n")
        wire.send(head % 101)  # refused before the body is asked for
        assert (await wire.rest()).startswith(b"HTTP/1.1 413 ")

    run(scenario)


def test_oversized_chunked_body_is_refused_while_it_is_sent():
    async def scenario():
        wire = await Bench(ROUTES, body_max=100).connect()
        wire.send(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"32\r\n" + b"x" * 50 + b"\r\n"
        wire.send(chunk * 2)
        assert await wire.silent()
        wire.send(chunk)
        assert (await wire.rest()).startswith(b"HTTP/1.1 413 ")

    run(scenario)


def test_pending_reply_holds_back_the_next_one():
    async def scenario():
        pending = Pending()
        bench = Bench({"/": HELLO, "/slow": lambda _request: pending})
        wire = await bench.connect()
        wire.send(GET % b"/slow" + GET % b"/" * 3)
        assert await wire.silent()
        assert len(bench.requests) == 1  # not even handled: a read must see the write before it
        pending.complete(Response(200, (), b"slow!\n"))
        assert (await wire.until(b"slow!\n")).endswith(b"\r\n\r\nslow!\n")
        for _ in range(3):
            assert await wire.until(b"hello\n") == HELLO_WIRE
        wire.close()

    run(scenario)


def test_pending_that_is_complete_when_it_is_returned():
    async def scenario():
        def handler(_request):
            pending = Pending()
            pending.complete(HELLO)
            return pending

        def stream(_request):
            pending = Pending()
            pending.start(200, ())
            pending.write(b"now")
            pending.end(b"and then")
            return pending

        wire = await Bench({"/": handler, "/stream": stream}).connect()
        wire.send(GET % b"/" * 2 + GET % b"/stream" + GET % b"/")
        assert await wire.until(b"hello\n") == HELLO_WIRE
        assert await wire.until(b"hello\n") == HELLO_WIRE
        assert (await wire.until(b"0\r\n\r\n")).endswith(b"3\r\nnow\r\n8\r\nand then\r\n0\r\n\r\n")
        assert await wire.until(b"hello\n") == HELLO_WIRE
        wire.close()

    run(scenario)


def test_stream_flushes_its_head_before_the_first_piece():
    async def scenario():
        pending = Pending()
        bench = Bench({"/": HELLO, "/w": lambda _request: pending})
        wire = await bench.connect()
        wire.send(GET % b"/w")
        await bench.asked()
        pending.start(200, [("X-Etcd-Index", "7")])
        head = await wire.until(b"\r\n\r\n")
        assert head == b"HTTP/1.1 200 OK\r\nX-Etcd-Index: 7\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert await wire.silent()
        pending.write(b"event\n")
        assert await wire.receive(11) == b"6\r\nevent\n\r\n"
        pending.write(b"")
        assert await wire.silent()
        pending.end()
        assert await wire.receive(5) == b"0\r\n\r\n"
        wire.send(GET % b"/")
        assert await wire.until(b"hello\n") == HELLO_WIRE
        wire.close()

    run(scenario)


def test_stream_to_http_1_0_ends_with_the_connection():
    async def scenario():
        def handler(_request):
            pending = Pending()
            pending.start(200, ())
            pending.write(b"a")
            pending.end(b"b")
            return pending

        wire = await Bench({"/": handler}).connect()
        wire.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert await wire.rest() == b"HTTP/1.0 200 OK\r\n\r\nab"

    run(scenario)


def test_stream_to_head_has_no_body():
    async def scenario():
        def handler(_request):
            pending = Pending()
            pending.start(200, ())
            pending.write(b"a")
            pending.end(b"b")
            return pending

        wire = await Bench({"/": HELLO, "/w": handler}).connect()
        wire.send(b"HEAD /w HTTP/1.1\r\nHost: x\r\n\r\n" + GET % b"/")
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert await wire.until(b"hello\n") == head + HELLO_WIRE
        wire.close()

    run(scenario)


@pytest.mark.parametrize("streaming", [False, True])
def test_disconnect_cancels_the_waiter(streaming):
    async def scenario():
        pending, gone = Pending(), asyncio.Event()
        bench = Bench({"/w": lambda _request: pending})
        wire = await bench.connect()
        wire.send(GET % b"/w")
        await bench.asked()
        pending.on_close(gone.set)
        if streaming:
            pending.start(200, ())
        wire.close()
        async with asyncio.timeout(60):
            await gone.wait()
        assert pending.closed
        pending.complete(HELLO)  # all of these fall on the floor
        pending.start(200, ())
        pending.write(b"x")
        pending.end()
        late = []
        pending.on_close(lambda: late.append(1))
        assert late == [1]

    run(scenario)


def test_half_close_still_gets_a_plain_reply():
    async def scenario():
        pending = Pending()
        wire = await Bench({"/slow": lambda _request: pending}).connect()
        wire.send(GET % b"/slow")
        wire.writer.write_eof()
        assert await wire.silent()
        pending.complete(HELLO)
        assert (await wire.rest()).endswith(b"\r\n\r\nhello\n")

    run(scenario)


def test_half_close_ends_a_watched_reply():
    async def scenario():
        pending, gone = Pending(), asyncio.Event()
        pending.on_close(gone.set)
        wire = await Bench({"/w": lambda _request: pending}).connect()
        wire.send(GET % b"/w")
        wire.writer.write_eof()
        async with asyncio.timeout(60):
            await gone.wait()
        assert await wire.rest() == b""

    run(scenario)


def test_slow_reader_of_a_stream_is_cut_off():
    async def scenario():
        pending, gone = Pending(), asyncio.Event()
        pending.on_close(gone.set)
        bench = Bench({"/w": lambda _request: pending}, stream_backlog_max=100_000)
        wire = await bench.connect()
        wire.send(GET % b"/w")
        await bench.asked()
        pending.start(200, ())
        wire.writer.transport.pause_reading()
        for _ in range(10_000):
            pending.write(b"x" * 1000)
            if pending.closed:
                break
        assert gone.is_set()
        await until(lambda: not bench.server.connections, "it is cut off")

    run(scenario)


def test_slow_reader_of_replies_stops_further_requests():
    async def scenario():
        big = Response(200, (), b"x" * 1_000_000)
        bench = Bench({"/": big})
        wire = await bench.connect()
        wire.writer.transport.pause_reading()
        wire.send(GET % b"/" * 100)
        await asyncio.sleep(0.1)
        assert len(bench.requests) < 10
        wire.writer.transport.resume_reading()
        async with asyncio.timeout(60):
            for _ in range(100):
                head = await wire.reader.readuntil(b"\r\n\r\n")
                assert b"Content-Length: 1000000" in head
                await wire.reader.readexactly(1_000_000)
        assert len(bench.requests) == 100
        wire.close()

    run(scenario)


def test_detach_hands_over_transport_and_early_bytes():
    async def scenario():
        pending = Pending()
        bench = Bench({"/raft": lambda _request: pending})
        wire = await bench.connect()
        wire.send(GET % b"/raft" + b"early")
        await bench.asked()
        transport, rest = pending.detach()
        assert rest == b"early"
        assert not bench.server.connections
        transport.write(b"raw bytes")
        assert await wire.receive(9) == b"raw bytes"
        transport.abort()

    run(scenario)


def test_handler_that_raises_becomes_500_and_one_log_line(caplog):
    async def scenario():
        def handler(_request):
            raise RuntimeError("boom")

        wire = await Bench({"/": HELLO, "/bad": handler}).connect()
        wire.send(GET % b"/bad" + GET % b"/")
        got = await wire.until(b"hello\n")
        assert got.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        assert got.endswith(HELLO_WIRE)
        wire.close()

    with caplog.at_level(logging.ERROR):
        run(scenario)
    assert [record.getMessage() for record in caplog.records] == [
        "http: GET /bad: RuntimeError: boom"
    ]
    assert caplog.records[0].exc_info is None


@pytest.mark.parametrize(
    ("limits", "sent"),
    [
        ({"head_timeout_s": 0.01}, b""),
        ({"head_timeout_s": 0.01}, b"GET / HT"),
        ({"body_timeout_s": 0.01}, b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"),
        ({"idle_timeout_s": 0.01}, GET % b"/"),
    ],
)
def test_slow_peers_are_dropped(limits, sent):
    async def scenario():
        bench = Bench(ROUTES, **limits)
        wire = await bench.connect()
        if sent:
            wire.send(sent)
        async with asyncio.timeout(60):
            await wire.reader.read()
        assert not bench.server.connections

    run(scenario)


def test_a_waiting_watch_is_not_a_slow_peer():
    async def scenario():
        pending = Pending()
        bench = Bench({"/w": lambda _request: pending}, head_timeout_s=0.01, idle_timeout_s=0.01)
        wire = await bench.connect()
        wire.send(GET % b"/w")
        await asyncio.sleep(2.2)  # two sweeps
        pending.complete(HELLO)
        assert await wire.until(b"hello\n") == HELLO_WIRE
        wire.close()

    run(scenario)


def test_drain_closes_idle_finishes_busy_and_cuts_streams():
    async def scenario():
        slow, watch = Pending(), Pending()
        watch.on_close(lambda: None)
        bench = Bench({"/": HELLO, "/slow": lambda _r: slow, "/w": lambda _r: watch})
        idle, busy, streaming = [await bench.connect() for _ in range(3)]
        idle.send(GET % b"/")
        await idle.until(b"hello\n")
        busy.send(GET % b"/slow" + GET % b"/")
        streaming.send(GET % b"/w")
        await bench.asked(3)
        asyncio.get_running_loop().call_later(0.1, slow.complete, HELLO)
        await bench.server.drain(60)
        assert await idle.rest() == b""
        assert await streaming.rest() == b""
        got = await busy.rest()
        assert got.count(b"hello\n") == 1
        assert b"Connection: close" in got

    run(scenario)


def test_drain_cuts_what_does_not_finish():
    async def scenario():
        bench = Bench({"/slow": lambda _request: Pending()})
        wire = await bench.connect()
        wire.send(GET % b"/slow")
        await bench.asked()
        await bench.server.drain(0.05)
        assert await wire.rest() == b""
        assert not bench.server.connections

    run(scenario)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=120), max_size=4))
def test_noise_gets_an_error_or_a_close_and_the_server_lives_on(pieces):
    async def scenario():
        faults = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, what: faults.append(what))
        bench = Bench(ROUTES)
        wire = await bench.connect()
        for piece in pieces:
            wire.send(piece)
            await asyncio.sleep(0)
        wire.writer.write_eof()
        got = await wire.rest()
        assert got == b"" or got.startswith(b"HTTP/1.1 ")
        wire = await bench.connect()
        wire.send(GET % b"/")
        assert await wire.until(b"hello\n") == HELLO_WIRE
        wire.close()
        assert faults == []

    run(scenario)
