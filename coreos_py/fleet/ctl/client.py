"""Blocking client of the API v1, with the error texts fleetctl 1.0.0 shows.

On fleetctl's hot path: imports nothing heavy.
"""

from __future__ import annotations

import json
from time import monotonic

from coreos_py.base import gojson
from coreos_py.base.unitfile import UnitFile
from coreos_py.fleet.requirements import parse
from coreos_py.http.client import HTTPClient, TransportError
from coreos_py.http.url import Endpoint, escape_query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from coreos_py.http.client import ReplyStream
    from coreos_py.http.reply import Reply

REQUEST_TIMEOUT_S = 60.0


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


class Journal:
    """A unit's output as it arrives, one object per line; close it."""

    def __init__(self, reply: ReplyStream) -> None:
        self._reply = reply
        self._is_read = False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        rest = b""
        try:
            for piece in self._reply.pieces():
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    yield json.loads(line)
        except TransportError as err:
            raise APIError(f"the journal broke off: {err}") from None
        self._is_read = True  # the client has the connection back

    def close(self) -> None:
        """Drop the connection, unless all was read."""
        if not self._is_read:
            self._reply.close()


class Client:
    """The resources of one fleetd."""

    def __init__(self, endpoint: Endpoint, *, http: HTTPClient, shown_host: str) -> None:
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

    def create(self, name: str, file: UnitFile) -> None:
        """Submit a unit."""
        options = [
            {"name": key, "section": section, "value": value}
            for section, key, value in file.options
        ]
        self._put(name, {"name": name, "options": options})

    def set_target_state(self, name: str, state: str) -> None:
        """Say what is wanted of a unit."""
        self._put(name, {"desiredState": state, "name": name})

    def destroy(self, name: str) -> None:
        """Remove a unit."""
        self._ask("DELETE", f"units/{escape_query(name)}", "")

    def journal(self, name: str, *, machine_id: str, lines: int, follow: bool) -> Journal | None:
        """Return a unit's output line by line; None when this fleetd cannot serve it."""
        query = f"&lines={lines}&follow={'true' if follow else 'false'}&machine={machine_id}"
        target = f"{self._base}x-journal/{escape_query(name)}?alt=json{query}"
        try:
            reply = self._http.stream(
                "GET", self._endpoint, target, header_deadline=monotonic() + REQUEST_TIMEOUT_S
            )
        except TransportError as err:
            raise APIError(self._failed("GET", target, err)) from None
        if reply.status != 200:
            reply.close()
            return None
        return Journal(reply)

    # -- requests

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
            found = json.loads(reply.body)
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
        try:
            reply = self._http.request(
                method,
                self._endpoint,
                target,
                headers=headers,
                body=body,
                deadline=monotonic() + REQUEST_TIMEOUT_S,
            )
        except TransportError as err:
            raise APIError(self._failed(method, target, err)) from None
        if not 200 <= reply.status < 300:
            raise _refused(reply)
        return reply

    def _failed(self, method: str, target: str, err: TransportError) -> str:
        return f'{method.capitalize()} "{self._shown}{target}": {err}'


def _refused(reply: Reply) -> APIError:
    text = reply.body.decode("utf-8", "surrogateescape")
    try:
        message = json.loads(reply.body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = ""
    if message:
        return APIError(f"googleapi: Error {reply.status}: {message}", status=reply.status)
    problem = f"googleapi: got HTTP response code {reply.status} with body: {text}"
    return APIError(problem, status=reply.status)
