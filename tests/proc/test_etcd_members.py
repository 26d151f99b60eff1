"""Membership of real clusters: joining, leaving, moving, standing alone; TLS and CORS."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest

from coreos_py.etcd import pb
from coreos_py.raft.types import ConfChange, ConfChangeType
from tests.support.certs import make_certs
from tests.support.procs import (
    EtcdCluster,
    EtcdProcess,
    command,
    environment,
    eventually,
    free_ports,
    http_request,
)
from tests.support.proxy import Piece, Proxy

pytestmark = pytest.mark.proc

FAST = ("--heartbeat-interval=50", "--election-timeout=300")
CALM = ("--election-timeout=3000",)  # where an election would take a request's only answer
JSON = {"Content-Type": "application/json"}


def ids(member: EtcdProcess) -> dict[str, str]:
    members = member.request("GET", "/v2/members").json()["members"]
    return {found["name"]: found["id"] for found in members}


def send(member: EtcdProcess, method: str, path: str, url: str = ""):
    body = json.dumps({"peerURLs": [url]}) if url else None
    headers = JSON if url else None
    return member.request(method, f"/v2/members{path}", body=body, headers=headers)


def remove(member: EtcdProcess, name: str) -> None:
    """Through any member, itself too; an election may take the first attempt's answer."""
    number = ids(member)[name]

    def removed() -> bool:
        return not member.running or send(member, "DELETE", f"/{number}").status in (204, 410)

    eventually(removed, logs=[member])


@pytest.mark.parametrize("snapshot_count", [20, 10000])
def test_a_cluster_grows_by_log_or_by_snapshot(tmp_path, snapshot_count):
    flags = (*FAST, f"--snapshot-count={snapshot_count}")
    with EtcdCluster(tmp_path, flags=flags) as cluster:
        first = cluster.members[0]
        for number in range(60):
            first.put(f"/k{number % 7}", str(number))
        for size in (2, 3):
            member = cluster.add()
            eventually(lambda m=member: m.value("/k3") == "59", logs=cluster.members)
            member.write("/from", member.name)
            assert len(ids(first)) == size
        cluster.members[2].kill9()
        first.write("/still", "1")
        cluster.members[2].start()
        cluster.members[2].wait_ready()
        eventually(lambda: cluster.members[2].value("/still") == "1")


def test_a_removed_member_ends_quietly_and_cannot_come_back(tmp_path):
    with EtcdCluster(tmp_path, 3, flags=FAST) as cluster:
        gone = cluster.followers()[0]
        leader = cluster.leader()
        number = ids(leader)[gone.name]
        remove(leader, gone.name)
        for _ in range(2):
            assert gone.wait() == 0
            log = gone.log_text()
            assert "the member has been permanently removed from the cluster" in log
            assert "the data-dir used by this member must be removed." in log
            gone.start()
        again = send(leader, "DELETE", f"/{number}")
        assert (again.status, again.json()) == (
            410,
            {"message": f"Member permanently removed: {number}"},
        )
        leader.write("/k", "v")
        assert gone.wait() == 0


def test_a_removed_leader_is_replaced(tmp_path):
    with EtcdCluster(tmp_path, 3, flags=FAST) as cluster:
        leader = cluster.leader()
        remove(leader, leader.name)
        assert leader.wait() == 0
        others = [member for member in cluster.members if member is not leader]
        eventually(lambda: others[0].put("/k", "v", timeout_s=5).status < 300)
        eventually(lambda: sorted(ids(others[1])) == sorted(member.name for member in others))


class CommitNoticeHeld:
    """In front of the leader: appends pass up to that of its removal, nothing after it does."""

    def __init__(self) -> None:
        self.removal = b""
        self.passed = threading.Event()
        self.released = threading.Event()

    def __call__(self, piece: Piece) -> None:
        if self.removal and piece.is_reply:
            if self.passed.is_set():
                self.released.wait()
            elif self.removal in piece.data:
                self.passed.set()


