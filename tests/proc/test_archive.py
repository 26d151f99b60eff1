"""The one file under every name and in every kind of place it may be started from."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from coreos_py.commands import TABLE
from tests.support.procs import eventually

pytestmark = pytest.mark.proc

WORDS = ["help", "get"]  # of etcdctl: needs no server, prints some lines, exits 0


def run(argv, **options):
    options.setdefault("timeout", 120)
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(argv, capture_output=True, check=False, **options)


@pytest.fixture(scope="module")
def place(archive):
    """A directory anybody may enter, with the archive as coreos.pyz and etcdctl linked to it."""
    with tempfile.TemporaryDirectory(prefix="coreos-py-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        shutil.copy(archive, directory / "coreos.pyz")
        (directory / "etcdctl").symlink_to("coreos.pyz")
        yield directory


@pytest.fixture(scope="module")
def expected(place):
    done = run([place / "etcdctl", *WORDS])
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\n") > 3
    return done.stdout


def _forms(place):
    copies = place / "copies"
    copies.mkdir(exist_ok=True)
    archive = place / "coreos.pyz"
    for name in ("etcdctl", "coreos-9.9.pyz", "anything"):
        if not (copies / name).exists():
            shutil.copy(archive, copies / name)
    for link, target in (("foo", "etcdctl"), ("bar", "foo")):
        if not (place / link).is_symlink():
            (place / link).symlink_to(target)
    if not (place / "hard").exists():
        (place / "hard").mkdir()
        os.link(archive, place / "hard" / "etcdctl")
    return {
        "symlink": [place / "etcdctl"],
        "hard link": [place / "hard" / "etcdctl"],
        "copy": [copies / "etcdctl"],
        "archive": [archive, "etcdctl"],
        "python3 archive": ["/usr/bin/python3", archive, "etcdctl"],
        "nested": [archive, "coreos", "coreos", "etcdctl"],
        "renamed archive": [copies / "coreos-9.9.pyz", "etcdctl"],
        "unknown name": [copies / "anything", "etcdctl"],
        "link to a link": [place / "bar"],
        "-m coreos_py": [sys.executable, "-m", "coreos_py", "etcdctl"],
    }


@pytest.mark.parametrize(
    "form",
    [
        "symlink",
        "hard link",
        "copy",
        "archive",
        "python3 archive",
        "nested",
        "renamed archive",
        "unknown name",
        "link to a link",
        "-m coreos_py",
    ],
)
def test_every_form_is_the_same_program(place, expected, form):
    done = run([*_forms(place)[form], *WORDS], env={"PATH": os.environ["PATH"]})
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")


def test_the_same_exit_code_and_error_in_every_form(place):
    seen = {
        (done.returncode, done.stdout, done.stderr)
        for form in _forms(place).values()
        for done in [run([*form, "--no-sync", "--endpoints", "http://127.0.0.1:1", "get", "k"])]
    }
    assert len(seen) == 1
    (code, out, err) = seen.pop()
    assert code == 4
    assert out == b""
    assert b"connection refused" in err


def test_every_name_starts(archive):
    for name in TABLE:
        done = run([archive.parent / "bin" / name, "--help"])
        assert done.returncode in (0, 1), (name, done.stderr)
        assert b"Traceback" not in done.stderr
        assert done.stdout or done.stderr


def test_the_bin_directory_is_the_table(archive):
    assert {path.name for path in (archive.parent / "bin").iterdir()} == set(TABLE)


def test_unknown_name(place):
    done = run([place / "coreos.pyz", "etcdct"])
    assert done.returncode == 127
    assert done.stdout == b""
    assert done.stderr.startswith(b'coreos: unknown command "etcdct"; did you mean etcdctl')


def test_broken_module(place, tmp_path):
    broken = tmp_path / "coreos.pyz"
    with zipfile.ZipFile(place / "coreos.pyz") as source, zipfile.ZipFile(broken, "w") as target:
        for name in source.namelist():
            if name == "coreos_py/etcd/cmd_etcdctl.py":
                target.writestr(name, "import nothing_of_this_name\n")
            else:
                target.writestr(name, source.read(name))
    done = run([sys.executable, broken, "etcdctl", "get", "k"])
    assert done.returncode == 126
    assert done.stderr.startswith(b"coreos: cannot load etcdctl (coreos_py.etcd.cmd_etcdctl): ")
    assert done.stderr.count(b"\n") == 1
    done = run([sys.executable, broken, "etcdctl"], env={"COREOS_PY_DEBUG": "1"})
    assert done.returncode == 126
    assert b"Traceback" in done.stderr


def test_another_interpreter_takes_the_sources(place, expected, tmp_path):
    """The block of compiled code is for one interpreter; without it everything is the same."""
    whole = (place / "coreos.pyz").read_bytes()
    begin = whole.index(b"\n") + 1
    assert whole[begin + 2 : begin + 4] == b"\r\n"
    other = tmp_path / "etcdctl"
    other.write_bytes(whole[:begin] + b"\0\0\r\n" + b"\xff" * 1000 + whole[begin + 1004 :])
    other.chmod(0o755)
    done = run([other, *WORDS])
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")


def test_a_traceback_shows_the_source(place):
    code = (
        "import runpy, sys, traceback\n"
        "sys.argv = [sys.argv[1], 'etcdctl', 'help', 'get']\n"
        "sys.path.insert(0, sys.argv[0])\n"
        "import os\n"
        "def stop(status):\n"
        "    raise RuntimeError(status)\n"
        "os._exit = stop\n"
        "try:\n"
        "    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except RuntimeError:\n"
        "    traceback.print_exc()\n"
    )
    done = run(["/usr/bin/python3", "-IS", "-c", code, place / "coreos.pyz"])
    assert b"os._exit(code)" in done.stderr
    assert b'File "coreos_py/multicall.py", line ' in done.stderr


def test_empty_environment(place, expected):
    done = run([place / "etcdctl", *WORDS], env={})
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")


@pytest.mark.skipif(os.geteuid() != 0, reason="changes the user id: needs root")
def test_user_without_passwd_entry(place, expected):
    env = {"HOME": "/nonexistent"}
    done = run([place / "etcdctl", *WORDS], env=env, user=54321, group=54321, extra_groups=[])
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")
    done = run([place / "coreos.pyz", "doctor"], env={}, user=54321, group=54321, extra_groups=[])
    assert done.returncode == 0
    assert re.search(rb"^accelerators: +none", done.stdout, re.MULTILINE)


def test_deleted_working_directory(place, expected, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f'cd "{gone}" && rmdir "{gone}" && exec "{place}/etcdctl" {" ".join(WORDS)}'
    done = run(["sh", "-c", script])
    assert (done.returncode, done.stdout) == (0, expected)
    assert b"Traceback" not in done.stderr


def test_closed_stdout(place):
    done = run(["sh", "-c", f'exec "{place}/etcdctl" {" ".join(WORDS)} >&-'])
    assert done.returncode == 1
    assert done.stderr == b"etcdctl: write: Bad file descriptor\n"


def test_full_disk_behind_stdout(place):
    done = run(["sh", "-c", f'exec "{place}/etcdctl" {" ".join(WORDS)} >/dev/full'])
    assert done.returncode == 1
    assert done.stderr == b"etcdctl: write: No space left on device\n"


def test_full_disk_behind_a_lot_of_output(place):
    done = run(["sh", "-c", f'exec "{place}/coreos.pyz" completion bash >/dev/full'])
    assert done.returncode == 1
    assert done.stderr == b"coreos: write: No space left on device\n"


def test_closed_stderr_and_stdin(place, expected):
    done = run(["sh", "-c", f'exec "{place}/etcdctl" {" ".join(WORDS)} <&- 2>&-'])
    assert (done.returncode, done.stdout) == (0, expected)
    assert run(["sh", "-c", f'exec "{place}/coreos.pyz" nosuch 2>&-']).returncode == 127
    wrong = run(["sh", "-c", f'exec "{place}/coreos.pyz" fleetctl nosuch 2>&-'])
    assert wrong.returncode == 1


def test_reader_that_goes_away(place):
    read, write = os.pipe()
    os.close(read)
    try:
        words = [place / "etcdctl", *WORDS]
        done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, timeout=120, check=False)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "en_US.ISO-8859-1"])
@pytest.mark.parametrize("word", ["größe", b"\xff\xfe"])
def test_words_pass_through_any_locale(place, locale, word):
    raw = word.encode() if isinstance(word, str) else word
    done = run([place / "etcdctl", "help", raw], env={"LANG": locale, "LC_ALL": locale})
    assert done.stdout == b"No help topic for '" + raw + b"'\n"


def test_interrupted(place):
    """Ctrl-C ends a waiting command with 130 and no word."""
    script = (
        "import os, signal, sys, socket\n"
        "s = socket.create_server(('127.0.0.1', 0))\n"
        "url = f'http://127.0.0.1:{s.getsockname()[1]}'\n"
        "pid = os.posix_spawn(sys.argv[1], [sys.argv[1], '--no-sync', '--endpoints', url,\n"
        "    '--timeout', '120s', 'get', 'k'], {})\n"
        "connection, _ = s.accept()\n"
        "connection.recv(1)\n"  # it has asked and waits now
        "os.kill(pid, signal.SIGINT)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    done = run([sys.executable, "-c", script, place / "etcdctl"])
    assert (done.stdout, done.stderr) == (b"130\n", b"")


def test_process_name(place):
    """pgrep etcdctl finds it: the kernel's name is the command's."""
    pid, fd = pty.fork()
    if pid == 0:
        path = str(place / "etcdctl")
        words = [path, "--no-sync", "--endpoints", "http://127.0.0.1:1", "set", "k"]
        os.execv(path, words)  # waits for the value on stdin
    try:
        eventually(lambda: Path(f"/proc/{pid}/comm").read_text().strip() == "etcdctl")
    finally:
        os.close(fd)
        os.waitpid(pid, 0)


def test_an_old_interpreter_is_named(place):
    code = (
        "import sys, zipfile\n"
        "main = zipfile.ZipFile(sys.argv[1]).read('__main__.py')\n"
        "sys.version_info = (3, 9, 2)\n"
        "exec(main)\n"
    )
    done = run([sys.executable, "-c", code, place / "coreos.pyz"])
    assert done.returncode == 1
    assert done.stderr.startswith(b"coreos: needs Python 3.11 or newer, and ")
    assert done.stderr.endswith(b" is 3.9\n")


def test_what_is_inside(archive):
    with zipfile.ZipFile(archive) as inside:
        names = inside.namelist()
        assert names == sorted(names)
        assert {entry.date_time for entry in inside.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert not [name for name in names if name.endswith(".so")]
        assert [name for name in names if name.endswith(".pyc")] == ["__main__.pyc"]
        here = str(archive.parents[1]).encode()
        assert not [name for name in names if here in inside.read(name)]
        assert "environment.json" in names
    assert archive.stat().st_mode & 0o777 == 0o755
    assert archive.stat().st_size <= 11 << 20
    with archive.open("rb") as start:
        assert start.readline() == b"#!/usr/bin/python3 -IS\n"
