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
from coreos_py.fleet.ctl.client import APIError, Client, Journal
from coreos_py.fleet.ctl.client import Machine as ShownMachine
from coreos_py.fleet.ctl.client import Unit as ShownUnit
from coreos_py.fleet.ctl.client import UnitState as ShownState
from coreos_py.fleet.ctl.program import DEFAULT_ENDPOINT, DEFAULT_ETCD
from coreos_py.fleet.ctl.session import Fatal, tls_context
from coreos_py.fleet.job import INACTIVE, current_state, parse_state
from coreos_py.fleet.registry import Registry
from coreos_py.fleet.scheduler import explain

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from coreos_py.base.unitfile import UnitFile
    from coreos_py.cli.settings import Values
    from coreos_py.etcdclient.keys import AsyncKeys
    from coreos_py.fleet.job import Unit, UnitState

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

    def create(self, name: str, file: UnitFile) -> None:
        """Submit a unit."""
        self._run(self._registry.create_unit(name, file, target_state=INACTIVE))

    def set_target_state(self, name: str, state: str) -> None:
        """Say what is wanted of a unit."""
        self._run(self._registry.set_target_state(name, parse_state(state)))

    def destroy(self, name: str) -> None:
        """Remove a unit."""
        if not self._run(self._registry.destroy_unit(name)):
            raise APIError("job does not exist", status=404)

    def journal(self, name: str, *, machine_id: str, lines: int, follow: bool) -> Journal | None:
        """Journals are not in etcd, but the address of the fleetd that has them is."""
        from coreos_py.http.client import HTTPClient
        from coreos_py.http.url import parse_endpoint

        url = self._run(self._registry.api_of(machine_id))
        if not url:
            return None
        endpoint = parse_endpoint(url)
        client = Client(endpoint, http=HTTPClient(), shown_host=endpoint.authority)
        return client.journal(name, machine_id=machine_id, lines=lines, follow=follow)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self._runner.run(work)
        except ClusterUnavailable as err:
            raise APIError(err.summary()) from None
        except (CoreosError, json.JSONDecodeError) as err:
            raise APIError(str(err)) from None


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
