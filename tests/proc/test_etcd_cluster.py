"""Clusters of real processes under kill, pause and restart: nothing acknowledged is ever lost."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time

import pytest

from tests.support.procs import EtcdCluster, EtcdProcess, eventually

pytestmark = pytest.mark.proc

FAST = ("--heartbeat-interval=50", "--election-timeout=300")
READS = 60


def accepts_writes(cluster: EtcdCluster, key: str = "/alive") -> bool:
    return all(member.put(key, "1", timeout_s=5).status in (200, 201) for member in cluster.running)


def same_contents(members: list[EtcdProcess]) -> bool:
    bodies = {member.get("/", "recursive=true&sorted=true").body for member in members}
    return len(bodies) == 1


class Writer:
    """Writes new keys until stopped, and remembers which were acknowledged."""

    def __init__(self, members: list[EtcdProcess]) -> None:
        self.acknowledged: list[str] = []
        self._members = members
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            member = self._members[number % len(self._members)]
            try:
                reply = member.put(f"/acked/{number}", str(number), timeout_s=2)
            except OSError:
                continue
            if reply.status == 201:
                self.acknowledged.append(str(number))

    def stop(self) -> list[str]:
        self._stop.set()
        self._thread.join()
        return self.acknowledged


def test_leader_dies_and_comes_back(tmp_path):
    with EtcdCluster(tmp_path, 3, flags=FAST) as cluster:
        writer = Writer(cluster.members)
        try:
            for _ in range(2):
                leader = cluster.leader()
                leader.kill9()
                eventually(lambda: accepts_writes(cluster), logs=cluster.members)
                leader.start()
                leader.wait_ready()
            eventually(lambda: len(writer.acknowledged) > 20, logs=cluster.members)
        finally:
            acknowledged = writer.stop()
        eventually(lambda: same_contents(cluster.members), logs=cluster.members)
        for number in acknowledged:
            assert cluster.members[0].value(f"/acked/{number}") == number


def test_everybody_is_killed_at_once(tmp_path):
    with EtcdCluster(tmp_path, 3, flags=FAST) as cluster:
        writer = Writer(cluster.members)
        eventually(lambda: len(writer.acknowledged) > 20, logs=cluster.members)
        for member in cluster.members:
            member.kill9()
        acknowledged = writer.stop()
        assert acknowledged
        cluster.start()
        eventually(lambda: accepts_writes(cluster), logs=cluster.members)
        member = cluster.members[1]
        member.write("/after")  # what a quorum has applied before this, it has applied too
        assert [member.value(f"/acked/{number}") for number in acknowledged] == acknowledged


def test_one_member_killed_again_and_again_keeps_what_it_acknowledged(tmp_path, rng):
    with EtcdCluster(tmp_path, 1, flags=(*FAST, "--snapshot-count=100")) as cluster:
        member = cluster.members[0]
        acknowledged = []
        for _ in range(4):
            writer = Writer([member])
            try:
                eventually(lambda at=writer: len(at.acknowledged) > 50, logs=[member])
                time.sleep(rng.uniform(0, 0.5))  # also when there is something to snapshot
                member.kill9()
            finally:
                acknowledged += writer.stop()
            cluster.start()
        missing = [n for n in acknowledged if member.value(f"/acked/{n}") is None]
        assert missing == []


def test_five_members_survive_two(tmp_path):
    with EtcdCluster(tmp_path, 5, flags=FAST) as cluster:
        eventually(lambda: accepts_writes(cluster), logs=cluster.members)
        cluster.leader().kill9()
        eventually(lambda: accepts_writes(cluster), logs=cluster.members)
        cluster.leader().kill9()
        eventually(lambda: accepts_writes(cluster), logs=cluster.members)
        assert len(cluster.running) == 3
        eventually(lambda: same_contents(cluster.running), logs=cluster.members)


def test_a_slow_follower_catches_up_by_snapshot(tmp_path):
    with EtcdCluster(tmp_path, 3, flags=(*FAST, "--snapshot-count=200")) as cluster:
        late = cluster.followers()[0]
        late.kill9()
        writer = cluster.leader()
        # More than the 5000 entries that a leader keeps for those who lag behind.
        threads = [threading.Thread(target=_fill, args=(writer, part, 720)) for part in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        late.start()
        late.wait_log(r"recovered from incoming snapshot at index \d+")
        eventually(lambda: same_contents(cluster.members), logs=cluster.members)
        # what came by snapshot is on the follower's own disk too
        late.restart()
        late.wait_ready()
        eventually(lambda: same_contents(cluster.members), logs=cluster.members)


def _fill(member: EtcdProcess, part: int, count: int) -> None:
    address = member.client_url.removeprefix("http://")
    with contextlib.closing(http.client.HTTPConnection(address, timeout=120)) as conn:
        for number in range(count):
            conn.request("PUT", f"/v2/keys/fill/{part}/{number % 10}?value={'x' * 50}")
            conn.getresponse().read()


def test_a_paused_leader_is_replaced_and_follows_afterwards(tmp_path):
    with EtcdCluster(tmp_path, 3, flags=FAST) as cluster:
        old = cluster.leader()
        old.pause()
        others = [member for member in cluster.members if member is not old]

        def replaced() -> bool:
            return all(member.put("/p", "1", timeout_s=5).status < 300 for member in others)

        eventually(replaced, logs=cluster.members)
        old.resume()
        eventually(lambda: accepts_writes(cluster, "/q"), logs=cluster.members)
        eventually(lambda: same_contents(cluster.members), logs=cluster.members)


@pytest.mark.slow
def test_without_quorum_writes_time_out_and_reads_go_on(tmp_path):
    with EtcdCluster(tmp_path, 3) as cluster:
        follower = cluster.followers()[0]
        follower.write("/k", "v")
        for member in cluster.members:
            if member is not follower:
                member.kill9()
        start = time.monotonic()
        reply = follower.put("/k", "w", timeout_s=60)
        took = time.monotonic() - start
        assert reply.status == 500
        assert reply.json()["errorCode"] == 300
        assert reply.json()["cause"].startswith("etcdserver: request timed out")
        assert took > 6.9
        assert follower.value("/k") == "v"
        assert follower.request("GET", "/v2/members").status == 200
        assert follower.request("GET", "/health").status == 503
        assert follower.request("GET", "/v2/members/leader").json() == {
            "message": "During election"
        }


def test_endpoints_of_leader_and_follower(tmp_path):
    with EtcdCluster(tmp_path, 3) as cluster:
        eventually(lambda: agree_with_their_roles(cluster), logs=cluster.members)


def agree_with_their_roles(cluster: EtcdCluster) -> bool:
    """Whether leader and follower answer as such; an election in between is the only excuse."""
    leader, follower = cluster.leader(), cluster.followers()[0]
    assert leader.is_healthy()
    assert follower.is_healthy()
    members = leader.request("GET", "/v2/members").json()["members"]
    assert sorted(m["name"] for m in members) == ["m0", "m1", "m2"]
    assert follower.request("GET", "/v2/members/leader").json()["name"] == leader.name
    followers = leader.request("GET", "/v2/stats/leader").json()["followers"]
    assert len(followers) == 2
    assert follower.request("GET", "/v2/stats/leader").status == 403
    urls = sorted(member.client_url for member in cluster.members)
    assert follower.request("GET", "/v2/machines").body.decode() == ", ".join(urls)
    assert leader.request("GET", "/version").json() == {
        "etcdserver": "2.3.8",
        "etcdcluster": "2.3.0",
    }
    metrics = leader.request("POST", "/metrics").body
    for name in (
        b'etcd_store_writes_total{action="set"}',
        b'etcd_store_reads_total{action="getRecursive"}',
        b"etcd_http_successful_duration_second",
        b"etcd_snapshot_save_total_durations_seconds_count",
        b'etcd_rafthttp_message_sent_latency_seconds_count{msgType="MsgApp",remoteID="',
    ):
        assert name in metrics
    return True


def test_terminated_by_signal_after_closing_the_log(tmp_path):
    with EtcdCluster(tmp_path) as cluster:
        member = cluster.members[0]
        member.put("/k", "v")
        assert member.stop() == -15
        assert "received terminated signal, shutting down..." in member.log_text()
        cluster.start()
        assert member.value("/k") == "v"


def log_growth(member: EtcdProcess) -> tuple[int, float]:
    """By how much the log grows while READS quorum reads are answered; and what the SYNC entries,
    one in half a second, are of that.
    """
    begin = time.monotonic()
    replies = [member.get("/alive", "quorum=true") for _ in range(READS + 1)]
    assert {reply.status for reply in replies} == {200}
    assert len({reply.headers["X-Raft-Term"] for reply in replies}) == 1, "an election"
    indexes = [int(reply.headers["X-Raft-Index"]) for reply in replies]
    return indexes[-1] - indexes[0], 2 * (time.monotonic() - begin) + 2


def leaves_the_log_alone(cluster: EtcdCluster) -> bool:
    """Whether the leader reads without an entry each; an election in between is the only excuse."""
    grown, synced = log_growth(cluster.leader())
    assert grown <= synced, (grown, synced)
    return synced < READS  # else it shows nothing


def test_quorum_reads_by_index_leave_the_log_alone(tmp_path):
    flags = ("--heartbeat-interval=100", "--election-timeout=1000", "--quorum-read=index")
    with EtcdCluster(tmp_path, 3, flags=flags) as cluster:
        eventually(lambda: accepts_writes(cluster))
        eventually(lambda: leaves_the_log_alone(cluster), logs=cluster.members)
        eventually(lambda: log_growth(cluster.followers()[0])[0] >= READS, logs=cluster.members)
        assert cluster.members[0].get("/none", "quorum=true").status == 404
        cluster.followers()[0].kill9()
        eventually(lambda: leaves_the_log_alone(cluster), logs=cluster.members)
        leader, (other,) = cluster.leader(), cluster.followers()
        other.pause()
        assert leader.get("/alive", "quorum=true", timeout_s=60).status == 500
        assert leader.get("/alive").status == 200
        other.resume()
        eventually(lambda: accepts_writes(cluster))
        eventually(lambda: leaves_the_log_alone(cluster), logs=cluster.members)


def test_no_read_is_answered_before_what_was_known_to_be_committed(tmp_path):
    """The first answer a restarted follower gives, alone, has all that it had applied."""
    with EtcdCluster(tmp_path, 3, flags=FAST) as cluster:
        leader, follower = cluster.leader(), cluster.followers()[0]
        for number in range(300):
            leader.write(f"/n/{number % 10}", str(number))
        eventually(lambda: follower.value("/n/9") == "299")
        # It answered this after it had given the commit index to its log.
        for member in cluster.members:
            member.kill9()
        for _ in range(3):
            follower.start()
            body = eventually(lambda: follower.get("/n", "recursive=true"))
            assert body.status == 200
            found = sorted(int(node["value"]) for node in body.json()["node"]["nodes"])
            assert found == list(range(290, 300))
            follower.kill9()
