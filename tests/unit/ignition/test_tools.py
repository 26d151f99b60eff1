"""Programs that Ignition's stages call: found, run, and what they complain about."""

from __future__ import annotations

import pytest

from coreos_py.base.errors import CoreosError
from coreos_py.ignition import tools


@pytest.fixture
def say(tmp_path, monkeypatch):
    """A program of this name that says what it is given, or fails with it."""
    program = tmp_path / "say"
    program.write_text('#!/bin/sh\necho "$2" >&2\necho "out $2"\nexit "$1"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return program


def test_a_program_is_found_beyond_path(say, monkeypatch):
    assert tools.find("nothing-like-it", "say") == str(say)
    monkeypatch.delenv("PATH")
    assert tools.find("sh") in ("/usr/bin/sh", "/bin/sh")
    with pytest.raises(CoreosError, match=r"^no-tool or no-other not found$"):
        tools.find("no-tool", "no-other")


def test_what_it_prints(say):
    assert tools.check(["say", "0", "well"]) == "out well\n"
    assert tools.attempt(["say", "3", "x"]).returncode == 3


def test_what_it_complains_about(say):
    with pytest.raises(CoreosError, match=r"^say: exit status 2: it is full$"):
        tools.check(["say", "2", "it is\n full"])
    with pytest.raises(CoreosError, match=r"^say it: exit status 2: full$"):
        tools.check(["say", "2", "full"], name="say it")


def test_what_cannot_be_mounted_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "mount").write_text("#!/bin/sh\necho no such thing >&2\nexit 32\n")
    (tmp_path / "mount").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(tools.tempfile, "tempdir", str(tmp_path))
    with (
        pytest.raises(CoreosError, match=r"^cannot mount /dev/x: no such thing$"),
        tools.mounted("/dev/x"),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["mount"]
