"""fleetd's life: open the unit manager, serve 503, register, run the components, stop or reload.

One `Server` is one configuration; a reload ends it without touching units or listeners and starts
another. A component that dies of a bug ends the process. Mirrors server/server.go of fleet 1.0.0.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from typing import TYPE_CHECKING

from coreos_py.base import tls
from coreos_py.base.errors import ConfigError, CoreosError
from coreos_py.base.sdnotify import status
from coreos_py.etcdclient.keys import open_keys
from coreos_py.fleet import netinfo
from coreos_py.fleet.agent import Agent
from coreos_py.fleet.api import API
from coreos_py.fleet.api_journal import JournalResource
from coreos_py.fleet.api_reply import VERSION
from coreos_py.fleet.engine import Engine
from coreos_py.fleet.garbage import collect_for_ever
from coreos_py.fleet.heart import RECORD_NAME, Heart
from coreos_py.fleet.heartbeat import MACHINE_REFRESH_S, Contact, Timings
from coreos_py.fleet.job import LAUNCHED, LOADED
from coreos_py.fleet.metrics import Metrics
from coreos_py.fleet.model import MachineObject
from coreos_py.fleet.publisher import Publisher
from coreos_py.fleet.recorder import Recorder
from coreos_py.fleet.registry import Registry
from coreos_py.fleet.wakeup import Wakeup, watch_jobs, watch_lease, watch_machines
from coreos_py.http.aclient import AsyncHTTPClient

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine
    from typing import Any

    from coreos_py.etcdclient.keys import AsyncKeys
    from coreos_py.fleet.config import Config
    from coreos_py.systemd.manager import UnitManager

log = logging.getLogger(__name__)

# A stop takes less than five seconds in all.
_UNLOAD_S = 2.5
_LEAVE_S = 1.2


class Server:
    """The components of one fleetd under one configuration."""

    def __init__(self, config: Config, manager: UnitManager, *, api_url: str) -> None:
        self.config = config
        self._manager = manager
        self._metrics = Metrics()
        self._address = config.public_ip or netinfo.default_address()
        timings = Timings(config.agent_ttl_s, config.engine_interval_s)
        self._contact = Contact(timings, time.monotonic())
        self._etcd = _etcd_client(config)
        self._http = AsyncHTTPClient(tls=_api_client_context(config), connect_timeout_s=5.0)
        self._registry = registry = Registry(
            self._etcd, config.etcd_key_prefix, on_contact=self._note_contact
        )
        machine_id = config.machine_id
        self._agent_wakeup, self._engine_wakeup, self._vacancy = Wakeup(), Wakeup(), Wakeup()
        self._recorder = Recorder(registry, machine_id, is_on=config.event_history)
        note = self._recorder.note
        self._publisher = Publisher(registry, manager, machine_id, timings=timings, note=note)
        self._agent = Agent(
            registry,
            manager,
            machine_id,
            timings=timings,
            publisher=self._publisher,
            wakeup=self._agent_wakeup,
            note=note,
        )
        self._engine = Engine(
            registry,
            machine_id,
            timings=timings,
            contact=self._contact,
            metrics=self._metrics,
            wakeup=self._engine_wakeup,
            vacancy=self._vacancy,
            note=note,
        )
        self._heart = Heart(
            registry,
            self._machine,
            timings=timings,
            record_path=os.path.join(config.units_directory, RECORD_NAME),
            disable_engine=config.disable_engine,
            api_url=api_url,
        )
        journal = JournalResource(registry, manager, machine_id, http=self._http)
        self.api = API(
            registry,
            token_limit=config.token_limit,
            metrics=self._metrics,
            recorder=self._recorder,
            journal=journal,
        )

    async def run(self) -> None:
        """Register and run until cancelled; units are left as they are."""
        log.info("Establishing etcd connectivity")
        status("waiting for etcd")
        await self._heart.register()
        log.info("Starting server components")
        self._available()
        self._manager.on_change(self._publisher.hint)
        try:
            async with asyncio.TaskGroup() as group:
                for component in self._components():
                    group.create_task(component)
        finally:
            self.api.available = False

    async def purge(self) -> None:
        """Leave the cluster: unload every unit, withdraw states, lease and machine.

        fleet 1.0.0 takes as long as that takes; here neither a slow unit nor etcd holds it up.
        """
        await _tolerate("unload units", self._unload())
        await _in_time(self._leave())

    async def suspend(self) -> None:
        """Stop with everything left running: only let another engine lead."""
        await _in_time(self._release())

    async def _unload(self) -> None:
        late = await self._agent.purge(within_s=_UNLOAD_S)
        if late:
            log.warning("Not waiting for units that are still stopping: %s", " ".join(late))
            await self._manager.abandon()

    async def _leave(self) -> None:
        await _tolerate("withdraw states", self._publisher.purge())
        self._recorder.note("left", machine=self.config.machine_id)
        await self._release()
        await self._heart.clear()
        await _tolerate("give up placements", self._agent.hand_back())

    async def _release(self) -> None:
        await self._engine.release()
        await self._recorder.flush()

    def close(self) -> None:
        """Close idle connections."""
        self._etcd.close()
        self._http.close()

    def dump(self) -> str:
        """Return the state that SIGUSR1 asks for, as one line of JSON."""
        table = dict(sorted(self._agent.table.items()))
        published = {
            name: {
                "LoadState": state.load,
                "ActiveState": state.active,
                "SubState": state.sub,
                "MachineID": state.machine_id,
                "UnitHash": state.hash,
                "UnitName": "",
            }
            for name, state in self._publisher.published.items()
        }
        return json.dumps(
            {
                "Agent": {"Cache": {"TargetStates": table}},
                "UnitStatePublisher": {"Cache": published, "ToPublish": {}},
                "UnitStateGenerator": {"Subscribed": self._publisher.subscribed},
            },
            separators=(",", ":"),
        )

    def _components(self) -> list[Coroutine[Any, Any, None]]:
        components = [
            self._heart.keep_beating(on_lost=self._unavailable, on_regained=self._available),
            self._refresh_address(),
            self._agent.run(),
            self._agent.beat(),
            self._publisher.run(),
            self._recorder.run(),
        ]
        wakeups = [self._agent_wakeup]
        if self.config.disable_engine:
            log.info("Not starting engine; disable-engine is set")
        else:
            components.append(self._engine.run())
            wakeups.append(self._engine_wakeup)
            components += self._collectors()
        if not self.config.disable_watches:
            components.append(watch_jobs(self._registry, wakeups))
            components.append(watch_machines(self._registry, wakeups))
            components.append(watch_lease(self._registry, [self._vacancy]))
        return components

    def _collectors(self) -> list[Coroutine[Any, Any, None]]:
        after_s = self.config.collect_units_after_s
        if not after_s:
            return []
        engine = self._engine
        return [collect_for_ever(self._registry, lambda: engine.is_leader, after_s=after_s)]

    def _machine(self) -> MachineObject:
        config = self.config
        return MachineObject(
            config.machine_id, self._address, config.metadata, VERSION, config.memory, config.cpu
        )

    async def _refresh_address(self) -> None:
        while not self.config.public_ip:
            await asyncio.sleep(MACHINE_REFRESH_S)
            self._address = netinfo.default_address() or self._address
        await asyncio.Event().wait()

    def _available(self) -> None:
        self.api.available = True
        launched = sum(state in (LOADED, LAUNCHED) for state in self._agent.table.values())
        status(f"in the cluster, {launched} units here")
        self._agent_wakeup.set()
        self._engine_wakeup.set()
        self._vacancy.set()

    def _unavailable(self) -> None:
        self.api.available = False
        status("etcd is out of reach; units keep running")

    def _note_contact(self, reached: bool) -> None:
        now = time.monotonic()
        if reached:
            self._contact.succeeded(now)
        else:
            self._contact.failed(now)


def _etcd_client(config: Config) -> AsyncKeys:
    context: ssl.SSLContext | None = None
    if any(url.startswith("https:") for url in config.etcd_servers) or config.etcd_certfile:
        context = tls.client_context(
            ca_file=config.etcd_cafile,
            cert_file=config.etcd_certfile,
            key_file=config.etcd_keyfile,
        )
    try:
        return open_keys(
            config.etcd_api,
            config.etcd_servers,
            timeout_s=config.etcd_request_timeout_s,
            username=config.etcd_username,
            password=config.etcd_password,
            tls=context,
        )
    except ValueError as err:
        raise ConfigError(f"etcd_servers: {err}") from None


def _api_client_context(config: Config) -> ssl.SSLContext | None:
    """Return how this machine asks others' APIs: with the certificate of its own."""
    if not config.api_certfile:
        return None
    return tls.client_context(
        ca_file=config.api_cafile, cert_file=config.api_certfile, key_file=config.api_keyfile
    )


async def _in_time(steps: Coroutine[Any, Any, None]) -> None:
    try:
        async with asyncio.timeout(_LEAVE_S):
            await steps
    except TimeoutError:
        log.error("etcd does not answer: what this machine wrote there stays until it expires")


async def _tolerate(what: str, step: Coroutine[Any, Any, None]) -> None:
    try:
        await step
    except CoreosError as err:
        log.error("Failed to %s: %s", what, err)


def print_dump(server: Server) -> None:
    """Write the dump to stdout."""
    log.info("Dumping server state")
    sys.stdout.write(server.dump() + "\n")
    sys.stdout.flush()
