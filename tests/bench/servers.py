"""Clusters under measurement: ours from the archive, Debian's etcd with the v2 API switched on."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BIN = TOP / "dist" / "bin"
SUBJECTS = {"ours": [str(BIN / "etcd")], "peer": ["/usr/bin/etcd", "--enable-v2"]}
FORM = "application/x-www-form-urlencoded"
ROOT = "root:secret"
CLIENTS = {"ours": str(BIN / "etcdctl"), "peer": "/usr/bin/etcdctl"}


class Member:
    """One etcd process with its ports and data directory."""

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.data = home / name
        self.client_port, self.peer_port = free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.client_port}"

    @property
    def peer_url(self) -> str:
        return f"http://127.0.0.1:{self.peer_port}"

    def start(self, program: list[str], cluster: str) -> None:
        with Path(f"{self.data}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *program,
                    f"--name={self.name}",
                    f"--data-dir={self.data}",
                    f"--listen-client-urls={self.url}",
                    f"--advertise-client-urls={self.url}",
                    f"--listen-peer-urls={self.peer_url}",
                    f"--initial-advertise-peer-urls={self.peer_url}",
                    f"--initial-cluster={cluster}",
                ],
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def rss_kib(self) -> int:
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return next(
            int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")
        )


class Cluster:
    """`count` members of one subject ("ours" or "peer")."""

    def __init__(self, subject: str, count: int, home: Path, *flags: str) -> None:
        self.program = [*SUBJECTS[subject], *flags]
        self.members = [Member(f"m{n}", home) for n in range(count)]
        self.peers = ",".join(f"{m.name}={m.peer_url}" for m in self.members)

    def start(self) -> None:
        for member in self.members:
            member.start(self.program, self.peers)
        for member in self.members:
            wait_for(lambda member=member: put(member, "ready", "yes"))

    def leader(self) -> Member:
        return next(m for m in self.members if state(m) == "StateLeader")

    def follower(self) -> Member:
        return next(m for m in self.members if state(m) == "StateFollower")


@contextlib.contextmanager
def running(subject: str, count: int, *flags: str) -> Iterator[Cluster]:
    """A fresh cluster that answers; gone, with its data, at the end."""
    home = Path(tempfile.mkdtemp(prefix="coreos-bench-", dir=os.environ.get("BENCH_DIR")))
    cluster = Cluster(subject, count, home, *flags)
    try:
        cluster.start()
        yield cluster
    finally:
        for member in cluster.members:
            if member.process is not None and member.process.poll() is None:
                member.kill()
        shutil.rmtree(home, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def enable_auth(member: Member) -> None:
    """Make a root user, ROOT, and switch authentication on."""
    name, _, password = ROOT.partition(":")
    user = json.dumps({"user": name, "password": password})
    for path, body in ((f"users/{name}", user), ("enable", "")):
        status, text = request(member, "PUT", f"/v2/auth/{path}", body, kind="application/json")
        assert status in (200, 201), text


def request(
    member: Member, method: str, path: str, body: str | None = None, *, kind: str = FORM
) -> tuple[int, str]:
    """(status, body) of one request on a connection of its own; OSError when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", member.client_port, timeout=2)
    try:
        headers = {"Content-Type": kind} if body else {}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


def put(member: Member, key: str, value: str) -> bool:
    try:
        return request(member, "PUT", f"/v2/keys/{key}", f"value={value}")[0] in (200, 201)
    except OSError:
        return False


def get(member: Member, key: str) -> bool:
    try:
        return request(member, "GET", f"/v2/keys/{key}?quorum=true")[0] == 200
    except OSError:
        return False


def state(member: Member) -> str:
    return str(json.loads(request(member, "GET", "/v2/stats/self")[1])["state"])


def wait_for(done, *, within_s: float = 60.0) -> float:
    """Seconds until `done` was true."""
    begin = time.monotonic()
    while not done():
        assert time.monotonic() - begin < within_s, f"not within {within_s:g} s"
        time.sleep(0.005)
    return time.monotonic() - begin
