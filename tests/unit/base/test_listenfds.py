"""Sockets handed over by a service manager."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from coreos_py.base import listenfds

CHILD = """\
import os, socket, sys
os.environ["LISTEN_PID"] = str(os.getpid())
listener = socket.create_server(("127.0.0.1", 0))
plain = socket.socket()
unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for at, sock in enumerate((listener, plain, unix)):
    os.dup2(sock.fileno(), 40 + at)
os.closerange(3, 40)
for at in range(3):
    os.dup2(40 + at, 3 + at, inheritable=True)
os.environ["LISTEN_FDS"] = "3"
os.environ["LISTEN_FDNAMES"] = "api:other"
from coreos_py.base import listenfds
print([tuple(item) for item in listenfds.passed()], [os.get_inheritable(3 + at) for at in range(3)])
print([(sock.fileno(), sock.gettimeout()) for sock in listenfds.stream_sockets()])
os._exit(0)
"""


def test_passed_sockets():
    words = [sys.executable, "-c", CHILD]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "[(3, 'api'), (4, 'other'), (5, '')] [False, False, False]",
        "[(3, 0.0)]",
    ]


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": "x", "LISTEN_FDS": "1"},
    ],
)
def test_nothing_for_us(environ):
    assert listenfds.passed(environ) == []


def test_nonsense_counts():
    for count in ("", "x", "-1", "0"):
        assert listenfds.passed({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count}) == []
