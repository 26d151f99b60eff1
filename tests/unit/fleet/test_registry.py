"""The registry's keys and values, byte for byte, over the project's own store."""

from __future__ import annotations

import asyncio
import json

import pytest

from coreos_py.base.errors import StoreError
from coreos_py.base.unitfile import parse
from coreos_py.etcdclient.errors import ClusterUnavailable
from coreos_py.fleet import model
from coreos_py.fleet.job import LAUNCHED, UnitState
from coreos_py.fleet.keyspace import BadRecord
from coreos_py.fleet.model import Lease, MachineObject
from coreos_py.fleet.registry import Registry
from tests.support.memory_etcd import MemoryEtcd

PREFIX = "/_coreos.com/fleet"
TEXT = "[Service]\nExecStart=/bin/sleep 100\n"
HASH = "1c6fb6f3684bafb0c173d8b8b957ceff031180c1"
STATE = UnitState("foo.service", "loaded", "active", "running", "m1", HASH)
MACHINE = MachineObject("m1", "10.0.0.1", {"z": "1", "a": "<&>"}, "v1.0.0")


@pytest.fixture
def etcd():
    return MemoryEtcd()


@pytest.fixture
def registry(etcd):
    return Registry(etcd)


def run(coroutine):
    return asyncio.run(coroutine)


def test_every_key_and_value(etcd, registry):
    async def write():
        await registry.create_unit("foo.service", parse(TEXT), target_state=LAUNCHED)
        await registry.schedule("foo.service", "m1")
        await registry.heartbeat("foo.service", "m1", ttl_s=30.9)
        await registry.save_state(STATE, ttl_s=30)
        await registry.create_machine(MACHINE, ttl_s=30, disable_engine=True)
        await registry.set_metadata("m1", "z", "")
        await registry.raise_engine_version(0, 1)
        await registry.acquire_lease(Lease("m1", 1), ttl_s=10)

    run(write())
    state = (
        '{"loadState":"loaded","activeState":"active","subState":"running","machineState":'
        '{"ID":"m1","PublicIP":"","Metadata":null,"Capabilities":null,"Version":""},'
        f'"unitHash":"{HASH}"}}'
    )
    hash_bytes = ",".join(str(byte) for byte in bytes.fromhex(HASH))
    assert etcd.dump() == {
        f"{PREFIX}/engine/version": "1",
        f"{PREFIX}/job/foo.service/job-state": "m1",
        f"{PREFIX}/job/foo.service/object": (f'{{"Name":"foo.service","UnitHash":[{hash_bytes}]}}'),
        f"{PREFIX}/job/foo.service/target": "m1",
        f"{PREFIX}/job/foo.service/target-state": "launched",
        f"{PREFIX}/lease/engine-leader": '{"MachineID":"m1","Version":1}',
        f"{PREFIX}/machines/m1/metadata/z": "",
        f"{PREFIX}/machines/m1/object": (
            '{"ID":"m1","PublicIP":"10.0.0.1","Metadata":{"a":"\\u003c\\u0026\\u003e","z":"1"},'
            '"Capabilities":{"DISABLE_ENGINE":true,"GRPC":false},"Version":"v1.0.0"}'
        ),
        f"{PREFIX}/state/foo.service": state,
        f"{PREFIX}/states/foo.service/m1": state,
        f"{PREFIX}/unit/{HASH}": '{"Raw":"[Service]\\nExecStart=/bin/sleep 100\\n"}',
    }


def test_reads_back_what_it_wrote(registry):
    async def scenario():
        await registry.create_unit("foo.service", parse(TEXT), target_state=LAUNCHED)
        await registry.schedule("foo.service", "m1")
        await registry.heartbeat("foo.service", "m1", ttl_s=30)
        (unit,) = await registry.units()
        assert unit == await registry.unit("foo.service")
        assert (unit.target_state, unit.machine_id, unit.heartbeat) == (LAUNCHED, "m1", "m1")
        assert unit.file.serialise() == TEXT
        await registry.save_state(STATE, ttl_s=30)
        assert await registry.states() == {("foo.service", "m1"): STATE}
        assert await registry.states_of("foo.service") == {"m1": STATE}
        await registry.create_machine(MACHINE, ttl_s=30)
        await registry.set_metadata("m1", "z", "")
        await registry.set_metadata("m1", "b", "2")
        (machine,) = await registry.machines()
        assert machine == await registry.machine("m1")
        assert machine.metadata == {"a": "<&>", "b": "2"}
        assert await registry.unit("other.service") is None
        assert await registry.machine("m2") is None
        assert await registry.states_of("other.service") == {}

    run(scenario())


