"""Process trees as /proc shows them: who descends from whom, and signals for a whole tree.

A machine of a local cluster is a tree below one process that adopts its orphans
(PR_SET_CHILD_SUBREAPER, prctl(2)), so nothing started on the machine can leave the tree.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """Orphans among this process's descendants become its children from now on."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(sig: int) -> None:
    """This process gets `sig` when its parent ends."""
    _prctl(PR_SET_PDEATHSIG, sig)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def stat_of(pid: int) -> tuple[str, int, int] | None:
    """(state letter, parent pid, start time in ticks since boot), None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0].decode(), int(fields[1]), int(fields[19])


def start_time(pid: int) -> int:
    """With the pid it names one process for ever; 0 when there is none or it is a zombie."""
    stat = stat_of(pid)
    return stat[2] if stat is not None and stat[0] not in "ZX" else 0


def descendants(root: int) -> list[int]:
    """Pids of the living processes below `root`, parents before children; `root` not included."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := stat_of(int(name))) is not None and stat[0] not in "ZX":
            children.setdefault(stat[1], []).append(int(name))
    found: list[int] = []
    queue = list(children.get(root, ()))
    while queue:
        pid = queue.pop(0)
        found.append(pid)
        queue.extend(children.get(pid, ()))
    return found


def signal_tree(root: int, sig: int) -> None:
    """Signals `root`, then everything below it."""
    for pid in [root, *descendants(root)]:
        send(pid, sig)


def kill_tree(root: int, *, within_s: float = 10.0) -> bool:
    """SIGKILL for `root` and all below it; `root` is stopped first so that it starts nothing new.

    True when all are gone within the time.
    """
    send(root, signal.SIGSTOP)
    deadline = time.monotonic() + within_s
    while pids := descendants(root):
        for pid in pids:
            send(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    send(root, signal.SIGKILL)
    return True


def send(pid: int, sig: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sig)


def end_process(pid: int, *, within_s: float = 5.0) -> None:
    """SIGTERM, then SIGKILL for a process that is not a child of ours."""
    started = start_time(pid)
    send(pid, signal.SIGTERM)
    deadline = time.monotonic() + within_s
    while started and start_time(pid) == started:
        if time.monotonic() > deadline:
            send(pid, signal.SIGKILL)
            return
        time.sleep(0.02)
