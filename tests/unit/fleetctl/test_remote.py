"""fleetctl by way of ssh: which ssh is run, and a tunnel through a pretended one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from coreos_py.fleet.cmd_fleetctl import main
from coreos_py.http.listen import bind_unix
from tests.support.live_fleet import LiveFleet

MACHINES = [("aaaa111122223333", "10.0.0.1"), ("aabb111122223333", ""), ("cccc", "10.0.0.3")]
ROOT = Path(__file__).resolve().parents[3]

# Writes down its words; with a command for the far side it runs that here.
FAKE_SSH = """\
#!{python}
import json, os, sys
with open({log!r}, "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
words = sys.argv[-1]
if words.startswith("fleetctl fd-forward"):
    os.environ["PYTHONPATH"] = {root!r}
    os.execv(sys.executable, [sys.executable, "-m", "coreos_py", *words.split()])
sys.exit(7)
"""


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    """A pretended ssh on PATH; returns the argument lists it was called with."""
    log = tmp_path / "ssh.log"
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    text = FAKE_SSH.format(python=sys.executable, log=str(log), root=str(ROOT))
    program.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    return lambda: [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture
def fleet(tmp_path, monkeypatch):
    """Three machines; a.service runs on cccc."""
    monkeypatch.chdir(tmp_path)
    text = "[Service]\nExecStart=/bin/true\n[X-Fleet]\nMachineID=cccc\n"
    (tmp_path / "a.service").write_text(text)
    (tmp_path / "g.service").write_text("[X-Fleet]\nGlobal=true\n")
    with LiveFleet(MACHINES) as live:
        monkeypatch.setenv("FLEETCTL_ENDPOINT", live.url)
        assert run("start", "a", "g")[0] == 0
        yield live


def run(*words):
    """Run fleetctl in this process: exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["fleetctl", *words])
    return code, out.getvalue(), err.getvalue()


OPTIONS = ["-o", "ConnectTimeout=10"]


def test_where_ssh_goes(fleet, ssh, tmp_path):
    known = ["-o", f"UserKnownHostsFile={tmp_path}/.fleetctl/known_hosts"]
    plain = ["-l", "core", "-p", "22", *known, *OPTIONS]
    cases = [
        (("ssh", "cccc"), [*plain, "10.0.0.3"]),
        (("ssh", "a.service"), [*plain, "10.0.0.3"]),
        (("ssh", "a", "uptime"), [*plain, "10.0.0.3", "uptime"]),
        (("ssh", "--machine", "aaaa", "--", "ls", "-l"), [*plain, "10.0.0.1", "ls -l"]),
        (("ssh", "cccc", "--", "ls", "-l"), [*plain, "10.0.0.3", "ls -l"]),
        (("ssh", "--unit=a", "-A"), [*plain, "-A", "10.0.0.3"]),
        (
            ("--ssh-username=me", "--ssh-timeout=2.5", "ssh", "--ssh-port", "2222", "cccc"),
            ["-l", "me", "-p", "2222", *known, "-o", "ConnectTimeout=2", "10.0.0.3"],
        ),
        (
            ("--strict-host-key-checking=false", "ssh", "cccc"),
            [
                *("-l", "core", "-p", "22", "-o", "StrictHostKeyChecking=no"),
                *("-o", "UserKnownHostsFile=/dev/null", *OPTIONS, "10.0.0.3"),
            ],
        ),
    ]
    for words, _ in cases:
        assert run(*words)[0] == 7, words
    assert ssh() == [expected for _, expected in cases]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["ssh"], "Unable to proceed: one machine or unit must be provided"),
        (["ssh", "zzzz"], "Unable to proceed: could not find matching unit or machine"),
        (["ssh", "--machine", "aa"], "Unable to proceed: found more than one machine"),
        (["ssh", "--machine", "zz"], "Unable to proceed: machine does not exist"),
        (["ssh", "--unit", "zz"], "Unable to proceed: unit does not exist"),
        (["ssh", "--unit", "g"], "Unable to proceed: global units unsupported"),
        (["ssh", "--machine", "aabb"], "Could not determine address of machine."),
        (
            ["ssh", "--machine", "aabb", "--unit", "a"],
            "Both machine and unit flags provided, please specify only one.",
        ),
    ],
)
def test_where_ssh_cannot_go(fleet, words, problem):
    code, _, err = run(*words)
    assert (code, err.strip()) == (1, problem)


def test_a_fleetd_that_passes_no_journals_on_leaves_ssh(fleet, ssh):
    fleet.do(fleet.etcd.delete("/_coreos.com/fleet/machines/cccc/x-api"))
    assert run("journal", "--lines=3", "-f", "a")[0] == 7
    assert run("status", "a")[0] == 7
    far = [words[-1] for words in ssh()]
    assert far == [
        'journalctl "--unit" "a.service" "--no-pager" "-n" "3" "--output" "short" "-f"',
        'systemctl "status" "-l" "a.service"',
    ]


def test_a_tunnel_to_a_socket(fleet, ssh, tmp_path):
    path = tmp_path / "fleet.sock"

    async def listen_there():
        from coreos_py.http.listen import listen
        from coreos_py.http.server import HTTPServer

        return listen(HTTPServer(fleet.apis[0].handle), [bind_unix(str(path))])

    (listener,) = fleet.do(listen_there())
    words = ["--tunnel=far:2200", f"--endpoint=unix://{path}", "list-machines", "--no-legend"]
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == [
        "aaaa1111...",
        "aabb1111...",
        "cccc...",
    ]
    (called,) = ssh()
    assert called[:4] == ["-l", "core", "-p", "2200"]
    assert called[-2:] == ["far", f"fleetctl fd-forward {path}"]

    async def close():
        listener.close()

    fleet.do(close())


def test_ssh_hops_through_the_tunnel(fleet, ssh, monkeypatch):
    """The API is reached through the tunnel as well, which this pretended ssh does not do."""
    code, _, err = run("--tunnel=far", "--endpoint=http://10.0.0.9:1", "list-machines")
    assert code == 1
    assert "Error retrieving list of active machines" in err
    (called,) = ssh()
    assert called[-3:] == ["-W", "10.0.0.9:1", "far"]


def test_fd_forward_carries_both_ways(tmp_path):
    path = str(tmp_path / "sock")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()

    def echo():
        conn, _ = server.accept()
        with conn:
            while data := conn.recv(65536):
                conn.sendall(data)

    thread = threading.Thread(target=echo)
    thread.start()
    sent = os.urandom(300_000)
    done = subprocess.run(
        [sys.executable, "-m", "coreos_py", "fleetctl", "fd-forward", path],
        input=sent,
        capture_output=True,
        check=False,
        cwd=ROOT,
        timeout=120,
    )
    thread.join(10)
    server.close()
    assert (done.returncode, done.stdout == sent, done.stderr) == (0, True, b"")


def test_fd_forward_without_a_socket(tmp_path):
    assert run("fd-forward")[0] == 1
    code, _, err = run("fd-forward", str(tmp_path / "none"))
    assert code == 1
    assert "no such file" in err.lower()
