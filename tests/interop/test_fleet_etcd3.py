"""fleetd on Debian's etcd 3.4 without its v2 API: three machines in processes, one of them dies."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from coreos_py.etcdclient.v3sync import Etcd3
from tests.support.debian_etcd import ETCD, Etcd3Cluster, call
from tests.support.fleet_procs import FleetMachine
from tests.support.procs import command, environment, eventually

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(ETCD is None, reason="Debian's etcd-server is missing"),
]

WEB = """\
[Service]
ExecStart=/bin/sh -c 'exec sleep 100000'

[X-Fleet]
Conflicts=web@*.service
"""


@pytest.fixture
def etcd(tmp_path):
    with Etcd3Cluster(tmp_path) as cluster:
        yield cluster.members[0]


@pytest.fixture
def fleet(etcd, tmp_path):
    """Machines a, b and c; whatever they run is gone after the test."""
    machines = [
        FleetMachine(
            name,
            tmp_path,
            etcd_url=etcd.client_url,
            agent_ttl="8s",
            env={"FLEET_ETCD_API": "v3", "FLEET_ETCD_REQUEST_TIMEOUT": "3"},
        )
        for name in "abc"
    ]
    (tmp_path / "web@.service").write_text(WEB)
    try:
        for machine in machines:
            machine.start()
        for machine in machines:
            machine.wait_joined(within_s=60)
        yield machines
    finally:
        pids = set()
        for machine in machines:
            if machine.running:
                machine.resume()
                pids |= machine.unit_pids()
                machine.die()
            machine.close()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def fleetctl_on_etcd(url, *words):
    return subprocess.run(
        [*command("fleetctl"), "--driver=etcd", "--etcd-api=v3", f"--endpoint={url}", *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=60,
    )


def test_units_of_a_machine_that_dies_run_elsewhere(etcd, fleet, tmp_path):
    a = fleet[0]
    words = ("start", "web@1.service", "web@2.service")
    done = a.fleetctl(*words, cwd=tmp_path, timeout_s=90)
    assert done.returncode == 0, done
    placed = eventually(
        lambda: len(found := a.placements()) == 2 and found, within_s=60, logs=fleet
    )
    assert sorted(placed) == ["web@1.service", "web@2.service"]
    assert len(set(placed.values())) == 2
    by_name = {machine.name: machine for machine in fleet}
    victim = by_name.pop(placed["web@2.service"])
    (spare,) = set(by_name) - set(placed.values())
    witness = by_name[placed["web@1.service"]]
    # A history that is gone costs a reading, no more.
    revision = call(etcd, "/kv/range", {"key": "AA==", "range_end": "AA==", "limit": 1})
    call(etcd, "/kv/compaction", {"revision": revision["header"]["revision"]})
    kept = witness.unit_pids()
    victim.die()

    expected = {"web@1.service": witness.name, "web@2.service": spare}
    eventually(lambda: witness.placements() == expected, within_s=60, logs=fleet)
    eventually(lambda: witness.machines() == set(by_name), within_s=60, logs=fleet)
    assert witness.unit_pids() == kept

    words = ("list-units", "--no-legend", "--fields=unit,active")
    active = "web@1.service\tactive\nweb@2.service\tactive\n"
    eventually(lambda: fleetctl_on_etcd(etcd.client_url, *words).stdout == active, logs=fleet)
    machines = fleetctl_on_etcd(etcd.client_url, "list-machines", "--no-legend", "--fields=machine")
    assert machines.stdout.count("\n") == 2
    refused = fleetctl_on_etcd(etcd.client_url, "--etcd-api=v4", "list-units")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "etcd-api: 'v4' is neither v2 nor v3" in refused.stderr

    victim.start()
    victim.wait_joined(within_s=60)
    done = witness.fleetctl("destroy", "web@1.service", "web@2.service", timeout_s=90)
    assert done.returncode == 0, done
    client = Etcd3([etcd.client_url], timeout_s=10)

    def jobs():
        prefix = client.get("/_coreos.com/fleet", recursive=True).node
        return [n.key for part in prefix.nodes if part.key.endswith("/job") for n in part.nodes]

    eventually(lambda: jobs() == [], within_s=60, logs=fleet)
    client.close()


def test_an_outage_of_etcd_moves_nothing(etcd, fleet, tmp_path):
    a = fleet[0]
    done = a.fleetctl("start", "web@1.service", "web@2.service", cwd=tmp_path, timeout_s=90)
    assert done.returncode == 0, done
    placed = eventually(
        lambda: len(found := a.placements()) == 2 and found, within_s=60, logs=fleet
    )
    pids = {machine.name: machine.unit_pids() for machine in fleet}
    etcd.kill9()
    time.sleep(10)  # longer than agent_ttl
    etcd.start()
    eventually(lambda: a.machines() == set("abc"), within_s=90, logs=fleet)
    eventually(lambda: a.placements() == placed, within_s=60, logs=fleet)
    # What is started after it finds the units where they were.
    done = a.fleetctl("start", "web@3.service", cwd=tmp_path, timeout_s=90)
    assert done.returncode == 0, done
    after = eventually(lambda: len(found := a.placements()) == 3 and found, within_s=60, logs=fleet)
    assert {unit: after[unit] for unit in placed} == placed
    for machine in fleet:
        assert pids[machine.name] <= machine.unit_pids()
