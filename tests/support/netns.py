"""A small network of its own: members in network namespaces on one bridge, cut in one direction.

The namespaces have no names and belong to processes that die with the test process, so nothing is
left whatever happens, and nothing meets another suite's network. The bridge is in the namespace of
the clients, in which the test itself runs meanwhile. Needs root.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

from tests.support.procs import eventually, reserve_ports

_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_TOOLS = ("ip", "nsenter", "unshare")


def why_not() -> str:
    """Why there can be no such network here; empty when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in _TOOLS if not shutil.which(tool)]
    if missing:
        return f"not installed: {', '.join(missing)}"
    script = "ip link add test0 type bridge && ip link add test1 type veth peer name test2"
    tried = subprocess.run(
        ["unshare", "--net", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    return f"no bridge in a namespace: {tried.stderr.strip()}" if tried.returncode else ""


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class _Namespace:
    """Lives as long as its process."""

    def __init__(self) -> None:
        words = ["unshare", "--net", "sleep", "infinity"]
        self._holder = subprocess.Popen(words, preexec_fn=_die_with_parent)
        self.path = f"/proc/{self._holder.pid}/ns/net"
        own = Path("/proc/self/ns/net").readlink()
        eventually(lambda: Path(self.path).readlink() != own)
        self.ip("link", "set", "lo", "up")

    def words(self, *command: str) -> list[str]:
        """The words that run a command in here, with the pid of whoever starts them."""
        return ["nsenter", f"--net={self.path}", "--", *command]

    def ip(self, *words: str) -> None:
        done = subprocess.run(self.words("ip", *words), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"ip {words}: {done.stderr}"

    @property
    def pid(self) -> int:
        return self._holder.pid

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()


class Net:
    """`size` hosts, numbered from 0, that reach each other and the clients."""

    def __init__(self, size: int) -> None:
        self._hub = _Namespace()
        self.hosts = [_Namespace() for _ in range(size)]
        self._cut: list[tuple[int, int, str]] = []
        self._hub.ip("link", "add", "bridge", "type", "bridge")
        self._hub.ip("addr", "add", "10.9.0.254/24", "dev", "bridge")
        self._hub.ip("link", "set", "bridge", "up")
        for number, host in enumerate(self.hosts):
            port = f"port{number}"
            peer = ("peer", "name", "eth0", "netns", str(host.pid))
            self._hub.ip("link", "add", port, "type", "veth", *peer)
            self._hub.ip("link", "set", port, "master", "bridge", "up")
            host.ip("addr", "add", f"{self.address(number)}/24", "dev", "eth0")
            host.ip("link", "set", "eth0", "up")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        for namespace in (*self.hosts, self._hub):
            namespace.close()

    @staticmethod
    def address(number: int) -> str:
        return f"10.9.0.{number + 1}"

    def clients(self) -> contextlib.AbstractContextManager[None]:
        """This thread, and what it starts, is where the clients are."""
        return _inside(self._hub)

    def cut(self, sender: int, receiver: int, *, how: str = "blackhole") -> None:
        """Nothing that `sender` sends reaches `receiver` any more; the other way stays open."""
        self.hosts[sender].ip("route", "add", how, f"{self.address(receiver)}/32")
        self._cut.append((sender, receiver, how))

    def heal(self) -> None:
        """Everybody reaches everybody again."""
        while self._cut:
            sender, receiver, how = self._cut.pop()
            self.hosts[sender].ip("route", "del", how, f"{self.address(receiver)}/32")


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """This thread, and what it starts, reaches itself and nobody else."""
    namespace = _Namespace()
    try:
        with _inside(namespace):
            yield
    finally:
        namespace.close()


@contextlib.contextmanager
def _inside(namespace: _Namespace) -> Iterator[None]:
    reserve_ports()
    with Path("/proc/self/ns/net").open("rb") as own, Path(namespace.path).open("rb") as there:
        _enter(there)
        try:
            yield
        finally:
            _enter(own)


def _enter(namespace: IO[bytes]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