def test_the_leader_of_two_stays_until_the_other_knows_of_its_removal(tmp_path):
    """etcd 2.3.8 leaves after a second; the other then waits for its vote for ever."""
    cluster = EtcdCluster(
        tmp_path, 2, flags=["--heartbeat-interval=100", "--election-timeout=2000"]
    )
    gates = [CommitNoticeHeld(), CommitNoticeHeld()]
    with contextlib.ExitStack() as stack:
        for member, gate in zip(cluster.members, gates, strict=True):
            stack.callback(gate.released.set)
            proxy = stack.enter_context(Proxy(int(member.peer_url.rpartition(":")[2]), gate))
            for each in cluster.members:
                each.argv = [
                    word
                    if word.startswith("--listen")
                    else word.replace(member.peer_url, f"http://127.0.0.1:{proxy.port}")
                    for word in each.argv
                ]
        stack.enter_context(cluster)
        leader = cluster.leader()
        (other,) = cluster.followers()
        assert other.put("/before", "1").status == 201
        number = ids(leader)[leader.name]
        gate = gates[cluster.members.index(leader)]
        gate.removal = pb.encode_conf_change(
            ConfChange(0, ConfChangeType.REMOVE_NODE, int(number, 16))
        )[2:]
        assert send(leader, "DELETE", f"/{number}").status == 204
        assert gate.passed.is_set()
        time.sleep(2.5)
        assert leader.running
        assert leader.name in ids(other)
        gate.released.set()
        assert leader.wait() == 0
        eventually(lambda: other.put("/after", "1", timeout_s=5).status < 300)
        assert list(ids(other)) == [other.name]


def test_refusals(tmp_path):
    with EtcdCluster(tmp_path, 2, flags=CALM) as cluster:
        first, second = cluster.members
        taken = send(first, "POST", "", second.peer_url)
        assert (taken.status, taken.json()) == (409, {"message": "etcdserver: peerURL exists"})
        moved = send(first, "PUT", f"/{ids(first)['m0']}", second.peer_url)
        assert (moved.status, moved.json()) == (409, {"message": "etcdserver: peerURL exists"})
        unknown = send(first, "PUT", "/12", "http://127.0.0.1:1")
        assert (unknown.status, unknown.json()) == (404, {"message": "No such member: 12"})


def test_strict_reconfiguration(tmp_path):
    with EtcdCluster(tmp_path, 2, flags=(*CALM, "--strict-reconfig-check")) as cluster:
        first = cluster.members[0]
        assert send(first, "POST", "", "http://127.0.0.1:1").status == 201
        refused = send(first, "POST", "", "http://127.0.0.1:2")
        assert (refused.status, refused.json()) == (500, {"message": "Internal Server Error"})
        assert "not enough started members" in first.log_text()
        # with one of two unstarted gone, the rest would be one started of two
        assert send(first, "DELETE", f"/{ids(first)['m1']}").status == 500


def test_a_member_moves_to_another_url(tmp_path):
    with EtcdCluster(tmp_path, 3, flags=FAST) as cluster:
        mover = cluster.followers()[0]
        url = f"http://127.0.0.1:{free_ports(1)[0]}"
        path = f"/{ids(mover)[mover.name]}"
        eventually(lambda: send(cluster.leader(), "PUT", path, url).status in (204, 409))
        mover.kill9()
        mover.argv = [word.replace(mover.peer_url, url) for word in mover.argv]
        mover.start()
        mover.wait_ready()
        mover.write("/moved", "1")
        eventually(lambda: mover.value("/moved") == "1", logs=cluster.members)


def test_force_new_cluster(tmp_path):
    with EtcdCluster(tmp_path, 3, flags=FAST) as cluster:
        survivor = cluster.members[0]
        survivor.write("/k", "v")
        for member in cluster.members:
            member.kill9()
        words = survivor.argv
        survivor.argv = [*words, "--force-new-cluster"]
        survivor.start()
        survivor.wait_ready()
        assert "forcing restart of member" in survivor.log_text()
        assert list(ids(survivor)) == ["m0"]
        assert survivor.value("/k") == "v"
        assert survivor.put("/alone", "1").status == 201
        survivor.kill9()
        survivor.argv = words
        survivor.start()
        survivor.wait_ready()
        assert survivor.value("/alone") == "1"


def test_a_member_that_lost_its_disk_is_not_let_in_again(tmp_path):
    with EtcdCluster(tmp_path, 3, flags=FAST) as cluster:
        member = cluster.followers()[0]
        member.kill9()
        for path in sorted(member.data_dir.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        member.start()
        assert member.wait() == 1
        assert "has already been bootstrapped" in member.log_text()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="there is no ::1 here")
