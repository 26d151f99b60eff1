"""Bodies that go elsewhere than into memory, over a socket pair."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from coreos_py.http.server import HTTPServer, Limits, Response
from tests.support.awaiting import until
from tests.unit.http.test_server import Bench, run

HEAD = b"PUT /up HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%b\r\n"


class Sink:
    def __init__(self, request, *, held):
        self.request = request
        self.taken = b""
        self.is_abandoned = False
        if held:
            request.connection.hold_body()

    def write(self, piece):
        self.taken += piece

    def abandon(self):
        self.is_abandoned = True


class SinkBench(Bench):
    """Bodies for /up go into a sink; the answer tells how much came."""

    def __init__(self, *, held=False, **limits):
        super().__init__({"/": Response(200, (), b"home")}, **limits)
        self.sinks = []
        self.held = held
        self.server = HTTPServer(
            self.handle, limits=Limits(**limits), oversize=self.oversize, sink_for=self.sink_for
        )

    def sink_for(self, request):
        if request.path != "/up":
            return None
        self.sinks.append(Sink(request, held=self.held))
        return self.sinks[-1]

    def handle(self, request):
        if request.sink is not None:
            assert request.body == b""
            return Response(200, (), b"%d" % len(request.sink.taken))
        return super().handle(request)


@settings(deadline=None, max_examples=25)
@given(data=st.binary(max_size=500), cuts=st.lists(st.integers(0, 600)), chunked=st.booleans())
def test_every_byte_arrives_once_however_it_is_cut(data, cuts, chunked):
    framing = (
        b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % len(data)
    )
    body = (b"%x\r\n%b\r\n" % (len(data), data) if data else b"") + b"0\r\n\r\n"
    wire_data = b"PUT /up HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n" + (body if chunked else data)

    async def scenario():
        bench = SinkBench()
        wire = await bench.connect()
        start = 0
        for cut in sorted(cuts):
            wire.send(wire_data[start:cut])
            start = max(start, min(cut, len(wire_data)))
        wire.send(wire_data[start:] + b"GET / HTTP/1.0\r\n\r\n")
        assert (await wire.rest()).endswith(b"home")
        assert [sink.taken for sink in bench.sinks] == ([data] if data or chunked else [])
        assert not any(sink.is_abandoned for sink in bench.sinks)

    run(scenario)


def test_a_held_body_waits_and_continue_is_said_when_it_may_come():
    async def scenario():
        bench = SinkBench(held=True)
        wire = await bench.connect()
        wire.send(HEAD % (5, b"Expect: 100-continue\r\n"))
        await until(lambda: bench.sinks, "the sink")
        assert await wire.silent()
        bench.sinks[0].request.connection.accept_body()
        assert await wire.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(b"hello")
        assert (await wire.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        assert await wire.receive(1) == b"5"
        wire.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await wire.rest()).endswith(b"home")

    run(scenario)


def test_a_refused_body_is_answered_at_once_and_given_up():
    async def scenario():
        bench = SinkBench(held=True)
        wire = await bench.connect()
        wire.send(HEAD % (1 << 20, b"") + b"a" * 1000)
        await until(lambda: bench.sinks, "the sink")
        bench.sinks[0].request.connection.refuse_body(Response(403, (), b"no"))
        reply = await wire.rest()
        assert reply.startswith(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n")
        assert reply.endswith(b"no")
        wire.close()
        await until(lambda: bench.sinks[0].is_abandoned, "the end of the sink")
        assert not bench.requests

    run(scenario)


def test_a_body_that_breaks_off_or_is_too_large_is_given_up():
    async def scenario():
        bench = SinkBench(body_max=100)
        cut = await bench.connect()
        cut.send(HEAD % (50, b"") + b"a" * 10)
        await until(lambda: bench.sinks and bench.sinks[0].taken, "the first bytes")
        cut.close()
        await until(lambda: bench.sinks[0].is_abandoned, "the end of the first sink")

        long = await bench.connect()
        long.send(b"PUT /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        long.send(b"32\r\n" + b"a" * 50 + b"\r\n" + b"40\r\n" + b"a" * 64)
        assert (await long.rest()).startswith(b"HTTP/1.1 413 ")
        long.close()
        await until(lambda: bench.sinks[1].is_abandoned, "the end of the second sink")

    run(scenario)
