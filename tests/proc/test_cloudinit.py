"""coreos-cloudinit's edges: jobs of a pretended systemd, units without systemd, whole processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import subprocess

import pytest

from coreos_py.base.errors import Unavailable
from coreos_py.cloudinit import tools, units
from coreos_py.cloudinit.embedded_units import Embedded, NoSuchUnit
from coreos_py.cloudinit.sources import serial_port
from coreos_py.cloudinit.sources.source import SourceError
from coreos_py.systemd import dbus_jobs
from coreos_py.systemd.dbus_connection import DBusError
from tests.support.fake_systemd import FakeSystemd, Refused
from tests.support.procs import eventually
from tests.support.system_bus import SystemBus

pytestmark = pytest.mark.proc

needs_bus = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="needs dbus-daemon")


# systemd over D-Bus


class Systemd(FakeSystemd):
    """Takes every job, and ends it before it answers who asked, or never."""

    def __init__(self, *, result="done"):
        super().__init__()
        self.result = result
        self.asked = asyncio.Event()

    async def _end(self, name):
        self.asked.set()
        self._jobs += 1
        path = f"/org/freedesktop/systemd1/job/{self._jobs}"
        if self.result:
            await self._ended(path, name)
        return "o", (path,)

    async def _ended(self, path, name):
        from jeepney.wrappers import DBusAddress, new_signal

        emitter = DBusAddress(
            "/org/freedesktop/systemd1", interface="org.freedesktop.systemd1.Manager"
        )
        body = (self._jobs, path, name, self.result)
        await self._send(new_signal(emitter, "JobRemoved", "uoss", body))

    async def do_StartUnit(self, fields, name, mode):
        if name == "missing.service":
            raise Refused("org.freedesktop.systemd1.NoSuchUnit", f"Unit {name} not found.")
        return await self._end(name)

    async def do_ReloadOrTryRestartUnit(self, fields, name, mode):
        return await self._end(name)

    async def do_StartTransientUnit(self, fields, name, mode, properties, aux):
        return await self._end(name)

    async def do_EnableUnitFiles(self, fields, names, runtime, force):
        return "ba(sss)", (False, [])


@contextlib.asynccontextmanager
async def reached(tmp_path, systemd):
    with SystemBus(tmp_path) as bus:
        async with systemd.on_bus(bus.address):
            yield bus.address


def told(systemd):
    return [call for call in systemd.calls if call[0] != "Subscribe"]


@needs_bus
def test_what_systemd_is_told(tmp_path):
    systemd = Systemd()

    async def ask():
        async with reached(tmp_path, systemd) as address:
            await dbus_jobs.enable("a.service", runtime=True, address=address)
            await dbus_jobs.reload(address=address)
            assert await dbus_jobs.run("StartUnit", "a.service", address=address) == "done"
            method = "ReloadOrTryRestartUnit"
            assert await dbus_jobs.run(method, "a.service", address=address) == "done"
            argv = ["/bin/bash", "/s"]
            found = await dbus_jobs.run_transient(
                "x.service", description="d", argv=argv, address=address
            )
            assert found == "done"

    asyncio.run(ask())
    assert told(systemd) == [
        ("EnableUnitFiles", ["a.service"], True, True),
        ("Reload",),
        ("StartUnit", "a.service", "replace"),
        ("ReloadOrTryRestartUnit", "a.service", "replace"),
        (
            "StartTransientUnit",
            "x.service",
            "replace",
            [
                ("Description", ("s", "d")),
                ("ExecStart", ("a(sasb)", [("/bin/bash", ["/bin/bash", "/s"], False)])),
            ],
            [],
        ),
    ]


@needs_bus
@pytest.mark.parametrize("result", ["failed", "timeout", "canceled", "dependency", "skipped"])
def test_results_of_jobs(tmp_path, result):
    async def ask():
        async with reached(tmp_path, Systemd(result=result)) as address:
            return await dbus_jobs.run("StartUnit", "a.service", address=address)

    assert asyncio.run(ask()) == result


@needs_bus
def test_what_systemd_refuses(tmp_path):
    async def ask():
        async with reached(tmp_path, Systemd()) as address:
            await dbus_jobs.run("StartUnit", "missing.service", address=address)

    with pytest.raises(DBusError, match=r"^Unit missing.service not found.$"):
        asyncio.run(ask())


@needs_bus
def test_a_bus_that_goes_away(tmp_path):
    """A job that never ends, on a bus that does."""
    lost = []

    async def ask():
        systemd = Systemd(result="")
        # The pretended systemd loses its connection too, which is not what is tested.
        with SystemBus(tmp_path) as bus, contextlib.suppress(ConnectionError):
            async with systemd.on_bus(bus.address):
                job = asyncio.create_task(
                    dbus_jobs.run("StartUnit", "a.service", address=bus.address)
                )
                await systemd.asked.wait()
                bus.__exit__()
                with pytest.raises(Unavailable, match="lost") as caught:
                    await job
                lost.append(str(caught.value))

    asyncio.run(ask())
    assert len(lost) == 1


def test_no_bus(tmp_path):
    with pytest.raises(Unavailable):
        asyncio.run(dbus_jobs.reload(address=f"unix:path={tmp_path}/none"))


# Without systemd


@pytest.fixture
def embedded(tmp_path):
    """A manager on directories of its own; what it started is stopped at the end."""
    places = [tmp_path / name for name in ("etc", "run", "lib")]
    for place in places:
        place.mkdir()
    units = Embedded(
        str(tmp_path / "state"),
        directories=tuple(map(str, places)),
        machine_id="m" * 32,
    )
    yield units
    for name in ("sleeper.service", "worker@1.service"):
        with contextlib.suppress(NoSuchUnit):
            units.run(name, "stop")


def test_units_without_systemd(embedded, tmp_path):
    (tmp_path / "etc/sleeper.service").write_text(
        "[Service]\nExecStart=/bin/sh -c 'echo $WORD > "
        f"{tmp_path}/said; exec sleep 1000'\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )
    drop_ins = tmp_path / "run/sleeper.service.d"
    drop_ins.mkdir()
    (drop_ins / "20-cloudinit.conf").write_text('[Service]\nEnvironment="WORD=hello"\n')
    embedded.enable("sleeper.service", runtime=False)
    wants = tmp_path / "etc/multi-user.target.wants/sleeper.service"
    assert str(wants.readlink()) == str(tmp_path / "etc/sleeper.service")
    embedded.enable("sleeper.service", runtime=False)
    embedded.reload()
    assert embedded.run("sleeper.service", "start") == "done"
    said = tmp_path / "said"
    eventually(lambda: said.read_text() == "hello\n")
    said.unlink()
    assert embedded.run("sleeper.service", "start") == "done"
    assert embedded.run("sleeper.service", "stop") == "done"
    assert embedded.run("sleeper.service", "try-restart") == "done"
    assert not said.exists()


def test_templates_and_one_shots_without_systemd(embedded, tmp_path):
    (tmp_path / "lib/worker@.service").write_text(
        f"[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo %i >> {tmp_path}/said'\n"
    )
    assert embedded.run("worker@1.service", "restart") == "done"
    assert (tmp_path / "said").read_text() == "1\n"
    (tmp_path / "lib/fails.service").write_text("[Service]\nType=oneshot\nExecStart=/bin/false\n")
    assert embedded.run("fails.service", "start") == "failed"
    assert embedded.run("fails.service", "reload") == "failed"


def test_scripts_without_systemd(embedded, tmp_path):
    script = tmp_path / "script"
    script.write_text(f"echo ran > {tmp_path}/said; exec sleep 0\n")
    argv = ["/bin/bash", str(script)]
    assert embedded.run_script("coreos-cloudinit-1.service", "d", argv) in ("done", "failed")
    eventually(lambda: (tmp_path / "said").read_text() == "ran\n")


def test_units_that_are_not_there(embedded, tmp_path):
    with pytest.raises(NoSuchUnit, match=r"^Unit none.service not found.$"):
        embedded.run("none.service", "start")
    (tmp_path / "run/masked.service").symlink_to("/dev/null")
    with pytest.raises(NoSuchUnit, match=r"^Unit masked.service is masked.$"):
        embedded.run("masked.service", "start")


# A serial port


def test_questions_over_a_serial_port():
    host, port = os.openpty()
    try:
        path = os.ttyname(port)

        def answer():
            asked = b""
            while not asked.endswith(b"\n>"):
                asked += os.read(host, 100)
            os.write(host, b'{"n": 1}\x04rest')
            return asked

        async def both():
            return await asyncio.gather(
                asyncio.to_thread(answer), asyncio.to_thread(serial_port.ask, "/meta/", port=path)
            )

        assert asyncio.run(both()) == [b"<\n/meta/\n>", b'{"n": 1}']
        with pytest.raises(SourceError, match="no answer in time"):
            serial_port.ask("", port=path, timeout_s=0.1)
    finally:
        os.close(host)
        os.close(port)
    with pytest.raises(SourceError, match="open /nonexistent/tty: no such file or directory"):
        serial_port.ask("", port="/nonexistent/tty")


# Whole processes


def run(archive, *words, env=None):
    return subprocess.run(
        [str(archive.parent / "bin/coreos-cloudinit"), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"PATH": os.environ["PATH"], **(env or {})},
    )


CONFIG = """\
#cloud-config
hostname: core-01
coreos:
  etcd2:
    discovery: https://discovery.example/$private_ipv4
  units:
    - name: etcd2.service
      command: begin
