"""What a fleetd keeps in order beside scheduling: unused texts, twins, refusals, its own end."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from coreos_py.base.errors import ConfigError, CoreosError
from coreos_py.base.unitfile import parse
from coreos_py.fleet import config, reconcile, requirements
from coreos_py.fleet.agent import Agent
from coreos_py.fleet.engine import Engine
from coreos_py.fleet.garbage import KEPT_S, Collector, collect
from coreos_py.fleet.heart import Heart
from coreos_py.fleet.heartbeat import Contact, Timings
from coreos_py.fleet.hostinfo import memory, processors, total_memory
from coreos_py.fleet.job import INACTIVE, LAUNCHED, Machine, Unit
from coreos_py.fleet.metrics import Metrics
from coreos_py.fleet.model import MachineObject, decode_machine, encode_machine
from coreos_py.fleet.publisher import Publisher
from coreos_py.fleet.registry import Registry
from coreos_py.fleet.wakeup import Wakeup
from tests.support.memory_etcd import MemoryEtcd
from tests.support.memory_manager import MemoryManager

GIB = 1 << 30
TIMINGS = Timings(30.0, 2.0)
ONE, TWO = (parse(f"[Service]\nExecStart=/bin/{name}\n") for name in ("one", "two"))


def texts(etcd):
    return {key.rpartition("/")[2] for key in etcd.dump() if "/unit/" in key}


def run(scenario):
    asyncio.run(scenario(MemoryEtcd()))


# -- texts of destroyed units


def test_a_collector_waits_until_a_text_was_unused_for_long():
    collector = Collector(100.0)
    assert collector.due({"a", "b"}, {"a"}, 0.0) == []
    assert collector.due({"a", "b"}, {"a"}, 99.0) == []
    assert collector.due({"a", "b"}, {"a", "b"}, 99.5) == []  # in use again: from the beginning
    assert collector.due({"a", "b"}, {"a"}, 100.0) == []
    assert collector.due({"a", "b"}, {"a"}, 200.0) == ["b"]


def test_what_is_in_use_after_all_is_put_back_for_a_while():
    collector = Collector(100.0)
    collector.removed("a", "text", 0.0)
    assert collector.missed({"b"}, 1.0) == {}
    assert collector.missed({"a"}, 2.0) == {"a": "text"}
    assert collector.missed({"a"}, 3.0) == {}
    collector.removed("c", "text", 10.0)
    assert collector.missed(set(), 10.0 + KEPT_S) == {}
    assert collector.missed({"c"}, 11.0 + KEPT_S) == {}


def test_texts_of_destroyed_units_go_and_others_stay():
    async def scenario(etcd):
        registry, collector = Registry(etcd), Collector(60.0)
        await registry.create_unit("a.service", ONE, target_state=INACTIVE)
        await registry.create_unit("b.service", TWO, target_state=INACTIVE)
        await registry.destroy_unit("a.service")
        await collect(registry, collector, 0.0)
        assert texts(etcd) == {ONE.hash, TWO.hash}
        await collect(registry, collector, 61.0)
        assert texts(etcd) == {TWO.hash}

    run(scenario)


def test_a_unit_created_in_that_very_moment_gets_its_text_back():
    async def scenario(etcd):
        registry, collector = Registry(etcd), Collector(60.0)
        await registry.create_unit("a.service", ONE, target_state=INACTIVE)
        job = etcd.dump()["/_coreos.com/fleet/job/a.service/object"]
        await registry.destroy_unit("a.service")
        await collect(registry, collector, 0.0)
        await collect(registry, collector, 61.0)
        assert texts(etcd) == set()
        # Its creator had seen the text before it went, and writes the job only now.
        await etcd.set("/_coreos.com/fleet/job/a.service/object", job)
        await collect(registry, collector, 62.0)
        assert texts(etcd) == {ONE.hash}
        assert [unit.name for unit in await registry.units()] == ["a.service"]

    run(scenario)


def test_nothing_is_collected_while_a_job_cannot_be_read():
    async def scenario(etcd):
        registry, collector = Registry(etcd), Collector(0.0)
        await registry.create_unit("a.service", ONE, target_state=INACTIVE)
        await registry.destroy_unit("a.service")
        await etcd.set("/_coreos.com/fleet/job/bad.service/object", "nonsense")
        with pytest.raises(CoreosError, match=r"bad\.service"):
            await collect(registry, collector, 0.0)
        assert texts(etcd) == {ONE.hash}

    run(scenario)


# -- two machines with one identity


def heart(etcd, record, *, address="10.0.0.1", ttl_s=30.0):
    return Heart(
        Registry(etcd),
        lambda: MachineObject("m1", address),
        timings=Timings(ttl_s, 2.0),
        record_path=str(record),
        disable_engine=False,
        api_url="",
    )


def test_a_twin_that_waits_is_told_plainly(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("coreos_py.fleet.heart._OCCUPIED_RETRY_S", 0.01)

    async def scenario(etcd):
        await heart(etcd, tmp_path / "one").register()
        twin = asyncio.ensure_future(heart(etcd, tmp_path / "two", ttl_s=1.0).register())
        try:
            async with asyncio.timeout(60):
                while "two machines have the same machine ID" not in caplog.text:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            twin.cancel()
        assert "Machine(m1) at 10.0.0.1 is in the cluster already, retrying" in caplog.text

    with caplog.at_level(logging.WARNING):
        run(scenario)


def test_a_twin_that_beats_as_well_is_noticed_by_both(tmp_path, caplog):
    async def scenario(etcd):
        one, two = heart(etcd, tmp_path / "one"), heart(etcd, tmp_path / "two")
        await one.register()
        for _ in range(5):
            await one._beat()
        assert caplog.text == ""
        for _ in range(4):
            await two._beat()
            await one._beat()
        assert caplog.text.count("Another fleetd is Machine(m1) as well") == 2

    with caplog.at_level(logging.WARNING):
        run(scenario)


@pytest.mark.parametrize(
    ("other", "warns"), [("10.0.0.1", True), ("10.0.0.2", False), ("", False), ("127.0.0.1", False)]
)
def test_a_shared_address_is_warned_of(tmp_path, caplog, other, warns):
    async def scenario(etcd):
        await Registry(etcd).set_machine(MachineObject("m2", other), ttl_s=30)
        address = other if other.startswith("127.") else "10.0.0.1"
        await heart(etcd, tmp_path / "one", address=address).register()
        assert ("Machine(m2) publishes this machine's address" in caplog.text) is warns

    with caplog.at_level(logging.WARNING):
        run(scenario)


# -- capacity and refusals


def test_the_capacity_is_a_field_that_is_only_there_when_told():
    plain = encode_machine(MachineObject("m1"), disable_engine=False)
    assert "Capacity" not in plain
    assert decode_machine(plain) == MachineObject("m1")
    full = MachineObject("m1", "10.0.0.1", {"a": "b"}, "v1.0.0", 4 * GIB, 2000)
    assert decode_machine(encode_machine(full, disable_engine=False)) == full


def test_this_machine_has_something():
    assert memory() > 1 << 20
    assert processors() >= 1000
    assert total_memory("MemFree: 1 kB\nMemTotal:       2048 kB\n") == 2 << 20
    assert total_memory("nonsense") == 0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"MACHINE_MEMORY": "4G", "MACHINE_CPU": "2"}, (4 * GIB, 2000)),
        (
            {
                "MACHINE_MEMORY": "4G",
                "MACHINE_CPU": "2",
                "RESERVED_MEMORY": "1G",
                "RESERVED_CPU": "0.5",
            },
            (3 * GIB, 1500),
        ),
        ({"MACHINE_MEMORY": "1G", "RESERVED_MEMORY": "2G", "MACHINE_CPU": "1"}, (0, 1000)),
        ({"MACHINE_MEMORY": "plenty"}, 'machine_memory: "plenty" is not an amount of memory'),
        ({"RESERVED_CPU": "-1"}, 'reserved_cpu: "-1" is not a number of processors'),
        ({"COLLECT_UNITS_AFTER": "1s"}, "collect_units_after: 1s is neither 0 nor at least 60 s"),
        ({"COLLECT_UNITS_AFTER": "soon"}, "collect_units_after: "),
    ],
)
def test_settings(tmp_path, settings, expected):
    (tmp_path / "machine-id").write_text("abc\n")
    environ = {f"FLEET_{name}": value for name, value in settings.items()}
    environ["FLEET_MACHINE_ID_FILE"] = str(tmp_path / "machine-id")
    (tmp_path / "fleet.conf").write_text("")
    if isinstance(expected, str):
        with pytest.raises(ConfigError) as caught:
            config.load(str(tmp_path / "fleet.conf"), environ)
        assert str(caught.value).startswith(expected)
        return
    found = config.load(str(tmp_path / "fleet.conf"), environ)
    assert (found.memory, found.cpu) == expected
    assert (found.leave_on_stop, found.collect_units_after_s) == (True, 0.0)


def unit(name, text, *, at="m1", state=LAUNCHED):
    file = parse(f"[Service]\nExecStart=/bin/a\n[X-Fleet]\n{text}\n")
    return Unit(name, file, requirements.parse(name, file.options), state, at)


def test_what_is_here_keeps_its_part():
    machine = Machine("m1", memory=4 * GIB)
    wanted = {
        u.name: u
        for u in (
            unit("a.service", "MachineMemory=2G"),
            unit("b.service", "MachineMemory=3G"),
            unit("c.service", "MachineMemory=1G"),
            unit("i.service", "MachineMemory=9G", state=INACTIVE),
            unit("n.service", ""),
        )
    }
    shortage = "insufficient memory: 3G wanted, 2G free"
    assert reconcile.without_room(wanted, machine, ()) == {"b.service": shortage}
    shortage = "insufficient memory: 2G wanted, 1G free"
    assert reconcile.without_room(wanted, machine, {"b.service"}) == {"a.service": shortage}
    assert reconcile.without_room(wanted, machine, wanted) == {}


def test_an_agent_refuses_what_an_engine_of_fleet_1_gives_it_too_much():
    async def scenario(etcd):
        registry, manager, heard = Registry(etcd), MemoryManager(), []

        def note(kind, **words):
            heard.append((kind, words.get("unit"), words.get("text")))

        publisher = Publisher(registry, manager, "m1", timings=TIMINGS, note=note)
        agent = Agent(
            registry,
            manager,
            "m1",
            timings=TIMINGS,
            publisher=publisher,
            wakeup=Wakeup(),
            note=note,
        )
        await registry.set_machine(MachineObject("m1", memory=4 * GIB), ttl_s=30)
        for name in ("a.service", "b.service"):
            file = unit(name, "MachineMemory=3G").file
            await registry.create_unit(name, file, target_state=LAUNCHED)
            await registry.schedule(name, "m1")
        await agent.reconcile()
        await agent.reconcile()
        await publisher.round()
        assert sorted(manager.running) == ["a.service"]
        assert heard == [
            ("refused", "b.service", "insufficient memory: 3G wanted, 1G free"),
            ("state", "a.service", "active (running)"),
        ]
        await registry.destroy_unit("a.service")
        await agent.reconcile()
        await agent.reconcile()
        assert sorted(manager.running) == ["b.service"]

    run(scenario)


def test_a_purge_does_not_wait_for_slow_units():
    async def scenario(etcd):
        registry, manager = Registry(etcd), MemoryManager()
        publisher = Publisher(registry, manager, "m1", timings=TIMINGS)
        agent = Agent(
            registry, manager, "m1", timings=TIMINGS, publisher=publisher, wakeup=Wakeup()
        )
        await manager.load("a.service", ONE)
        manager.may_unload.clear()
        began_s = time.monotonic()
        assert await agent.purge(within_s=0.1) == ["a.service"]
        assert time.monotonic() - began_s < 600

    run(scenario)


def test_a_publisher_tells_what_units_come_to_and_nothing_twice():
    async def scenario(etcd):
        heard = []

        def note(kind, **words):
            heard.append(words["text"])

        manager = MemoryManager()
        publisher = Publisher(Registry(etcd), manager, "m1", timings=TIMINGS, note=note)
        await manager.load("a.service", ONE)
        publisher.subscribe("a.service")
        await publisher.round()
        for _ in range(2):
            await manager.start("a.service")
            await publisher.round()
        await manager.stop("a.service")
        await publisher.round()
        await manager.start("a.service")
        await publisher.round()
        publisher.unsubscribe("a.service")
        await publisher.round()
        publisher.subscribe("a.service", is_news=False)
        await publisher.round()
        publisher.unsubscribe("a.service")
        assert heard == [
            "active (running)",
            "inactive (dead)",
            "active (running)",
            "unloaded",
            "unloaded",
        ]

    run(scenario)


def test_the_leading_engine_tells_what_it_does_and_sees():
    async def scenario(etcd):
        heard = []

        def note(kind, *, unit="", machine="", text=""):
            heard.append((kind, unit or machine, text))

        registry = Registry(etcd)
        engine = Engine(
            registry,
            "m1",
            timings=TIMINGS,
            contact=Contact(TIMINGS, time.monotonic() - 60),
            metrics=Metrics(),
            wakeup=Wakeup(),
            note=note,
        )
        await registry.set_machine(MachineObject("m1"), ttl_s=300)
        await engine.reconcile()
        assert heard == [("leading", "m1", "")]
        heard.clear()
        await registry.set_machine(MachineObject("m2"), ttl_s=30)
        await registry.cordon("m1")
        await registry.create_unit("a.service", ONE, target_state=LAUNCHED)
        await engine.reconcile()
        launched = "target state launched and unit not scheduled"
        assert heard == [("joined", "m2", ""), ("scheduled", "a.service", launched)]
        heard.clear()
        await registry.remove_machine("m2")
        for _ in range(2):
            await engine.reconcile()
        assert heard == [
            ("lost", "m2", ""),
            ("waiting", "a.service", "no agents able to run job"),
            ("unscheduled", "a.service", "target Machine(m2) went away"),
        ]
        heard.clear()
        await registry.create_unit("b.service", ONE, target_state=LAUNCHED)
        await engine.reconcile()
        why = "no agents able to run job: local Machine is cordoned"
        assert heard == [("waiting", "b.service", why)]
        heard.clear()
        await registry.uncordon("m1")
        await engine.reconcile()
        assert sorted(heard) == [(("scheduled", f"{name}.service", launched)) for name in "ab"]

    run(scenario)
