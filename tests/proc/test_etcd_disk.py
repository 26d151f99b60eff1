"""Data directories that are damaged, foreign, full or in use."""

from __future__ import annotations

import re
import shutil
import threading
import time
from functools import partial

import pytest

from tests.support.procs import EtcdCluster, EtcdProcess, command, eventually, free_ports

pytestmark = pytest.mark.proc

READS = 10


def last_wal(member: EtcdProcess):
    return sorted(member.wal_dir.glob("*.wal"))[-1]


def last_line(member: EtcdProcess) -> str:
    return member.log_text().splitlines()[-1]


@pytest.fixture
def used(tmp_path):
    """A stopped member that has acknowledged ten keys."""
    with EtcdCluster(tmp_path) as cluster:
        member = cluster.members[0]
        for number in range(10):
            assert member.put(f"/k{number}", str(number)).status == 201
        member.kill9()
        yield cluster


@pytest.mark.parametrize("cut", [1, 5, 9, 20])
def test_a_torn_tail_is_repaired(used, cut):
    member = used.members[0]
    path = last_wal(member)
    data = path.read_bytes()
    path.write_bytes(data + data[12 : 12 + cut])  # the file's second record, cut off
    used.start()
    assert "dropped an incomplete record" in member.log_text()
    assert path.with_suffix(".wal.broken").exists()
    assert [member.value(f"/k{n}") for n in range(10)] == [str(n) for n in range(10)]
    assert member.put("/more", "1").status == 201
    member.restart()
    member.wait_ready()
    assert member.value("/more") == "1"


def test_damage_in_the_middle_refuses_to_start(used):
    member = used.members[0]
    path = last_wal(member)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    member.start()
    assert member.wait() == 1
    line = last_line(member)
    assert " C | etcdmain: " in line
    assert str(path) in line
    assert re.search(r"damaged at offset \d+", line)
    assert path.read_bytes() == bytes(data)


def test_a_damaged_snapshot_is_set_aside(tmp_path):
    with EtcdCluster(tmp_path, flags=["--snapshot-count=20"]) as cluster:
        member = cluster.members[0]
        for number in range(60):
            member.put("/k", str(number))
        member.wait_log("saved snapshot at index")
        member.kill9()
        newest = sorted(member.snap_dir.glob("*.snap"))[-1]
        newest.write_bytes(b"x" + newest.read_bytes())
        cluster.start()
        assert member.value("/k") == "59"
        assert newest.with_suffix(".snap.broken").exists()


def test_the_port_is_in_use(tmp_path):
    with EtcdCluster(tmp_path) as cluster:
        (tmp_path / "other").mkdir()
        port = int(cluster.members[0].client_url.rpartition(":")[2])
        other = EtcdProcess(
            "m0",
            tmp_path / "other",
            client_port=port,
            peer_port=free_ports(1)[0],
            initial_cluster=cluster.initial_cluster,
        )
        other.start()
        assert other.wait() == 1
        text = f"listen tcp 127.0.0.1:{port}: bind: address already in use"
        assert last_line(other).endswith(f"C | etcdmain: {text}")
        assert not (other.data_dir / "member").exists()


def test_the_data_directory_is_in_use(tmp_path):
    with EtcdCluster(tmp_path) as cluster:
        member = cluster.members[0]
        client, peer = free_ports(2)
        other = EtcdProcess(
            "m0",
            tmp_path,
            client_port=client,
            peer_port=peer,
            initial_cluster=cluster.initial_cluster,
        )
        other.log_path = tmp_path / "other.log"
        other.start()
        assert other.wait() == 1
        assert "file already locked" in last_line(other)
        assert member.put("/k", "v").status == 201


def start_on(tmp_path, prepare) -> EtcdProcess:
    client, peer = free_ports(2)
    member = EtcdProcess(
        "m0",
        tmp_path,
        client_port=client,
        peer_port=peer,
        initial_cluster=f"m0=http://127.0.0.1:{peer}",
    )
    prepare(member.data_dir)
    member.start()
    assert member.wait() == 1
    return member


def test_the_data_directory_is_a_file(tmp_path):
    member = start_on(tmp_path, lambda path: path.write_text("x"))
    assert "C | etcdmain: error listing data dir" in last_line(member)
    assert str(member.data_dir) in last_line(member)


def test_the_data_directory_is_of_member_and_proxy(tmp_path):
    def prepare(path):
        (path / "proxy").mkdir(parents=True)
        (path / "member").mkdir()

    assert "invalid datadir" in last_line(start_on(tmp_path, prepare))


def test_the_data_directory_belongs_to_an_etcd_with_v3_data(tmp_path):
    def prepare(path):
        (path / "member" / "snap").mkdir(parents=True)
        (path / "member" / "snap" / "db").write_bytes(b"x")

    assert "v3demo" in last_line(start_on(tmp_path, prepare))


