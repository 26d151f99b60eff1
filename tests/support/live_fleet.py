"""A fleet in a background thread: real API, engine and agents over memory, for blocking clients."""

from __future__ import annotations

import asyncio
import threading
import time

from coreos_py.fleet.agent import Agent
from coreos_py.fleet.api import API, oversize
from coreos_py.fleet.api_journal import JournalResource
from coreos_py.fleet.cmd_fleetd import BODY_MAX
from coreos_py.fleet.engine import Engine
from coreos_py.fleet.heartbeat import Contact, Timings
from coreos_py.fleet.metrics import Metrics
from coreos_py.fleet.model import MachineObject
from coreos_py.fleet.publisher import Publisher
from coreos_py.fleet.recorder import Recorder
from coreos_py.fleet.registry import Registry
from coreos_py.fleet.wakeup import Wakeup, watch_jobs, watch_machines
from coreos_py.http.aclient import AsyncHTTPClient
from coreos_py.http.listen import bind_tcp, listen
from coreos_py.http.server import HTTPServer, Limits
from tests.support.memory_etcd import MemoryEtcd
from tests.support.memory_manager import MemoryManager

TIMINGS = Timings(30.0, 2.0)


class LiveFleet:
    """Machines by ID and address; `url` is the API of the first one."""

    def __init__(self, machines, *, token_limit=100):
        self.etcd = MemoryEtcd()
        self.managers = {machine_id: MemoryManager() for machine_id, _ in machines}
        self._machines = machines
        self._token_limit = token_limit
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._loop = None
        self._stop = None
        self.apis = []
        self.url = ""

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_exc):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    def do(self, coroutine):
        """Run something inside the fleet's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def _run(self):
        asyncio.run(self._main())

    async def _main(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        tasks, closers = [], []
        for machine_id, address in self._machines:
            parts, close = await self._machine(machine_id, address)
            tasks += [asyncio.ensure_future(part) for part in parts]
            closers.append(close)
        self._ready.set()
        await self._stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for close in closers:
            await close()

    async def _machine(self, machine_id, address):
        registry = Registry(self.etcd)
        manager = self.managers[machine_id]
        agent_wakeup, engine_wakeup = Wakeup(), Wakeup()
        recorder = Recorder(registry, machine_id)
        note = recorder.note
        publisher = Publisher(registry, manager, machine_id, timings=TIMINGS, note=note)
        manager.on_change(publisher.hint)
        agent = Agent(
            registry,
            manager,
            machine_id,
            timings=TIMINGS,
            publisher=publisher,
            wakeup=agent_wakeup,
            note=note,
        )
        engine = Engine(
            registry,
            machine_id,
            timings=TIMINGS,
            contact=Contact(TIMINGS, time.monotonic() - 60),
            metrics=Metrics(),
            wakeup=engine_wakeup,
            note=note,
        )
        http = AsyncHTTPClient()
        journal = JournalResource(registry, manager, machine_id, http=http)
        api = API(
            registry,
            token_limit=self._token_limit,
            metrics=Metrics(),
            recorder=recorder,
            journal=journal,
        )
        api.available = True
        self.apis.append(api)
        server = HTTPServer(api.handle, limits=Limits(body_max=BODY_MAX), oversize=oversize)
        (listener,) = listen(server, [bind_tcp("127.0.0.1", 0)])
        url = f"http://127.0.0.1:{listener.port}"
        self.url = self.url or url
        machine = MachineObject(machine_id, address, memory=4 << 30, cpu=2000)
        await registry.set_machine(machine, ttl_s=600)
        await registry.announce_api(machine_id, url, ttl_s=600)

        async def close():
            http.close()
            listener.close()
            await server.drain(0.1)

        wakeups = [agent_wakeup, engine_wakeup]
        parts = [
            engine.run(),
            agent.run(),
            publisher.run(),
            recorder.run(),
            watch_jobs(registry, wakeups),
            watch_machines(registry, wakeups),
        ]
        return parts, close
