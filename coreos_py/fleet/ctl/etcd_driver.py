"""--driver=etcd: fleetctl works on the registry itself, without a fleetd.

The same methods as the API's client, over the daemon's own registry code. Not on the hot path.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, TypeVar

from coreos_py.base.errors import CoreosError
from coreos_py.etcdclient.errors import ClusterUnavailable
from coreos_py.etcdclient.keys import check_api, open_keys
from coreos_py.fleet.api_extras import Refused, machine_rows, move_unit
from coreos_py.fleet.ctl.client import APIError, Client, Lines
from coreos_py.fleet.ctl.client import Machine as ShownMachine
from coreos_py.fleet.ctl.client import Unit as ShownUnit
from coreos_py.fleet.ctl.client import UnitState as ShownState
from coreos_py.fleet.ctl.program import DEFAULT_ENDPOINT, DEFAULT_ETCD
from coreos_py.fleet.ctl.session import Fatal, tls_context
from coreos_py.fleet.events import is_wanted, to_data
from coreos_py.fleet.job import INACTIVE, current_state, parse_state
from coreos_py.fleet.recorder import follow_events, read_events
from coreos_py.fleet.registry import Registry
from coreos_py.fleet.scheduler import explain, reasons

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    from coreos_py.base.unitfile import UnitFile
    from coreos_py.cli.settings import Values
    from coreos_py.etcdclient.keys import AsyncKeys
    from coreos_py.fleet.events import Event
    from coreos_py.fleet.job import Machine, Unit, UnitState

T = TypeVar("T")


def make_etcd_client(settings: Values) -> EtcdDriver:
    """Return the client for the etcd behind --endpoint."""
    endpoint = settings["endpoint"]
    if endpoint == DEFAULT_ENDPOINT and not settings["experimental-api"]:
        endpoint = DEFAULT_ETCD
    urls = endpoint.split(",")
    try:
        api = check_api(settings["etcd-api"], setting="etcd-api")
    except CoreosError as err:
        raise Fatal(f"Unable to initialize client: {err}") from None
    needs_tls = any(url.startswith("https:") for url in urls)

    def make() -> AsyncKeys:
        return open_keys(
            api,
            urls,
            timeout_s=settings["request-timeout"],
            tls=tls_context(settings) if needs_tls else None,
        )

    try:
        return EtcdDriver(make, settings["etcd-key-prefix"])
    except (ValueError, CoreosError) as err:
        raise Fatal(f"Unable to initialize client: {err}") from None


class EtcdDriver(Client):
    """The registry behind the API client's methods."""

    _has_batch = False

    def __init__(self, make: Callable[[], AsyncKeys], prefix: str) -> None:
        self._runner = asyncio.Runner()
        self._etcd = self._runner.run(_made(make))
        self._registry = Registry(self._etcd, prefix)

    def close(self) -> None:
        """Close the connections to etcd and the loop."""
        self._runner.run(_closed(self._etcd))
        self._runner.close()

    def units(self) -> list[ShownUnit]:
        """Return all units by name."""

        async def read() -> list[ShownUnit]:
            units, states = await asyncio.gather(self._registry.units(), self._registry.states())
            return [
                _shown(unit, current_state(unit, has_state=(unit.name, unit.machine_id) in states))
                for unit in units
            ]

        return self._run(read())

    def unit(self, name: str, *, fresh: bool = False) -> ShownUnit | None:
        """Return one unit."""

        async def read() -> ShownUnit | None:
            unit = await self._registry.unit(name)
            if unit is None:
                return None
            if unit.is_global:
                return _shown(unit, "")
            states = await self._registry.states_of(name)
            return _shown(unit, current_state(unit, has_state=unit.machine_id in states))

        return self._run(read())

    def machines(self) -> list[ShownMachine]:
        """Return the living machines."""
        return [
            ShownMachine({"id": m.id, "primaryIP": m.public_ip, "metadata": dict(m.metadata)})
            for m in self._run(self._registry.machines())
        ]

    def states(self, name: str = "") -> list[ShownState]:
        """Return what all machines say, or what they say about one unit."""
        found = self._run(self._registry.states()).values()
        return [_shown_state(state) for state in found if name in ("", state.name)]

    def state(self, name: str) -> ShownState | None:
        """Return what the unit's machine says about it."""
        found = self._run(self._registry.states_of(name))
        unit = self.unit(name)
        placed = "" if unit is None else unit.machine_id
        state = found.get(placed) or next(iter(found.values()), None)
        return None if state is None else _shown_state(state)

    def explain(self, name: str) -> dict[str, str]:
        """Return why the unit cannot run, machine by machine."""

        async def read() -> dict[str, str]:
            units, machines = await asyncio.gather(
                self._registry.units(), self._registry.machines()
            )
            is_known = any(unit.name == name and not unit.is_global for unit in units)
            return explain(units, machines, name) if is_known else {}

        return self._run(read())

    def create(self, name: str, file: UnitFile, *, target_state: str = "") -> None:
        """Submit a unit, or give one another text; without a state it becomes inactive."""
        state = parse_state(target_state or INACTIVE)
        self._run(self._registry.create_unit(name, file, target_state=state))

    def set_target_state(self, name: str, state: str) -> None:
        """Say what is wanted of a unit."""
        self._run(self._registry.set_target_state(name, parse_state(state)))

    def destroy(self, name: str) -> None:
        """Remove a unit."""
        if not self._run(self._registry.destroy_unit(name)):
            raise APIError("job does not exist", status=404)

    def journal(self, name: str, *, machine_id: str, lines: int, follow: bool) -> Lines | None:
        """Journals are not in etcd, but the address of the fleetd that has them is."""
        from coreos_py.http.client import HTTPClient
        from coreos_py.http.url import parse_endpoint

        url = self._run(self._registry.api_of(machine_id))
        if not url:
            return None
        endpoint = parse_endpoint(url)
        client = Client(endpoint, http=HTTPClient(), shown_host=endpoint.authority)
        return client.journal(name, machine_id=machine_id, lines=lines, follow=follow)

    def machine_rows(self) -> list[dict[str, Any]]:
        """Return the machines with state and reservations."""
        return machine_rows(*self._run(self._everything()))

    def reasons(self) -> dict[str, str]:
        """Return why units that want a machine have none."""
        return reasons(*self._run(self._everything()))

    def set_cordon(self, machine_id: str, *, cordoned: bool) -> None:
        """Keep new units off a machine, or let them come again."""
        if cordoned:
            self._run(self._registry.cordon(machine_id))
        else:
            self._run(self._registry.uncordon(machine_id))

    def move(self, name: str, source: str, target: str) -> None:
        """Give a placed unit to another machine; APIError 409 when that cannot be."""
        try:
            self._run(move_unit(self._registry, name, source, target))
        except Refused as err:
            raise APIError(str(err), status=409) from None

    def events(self, *, unit: str = "", machine: str = "", follow: bool = False) -> StoredEvents:
        """Return what happened, and with `follow` what will."""

        def wanted(found: list[Event]) -> list[dict[str, Any]]:
            return [to_data(e) for e in found if is_wanted(e, unit=unit, machine=machine)]

        def read() -> Iterator[dict[str, Any]]:
            if not follow:
                yield from wanted(self._run(read_events(self._registry)))
                return
            stream = follow_events(self._registry)
            while True:
                yield from wanted(self._run(_next(stream)))

        return StoredEvents(read())

    async def _everything(self) -> tuple[list[Unit], list[Machine]]:
        return await asyncio.gather(self._registry.units(), self._registry.machines())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self._runner.run(work)
        except ClusterUnavailable as err:
            raise APIError(err.summary()) from None
        except (CoreosError, json.JSONDecodeError) as err:
            raise APIError(str(err)) from None


class StoredEvents(Lines):
    """Events as the API's client returns them."""

    def __init__(self, found: Iterator[dict[str, Any]]) -> None:
        self._found = found

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._found

    def close(self) -> None:
        """Nothing is open."""


async def _next(stream: AsyncIterator[list[Event]]) -> list[Event]:
    return await anext(stream)


async def _made(make: Callable[[], AsyncKeys]) -> AsyncKeys:
    return make()


async def _closed(etcd: AsyncKeys) -> None:
    etcd.close()


def _shown(unit: Unit, state: str) -> ShownUnit:
    return ShownUnit(
        {
            "name": unit.name,
            "desiredState": unit.target_state,
            "currentState": state,
            "machineID": unit.machine_id,
            "options": [
                {"section": section, "name": name, "value": value}
                for section, name, value in unit.file.options
            ],
        }
    )


def _shown_state(state: UnitState) -> ShownState:
    return ShownState(
        {
            "name": state.name,
            "machineID": state.machine_id,
            "systemdLoadState": state.load,
            "systemdActiveState": state.active,
            "systemdSubState": state.sub,
            "hash": state.hash,
        }
    )