def test_an_empty_cluster_reads_as_nothing(registry):
    async def scenario():
        assert await registry.units() == []
        assert await registry.states() == {}
        assert await registry.machines() == []
        assert await registry.engine_version() == 0
        assert await registry.lease() is None
        assert not await registry.destroy_unit("foo.service")
        await registry.unschedule("foo.service", "m1")
        await registry.clear_heartbeat("foo.service", "m1")

    run(scenario())


def test_unit_texts_are_read_once(etcd, registry):
    async def scenario():
        for number in range(30):
            file = parse(f"[Service]\nExecStart=/bin/echo {number}\n")
            await registry.create_unit(f"u{number}.service", file, target_state=LAUNCHED)
        fresh = Registry(etcd)
        etcd.calls.clear()
        assert len(await fresh.units()) == 30
        assert etcd.calls == [("get", f"{PREFIX}/job"), ("get", f"{PREFIX}/unit")]
        etcd.calls.clear()
        assert len(await fresh.units()) == 30
        assert etcd.calls == [("get", f"{PREFIX}/job")]

    run(scenario())


def test_what_does_not_parse_is_left_out(etcd, registry, caplog):
    async def scenario():
        for name in ("good", "no-object", "bad-object", "bad-hash", "bad-state", "no-text"):
            await registry.create_unit(f"{name}.service", parse(TEXT), target_state=LAUNCHED)
        job = f"{PREFIX}/job"
        await etcd.delete(f"{job}/no-object.service/object")
        await etcd.set(f"{job}/bad-object.service/object", "{")
        await etcd.set(f"{job}/bad-hash.service/object", '{"Name":"x","UnitHash":["a"]}')
        await etcd.set(f"{job}/bad-state.service/target-state", "sideways")
        await etcd.set(f"{job}/no-text.service/object", model.encode_job("x", "00" * 20))
        # fleetd 1.0.0 takes some lines that neither can read again.
        for number, text in enumerate(("[Service]\nX=" + "y" * 5000, "[Service\n"), 1):
            await etcd.set(f"{PREFIX}/unit/{number:040x}", model.encode_unit(text))
            unread = model.encode_job("x", f"{number:040x}")
            await etcd.set(f"{job}/bad-text{number}.service/object", unread)
        assert [unit.name for unit in await registry.units()] == ["good.service"]
        assert await registry.unit("no-object.service") is None
        for name in ("bad-object", "bad-hash", "bad-state", "bad-text1", "bad-text2"):
            with pytest.raises(BadRecord):
                await registry.unit(f"{name}.service")
        assert await registry.destroy_unit("bad-state.service")
        await registry.save_state(STATE, ttl_s=30)
        await etcd.set(f"{PREFIX}/states/foo.service/m2", "garbage")
        assert list(await registry.states()) == [("foo.service", "m1")]
        await etcd.set(f"{PREFIX}/machines/m9/metadata/a", "1")
        assert await registry.machines() == []
        await etcd.set(f"{PREFIX}/machines/m9/object", "garbage")
        with pytest.raises(BadRecord, match="m9"):
            await registry.machines()

    run(scenario())
    assert 'invalid value "sideways" for JobState' in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        '{"id":"m1","PUBLICIP":"1.2.3.4","metadata":{"Key":"v"},"version":"v0.11",'
        '"TotalResources":{"Cores":4},"Capabilities":null}',
        '{"ID":"m1","PublicIP":"1.2.3.4","Metadata":{"Key":"v"},"Version":"v0.11","id":null}',
    ],
)
def test_reads_what_other_versions_write(text):
    assert model.decode_machine(text) == MachineObject("m1", "1.2.3.4", {"Key": "v"}, "v0.11")


def test_reads_states_without_a_machine():
    assert model.decode_state("a", '{"loadState":"loaded","machineState":null}').machine_id == ""
    assert model.decode_state("a", "null") == UnitState("a", "", "", "")


