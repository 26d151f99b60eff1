"""Blocking client of the API v1, with the error texts fleetctl 1.0.0 shows.

On fleetctl's hot path: imports nothing heavy.
"""

from __future__ import annotations

from time import monotonic

from coreos_py.base import gojson
from coreos_py.base.jsonload import loads
from coreos_py.base.unitfile import UnitFile
from coreos_py.fleet.requirements import parse
from coreos_py.http.client import HTTPClient, TransportError
from coreos_py.http.url import Endpoint, escape_query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from coreos_py.http.client import ReplyStream
    from coreos_py.http.reply import Reply

# Longer than a fleetd takes that has to find another etcd first; one that is frozen never answers.
REQUEST_TIMEOUT_S = 20.0
# Fewer changes than this go one by one, and this many at most in one request.
_BATCH_MIN = 5
_BATCH = 100


class APIError(Exception):
    """fleetd, or the way to it, refused; `status` is 0 when no answer came."""

    def __init__(self, text: str, *, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Unit:
    """A unit as the API shows it."""

    __slots__ = ("current_state", "desired_state", "file", "machine_id", "name")

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.name: str = data.get("name", "")
        self.desired_state: str = data.get("desiredState", "")
        self.current_state: str = data.get("currentState", "")
        self.machine_id: str = data.get("machineID", "")
        self.file = UnitFile(
            (option.get("section", ""), option.get("name", ""), option.get("value", ""))
            for option in data.get("options") or ()
        )

    @property
    def is_global(self) -> bool:
        """Tell whether the unit runs on every machine that fits."""
        return parse(self.name, self.file.options).is_global


class Machine:
    """A machine as the API shows it."""

    __slots__ = ("id", "ip", "metadata")

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.id: str = data.get("id", "")
        self.ip: str = data.get("primaryIP", "")
        self.metadata: dict[str, str] = data.get("metadata") or {}


class UnitState:
    """What one machine says about a unit."""

    __slots__ = ("active", "hash", "load", "machine_id", "name", "sub")

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.name: str = data.get("name", "")
        self.machine_id: str = data.get("machineID", "")
        self.load: str = data.get("systemdLoadState", "")
        self.active: str = data.get("systemdActiveState", "")
        self.sub: str = data.get("systemdSubState", "")
        self.hash: str = data.get("hash", "")


class Lines:
    """An answer as it arrives, one object per line; close it."""

    def __init__(self, reply: ReplyStream) -> None:
        self._reply = reply
        self._is_read = False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        rest = b""
        try:
            for piece in self._reply.pieces():
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    yield loads(line)
        except TransportError as err:
            raise APIError(f"the answer broke off: {err}") from None
        self._is_read = True  # the client has the connection back

    def close(self) -> None:
        """Drop the connection, unless all was read."""
        if not self._is_read:
            self._reply.close()


class Change:
    """One change of a unit: its text, what is wanted of it, or its removal."""

    __slots__ = ("file", "is_removal", "name", "state")

    def __init__(
        self,
        name: str,
        *,
        file: UnitFile | None = None,
        state: str = "",
        is_removal: bool = False,
    ) -> None:
        self.name = name
        self.file = file
        self.state = state
        self.is_removal = is_removal


class Client:
    """The resources of one fleetd."""

    _has_batch = True

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        http: HTTPClient,
        shown_host: str,
        timeout_s: float = REQUEST_TIMEOUT_S,
        debug: Callable[[str], None] | None = None,
    ) -> None:
        """`debug` is told every request and the status of its answer."""
        self._timeout_s = timeout_s
        self._debug = debug
        self._endpoint = endpoint
        self._http = http
        self._base = f"{endpoint.path}/fleet/v1/"
        scheme = "http" if endpoint.socket_path else endpoint.scheme
        self._shown = f"{scheme}://{shown_host}"

    def close(self) -> None:
        """Close the kept connections."""
        self._http.close()

    def units(self) -> list[Unit]:
        """Return all units by name."""
        return [Unit(item) for item in self._pages("units", "units")]

    def unit(self, name: str, *, fresh: bool = False) -> Unit | None:
        """Return one unit; `fresh` asks our fleetd not to cover for fleetctl 1.0.0's restart."""
        query = "&x-fresh=true" if fresh else ""
        found = self._entity(f"units/{escape_query(name)}", query)
        return None if found is None else Unit(found)

    def machines(self) -> list[Machine]:
        """Return the living machines."""
        return [Machine(item) for item in self._pages("machines", "machines")]

    def states(self, name: str = "") -> list[UnitState]:
        """Return what all machines say, or what they say about one unit."""
        query = f"&unitName={escape_query(name)}" if name else ""
        return [UnitState(item) for item in self._pages("state", "states", query)]

    def state(self, name: str) -> UnitState | None:
        """Return what the unit's machine says about it."""
        found = self._entity(f"state/{escape_query(name)}")
        return None if found is None else UnitState(found)

    def explain(self, name: str) -> dict[str, str]:
        """Return why the unit cannot run, machine by machine; nothing from fleetd 1.0.0."""
        found = self._entity(f"x-explain/{escape_query(name)}") or {}
        return {item["id"]: item["reason"] for item in found.get("machines") or ()}

    def create(self, name: str, file: UnitFile, *, target_state: str = "") -> None:
        """Submit a unit, or give one another text; without a state it becomes inactive."""
        options = _options(file)
        state = {"desiredState": target_state} if target_state else {}
        self._put(name, {**state, "name": name, "options": options})

    def set_target_state(self, name: str, state: str) -> None:
        """Say what is wanted of a unit."""
        self._put(name, {"desiredState": state, "name": name})

    def destroy(self, name: str) -> None:
        """Remove a unit."""
        self._ask("DELETE", f"units/{escape_query(name)}", "")

    def journal(self, name: str, *, machine_id: str, lines: int, follow: bool) -> Lines | None:
        """Return a unit's output line by line; None when this fleetd cannot serve it."""
        query = f"&lines={lines}&follow={'true' if follow else 'false'}&machine={machine_id}"
        return self._lines(f"x-journal/{escape_query(name)}", query)

    def change(self, changes: Sequence[Change]) -> Iterator[APIError | None]:
        """Make many changes; yield for each, in order, what was wrong with it.

        Our fleetd takes a hundred in one request and makes them side by side.
        """
        at = 0
        while len(changes) - at >= _BATCH_MIN and self._has_batch:
            some = changes[at : at + _BATCH]
            results = self._batch(some)
            if results is None:
                self._has_batch = False
                break
            yield from results
            at += len(some)
        for change in changes[at:]:
            yield self._change(change)

    def _change(self, change: Change) -> APIError | None:
        try:
            if change.is_removal:
                self.destroy(change.name)
            elif change.file is not None:
                self.create(change.name, change.file)
            else:
                self.set_target_state(change.name, change.state)
        except APIError as err:
            return err
        return None

    def _batch(self, changes: Sequence[Change]) -> list[APIError | None] | None:
        operations = [_operation(change) for change in changes]
        data = gojson.dumps({"operations": operations}).encode("utf-8", "replace")
        try:
            reply = self._ask("POST", "x-batch", "", body=data)
        except APIError as err:
            if err.status in (404, 405, 413):
                return None
            return [err] * len(changes)
        results = loads(reply.body)["results"]
        return [_problem(result["code"], result.get("message", "")) for result in results]

    # -- what fleetd 1.0.0 does not have

    def machine_rows(self) -> list[dict[str, Any]] | None:
        """Return the machines with state and reservations; None from fleetd 1.0.0."""
        found = self._entity("x-machines")
        return None if found is None else list(found.get("machines") or ())

    def reasons(self) -> dict[str, str]:
        """Return why units that want a machine have none; nothing from fleetd 1.0.0."""
        found = self._entity("x-reasons") or {}
        return {item["name"]: item["reason"] for item in found.get("units") or ()}

    def set_cordon(self, machine_id: str, *, cordoned: bool) -> None:
        """Keep new units off a machine, or let them come again."""
        self._extra_put(f"x-cordon/{escape_query(machine_id)}", {"cordoned": cordoned})

    def move(self, name: str, source: str, target: str) -> None:
        """Give a placed unit to another machine; APIError 409 when that cannot be."""
        self._extra_put(f"x-target/{escape_query(name)}", {"from": source, "to": target})

    def events(self, *, unit: str = "", machine: str = "", follow: bool = False) -> Lines | None:
        """Return what happened, and with `follow` what will; None from fleetd 1.0.0."""
        query = f"&unit={escape_query(unit)}&machine={escape_query(machine)}"
        return self._lines("x-events", query + ("&follow=true" if follow else ""))

    def _extra_put(self, path: str, body: dict[str, Any]) -> None:
        self._ask("PUT", path, "", body=gojson.dumps(body).encode("utf-8", "replace"))

    # -- requests

    def _lines(self, path: str, query: str) -> Lines | None:
        target = f"{self._base}{path}?alt=json{query}"
        self._tell("GET", target)
        try:
            reply = self._http.stream(
                "GET", self._endpoint, target, header_deadline=monotonic() + self._timeout_s
            )
        except TransportError as err:
            raise APIError(self._failed("GET", target, err)) from None
        self._tell("GET", target, reply.status)
        if reply.status != 200:
            reply.close()
            return None
        return Lines(reply)

    def _pages(self, path: str, key: str, query: str = "") -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            more = f"&nextPageToken={escape_query(token)}" if token else ""
            page = self._read(path, f"{more}{query}")
            yield from page.get(key) or ()
            token = page.get("nextPageToken") or ""
            if not token:
                return

    def _entity(self, path: str, query: str = "") -> dict[str, Any] | None:
        try:
            return self._read(path, query)
        except APIError as err:
            if err.status != 404:
                raise
            return None

    def _read(self, path: str, query: str) -> dict[str, Any]:
        reply = self._ask("GET", path, query)
        try:
            found = loads(reply.body)
        except ValueError as err:
            raise APIError(f"the answer is not JSON: {err}") from None
        if not isinstance(found, dict):
            raise APIError("the answer is not a JSON object")
        return found

    def _put(self, name: str, body: dict[str, Any]) -> None:
        data = gojson.dumps(body).encode("utf-8", "replace")
        self._ask("PUT", f"units/{escape_query(name)}", "", body=data)

    def _ask(self, method: str, path: str, query: str, *, body: bytes = b"") -> Reply:
        target = f"{self._base}{path}?alt=json{query}"
        headers = [("User-Agent", "fleetctl (coreos-py)")]
        if body:
            headers.append(("Content-Type", "application/json"))
        self._tell(method, target)
        try:
            reply = self._http.request(
                method,
                self._endpoint,
                target,
                headers=headers,
                body=body,
                deadline=monotonic() + self._timeout_s,
            )
        except TransportError as err:
            raise APIError(self._failed(method, target, err)) from None
        self._tell(method, target, reply.status)
        if not 200 <= reply.status < 300:
            raise _refused(reply)
        return reply

    def _tell(self, method: str, target: str, status: int = 0) -> None:
        if self._debug is None:
            return
        from coreos_py.http.message import REASONS

        answer = f" {status} {REASONS.get(status, '')}" if status else ""
        self._debug(f"HTTP {method} {self._shown}{target}{answer}".rstrip())

    def _failed(self, method: str, target: str, err: TransportError) -> str:
        return f'{method.capitalize()} "{self._shown}{target}": {err}'


def _options(file: UnitFile) -> list[dict[str, str]]:
    return [
        {"name": key, "section": section, "value": value} for section, key, value in file.options
    ]


def _operation(change: Change) -> dict[str, Any]:
    if change.is_removal:
        return {"method": "DELETE", "name": change.name}
    body: dict[str, Any] = {"name": change.name}
    if change.file is not None:
        body["options"] = _options(change.file)
    if change.state:
        body["desiredState"] = change.state
    return {"method": "PUT", "name": change.name, "body": body}


def _problem(status: int, message: str) -> APIError | None:
    if 200 <= status < 300:
        return None
    return APIError(f"googleapi: Error {status}: {message}", status=status)


def _refused(reply: Reply) -> APIError:
    text = reply.body.decode("utf-8", "surrogateescape")
    try:
        message = loads(reply.body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = ""
    if message:
        return APIError(f"googleapi: Error {reply.status}: {message}", status=reply.status)
    problem = f"googleapi: got HTTP response code {reply.status} with body: {text}"
    return APIError(problem, status=reply.status)
