"""`coreos cluster` as a user runs it: up, break it, look at it, down, and nothing left."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from coreos_py.cluster import proctree, state
from tests.support.archive import built
from tests.support.procs import Reply, environment, eventually, http_request

pytestmark = pytest.mark.proc


class Cluster:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.program = str(built().parent / "bin" / "coreos")

    def __call__(self, *words: str, status: int = 0) -> str:
        """What the command says on stdout and stderr; it must end with `status`."""
        done = subprocess.run(
            [self.program, "cluster", *words, f"--dir={self.directory}"],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == status, done
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    def exports(self) -> dict[str, str]:
        lines = self("env").splitlines()
        words = (shlex.split(line)[1] for line in lines)
        return dict(word.split("=", 1) for word in words)

    def table(self) -> list[list[str]]:
        return [line.split() for line in self("status").splitlines()[1:]]

    def close(self) -> None:
        if state.exists(str(self.directory)):
            self("down")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    group = Cluster(tmp_path / "c")
    yield group
    group.close()
    assert state.leftovers(str(group.directory)) == []


@pytest.mark.timeout(900)
def test_a_cluster_lives_through_kill_pause_resume_and_add(cluster: Cluster):
    assert "the cluster is healthy" in cluster("up", "--metadata=region=eu", "--metadata=1:rack=a")
    roles = ["follower", "follower", "leader"]
    eventually(lambda: sorted(row[4] for row in cluster.table()) == roles)
    rows = cluster.table()
    assert [row[3] for row in rows] == ["running"] * 3
    assert rows[0][-1] == "disk=ssd,name=core-01,rack=a,region=eu"
    assert "is up already" in cluster("up")

    peers = cluster.exports()["ETCDCTL_PEERS"].split(",")
    assert len(peers) == 3
    eventually(lambda: put(peers[0]).status in (200, 201))

    cluster("kill", "1")
    assert cluster.table()[0][3] == "killed"
    assert cluster.exports()["FLEETCTL_ENDPOINT"] == rows_endpoint(rows[1])
    assert "already killed" in cluster("kill", "1", status=1)
    assert "cannot be paused" in cluster("pause", "1", status=1)
    eventually(lambda: value(peers[1]) == "kept")
    cluster("resume", "1")
    eventually(lambda: value(peers[0]) == "kept")

    cluster("pause", "2")
    assert cluster.table()[1][3] == "paused"
    cluster("resume", "2")
    assert "already running" in cluster("resume", "2", status=1)

    assert "machine 4 is running" in cluster("add")
    assert [row[3] for row in cluster.table()] == ["running"] * 4
    assert "is down" in cluster("down")
    assert not cluster.directory.exists()


def rows_endpoint(row: list[str]) -> str:
    return f"http://{row[2]}:49153"


def put(url: str) -> Reply:
    return http_request("PUT", f"{url}/v2/keys/k", body={"value": "kept"}, timeout_s=20)


def value(url: str) -> str:
    answer = http_request("GET", f"{url}/v2/keys/k?quorum=true", timeout_s=5)
    assert answer.status == 200, answer
    return str(answer.json()["node"]["value"])


@pytest.mark.timeout(600)
def test_a_kept_cluster_comes_back_with_its_data(cluster: Cluster):
    cluster("up", "-n", "1")
    url = cluster.exports()["ETCDCTL_PEERS"]
    assert put(url).status == 201
    assert "its state is kept" in cluster("down", "--keep")
    assert "no cluster is running" in cluster("status", status=1)
    assert "has 1 machines, not 3" in cluster("up", "-n", "3", status=1)
    cluster("up")
    eventually(lambda: value(url) == "kept")


@pytest.mark.timeout(600)
def test_a_killed_supervisor_leaves_nothing_that_down_and_up_cannot_handle(cluster: Cluster):
    cluster("up", "-n", "1")
    os.kill(state.supervisor(str(cluster.directory)), signal.SIGKILL)
    assert "no cluster is running" in cluster("kill", "1", status=1)
    cluster("up")
    assert [row[3] for row in cluster.table()] == ["running"]
    os.kill(state.supervisor(str(cluster.directory)), signal.SIGKILL)
    cluster("down")
    assert state.leftovers(str(cluster.directory)) == []


def test_foreground_ends_with_ctrl_c(cluster: Cluster):
    process = subprocess.Popen(
        [cluster.program, "cluster", "up", "-n", "1", "--foreground", f"--dir={cluster.directory}"],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        lines = iter(process.stderr.readline, "")
        assert any("Ctrl-C ends it" in line for line in lines)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) in (0, 130)
    finally:
        proctree.kill_tree(process.pid)
        process.wait()
        process.stderr.close()
    assert not cluster.directory.exists()


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["up", "-n", "0"], 1, "1 to 64 machines, not 0"),
        (["up", "-n", "x"], 2, "'x' is not a valid integer"),
        (["up", "--metadata", "region"], 1, "metadata 'region' is not [N:]key=value"),
        (["up", "--agent-ttl", "soon"], 1, "'soon' is not a duration"),
        (["up", "--agent-ttl", "1s"], 1, "'1s' is shorter than 3s"),
        (["status"], 1, "no cluster in"),
        (["down"], 1, "no cluster in"),
        (["env"], 1, "no cluster in"),
        (["nosuch"], 2, "No such command 'nosuch'"),
    ],
)
def test_bad_requests_are_answered_in_a_line(cluster: Cluster, words, status, says):
    assert says in cluster(*words, status=status)
    assert not cluster.directory.exists()


def test_a_foreign_directory_is_left_alone(cluster: Cluster):
    cluster.directory.mkdir()
    (cluster.directory / "diary").write_text("mine")
    assert "holds no cluster" in cluster("up", status=1)
    assert os.listdir(cluster.directory) == ["diary"]
    (cluster.directory / "diary").unlink()


def test_ports_in_use_make_another_network(cluster: Cluster):
    cluster("up", "-n", "1")
    second = Cluster(cluster.directory.with_name("second"))
    try:
        second("up", "-n", "1")
        assert second.exports()["ETCDCTL_PEERS"] != cluster.exports()["ETCDCTL_PEERS"]
    finally:
        second.close()
