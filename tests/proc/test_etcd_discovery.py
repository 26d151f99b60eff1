"""Clusters that find together through a discovery URL or DNS, with our own etcd as the service."""

from __future__ import annotations

import contextlib
import json
import subprocess

import pytest

from tests.support.dns_server import DNSServer
from tests.support.procs import (
    EtcdCluster,
    EtcdProcess,
    command,
    environment,
    eventually,
    free_ports,
)

pytestmark = pytest.mark.proc

FAST = ("--heartbeat-interval=50", "--election-timeout=300")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One etcd that serves as discovery service for every test here."""
    with EtcdCluster(tmp_path_factory.mktemp("service"), 1) as cluster:
        yield cluster.members[0]


@pytest.fixture
def started():
    """Processes to be ended with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda process: stack.callback(process.close) and process.start()


def token(service, name, size):
    """A new discovery URL."""
    path = f"/discover/{name}"
    assert service.put(f"{path}/_config/size", str(size)).status == 201
    return f"{service.client_url}/v2/keys{path}"


def member(name, directory, *flags, env=None):
    """A member that is told no initial cluster."""
    client_port, peer_port = free_ports(2)
    process = EtcdProcess(
        name,
        directory,
        client_port=client_port,
        peer_port=peer_port,
        initial_cluster="",
        flags=[*FAST, *flags],
        env=env,
    )
    process.argv = [word for word in process.argv if not word.startswith("--initial-cluster=")]
    return process


def names(process):
    return sorted(item["name"] for item in process.request("GET", "/v2/members").json()["members"])


def test_three_members_and_one_too_many(service, started, tmp_path):
    url = token(service, "three", 3)
    members = [member(f"m{at}", tmp_path, f"--discovery={url}") for at in range(3)]
    for process in members[:2]:
        started(process)
    members[1].wait_log("found [12] peer.s., waiting for [12] more")
    started(members[2])
    for process in members:
        process.wait_ready()
    eventually(lambda: names(members[0]) == ["m0", "m1", "m2"], logs=members)
    members[0].write("/k", "v")
    registered = service.get("/discover/three").json()["node"]["nodes"]
    assert sorted(node["value"] for node in registered) == sorted(
        f"{process.name}={process.peer_url}" for process in members
    )

    proxy = member("m3", tmp_path, f"--discovery={url}")
    started(proxy)
    proxy.wait_log("discovery cluster full, falling back to proxy")
    proxy.wait_log("proxy: endpoints found ")
    eventually(lambda: proxy.value("/k") == "v", logs=[proxy])
    eventually(lambda: proxy.put("/k", "w").status == 200, logs=[proxy])
    eventually(lambda: members[2].value("/k", quorum=True) == "w", logs=members)
    assert sorted(item.name for item in proxy.data_dir.iterdir()) == ["proxy"]

    leaver = member("m4", tmp_path, f"--discovery={url}", "--discovery-fallback=exit")
    started(leaver)
    assert leaver.wait() == 1
    text = "failed to join discovery cluster (discovery: cluster is full)"
    assert f"E | etcdmain: {text}" in leaver.log_text()
    assert f"discovery token {url} was used, but failed to bootstrap" in leaver.log_text()
    assert list(leaver.data_dir.iterdir()) == []

    service.request("DELETE", "/v2/keys/discover/three?recursive=true")
    members[0].restart()  # the token is of no matter any more
    members[0].wait_log("discovery token ignored since a cluster has already been initialized")
    members[0].wait_ready()
    eventually(lambda: members[0].value("/k") == "w", logs=members)


# Token, extra flags, exit status, last words.
REFUSALS = [
    ("none", [], "failed to join discovery cluster (100: Key not found (/discover/none) ["),
    ("sizeless", [], "failed to join discovery cluster (100: Key not found (/discover/sizeless/_"),
    ("bad", [], "failed to join discovery cluster (discovery: size key is bad)"),
    ("zero", [], "failed to join discovery cluster (discovery: size key is bad)"),
    (
        "one",
        ["--initial-cluster-state=existing"],
        "discovery URL should not be set when joining existing initial cluster",
    ),
    (
        "one",
        ["--discovery-proxy=socks5://x"],
        "failed to join discovery cluster (invalid proxy address 'socks5://x'",
    ),
]


