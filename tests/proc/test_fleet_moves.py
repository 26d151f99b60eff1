"""Drain, rollout, events and the end of a fleetd on real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import pytest

from coreos_py.cluster import proctree
from tests.support.certs import make_certs
from tests.support.fleet_procs import FleetMachine, left_over
from tests.support.procs import EtcdCluster, command, environment, eventually, free_ports

pytestmark = pytest.mark.proc

WEB = "[Service]\nExecStart=/bin/sleep 100000\n"
STUBBORN = "[Service]\nExecStart=/bin/sh -c \"trap '' TERM; while :; do sleep 1; done\"\n"
FAILING = "[Service]\nExecStart=/bin/sh -c 'exit 7'\n"
# What a stop may take by contract, and what a machine five times slower adds.
STOP_S, SLOW_S = 5.0, 25.0


@pytest.fixture
def etcd(tmp_path):
    with EtcdCluster(tmp_path) as cluster:
        yield cluster.members[0]


@pytest.fixture
def fleet(etcd, tmp_path):
    """Start machines by name; whatever they run is gone after the test."""
    machines = []

    def start(*names, **options):
        new = [FleetMachine(name, tmp_path, etcd_url=etcd.client_url, **options) for name in names]
        for machine in new:
            machine.start()
            machines.append(machine)
        for machine in new:
            machine.wait_joined()
        return new

    yield start
    for machine in machines:
        if machine.running:
            machine.die()
        machine.close()
        for pid in left_over(machine):
            proctree.send(pid, signal.SIGKILL)


def ok(done):
    assert done.returncode == 0, done
    return done.stdout


def test_a_machine_is_emptied_and_a_rollout_stops_at_the_first_failure(fleet, tmp_path):
    a, b = fleet("a", "b")
    unit = tmp_path / "web@.service"
    unit.write_text(WEB)
    ok(a.fleetctl("cordon", "b"))
    ok(a.fleetctl("start", "web@1", "web@2", "web@3", cwd=tmp_path))
    eventually(lambda: set(a.placements().values()) == {"a"}, logs=[a, b])
    pids = a.unit_pids()
    ok(a.fleetctl("uncordon", "b"))

    drained = ok(a.fleetctl("drain", "--max-unavailable=2", "a"))
    assert "3 units moved, drained" in drained
    assert a.placements() == {f"web@{n}.service": "b" for n in (1, 2, 3)}
    assert not any(proctree.start_time(pid) for pid in pids)
    rows = ok(b.fleetctl("list-machines", "--fields=machine,state", "--no-legend", "--full"))
    assert dict(line.split() for line in rows.splitlines()) == {
        a.machine_id: "cordoned",
        b.machine_id: "ready",
    }

    ok(a.fleetctl("uncordon", "a"))
    plan = ok(a.fleetctl("rebalance", "--dry-run"))
    assert plan.count("Move web@") == 1
    ok(a.fleetctl("rebalance"))
    eventually(lambda: sorted(a.placements().values()) == ["a", "b", "b"], logs=[a, b])

    before = b.unit_pids() | a.unit_pids()
    unit.write_text(FAILING)
    done = a.fleetctl("rollout", "--settle=30", "web@", cwd=tmp_path)  # ends when one has failed
    assert done.returncode == 1, done
    assert "not touched: web@2.service web@3.service" in done.stderr
    assert len(before & (b.unit_pids() | a.unit_pids())) == 2
    unit.write_text(WEB + "Environment=NEW=1\n")
    assert "3 of 3 units are done" in ok(
        a.fleetctl("rollout", "--settle=1", "web@", cwd=tmp_path, timeout_s=120)
    )
    assert not before & (b.unit_pids() | a.unit_pids())

    def kinds():
        lines = ok(b.fleetctl("events", "--json", "--unit", "web@*")).splitlines()
        return [(e["kind"], e["unit"]) for e in map(json.loads, lines)]

    eventually(lambda: ("moved", "web@1.service") in kinds(), logs=[a, b])
    eventually(lambda: any(kind == "state" for kind, _ in kinds()), logs=[a, b])


def test_an_interrupted_rollout_leaves_every_unit_wanted_and_says_where_it_stands(fleet, tmp_path):
    (a,) = fleet("a")
    (tmp_path / "web@.service").write_text(WEB)
    ok(a.fleetctl("start", "web@1", "web@2", cwd=tmp_path))
    (tmp_path / "web@.service").write_text(WEB + "Environment=NEW=1\n")
    words = [*command("fleetctl"), "--endpoint", a.url, "rollout", "--settle=3600", "web@"]
    log = tmp_path / "rollout.log"
    with log.open("wb") as out:
        rollout = subprocess.Popen(words, cwd=tmp_path, env=environment(), stdout=out, stderr=out)
        try:
            eventually(lambda: "NEW=1" in ok(a.fleetctl("cat", "web@1")), logs=[a])
            rollout.send_signal(signal.SIGINT)
            assert rollout.wait(60) == 130
        finally:
            rollout.kill()
            rollout.wait()
    said = log.read_text()
    assert "under way: web@1.service" in said
    assert "not touched: web@2.service" in said
    eventually(lambda: len(a.placements()) == 2, logs=[a])
    assert {u["desiredState"] for u in a.get("units")["units"]} == {"launched"}


def test_fleetd_ends_in_time_and_leaves_nothing_running(fleet, tmp_path):
    a, b = fleet("a", "b")
    (tmp_path / "slow.service").write_text(STUBBORN)
    (tmp_path / "web.service").write_text(WEB)
    ok(b.fleetctl("cordon", "b"))
    ok(b.fleetctl("start", "slow", "web", cwd=tmp_path))
    eventually(lambda: len(a.placements()) == 2, logs=[a])
    pids = a.unit_pids()
    ok(b.fleetctl("uncordon", "b"))
    began_s = time.monotonic()
    assert a.stop() == 0
    assert time.monotonic() - began_s < STOP_S + SLOW_S
    assert "Not waiting for units that are still stopping: slow.service" in a.log_text()
    events = ("events", "--machine", "a")
    eventually(lambda: " left a0000000..." in ok(b.fleetctl(*events)), logs=[b])
    eventually(lambda: not any(proctree.start_time(pid) for pid in pids), logs=[a])
    eventually(lambda: set(b.placements().values()) == {"b"} and len(b.placements()) == 2, logs=[b])


def test_units_run_on_over_a_stop_that_is_asked_not_to_leave(fleet, tmp_path):
    (a,) = fleet("a", agent_ttl="20s", env={"FLEET_LEAVE_ON_STOP": "false"})
    (tmp_path / "web.service").write_text(WEB)
    ok(a.fleetctl("start", "web", cwd=tmp_path))
    eventually(lambda: a.placements() == {"web.service": "a"}, logs=[a])
    pids = a.unit_pids()
    assert pids
    assert a.stop() == 0
    assert all(proctree.start_time(pid) for pid in pids)
    a.start()
    a.wait_joined()
    eventually(lambda: a.placements() == {"web.service": "a"}, logs=[a])
    assert all(proctree.start_time(pid) for pid in pids)


def test_the_api_asks_for_certificates(fleet, tmp_path):
    certs = make_certs(tmp_path)
    (port,) = free_ports(1)
    url = f"https://127.0.0.1:{port}"
    tls = {
        "FLEET_API_CERTFILE": certs.server_cert,
        "FLEET_API_KEYFILE": certs.server_key,
        "FLEET_API_CAFILE": certs.ca,
    }
    (a,) = fleet("a", env=tls, listen=url)
    known = ["--ca-file", certs.ca]
    own = ["--cert-file", certs.client_cert, "--key-file", certs.client_key]
    listed = ok(a.fleetctl("--endpoint", url, *known, *own, "list-machines", "--no-legend"))
    assert listed.startswith("a0000000...")
    for words in (known, own, []):
        refused = a.fleetctl("--endpoint", url, *words, "list-machines")
        assert refused.returncode == 1, refused
        assert "Traceback" not in refused.stderr
