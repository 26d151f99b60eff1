"""A manager is killed, another comes: units run on, are found again, and never run twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys

import pytest

from coreos_py.base.errors import ConfigError
from coreos_py.systemd import journal
from coreos_py.systemd.embedded.supervisor import EmbeddedManager
from tests.support.embedded import (
    DRIVER,
    Bench,
    alive,
    eventually_true,
    separate_manager,
    until_gone,
)

pytestmark = pytest.mark.proc

COUNTER = """[Service]
ExecStart=/bin/sh -c 'n=0; while :; do n=$((n+1)); echo line $n; sleep 0.02; done'
"""


async def kill(driver):
    driver.send_signal(signal.SIGKILL)
    await driver.wait()


def run(steps):
    asyncio.run(asyncio.wait_for(steps, 240))


def records(tmp_path, unit="a.service"):
    return json.loads((tmp_path / "state" / "run" / unit).read_text())


def main_pid(tmp_path, unit="a.service"):
    return records(tmp_path, unit)["snapshot"]["main_pid"]


def test_a_running_unit_is_found_again_and_no_line_is_lost(tmp_path):
    async def steps():
        async with separate_manager(tmp_path, {"a.service": COUNTER}) as driver:
            pid = main_pid(tmp_path)
            await eventually_true(lambda: _printed(tmp_path, 10), "it prints")
            await kill(driver)
            seen = _count(tmp_path)
            await asyncio.sleep(0.3)
            assert alive(pid)
        async with Bench(tmp_path) as bench:
            assert await bench.sub("a.service") == "running"
            assert bench.main_pid("a.service") == pid
            await bench.load("a.service", COUNTER)
            await bench.manager.start("a.service")
            assert bench.main_pid("a.service") == pid
            await eventually_true(lambda: _printed(tmp_path, seen + 20), "it goes on printing")
            assert bench.tree("a.service").count(pid) == 1
            await bench.manager.stop("a.service")
            assert await bench.reach("a.service", "dead", "failed") == "dead"
            assert not alive(pid)
            printed = await bench.output("a.service", own=False)
            assert len(printed) >= 30
            assert printed == [f"line {number}" for number in range(1, len(printed) + 1)]

    run(steps())


def _count(tmp_path):
    lines = journal.read_journal(str(tmp_path / "state"), "a.service", -1)
    return sum(line.text.startswith("line ") for line in lines)


async def _printed(tmp_path, least):
    return _count(tmp_path) >= least


def test_an_adopted_unit_is_restarted_when_it_ends(tmp_path):
    body = "[Service]\nExecStart=/bin/sleep 100\nRestart=always\nRestartSec=50ms\n"

    async def steps():
        async with separate_manager(tmp_path, {"a.service": body}) as driver:
            pid = main_pid(tmp_path)
            await kill(driver)
        async with Bench(tmp_path) as bench:
            os.kill(pid, signal.SIGKILL)
            await bench.until_restarted("a.service", pid)
            assert len(bench.tree("a.service")) == 1

    run(steps())


@pytest.mark.parametrize(("policy", "sub"), [("no", "failed"), ("always", "running")])
def test_a_unit_that_ended_while_nobody_watched(tmp_path, policy, sub):
    body = f"[Service]\nExecStart=/bin/sleep 100\nRestart={policy}\nRestartSec=50ms\n"

    async def steps():
        async with separate_manager(tmp_path, {"a.service": body}) as driver:
            pid = main_pid(tmp_path)
            await kill(driver)
            os.kill(pid, signal.SIGKILL)
            until_gone(pid)
        async with Bench(tmp_path) as bench:
            await bench.reach("a.service", sub)
            assert bench.main_pid("a.service") != pid
            said = "\n".join(await bench.output("a.service"))
            assert "status lost while nobody was watching" in said

    run(steps())


def test_a_unit_whose_file_is_gone_is_stopped(tmp_path):
    async def steps():
        async with separate_manager(tmp_path, {"a.service": COUNTER}) as driver:
            pid = main_pid(tmp_path)
            await kill(driver)
        (tmp_path / "state" / "units" / "a.service").unlink()
        async with Bench(tmp_path) as bench:
            assert await bench.manager.units() == {}
            await asyncio.to_thread(until_gone, pid)
            await eventually_true(
                lambda: _nothing_left(tmp_path), "the record and the pipe are removed"
            )

    run(steps())


async def _nothing_left(tmp_path):
    folders = [tmp_path / "state" / name for name in ("run", "pipe")]
    return not any(list(folder.iterdir()) for folder in folders)


def test_an_interrupted_start_is_repeated_once(tmp_path):
    body = (
        "[Service]\n"
        f"WorkingDirectory={tmp_path}\n"
        "ExecStartPre=/bin/sh -c 'echo pre >> log; test -e go || sleep 100'\n"
        "ExecStart=/bin/sleep 100\n"
    )

    async def steps():
        async with separate_manager(tmp_path, {"a.service": body}) as driver:
            await eventually_true(lambda: _lines(tmp_path / "log", 1), "ExecStartPre runs")
            await kill(driver)
        (tmp_path / "go").touch()
        async with Bench(tmp_path) as bench:
            await bench.reach("a.service", "running")
            assert len(bench.tree("a.service")) == 1
            assert (tmp_path / "log").read_text() == "pre\npre\n"

    run(steps())


async def _lines(path, count):
    return path.exists() and len(path.read_text().splitlines()) >= count


def test_a_forking_daemon_is_found_again(tmp_path):
    body = "[Service]\nType=forking\nExecStart=/bin/sh -c 'setsid sleep 100 & exit 0'\n"

    async def steps():
        async with separate_manager(tmp_path, {"a.service": body}) as driver:
            await eventually_true(lambda: _is(tmp_path, "running"), "the daemon runs")
            pid = main_pid(tmp_path)
            await kill(driver)
        async with Bench(tmp_path) as bench:
            assert await bench.sub("a.service") == "running"
            assert bench.main_pid("a.service") == pid
            await bench.manager.stop("a.service")
            await bench.reach("a.service", "dead", "failed")
            assert not alive(pid)

    run(steps())


async def _is(tmp_path, sub):
    return records(tmp_path)["snapshot"]["sub"] == sub


def test_a_resting_oneshot_is_remembered(tmp_path):
    body = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"

    async def steps():
        async with separate_manager(tmp_path, {"a.service": body}) as driver:
            await eventually_true(lambda: _is(tmp_path, "exited"), "the oneshot has run")
            await kill(driver)
        async with Bench(tmp_path) as bench:
            assert await bench.sub("a.service") == "exited"

    run(steps())


def test_a_pretended_machine_that_boots_again_starts_nothing_by_itself(tmp_path, monkeypatch):
    body = "[Service]\nExecStart=/bin/sleep 100\nRestart=always\nRestartSec=0\n"
    monkeypatch.setenv("COREOS_BOOT_ID", "first")

    async def steps():
        async with separate_manager(tmp_path, {"a.service": body}) as driver:
            pid = main_pid(tmp_path)
            await kill(driver)
            os.kill(pid, signal.SIGKILL)
            until_gone(pid)
        monkeypatch.setenv("COREOS_BOOT_ID", "second")
        async with Bench(tmp_path) as bench:
            await asyncio.sleep(0.2)
            assert await bench.sub("a.service") == "dead"
            await bench.run("a.service", "[Service]\nType=oneshot\nExecStart=/bin/echo %b\n")
            await bench.until_printed("a.service", "second")

    run(steps())


def test_records_of_another_boot_do_not_count(tmp_path):
    async def steps():
        async with separate_manager(tmp_path, {"a.service": COUNTER}) as driver:
            pid = main_pid(tmp_path)
            await kill(driver)
        path = tmp_path / "state" / "run" / "a.service"
        path.write_text(path.read_text().replace('"boot": "', '"boot": "0'))
        async with Bench(tmp_path) as bench:
            assert await bench.sub("a.service") == "dead"
            assert alive(pid)
        os.kill(pid, signal.SIGKILL)
        until_gone(pid)

    run(steps())


def test_a_recycled_pid_is_not_mistaken_for_the_unit(tmp_path):
    async def steps():
        async with separate_manager(tmp_path, {"a.service": COUNTER}) as driver:
            pid = main_pid(tmp_path)
            await kill(driver)
            os.kill(pid, signal.SIGKILL)
            until_gone(pid)
        path = tmp_path / "state" / "run" / "a.service"
        path.write_text(
            path.read_text().replace(f'"main_pid": {pid}', f'"main_pid": {os.getpid()}')
        )
        async with Bench(tmp_path) as bench:
            assert await bench.reach("a.service", "failed") == "failed"

    run(steps())


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"unit": "a.service"}'])
def test_a_damaged_record_is_as_good_as_none(tmp_path, damage):
    async def steps():
        async with Bench(tmp_path) as bench:
            await bench.load("a.service", COUNTER)
            await bench.manager.close()
            (tmp_path / "state" / "run" / "a.service").write_text(damage)
            await bench.manager.open()
            assert await bench.sub("a.service") == "dead"

    run(steps())


def test_one_manager_per_directory(tmp_path):
    async def steps():
        async with Bench(tmp_path):
            other = EmbeddedManager(str(tmp_path / "state"), machine_id="x")
            with pytest.raises(ConfigError, match="another unit manager is running there"):
                await other.open()

    run(steps())


@pytest.mark.parametrize("which", ["state", "units"])
def test_a_directory_that_cannot_be_used(tmp_path, which):
    (tmp_path / which).write_text("a file")

    async def steps():
        units_dir = str(tmp_path / "units" / "below")
        manager = EmbeddedManager(str(tmp_path / "state"), machine_id="x", units_dir=units_dir)
        with pytest.raises(ConfigError, match=f"cannot use .*/{which}.* for units: "):
            await manager.open()

    run(steps())


def test_close_leaves_units_running(tmp_path):
    async def steps():
        async with Bench(tmp_path) as bench:
            await bench.run("a.service", COUNTER)
            pid = bench.main_pid("a.service")
            await bench.manager.close()
            assert alive(pid)
            await bench.manager.open()
            assert bench.main_pid("a.service") == pid

    run(steps())


GUARDED = """[Service]
ExecStart={python} -S -c 'import fcntl, os, time; \\
  f = open("{path}/lock", "a"); \\
  free = True; \\
  fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB); \\
  open("{path}/started", "a").write("x"); \\
  time.sleep(300)'
Restart=always
RestartSec=10ms
StartLimitInterval=0
"""


def test_killed_at_any_moment_a_unit_never_runs_twice(tmp_path):
    """A second process would fail on the lock and be seen as a failed exit in the journal."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    source = tmp_path / "source"
    source.write_text(GUARDED.format(python=sys.executable, path=tmp_path))

    async def steps():
        for _ in range(12):
            driver = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                DRIVER,
                str(tmp_path / "state"),
                "a.service",
                str(source),
                stdout=asyncio.subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            )
            assert driver.stdout is not None
            assert await driver.stdout.readline() == b"set\n"
            await asyncio.sleep(chance.random() * 0.08)
            driver.send_signal(signal.SIGKILL)
            await driver.communicate()
        async with Bench(tmp_path) as bench:
            await bench.run("a.service", source.read_text())
            await bench.reach("a.service", "running")
            assert len(bench.tree("a.service")) == 1
            await eventually_true(lambda: _lines(tmp_path / "started", 1), "it has the lock")

    run(steps())
    lines = journal.read_journal(str(tmp_path / "state"), "a.service", -1)
    assert not [line.text for line in lines if "BlockingIOError" in line.text]
