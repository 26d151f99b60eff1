"""A member's clock: raft's ticks, and the times at which its leader lets keys expire."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from coreos_py.raft.types import Role

if TYPE_CHECKING:
    import asyncio

    from coreos_py.etcd.server import Server

SYNC_INTERVAL_S = 0.5

log = logging.getLogger("etcdserver")


class Clock:
    """Calls the server's tick() and sync() until it stops."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._interval_s = server.config.heartbeat_ms / 1000
        self._last_s = self._due_s = 0.0

    def start(self) -> None:
        """Tick at once, and from now on."""
        self._last_s = self._due_s = self._loop.time()
        self._tick()
        self._loop.call_later(SYNC_INTERVAL_S, self._sync)

    def _tick(self) -> None:
        server, interval_s = self._server, self._interval_s
        if server.stopping:
            return
        now_s = self._loop.time()
        late_s = now_s - self._last_s - 2 * interval_s
        if late_s > 0 and server.node.role == Role.LEADER and len(server.cluster.members) > 1:
            log.warning(
                "failed to send out heartbeat on time (deadline exceeded for %.6fms)", late_s * 1000
            )
            log.warning("server is likely overloaded")
        self._last_s = now_s
        server.tick()
        self._due_s += interval_s
        if self._due_s < now_s:
            self._due_s = now_s + interval_s  # ticks that were missed are not made up for
        self._loop.call_at(self._due_s, self._tick)

    def _sync(self) -> None:
        if self._server.stopping:
            return
        self._server.sync()
        self._loop.call_later(SYNC_INTERVAL_S, self._sync)
