"""Our etcdctl on three members of ours while some of them are gone."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.procs import EtcdCluster, command, environment, eventually, free_ports

pytestmark = pytest.mark.proc


def etcdctl(cluster, *words, stdin=b""):
    """(exit code, stdout, stderr), given every member's URL."""
    urls = ",".join(member.client_url for member in cluster.members)
    done = subprocess.run(
        [*command("etcdctl"), "--endpoints", urls, *words],
        env=environment(),
        input=stdin,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def cluster(tmp_path):
    # No election may come by itself: it costs etcdctl an answer.
    with EtcdCluster(tmp_path, 3, flags=["--election-timeout=3000"]) as running:
        running.leader()
        yield running


def test_losing_one_member_then_the_majority(cluster):
    assert etcdctl(cluster, "set", "/k", "v") == (0, "v\n", "")
    healthy = "is healthy: got healthy result from"
    eventually(lambda: etcdctl(cluster, "cluster-health")[1].count(healthy) == 3)

    first, second = cluster.followers()
    dead = first.client_url
    first.kill9()
    for _ in range(4):  # endpoints are tried in random order: the dead one must never matter
        assert etcdctl(cluster, "get", "/k", "--quorum") == (0, "v\n", "")
    assert etcdctl(cluster, "--no-sync", "set", "/k", "w") == (0, "w\n", "")
    status, out, err = eventually(
        lambda: (got := etcdctl(cluster, "cluster-health"))[1].count(healthy) == 2 and got
    )
    assert (status, err) == (0, "")
    host = dead.removeprefix("http://")
    assert f'on {dead}: Get "{dead}/health": dial tcp {host}: connect: connection refused\n' in out
    assert f"is unreachable: [{dead}] are all unreachable\n" in out
    assert out.endswith("\ncluster is healthy\n")
    status, out, err = eventually(
        lambda: "isLeader=true" in (got := etcdctl(cluster, "member", "list"))[1] and got
    )
    assert (status, err) == (0, "")
    assert out.count("isLeader=true") == 1
    assert out.count("isLeader=false") == 2

    second.kill9()
    status, out, err = eventually(
        lambda: (got := etcdctl(cluster, "cluster-health"))[0] == 5 and got,
    )
    assert out.endswith("\ncluster is unhealthy\n")
    assert etcdctl(cluster, "get", "/k") == (0, "w\n", "")  # a local read needs nobody else
    unavailable = "client: etcd cluster is unavailable or misconfigured\n"
    leaderless = (1, "", f"Failed to get leader:  {unavailable}")
    eventually(lambda: etcdctl(cluster, "member", "list") == leaderless)
    status, out, err = etcdctl(cluster, "--timeout", "500ms", "set", "/k", "x")
    assert (status, out) == (4, "")
    assert err.startswith(f"Error:  {unavailable}error #0: ")
    assert "exceeded header timeout\n" in err

    first.start()
    second.start()
    eventually(lambda: etcdctl(cluster, "set", "/k", "y")[0] == 0)


def test_watch_goes_on_with_another_member(cluster):
    follower = cluster.followers()[0]
    leader = cluster.leader()
    urls = f"{follower.client_url},{leader.client_url}"
    watching = subprocess.Popen(
        [*command("etcdctl"), "--no-sync", "--endpoints", urls, "watch", "/w"],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:

        def watched():
            return [
                member
                for member in (follower, leader)
                if member.request("GET", "/v2/stats/store").json()["watchers"]
            ]

        (serving,) = eventually(watched)
        serving.kill9()
        (other,) = {follower, leader} - {serving}
        eventually(lambda: other.request("GET", "/v2/stats/store").json()["watchers"])
        eventually(lambda: etcdctl(cluster, "set", "/w", "seen")[0] == 0)
        assert watching.communicate(timeout=120)[0] == "seen\n"
        assert watching.returncode == 0
    finally:
        watching.kill()
        watching.communicate()


def test_members_come_and_go(cluster):
    def change(*words):
        """What a change says; whichever member is asked next has heard of it."""
        done = etcdctl(cluster, "member", *words)
        eventually(lambda: len(set(map(listed, cluster.members))) == 1, logs=cluster.members)
        return done

    def listed(member):
        return member.request("GET", "/v2/members").body

    one = cluster.members[0]
    assert etcdctl(cluster, "member", "add", "again", one.peer_url) == (
        1,
        "",
        "etcdserver: peerURL exists\n",
    )
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    status, out, err = change("add", "m3", url)
    assert (status, err) == (0, "")
    added = out.split(" ")[6]
    assert out.startswith(f'Added member named m3 with ID {added} to cluster\n\nETCD_NAME="m3"\n')
    assert f"m3={url}" in out
    assert f"{added}[unstarted]: peerURLs={url}\n" in etcdctl(cluster, "member", "list")[1]
    changed = f"http://127.0.0.1:{free_ports(1)[0]}"
    assert change("update", added, changed) == (
        0,
        f"Updated member with ID {added} in cluster\n",
        "",
    )
    assert f"peerURLs={changed}\n" in etcdctl(cluster, "member", "list")[1]
    removed = (0, f"Removed member {added} from cluster\n", "")
    assert change("remove", added) == removed
    gone = (1, "", f"Couldn't find a member in the cluster with an ID of {added}.\n")
    assert etcdctl(cluster, "member", "remove", added) == gone


def test_bytes_survive_the_way_through(cluster):
    value = "ü\r\n\t\x01 “quoted” \U0001f600\n"
    assert etcdctl(cluster, "set", "/ü/k", stdin=value.encode())[0] == 0
    url = cluster.members[1].client_url
    done = subprocess.run(
        [*command("etcdctl"), "--endpoints", url, "get", "--quorum", "/ü/k"],
        env=environment({"LC_ALL": "C", "LANG": "C"}),
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == value.encode() + b"\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_reader_that_leaves_early(cluster, unbuffered):
    for i in range(30):
        cluster.members[0].put(f"/many/{'k' * 3000}{i}", "v")
    url = cluster.members[0].client_url
    listing = subprocess.Popen(
        [*command("etcdctl"), "--endpoints", url, "ls", "--recursive", "/"],
        env=environment({"PYTHONUNBUFFERED": unbuffered}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert listing.stdout is not None
    listing.stdout.close()
    assert listing.stderr is not None
    assert listing.stderr.read() == b""
    listing.stderr.close()
    assert listing.wait(120) == 141
