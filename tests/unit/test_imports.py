"""What a start may cost: the modules each command line imports, and the time it takes."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest

from coreos_py.commands import CLI, ROWS
from tests.support import imports

# Nothing on a command line's way to its answer may need these.
FORBIDDEN = {
    "asyncio",
    "click",
    "concurrent",
    "dataclasses",
    "datetime",
    "email",
    "http",
    "httpx",
    "inspect",
    "logging",
    "pathlib",
    "random",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "typing",
    "urllib",
    "uuid",
    "yaml",
}

DISABLED = imports.ROOT / "tests" / "data" / "update" / "disabled"
NOWHERE = "http://127.0.0.1:1"
WAYS = {
    "etcdctl get": ["etcdctl", "--no-sync", "--endpoints", NOWHERE, "get", "k"],
    "etcdctl set": ["etcdctl", "--no-sync", "--endpoints", NOWHERE, "set", "k", "v"],
    "etcdctl ls": ["etcdctl", "--endpoints", NOWHERE, "ls", "--recursive"],
    "etcdctl watch": ["etcdctl", "--no-sync", "--endpoints", NOWHERE, "watch", "k"],
    "etcdctl member list": ["etcdctl", "--endpoints", NOWHERE, "member", "list"],
    "etcdctl cluster-health": ["etcdctl", "--endpoints", NOWHERE, "cluster-health"],
    "fleetctl list-units": ["fleetctl", "--endpoint", NOWHERE, "list-units"],
    "fleetctl list-machines": ["fleetctl", "--endpoint", NOWHERE, "list-machines"],
    "fleetctl list-unit-files": ["fleetctl", "--endpoint", NOWHERE, "list-unit-files"],
    "fleetctl cat": ["fleetctl", "--endpoint", NOWHERE, "cat", "a.service"],
    "fleetctl start": ["fleetctl", "--endpoint", NOWHERE, "start", "a.service"],
    "locksmithctl status": ["locksmithctl", "--endpoint", NOWHERE, "status"],
    "coreos-cloudinit version": ["coreos-cloudinit", "-version"],
    "update-ssh-keys": ["update-ssh-keys", "-u", "no such user"],
    "locksmithctl lock": ["locksmithctl", "--endpoint", NOWHERE, "lock", "a"],
    "updatectl app list": ["updatectl", "--server", NOWHERE, "app", "list"],
    "updateservicectl app list": ["updateservicectl", "--server", NOWHERE, "app", "list"],
    "updatectl group pause": [
        "updatectl",
        "--server",
        NOWHERE,
        "group",
        "pause",
        "--app-id=a",
        "--group-id=b",
    ],
    "updatectl package create": [
        "updatectl",
        "package",
        "create",
        "--app-id=a",
        "--version=1.0.0",
        "--file=/dev/null",
    ],
    "cgpt": ["cgpt", "show", "/dev/null"],
    "rootdev": ["rootdev", "/"],
    "coreos-setgoodroot": ["coreos-setgoodroot", "/dev/null"],
    "coreos-postinst": ["coreos-postinst", "/dev/null"],
    "update_engine_client": ["update_engine_client"],
    "update_engine_stub": ["update_engine_stub", "-root", str(DISABLED)],
    "ignition": ["ignition", "--platform=metal", "--stage=kargs"],
    "ignition-validate": ["ignition-validate", "/dev/null"],
}

# Programs that run once in a boot or an update may take more, by their first word.
ALLOWED = {
    "cgpt": {"typing"},
    "rootdev": {"typing"},
    "coreos-setgoodroot": {"typing"},
    "update_engine_stub": FORBIDDEN - {"click", "httpx", "yaml"},  # posts on asyncio
    "update_engine_client": FORBIDDEN - {"click", "httpx", "yaml"},  # speaks D-Bus on asyncio
    "ignition": FORBIDDEN - {"click", "httpx", "yaml"},  # fetches on asyncio
    "ignition-validate": {"typing", "urllib"},
    "coreos-postinst": {"random", "subprocess", "tempfile", "threading", "typing"},
}

# Runs one command like the archive does and tells which modules that brought.
SPY = """\
import os, sys
before = set(sys.modules)
sys.path[:0] = [sys.argv[1]]
sys.argv[:] = sys.argv[2:]
def end(code):
    os.write(1, ("\\n" + " ".join(sorted(set(sys.modules) - before))).encode())
    leave(code)
leave, os._exit = os._exit, end
from coreos_py.multicall import main
main()
"""


def _imported(words):
    done = subprocess.run(
        [sys.executable, "-IS", "-c", SPY, str(imports.ROOT), *words],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return set(done.stdout.rsplit("\n", 1)[-1].split())


@pytest.mark.parametrize("way", sorted(WAYS))
def test_no_heavy_module(way):
    found = _imported(WAYS[way])
    assert "coreos_py.multicall" in found
    forbidden = FORBIDDEN - ALLOWED.get(WAYS[way][0], set())
    assert sorted(name for name in found if name.split(".")[0] in forbidden) == []


# All that `etcdctl get` imports from the standard library; what is not here costs a decision.
GET_NEEDS = {
    "__future__",
    "collections",
    "functools",
    "gc",
    "itertools",
    "keyword",
    "operator",
    "reprlib",
    "select",
    "types",
}


@pytest.mark.parametrize("way", ["etcdctl get", "etcdctl set", "fleetctl list-units"])
def test_the_list_is_known(way):
    found = {name.split(".")[0] for name in _imported(WAYS[way])} - {"coreos_py"}
    assert {name for name in found if not name.startswith("_")} - GET_NEEDS == set()


def test_every_command_line_has_a_way():
    names = {words[0] for words in WAYS.values()}
    assert {row.name for row in ROWS if row.kind == CLI} <= names


def _times(argvs, rounds):
    """Least processor time of each command, run in turns; waiting for a busy machine is free."""
    nothing = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    spent = [[] for _ in argvs]
    for _ in range(rounds):
        for at, argv in enumerate(argvs):
            env = {"PATH": os.environ["PATH"]}
            pid = os.posix_spawnp(argv[0], argv, env, file_actions=nothing)
            used = os.wait4(pid, 0)[2]
            spent[at].append(used.ru_utime + used.ru_stime)
    return [min(times) for times in spent]


# Command, and how many times the bare interpreter's start it may take.
BUDGETS = [
    (WAYS["locksmithctl status"], 3.4),
    (WAYS["etcdctl get"], 2.9),
    (WAYS["fleetctl list-units"], 2.9),
    (["coreos", "list"], 6.6),
]


@pytest.mark.proc
def test_start_up_budget(archive):
    bare = ["/usr/bin/python3", "-IS", "-c", "pass"]
    paths = [[str(archive.parent / "bin" / words[0]), *words[1:]] for words, _ in BUDGETS]
    least = [math.inf] * (1 + len(BUDGETS))
    over = {}
    for _ in range(8):  # a machine busy with other tests may need another look
        least = [min(pair) for pair in zip(least, _times([bare, *paths], rounds=15), strict=True)]
        over = {
            " ".join(words): (round(spent / least[0], 2), limit)
            for (words, limit), spent in zip(BUDGETS, least[1:], strict=True)
            if spent / least[0] > limit
        }
        if not over:
            break
    assert over == {}
