"""Processes of units as Linux shows them: whose they are, when they end, how to signal them.

An unprivileged supervisor has no cgroups. In their place every run of a unit gets a number, its
mark, which its processes carry as the soft limit RLIMIT_LOCKS: children inherit it through fork,
exec, setsid and an emptied environment, any user may read it in /proc/PID/limits, and Linux itself
has not enforced that limit since 2.4. So whatever a unit leaves behind can be found, also by a
manager that was started later.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import resource
import secrets
import signal
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.systemd.embedded.policy import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Ended = Callable[[int, Exit], None]

_RLIMIT_LOCKS = 10  # no name in the resource module
_PR_SET_CHILD_SUBREAPER = 36
_MARK_MIN = 1 << 40
_MARK_MAX = 1 << 62
_LOCKS_LINE = re.compile(rb"Max file locks +(\d+)")
_POLL_S = 0.1
_SWEEP_S = 2.0


class Process(NamedTuple):
    """One row of the process table; `start` with `pid` names a process for ever."""

    pid: int
    parent: int
    state: str
    start: int
    mark: int


def become_subreaper() -> None:
    """Make orphans below this process its children, so that their ends are seen."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def new_mark() -> int:
    """A number no other run carries."""
    _, hard = resource.getrlimit(_RLIMIT_LOCKS)
    top = _MARK_MAX if hard == resource.RLIM_INFINITY else min(hard, _MARK_MAX)
    return _MARK_MIN + secrets.randbelow(max(top - _MARK_MIN, 1))


class Launch(NamedTuple):
    """Everything needed to execute one command."""

    path: str
    argv: list[str]
    environment: Mapping[str, str]
    directory: str
    stdout: int
    stderr: int
    umask: int = 0o022
    user: int | None = None
    group: int | None = None
    groups: tuple[int, ...] | None = None
    limits: tuple[tuple[int, int, int], ...] = ()


def spawn(launch: Launch, mark: int) -> int:
    """Execute a command in a session of its own and return its pid; OSError when it cannot run."""
    ignored = [
        number
        for number in signal.valid_signals() - {signal.SIGPIPE}
        if signal.getsignal(number) is signal.SIG_IGN
    ]
    soft, hard = resource.getrlimit(_RLIMIT_LOCKS)
    resource.setrlimit(_RLIMIT_LOCKS, (mark, hard))
    try:
        process = subprocess.Popen(
            launch.argv,
            executable=launch.path,
            env=launch.environment,
            cwd=launch.directory,
            stdin=subprocess.DEVNULL,
            stdout=launch.stdout,
            stderr=launch.stderr,
            umask=launch.umask,
            user=launch.user,
            group=launch.group,
            extra_groups=launch.groups,
            start_new_session=True,
            restore_signals=False,  # services ignore SIGPIPE, as under systemd
            # Slower than the plain way, so only where something has to be changed in the child.
            preexec_fn=(lambda: _in_child(launch, ignored)) if launch.limits or ignored else None,
        )
    finally:
        resource.setrlimit(_RLIMIT_LOCKS, (soft, hard))
    process.returncode = 0  # Reaper waits for it, not subprocess
    return process.pid


def _in_child(launch: Launch, ignored: Iterable[int]) -> None:
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    for which, soft, hard in launch.limits:
        resource.setrlimit(which, (soft, hard))


def processes() -> list[Process]:
    """Every process on the machine, zombies included."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [one for one in map(look_up, pids) if one is not None]


def look_up(pid: int) -> Process | None:
    """One process, None when there is none of that number."""
    stat = _read(f"/proc/{pid}/stat")
    limits = _read(f"/proc/{pid}/limits")
    if not stat:
        return None
    fields = stat.rpartition(b")")[2].split()
    mark = _LOCKS_LINE.search(limits)
    return Process(
        pid,
        parent=int(fields[1]),
        state=fields[0].decode(),
        start=int(fields[19]),
        mark=int(mark[1]) if mark is not None else 0,
    )


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 4096)
    except OSError:
        return b""
    finally:
        os.close(fd)


def is_alive(process: Process | None) -> bool:
    """Whether it still does something; a zombie does not."""
    return process is not None and process.state not in "ZX"


def tree(mark: int, table: Iterable[Process]) -> list[Process]:
    """The living processes of one run: those with its mark, and their descendants."""
    children: dict[int, list[Process]] = {}
    found: dict[int, Process] = {}
    for one in table:
        if is_alive(one):
            children.setdefault(one.parent, []).append(one)
            if one.mark == mark:
                found[one.pid] = one
    queue = list(found)
    while queue:
        for child in children.get(queue.pop(), ()):
            if child.pid not in found:
                found[child.pid] = child
                queue.append(child.pid)
    return list(found.values())


def send(pid: int, number: int) -> None:
    """Signal a process; one that is gone is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def boot_id() -> str:
    """The kernel's name for this boot; pids mean nothing across two of them."""
    return _read("/proc/sys/kernel/random/boot_id").decode().strip().replace("-", "")


class Reaper:
    """Reports the end of processes, be they our children or not."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ended: Ended) -> None:
        self._loop = loop
        self._ended = ended
        self._fds: dict[int, int] = {}
        self._polled: dict[int, asyncio.TimerHandle] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def watch(self, pid: int) -> None:
        """Call `ended` when this process ends; soon, if it already has."""
        if pid in self._fds or pid in self._polled:
            return
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._loop.call_soon(self._finish, pid)
        except OSError:
            self._poll(pid)
        else:
            self._fds[pid] = fd
            self._loop.add_reader(fd, self._finish, pid)

    def watches(self, pid: int) -> bool:
        return pid in self._fds or pid in self._polled

    def close(self) -> None:
        for fd in self._fds.values():
            self._loop.remove_reader(fd)
            os.close(fd)
        for handle in (*self._polled.values(), self._sweep):
            if handle is not None:
                handle.cancel()
        self._fds.clear()
        self._polled.clear()

    def reap_orphans(self) -> None:
        """Now and then wait for dead children nobody watches: what daemons left their subreaper.

        Children that other parts of this program have started carry no mark, and are left to them.
        """
        self._sweep = self._loop.call_later(_SWEEP_S, self.reap_orphans)
        if not _has_dead_child():
            return
        own, own_mark = os.getpid(), resource.getrlimit(_RLIMIT_LOCKS)[0]
        for one in processes():
            orphan = one.state == "Z" and one.parent == own and one.mark not in (0, own_mark)
            if orphan and not self.watches(one.pid):
                _wait(one.pid)

    def _poll(self, pid: int) -> None:
        """For kernels before 5.3, which cannot tell of a foreign process's end."""
        if is_alive(look_up(pid)):
            self._polled[pid] = self._loop.call_later(_POLL_S, self._poll, pid)
        else:
            self._finish(pid)

    def _finish(self, pid: int) -> None:
        fd = self._fds.pop(pid, None)
        if fd is not None:
            self._loop.remove_reader(fd)
            os.close(fd)
        self._polled.pop(pid, None)
        self._ended(pid, _wait(pid))


def _has_dead_child() -> bool:
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def _wait(pid: int) -> Exit:
    try:
        info = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return Exit("lost", 0)
    if info is None:
        return Exit("lost", 0)
    code = {os.CLD_EXITED: "exited", os.CLD_DUMPED: "dumped"}.get(info.si_code, "killed")
    return Exit(code, info.si_status)