"""


def test_validation_from_the_archive(archive, tmp_path):
    path = tmp_path / "user-data"
    path.write_text(CONFIG)
    done = run(archive, "-validate", f"-from-file={path}")
    lines = [re.sub(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ", "", x) for x in done.stderr.splitlines()]
    assert (done.returncode, done.stdout) == (1, "")
    assert lines[-1] == "line 8: error: invalid value begin"
    path.write_text(CONFIG.replace("begin", "start"))
    assert run(archive, "-validate", f"-from-file={path}").returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="takes rights away, which needs some")
def test_validation_needs_no_rights(archive, tmp_path):
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    command = (str(archive), "coreos-cloudinit", "-validate", "-from-file=/proc/self/fd/0")
    path = tmp_path / "user-data"
    path.write_text(CONFIG)
    path.chmod(0o644)
    if subprocess.run([*nobody, "test", "-r", str(archive)], check=False).returncode:
        pytest.skip("the archive is in a place of root's own")
    with path.open("rb") as file:
        done = subprocess.run(
            [*nobody, "/usr/bin/python3", "-IS", *command],
            stdin=file,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={"PATH": os.environ["PATH"]},
        )
    assert done.returncode == 1
    assert "line 8: error: invalid value begin" in done.stderr


def test_a_dry_run_from_the_archive(archive, tmp_path):
    path = tmp_path / "user-data"
    path.write_text(CONFIG.replace("begin", "start"))
    done = run(archive, "--dry-run", f"-from-file={path}", env={"COREOS_PRIVATE_IPV4": "10.0.0.9"})
    assert done.returncode == 0
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[0] == "1. set the host name to core-01"
    assert lines[-1] == "9. start etcd2.service"


def test_which_manager_is_used(tmp_path, monkeypatch):
    monkeypatch.delenv("DBUS_SYSTEM_BUS_ADDRESS", raising=False)
    monkeypatch.setattr(units, "_SYSTEMD_SOCKET", str(tmp_path / "private"))
    assert isinstance(units.here(str(tmp_path)), Embedded)
    (tmp_path / "private").write_text("")
    assert isinstance(units.here(str(tmp_path)), units.Systemd)


def test_the_suites_own_helper_where_none_is_installed(monkeypatch):
    monkeypatch.setattr(tools, "search_path", lambda: "/nonexistent")
    with pytest.raises(tools.ToolError, match="user no-such-user-here does not exist"):
        tools.authorize_keys("no-such-user-here", "set", ("ssh-1",))
