"""Backups of a running member, and members started from them."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.procs import EtcdCluster, EtcdProcess, command, environment, free_ports

pytestmark = pytest.mark.proc


def etcdctl(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command("etcdctl"), *words],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(params=["5", "10000"], ids=["snapshots", "log only"])
def member(request, tmp_path):
    flags = [f"--snapshot-count={request.param}"]
    with EtcdCluster(tmp_path, 1, flags=flags) as cluster:
        yield cluster.members[0]


def test_backup_in_use_then_force_new_cluster(member, tmp_path):
    for number in range(12):
        assert member.put(f"/k{number}", f"v{number}").status == 201
    member.put("/t", "x", "ttl=1000")
    client, peer = free_ports(2)
    copy = EtcdProcess(
        "copy",
        tmp_path,
        client_port=client,
        peer_port=peer,
        initial_cluster=f"copy=http://127.0.0.1:{peer}",
        flags=["--force-new-cluster"],
    )
    words = ["--data-dir", str(member.data_dir), "--backup-dir", str(copy.data_dir)]
    done = etcdctl("backup", *words)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    member.put("/later", "x")
    copy.start()
    try:
        copy.wait_ready()
        assert [copy.value(f"/k{number}") for number in range(12)] == [
            f"v{number}" for number in range(12)
        ]
        assert copy.get("/t").json()["node"]["ttl"] > 900
        assert copy.value("/later") is None
        (alone,) = copy.request("GET", "/v2/members").json()["members"]
        assert alone["id"] != member.member_id()
        # etcd 2.3.8's, too, until `member update`.
        assert alone["peerURLs"] == ["http://localhost:7001", "http://localhost:2380"]
        done = etcdctl("--endpoints", copy.client_url, "member", "update", alone["id"],
                       copy.peer_url)  # fmt: skip
        assert done.returncode == 0
        assert copy.put("/new", "x").status == 201
    finally:
        copy.close()