@pytest.mark.parametrize(("name", "flags", "text"), REFUSALS)
def test_refusals(service, started, tmp_path, name, flags, text):
    for key, size in (("sizeless/x", "1"), ("bad/_config/size", "x"), ("zero/_config/size", "0")):
        service.put(f"/discover/{key}", size)
    url = f"{service.client_url}/v2/keys/discover/{name}"
    process = member("m", tmp_path, f"--discovery={url}", *flags)
    started(process)
    assert process.wait() == 1
    assert text in process.log_text()
    assert "Traceback" not in process.log_text()


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("{service}/nothing/here", "(discovery: bad discovery endpoint)"),
        ("nonsense", '(discovery: invalid URL parse "nonsense": missing protocol scheme)'),
    ],
)
def test_no_discovery_service(service, started, tmp_path, url, text):
    url = url.format(service=service.client_url)
    process = member("m", tmp_path, f"--discovery={url}")
    started(process)
    assert process.wait() == 1
    assert f"failed to join discovery cluster {text}" in process.log_text()


def test_through_an_http_proxy(service, started, tmp_path):
    """An etcd takes requests in the form that proxies get, so it can stand in for one."""
    url = token(service, "proxied", 1).replace(service.client_url, "http://discovery.invalid")
    where = service.client_url.removeprefix("http://")
    process = member("m", tmp_path, f"--discovery={url}", f"--discovery-proxy={where}")
    started(process)
    process.wait_ready()
    assert f'discovery: using proxy "http://{where}"' in process.log_text()
    assert names(process) == ["m"]


def test_an_id_is_registered_once(service, started, tmp_path):
    url = token(service, "twice", 2)
    process = member("m", tmp_path, f"--discovery={url}")
    started(process)
    process.wait_log("waiting for 1 more")
    process.restart()
    assert process.wait() == 1
    log = process.log_text()
    text = f'member "m" has previously registered with discovery service token ({url}).'
    assert f"E | etcdmain: {text}" in log
    assert f"in the given data dir ({process.data_dir})." in log


def test_two_members_of_one_name(service, started, tmp_path):
    url = token(service, "names", 2)
    (tmp_path / "other").mkdir()
    processes = [member("m", tmp_path / path, f"--discovery={url}") for path in (".", "other")]
    for process in processes:
        started(process)
    for process in processes:
        assert process.wait() == 1
        text = f"member with duplicated name has registered with discovery service token({url})."
        assert text in process.log_text()


def test_one_url_of_two_members(service, started, tmp_path):
    url = token(service, "urls", 2)
    process = member("m", tmp_path, f"--discovery={url}")
    service.put("/discover/urls/1f", f"other={process.peer_url}")
    started(process)
    assert process.wait() == 1
    shown = f"m={process.peer_url},other={process.peer_url}"
    assert f"C | etcdmain: discovery cluster {shown} has duplicate url" in process.log_text()


def test_the_service_comes_late(started, tmp_path):
    client_port, peer_port = free_ports(2)
    service = EtcdProcess(
        "s",
        tmp_path,
        client_port=client_port,
        peer_port=peer_port,
        initial_cluster=f"s=http://127.0.0.1:{peer_port}",
        flags=FAST,
    )
    started(service)  # to be told of the cluster; a member that comes between would find nothing
    service.wait_ready()
    assert service.put("/t/_config/size", "1").status == 201
    service.kill9()
    url = f"{service.client_url}/v2/keys/t"
    process = member("m", tmp_path, f"--discovery={url}")
    started(process)
    text = f"cluster status check: error connecting to {service.client_url}, retrying in 2s"
    process.wait_log(text)
    process.wait_log("error #0: dial tcp 127[.]0[.]0[.]1:")
    service.start()
    process.wait_ready()
    assert names(process) == ["m"]


# -- DNS ------


@pytest.fixture
def dns(tmp_path):
    """A DNS server whose records a test fills in, and the environment that leads to it."""
    with DNSServer({}) as server:
        path = server.resolv_conf(tmp_path / "resolv.conf")
        yield server, {"COREOS_RESOLV_CONF": str(path)}


