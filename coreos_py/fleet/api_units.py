"""The units and state resources of the API v1.

Differs from fleet 1.0.0 where that one harms: an unknown desired state is refused instead of
stored, a unit that cannot be read can still be destroyed, and a missing state is answered 404.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from coreos_py.base.gojson import quote
from coreos_py.base.unitfile import UnitFile, UnitNameError, name_info, validate_name
from coreos_py.fleet import requirements, scheduler, schema
from coreos_py.fleet.api_reply import empty, failure, ok
from coreos_py.fleet.job import INACTIVE, LAUNCHED, LOADED, current_state, parse_state
from coreos_py.fleet.keyspace import BadRecord
from coreos_py.fleet.recorder import unheard
from coreos_py.fleet.requirements import RequirementsError
from coreos_py.fleet.schema import BadRequest, PageToken, UnitBody

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from coreos_py.fleet.job import Unit, UnitState
    from coreos_py.fleet.recorder import Note
    from coreos_py.fleet.registry import Registry
    from coreos_py.http.server import Request, Response

log = logging.getLogger(__name__)

NO_UNIT = "unit does not exist"
# fleetctl 1.0.0's restart asks for "loaded", then waits for "launched" at its first poll 250 ms
# later: it relies on fleetd being slow and hangs otherwise.
_ECHO_S = 0.4
_KEEP_S = 1.0

T = TypeVar("T")


class Pages(Generic[T]):
    """What all pages of one listing are cut from: read for the first one, kept for the others."""

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        self._read = read
        self._kept: tuple[float, T] | None = None

    async def all(self, token: PageToken) -> T:
        """Return everything, as it was when the listing began if that was just now."""
        kept, now = self._kept, time.monotonic()
        if token.page > 1 and kept is not None and now < kept[0] + _KEEP_S:
            return kept[1]
        found = await self._read()
        self._kept = (now, found)
        return found


class UnitResource:
    """/units and /units/NAME."""

    def __init__(self, registry: Registry, *, note: Note = unheard) -> None:
        self._registry = registry
        self._note = note
        self._stopping: dict[str, float] = {}
        self._pages = Pages(self._read_all)

    async def list(self, token: PageToken) -> Response:
        """Return one page of all units."""
        units, states = await self._pages.all(token)
        items = [
            _entity(
                unit,
                state=current_state(unit, has_state=(unit.name, unit.machine_id) in states),
            )
            for unit in units[(token.page - 1) * token.limit : token.page * token.limit]
        ]
        return ok(_page(items, token, total=len(units)))

    async def _read_all(self) -> tuple[Sequence[Unit], Mapping[tuple[str, str], UnitState]]:
        return await asyncio.gather(self._registry.units(from_events=True), self._registry.states())

    async def get(self, name: str, *, fresh: bool = False) -> Response:
        """Return one unit; a global one has no current state.

        A unit just told to stop counts as launched a little longer, unless `fresh` is asked for.
        """
        unit = await self._registry.unit(name)
        if unit is None:
            return failure(404, NO_UNIT)
        if unit.is_global:
            return ok(_entity(unit, state=""))
        if not fresh and time.monotonic() < self._stopping.get(name, 0.0):
            return ok(_entity(unit, state=LAUNCHED))
        states = await self._registry.states_of(name) if unit.machine_id else {}
        return ok(_entity(unit, state=current_state(unit, has_state=unit.machine_id in states)))

    async def explain(self, name: str) -> Response:
        """Return, machine by machine, why the unit cannot run there; an extension."""
        units, machines = await asyncio.gather(self._registry.units(), self._registry.machines())
        if not any(unit.name == name and not unit.is_global for unit in units):
            return failure(404, NO_UNIT)
        return ok(schema.explanation(scheduler.explain(units, machines, name)))

    async def destroy(self, name: str) -> Response:
        """Remove a unit, readable or not."""
        if not await self._registry.destroy_unit(name):
            return failure(404, NO_UNIT)
        self._note("destroyed", unit=name)
        return empty(204)

    async def put(self, request: Request, name: str) -> Response:
        """Create a unit, replace it, or change what is wanted of it."""
        problem = _content_type_problem(request)
        if problem:
            return failure(415, problem)
        try:
            body = schema.read_unit(request.body)
        except BadRequest as err:
            return failure(400, f"unable to decode body: {err}")
        if body.name not in ("", name):
            text = f"name in URL {quote(name)} differs from unit name in request body"
            return failure(400, f"{text} {quote(body.name)}")
        return await self.write(name, body)

    async def write(self, name: str, body: UnitBody, *, known: Unit | None = None) -> Response:
        """Do what a PUT asks for; `known` is the unit as it is, if the caller has just read it."""
        try:
            validate_name(name)
        except UnitNameError as err:
            return failure(400, str(err))
        file = UnitFile(body.options)
        try:
            known = known or await self._registry.unit(name)
        except BadRecord as err:
            log.error("Failed fetching Unit(%s) from Registry: %s", name, err)
            return failure(500)
        if known is None:
            if not body.options:
                return failure(409, "unit does not exist and options field empty")
            try:
                requirements.check(body.options)
            except RequirementsError as err:
                return failure(400, str(err))
        if known is None or (body.options and file != known.file):
            return await self._create(name, file, state=body.desired_state)
        return await self._update(known, state=body.desired_state)

    async def _create(self, name: str, file: UnitFile, *, state: str) -> Response:
        try:
            target_state = parse_state(state or INACTIVE)
        except ValueError as err:
            log.error("Failed creating Unit(%s) in Registry: %s", name, err)
            return failure(500)
        await self._registry.create_unit(name, file, target_state=target_state)
        self._note("submitted", unit=name, text=f"{file.short_hash}, {target_state}")
        return empty(201)

    async def _update(self, known: Unit, *, state: str) -> Response:
        name = known.name
        if not state:
            return failure(409, "must provide DesiredState to update existing unit")
        info = name_info(name)
        if info is not None and info.is_template and state != INACTIVE:
            return failure(400, f"cannot activate template {quote(name)}")
        try:
            parse_state(state)
        except ValueError as err:
            return failure(400, str(err))
        if state == LOADED and known.heartbeat and known.heartbeat == known.machine_id:
            self._keep_launched(name)
        await self._registry.set_target_state(name, state)
        if state != known.target_state:
            self._note("wanted", unit=name, text=state)
        return empty(204)

    def _keep_launched(self, name: str) -> None:
        now = time.monotonic()
        self._stopping = {key: until for key, until in self._stopping.items() if until > now}
        self._stopping[name] = now + _ECHO_S


class StateResource:
    """/state and /state/NAME."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._pages = Pages(registry.states)

    async def list(self, token: PageToken, *, machine_id: str, name: str) -> Response:
        """Return one page of the published states, by unit and machine."""
        states: Iterable[UnitState]
        if not name:
            states = (await self._pages.all(token)).values()
        elif "/" in name or name in (".", ".."):
            states = ()
        else:
            states = (await self._registry.states_of(name)).values()
        items = [
            schema.unit_state(state) for state in states if machine_id in ("", state.machine_id)
        ]
        return ok(schema.page(items, token, key="states"))

    async def get(self, name: str) -> Response:
        """Return the state on the machine the unit is placed on, or else on any machine."""
        states, unit = await asyncio.gather(
            self._registry.states_of(name), self._registry.unit(name), return_exceptions=True
        )
        if isinstance(states, BaseException):
            raise states
        if not states:
            return failure(404, "unit state does not exist")
        placed = "" if unit is None or isinstance(unit, BaseException) else unit.machine_id
        return ok(schema.unit_state(states.get(placed) or next(iter(states.values()))))


def _entity(unit: Unit, *, state: str) -> str:
    return schema.unit(
        unit.name,
        unit.file.options,
        desired_state=unit.target_state,
        current_state=state,
        machine_id=unit.machine_id,
    )


def _page(items: list[str], token: PageToken, *, total: int) -> str:
    return schema.page_of(items, token, total=total, key="units")


def _content_type_problem(request: Request) -> str:
    values = [value for value in request.get("content-type").split(",") if value.strip()]
    if len(values) != 1:
        return f"expected 1 Content-Type, got {len(values)}"
    if values[0].partition(";")[0].strip() != "application/json":
        return "only acceptable Content-Type is application/json"
    return ""
