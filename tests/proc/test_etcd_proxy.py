"""A real proxy in front of real members: failover, watches, what it keeps and what it refuses."""

from __future__ import annotations

import contextlib
import json
import threading

import pytest

from tests.proc.test_etcd_watch import Watch
from tests.support.certs import make_certs
from tests.support.procs import (
    EtcdCluster,
    EtcdProcess,
    Process,
    command,
    eventually,
    free_ports,
    http_request,
)

pytestmark = pytest.mark.proc

FAST = ("--heartbeat-interval=50", "--election-timeout=300")


class Proxy(Process):
    """An etcd in proxy mode."""

    def __init__(self, name, directory, *flags, proxy="on", env=None, argv=None):
        (port,) = free_ports(1)
        self.client_url = f"http://127.0.0.1:{port}"
        self.data_dir = directory / f"{name}.etcd"
        words = [
            *(argv or command("etcd")),
            f"--name={name}",
            f"--data-dir={self.data_dir}",
            f"--listen-client-urls={self.client_url}",
            *([f"--proxy={proxy}"] if proxy else []),
            *flags,
        ]
        super().__init__(name, words, log_path=directory / f"{name}.log", env=env, cwd=directory)

    def request(self, method, path, **kwargs):
        return http_request(method, self.client_url + path, **kwargs)

    def endpoints(self):
        return self.request("GET", "/v2/config/local/proxy").json()["endpoints"]

    def wait_ready(self):
        self.wait_log("proxy: endpoints found ")
        self.wait_log(f"proxy: listening for client requests on {self.client_url}")

    @property
    def cluster_file(self):
        return self.data_dir / "proxy" / "cluster"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Members that no test here stops, nor an election: that would cost a request its answer."""
    flags = ["--election-timeout=3000"]
    with EtcdCluster(tmp_path_factory.mktemp("members"), 2, flags=flags) as found:
        yield found


@pytest.fixture
def started():
    """Processes to be ended with the test."""
    with contextlib.ExitStack() as stack:

        def start(process):
            stack.callback(process.close)
            process.start()
            return process

        yield start


def test_serves_like_a_member(cluster, started, tmp_path):
    proxy = started(Proxy("p", tmp_path, f"--initial-cluster={cluster.initial_cluster}"))
    proxy.wait_ready()
    member = cluster.members[0]
    assert sorted(proxy.endpoints()) == sorted(m.client_url for m in cluster.members)
    reply = proxy.request("PUT", "/v2/keys/p", body={"value": "1"})
    assert (reply.status, reply.json()["node"]["value"]) == (201, "1")
    eventually(lambda: member.value("/p") == "1")
    for path in ("/v2/keys/p", "/v2/keys/none", "/version", "/v2/members", "/v2/keys//p", "/none"):
        direct, through = (at.request("GET", path) for at in (member, proxy))
        assert (through.status, through.body) == (direct.status, direct.body)
        for name in ("Content-Type", "X-Etcd-Index", "X-Etcd-Cluster-Id", "Location"):
            assert through.headers[name] == direct.headers[name]
    assert proxy.request("HEAD", "/v2/keys/p").body == b""
    metrics = proxy.request("GET", "/metrics").body.decode()
    assert 'etcd_proxy_handled_total{code="201",method="PUT"} 1\n' in metrics
    large = "x" * (1 << 20)
    assert proxy.request("PUT", "/v2/keys/large", body={"value": large}).status == 201
    assert proxy.request("GET", "/v2/keys/large").json()["node"]["value"] == large
    proxy.stop()
    assert "osutil: received terminated signal, shutting down..." in proxy.log_text()


def test_watches(cluster, started, tmp_path):
    proxy = started(Proxy("p", tmp_path, f"--initial-cluster={cluster.initial_cluster}"))
    proxy.wait_ready()
    member = cluster.members[0]
    with Watch(proxy, "/w", "stream=true") as watch:
        assert "X-Etcd-Index: " in watch.head
        for value in ("1", "2"):
            member.put("/w", value)
            assert watch.event()["node"]["value"] == value
    watching = "etcd_store_watchers 0\n"
    for member in cluster.members:  # the upstream was told that the client is gone
        eventually(
            lambda member=member: watching in member.request("GET", "/metrics").body.decode(),
        )
    with Watch(proxy, "/w") as watch:
        member.put("/w", "3")
        assert watch.event()["node"]["value"] == "3"
        assert watch.ended
    eventually(lambda: "closed request prematurely" in proxy.log_text())


def test_readonly(cluster, started, tmp_path):
    flag = f"--initial-cluster={cluster.initial_cluster}"
    proxy = started(Proxy("p", tmp_path, flag, proxy="readonly"))
    proxy.wait_ready()
    assert proxy.request("GET", "/v2/keys/").status == 200
    for method in ("HEAD", "PUT", "POST", "DELETE", "OPTIONS"):
        reply = proxy.request(method, "/v2/keys/x", body={"value": "1"})
        assert (method, reply.status, reply.body) == (method, 501, b"")
    assert cluster.members[0].value("/x") is None


def test_failover_and_a_cluster_that_moves(started, tmp_path):
    with EtcdCluster(tmp_path, 3, flags=FAST) as cluster:
        proxy = started(
            Proxy(
                "p",
                tmp_path,
                f"--initial-cluster=x={cluster.members[0].peer_url}",
                "--proxy-refresh-interval=600000",
                "--proxy-failure-wait=700",
            )
        )
        proxy.wait_ready()
        assert len(proxy.endpoints()) == 3
        first = next(m for m in cluster.members if m.client_url == proxy.endpoints()[0])
        first.kill9()
        cluster.leader()  # a write while there is none may be lost, through a proxy or not

        def takes(value):
            reply = proxy.request("PUT", "/v2/keys/f", body={"value": value})
            return reply.status in (200, 201)

        for value in ("1", "2"):
            eventually(lambda value=value: takes(value), logs=[proxy])
        left = proxy.endpoints()
        log = proxy.log_text()
        assert f"proxy: failed to direct request to {first.client_url}: " in log
        assert f"proxy: marked endpoint {first.client_url} unavailable" in log
        assert first.client_url not in left or "available, to retest" in log
        proxy.wait_log(f"proxy: marked endpoint {first.client_url} available, to retest")
        first.start()
        first.wait_ready()
        eventually(lambda: len(proxy.endpoints()) == 3, logs=[proxy])
        assert json.loads(proxy.cluster_file.read_text()) == {
            "PeerURLs": sorted(m.peer_url for m in cluster.members)
        }
        assert "proxy: updated peer urls in cluster file from [" in proxy.log_text()

        # It starts again from what it has learned, whatever the flags say.
        proxy.stop()
        proxy.argv = [word for word in proxy.argv if not word.startswith("--proxy=")]
        proxy.argv += [
            "--initial-cluster=x=http://127.0.0.1:1",
            "--advertise-client-urls=http://x:1",
        ]
        cluster.members[0].kill9()
        proxy.start()
        proxy.wait_ready()
        assert "initialized as proxy before, starting as etcd proxy..." in proxy.log_text()
        assert f'from cluster file "{proxy.cluster_file}"' in proxy.log_text()
        cluster.leader()

        def has_kept():
            reply = proxy.request("GET", "/v2/keys/f?quorum=true")
            assert reply.status == 200, reply
            return reply.json()["node"]["value"] == "2"

        eventually(has_kept, logs=[proxy])

        # A long poll whose upstream dies ends like one without an event: clients ask again.
        watches = [Watch(proxy, "/f") for _ in range(3)]
        for member in cluster.running:
            member.kill9()
        for watch in watches:
            with watch:
                assert watch.ended
        reply = proxy.request("GET", "/v2/keys/f")
        assert (reply.status, reply.headers["Content-Type"]) in (
            (502, "application/json"),
            (503, "application/json"),
        )


def test_no_member_yet(started, tmp_path):
    cluster = EtcdCluster(tmp_path, 1, flags=FAST)
    proxy = started(Proxy("p", tmp_path, f"--initial-cluster={cluster.initial_cluster}"))
    proxy.wait_log("proxy: listening for client requests on ")
    reply = proxy.request("GET", "/v2/keys/")
    assert reply.status == 503
    assert reply.body == b'{"message":"proxy: zero endpoints currently available"}'
    proxy.wait_log("proxy: could not retrieve cluster information from the given urls")
    assert proxy.endpoints() == []
    with cluster:  # it looks every second as long as there is nobody
        proxy.wait_log("proxy: endpoints found ")
        assert proxy.request("GET", "/v2/keys/").status == 200


def test_damaged_cluster_file(started, tmp_path):
    proxy = Proxy("p", tmp_path)
    proxy.cluster_file.parent.mkdir(parents=True)
    proxy.cluster_file.write_text('{"PeerURLs":')
    started(proxy)
    assert proxy.wait() == 1
    assert f"C | etcdmain: {proxy.cluster_file}: " in proxy.log_text()
    assert "Traceback" not in proxy.log_text()


def test_a_member_stays_a_member_and_nothing_is_both(tmp_path):
    with EtcdCluster(tmp_path, 1, flags=FAST) as alone:
        (member,) = alone.members
        member.put("/k", "v")
        member.stop()
        member.argv.append("--proxy=on")
        member.start()
        member.wait_ready()
        assert "initialized as member before, starting as etcd member..." in member.log_text()
        assert member.value("/k") == "v"
        member.stop()
        (member.data_dir / "proxy").mkdir()
        member.start()
        assert member.wait() == 1
        assert "both member and proxy directories exist" in member.log_text()


def test_port_in_use(cluster, started, tmp_path):
    taken = cluster.members[0].client_url
    proxy = Proxy("p", tmp_path, f"--initial-cluster={cluster.initial_cluster}")
    proxy.argv.append(f"--listen-client-urls={taken}")
    started(proxy)
    assert proxy.wait() == 1
    port = taken.rpartition(":")[2]
    text = f"listen tcp 127.0.0.1:{port}: bind: address already in use"
    assert f"C | etcdmain: {text}" in proxy.log_text()


def test_many_clients_at_once(cluster, started, tmp_path):
    proxy = started(Proxy("p", tmp_path, f"--initial-cluster={cluster.initial_cluster}"))
    proxy.wait_ready()
    problems = []

    def work(number):
        for turn in range(20):
            value = f"{number}-{turn}"
            reply = proxy.request("PUT", f"/v2/keys/many/{number}", body={"value": value})
            if reply.status not in (200, 201) or reply.json()["node"]["value"] != value:
                problems.append(reply)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    found = proxy.request("GET", "/v2/keys/many").json()["node"]["nodes"]
    assert sorted(node["value"] for node in found) == [f"{number}-19" for number in range(8)]


def test_members_that_want_certificates(started, tmp_path):
    certs = make_certs(tmp_path)
    client_port, peer_port, tls_port = free_ports(3)
    url = f"https://127.0.0.1:{tls_port}"
    member = EtcdProcess(
        "m",
        tmp_path,
        client_port=client_port,
        peer_port=peer_port,
        initial_cluster=f"m=http://127.0.0.1:{peer_port}",
        flags=[
            *FAST,
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--cert-file={certs.server_cert}",
            f"--key-file={certs.server_key}",
            f"--trusted-ca-file={certs.ca}",
            "--client-cert-auth",
        ],
    )
    started(member)
    trusting = [
        f"--initial-cluster=m={member.peer_url}",
        f"--peer-trusted-ca-file={certs.ca}",
        f"--peer-cert-file={certs.client_cert}",
        f"--peer-key-file={certs.client_key}",
    ]
    proxy = started(Proxy("p", tmp_path, *trusting))
    proxy.wait_ready()
    assert proxy.endpoints() == [url]
    eventually(
        lambda: proxy.request("PUT", "/v2/keys/t", body={"value": "1"}).status in (200, 201),
        logs=[proxy],
    )
    with Watch(proxy, "/t", "stream=true") as watch:
        proxy.request("PUT", "/v2/keys/t", body={"value": "2"})
        assert watch.event()["node"]["value"] == "2"
    bare = started(Proxy("bare", tmp_path, trusting[0]))
    bare.wait_ready()
    assert bare.request("GET", "/v2/keys/t").status == 502
    assert "x509: certificate signed by unknown authority" in bare.log_text()
