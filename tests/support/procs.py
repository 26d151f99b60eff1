"""Real processes of ours on loopback: start, kill, pause, restart, wait, and never leak.

Commands run from the checkout (`python -m coreos_py NAME`), or from the archive that COREOS_PYZ
names. Every process ends with its test: by its owner's close(), or with the test process at the
latest. Every wait fails with the last value seen and the tail of the logs.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, Self, TypeVar

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = os.environ.get("COREOS_PYZ", "")
LOG_TAIL_LINES = 25
PATIENCE_S = 60.0  # for what takes a second: a deadline costs nothing until it is missed
ASK_S = 5.0  # for a member that may be paused
_PR_SET_PDEATHSIG = 1
_PORTS_PER_BLOCK = 100

T = TypeVar("T")


class Failure(AssertionError):
    """A wait that was in vain, with what was seen last."""


def eventually(
    fn: Callable[[], T],
    *,
    within_s: float = PATIENCE_S,
    every_s: float = 0.05,
    logs: Iterable[Process] = (),
) -> T:
    """The first truthy result of `fn`; failures to ask or to understand count as "not yet"."""
    deadline = time.monotonic() + within_s
    last: object = None
    while True:
        try:
            result = fn()
        except (AssertionError, OSError, LookupError, ValueError) as error:
            last = f"{type(error).__name__}: {error}"
        else:
            if result:
                return result
            last = repr(result)
        if time.monotonic() > deadline:
            tails = "".join(f"\n--- {p.name}\n{p.log_tail()}" for p in logs)
            raise Failure(f"not within {within_s} s; last: {last}{tails}")
        time.sleep(every_s)


class _Ports:
    """Ports of this test process alone, below those the kernel gives to outgoing connections.

    A port from bind(0) may be somebody's by the time a member is started, or started again. These
    come from a block that an abstract socket's name reserves for as long as this process lives.
    """

    def __init__(self) -> None:
        self._held: socket.socket | None = None
        self._block = range(0)
        self._next = 0

    def reserve(self) -> None:
        self._block = self._block or self._reserve()

    def take(self) -> int:
        self.reserve()
        for _ in range(_PORTS_PER_BLOCK):
            if self._next == len(self._block):
                self._next = 0
            port = self._block[self._next]
            self._next += 1
            if _is_free(port):
                return port
        raise Failure(f"none of the ports {self._block} is free")

    def _reserve(self) -> range:
        words = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        top = int(words[0]) if int(words[0]) > 12_000 else 32_000
        for first in range(10_000, top - _PORTS_PER_BLOCK, _PORTS_PER_BLOCK):
            held = socket.socket(socket.AF_UNIX)
            try:
                held.bind(f"\0coreos-tests-ports-{first}")
            except OSError:
                held.close()
            else:
                self._held = held
                return range(first, first + _PORTS_PER_BLOCK)
        raise Failure("every block of ports is reserved by another test process")


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        # As servers do: what is left of connections of before is no hindrance.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("", port))
        except OSError:
            return False
    return True


_ports = _Ports()


def reserve_ports() -> None:
    """Have the block that `free_ports` gives from: what is asked in a network of one's own, where
    nobody sees what others have reserved, is used outside it later.
    """
    _ports.reserve()


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, and nobody else will soon."""
    return [_ports.take() for _ in range(count)]


# etcdctl gives an endpoint one second, which a busy machine may need for any answer.
ETCDCTL_PATIENCE = ("--timeout=60s", "--total-timeout=120s")


