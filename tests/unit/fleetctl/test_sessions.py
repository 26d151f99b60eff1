"""fleetctl as transcripts: words in, both outputs and the exit code out, against a live fleet.

The expected halves agree with what fleetctl 1.0.0 prints for the same words against the same API,
but for the order in which several units arrive, and for the cases that say so.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import time
from pathlib import Path

import pytest

from coreos_py.fleet.cmd_fleetctl import main
from coreos_py.fleet.registry import Registry
from tests.support import transcript
from tests.support.live_fleet import LiveFleet
from tests.support.procs import eventually

DATA = Path(__file__).resolve().parents[2] / "data" / "fleet"
MACHINES = [("aaaaaaaa11112222", "10.0.0.1"), ("bbbbbbbb33334444", "")]


def fleetctl(*words):
    """Run fleetctl in this process: exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["fleetctl", *words])
    return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("path", sorted(DATA.glob("fleetctl-*.txt")), ids=lambda path: path.stem)
def test_session(path, rewrite, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    with LiveFleet(MACHINES) as fleet:
        monkeypatch.setenv("FLEETCTL_ENDPOINT", fleet.url)

        def execute(command):
            if command.name == "file":
                target = tmp_path / command.bare[0]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text("\n".join(command.body) + "\n", encoding="utf-8")
                return ""
            if command.name == "env":
                for name, value in command.options.items():
                    monkeypatch.setenv(name, value)
                return ""
            if command.name == "settle":
                wanted = int(command.bare[0])
                eventually(lambda: _active(fleet) == (wanted, wanted))
                return ""
            if command.name == "down":
                for api in fleet.apis:
                    api.available = False
                return ""
            return _run(command.body or [" ".join(command.bare)], fleet.url)

        transcript.run_file(path, execute, rewrite=rewrite)


@pytest.mark.parametrize(
    ("words", "heading", "problem"),
    [
        (["--h"], "   fleetctl - ", ""),
        (["start", "--h"], "   fleetctl start - ", ""),
        (["start", "-h"], "   fleetctl start - ", ""),
        (["help", "start"], "   fleetctl start - ", ""),
        (["help", "nosuch"], "   fleetctl - ", "Unknown help topic [`nosuch`].\n"),
    ],
)
def test_ways_to_ask_for_help(words, heading, problem):
    code, out, err = fleetctl(*words)
    assert (code, err) == (0, problem)
    assert out.splitlines()[1].startswith(heading)


def _active(fleet):
    """How many units run, and how many are said to."""
    states = fleet.do(Registry(fleet.etcd).states()).values()
    running = sum(len(manager.running) for manager in fleet.managers.values())
    return running, sum(state.active == "active" for state in states)


def _run(lines, url):
    shown = []
    for line in lines:
        code, out, err = fleetctl(*line.split())
        shown += out.expandtabs(8).splitlines()
        shown += [f"! {text}" for text in err.splitlines()]
        if code:
            shown.append(f"exit {code}")
    text = "\n".join(shown).replace(url, "URL").replace(os.uname().nodename, "HOST")
    return re.sub(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (\w+) \w+\.py:\d+:", r"TIME \1:", text)
