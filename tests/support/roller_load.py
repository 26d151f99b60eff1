"""Many machines that go through their updates at once, on connections that are kept.

One process, raw sockets on an event loop: what it costs is taken from the server it measures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from tests.support.rollerd import Machine

_HEAD = (
    b"POST /v1/update/ HTTP/1.1\r\nHost: %b\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n"
)


class Exchange(NamedTuple):
    """One answered request: which machine's, which of its cycle, how long it took."""

    machine: int
    step: int
    duration_s: float


class Outcome:
    """What has come of it."""

    def __init__(self) -> None:
        self.answered: list[Exchange] = []
        self.refused: list[bytes] = []
        self.lost = 0  # connections that broke with a request unanswered
        self.elapsed_s = 0.0

    @property
    def rate(self) -> float:
        return len(self.answered) / self.elapsed_s

    def percentile_ms(self, share: float) -> float:
        times = sorted(item.duration_s for item in self.answered)
        return times[min(int(len(times) * share), len(times) - 1)] * 1000

    def acknowledged(self, step: int) -> set[int]:
        """The machines whose request of this number was answered."""
        return {item.machine for item in self.answered if item.step == step}


class _Link(asyncio.Protocol):
    """One connection, on which machine after machine does its whole cycle."""

    def __init__(
        self, outcome: Outcome, cycles: Iterator[tuple[int, Iterable[bytes]]], host: bytes
    ) -> None:
        self._outcome = outcome
        self._cycles = cycles
        self._host = host
        self._bodies: Iterator[bytes] = iter(())
        self._machine = 0
        self._step = -1
        self._buffer = b""
        self._sent_at = 0.0
        self._is_waiting = False
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, gap, rest = self._buffer.partition(b"\r\n\r\n")
        if not gap:
            return
        _, _, length = head.lower().partition(b"content-length: ")
        if len(rest) < int(length.partition(b"\r\n")[0]):
            return
        self._buffer = b""
        self._is_waiting = False
        if head.startswith(b"HTTP/1.1 200 ") and b'<event status="ok">' in rest:
            took = time.perf_counter() - self._sent_at
            self._outcome.answered.append(Exchange(self._machine, self._step, took))
        else:
            self._outcome.refused.append(self._buffer or head + b"\n" + rest)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._outcome.lost += self._is_waiting
        if not self.done.done():
            self.done.set_result(None)

    def _next(self) -> None:
        body = next(self._bodies, None)
        self._step += 1
        while body is None:
            cycle = next(self._cycles, None)
            if cycle is None:
                self._transport.close()
                return
            self._machine, bodies = cycle
            self._bodies, self._step = iter(bodies), 0
            body = next(self._bodies, None)
        self._sent_at = time.perf_counter()
        self._is_waiting = True
        self._transport.write(_HEAD % (self._host, len(body)) + body)


async def _run(
    port: int, machines: Iterable[int], *, version: str, connections: int, outcome: Outcome
) -> None:
    loop = asyncio.get_running_loop()
    cycles = ((number, Machine(number).cycle(version)) for number in machines)
    host = b"127.0.0.1:%d" % port
    start = time.perf_counter()
    links = []
    for _ in range(connections):
        _, link = await loop.create_connection(
            lambda: _Link(outcome, cycles, host), "127.0.0.1", port
        )
        links.append(link)
    await asyncio.gather(*(link.done for link in links))
    outcome.elapsed_s = time.perf_counter() - start


def roll(
    port: int,
    machines: Iterable[int],
    *,
    version: str,
    connections: int,
    meanwhile: Callable[[Outcome], None] | None = None,
) -> Outcome:
    """Let the machines update to this version; `meanwhile` runs in a thread beside them."""
    outcome = Outcome()

    async def main() -> None:
        work = _run(port, machines, version=version, connections=connections, outcome=outcome)
        if meanwhile is None:
            await work
            return
        beside = asyncio.get_running_loop().run_in_executor(None, meanwhile, outcome)
        await asyncio.gather(work, beside)

    asyncio.run(main())
    return outcome
