"""The embedded manager with real processes: starting, stopping, restarting, and leaving nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import pytest

from coreos_py.systemd.embedded import process
from coreos_py.systemd.manager import NOT_FOUND, UnitManagerError
from tests.support.embedded import Bench, alive, eventually_true, until_gone

pytestmark = pytest.mark.proc


def scenario(tmp_path, steps, **options):
    async def run():
        async with Bench(tmp_path, **options) as bench:
            await steps(bench)

    asyncio.run(run())


def test_simple_service(tmp_path):
    async def steps(bench):
        await bench.load("a.service", "[Service]\nExecStart=/bin/sleep 100\n")
        states = await bench.manager.states(["a.service", "b.service"])
        assert states["a.service"][:3] == ("loaded", "inactive", "dead")
        assert states["b.service"] == NOT_FOUND
        await bench.manager.reload_unit_files()
        await bench.manager.start("a.service")
        assert (await bench.manager.states(["a.service"]))["a.service"][:3] == (
            "loaded",
            "active",
            "running",
        )
        assert await bench.manager.units() == {
            "a.service": "1c6fb6f3684bafb0c173d8b8b957ceff031180c1"
        }
        pid = bench.main_pid("a.service")
        assert alive(pid)
        await bench.manager.stop("a.service")
        await bench.reach("a.service", "dead")
        until_gone(pid)
        await bench.manager.unload("a.service")
        assert await bench.manager.units() == {}
        assert (await bench.manager.states(["a.service"]))["a.service"] == NOT_FOUND
        await bench.manager.unload("a.service")

    scenario(tmp_path, steps)
    for name in ("units", "run", "pipe", "notify"):
        assert list((tmp_path / "state" / name).iterdir()) == []


def test_unload_stops_first(tmp_path):
    async def steps(bench):
        await bench.run(
            "a.service",
            f"[Service]\nExecStart=/bin/sleep 100\nExecStop=/usr/bin/touch {tmp_path}/x",
        )
        pid = bench.main_pid("a.service")
        await bench.manager.unload("a.service")
        assert not alive(pid)
        assert (tmp_path / "x").exists()

    scenario(tmp_path, steps)


def test_unload_of_a_unit_that_waits_for_its_restart(tmp_path):
    async def steps(bench):
        for unit in ("a.service", "b.service"):
            await bench.load(
                unit, "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=60\n"
            )
            await bench.manager.start(unit)
            await bench.reach(unit, "auto-restart")
        # At once down and forgotten, its file with it.
        await bench.manager.unload("a.service")
        assert (await bench.manager.states(["a.service"]))["a.service"] == NOT_FOUND
        assert os.listdir(tmp_path / "state" / "units") == ["b.service"]

    scenario(tmp_path, steps)


def test_the_journal_says_what_is_wrong_with_a_unit_file(tmp_path):
    async def steps(bench):
        await bench.load("a.service", "[Service]\nFoo=bar\nExecStop=/bin/true\n")
        lines = [line.text for line in await bench.manager.journal("a.service", lines=10)]
        assert lines == [
            "a.service: [Service] Foo= is not supported by the embedded unit manager, ignored",
            "a.service: service has no ExecStart=, which requires RemainAfterExit=yes",
        ]

    scenario(tmp_path, steps)


def test_what_cannot_be_done_is_said(tmp_path):
    async def steps(bench):
        with pytest.raises(UnitManagerError, match=r"unit a\.service is not loaded"):
            await bench.manager.start("a.service")
        with pytest.raises(UnitManagerError, match=r"unit a\.service is not loaded"):
            await bench.manager.stop("a.service")
        with pytest.raises(UnitManagerError, match="invalid character '/'"):
            await bench.load("../a.service", "[Service]\nExecStart=/bin/true\n")
        with pytest.raises(UnitManagerError, match="maximum length"):
            await bench.load("a" * 240 + ".service", "[Service]\nExecStart=/bin/true\n")
        await bench.load("a.service", "[Service]\nExecStop=/bin/true\n")
        assert (await bench.manager.states(["a.service"]))["a.service"].load == "bad-setting"
        with pytest.raises(UnitManagerError, match="cannot start: service has no ExecStart="):
            await bench.manager.start("a.service")
        await bench.load("t.timer", "[Timer]\nOnCalendar=daily\n")
        with pytest.raises(UnitManagerError, match="units of type timer need systemd"):
            await bench.manager.start("t.timer")

    scenario(tmp_path, steps)


def test_unknown_directives_are_logged_once(tmp_path, caplog):
    async def steps(bench):
        text = "[Service]\nExecStart=/bin/true\nSlice=a\nSlice=b\nIOWeight=7\n"
        await bench.load("a@1.service", text)
        await bench.load("a@2.service", text)

    scenario(tmp_path, steps)
    warnings = [one.message for one in caplog.records if "not supported" in one.message]
    assert warnings == [
        f"a@1.service: [Service] {key}= is not supported by the embedded unit manager, ignored"
        for key in ("Slice", "IOWeight")
    ]


def test_oneshot_runs_all_commands_in_order(tmp_path):
    async def steps(bench):
        await bench.run(
            "a.service",
            "[Service]\nType=oneshot\nExecStartPre=-/bin/false\nExecStart=/bin/echo one\n"
            "ExecStart=/bin/sh -c 'echo two'\nExecStartPost=/bin/echo three\n",
        )
        await bench.reach("a.service", "dead")
        assert await bench.output("a.service", own=False) == ["one", "two", "three"]

    scenario(tmp_path, steps)


@pytest.mark.parametrize(
    ("body", "sub", "said"),
    [
        ("ExecStart=/nonexistent/program", "failed", "No such file or directory"),
        ("ExecStart=no-such-program-anywhere", "failed", "not found in PATH"),
        ("ExecStart=/etc/passwd", "failed", "Permission denied"),
        ("ExecStart=/bin/true\nWorkingDirectory=/nonexistent", "failed", "no such directory"),
        ("ExecStart=/bin/true\nUser=no-such-user-here", "failed", "no such user"),
        ("ExecStart=/bin/true\nEnvironmentFile=/nonexistent", "failed", "cannot read environment"),
        ("ExecStart=/bin/true\nStandardOutput=file:/nonexistent/x", "failed", "/nonexistent/x"),
        ("ExecStart=/bin/false", "failed", "code=exited, status=1/FAILURE"),
        ("ExecStart=-/bin/false", "dead", "Deactivated successfully"),
        ("ExecStart=/bin/sh -c 'kill -9 $$$$'", "failed", "code=killed, status=9/KILL"),
        ("ExecStart=/bin/sleep 100\nExecStartPre=/bin/false", "failed", "(ExecStartPre)"),
    ],
)
def test_how_starts_end(tmp_path, body, sub, said):
    async def steps(bench):
        await bench.run("a.service", f"[Service]\n{body}\n")
        assert await bench.reach("a.service", "failed", "dead") == sub
        assert said in "\n".join(await bench.output("a.service"))

    scenario(tmp_path, steps)


def test_restart_on_failure(tmp_path):
    async def steps(bench):
        await bench.run(
            "a.service",
            "[Service]\nExecStart=/bin/sleep 100\nRestart=on-failure\nRestartSec=50ms\n",
        )
        first = bench.main_pid("a.service")
        os.kill(first, signal.SIGKILL)
        await bench.until_restarted("a.service", first)

    scenario(tmp_path, steps)


def test_start_limit(tmp_path):
    async def steps(bench):
        await bench.run(
            "a.service",
            "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=0\n"
            "StartLimitInterval=1h\n",
        )
        await bench.reach("a.service", "failed")
        said = await bench.output("a.service")
        assert "a.service: Start request repeated too quickly." in said
        assert sum("Starting" in line for line in said) == 5

    scenario(tmp_path, steps)


STUBBORN = "trap '' TERM; echo armed; while :; do sleep 0.1; done"


def test_a_process_that_ignores_sigterm(tmp_path):
    async def steps(bench):
        await bench.run(
            "a.service", f'[Service]\nExecStart=/bin/sh -c "{STUBBORN}"\nTimeoutStopSec=2s\n'
        )
        await bench.until_printed("a.service", "armed")
        started = time.monotonic()
        await bench.manager.stop("a.service")
        assert await bench.sub("a.service") == "stop-sigterm"
        await bench.reach("a.service", "failed")
        assert time.monotonic() - started > 1.9
        assert bench.tree("a.service") == []

    scenario(tmp_path, steps)


RUNAWAY = (
    "setsid sh -c 'setsid sleep 300 & exec env -i sleep 301' & "
    '(sleep 302 &) ; (trap \\"\\" TERM HUP INT; sleep 303) & echo spread; wait'
)


def test_no_orphans_are_left(tmp_path):
    """Background jobs, new sessions, double forks, emptied environments: all end with the unit."""

    async def steps(bench):
        await bench.run(
            "a.service", f'[Service]\nExecStart=/bin/sh -c "{RUNAWAY}"\nTimeoutStopSec=500ms\n'
        )
        await bench.until_printed("a.service", "spread")
        await eventually_true(lambda: _count(bench, 5), "all processes are there")
        pids = bench.tree("a.service")
        await bench.manager.stop("a.service")
        await bench.reach("a.service", "failed", "dead")
        assert [pid for pid in pids if alive(pid)] == []
        assert bench.tree("a.service") == []

    scenario(tmp_path, steps)


async def _count(bench, least):
    return len(bench.tree("a.service")) >= least


def test_children_of_a_crashed_service_are_killed(tmp_path):
    async def steps(bench):
        await bench.run(
            "a.service", "[Service]\nExecStart=/bin/sh -c 'sleep 300 & sleep 0.2; exit 3'\n"
        )
        await bench.reach("a.service", "failed")
        assert bench.tree("a.service") == []

    scenario(tmp_path, steps)


def test_kill_mode_process_leaves_children(tmp_path):
    async def steps(bench):
        await bench.run(
            "a.service",
            "[Service]\nExecStart=/bin/sh -c 'sleep 30 & echo $!; wait'\nKillMode=process\n",
        )
        await eventually_true(lambda: bench._printed("a.service", ""), "its child's pid")
        (child,) = await bench.output("a.service", own=False)
        await bench.manager.stop("a.service")
        await bench.reach("a.service", "dead")
        assert alive(int(child))
        os.kill(int(child), signal.SIGKILL)

    scenario(tmp_path, steps)


def test_forking_daemon(tmp_path):
    async def steps(bench):
        await bench.run(
            "a.service",
            "[Service]\nType=forking\nExecStart=/bin/sh -c 'setsid sleep 300 & exit 0'\n",
        )
        await bench.reach("a.service", "running")
        pid = bench.main_pid("a.service")
        assert alive(pid)
        os.kill(pid, signal.SIGKILL)
        await bench.reach("a.service", "failed")
        assert "code=killed, status=9/KILL" in "\n".join(await bench.output("a.service"))

    scenario(tmp_path, steps)


def test_dead_orphans_do_not_pile_up(tmp_path):
    async def steps(bench):
        script = "for n in 1 2 3 4 5; do (sleep 300 &) ; done; exec sleep 300"
        await bench.run("a.service", f"[Service]\nExecStart=/bin/sh -c '{script}'\n")
        main = bench.main_pid("a.service")
        await eventually_true(lambda: _orphans(bench, 5), "the main process has five orphans")
        orphans = [pid for pid in bench.tree("a.service") if pid != main]
        for pid in orphans:
            os.kill(pid, signal.SIGKILL)
        await eventually_true(lambda: _no_trace(orphans), "they have died and are waited for")
        assert alive(main)

    scenario(tmp_path, steps)


async def _orphans(bench, count):
    main = bench.main_pid("a.service")
    mark = bench.manager._runner.runs["a.service"].mark
    ours = [one for one in process.processes() if one.mark == mark and one.pid != main]
    return len(ours) == count and all(one.parent == os.getpid() for one in ours)


async def _no_trace(pids):
    return not any(map(process.look_up, pids))


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_nothing_is_started_that_cannot_be_recorded(tmp_path):
    async def steps(bench):
        await bench.load("a.service", "[Service]\nExecStart=/bin/sleep 100\n")
        records = tmp_path / "state" / "run"
        records.chmod(0o500)
        await bench.manager.start("a.service")
        records.chmod(0o700)
        await bench.reach("a.service", "failed")
        assert "not started: its record cannot be written" in "\n".join(
            await bench.output("a.service")
        )

    scenario(tmp_path, steps)


def test_forking_daemon_with_pid_file(tmp_path):
    async def steps(bench):
        script = f"(sleep 300 & sleep 301 & echo $! > {tmp_path}/pid) ; exit 0"
        await bench.run(
            "a.service",
            f"[Service]\nType=forking\nPIDFile={tmp_path}/pid\nExecStart=/bin/sh -c '{script}'\n",
        )
        await bench.reach("a.service", "running")
        assert bench.main_pid("a.service") == int((tmp_path / "pid").read_text())
        assert len(bench.tree("a.service")) == 2
        await bench.manager.stop("a.service")
        await bench.reach("a.service", "dead")
        assert bench.tree("a.service") == []

    scenario(tmp_path, steps)


def test_forking_daemon_that_never_writes_its_pid_file(tmp_path):
    async def steps(bench):
        await bench.run(
            "a.service",
            f"[Service]\nType=forking\nPIDFile={tmp_path}/pid\nTimeoutStartSec=300ms\n"
            "ExecStart=/bin/sh -c 'sleep 300 & exit 0'\n",
        )
        await bench.reach("a.service", "failed")
        assert bench.tree("a.service") == []

    scenario(tmp_path, steps)


NOTIFIER = """
import os, socket, sys, time
where = os.environ["NOTIFY_SOCKET"]
where = "\\0" + where[1:] if where.startswith("@") else where
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
sock.sendto(b"READY=1\\nSTATUS=serving", where)
time.sleep(300)
"""


def test_notify_service(tmp_path):
    (tmp_path / "notifier.py").write_text(NOTIFIER)

    async def steps(bench):
        words = f"{sys.executable} -S {tmp_path}/notifier.py {tmp_path}/go"
        await bench.run(
            "a.service",
            f"[Service]\nType=notify\nExecStart={words}\nExecStartPost=/bin/echo after $MAINPID\n",
        )
        assert await bench.sub("a.service") == "start"
        (tmp_path / "go").touch()
        await bench.reach("a.service", "running")
        assert await bench.output("a.service", own=False) == [
            f"after {bench.main_pid('a.service')}"
        ]

    scenario(tmp_path, steps)


def test_notify_service_that_is_never_ready(tmp_path):
    async def steps(bench):
        await bench.run(
            "a.service", "[Service]\nType=notify\nExecStart=/bin/sleep 100\nTimeoutStartSec=300ms\n"
        )
        await bench.reach("a.service", "failed")
        assert "start operation timed out" in "\n".join(await bench.output("a.service"))

    scenario(tmp_path, steps)


def test_a_child_may_not_speak_for_the_main_process(tmp_path):
    (tmp_path / "notifier.py").write_text(NOTIFIER)

    async def steps(bench):
        await bench.run(
            "a.service",
            "[Service]\nType=notify\nTimeoutStartSec=1\n"
            f"ExecStart=/bin/sh -c '{sys.executable} -S {tmp_path}/notifier.py /; true'\n",
        )
        assert await bench.reach("a.service", "running", "failed") == "failed"

    scenario(tmp_path, steps)


def test_dependencies(tmp_path):
    async def steps(bench):
        await bench.load("web.service", "[Service]\nExecStart=/bin/sleep 100\nRestart=no\n")
        await bench.load(
            "side.service",
            "[Unit]\nBindsTo=web.service\nAfter=web.service\n"
            f"[Service]\nExecStart=/bin/sleep 100\nExecStop=/usr/bin/touch {tmp_path}/gone\n",
        )
        await bench.manager.start("side.service")
        await bench.reach("side.service", "running")
        await bench.reach("web.service", "running")
        os.kill(bench.main_pid("web.service"), signal.SIGKILL)
        await bench.reach("side.service", "dead")
        await bench.reach("web.service", "failed")
        assert (tmp_path / "gone").exists()

    scenario(tmp_path, steps)


def test_many_units_at_once(tmp_path):
    async def steps(bench):
        names = [f"a@{number}.service" for number in range(30)]
        for name in names:
            await bench.run(name, "[Service]\nExecStart=/bin/sleep 100\n")
        assert {state.sub for state in (await bench.manager.states(names)).values()} == {"running"}
        await asyncio.gather(*(bench.manager.unload(name) for name in names))
        assert await bench.manager.units() == {}

    scenario(tmp_path, steps)


def test_changes_are_hinted(tmp_path):
    async def steps(bench):
        hints: list[str] = []
        bench.manager.on_change(hints.append)
        await bench.run("a.service", "[Service]\nExecStart=/bin/true\n")
        await bench.reach("a.service", "dead")
        assert set(hints) == {"a.service"}

    scenario(tmp_path, steps)