def command(name: str) -> list[str]:
    """The words that run one of our commands."""
    patience = ETCDCTL_PATIENCE if name == "etcdctl" else ()
    if ARCHIVE:
        return [sys.executable, "-IS", ARCHIVE, name, *patience]
    return [sys.executable, "-m", "coreos_py", name, *patience]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A clean environment for a command."""
    keep = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR", "LANG") if key in os.environ}
    return {**keep, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **(extra or {})}


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """One process that can be killed, paused and started again with the same words."""

    def __init__(
        self,
        name: str,
        argv: list[str],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.argv = argv
        self.log_path = log_path
        self.env = environment(env)
        self.cwd = cwd
        self._popen: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int:
        assert self._popen is not None, f"{self.name} was never started"
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def cpu_seconds(self) -> float:
        """What it has cost the processors so far, all its threads, to a hundredth."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def start(self) -> None:
        """Start it (again); its log goes on in the same file."""
        assert not self.running, f"{self.name} is running already"
        self._close_log()
        self._log = self.log_path.open("ab")
        self._log_start = self._log.tell()
        self._popen = subprocess.Popen(
            self.argv,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=self.env,
            cwd=self.cwd,
            preexec_fn=_die_with_parent,
        )

    def wait(self, *, within_s: float = PATIENCE_S) -> int:
        """The exit status, once it has ended by itself."""
        assert self._popen is not None
        try:
            status = self._popen.wait(within_s)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} still runs after {within_s} s\n{self.log_tail()}") from None
        self._close_log()
        return status

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def stop(self, *, within_s: float = PATIENCE_S) -> int:
        """SIGTERM, and its exit status."""
        if self.running:
            self.signal(signal.SIGTERM)
        return self.wait(within_s=within_s)

    def kill9(self) -> None:
        """SIGKILL: no chance to tidy up."""
        if self.running:
            self.signal(signal.SIGKILL)
        self.wait()

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def restart(self) -> None:
        """kill -9 and start."""
        self.kill9()
        self.start()

    def close(self) -> None:
        """Make sure that it is gone."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self.resume()
            self.kill9()
        self._close_log()

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def log_text(self, *, whole: bool = False) -> str:
        """What it has logged since it was last started, or ever."""
        data = self.log_path.read_bytes() if self.log_path.exists() else b""
        return data[0 if whole else self._log_start :].decode("utf-8", "replace")

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        return "\n".join(self.log_text(whole=True).splitlines()[-lines:])

    def wait_log(self, pattern: str, *, within_s: float = PATIENCE_S) -> re.Match[str]:
        """Wait for a line since the last start that matches."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.log_text())
            if found is None and not self.running:
                raise Failure(f"{self.name} has ended without {pattern!r}\n{self.log_tail()}")
            return found

        found = eventually(look, within_s=within_s, logs=[self])
        assert found is not None
        return found


