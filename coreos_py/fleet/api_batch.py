"""POST /x-batch: many changes of units in one request, an extension that fleetd 1.0.0 answers 404.

    {"operations": [{"method": "PUT", "name": NAME, "body": UNIT}, {"method": "DELETE", ...}]}
    {"results": [{"code": 201}, {"code": 400, "message": "..."}]}

Each operation is what /units/NAME would do. Different units go side by side, the operations of one
unit in order; one that fails holds up only what follows for the same unit.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from coreos_py.base import gojson
from coreos_py.base.errors import CoreosError
from coreos_py.etcdclient.errors import ClusterUnavailable
from coreos_py.fleet import schema
from coreos_py.fleet.api_reply import empty, failure, ok
from coreos_py.fleet.schema import BadRequest, UnitBody

if TYPE_CHECKING:
    from coreos_py.fleet.api_units import UnitResource
    from coreos_py.fleet.job import Unit
    from coreos_py.fleet.registry import Registry
    from coreos_py.http.server import Request, Response

OPERATIONS_MAX = 1000
_PARALLEL = 32
_RETRIES = 3
_RETRY_S = 0.2


class Operation(NamedTuple):
    """One change; no body means removal."""

    name: str
    body: UnitBody | None


class BatchResource:
    """What is behind the path above."""

    def __init__(self, registry: Registry, units: UnitResource) -> None:
        self._registry = registry
        self._units = units

    async def post(self, request: Request) -> Response:
        """Carry all operations out, answer with one result each."""
        try:
            operations = read_operations(request.body)
        except BadRequest as err:
            return failure(400, str(err))
        known = {unit.name: unit for unit in await self._registry.units(from_events=True)}
        lanes: dict[str, list[int]] = {}
        for number, operation in enumerate(operations):
            lanes.setdefault(operation.name, []).append(number)
        results: list[dict[str, object]] = [{"code": 500} for _ in operations]
        limit = asyncio.Semaphore(_PARALLEL)

        async def one_unit(name: str, numbers: list[int]) -> None:
            async with limit:
                unit = known.get(name)
                for number in numbers:
                    results[number] = _result(await self._one(operations[number], unit))
                    if results[number]["code"] not in (201, 204):
                        return
                    unit = None  # changed: to be read again

        async with asyncio.TaskGroup() as group:
            for name, numbers in lanes.items():
                group.create_task(one_unit(name, numbers))
        return ok(gojson.dumps({"results": results}))

    async def _one(self, operation: Operation, known: Unit | None) -> Response:
        for left in range(_RETRIES, -1, -1):
            try:
                response = await self._try(operation, known)
            except ClusterUnavailable as err:
                # So many changes at once may take etcd longer than one may; all can be repeated.
                if not left:
                    return failure(500, str(err))
                await asyncio.sleep(_RETRY_S)
            except CoreosError as err:
                return failure(500, str(err))
            else:
                was_removed = operation.body is None and response.status == 404
                return empty(204) if was_removed and left < _RETRIES else response
        raise AssertionError("unreachable")

    async def _try(self, operation: Operation, known: Unit | None) -> Response:
        if operation.body is None:
            return await self._units.destroy(operation.name)
        return await self._units.write(operation.name, operation.body, known=known)


def read_operations(body: bytes) -> list[Operation]:
    """Read the request; BadRequest when any of it makes no sense."""
    found = schema.decode(body)
    items = found.get("operations") if isinstance(found, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise BadRequest("operations: expect an array of objects")
    if len(items) > OPERATIONS_MAX:
        raise BadRequest(f"operations: more than {OPERATIONS_MAX}")
    return [_operation(item) for item in items]


def _operation(item: dict[str, Any]) -> Operation:
    name, method = item.get("name"), item.get("method")
    if not isinstance(name, str) or not name or "/" in name or name in (".", ".."):
        raise BadRequest(f"name: {gojson.dumps(name)} is not a unit name")
    if method == "DELETE":
        return Operation(name, None)
    if method != "PUT":
        raise BadRequest(f"method: expect PUT or DELETE, not {gojson.dumps(method)}")
    return Operation(name, schema.unit_body(item.get("body")))


def _result(response: Response) -> dict[str, object]:
    message = ""
    if response.status >= 400:
        message = json.loads(response.body)["error"]["message"]
    return {"code": response.status, **({"message": message} if message else {})}
