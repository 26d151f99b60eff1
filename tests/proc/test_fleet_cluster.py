"""fleetd on real processes: failover, restarts, outages, reloads, graceful ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from coreos_py.cluster import proctree
from tests.support.fleet_procs import FleetMachine, left_over
from tests.support.procs import EtcdCluster, command, environment, eventually, http_request

pytestmark = pytest.mark.proc

TTL_S = 6.0  # where a machine has to be missed; a busy one may need a moment for a beat
WEB = """\
[Unit]
Description=Web %i

[Service]
ExecStart=/bin/sh -c 'echo serving; exec sleep 100000'

[X-Fleet]
Conflicts=web@*.service
"""


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

    (tmp_path / "web@.service").write_text(WEB)
    yield start
    for machine in machines:
        if machine.running:
            machine.resume()
            machine.die()
        machine.close()
        for pid in left_over(machine):
            os.kill(pid, signal.SIGKILL)


def _lives(pid):
    return bool(proctree.start_time(pid))  # an orphan's zombie waits for a slow init


def start_webs(machine, tmp_path, *numbers):
    """Where all webs run, once those of these numbers do."""
    done = machine.fleetctl("start", *(f"web@{n}.service" for n in numbers), cwd=tmp_path)
    assert done.returncode == 0, done
    assert "Error" not in done.stderr
    for number in numbers:
        assert f"Unit web@{number}.service launched on " in done.stdout
    wanted = {f"web@{number}.service" for number in numbers}

    def placed():
        found = machine.placements()
        return found if wanted <= set(found) else None

    return eventually(placed, logs=[machine])


def test_units_of_a_machine_that_dies_run_elsewhere(fleet, tmp_path):
    a, b, c = fleet("a", "b", "c", agent_ttl=f"{TTL_S:g}s")
    placed = start_webs(a, tmp_path, 1, 2)
    assert sorted(placed) == ["web@1.service", "web@2.service"]
    assert len(set(placed.values())) == 2
    by_name = {machine.name: machine for machine in (a, b, c)}
    victim = by_name[placed["web@2.service"]]
    (spare,) = set(by_name) - set(placed.values())
    witness = by_name[placed["web@1.service"]]
    kept = witness.unit_pids()
    victim.die()

    def moved():
        return witness.placements() == {
            "web@1.service": witness.name,
            "web@2.service": spare,
        }

    # The machine's key lives for one TTL after its last beat; after start-up, and after the etcd
    # trouble that a dead machine is not, machines get one TTL more.
    eventually(moved, logs=[witness])
    assert witness.unit_pids() == kept
    # It comes back as what it was, and gets nothing until it is asked for.
    victim.start()
    victim.wait_joined()
    assert moved()
    start_webs(a if a is not victim else b, tmp_path, 3)
    assert witness.placements()["web@3.service"] == victim.name


def test_a_fleetd_that_was_killed_takes_its_units_over(fleet, tmp_path):
    (a,) = fleet("a", agent_ttl="300s")
    start_webs(a, tmp_path, 1)
    pids = a.unit_pids()
    assert pids
    a.kill9()
    for pid in pids:
        os.kill(pid, 0)
    a.start()
    # At once: it does not wait for its own old key to expire.
    a.wait_joined()
    eventually(lambda: a.placements() == {"web@1.service": "a"}, logs=[a])
    time.sleep(1)
    for pid in pids:
        os.kill(pid, 0)
    assert "StartUnit" not in a.log_text()
    done = a.fleetctl("stop", "web@1.service")
    assert done.returncode == 0, done
    eventually(lambda: not any(_lives(pid) for pid in pids))


def test_a_graceful_end_leaves_nothing_behind(fleet, etcd, tmp_path):
    a, b = fleet("a", "b", agent_ttl="300s")
    placed = start_webs(a, tmp_path, 1)
    here, there = (a, b) if placed["web@1.service"] == "a" else (b, a)
    pids = here.unit_pids()
    assert here.stop() == 0
    assert not any(_lives(pid) for pid in pids)
    eventually(lambda: there.machines() == {there.name})
    # Long before any TTL is over.
    eventually(lambda: there.placements() == {"web@1.service": there.name})
    assert list((here.home / "units").glob("*.service")) == []


def test_a_reload_keeps_units_and_listeners(fleet, tmp_path):
    (a,) = fleet("a", agent_ttl="30s", metadata="disk=hdd")
    start_webs(a, tmp_path, 1)
    pids = a.unit_pids()
    a.config.write_text("metadata=disk=ssd\n")
    a.signal(signal.SIGHUP)
    a.wait_log(rf"Reloading configuration from {a.config}")

    def reloaded():
        (machine,) = a.get("machines")["machines"]
        return machine["metadata"] == {"disk": "ssd"}

    eventually(reloaded, logs=[a])
    assert a.unit_pids() == pids
    # A file that makes no sense changes nothing.
    a.config.write_text("nonsense\n")
    a.signal(signal.SIGHUP)
    a.wait_log(r"The old configuration stays in force: iniparser: syntax error at ':1'\.")
    assert reloaded()


def test_a_dump_tells_what_the_agent_believes(fleet, tmp_path):
    (a,) = fleet("a")
    start_webs(a, tmp_path, 1)
    a.signal(signal.SIGUSR1)
    a.wait_log("Dumping server state")
    line = a.wait_log(r'\{"Agent".*\}').group()
    found = json.loads(line)
    assert found["Agent"] == {"Cache": {"TargetStates": {"web@1.service": "launched"}}}
    assert found["UnitStateGenerator"] == {"Subscribed": ["web@1.service"]}
    (state,) = found["UnitStatePublisher"]["Cache"].values()
    assert (state["ActiveState"], state["MachineID"]) == ("active", a.machine_id)


def test_units_stay_where_they_are_through_an_outage_of_etcd(fleet, etcd, tmp_path):
    quick = {"FLEET_ETCD_REQUEST_TIMEOUT": "2"}  # to miss a paused etcd
    a, b = fleet("a", "b", agent_ttl=f"{TTL_S:g}s", env=quick)
    before = start_webs(a, tmp_path, 1, 2)
    pids = {machine.name: machine.unit_pids() for machine in (a, b)}
    etcd.pause()
    try:

        def unavailable():
            return http_request("GET", f"{a.url}/fleet/v1/machines").status == 503

        eventually(unavailable, logs=[a])
        a.wait_log("Monitor timed out before successful heartbeat")
        time.sleep(TTL_S)
        assert {machine.name: machine.unit_pids() for machine in (a, b)} == pids
    finally:
        etcd.resume()
    eventually(lambda: a.machines() == {"a", "b"}, logs=[a, b])
    deadline = time.monotonic() + TTL_S + 2
    while time.monotonic() < deadline:
        assert {machine.name: machine.unit_pids() for machine in (a, b)} == pids
        time.sleep(0.2)
    assert a.placements() == before
    for machine in (a, b):
        assert "went away" not in machine.log_text()


def test_a_twin_is_kept_out(fleet, etcd, tmp_path):
    (a,) = fleet("a", agent_ttl=f"{TTL_S:g}s")
    twin = FleetMachine("twin", tmp_path, etcd_url=etcd.client_url, agent_ttl=f"{TTL_S:g}s")
    (twin.home / "machine-id").write_text(f"{a.machine_id}\n")
    twin.start()
    try:
        twin.wait_log("is in the cluster already; two machines have the same machine ID")

        def is_closed():
            return http_request("GET", f"{twin.url}/fleet/v1/machines").status == 503

        eventually(is_closed, logs=[twin])
        assert a.machines() == {"a"}
    finally:
        twin.close()


def test_journal_and_status_from_another_machine(fleet, tmp_path):
    a, b = fleet("a", "b")
    placed = start_webs(a, tmp_path, 1)
    other = b if placed["web@1.service"] == "a" else a

    def printed():
        done = other.fleetctl("journal", "--output=cat", "web@1")
        assert (done.returncode, done.stderr) == (0, "")
        return "serving" in done.stdout.splitlines()

    eventually(printed, logs=[a, b])
    done = other.fleetctl("status", "web@1")
    assert done.returncode == 0, done
    assert "web@1.service - Web 1" in done.stdout
    assert "Active: active (running)" in done.stdout
    follower = subprocess.Popen(
        [*command("fleetctl"), "--endpoint", other.url, "journal", "-f", "web@1"],
        stdout=subprocess.PIPE,
        env=environment(),
    )
    try:
        while b"serving" not in follower.stdout.readline():
            pass
        assert other.fleetctl("restart", "web@1").returncode == 0
        while b"serving" not in follower.stdout.readline():
            pass
    finally:
        follower.kill()
        follower.stdout.close()
        follower.wait()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)])
def test_a_start_that_is_broken_off_has_said_how_far_it_came(fleet, tmp_path, number, code):
    (a,) = fleet("a")
    unit = "[Service]\nExecStart=/bin/sleep 9\n[X-Fleet]\nMachineMetadata=no=where\n"
    (tmp_path / "never.service").write_text(unit)
    start = subprocess.Popen(
        [*command("fleetctl"), "--endpoint", a.url, "start", "never.service"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        cwd=tmp_path,
    )
    assert start.stdout is not None
    assert start.stdout.readline() == b"Unit never.service inactive\n"
    start.send_signal(number)
    assert start.communicate(timeout=120) == (b"", b"")
    assert start.returncode == code


def test_a_restart_is_one(fleet, tmp_path):
    (a,) = fleet("a")
    start_webs(a, tmp_path, 1)
    before = a.unit_pids()
    done = a.fleetctl("restart", "web@1")
    assert done.returncode == 0, done
    assert a.unit_pids().isdisjoint(before)
    eventually(lambda: a.placements() == {"web@1.service": "a"}, logs=[a])


def test_sockets_passed_by_systemd_are_served(etcd, tmp_path):
    machine = FleetMachine("a", tmp_path, etcd_url=etcd.client_url, env={"FLEET_API_LISTEN": ""})
    passed = (
        "import os, socket, sys\n"
        "sock = socket.socket(socket.AF_UNIX)\n"
        "sock.bind(sys.argv[1]); sock.listen()\n"
        "os.dup2(sock.fileno(), 3); os.set_inheritable(3, True)\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')\n"
        "os.execv(sys.argv[2], sys.argv[2:])\n"
    )
    path = str(tmp_path / "fleet.sock")
    machine.argv = [sys.executable, "-c", passed, path, *machine.argv]
    machine.start()
    try:

        def ask():
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(60)
                sock.connect(path)
                sock.sendall(b"GET /fleet/v1/machines HTTP/1.0\r\n\r\n")
                answer = b""
                while part := sock.recv(65536):
                    answer += part
                return b"200 OK" in answer and machine.machine_id.encode() in answer

        eventually(ask, logs=[machine])
        assert machine.stop() == 0
    finally:
        machine.close()


@pytest.mark.parametrize(
    ("words", "env", "code", "text"),
    [
        (["version"], {}, 0, "fleetd version v1.0.0\n"),
        (["-version"], {}, 0, "fleetd version v1.0.0\n"),
        (["list-units"], {}, 1, "Did you mean to invoke fleetctl instead?"),
        (["--bogus"], {}, 2, "flag provided but not defined: -bogus"),
        (["--config=/nonexistent"], {}, 1, "open /nonexistent: no such file or directory"),
        (["--config=/tmp"], {}, 1, "/tmp: is a directory"),
        ([], {"FLEET_MACHINE_ID_FILE": "/nonexistent"}, 1, "unable to determine local machine ID"),
        ([], {"FLEET_AGENT_TTL": "soon"}, 1, 'agent_ttl: time: invalid duration "soon"'),
        ([], {"FLEET_ETCD_SERVERS": "nonsense"}, 1, "etcd_servers: "),
        ([], {"FLEET_API_LISTEN": "127.0.0.1:1"}, 1, "cannot listen on '127.0.0.1:1'"),
        ([], {"FLEET_API_LISTEN": "http://192.0.2.1:1"}, 1, "listen tcp 192.0.2.1:1: bind"),
        ([], {"FLEET_UNIT_MANAGER": "runit"}, 1, "unit_manager: 'runit'"),
    ],
)
def test_wrong_words_and_settings_end_with_one_line(tmp_path, words, env, code, text):
    (tmp_path / "machine-id").write_text("abc\n")
    settings = {
        "FLEET_UNIT_MANAGER": "embedded",
        "FLEET_UNITS_DIRECTORY": str(tmp_path / "units"),
        "FLEET_MACHINE_ID_FILE": str(tmp_path / "machine-id"),
    }
    done = subprocess.run(
        [*command("fleetd"), *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment({**settings, **env}),
        timeout=120,
    )
    assert done.returncode == code, done
    assert text in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