class Reply(NamedTuple):
    """An HTTP reply."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def etcd_index(self) -> int:
        """X-Etcd-Index."""
        return int(self.headers["X-Etcd-Index"])


def http_request(
    method: str,
    url: str,
    *,
    body: bytes | str | Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
    tls: ssl.SSLContext | None = None,
) -> Reply:
    """One request on its own connection; a mapping as body is sent as a form.

    OSError when no whole answer comes.
    """
    parts = urllib.parse.urlsplit(url)
    assert parts.hostname is not None
    sent = dict(headers or {})
    if isinstance(body, Mapping):
        body = urllib.parse.urlencode(body)
        sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
    conn: http.client.HTTPConnection
    if parts.scheme == "https":
        conn = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=timeout_s, context=tls
        )
    else:
        conn = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        conn.request(method, target, body=body, headers=sent)
        response = conn.getresponse()
        return Reply(response.status, response.headers, response.read())
    except http.client.HTTPException as error:  # half an answer: its server died in between
        raise ConnectionError(f"{type(error).__name__}: {error}") from error
    finally:
        conn.close()


class EtcdProcess(Process):
    """One etcd member."""

    def __init__(
        self,
        name: str,
        directory: Path,
        *,
        client_port: int,
        peer_port: int,
        initial_cluster: str,
        flags: Iterable[str] = (),
        argv: list[str] | None = None,
        env: Mapping[str, str] | None = None,
        scheme: str = "http",
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.directory = directory
        self.data_dir = directory / f"{name}.etcd"
        self.client_url = f"{scheme}://{host}:{client_port}"
        self.peer_url = f"{scheme}://{host}:{peer_port}"
        self.tls = tls
        words = [
            *(argv or command("etcd")),
            f"--name={name}",
            f"--data-dir={self.data_dir}",
            f"--listen-client-urls={self.client_url}",
            f"--advertise-client-urls={self.client_url}",
            f"--listen-peer-urls={self.peer_url}",
            f"--initial-advertise-peer-urls={self.peer_url}",
            f"--initial-cluster={initial_cluster}",
            *flags,
        ]
        super().__init__(name, words, log_path=directory / f"{name}.log", env=env, cwd=directory)

    @property
    def wal_dir(self) -> Path:
        return self.data_dir / "member" / "wal"

    @property
    def snap_dir(self) -> Path:
        return self.data_dir / "member" / "snap"

    def request(self, method: str, path: str, **kwargs: Any) -> Reply:
        return http_request(method, self.client_url + path, tls=self.tls, **kwargs)

    def get(self, key: str, query: str = "", **kwargs: Any) -> Reply:
        return self.request("GET", f"/v2/keys{key}{query and '?' + query}", **kwargs)

    def put(self, key: str, value: str = "", query: str = "", **kwargs: Any) -> Reply:
        path = f"/v2/keys{key}{query and '?' + query}"
        return self.request("PUT", path, body={"value": value}, **kwargs)

    def write(self, key: str, value: str = "") -> None:
        """A put that is repeated until it is acknowledged: an election may cost one its answer."""

        def accepted() -> bool:
            return self.put(key, value, timeout_s=ASK_S).status in (200, 201)

        eventually(accepted, logs=[self])

    def value(self, key: str, *, quorum: bool = False) -> str | None:
        """The value of a key, None if it is not there."""
        reply = self.get(key, "quorum=true" if quorum else "")
        if reply.status == 404:
            return None
        assert reply.status == 200, reply
        value = reply.json()["node"]["value"]
        assert isinstance(value, str)
        return value

    def member_id(self) -> str:
        """Its id in hex."""
        found = self.request("GET", "/v2/stats/self", timeout_s=ASK_S).json()["id"]
        assert isinstance(found, str)
        return found

    def raft_status(self) -> dict[str, Any]:
        found = self.request("GET", "/debug/vars", timeout_s=ASK_S).json()["raft.status"]
        assert isinstance(found, dict)
        return found

    def is_leader(self) -> bool:
        return self.running and bool(self.raft_status()["raftState"] == "StateLeader")

    def is_healthy(self) -> bool:
        reply = self.request("GET", "/health")
        return reply.status == 200 and reply.json()["health"] in ("true", True)

    def wait_ready(self, *, within_s: float = PATIENCE_S) -> None:
        """Until it serves and knows a leader and the cluster version."""

        def ready() -> bool:
            if not self.running:
                raise Failure(f"{self.name} has ended\n{self.log_tail()}")
            version = self.request("GET", "/version", timeout_s=ASK_S).json()
            return bool(
                version["etcdcluster"] != "not_decided" and self.raft_status()["lead"] != "0"
            )

        eventually(ready, within_s=within_s, logs=[self])


class EtcdCluster:
    """Members with a static bootstrap; use as a context manager."""

    def __init__(
        self,
        directory: Path,
        size: int = 1,
        *,
        flags: Iterable[str] = (),
        argvs: Mapping[int, list[str]] | None = None,
        token: str = "etcd-cluster",
        scheme: str = "http",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`argvs` lets single members run another program, for instance a real etcd.

        With scheme https, `flags` name the certificates and `tls` is the test's own context.
        """
        self._directory = directory
        self._flags = [f"--initial-cluster-token={token}", *flags]
        ports = free_ports(2 * size)
        self.initial_cluster = ",".join(
            f"m{i}={scheme}://127.0.0.1:{ports[2 * i + 1]}" for i in range(size)
        )
        self.members = [
            EtcdProcess(
                f"m{i}",
                directory,
                client_port=ports[2 * i],
                peer_port=ports[2 * i + 1],
                initial_cluster=self.initial_cluster,
                flags=self._flags,
                argv=(argvs or {}).get(i),
                scheme=scheme,
                tls=tls,
            )
            for i in range(size)
        ]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def start(self) -> None:
        """Start every member and wait until all are ready."""
        try:
            for member in self.members:
                member.start()
            for member in self.members:
                member.wait_ready()
            eventually(self._all_known, logs=self.members)
        except BaseException:
            self.close()
            raise

    def _all_known(self) -> bool:
        """Whether every member has heard every member's name and client URLs."""
        names = sorted(member.name for member in self.members)
        for member in self.members:
            found = member.request("GET", "/v2/members").json()["members"]
            if sorted(one["name"] for one in found) != names:
                return False
        return True

    def close(self) -> None:
        for member in self.members:
            member.close()

    def add(self, *, argv: list[str] | None = None) -> EtcdProcess:
        """Announce one more member and start it; it is part of the cluster when it returns."""
        client_port, peer_port = free_ports(2)
        name, url = f"m{len(self.members)}", f"http://127.0.0.1:{peer_port}"

        def announced() -> bool:
            reply = self.running[0].request(
                "POST",
                "/v2/members",
                body=json.dumps({"peerURLs": [url]}),
                headers={"Content-Type": "application/json"},
            )
            return reply.status in (201, 409)  # 409: an election took the first one's answer

        eventually(announced, logs=self.members)
        self.initial_cluster += f",{name}={url}"
        member = EtcdProcess(
            name,
            self._directory,
            client_port=client_port,
            peer_port=peer_port,
            initial_cluster=self.initial_cluster,
            flags=[*self._flags, "--initial-cluster-state=existing"],
            argv=argv,
        )
        self.members.append(member)
        member.start()
        member.wait_ready()
        return member

    @property
    def running(self) -> list[EtcdProcess]:
        return [member for member in self.members if member.running]

    def leader(self, *, within_s: float = PATIENCE_S) -> EtcdProcess:
        """The member that leads and that a majority follows."""

        def find() -> EtcdProcess | None:
            leads: dict[str, int] = {}
            for member in self.running:
                with contextlib.suppress(OSError, LookupError, ValueError):
                    lead = member.raft_status()["lead"]
                    leads[lead] = leads.get(lead, 0) + 1
            for member in self.running:
                if leads.get(member.member_id(), 0) > len(self.members) // 2:
                    return member if member.is_leader() else None
            return None

        found = eventually(find, within_s=within_s, logs=self.members)
        assert found is not None
        return found

    def followers(self) -> list[EtcdProcess]:
        leader = self.leader()
        return [member for member in self.running if member is not leader]