def test_a_full_disk_ends_the_process_and_loses_nothing_acknowledged(tmp_path):
    prlimit = shutil.which("prlimit")
    if prlimit is None:
        pytest.skip("needs prlimit")
    limited = {0: [prlimit, "--fsize=60000", *command("etcd")]}
    with EtcdCluster(tmp_path, argvs=limited) as cluster:
        member = cluster.members[0]
        acknowledged = []
        for number in range(1000):
            try:
                if member.put(f"/k{number}", "x" * 200).status == 201:
                    acknowledged.append(number)
            except OSError:
                break
        assert acknowledged
        assert member.wait() == 1
        assert " C | " in member.log_text()
        member.argv = [*command("etcd"), *member.argv[len(limited[0]) :]]
        cluster.start()
        assert all(member.value(f"/k{number}") == "x" * 200 for number in acknowledged)


def traced(tmp_path, fault: str) -> dict[int, list[str]]:
    """Our etcd under strace with a fault in fdatasync; -D keeps etcd our child."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace")
    rule = f"inject=fdatasync:{fault}"
    words = [strace, "-D", "-f", "-o", str(tmp_path / "trace"), "-e", "trace=fdatasync", "-e", rule]
    return {0: [*words, *command("etcd")]}


def test_a_failed_sync_ends_the_process_and_nothing_is_acknowledged_after_it(tmp_path):
    argvs = traced(tmp_path, "error=EIO:when=40+")
    with EtcdCluster(tmp_path, argvs=argvs) as cluster:
        member = cluster.members[0]
        acknowledged, failed = [], 0
        for number in range(200):
            try:
                status = member.put(f"/k{number}", str(number), timeout_s=60).status
            except OSError:
                failed += 1
                if not member.running:
                    break
                continue
            assert not failed, "acknowledged after a failure"
            if status == 201:
                acknowledged.append(number)
        assert acknowledged
        assert member.wait() == 1
        assert re.search(r" C \| etcdserver: .*input/output error", member.log_text())
        member.argv = [*command("etcd"), *member.argv[len(argvs[0]) :]]
        cluster.start()
        assert all(member.value(f"/k{number}") == str(number) for number in acknowledged)


def test_a_slow_disk_does_not_hold_up_readers(tmp_path):
    argvs = traced(tmp_path, "delay_enter=500000")
    with EtcdCluster(tmp_path, argvs=argvs) as cluster:
        member = cluster.members[0]
        member.put("/k", "v")
        stop, written = threading.Event(), []

        def write() -> None:
            while not stop.is_set():
                written.append(member.put("/w", "x").status)

        writers = [threading.Thread(target=write) for _ in range(8)]
        for writer in writers:
            writer.start()

        def many_reads_during_a_sync() -> bool:
            """Readers who had to wait for the disk would be answered as rarely as writers."""
            begin = len(written)
            for _ in range(READS):
                assert member.value("/k") == "v"
            return len(written) == begin

        try:
            eventually(many_reads_during_a_sync, every_s=0, logs=[member])
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        written = member.get("/w").json()["node"]["modifiedIndex"]
        member.restart()
        member.wait_ready()
        assert member.get("/w").json()["node"]["modifiedIndex"] == written


def has_kept(member: EtcdProcess) -> bool:
    return member.value("/k", quorum=True) == "v"


@pytest.mark.slow
@pytest.mark.parametrize(("size", "attempts"), [(1, 6), (3, 3)])
def test_a_crash_loop_during_the_first_starts(tmp_path, rng, size, attempts):
    """kill -9 anywhere in the first half second: the data directory opens in the end."""
    for attempt in range(attempts):
        directory = tmp_path / str(attempt)
        directory.mkdir()
        cluster = EtcdCluster(directory, size, flags=["--heartbeat-interval=20"])
        try:
            for _ in range(5):
                for member in cluster.members:
                    member.start()
                time.sleep(rng.uniform(0, 0.5) * (1 if size == 1 else 2))
                for member in cluster.members:
                    member.kill9()
            cluster.start()
            member = rng.choice(cluster.members)
            member.write("/k", "v")
            member.restart()
            member.wait_ready()
            eventually(partial(has_kept, member), logs=cluster.members)
        finally:
            cluster.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_slow_disk_slows_down_nobody_else(tmp_path):
    """A follower that syncs for longer than the election timeout: no votes, no slow writes."""
    flags = ["--heartbeat-interval=100", "--election-timeout=2000"]
    with EtcdCluster(tmp_path, 3, flags=flags) as cluster:
        slow = cluster.followers()[0]
        slow.kill9()
        (traced_words,) = traced(tmp_path, "delay_enter=2500000").values()
        slow.argv = [*traced_words, *slow.argv[len(command("etcd")) :]]
        slow.start()
        slow.wait_ready()
        leader = cluster.leader()
        term = leader.get("/").headers["X-Raft-Term"]
        begin = time.monotonic()
        for number in range(300):
            assert leader.put(f"/k{number % 7}", str(number)).status in (200, 201)
        assert time.monotonic() - begin < 250  # one sync each on the slow disk: 750 s
        assert leader.put("/last", "1").headers["X-Raft-Term"] == term
        eventually(lambda: slow.value("/last") == "1")
        assert slow.raft_status()["lead"] == leader.member_id()
