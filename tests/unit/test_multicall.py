"""Which command a process is, and how every kind of failure ends."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import types

import pytest

from coreos_py import multicall
from coreos_py.base.errors import ConfigError, CoreosError, StoreError, UsageError
from coreos_py.commands import CLI, DAEMON, ROWS, TABLE, VERBS, Row

RESOLVED = [
    # argv, the row, what the command sees
    (["etcdctl", "get", "k"], "etcdctl", ["etcdctl", "get", "k"]),
    (["/usr/bin/etcdctl", "get"], "etcdctl", ["/usr/bin/etcdctl", "get"]),
    (["./etcd2", "-name", "x"], "etcd2", ["./etcd2", "-name", "x"]),
    (["fleetd.pyz"], "fleetd", ["fleetd.pyz"]),
    (["/opt/coreos-cloudinit", "-h"], "coreos-cloudinit", ["/opt/coreos-cloudinit", "-h"]),
    (["dist/coreos.pyz", "etcdctl", "get", "k"], "etcdctl", ["etcdctl", "get", "k"]),
    (["coreos", "coreos", "etcdctl", "ls"], "etcdctl", ["etcdctl", "ls"]),
    (["coreos-9.9.pyz", "fleetctl"], "fleetctl", ["fleetctl"]),
    (["/src/coreos_py/__main__.py", "etcd"], "etcd", ["etcd"]),
    (["whatever", "etcdctl", "get"], "etcdctl", ["etcdctl", "get"]),
    (["coreos", "/usr/bin/etcdctl", "get"], "etcdctl", ["/usr/bin/etcdctl", "get"]),
    (["coreos"], "coreos", ["coreos"]),
    ([], "coreos", ["coreos"]),
    ([""], "coreos", ["coreos"]),
    (["coreos.pyz", "--version"], "coreos", ["coreos", "--version"]),
    (["coreos", "list", "--long"], "coreos", ["coreos", "list", "--long"]),
    (["coreos", "coreos", "list"], "coreos", ["coreos", "list"]),
    (["python", "install", "/usr/bin"], "coreos", ["coreos", "install", "/usr/bin"]),
]


@pytest.mark.parametrize(("argv", "name", "seen"), RESOLVED, ids=[" ".join(r[0]) for r in RESOLVED])
def test_resolve(argv, name, seen):
    row, rest = multicall.resolve(argv)
    assert (row.name, rest) == (name, seen)


@pytest.mark.parametrize("argv", [["coreos", "nosuch"], ["x.pyz", "etcdct"], ["coreos", ""]])
def test_unknown(argv):
    with pytest.raises(multicall.UnknownCommand):
        multicall.resolve(argv)


def test_links_are_followed_one_hop_at_a_time(tmp_path):
    (tmp_path / "etcdctl").symlink_to("coreos.pyz")
    (tmp_path / "foo").symlink_to("etcdctl")
    (tmp_path / "bar").symlink_to(tmp_path / "foo")
    assert multicall.resolve([str(tmp_path / "bar"), "get"])[0].name == "etcdctl"


@pytest.mark.parametrize(("hops", "name"), [(8, "etcdctl"), (9, "coreos")])
def test_at_most_eight_hops(tmp_path, hops, name):
    target = "etcdctl"
    for hop in range(hops):
        (tmp_path / f"hop{hop}").symlink_to(target)
        target = f"hop{hop}"
    assert multicall.resolve([str(tmp_path / target)])[0].name == name


def test_a_circle_of_links_ends(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert multicall.resolve([str(tmp_path / "a"), "list"])[0].name == "coreos"


def test_table():
    assert [row.name for row in ROWS] == list(TABLE)
    assert not set(VERBS) & set(TABLE)
    for row in ROWS:
        assert row.help
        assert row.help[0].islower()
        assert not row.help.endswith(".")
        assert row.page


@pytest.fixture
def command(monkeypatch):
    """Put a function behind a row of the given kind."""

    def make(entry, kind=CLI):
        module = types.ModuleType("coreos_py.stand_in")
        module.main = entry
        monkeypatch.setitem(sys.modules, "coreos_py.stand_in", module)
        return Row("standin", "coreos_py.stand_in:main", kind, "", help="for tests")

    return make


def _raiser(error):
    def entry(_argv):
        raise error

    return entry


FAILURES = [
    (CoreosError("no such unit: x"), 1, "standin: no such unit: x\n"),
    (CoreosError("a", hint="do b"), 1, "standin: a (do b)\n"),
    (UsageError("bad"), 2, "standin: bad\n"),
    (ConfigError(["x is 1", "y is 2"]), 1, "standin: x is 1; y is 2\n"),
    (StoreError(100, "/foo", 45), 1, "standin: 100: Key not found (/foo) [45]\n"),
    (KeyboardInterrupt(), 130, ""),
    (SystemExit(3), 3, ""),
    (SystemExit(None), 0, ""),
    (SystemExit("text"), 1, "text\n"),
    (BrokenPipeError(32, "Broken pipe"), 141, ""),
]


@pytest.mark.parametrize(("error", "code", "stderr"), FAILURES, ids=[repr(f[0]) for f in FAILURES])
def test_boundary(command, capsys, error, code, stderr):
    assert multicall.run(command(_raiser(error)), ["standin"]) == code
    assert capsys.readouterr() == ("", stderr)


@pytest.mark.parametrize(("kind", "code"), [(CLI, 70), (DAEMON, 1)])
def test_a_bug_shows_its_traceback(command, capsys, kind, code):
    assert multicall.run(command(_raiser(ZeroDivisionError("oops")), kind), ["standin"]) == code
    stderr = capsys.readouterr().err
    assert stderr.startswith("Traceback")
    assert stderr.endswith("ZeroDivisionError: oops\n")


def test_interrupted_while_loading(command, monkeypatch):
    def interrupted(_row):
        raise KeyboardInterrupt

    monkeypatch.setattr(multicall, "_load", interrupted)
    assert multicall.run(command(lambda _argv: 0), ["standin"]) == 130


def test_a_failure_that_is_not_about_stdout_is_a_bug(command, capsys):
    assert multicall.run(command(_raiser(OSError(5, "Input/output error"))), ["standin"]) == 70
    assert "Input/output error" in capsys.readouterr().err


def test_debug_shows_the_traceback_of_a_failure(command, capsys, monkeypatch):
    monkeypatch.setenv("COREOS_PY_DEBUG", "1")
    assert multicall.run(command(_raiser(CoreosError("no"))), ["standin"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_module_that_does_not_load(capsys):
    row = Row("standin", "coreos_py.no_such_module:main", CLI, "", help="for tests")
    assert multicall.run(row, ["standin"]) == 126
    stderr = capsys.readouterr().err
    assert stderr.startswith("coreos: cannot load standin (coreos_py.no_such_module): Module")


class _Broken(io.StringIO):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def flush(self):
        raise self.error


@pytest.mark.parametrize(
    ("error", "before", "after", "stderr"),
    [
        (OSError(28, "No space left on device"), 0, 1, "etcdctl: write: No space left on device\n"),
        (OSError(28, "No space left on device"), 4, 4, "etcdctl: write: No space left on device\n"),
        (BrokenPipeError(32, "Broken pipe"), 0, 141, ""),
    ],
)
def test_output_that_does_not_arrive(monkeypatch, capsys, error, before, after, stderr):
    monkeypatch.setattr(sys, "stdout", _Broken(error))
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    assert multicall._flush("etcdctl", before) == after
    monkeypatch.undo()
    assert capsys.readouterr().err == stderr


CACHE_DIR = [
    (["etcd", "--cache-dir", "/c", "-name", "a"], "/c", ["etcd", "-name", "a"]),
    (["etcd", "-cache-dir=/c"], "/c", ["etcd"]),
    (["etcd", "--cache-dir"], "", ["etcd"]),
    (["etcd", "-name", "a"], None, ["etcd", "-name", "a"]),
    (["etcd", "--", "--cache-dir", "x"], None, ["etcd", "--", "--cache-dir", "x"]),
]


@pytest.mark.parametrize(("argv", "directory", "rest"), CACHE_DIR)
def test_daemons_have_a_cache_dir(monkeypatch, argv, directory, rest):
    asked = []
    monkeypatch.setattr("coreos_py.base.accelerators.activate", asked.append)
    assert multicall._accelerate(argv) == rest
    assert asked == [directory]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_daemon_whose_reader_has_gone_says_nothing(unbuffered: str) -> None:
    # `etcd --version | head -1`
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "coreos_py", "etcd", "--version"],
            stdout=writer,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            timeout=120,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


INTERRUPTED_WRITE = """
import io, os, signal, sys
from coreos_py import multicall

class Signalled(io.FileIO):
    def write(self, data):
        written = super().write(data)
        signal.raise_signal(signal.SIGINT)
        return written

class Stdout(multicall.Stdout, Signalled):
    pass

sys.stdout = io.TextIOWrapper(io.BufferedWriter(Stdout(1, "w")))
sys.stdout.write("hello\\n")
try:
    sys.stdout.flush()
except KeyboardInterrupt:
    os._exit(multicall._flush("etcdctl", 130))
"""


def test_what_was_out_when_ctrl_c_came_is_not_printed_again():
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WRITE], capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"hello\n", b"")
