"""The HTTP API v1 of fleetd: which request goes where, and the shape of every answer.

Same paths, statuses and texts as fleet 1.0.0 (api/*.go). While fleetd has no contact with etcd
everything is answered 503. Paths below `x-` are extensions that 1.0.0 does not have.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qs, unquote

from coreos_py.base import gopath
from coreos_py.base.errors import CoreosError
from coreos_py.fleet import discovery, schema
from coreos_py.fleet.api_batch import BatchResource
from coreos_py.fleet.api_extras import READS, WRITES, ExtraResources
from coreos_py.fleet.api_reply import JSON, SERVER, failure, ok
from coreos_py.fleet.api_units import StateResource, UnitResource
from coreos_py.fleet.recorder import Recorder
from coreos_py.fleet.schema import BadRequest
from coreos_py.http.server import Pending, Request, Response

if TYPE_CHECKING:
    from coreos_py.fleet.api_journal import JournalResource
    from coreos_py.fleet.metrics import Metrics
    from coreos_py.fleet.registry import Registry

log = logging.getLogger(__name__)

PREFIXES = ("/fleet/v1", "/v1-alpha")
UNAVAILABLE = "fleet server unable to communicate with etcd"

Answer: TypeAlias = Coroutine[Any, Any, Response | None]
ITEM_METHODS = "only GET, PUT and DELETE supported against this resource"


class API:
    """The handler behind every API socket of one fleetd."""

    def __init__(
        self,
        registry: Registry,
        *,
        token_limit: int,
        metrics: Metrics,
        recorder: Recorder | None = None,
        journal: JournalResource | None = None,
    ) -> None:
        self._registry = registry
        self._limit = token_limit
        self._metrics = metrics
        recorder = recorder or Recorder(registry, "", is_on=False)
        self._units = UnitResource(registry, note=recorder.note)
        self._extras = ExtraResources(registry, recorder)
        self._batch = BatchResource(registry, self._units)
        self._states = StateResource(registry)
        self._journal = journal
        self._tasks: set[asyncio.Task[None]] = set()
        self.available = False

    def handle(self, request: Request) -> Response | Pending:
        """Answer a request, now or later."""
        if not self.available:
            return failure(503, UNAVAILABLE)
        path = unquote(request.path, errors="surrogateescape")
        clean = gopath.canonical(path)
        if clean != path and request.method != "CONNECT":
            return _moved(request, clean)
        pending = Pending()
        answer = self._route(request, path, pending)
        if isinstance(answer, Response):
            return answer
        task = asyncio.get_running_loop().create_task(_complete(answer, pending))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        pending.on_close(partial(_cancel, task))
        return pending

    def _route(self, request: Request, path: str, pending: Pending) -> Answer | Response:
        if path == "/metrics":
            text = self._metrics.text().encode()
            return Response(200, (SERVER, ("Content-Type", "text/plain; version=0.0.4")), text)
        for prefix in PREFIXES:
            if path == prefix:
                return failure(405)
            if path.startswith(f"{prefix}/"):
                return self._resource(request, path[len(prefix) + 1 :], pending)
        return failure(405 if path == "/" else 404)

    def _resource(self, request: Request, rest: str, pending: Pending) -> Answer | Response:
        resource, slash, item = rest.partition("/")
        if slash and (not item or "/" in item):
            return failure(404)
        query = parse_qs(request.query, keep_blank_values=True, errors="surrogateescape")
        if not slash:
            if resource in READS and request.method == "GET":
                return self._extras.read(resource, query, pending)
            return self._collection(request, resource, query)
        if resource == "units":
            return self._unit(request, item, query)
        if resource == "state":
            if request.method != "GET":
                return failure(405, "only GET supported against this resource")
            return self._states.get(item)
        if resource == "x-explain" and request.method == "GET":
            return self._units.explain(item)
        if resource == "x-journal" and self._journal is not None:
            if request.method != "GET":
                return failure(405, "only GET supported against this resource")
            return self._journal.get(request, item, query, pending)
        if resource in WRITES and request.method == "PUT":
            return self._extras.write(resource, item, request)
        return failure(404)

    def _collection(
        self, request: Request, resource: str, query: dict[str, list[str]]
    ) -> Answer | Response:
        method = request.method
        if resource == "x-batch" and method == "POST":
            return self._batch.post(request)
        if resource == "discovery":
            if method != "GET":
                return failure(400, "only HTTP GET supported against this resource")
            return Response(200, (SERVER, JSON), discovery.document())
        if resource == "machines":
            if method == "PATCH":
                return self._patch_machines(request.body)
            if method != "GET":
                return failure(405, "only GET and PATCH supported against this resource")
            return self._machines(query)
        if resource in ("units", "state"):
            if method != "GET":
                return failure(405, "only GET supported against this resource")
            token = _token(query, self._limit)
            if isinstance(token, Response):
                return token
            if resource == "units":
                return self._units.list(token)
            return self._states.list(
                token, machine_id=_first(query, "machineID"), name=_first(query, "unitName")
            )
        return failure(404)

    def _unit(self, request: Request, name: str, query: dict[str, list[str]]) -> Answer | Response:
        if request.method == "GET":
            return self._units.get(name, fresh="x-fresh" in query)
        if request.method == "DELETE":
            return self._units.destroy(name)
        if request.method == "PUT":
            return self._units.put(request, name)
        return failure(405, ITEM_METHODS)

    # -- machines

    def _machines(self, query: dict[str, list[str]]) -> Answer | Response:
        token = _token(query, self._limit)
        if isinstance(token, Response):
            return token
        return self._machine_page(token)

    async def _machine_page(self, token: schema.PageToken) -> Response:
        machines = await self._registry.machines()
        return ok(schema.page([schema.machine(found) for found in machines], token, key="machines"))

    async def _patch_machines(self, body: bytes) -> Response:
        try:
            operations = schema.read_metadata_ops(body)
        except BadRequest as err:
            return failure(400, str(err))
        for machine_id, key, value in operations:
            await self._registry.set_metadata(machine_id, key, value)
        return Response(204, (SERVER, JSON))


def oversize(_request: Request) -> Response:
    """Return the answer to a body that is too large."""
    return failure(413, "request body too large")


async def _complete(answer: Answer, pending: Pending) -> None:
    try:
        response = await answer
    except CoreosError as err:
        log.error("API request failed: %s", err)
        response = failure(500)
    except Exception:  # the boundary: one bad request must not end the daemon
        log.exception("API request failed")
        response = failure(500)
    if response is not None and not pending.closed:
        pending.complete(response)


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


def _token(query: dict[str, list[str]], limit: int) -> schema.PageToken | Response:
    try:
        return schema.find_token(query.get("nextPageToken", ()), limit=limit)
    except BadRequest as err:
        return failure(400, str(err))


def _first(query: dict[str, list[str]], name: str) -> str:
    return query.get(name, [""])[0]


def _moved(request: Request, path: str) -> Response:
    from urllib.parse import quote

    target = quote(path, safe="/:@!$&'()*+,;=~", errors="surrogateescape")
    target += f"?{request.query}" if request.query else ""
    headers = [SERVER, ("Location", target)]
    body = ""
    if request.method in ("GET", "HEAD"):
        headers.append(("Content-Type", "text/html; charset=utf-8"))
        body = f'<a href="{target}">Moved Permanently</a>.\n\n'
    return Response(301, headers, body.encode("utf-8", "replace"))
