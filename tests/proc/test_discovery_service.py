"""The discovery service as a process: with an etcd inside, and in front of another one."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import re
import signal
import socket
import subprocess

import pytest

from tests.support.procs import (
    EtcdCluster,
    EtcdProcess,
    Process,
    command,
    environment,
    eventually,
    free_ports,
    http_request,
)

pytestmark = pytest.mark.proc

FAST = ("--heartbeat-interval=50", "--election-timeout=300")
PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class DiscoveryProcess(Process):
    """One service on a port of its own."""

    def __init__(self, directory, *flags, env=None):
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        words = [f"--addr=127.0.0.1:{port}", f"--host={self.url}", *flags]
        log_path = directory / f"discovery-{port}.log"
        argv = [*command("etcd-discovery"), *words]
        super().__init__("discovery", argv, log_path=log_path, env=env)

    def start(self):
        super().start()
        self.wait_log("discovery serving on ")

    def ask(self, method, path, **kwargs):
        return http_request(method, f"{self.url}{path}", **kwargs)

    def new(self, size):
        reply = self.ask("GET", f"/new?size={size}")
        assert reply.status == 200, reply
        return reply.body.decode()


@pytest.fixture
def started():
    with contextlib.ExitStack() as stack:

        def begin(process):
            stack.callback(process.close)
            process.start()
            return process

        yield begin


def member(name, directory, *flags):
    """A member that is told no initial cluster."""
    client_port, peer_port = free_ports(2)
    process = EtcdProcess(
        name,
        directory,
        client_port=client_port,
        peer_port=peer_port,
        initial_cluster="",
        flags=[*FAST, *flags],
    )
    process.argv = [word for word in process.argv if not word.startswith("--initial-cluster=")]
    return process


def register(service, url, name, value="m=http://h:1"):
    token = url.rpartition("/")[2]
    return service.ask("PUT", f"/{token}/{name}?prevExist=false", body={"value": value})


def test_a_cluster_meets_through_a_service_of_its_own(started, tmp_path):
    service = started(DiscoveryProcess(tmp_path, f"--data-dir={tmp_path}/registry"))
    assert (tmp_path / "registry").stat().st_mode & 0o777 == 0o700
    url = service.new(3)
    token = url.rpartition("/")[2]
    members = [member(f"m{at}", tmp_path, f"--discovery={url}") for at in range(3)]
    started(members[0]).wait_log("found 1 peer.s., waiting for 2 more")
    page = service.ask("GET", f"/{token}", headers=PAGE)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"1 of 3 members have registered" in page.body

    # The service and the member that waits are both killed, and come back.
    members[0].kill9()
    service.restart()
    members[0].start()
    members[0].wait_log("found 1 peer.s., waiting for 2 more")
    assert "has registered again" in service.log_text()
    for process in members[1:]:
        started(process)
    for process in members:
        process.wait_ready()
    members[0].write("/k", "v")

    leaver = started(member("m3", tmp_path, f"--discovery={url}", "--discovery-fallback=exit"))
    assert leaver.wait() == 1
    text = "failed to join discovery cluster (discovery: cluster is full)"
    assert f"E | etcdmain: {text}" in leaver.log_text()
    assert b"complete: all 3 members" in service.ask("GET", f"/{token}", headers=PAGE).body

    assert service.ask("GET", "/health").body == b"OK"
    assert service.stop() == 0
    assert not (tmp_path / "registry" / "client.sock").exists()


def test_in_front_of_etcd(started, tmp_path):
    with EtcdCluster(tmp_path, 1) as cluster:
        etcd = cluster.members[0]
        service = started(
            DiscoveryProcess(
                tmp_path,
                f"--etcd=http://127.0.0.1:1,{etcd.client_url}",  # the first one is dead
                "--size-max=5",
                "--minage=1h",
                env={"DISC_RATE_LIMIT": "6"},
            )
        )
        url = service.new(2)
        token = url.rpartition("/")[2]
        key = f"/_etcd/registry/{token}"
        assert 3500 < etcd.get(key).json()["node"]["ttl"] <= 3600
        assert register(service, url, "a", "a=1").status == 201
        assert register(service, url, "a", "a=2").json()["errorCode"] == 105
        again = register(service, url, "a", "a=1")
        assert (again.status, again.json()["node"]["value"]) == (200, "a=1")
        assert register(service, url, "b", "b=1").status == 201
        # Complete: it stays for good, and nobody can come back without its data.
        eventually(lambda: "ttl" not in etcd.get(key).json()["node"], logs=[service])
        assert register(service, url, "a", "a=1").json()["errorCode"] == 105
        assert register(service, url, "c", "c=1").status == 201
        service.wait_log("member c knocked at [0-9a-f]{32}, which is full")

        before = etcd.get("/_etcd/registry").json()["node"]["nodes"]
        assert service.ask("GET", "/health").body == b"OK"
        assert etcd.get("/_etcd/registry").json()["node"]["nodes"] == before

        for query, text in (
            ("size=6", b"size must be at most 5, not 6\n"),
            ("size=0", b"size must be at least 1, not 0\n"),
            ("size=x", b'strconv.Atoi: parsing "x": invalid syntax\n'),
        ):
            reply = service.ask("GET", f"/new?{query}")
            assert (reply.status, reply.body) == (400, text)
        service.new(2)

        def refusal():
            reply = service.ask("GET", "/new")
            return reply if reply.status == 429 else None

        refused = eventually(refusal, every_s=0, logs=[service])  # one in ten seconds is allowed
        assert int(refused.headers["Retry-After"]) > 0

        # A watch is open while etcd goes away and comes back.
        watch = f"/{token}?wait=true&recursive=true"
        with concurrent.futures.ThreadPoolExecutor() as pool:
            watching = pool.submit(service.ask, "GET", f"{watch}&waitIndex=1")
            assert watching.result().status == 200
        etcd.kill9()
        down = service.ask("GET", f"/{token}")
        assert (down.status, down.json()["errorCode"]) == (503, 300)
        assert service.ask("GET", "/health").status == 400
        assert b"cannot be reached" in service.ask("GET", f"/{token}", headers=PAGE).body
        etcd.start()
        etcd.wait_ready()
        assert service.ask("GET", f"/{token}").status == 200
        service.wait_log(f'"GET /{token} HTTP/1[.]1" 200 ')
        metrics = service.ask("GET", "/metrics").body.decode()
        assert 'endpoint_new_requests_total{code="429",method="GET"} 1' in metrics


def test_many_watches_wait_together_and_end_with_their_clients(started, tmp_path):
    service = started(DiscoveryProcess(tmp_path, f"--data-dir={tmp_path}/registry"))
    url = service.new(3)
    token = url.rpartition("/")[2]
    port = int(service.url.rpartition(":")[2])
    waiting = []
    for _ in range(100):
        sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        sock.sendall(f"GET /{token}?wait=true&recursive=true HTTP/1.1\r\nHost: d\r\n\r\n".encode())
        waiting.append(sock)
    for sock in waiting:  # the head of the answer comes before any event does
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
    for sock in waiting[:50]:
        sock.close()
    assert register(service, url, "a").status == 201
    for sock in waiting[50:]:
        data = b""
        while b"m=http://h:1" not in data:
            piece = sock.recv(65536)
            assert piece
            data += piece
        sock.close()
    asked = f'127\\.0\\.0\\.1 - - .*"GET /{token}\\?wait=true&recursive=true HTTP/1.1" 200 '
    eventually(lambda: len(re.findall(asked, service.log_text())) == 100, logs=[service])


def test_a_passed_socket_is_served(tmp_path):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        host, port = sock.getsockname()
        script = 'LISTEN_PID=$$ exec "$@"'
        words = [*command("discovery"), f"--data-dir={tmp_path}/registry", "-h", "http://d"]
        process = subprocess.Popen(
            ["sh", "-c", script, "sh", *words],
            env=environment({"LISTEN_FDS": "1"}),
            preexec_fn=lambda: os.dup2(sock.fileno(), 3, inheritable=True) and None,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            reply = eventually(lambda: http_request("GET", f"http://{host}:{port}/new"))
            assert reply.body.startswith(b"http://d/")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


BAD = [
    (["--nosuch"], 2, "unknown flag: --nosuch"),
    (["-a"], 2, "flag needs an argument: 'a' in -a"),
    (["-e", "http://a/b"], 2, "Expected url without path (/b)"),
    (["--etcd", "http://a,nohost"], 2, "Expected url without path (nohost)"),
    (["-h", "http://a?x"], 2, "Expected url without query (?x)"),
    (["--minage", "soon"], 2, 'invalid argument "soon"'),
    (["-a", "127.0.0.1:99999"], 1, "127.0.0.1:99999: invalid port"),
    (["--data-dir", "/dev/null/x"], 1, "--data-dir /dev/null/x: Not a directory"),
    (["-e", "https://a", "--cacert", "/nonexistent"], 1, "/nonexistent"),
]


@pytest.mark.parametrize(("words", "code", "text"), BAD)
def test_bad_input(words, code, text):
    (port,) = free_ports(1)
    addr = [] if "-a" in words else ["-a", f"127.0.0.1:{port}"]
    done = subprocess.run(
        [*command("etcd-discovery"), *addr, *words],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr.splitlines()[0]
    assert "Traceback" not in done.stderr


def test_a_token_that_nobody_completes_expires(started, tmp_path):
    service = started(DiscoveryProcess(tmp_path, f"--data-dir={tmp_path}/registry", "-m", "2s"))
    token = service.new(2).rpartition("/")[2]
    eventually(lambda: service.ask("GET", f"/{token}").status == 404, logs=[service])