@pytest.mark.parametrize("text", ["", "[]", "7", '{"ID":3}', '{"Metadata":{"a":1}}', "[" * 9999])
def test_refuses_other_json(text):
    with pytest.raises(ValueError, match=r"\w"):
        model.decode_machine(text)


@pytest.mark.parametrize(
    ("text", "lease"),
    [
        ('{"MachineID":"m1","Version":2}', Lease("m1", 2)),
        ("m1", Lease("m1", 0)),
        ('{"MachineID":"m1","Ver', Lease('{"MachineID":"m1","Ver', 0)),
    ],
)
def test_leases_of_every_age(text, lease):
    assert model.decode_lease(text) == lease


def test_only_own_states_and_heartbeats_are_withdrawn(etcd, registry):
    async def scenario():
        other = STATE._replace(machine_id="m2")
        await registry.save_state(STATE, ttl_s=30)
        await registry.save_state(other, ttl_s=30)
        await registry.remove_state(STATE)
        assert list(await registry.states_of("foo.service")) == ["m2"]
        assert f"{PREFIX}/state/foo.service" in etcd.dump()
        await registry.remove_state(other)
        assert etcd.dump() == {}
        await registry.heartbeat("foo.service", "m2", ttl_s=30)
        await registry.clear_heartbeat("foo.service", "m1")
        assert len(etcd.dump()) == 1
        await registry.clear_heartbeat("foo.service", "m2")
        assert etcd.dump() == {}

    run(scenario())


def test_placements_are_compared(registry):
    async def scenario():
        await registry.schedule("foo.service", "m1")
        with pytest.raises(StoreError):
            await registry.schedule("foo.service", "m2")
        with pytest.raises(StoreError):
            await registry.unschedule("foo.service", "m2")
        await registry.unschedule("foo.service", "m1")
        await registry.schedule("foo.service", "m2")

    run(scenario())


def test_registration(etcd, registry):
    async def scenario():
        index = await registry.create_machine(MACHINE, ttl_s=30)
        with pytest.raises(StoreError):
            await registry.create_machine(MACHINE, ttl_s=30)
        with pytest.raises(StoreError):
            await registry.take_over_machine(MACHINE, index=index + 100, ttl_s=30)
        assert await registry.take_over_machine(MACHINE, index=index, ttl_s=30) > index
        etcd.expire(after_s=31)
        assert await registry.machines() == []
        await registry.set_machine(MACHINE, ttl_s=30)
        assert [machine.id for machine in await registry.machines()] == ["m1"]
        await registry.announce_api("m1", "http://10.0.0.1:49153", ttl_s=30)
        assert await registry.api_of("m1") == "http://10.0.0.1:49153"
        assert await registry.api_of("m2") == ""
        await registry.withdraw_api("m1")
        await registry.remove_machine("m1")
        assert etcd.dump() == {}

    run(scenario())


def test_the_lease_has_one_holder(registry):
    async def scenario():
        held = await registry.acquire_lease(Lease("m1", 1), ttl_s=10)
        assert await registry.acquire_lease(Lease("m2", 1), ttl_s=10) is None
        found = await registry.lease()
        assert found.lease == Lease("m1", 1)
        assert 9 <= found.ttl_s <= 10
        renewed = await registry.renew_lease(held, Lease("m1", 1), ttl_s=10)
        with pytest.raises(StoreError):
            await registry.renew_lease(held, Lease("m1", 1), ttl_s=10)
        await registry.release_lease(renewed)
        assert await registry.lease() is None

    run(scenario())


def test_contact_is_reported_for_requests_that_need_a_quorum(etcd):
    seen = []
    registry = Registry(etcd, on_contact=seen.append)

    async def scenario():
        await registry.units()
        await registry.set_metadata("m1", "a", "b")
        await registry.lease()
        with pytest.raises(StoreError):
            await registry.raise_engine_version(5, 6) or await registry.raise_engine_version(7, 8)
        etcd.down = True
        for request in (registry.units(), registry.lease(), registry.set_metadata("m", "a", "b")):
            with pytest.raises(ClusterUnavailable):
                await request

    run(scenario())
    assert seen[:2] == [True, True]
    assert seen[-2:] == [False, False]
    assert set(seen[2:-2]) == {True}


def test_values_are_json_that_python_reads_too():
    assert json.loads(model.encode_unit('a"\u2028\\'))["Raw"] == 'a"\u2028\\'
