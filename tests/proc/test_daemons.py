"""What all daemons owe: ready when told, no late imports, a clean end, their own name."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.support.procs import eventually, free_ports, http_request
from tests.support.rollerd import COREOS, STABLE, Machine, basic

pytestmark = pytest.mark.proc

UNIT = "[Service]\nExecStart=/bin/sleep 1000\n"


class Daemon:
    """One daemon from its own copy of the archive, with a socket to say READY=1 to."""

    def __init__(self, archive: Path, name: str, home: Path, words: list[str], **env: str) -> None:
        home.mkdir()
        self.home = home
        self.path = home / name
        shutil.copy(archive, self.path)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(home / "notify"))
        self.notify.settimeout(60)
        self.log = (home / "log").open("w+b")
        self.process = subprocess.Popen(
            [self.path, "--cache-dir", home / "cache", *words],
            cwd=home,
            env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(home / "notify"), **env},
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )

    def wait_ready(self) -> None:
        try:
            assert b"READY=1" in self.notify.recv(1000).split(b"\n")
        except TimeoutError:
            pytest.fail(f"not ready:\n{self.text()}")

    def spoil(self) -> None:
        """Put something else where the archive was: a late import would fail now."""
        self.path.write_bytes(b"not an archive any more\n" * 1000)

    def text(self) -> str:
        return (self.home / "log").read_text(errors="replace")

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.notify.close()
        self.log.close()


@pytest.fixture
def start(archive, tmp_path):
    """Start a daemon; it is killed at the end of the test if it still runs."""
    running = []

    def make(name, words, **env):
        daemon = Daemon(archive, name, tmp_path / name, words, **env)
        running.append(daemon)
        return daemon

    yield make
    for daemon in running:
        daemon.close()


@pytest.fixture
def etcd(start):
    """A ready etcd and the URL of its API."""
    client, peer = (f"http://127.0.0.1:{port}" for port in free_ports(2))
    daemon = start(
        "etcd",
        [
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}", "--data-dir", "data"),
        ],
    )
    daemon.wait_ready()
    return daemon, client


def http(method, url, body=None):
    request = urllib.request.Request(url, method=method, data=body)
    request.add_header("Content-Type", "application/x-www-form-urlencoded")
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as err:
        with err:
            return err.code, err.read()


def _comm(process):
    return Path(f"/proc/{process.pid}/comm").read_text().strip()


ETCD_REQUESTS = [
    ("GET", "/version", None, 200),
    ("GET", "/health", None, 200),
    ("PUT", "/v2/keys/a", b"value=1", 201),
    ("PUT", "/v2/keys/b/c", b"value=2&ttl=1", 201),
    ("POST", "/v2/keys/q", b"value=3", 201),
    ("GET", "/v2/keys/a?quorum=true", None, 200),
    ("GET", "/v2/keys/?recursive=true&sorted=true", None, 200),
    ("GET", "/v2/keys/nope", None, 404),
    ("PUT", "/v2/keys/a?prevValue=9", b"value=1", 412),
    ("PUT", "/v2/keys/a?ttl=x", b"", 400),
    ("GET", "/v2/keys/a?wait=true&waitIndex=1", None, 200),
    ("DELETE", "/v2/keys/b?recursive=true", None, 200),
    ("GET", "/v2/members", None, 200),
    ("POST", "/v2/members", b"{", 415),
    ("GET", "/v2/stats/self", None, 200),
    ("GET", "/v2/stats/store", None, 200),
    ("GET", "/v2/stats/leader", None, 200),
    ("GET", "/nope", None, 404),
    ("PATCH", "/v2/keys/a", None, 405),
]


def test_etcd(etcd):
    daemon, url = etcd
    assert _comm(daemon.process) == "etcd"
    assert os.listdir(daemon.home / "cache")
    daemon.spoil()
    eventually(lambda: http("PUT", f"{url}/v2/keys/first", b"value=1")[0] == 201)
    for method, path, body, status in ETCD_REQUESTS:
        assert http(method, url + path, body)[0] == status, (method, path)
    assert daemon.terminate() in (0, -signal.SIGTERM)
    assert "Traceback" not in daemon.text()
    assert "ZipImportError" not in daemon.text()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=60)


def test_fleetd(etcd, start, archive, tmp_path):
    _, url = etcd
    api = tmp_path / "fleet.sock"
    (tmp_path / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    daemon = start(
        "fleetd",
        [],
        FLEET_ETCD_SERVERS=url,
        FLEET_ETCD_REQUEST_TIMEOUT="20",
        FLEET_UNIT_MANAGER="embedded",
        FLEET_UNITS_DIRECTORY=str(tmp_path / "units"),
        FLEET_API_LISTEN=f"unix://{api}",
        FLEET_MACHINE_ID_FILE=str(tmp_path / "machine-id"),
        FLEET_PUBLIC_IP="127.0.0.1",
        XDG_RUNTIME_DIR=str(tmp_path),
    )
    daemon.wait_ready()
    assert _comm(daemon.process) == "fleetd"
    daemon.spoil()

    def fleetctl(*words):
        done = subprocess.run(
            [archive.parent / "bin" / "fleetctl", "--endpoint", f"unix://{api}", *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=120,
            check=False,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}{daemon.text()}"
        return done.stdout

    eventually(lambda: "01234567..." in fleetctl("list-machines"))
    (tmp_path / "sleep.service").write_text(UNIT)
    fleetctl("start", "sleep.service")
    assert "running" in fleetctl("list-units")
    assert "launched" in fleetctl("list-unit-files")
    fleetctl("stop", "sleep.service")
    fleetctl("destroy", "sleep.service")
    assert daemon.terminate() == 0
    assert "Traceback" not in daemon.text()
    assert "ZipImportError" not in daemon.text()


def test_rollerd(start):
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    password = "a long enough password"
    daemon = start(
        "rollerd", [f"-bind=127.0.0.1:{port}", "-data-dir=data"], ROLLERD_ADMIN_PASSWORD=password
    )
    daemon.wait_ready()
    assert _comm(daemon.process) == "rollerd"
    daemon.spoil()
    login = {"Authorization": basic("admin", password), "Accept": "application/json"}

    def ask(method, path, body=None):
        return http_request(method, url + path, body=body, headers=login)

    machine = Machine(1)
    assert http_request("POST", f"{url}/v1/update/", body=machine.check()).status == 200
    pages = ask("GET", "/")
    assert (pages.status, b"<html" in pages.body) == (200, True)
    script = re.search(rb'src="(/?[a-z/-]+\.js)"', pages.body)
    assert script is not None
    assert ask("GET", "/" + script[1].decode().lstrip("/")).status == 200
    app = f"/api/apps/{COREOS}"
    new = b'{"type": 4, "version": "1.0.0", "url": "http://x/"}'
    package = ask("POST", f"{app}/packages", new).json()["id"]
    stored = ask("POST", f"{app}/packages/{package}/payload", b"anything").json()
    assert ask("GET", f"/packages/{stored['filename']}").body == b"anything"
    for path in (
        "/api/config",
        "/api/activity",
        f"{app}/groups/{STABLE}",
        f"{app}/groups/{STABLE}/instances",
        f"{app}/groups/{STABLE}/status_timeline?duration=1d",
        "/metrics",
        "/health",
    ):
        assert ask("GET", path).status == 200, path
    assert daemon.terminate() == 0
    assert "Traceback" not in daemon.text()
    assert "ZipImportError" not in daemon.text()
