"""Real processes under kill -9 and pauses: what clients saw must have an order that explains it.

Writes and quorum reads are judged; a run goes on until enough was done and enough went wrong.
"""

from __future__ import annotations

import http.client
import json
import random
import time
from functools import partial
from pathlib import Path

import pytest

from tests.support.history import UNSEEN, Op, index_violations, linearizable, resolve
from tests.support.procs import EtcdCluster, EtcdProcess, eventually
from tests.support.recorder import Recorder

pytestmark = pytest.mark.proc

FLAGS = ["--heartbeat-interval=50", "--election-timeout=300", "--snapshot-count=500"]
DURATION_S = 12.0
DURATION_MAX_S = 200.0
OPS_MIN = 2000
FAULTS_MIN = 5


def kill_one(cluster: EtcdCluster, rng: random.Random) -> None:
    member = rng.choice(cluster.running)
    member.kill9()
    time.sleep(rng.uniform(0, 1.0))
    member.start()


def kill_leader(cluster: EtcdCluster, rng: random.Random) -> None:
    member = cluster.leader()
    member.kill9()
    time.sleep(rng.uniform(0, 1.0))
    member.start()


def kill_all(cluster: EtcdCluster, rng: random.Random) -> None:
    for member in cluster.members:
        member.kill9()
    time.sleep(rng.uniform(0, 0.5))
    for member in cluster.members:
        member.start()


def pause_leader(cluster: EtcdCluster, rng: random.Random) -> None:
    member = cluster.leader()
    member.pause()
    time.sleep(rng.uniform(0.5, 2.0))
    member.resume()


def pause_one(cluster: EtcdCluster, rng: random.Random) -> None:
    member = rng.choice(cluster.running)
    member.pause()
    time.sleep(rng.uniform(0.1, 1.5))
    member.resume()


FAULTS = (kill_one, kill_leader, kill_all, pause_leader, pause_one)


def torment(cluster: EtcdCluster, rng: random.Random, recorder: Recorder) -> list[str]:
    """Injects every fault once, then random ones, with time to recover in between."""
    done: list[str] = []
    order = rng.sample(FAULTS, len(FAULTS))
    begin = time.monotonic()
    while (took_s := time.monotonic() - begin) < DURATION_MAX_S:
        enough = recorder.known >= OPS_MIN and len(done) >= FAULTS_MIN
        if enough and took_s >= DURATION_S:
            break
        time.sleep(rng.uniform(0.8, 1.5))
        fault = order.pop() if order else rng.choice(FAULTS)
        fault(cluster, rng)
        done.append(f"{time.monotonic():.3f} {fault.__name__}")
        cluster.leader()
    return done


def judge(ops: list[Op]) -> list[str]:
    """What is wrong with the history, in words."""
    wrong = index_violations(ops)
    for key in sorted({op.key for op in ops}):
        if not linearizable(resolve([op for op in ops if op.key == key])):
            wrong.append(f"no order explains the answers about {key}")
    return wrong


@pytest.mark.timeout(900)
@pytest.mark.parametrize("reads", ["log", "index"])
def test_history_under_kills_and_pauses_is_linearizable(
    tmp_path: Path, rng: random.Random, reads: str
):
    flags = [*FLAGS, f"--quorum-read={reads}"]
    with EtcdCluster(tmp_path, 3, flags=flags) as cluster:
        recorder = Recorder([member.client_url for member in cluster.members], rng=rng)
        recorder.start()
        try:
            faults = torment(cluster, rng, recorder)
            time.sleep(1)
        finally:
            ops = recorder.stop()
        (tmp_path / "history.jsonl").write_text("".join(json.dumps(op) + "\n" for op in ops))
        assert recorder.known >= OPS_MIN, f"{recorder.known} answers; faults: {faults}"
        wrong = judge(ops)
        assert not wrong, f"{wrong[:5]}\nfaults: {faults}\nhistory: {tmp_path}/history.jsonl"
        assert_members_agree(cluster)


def has_survived(member: EtcdProcess) -> bool:
    return member.value("/after", quorum=True) == "storm"


def assert_members_agree(cluster: EtcdCluster) -> None:
    """A write after the storm reaches every member, and they all hold the same keys."""
    cluster.leader().write("/after", "storm")
    trees = []
    for member in cluster.members:
        member.wait_ready()
        eventually(partial(has_survived, member), logs=[member])
        node = member.get("/lin", "recursive=true&sorted=true").json()["node"]
        trees.append(json.dumps(node, sort_keys=True))
    assert trees[0] == trees[1] == trees[2]


def test_the_judge_sees_stale_reads_of_a_follower(tmp_path: Path, rng: random.Random):
    """Positive control: local reads of a member that lags are stale, and the judge says so."""
    with EtcdCluster(tmp_path, 3, flags=FLAGS) as cluster:
        leader = cluster.leader()
        follower = cluster.followers()[0]
        ops: list[Op] = []

        def record(kind: str, arg: str | None, call: float, node: dict):
            value = node["value"] if kind == "get" else UNSEEN
            done, index = time.monotonic(), node["modifiedIndex"]
            ops.append(Op(0, "/stale", kind, arg, None, call, done, True, value, index))

        def write(arg: str) -> bool:
            call = time.monotonic()
            record("set", arg, call, leader.put("/stale", arg).json()["node"])
            return True

        host, port = follower.client_url.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        numbers = iter(range(1_000_000))

        def read_is_stale() -> bool:
            """A write that is acknowledged, and a read of the follower right behind it."""
            written = str(next(numbers))
            write(written)
            call = time.monotonic()
            connection.request("GET", "/v2/keys/stale")
            record("get", None, call, json.loads(connection.getresponse().read())["node"])
            return ops[-1].value != written

        eventually(lambda: write("first"), logs=cluster.members)
        eventually(lambda: follower.value("/stale", quorum=True) == "first", logs=cluster.members)
        eventually(read_is_stale, every_s=0, logs=cluster.members)
        connection.close()
        assert any("stale" in text for text in judge(ops))
