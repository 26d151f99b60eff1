"""etcdctl snapshot: copies of a running cluster, and clusters made from them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.procs import (
    EtcdCluster,
    EtcdProcess,
    command,
    environment,
    eventually,
    free_ports,
)

pytestmark = pytest.mark.proc


def etcdctl(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command("etcdctl"), *words],
        env=environment(),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def member(tmp_path):
    with EtcdCluster(tmp_path, 1) as cluster:
        yield cluster.members[0]


def planned(directory: Path, count: int) -> list[EtcdProcess]:
    """Members that are not started yet, of one new cluster."""
    ports = free_ports(2 * count)
    initial = ",".join(f"n{i}=http://127.0.0.1:{ports[2 * i + 1]}" for i in range(count))
    return [
        EtcdProcess(
            f"n{i}",
            directory,
            client_port=ports[2 * i],
            peer_port=ports[2 * i + 1],
            initial_cluster=initial,
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("count", [1, 3])
def test_a_cluster_restored_from_a_running_one(member, tmp_path, count):
    for number in range(20):
        assert member.put(f"/dir/k{number}", f"v{number}").status == 201
    member.put("/_hidden/key", "h")
    member.put("/t", "x", "ttl=1000")
    index = member.get("/").etcd_index
    file = tmp_path / "copy.snap"
    done = etcdctl("--endpoints", member.client_url, "snapshot", "save", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(tmp_path.glob("copy.snap*")) == [file]
    (tmp_path / "null").symlink_to(os.devnull)  # which root could replace
    done = etcdctl("--endpoints", member.client_url, "snapshot", "save", str(tmp_path / "null"))
    assert done.stderr.endswith("null: not a regular file\n"), done
    assert (tmp_path / "null").is_symlink()
    member.put("/later", "x")

    done = etcdctl("-o", "json", "snapshot", "status", str(file))
    facts = json.loads(done.stdout)
    assert (facts["keys"], facts["etcdIndex"]) == (22, index)
    assert facts["members"] == [f"{member.member_id()}=m0={member.peer_url}"]

    members = planned(tmp_path, count)
    initial = ",".join(f"{m.name}={m.peer_url}" for m in members)
    clusters = set()
    for one in members:
        words = ["--name", one.name, "--data-dir", str(one.data_dir), "--initial-cluster", initial]
        words += ["--initial-advertise-peer-urls", one.peer_url]
        done = etcdctl("snapshot", "restore", str(file), *words)
        assert (done.returncode, done.stderr) == (0, "")
        clusters.add(done.stdout.split(" of cluster ")[1].split()[0])
        again = etcdctl("snapshot", "restore", str(file), *words)
        assert again.returncode == 1
        assert again.stderr.endswith("a log exists here already\n")
    assert len(clusters) == 1
    try:
        for one in members:
            one.start()
        for one in members:
            one.wait_ready()
        first, last = members[0], members[-1]
        first.write("/new", "n")
        assert first.get("/new").etcd_index > index
        eventually(lambda: last.value("/new", quorum=True) == "n", logs=members)
        for number in range(20):
            assert last.value(f"/dir/k{number}") == f"v{number}"
        assert last.value("/_hidden/key") == "h"
        assert last.value("/later") is None
        assert last.get("/t").json()["node"]["ttl"] > 900

        def names():
            listed = last.request("GET", "/v2/members").json()["members"]
            return {m["name"]: m["peerURLs"] for m in listed}

        wanted = {m.name: [m.peer_url] for m in members}
        eventually(lambda: names() == wanted)
        listed = last.request("GET", "/v2/members").json()["members"]
        assert member.member_id() not in {m["id"] for m in listed}
    finally:
        for one in members:
            one.close()


def test_only_root_may_copy_once_auth_is_on(member, tmp_path):
    url = ["--endpoints", member.client_url]
    assert etcdctl(*url, "user", "add", "root:secret").returncode == 0
    assert etcdctl(*url, "-u", "root:secret", "user", "add", "bob:b").returncode == 0
    assert etcdctl(*url, "-u", "root:secret", "auth", "enable").returncode == 0
    file = tmp_path / "copy.snap"
    for who in ([], ["-u", "bob:b"], ["-u", "root:wrong"]):
        done = etcdctl(*url, *who, "snapshot", "save", str(file))
        assert (done.returncode, done.stdout) == (4, "")
        assert done.stderr == "Error:  Insufficient credentials\n"
        assert not list(tmp_path.glob("copy*"))
    done = etcdctl(*url, "-u", "root:secret", "snapshot", "save", str(file))
    assert done.returncode == 0
    assert file.stat().st_mode & 0o777 == 0o600


def test_what_one_member_has_when_the_majority_is_gone(tmp_path):
    with EtcdCluster(tmp_path, 3) as cluster:
        leader = cluster.leader()
        leader.write("/k", "v")
        survivor, other = cluster.followers()
        eventually(lambda: survivor.value("/k") == "v")
        leader.kill9()
        other.kill9()
        url = ["--endpoints", survivor.client_url, "--no-sync"]
        file = tmp_path / "copy.snap"
        done = etcdctl(*url, "--timeout", "2s", "snapshot", "save", str(file))
        assert done.returncode == 4
        assert not file.exists()
        done = etcdctl(*url, "snapshot", "save", "--local", str(file))
        assert (done.returncode, done.stderr) == (0, "")
    (alone,) = planned(tmp_path, 1)
    words = ["--name", alone.name, "--data-dir", str(alone.data_dir)]
    words += ["--initial-cluster", f"{alone.name}={alone.peer_url}"]
    words += ["--initial-advertise-peer-urls", alone.peer_url]
    assert etcdctl("snapshot", "restore", str(file), *words).returncode == 0
    alone.start()
    try:
        alone.wait_ready()
        assert alone.value("/k") == "v"
    finally:
        alone.close()


def test_a_large_store_arrives_whole(member, tmp_path):
    value = "x" * 300_000
    for number in range(20):
        assert member.put(f"/k{number}", value).status == 201
    file = tmp_path / "copy.snap"
    done = etcdctl("--endpoints", member.client_url, "snapshot", "save", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert file.stat().st_size > 6_000_000
    assert etcdctl("snapshot", "status", str(file)).returncode == 0
    assert member.request("GET", "/v2/snapshot?local=maybe").status == 400
    assert member.request("PUT", "/v2/snapshot").status == 405


def test_copies_that_are_none(member, tmp_path):
    file = tmp_path / "copy.snap"
    assert etcdctl("--endpoints", member.client_url, "snapshot", "save", str(file)).returncode == 0
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    text = f"{file}: damaged at offset 0: crc mismatch\n"
    for words in (["status", str(file)], ["restore", str(file), "--data-dir", f"{tmp_path}/new"]):
        done = etcdctl("snapshot", *words)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", text)
    assert not (tmp_path / "new").exists()
    words = ["--initial-cluster", "a=http://h:1", "--data-dir", f"{tmp_path}/new"]
    assert etcdctl("--endpoints", member.client_url, "snapshot", "save", str(file)).returncode == 0
    refused = [
        ([], 'couldn\'t find local name "default" in the initial cluster configuration'),
        (["--name", "a"], "--initial-cluster must include a=http://localhost:2380 given"
         " --initial-advertise-peer-urls=http://localhost:2380"),
        (["--name", "a", "--initial-cluster", "a"], "error setting up initial cluster: "),
    ]  # fmt: skip
    for extra, problem in refused:
        done = etcdctl("snapshot", "restore", str(file), *words, *extra)
        assert done.returncode == 1
        assert done.stderr.startswith(problem)
    assert not (tmp_path / "new").exists()
