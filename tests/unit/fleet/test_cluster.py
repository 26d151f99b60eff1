"""Engine, agent, publisher and heart together; registry and units are in memory."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from coreos_py.base.errors import NODE_EXIST, StoreError
from coreos_py.base.unitfile import parse
from coreos_py.etcdclient.errors import DeadlineExceeded
from coreos_py.fleet.agent import Agent
from coreos_py.fleet.engine import Engine
from coreos_py.fleet.heart import Heart
from coreos_py.fleet.heartbeat import Contact, Timings
from coreos_py.fleet.job import INACTIVE, LAUNCHED, LOADED
from coreos_py.fleet.metrics import Metrics
from coreos_py.fleet.model import Lease, MachineObject
from coreos_py.fleet.publisher import Publisher
from coreos_py.fleet.registry import Registry
from coreos_py.fleet.wakeup import Wakeup, watch_jobs, watch_machines
from tests.support.embedded import eventually_true
from tests.support.memory_etcd import MemoryEtcd
from tests.support.memory_manager import MemoryManager

TIMINGS = Timings(30.0, 2.0)


class Machine:
    """The parts of one fleetd, driven by hand."""

    def __init__(self, etcd, machine_id, *, manager=None, contact=None, record="/dev/null/none"):
        self.id = machine_id
        self.registry = Registry(etcd)
        self.manager = manager or MemoryManager()
        self.wakeup = Wakeup()
        self.publisher = Publisher(self.registry, self.manager, machine_id, timings=TIMINGS)
        self.agent = Agent(
            self.registry,
            self.manager,
            machine_id,
            timings=TIMINGS,
            publisher=self.publisher,
            wakeup=self.wakeup,
        )
        self.contact = contact or Contact(TIMINGS, time.monotonic() - 60)
        self.engine = Engine(
            self.registry,
            machine_id,
            timings=TIMINGS,
            contact=self.contact,
            metrics=Metrics(),
            wakeup=Wakeup(),
        )
        self.heart = Heart(
            self.registry,
            lambda: MachineObject(machine_id),
            timings=TIMINGS,
            record_path=record,
            disable_engine=False,
            api_url="",
        )

    async def join(self):
        await self.registry.set_machine(MachineObject(self.id), ttl_s=30)

    async def turn(self):
        """One pass of everything."""
        await self.engine.reconcile()
        await self.agent.reconcile()
        await self.publisher.round()


async def create(registry, name, text="", *, state=LAUNCHED):
    file = parse(f"[Service]\nExecStart=/bin/sleep 100\n{text}")
    await registry.create_unit(name, file, target_state=state)


async def placements(registry):
    return {unit.name: unit.machine_id for unit in await registry.units()}


def run(scenario):
    return asyncio.run(scenario(MemoryEtcd()))


def test_a_unit_is_placed_started_published_and_taken_down():
    async def scenario(etcd):
        one = Machine(etcd, "m1")
        await one.join()
        await create(one.registry, "a.service")
        await one.turn()
        assert one.manager.log == ["load a.service", "reload", "start a.service"]
        (unit,) = await one.registry.units()
        assert (unit.machine_id, unit.heartbeat) == ("m1", "m1")
        assert (await one.registry.states_of("a.service"))["m1"].active == "active"
        one.manager.log.clear()
        await one.turn()
        assert one.manager.log == []
        await one.registry.set_target_state("a.service", LOADED)
        await one.turn()
        assert one.manager.log == ["stop a.service"]
        assert (await one.registry.units())[0].heartbeat == ""
        await one.registry.set_target_state("a.service", INACTIVE)
        await one.turn()
        assert one.manager.log == ["stop a.service", "unload a.service", "reload"]
        assert await one.registry.states() == {}
        await one.registry.destroy_unit("a.service")
        await one.turn()
        assert not any("job" in key or "state" in key for key in etcd.dump())

    run(scenario)


def test_one_leads_and_the_next_takes_over():
    async def scenario(etcd):
        one, two = Machine(etcd, "m1"), Machine(etcd, "m2")
        for machine in (one, two):
            await machine.join()
            await machine.engine.reconcile()
        assert (one.engine.is_leader, two.engine.is_leader) == (True, False)
        etcd.expire(after_s=11)
        await two.engine.reconcile()
        assert two.engine.is_leader
        one.engine._renewed_s = 0.0
        await one.engine.reconcile()
        assert not one.engine.is_leader
        await two.engine.release()
        await one.engine.reconcile()
        assert one.engine.is_leader

    run(scenario)


def test_a_newer_engine_version_keeps_this_one_passive():
    async def scenario(etcd):
        one = Machine(etcd, "m1")
        await one.registry.raise_engine_version(0, 2)
        await one.engine.reconcile()
        assert await one.registry.lease() is None

    run(scenario)


def test_an_older_lease_is_stolen_and_waited_out():
    async def scenario(etcd):
        one = Machine(etcd, "m1")
        await one.registry.acquire_lease(Lease("m0", 0), ttl_s=1)
        started = time.monotonic()
        await one.engine._lead_or_follow()
        assert time.monotonic() - started > 0.5
        assert one.engine.is_leader
        found = await one.registry.lease()
        assert found.lease == Lease("m1", 1)
        assert found.ttl_s == pytest.approx(10, abs=5)

    run(scenario)


def test_units_of_a_lost_machine_run_elsewhere():
    async def scenario(etcd):
        machines = [Machine(etcd, f"m{n}") for n in (1, 2, 3)]
        for machine in machines:
            await machine.join()
        for number in (1, 2, 3):
            text = "[X-Fleet]\nConflicts=web@*.service\n"
            await create(machines[0].registry, f"web@{number}.service", text)
        await create(machines[0].registry, "side.service", "[X-Fleet]\nMachineOf=web@2.service\n")
        for machine in machines:
            await machine.turn()
        before = await placements(machines[0].registry)
        assert sorted(before[f"web@{n}.service"] for n in (1, 2, 3)) == ["m1", "m2", "m3"]
        assert before["side.service"] == before["web@2.service"]
        # m2 falls silent; m4 is there to take over.
        fourth = Machine(etcd, "m4")
        etcd.expire(after_s=31)
        for machine in (machines[0], machines[2], fourth):
            await machine.join()
        for machine in (machines[0], machines[2], fourth):
            await machine.turn()
        after = await placements(machines[0].registry)
        assert {name: before[name] for name in after if before[name] != "m2"} == {
            name: after[name] for name in after if before[name] != "m2"
        }
        assert after["web@2.service"] == after["side.service"] == "m4"
        assert sorted(fourth.manager.running) == ["side.service", "web@2.service"]

    run(scenario)


def test_what_a_race_with_destroy_left_is_removed():
    async def scenario(etcd):
        one = Machine(etcd, "m1")
        await one.join()
        await one.registry.schedule("a.service", "m9")
        await one.turn()
        assert not any("/job/" in key for key in etcd.dump())
        await create(one.registry, "a.service")
        await one.turn()
        assert await placements(one.registry) == {"a.service": "m1"}

    run(scenario)


def test_nobody_is_declared_lost_right_after_an_outage():
    async def scenario(etcd):
        contact = Contact(TIMINGS, time.monotonic() - 100)
        one = Machine(etcd, "m1", contact=contact)
        await one.join()
        await one.registry.set_machine(MachineObject("m2"), ttl_s=30)
        await create(one.registry, "a.service", "[X-Fleet]\nMachineID=m2\n")
        await create(one.registry, "b.service", "[X-Fleet]\nConflicts=a*\n")
        await one.engine.reconcile()
        before = await placements(one.registry)
        etcd.expire(after_s=31)
        await one.join()
        now = time.monotonic()
        contact.failed(now - 60)
        contact.succeeded(now)
        one.engine._renewed_s = 0.0
        await one.engine.reconcile()
        await one.engine.reconcile()
        assert one.engine.is_leader
        assert await placements(one.registry) == before
        one.engine._contact = Contact(TIMINGS, now - 100)
        await one.engine.reconcile()
        assert (await placements(one.registry))["a.service"] == ""

    run(scenario)


def test_a_broken_unit_does_not_hold_up_the_others():
    async def scenario(etcd):
        one = Machine(etcd, "m1")
        await one.join()
        one.manager.broken = {"b.service"}
        for name in ("a.service", "b.service", "c.service"):
            await create(one.registry, name)
        await one.turn()
        assert sorted(one.manager.running) == ["a.service", "c.service"]
        assert one.manager.log.count("load b.service") == 1
        await one.turn()  # not again at once
        assert one.manager.log.count("load b.service") == 1
        # Something else is wanted of it: that is tried at once.
        one.manager.broken = set()
        await create(one.registry, "b.service", "[X-Fleet]\nConflicts=z*\n")
        await one.turn()
        assert sorted(one.manager.running) == ["a.service", "b.service", "c.service"]

    run(scenario)


def test_a_failed_reload_is_made_up_for():
    async def scenario(etcd):
        one = Machine(etcd, "m1")
        await one.join()
        one.manager.reloads_fail = 1
        await create(one.registry, "a.service")
        await one.turn()
        assert one.manager.running == {}
        one.agent._faults.clear()
        await one.turn()
        assert one.manager.log == [
            "load a.service",
            "reload",
            "load a.service",
            "reload",
            "start a.service",
        ]

    run(scenario)


def test_a_unit_that_stops_slowly_does_not_hold_up_the_others(monkeypatch):
    monkeypatch.setattr("coreos_py.fleet.agent._UNLOAD_PATIENCE_S", 0.01)

    async def scenario(etcd):
        one = Machine(etcd, "m1")
        await one.join()
        await create(one.registry, "slow.service")
        await one.turn()
        one.manager.may_unload.clear()
        await one.registry.destroy_unit("slow.service")
        await create(one.registry, "fast.service")
        await one.turn()
        assert "fast.service" in one.manager.running
        assert "slow.service" in one.manager.running
        await one.turn()  # still on its way: not unloaded a second time
        assert one.manager.log.count("unload slow.service") == 1
        one.manager.may_unload.set()
        await one.agent.purge()
        assert one.manager.running == {}

    run(scenario)


def test_a_new_agent_takes_over_what_runs():
    async def scenario(etcd):
        one = Machine(etcd, "m1")
        await one.join()
        for name in ("runs.service", "failed.service", "ended.service", "stopped.service"):
            await create(one.registry, name)
        await one.turn()
        await one.registry.set_target_state("stopped.service", LOADED)
        await one.turn()
        manager = one.manager
        manager.running["failed.service"] = "failed"
        del manager.running["ended.service"]
        states = manager.states

        async def with_failed(names):
            found = await states(names)
            if "failed.service" in found:
                failed = found["failed.service"]._replace(active="failed", sub="failed")
                found["failed.service"] = failed
            return found

        manager.states = with_failed
        manager.log.clear()
        again = Machine(etcd, "m1", manager=manager)
        await again.turn()
        # What had ended is started again, as fleet 1.0.0 does; what failed or runs is left alone.
        assert manager.log == [
            "load ended.service",
            "load stopped.service",
            "reload",
            "start ended.service",
        ]
        manager.log.clear()
        await again.turn()
        assert manager.log == []

    run(scenario)


def test_a_purge_leaves_nothing_behind():
    async def scenario(etcd):
        one = Machine(etcd, "m1")
        await one.join()
        for number in range(5):
            await create(one.registry, f"u{number}.service")
        await one.turn()
        await one.agent.purge()
        await one.publisher.purge()
        await one.engine.release()
        await one.heart.clear()
        await one.agent.hand_back()
        assert one.manager.files == {}
        assert set((await placements(one.registry)).values()) == {""}
        left = [key for key in etcd.dump() if "/unit/" not in key and "/job/" not in key]
        assert left == ["/_coreos.com/fleet/engine/version"]

    run(scenario)


def test_registration_survives_a_crash_and_respects_a_twin(tmp_path, monkeypatch):
    monkeypatch.setattr("coreos_py.fleet.heart._OCCUPIED_RETRY_S", 0.01)

    async def scenario(etcd):
        record = str(tmp_path / "units" / ".registration")
        await Machine(etcd, "m1", record=record).heart.register()
        # The same machine again: its key is its own.
        await asyncio.wait_for(Machine(etcd, "m1", record=record).heart.register(), 60)
        # A twin without the record has to wait until the key expires.
        twin = asyncio.ensure_future(Machine(etcd, "m1").heart.register())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(twin), 0.1)
        assert not twin.done()
        etcd.expire(after_s=31)
        await asyncio.wait_for(twin, 60)
        # Now the record is out of date.
        late = asyncio.ensure_future(Machine(etcd, "m1", record=record).heart.register())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(late), 0.1)
        assert not late.done()
        late.cancel()

    run(scenario)


def test_a_registration_that_came_true_after_its_answer_was_due_is_taken_over(etcd_delay):
    unanswered, own = etcd_delay

    async def scenario(etcd):
        machine = Machine(etcd, "m1")
        create = etcd.create

        async def late(path, value="", **options):
            etcd.create = create
            await create(path, value if own else value.replace("m1", "M1"), **options)
            if unanswered:
                raise DeadlineExceeded
            raise StoreError(NODE_EXIST, path, 1)

        etcd.create = late
        task = asyncio.ensure_future(machine.heart.register())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(task), 60 if unanswered and own else 0.5)
        assert task.done() is (unanswered and own)
        task.cancel()

    run(scenario)


@pytest.fixture(params=[(True, True), (True, False), (False, True)])
def etcd_delay(request, monkeypatch):
    monkeypatch.setattr("coreos_py.fleet.heart._RETRY_MAX_S", 0.01)
    monkeypatch.setattr("coreos_py.fleet.heart._OCCUPIED_RETRY_S", 0.01)
    return request.param


@pytest.mark.parametrize("watch", [watch_jobs, watch_machines])
def test_watches_wake_for_what_matters(watch):
    async def scenario(etcd):
        one = Machine(etcd, "m1")
        wakeup = Wakeup()
        task = asyncio.ensure_future(watch(one.registry, [wakeup]))
        await asyncio.sleep(0)

        async def woken(change, *, expected):
            await asyncio.sleep(0.01)
            await change
            return await wakeup.wait(30 if expected else 0.2)

        job = watch is watch_jobs
        registry = one.registry
        changes = [
            (create(registry, "a.service"), job),
            (registry.set_target_state("a.service", LOADED), job),
            (registry.schedule("a.service", "m1"), job),
            (registry.heartbeat("a.service", "m1", ttl_s=30), False),
            (registry.clear_heartbeat("a.service", "m1"), False),
            (registry.unschedule("a.service", "m1"), job),
            (registry.destroy_unit("a.service"), job),
            (one.join(), not job),
            (one.join(), False),
            (registry.set_metadata("m1", "a", "b"), not job),
            (registry.remove_machine("m1"), not job),
        ]
        seen = [(await woken(change, expected=expected), expected) for change, expected in changes]
        assert [found for found, _ in seen] == [expected for _, expected in seen]
        task.cancel()

    run(scenario)


def test_what_vanished_from_etcd_is_written_again():
    async def scenario(etcd):
        one = Machine(etcd, "m1")
        await one.join()
        await create(one.registry, "a.service")
        await create(one.registry, "b.service", state=LOADED)
        await one.turn()
        before = etcd.dump()
        # The clock of etcd's leader jumps: everything with a TTL goes at once.
        etcd.expire(after_s=3600)
        await one.join()
        assert not any("/states/" in key or "job-state" in key for key in etcd.dump())
        await one.publisher.check()
        await one.turn()
        missing = {key for key, value in before.items() if etcd.dump().get(key) != value}
        assert missing == {"/_coreos.com/fleet/lease/engine-leader"}  # fresh, as it believes

    run(scenario)


def test_an_engine_without_a_machine_key_declares_nobody_lost():
    async def scenario(etcd):
        one = Machine(etcd, "m1")
        await one.join()
        await one.registry.set_machine(MachineObject("m2"), ttl_s=30)
        await create(one.registry, "a.service", "[X-Fleet]\nMachineID=m2\n")
        await one.engine.reconcile()
        etcd.expire(after_s=3600)
        for _ in range(2):
            await one.engine.reconcile()
            assert await placements(one.registry) == {"a.service": "m2"}
            await one.join()  # whoever is back first
        one.contact._trusted_from_s = 0.0
        await one.engine.reconcile()
        assert await placements(one.registry) == {"a.service": ""}

    run(scenario)


def test_the_engine_sweeps_up_after_machines_that_are_gone():
    async def scenario(etcd):
        one, two = Machine(etcd, "m1"), Machine(etcd, "m2")
        for machine in (one, two):
            await machine.join()
        await create(one.registry, "everywhere.service", "[X-Fleet]\nGlobal=true\n")
        for machine in (one, two):
            await machine.turn()
        assert sorted(await one.registry.states()) == [
            ("everywhere.service", "m1"),
            ("everywhere.service", "m2"),
        ]
        await one.registry.remove_machine("m2")
        await one.engine.reconcile()
        assert list(await one.registry.states()) == [("everywhere.service", "m1")]

    run(scenario)


def test_a_stream_that_went_silent_is_opened_again(monkeypatch):
    monkeypatch.setattr("coreos_py.fleet.mirror._LATE_S", 0.05)
    monkeypatch.setattr("coreos_py.fleet.wakeup._LISTEN_S", 0.02)

    async def scenario(etcd):
        one = Machine(etcd, "m1")
        streams = []
        stream = etcd.stream

        async def recorded(path, **options):
            streams.append(await stream(path, **options))
            return streams[-1]

        etcd.stream = recorded
        task = asyncio.ensure_future(watch_jobs(one.registry, [Wakeup()]))

        async def is_followed():
            return len(streams) == wanted and one.registry.jobs.is_live

        wanted = 1
        await eventually_true(is_followed, "the first stream is there")
        streams[0].close()  # as etcd 2.3 does to one that is too slow
        await create(one.registry, "a.service")
        found = await one.registry.units(from_events=True)
        assert [unit.name for unit in found] == ["a.service"]
        wanted = 2
        await eventually_true(is_followed, "the second stream is there")
        assert "a.service" in one.registry.jobs.jobs
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario)
