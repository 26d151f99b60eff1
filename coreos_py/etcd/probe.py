"""Asks every peer every few seconds whether it is there and what time it has.

Only warns; raft does not depend on it. Mirrors rafthttp/probing_status.go of etcd 2.3.8.
"""

from __future__ import annotations

import asyncio
import json
import logging
from time import time_ns
from typing import TYPE_CHECKING

from coreos_py.base import durations, gotime
from coreos_py.http.client import TransportError
from coreos_py.http.url import parse_endpoint

if TYPE_CHECKING:
    from coreos_py.http.aclient import AsyncHTTPClient

INTERVAL_S = 4.0
REPORT_S = 30.0
CLOCK_DIFFERENCE_NS = 1_000_000_000

log = logging.getLogger("rafthttp")


class Prober:
    """One task per peer."""

    def __init__(self, client: AsyncHTTPClient) -> None:
        self._client = client
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def add(self, number: int, urls: tuple[str, ...]) -> None:
        """Probe a peer at these URLs, and no longer at earlier ones."""
        self.remove(number)
        loop = asyncio.get_running_loop()
        self._tasks[number] = loop.create_task(self._run(number, urls))

    def remove(self, number: int) -> None:
        """Probe a peer no longer."""
        task = self._tasks.pop(number, None)
        if task is not None:
            task.cancel()

    def stop(self) -> None:
        """Probe nobody."""
        for number in list(self._tasks):
            self.remove(number)

    async def _run(self, number: int, urls: tuple[str, ...]) -> None:
        since_report_s = 0.0
        at = 0
        while True:
            await asyncio.sleep(INTERVAL_S)
            since_report_s += INTERVAL_S
            difference_ns = await self._probe(urls[at % len(urls)]) if urls else None
            if difference_ns is None:
                at += 1
            if since_report_s < REPORT_S:
                continue
            since_report_s = 0.0
            if difference_ns is None:
                log.warning("the connection to peer %x is unhealthy", number)
            elif difference_ns > CLOCK_DIFFERENCE_NS:
                log.warning(
                    "the clock difference against peer %x is too high [%s > %s]",
                    number,
                    durations.format(difference_ns),
                    durations.format(CLOCK_DIFFERENCE_NS),
                )

    async def _probe(self, url: str) -> int | None:
        """How far the peer's clock is off, None if it does not answer."""
        start_ns = time_ns()
        try:
            reply = await self._client.request(
                "GET", parse_endpoint(url), "/raft/probing", timeout_s=INTERVAL_S
            )
            body = json.loads(reply.body)
            theirs_ns = gotime.parse_ns(body["Now"])
        except (TransportError, ValueError, KeyError, TypeError) as error:
            log.debug("failed to probe %s (%s)", url, error)
            return None
        end_ns = time_ns()
        return max(start_ns - theirs_ns, theirs_ns - end_ns, 0)
