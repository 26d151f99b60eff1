"""The extensions of the API that fleetctl's newer commands use; fleetd 1.0.0 answers them 404.

GET  /x-machines        machines with state and what is reserved
PUT  /x-cordon/ID       {"cordoned": true}: no new units there; false lifts that
PUT  /x-target/NAME     {"from": ID, "to": ID}: give a placed unit to another machine, in one step
GET  /x-reasons         why units that want a machine have none
GET  /x-events          what happened, one JSON object per line; follow=true goes on
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from coreos_py.base import gojson
from coreos_py.fleet import events, scheduler
from coreos_py.fleet.api_reply import SERVER, empty, failure, ok
from coreos_py.fleet.recorder import follow_events, read_events

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from coreos_py.fleet.events import Event
    from coreos_py.fleet.job import Machine, Unit
    from coreos_py.fleet.recorder import Recorder
    from coreos_py.fleet.registry import Registry
    from coreos_py.http.server import Pending, Request, Response

_LINES = ("Content-Type", "application/x-ndjson")
_BACKLOG_BYTES = 64 << 10
_DRAIN_S = 0.02
READS = ("x-machines", "x-reasons", "x-events")
WRITES = ("x-cordon", "x-target")


class Refused(Exception):
    """A move that is not made; str() says why."""


class ExtraResources:
    """What is behind the paths above."""

    def __init__(self, registry: Registry, recorder: Recorder) -> None:
        self._registry = registry
        self._recorder = recorder

    async def read(
        self, resource: str, query: dict[str, list[str]], pending: Pending
    ) -> Response | None:
        """Answer a GET."""
        if resource == "x-events":
            return await self._events(query, pending)
        units, machines = await asyncio.gather(self._registry.units(), self._registry.machines())
        if resource == "x-machines":
            return ok(gojson.dumps({"machines": machine_rows(units, machines)}))
        reasons = scheduler.reasons(units, machines)
        rows = [{"name": name, "reason": reason} for name, reason in reasons.items()]
        return ok(gojson.dumps({"units": rows}))

    async def write(self, resource: str, item: str, request: Request) -> Response:
        """Answer a PUT."""
        try:
            body = json.loads(request.body)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            return failure(400, "the body is not a JSON object")
        if resource == "x-cordon":
            return await self._cordon(item, body)
        return await self._move(item, body)

    async def _cordon(self, machine_id: str, body: dict[str, Any]) -> Response:
        wanted = body.get("cordoned")
        if not isinstance(wanted, bool):
            return failure(400, "cordoned must be true or false")
        if wanted:
            machine = await self._registry.machine(machine_id)
            if machine is None:
                return failure(404, "machine does not exist")
            await self._registry.cordon(machine_id)
            if not machine.is_cordoned:
                self._recorder.note("cordoned", machine=machine_id)
        elif await self._registry.uncordon(machine_id):
            self._recorder.note("uncordoned", machine=machine_id)
        return empty(204)

    async def _move(self, name: str, body: dict[str, Any]) -> Response:
        source, target = body.get("from"), body.get("to")
        if not (isinstance(source, str) and source and isinstance(target, str) and target):
            return failure(400, "from and to must be the IDs of machines")
        try:
            await move_unit(self._registry, name, source, target)
        except Refused as err:
            return failure(409, str(err))
        text = f"from Machine({source})"
        self._recorder.note("moved", unit=name, machine=target, text=text)
        return empty(204)

    async def _events(self, query: dict[str, list[str]], pending: Pending) -> Response | None:
        unit = query.get("unit", [""])[0]
        machine = query.get("machine", [""])[0]

        async def send(found: Iterable[Event]) -> None:
            for event in found:
                if events.is_wanted(event, unit=unit, machine=machine):
                    await _drained(pending)
                    pending.write(_line(event))

        await self._recorder.flush()
        if query.get("follow", [""])[0] != "true":
            found = await read_events(self._registry)
            pending.start(200, (SERVER, _LINES))
            await send(found)
        else:
            pending.start(200, (SERVER, _LINES))
            async for more in follow_events(self._registry):
                await send(more)
        pending.end()
        return None


async def move_unit(registry: Registry, name: str, source: str, target: str) -> None:
    """Give a placed unit to another machine; Refused when it is not there or cannot go there."""
    units, machines = await asyncio.gather(registry.units(), registry.machines())
    unit = next((unit for unit in units if unit.name == name), None)
    if unit is None or unit.is_global:
        raise Refused("unit does not exist" if unit is None else "global units are not moved")
    if all(machine.id != target for machine in machines):
        raise Refused(f"Machine({target}) does not exist")
    why = scheduler.explain(units, machines, name)[target]
    if why:
        raise Refused(f"Machine({target}) unable to run unit: {why}")
    if not await registry.move(name, source, target):
        raise Refused(f"unit is not on Machine({source}) any more")


def machine_rows(units: Iterable[Unit], machines: Iterable[Machine]) -> list[dict[str, Any]]:
    """Return what x-machines shows."""
    machines = list(machines)
    view = scheduler.view(units, machines)
    rows = []
    for machine in machines:
        memory, cpu = view.ledger.used(machine.id)
        rows.append(
            {
                "id": machine.id,
                "state": "cordoned" if machine.is_cordoned else "ready",
                "units": view.load(machine.id),
                "memory": machine.memory,
                "memoryReserved": memory,
                "milliCPU": machine.cpu,
                "milliCPUReserved": cpu,
            }
        )
    return rows


async def _drained(pending: Pending) -> None:
    # A Pending tells how much is waiting, not when it is gone.
    while pending.buffered > _BACKLOG_BYTES:  # noqa: ASYNC110
        await asyncio.sleep(_DRAIN_S)


def _line(event: Event) -> bytes:
    return json.dumps(events.to_data(event)).encode() + b"\n"
