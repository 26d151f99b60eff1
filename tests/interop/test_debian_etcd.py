"""Beside Debian's etcd 3.4: its etcdctl (API 2) on our server, our fleetd on its etcd."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.procs import (
    ETCDCTL_PATIENCE,
    EtcdCluster,
    EtcdProcess,
    Process,
    command,
    environment,
    eventually,
    free_ports,
    http_request,
)

ETCD, ETCDCTL = shutil.which("etcd"), shutil.which("etcdctl")

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        ETCD is None or ETCDCTL is None, reason="Debian's etcd-server and etcd-client are missing"
    ),
]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory):
    with EtcdCluster(tmp_path_factory.mktemp("ours"), 1) as cluster:
        yield cluster.members[0]


def debian_etcdctl(url: str, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    assert ETCDCTL is not None
    return subprocess.run(
        [ETCDCTL, *ETCDCTL_PATIENCE, "--endpoints", url, *words],
        env=environment({"ETCDCTL_API": "2"}),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# (words, exit code, stdout; None = not compared). In order, on one server.
DIALOGUE = [
    (["set", "/app/a", "1"], 0, "1\n"),
    (["get", "/app/a"], 0, "1\n"),
    (["mk", "/app/a", "2"], 4, ""),
    (["update", "/app/a", "3"], 0, "3\n"),
    (["set", "/app/a", "4", "--swap-with-value", "3"], 0, "4\n"),
    (["set", "/app/a", "5", "--swap-with-value", "3"], 4, ""),
    (["mkdir", "/app/dir"], 0, ""),
    (["setdir", "/app/dir2"], 0, ""),
    (["mk", "/app/queue", "x", "--in-order"], 0, "x\n"),
    (["ls", "/app", "--sort"], 0, "/app/a\n/app/dir\n/app/dir2\n/app/queue\n"),
    (["ls", "/", "--recursive", "--sort", "-p"], 0, None),
    (["get", "/app/dir"], 1, ""),
    (["rm", "/app/dir"], 4, ""),
    (["rmdir", "/app/dir"], 0, ""),
    (["set", "/app/t", "x", "--ttl", "60"], 0, "x\n"),
    (["get", "/nothing"], 4, ""),
    (["rm", "/app", "--recursive"], 0, ""),
    (["ls", "/"], 0, ""),
    (["cluster-health"], 0, None),
    (["member", "list"], 0, None),
]


def test_debians_etcdctl_on_our_server(ours):
    for words, status, output in DIALOGUE:
        done = debian_etcdctl(ours.client_url, *words)
        assert done.returncode == status, (words, done)
        if output is not None:
            assert done.stdout == output, (words, done)


def test_debians_etcdctl_watches_our_server(ours):
    assert ETCDCTL is not None
    watching = subprocess.Popen(
        [
            ETCDCTL,
            *ETCDCTL_PATIENCE,
            "--endpoints",
            ours.client_url,
            "watch",
            "/watched",
            "--recursive",
        ],
        env=environment({"ETCDCTL_API": "2"}),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:

        def watchers() -> bool:
            return bool(ours.request("GET", "/v2/stats/store").json()["watchers"])

        eventually(watchers)
        ours.put("/watched/key", "seen")
        assert watching.communicate(timeout=120)[0] == "[set] /watched/key\nseen\n"
    finally:
        watching.kill()
        watching.wait()


@pytest.fixture
def debian(tmp_path: Path):
    """One member of Debian's etcd 3.4 with the v2 API."""
    assert ETCD is not None
    client, peer = free_ports(2)
    url = f"http://127.0.0.1:{client}"
    member = Process(
        "debian",
        [
            ETCD,
            "--enable-v2",
            "--name=debian",
            f"--data-dir={tmp_path}/data",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=debian=http://127.0.0.1:{peer}",
        ],
        log_path=tmp_path / "debian.log",
    )
    member.start()
    try:
        eventually(lambda: etcdctl(url, "cluster-health").returncode == 0)
        yield url
    finally:
        member.close()