def test_members_and_clients_over_ipv6(tmp_path):
    ports = free_ports(4)
    urls = ",".join(f"m{i}=http://[::1]:{ports[i]}" for i in (0, 1))
    members = [
        EtcdProcess(
            f"m{i}",
            tmp_path,
            client_port=ports[2 + i],
            peer_port=ports[i],
            initial_cluster=urls,
            host="[::1]",
            flags=FAST,
        )
        for i in (0, 1)
    ]
    try:
        for member in members:
            member.start()
        members[0].wait_ready()
        members[0].write("/k", "v")
        eventually(lambda: members[1].value("/k") == "v", logs=members)
        done = subprocess.run(
            [*command("etcdctl"), "--endpoints", members[1].client_url, "get", "/k"],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "v\n", "")
    finally:
        for member in members:
            member.close()


def test_tls_with_client_certificates(tmp_path):
    certs = make_certs(tmp_path)
    pair = (f"cert-file={certs.server_cert}", f"key-file={certs.server_key}")
    flags = [
        *FAST,
        *(f"--{word}" for word in pair),
        *(f"--peer-{word}" for word in pair),
        f"--trusted-ca-file={certs.ca}",
        f"--peer-trusted-ca-file={certs.ca}",
        "--client-cert-auth",
        "--peer-client-cert-auth",
    ]
    context = ssl.create_default_context(cafile=certs.ca)
    context.load_cert_chain(certs.client_cert, certs.client_key)
    with EtcdCluster(tmp_path, 3, flags=flags, scheme="https", tls=context) as cluster:
        leader, follower = cluster.leader(), cluster.followers()[0]
        follower.write("/k", "v")
        eventually(lambda: leader.value("/k", quorum=True) == "v", logs=cluster.members)
        stranger = ssl.create_default_context(cafile=certs.ca)
        with pytest.raises(OSError, match=r"(?i)alert|certificate|reset|closed|eof|pipe"):
            http_request("GET", leader.client_url + "/version", tls=stranger)
        leader.kill9()
        eventually(lambda: follower.put("/k", "w", timeout_s=5).status == 200)


def test_certificates_are_renewed_without_a_restart(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old, new = make_certs(tmp_path / "old"), make_certs(tmp_path / "new")
    trusts_old = ssl.create_default_context(cafile=old.ca)
    trusts_new = ssl.create_default_context(cafile=new.ca)
    flags = [
        *FAST,
        *(f"--{side}cert-file={old.server_cert}" for side in ("", "peer-")),
        *(f"--{side}key-file={old.server_key}" for side in ("", "peer-")),
        f"--peer-trusted-ca-file={old.ca}",
    ]
    with EtcdCluster(tmp_path, flags=flags, scheme="https", tls=trusts_old) as cluster:
        member = cluster.members[0]
        url = member.client_url + "/version"
        Path(old.server_key).write_bytes(Path(new.server_key).read_bytes())
        assert http_request("GET", url, tls=trusts_old).status == 200
        assert "keeping the TLS files of before: the key in " in member.log_text()
        Path(old.server_cert).write_bytes(Path(new.server_cert).read_bytes())
        assert http_request("GET", url, tls=trusts_new).status == 200
        assert "TLS files have changed, using " in member.log_text()
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            http_request("GET", url, tls=trusts_old)


def test_cors(tmp_path):
    with EtcdCluster(tmp_path, flags=["--cors=http://a,http://b"]) as cluster:
        member = cluster.members[0]
        for method, path, origin, allowed in (
            ("GET", "/v2/keys", "http://a", "http://a"),
            ("GET", "/v2/keys/none", "http://b", "http://b"),
            ("PUT", "/v2/keys/k", "http://a", "http://a"),
            ("GET", "/v2/members", "http://a", "http://a"),
            ("OPTIONS", "/anything", "http://a", "http://a"),
            ("GET", "/v2/keys", "http://c", None),
            ("OPTIONS", "/anything", "http://c", None),
        ):
            reply = member.request(method, path, headers={"Origin": origin})
            assert reply.headers["Access-Control-Allow-Origin"] == allowed, (method, path)
            if method == "OPTIONS":
                assert (reply.status, reply.body) == (200, b"")
        assert "cors = http://a,http://b" in member.log_text()


def test_cors_for_everybody(tmp_path):
    with EtcdCluster(tmp_path, flags=["--cors=*"]) as cluster:
        reply = cluster.members[0].put("/k", "v")
        assert reply.headers["Access-Control-Allow-Origin"] == "*"
        assert reply.headers["Access-Control-Allow-Methods"] == "POST, GET, OPTIONS, PUT, DELETE"
