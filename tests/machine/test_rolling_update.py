"""Three machines with etcd on them, and a rollerd: new versions go round, one after the other."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import pytest

from tests.support import machines as support
from tests.support import slot_machines
from tests.support.machines import PATIENCE_S, within
from tests.support.procs import http_request
from tests.support.reboot_watch import RebootWatch
from tests.support.rollerd import COREOS, STABLE, Rollerd
from tests.support.slot_images import GOOD, UNHEALTHY
from tests.support.slot_machines import REBOOTED, Boot, SlotBed, SlotMachine

pytestmark = [pytest.mark.machine, pytest.mark.timeout(3600)]

COUNT = 3
GROUP = f"/api/apps/{COREOS}/groups/{STABLE}"
ERROR, COMPLETE = 3, 4  # rollerd's status of an instance
ROUND_S = 1500


class World:
    """The machines and their server."""

    def __init__(self, bed: SlotBed, rollerd: Rollerd, watch: RebootWatch) -> None:
        self.bed = bed
        self.rollerd = rollerd
        self.watch = watch
        self.machines = bed.machines

    def publish(self, version: str, kind: str = GOOD) -> None:
        self.rollerd.publish(version, self.bed.images.payload(version, kind=kind))

    @property
    def rollout(self) -> dict:
        """What the server says about it."""
        return self.rollerd.must("GET", f"{GROUP}/rollout")

    def instance(self, machine: SlotMachine) -> dict:
        """What the server says about a machine."""
        return self.rollerd.must("GET", f"{GROUP}/instances/{machine.id}")["application"]

    def events(self, machine: SlotMachine) -> list[tuple[int, int]]:
        """What it has reported, the oldest first."""
        found = self.rollerd.must("GET", f"{GROUP}/instances/{machine.id}/events")
        return [(event["type"], event["result"]) for event in reversed(found)]

    def round(self, is_over: Callable[[], object], among: list[SlotMachine] | None = None) -> None:
        """The machines look for updates again and again, until something is so."""
        deadline = time.monotonic() + ROUND_S
        while not is_over():
            for machine in among or self.machines:
                check(machine)
            assert not self.watch.violations, self.watch.violations
            assert time.monotonic() < deadline, (self.rollout, [m.boots for m in self.machines])
            time.sleep(0.5)

    def lock(self) -> dict:
        """The lock as the dashboard shows it."""
        (lock,) = self.rollerd.must("GET", "/api/locks")["groups"]
        return lock


def check(machine: SlotMachine) -> None:
    """Have it look for an update; it may be on its way down."""
    words = "update_engine_client -check_for_update 2>&1 || :"
    if machine.is_on:
        try:
            machine.run("sh", "-c", words)
        except AssertionError:
            assert not machine.problem


@pytest.fixture
def world(tmp_path, archive):
    if reason := support.why_not() or slot_machines.why_not():
        pytest.skip(reason)
    bed = SlotBed(tmp_path / "m", archive=archive, count=COUNT, version="1.0.0", firmware_s=2)
    etcd = ",".join(f"http://{machine.address}:2379" for machine in bed.machines)
    rollerd = Rollerd(tmp_path, f"-etcd={etcd}", host=bed.gateway)
    try:
        rollerd.start()
        rollerd.wait_ready()
        for machine in bed.machines:
            configure(machine, bed.machines, rollerd.update_url)
            machine.power_on()
        for machine in bed.machines:
            machine.wait_for("a", boots=1)
            within(PATIENCE_S, functools.partial(has_quorum, machine))
        with RebootWatch(bed.machines) as watch:
            yield World(bed, rollerd, watch)
    finally:
        rollerd.close()
        bed.close()


def has_quorum(machine: SlotMachine) -> bool:
    """Its etcd takes a write."""
    url = f"http://{machine.address}:2379/v2/keys/ready"
    try:
        return http_request("PUT", url, body=b"value=1", timeout_s=10).status in (200, 201)
    except OSError:
        return False


def is_good(machine: SlotMachine, slot: str) -> bool:
    """The slot is marked so."""
    return machine.bits[slot][1:] == (0, 1)


def configure(machine: SlotMachine, all_of_them: list[SlotMachine], server: str) -> None:
    def peer(one: SlotMachine) -> str:
        return f"m{one.number}=http://{one.address}:2380"

    settings = {
        "ETCD_NAME": f"m{machine.number}",
        "ETCD_ADVERTISE_CLIENT_URLS": f"http://{machine.address}:2379",
        "ETCD_LISTEN_CLIENT_URLS": "http://0.0.0.0:2379",
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": f"http://{machine.address}:2380",
        "ETCD_LISTEN_PEER_URLS": f"http://{machine.address}:2380",
        "ETCD_INITIAL_CLUSTER": ",".join(peer(one) for one in all_of_them),
        "ETCD_INITIAL_CLUSTER_STATE": "new",
    }
    lines = [f'Environment="{name}={value}"\n' for name, value in settings.items()]
    path = "/etc/systemd/system/etcd2.service.d/20-cluster.conf"
    machine.write(path, "[Service]\n" + "".join(lines))
    text = f"GROUP=stable\nSERVER={server}\nREBOOT_STRATEGY=etcd-lock\n"
    machine.write("/etc/coreos/update.conf", text)


def test_versions_go_round(world):
    all_take_the_good_one(world)
    one_takes_the_bad_one(world)
    the_mended_one_goes_on_without_the_dead(world)
    assert not world.watch.violations
    assert world.watch.looks_at_power > 20
    assert world.watch.looks_at_lock > 20


def all_take_the_good_one(world: World) -> None:
    """Everybody is granted the update at once; they reboot one after the other."""
    world.rollerd.open_group()
    world.round(lambda: world.rollout["total"] == COUNT)
    world.publish("2.0.0")
    world.round(lambda: world.rollout["done"] == COUNT)
    assert sorted(world.bed.resets) == [machine.number for machine in world.machines]
    for machine in world.machines:
        assert machine.boots == [Boot("a", REBOOTED), Boot("b", None)]
        within(PATIENCE_S, functools.partial(is_good, machine, "b"))
        assert machine.bits == {"a": (1, 0, 1), "b": (2, 0, 1)}
        assert "2.0.0" in machine.run("cat", "/usr/share/coreos/release")
        told = world.instance(machine)
        assert (told["status"], told["version"]) == (COMPLETE, "2.0.0")
        assert world.events(machine) == [(13, 1), (14, 1), (3, 1), (3, 2)]
    within(PATIENCE_S, lambda: world.watch.holders() == [])
    rollout = world.rollout
    assert [rollout[name] for name in ("total", "granted", "failed")] == [COUNT, COUNT, 0]
    free = {"group": "", "max": 1, "semaphore": 1, "holders": []}
    within(PATIENCE_S, lambda: world.lock() == free)


def one_takes_the_bad_one(world: World) -> None:
    """The first machine comes back by itself; the group is paused, and nobody else gets it."""
    world.rollerd.open_group(policy_safe_mode=True, policy_canaries=1)
    world.publish("3.0.0", UNHEALTHY)
    world.round(lambda: world.rollout["paused"])
    (canary,) = [machine for machine in world.machines if len(machine.boots) > 2]
    assert canary.boots[1:] == [Boot("b", REBOOTED), Boot("a", REBOOTED), Boot("b", None)]
    assert canary.bits["a"][1:] == (0, 0)
    within(PATIENCE_S, lambda: canary.bits["b"] == (2, 0, 1))
    rollout = world.rollout
    assert canary.id in rollout["reason"]
    assert [rollout[name] for name in ("granted", "failed", "done")] == [1, 1, 0]
    told = world.instance(canary)
    assert (told["status"], told["version"], told["failed_version"]) == (ERROR, "2.0.0", "3.0.0")
    # The others ask again, and again get nothing.
    others = [machine for machine in world.machines if machine is not canary]
    before = [world.instance(machine)["last_check_for_updates"] for machine in others]

    def have_asked() -> bool:
        now = [world.instance(machine)["last_check_for_updates"] for machine in others]
        return not set(now) & set(before)

    world.round(have_asked, others)
    for machine in others:
        assert world.instance(machine)["last_update_version"] == "2.0.0"
        assert len(machine.boots) == 2
    within(PATIENCE_S, lambda: world.watch.holders() == [])


def the_mended_one_goes_on_without_the_dead(world: World) -> None:
    """A canary first; then one dies with the lock. It is shown, released, and the last goes."""
    world.publish("4.0.0")
    world.rollerd.must("POST", f"{GROUP}/resume", {})
    world.round(lambda: world.rollout["done"] == 1)
    canary = next(m for m in world.machines if world.instance(m)["version"] == "4.0.0")
    others = [machine for machine in world.machines if machine is not canary]

    for machine in others:
        machine.is_broken = True
    world.round(lambda: any(not machine.is_on for machine in others))
    (dead,) = [machine for machine in others if not machine.is_on]
    (last,) = [machine for machine in others if machine is not dead]
    world.watch.dead.add(dead.number)
    last.is_broken = False
    within(PATIENCE_S, lambda: world.watch.holders() == [dead.id])
    refused = "Failed to acquire lock: semaphore is at 0"

    def is_waiting() -> bool:
        check(last)
        return refused in last.run("journalctl", "-u", "locksmithd", "-b", "-o", "cat")

    within(PATIENCE_S, is_waiting)
    assert last.runs_from == "b"

    # Not taken away from somebody who may be rebooting; this also notes the time if nobody has.
    words = ["sh", "-c", f"locksmithctl release --after 1h {dead.id} 2>&1 || :"]
    within(PATIENCE_S, lambda: "it has not had the lock for long enough" in last.run(*words))

    # Shown with its age, here and there.
    status = within(PATIENCE_S, lambda: last.run("locksmithctl", "status", "--long"))
    (row,) = status.splitlines()[4:]
    name, age, _ = row.split()
    assert name == dead.id
    assert age.endswith("s"), age
    (holder,) = within(PATIENCE_S, lambda: world.lock()["holders"])
    assert holder["id"] == dead.id
    assert holder["age_s"] >= 0

    # But from who is away for too long.
    words = ["sh", "-c", f"locksmithctl release --after 1s {dead.id} 2>&1 || :"]

    def is_released() -> bool:
        if world.watch.holders() == [dead.id]:
            last.run(*words)
        return world.watch.holders() not in (None, [dead.id])

    within(PATIENCE_S, is_released)

    world.round(lambda: world.rollout["done"] == 2, [canary, last])
    assert last.boots[-1] == Boot("a", None)
    # The dead one is repaired: it comes up with what it had installed.
    dead.is_broken = False
    dead.power_on()
    world.round(lambda: world.rollout["done"] == COUNT)
    world.watch.dead.clear()
    rollout = world.rollout
    assert [rollout[name] for name in ("total", "failed", "paused")] == [COUNT, 0, False]
    assert rollout["canaries"] == {"wanted": 1, "done": 1}
    for machine in world.machines:
        assert machine.runs_from == "a"
        within(PATIENCE_S, functools.partial(is_good, machine, "a"))
    within(PATIENCE_S, lambda: world.watch.holders() == [])