def etcdctl(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return ours_command("etcdctl", "--endpoints", url, *words)


def ours_command(name: str, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command(name), *words],
        env=environment(extra),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_our_fleetd_on_debians_etcd(debian: str, tmp_path: Path):
    (tmp_path / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (port,) = free_ports(1)
    endpoint = f"http://127.0.0.1:{port}"
    fleetd = Process(
        "fleetd",
        command("fleetd"),
        log_path=tmp_path / "fleetd.log",
        env={
            "FLEET_ETCD_SERVERS": debian,
            "FLEET_ETCD_REQUEST_TIMEOUT": "20",
            "FLEET_UNIT_MANAGER": "embedded",
            "FLEET_UNITS_DIRECTORY": f"{tmp_path}/units",
            "FLEET_MACHINE_ID_FILE": f"{tmp_path}/machine-id",
            "FLEET_API_LISTEN": endpoint,
            "FLEET_PUBLIC_IP": "127.0.0.1",
        },
    )
    unit = tmp_path / "hello.service"
    unit.write_text("[Service]\nExecStart=/bin/sleep 1000\n")
    fleetd.start()
    try:

        def fleetctl(*words: str) -> str:
            done = ours_command("fleetctl", "--endpoint", endpoint, *words)
            assert done.returncode == 0, done
            return done.stdout

        eventually(
            lambda: fleetctl("list-machines", "--no-legend").startswith("01234567..."),
            logs=[fleetd],
        )
        started = fleetctl("start", str(unit))
        assert started.endswith("Unit hello.service launched on 01234567.../127.0.0.1\n")
        assert "hello.service\t01234567.../127.0.0.1\tactive\trunning" in fleetctl("list-units")
        stored = etcdctl(debian, "get", "/_coreos.com/fleet/job/hello.service/object").stdout
        assert json.loads(stored)["Name"] == "hello.service"
        assert fleetctl("destroy", "hello.service") == "Destroyed hello.service\n"
        eventually(lambda: fleetctl("list-units", "--no-legend") == "", logs=[fleetd])
    finally:
        fleetd.stop()
        fleetd.close()


@pytest.mark.parametrize("snapshot_count", [5, 10000])
def test_debians_backup_of_our_data_dir(tmp_path: Path, snapshot_count: int):
    assert ETCD is not None
    assert ETCDCTL is not None
    flags = [f"--snapshot-count={snapshot_count}"]
    with EtcdCluster(tmp_path, 1, flags=flags) as cluster:
        for number in range(12):
            assert cluster.members[0].put(f"/k{number}", f"v{number}").status == 201
        cluster.members[0].kill9()
    client, peer = free_ports(2)
    copy = EtcdProcess(
        "copy",
        tmp_path,
        client_port=client,
        peer_port=peer,
        initial_cluster=f"copy=http://127.0.0.1:{peer}",
        flags=["--force-new-cluster", "--enable-v2"],
        argv=[ETCD],
    )
    data_dir = str(cluster.members[0].data_dir)
    words = ["backup", "--data-dir", data_dir, "--backup-dir", str(copy.data_dir)]
    done = debian_etcdctl("http://127.0.0.1:1", *words)
    assert done.returncode == 0, done
    copy.start()
    try:
        eventually(lambda: copy.value("/k11") == "v11", logs=[copy])
        assert copy.value("/k0") == "v0"
        assert copy.put("/new", "x").status == 201
    finally:
        copy.close()
    # etcd 3 pads the records of its log; etcd 2.3.8 cannot read them either.
    words = ["backup", "--data-dir", str(copy.data_dir), "--backup-dir", f"{tmp_path}/back"]
    done = ours_command("etcdctl", *words)
    assert done.returncode == 1
    assert "its records are padded, as etcd 3 writes them" in done.stderr
    assert "Traceback" not in done.stderr


def lone_member(
    name: str, directory: Path, *, flags: list[str] | None = None, argv: list[str] | None = None
) -> EtcdProcess:
    client, peer = free_ports(2)
    return EtcdProcess(
        name,
        directory,
        client_port=client,
        peer_port=peer,
        initial_cluster=f"{name}=http://127.0.0.1:{peer}",
        flags=flags or [],
        argv=argv,
    )


def test_our_cluster_restored_from_debians_snapshot(tmp_path: Path):
    assert ETCD is not None
    flags = ["--enable-v2", "--snapshot-count=5"]
    theirs = lone_member("theirs", tmp_path, flags=flags, argv=[ETCD])
    ours = lone_member("ours", tmp_path)
    theirs.start()
    try:
        eventually(lambda: theirs.put("/k", "v").status < 300, logs=[theirs])
        for number in range(30):
            assert theirs.put(f"/k{number}", f"v{number}").status == 201
        # They are written in place: only the second one tells that the first is whole.
        eventually(lambda: len(list(theirs.snap_dir.glob("*.snap"))) > 1, logs=[theirs])
        oldest = min(theirs.snap_dir.glob("*.snap"))
    finally:
        theirs.close()
    words = ["--name=ours", f"--data-dir={ours.data_dir}"]
    words += [f"--initial-cluster=ours={ours.peer_url}"]
    words += [f"--initial-advertise-peer-urls={ours.peer_url}"]
    done = ours_command("etcdctl", "snapshot", "restore", str(oldest), *words)
    assert (done.returncode, done.stderr) == (0, "")
    ours.start()
    try:
        ours.wait_ready()
        assert ours.value("/k") == "v"
        assert ours.request("GET", "/version").json()["etcdcluster"] == "2.3.0"
    finally:
        ours.close()


def test_debians_members_meet_through_our_discovery_service(tmp_path: Path):
    assert ETCD is not None
    service_port, *ports = free_ports(5)
    service_url = f"http://127.0.0.1:{service_port}"
    flags = [f"--addr=127.0.0.1:{service_port}", f"--host={service_url}"]
    argv = [*command("etcd-discovery"), f"--data-dir={tmp_path}/registry", *flags]
    started = [Process("discovery", argv, log_path=tmp_path / "discovery.log")]
    try:
        started[0].start()
        started[0].wait_log("discovery serving on")
        token = http_request("GET", f"{service_url}/new?size=2").body.decode()
        urls = []
        for at, (client, peer) in enumerate([ports[:2], ports[2:]]):
            url, peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
            words = [
                f"--name=m{at}",
                f"--data-dir={tmp_path}/m{at}",
                f"--discovery={token}",
                f"--listen-client-urls={url}",
                f"--advertise-client-urls={url}",
                f"--listen-peer-urls={peer_url}",
                f"--initial-advertise-peer-urls={peer_url}",
                "--enable-v2",
            ]
            member = Process(f"m{at}", [ETCD, *words], log_path=tmp_path / f"m{at}.log")
            started.append(member)
            member.start()
            urls.append(url)
        eventually(
            lambda: etcdctl(urls[0], "cluster-health").stdout.endswith("cluster is healthy\n"),
            logs=started,
        )

        def names() -> list[str]:
            listed = etcdctl(urls[1], "member", "list").stdout
            return sorted(re.findall(r"name=(\S+)", listed))

        eventually(lambda: names() == ["m0", "m1"], logs=started)
    finally:
        for process in started:
            process.close()
