"""Who reads slowly may; who has stopped reading is cut off. The clock is the test's."""

from __future__ import annotations

from coreos_py.http.server import Pending
from tests.support.awaiting import until
from tests.unit.http.test_server import GET, Bench, run

MIB = 1 << 20


def test_a_backlog_that_is_refilled_is_no_standstill():
    async def scenario():
        pending = Pending()
        bench = Bench({"/long": lambda _request: pending}, stream_backlog_max=16 * MIB)
        wire = await bench.connect()
        bench.server._sweeper.cancel()  # it has another clock
        wire.send(GET % b"/long")
        await bench.asked()
        (connection,) = bench.server.connections
        pending.start(200, (), content_length=64 * MIB)
        pending.write(bytes(2 * MIB))
        await wire.until(b"\r\n\r\n")
        connection.check_timeouts(1000.0)
        for moment in range(1050, 1400, 50):
            before = connection.backlog()
            await wire.receive(MIB)
            await until(lambda before=before: connection.backlog() < before, "some room")
            pending.write(bytes(before - connection.backlog()))
            assert connection.backlog() == before  # as much as ever, and yet it moves
            connection.check_timeouts(float(moment))
            assert not pending.closed
        connection.check_timeouts(1350.0 + 59)
        assert not pending.closed
        connection.check_timeouts(1350.0 + 61)
        assert pending.closed

    run(scenario)
