"""x-journal, an extension of the API: a unit's output, from whichever machine holds the unit.

One JSON object per line: {"t": unix microseconds, "ident": ..., "pid": ..., "text": ..., "host":
...}. A fleetd that does not hold the unit passes on what the machine that does says, which it finds
through the address that machine announced; the other side serves only what is its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import TYPE_CHECKING

from coreos_py.fleet.api_reply import JSON, SERVER, failure
from coreos_py.http.client import TransportError
from coreos_py.http.url import encode_query, escape_path, parse_endpoint
from coreos_py.systemd.manager import UnitManagerError

if TYPE_CHECKING:
    from coreos_py.fleet.registry import Registry
    from coreos_py.http.aclient import AsyncHTTPClient
    from coreos_py.http.server import Pending, Request, Response
    from coreos_py.systemd.manager import LogLine, UnitManager

log = logging.getLogger(__name__)

_TYPE = ("Content-Type", "application/x-ndjson")
_FORWARDED = "X-Fleet-Forwarded"
_LINES_MAX = 1_000_000
_BACKLOG_BYTES = 256 << 10
_DRAIN_S = 0.02


class JournalResource:
    """/x-journal/NAME."""

    def __init__(
        self, registry: Registry, manager: UnitManager, machine_id: str, *, http: AsyncHTTPClient
    ) -> None:
        self._registry = registry
        self._manager = manager
        self._machine_id = machine_id
        self._http = http

    async def get(
        self, request: Request, name: str, query: dict[str, list[str]], pending: Pending
    ) -> Response | None:
        """Stream the last `lines` lines, and with follow=true the ones that come."""
        try:
            lines = min(max(int(query.get("lines", ["10"])[0]), 0), _LINES_MAX)
        except ValueError:
            return failure(400, "lines must be a number")
        follow = query.get("follow", ["false"])[0] == "true"
        machine_id = query.get("machine", [""])[0]
        if not machine_id:
            unit = await self._registry.unit(name)
            if unit is None:
                return failure(404, "unit does not exist")
            machine_id = self._machine_id if unit.is_global else unit.machine_id
        if not machine_id:
            return failure(404, f"unit {name} is on no machine")
        if machine_id == self._machine_id:
            return await self._own(name, pending, lines=lines, follow=follow)
        if request.get(_FORWARDED):
            return failure(421, f"this is Machine({self._machine_id})")
        return await self._forward(name, machine_id, pending, lines=lines, follow=follow)

    async def _own(
        self, name: str, pending: Pending, *, lines: int, follow: bool
    ) -> Response | None:
        if name not in await self._manager.units():
            return failure(404, f"unit {name} is not loaded on Machine({self._machine_id})")
        host = os.uname().nodename
        try:
            found = [] if follow else await self._manager.journal(name, lines=lines)
        except UnitManagerError as err:
            return failure(501, str(err))
        pending.start(200, (SERVER, _TYPE))
        for line in found:
            await _send(pending, _encode(line, host))
        if follow:
            await self._follow(name, pending, lines=lines, host=host)
        pending.end()
        return None

    async def _follow(self, name: str, pending: Pending, *, lines: int, host: str) -> None:
        try:
            async for line in self._manager.follow(name, lines=lines):
                await _send(pending, _encode(line, host))
        except UnitManagerError as err:
            log.warning("journal of %s: %s", name, err)

    async def _forward(
        self, name: str, machine_id: str, pending: Pending, *, lines: int, follow: bool
    ) -> Response | None:
        url = await self._registry.api_of(machine_id)
        if not url:
            return failure(501, f"Machine({machine_id}) does not offer its journal")
        query = encode_query(
            [
                ("lines", str(lines)),
                ("follow", "true" if follow else "false"),
                ("machine", machine_id),
            ]
        )
        try:
            endpoint = parse_endpoint(url)
            target = f"{endpoint.path}/fleet/v1/x-journal/{escape_path(name)}?{query}"
            reply = await self._http.stream(
                "GET", endpoint, target, headers=((_FORWARDED, self._machine_id),), timeout_s=5.0
            )
        except (TransportError, ValueError) as err:
            return failure(502, f"Machine({machine_id}) at {url}: {err}")
        try:
            pending.start(reply.status, (SERVER, _TYPE if reply.status == 200 else JSON))
            while part := await reply.read():
                await _send(pending, part)
            pending.end()
        except TransportError as err:
            log.warning("journal of %s from Machine(%s): %s", name, machine_id, err)
            pending.end()
        finally:
            reply.close()
        return None


def _encode(line: LogLine, host: str) -> bytes:
    fields = {"t": line.unix_us, "ident": line.ident, "pid": line.pid, "text": line.text}
    return json.dumps({**fields, "host": host}).encode() + b"\n"


async def _send(pending: Pending, data: bytes) -> None:
    # A Pending tells how much is waiting, not when it is gone.
    while pending.buffered > _BACKLOG_BYTES:  # noqa: ASYNC110
        await asyncio.sleep(_DRAIN_S)
    pending.write(data)