def port(url):
    return int(url.rpartition(":")[2])


def srv_member(name, directory, env, *flags):
    """A member whose URLs are known by the name that DNS has."""
    process = member(name, directory, "--discovery-srv=example.com", *flags, env=env)
    advertise = process.peer_url.replace("127.0.0.1", "localhost")
    process.argv = [
        f"--initial-advertise-peer-urls={advertise}"
        if word.startswith("--initial-advertise-peer-urls=")
        else word
        for word in process.argv
    ]
    return process


def test_members_and_clients_by_dns(started, tmp_path, dns):
    server, env = dns
    # No election may come in between: it costs etcdctl an answer.
    members = [srv_member(f"m{at}", tmp_path, env, "--election-timeout=3000") for at in range(3)]
    server.records["_etcd-server._tcp.example.com"] = [
        (0, 0, port(process.peer_url), "localhost.") for process in members
    ]
    server.records["_etcd-client._tcp.example.com"] = [
        (0, 0, port(process.client_url), "localhost.") for process in members
    ]
    for process in members:
        started(process)
    for process in members:
        process.wait_ready()
    eventually(lambda: names(members[0]) == ["m0", "m1", "m2"], logs=members)
    first = members[0].log_text()
    where = f"http://localhost:{port(members[0].peer_url)}"
    assert f"discovery: got bootstrap from DNS for etcd-server at {where}" in first

    def etcdctl(*words, **more):
        return subprocess.run(
            [*command("etcdctl"), *words],
            env=environment({**env, **more}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    done = etcdctl("--discovery-srv", "example.com", "set", "k", "v")
    assert (done.returncode, done.stdout) == (0, "v\n")
    done = etcdctl("-D", "example.com", "--no-sync", "get", "--quorum", "k")
    assert (done.returncode, done.stdout) == (0, "v\n")
    done = etcdctl("get", "--quorum", "k", ETCDCTL_DISCOVERY_SRV="example.com")
    assert (done.returncode, done.stdout) == (0, "v\n")
    done = etcdctl("-D", "nowhere.example", "get", "k")
    assert (done.returncode, done.stdout) == (1, "")
    lookups = [
        f"lookup _{name}._tcp.nowhere.example on 127.0.0.1:{server.port}: no such host"
        for name in ("etcd-client-ssl", "etcd-client")
    ]
    assert done.stderr.strip() == f"dns lookup errors: {lookups[0]} and {lookups[1]}"

    server.records.clear()  # and a member that has its data asks nobody
    members[1].restart()
    members[1].wait_ready()

    proxy = srv_member("p", tmp_path, env, "--proxy=on")
    server.records["_etcd-server._tcp.example.com"] = [
        (0, 0, port(process.peer_url), "localhost.") for process in members
    ]
    started(proxy)
    proxy.wait_log("proxy: endpoints found ")
    eventually(lambda: proxy.value("/k") == "v", logs=[proxy])
    file = proxy.data_dir / "proxy" / "cluster"
    peers = sorted(process.peer_url.replace("127.0.0.1", "localhost") for process in members)
    eventually(lambda: json.loads(file.read_text())["PeerURLs"] == peers, logs=[proxy])


def test_dns_does_not_know_us(started, tmp_path, dns):
    server, env = dns
    server.records["_etcd-server._tcp.example.com"] = [(0, 0, 1, "localhost.")]
    process = srv_member("m", tmp_path, env)
    started(process)
    assert process.wait() == 1
    text = 'error setting up initial cluster: cannot find local etcd member "m" in SRV records'
    assert f"C | etcdmain: {text}" in process.log_text()


def test_dns_knows_nobody(started, tmp_path, dns):
    server, env = dns
    process = srv_member("m", tmp_path, env)
    started(process)
    assert process.wait() == 1
    where = f"on 127.0.0.1:{server.port}: no such host"
    log = process.log_text()
    assert "E | discovery: SRV discovery failed: too many errors querying DNS SRV records" in log
    lookup = f"lookup _etcd-server._tcp.example.com {where}"
    assert f"C | etcdmain: error setting up initial cluster: {lookup}" in log
