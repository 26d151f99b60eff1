"""Process trees: a machine's processes are found and killed, whatever they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from coreos_py.cluster import proctree

TREE = """
import subprocess, sys, time
from coreos_py.cluster import proctree
proctree.become_subreaper()
script = "setsid sleep 1000 & exec setsid sh -c 'sleep 1000 & sleep 1000 & wait' &"
subprocess.run(["sh", "-c", script])
print("ready", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def tree():
    process = subprocess.Popen([sys.executable, "-c", TREE], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield process
    proctree.kill_tree(process.pid)
    process.wait()
    process.stdout.close()


def grown(pid: int, count: int) -> list[int]:
    deadline = time.monotonic() + 60
    while len(found := proctree.descendants(pid)) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return found


def test_orphans_in_sessions_of_their_own_stay_in_the_tree(tree):
    assert len(grown(tree.pid, 4)) == 4


def test_kill_tree_leaves_nobody(tree):
    pids = grown(tree.pid, 4)
    assert proctree.kill_tree(tree.pid)
    assert tree.wait() == -signal.SIGKILL
    assert [pid for pid in pids if proctree.start_time(pid)] == []


def is_stopped(pid: int) -> bool:
    stat = proctree.stat_of(pid)
    return stat is not None and stat[0] == "T"


def test_a_stopped_tree_stands_still(tree):
    pids = grown(tree.pid, 4)
    proctree.signal_tree(tree.pid, signal.SIGSTOP)
    deadline = time.monotonic() + 60
    while not all(is_stopped(pid) for pid in [tree.pid, *pids]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    proctree.signal_tree(tree.pid, signal.SIGCONT)


def test_a_pid_is_told_from_its_successor_by_the_start_time():
    assert proctree.start_time(os.getpid()) > 0
    assert proctree.start_time(2**22 + 1) == 0
