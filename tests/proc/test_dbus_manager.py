"""The D-Bus manager against a pretended systemd, on a private message bus and on a bare socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess

import pytest

from coreos_py.base import unitfile
from coreos_py.base.errors import ConfigError, Unavailable
from coreos_py.systemd import dbus_connection, dbus_manager
from coreos_py.systemd.dbus_manager import DBusManager, escape_path, unescape_path
from coreos_py.systemd.manager import NOT_FOUND, UnitManagerError
from tests.support.embedded import eventually_true
from tests.support.fake_systemd import FakeSystemd, Refused

pytestmark = [
    pytest.mark.proc,
    pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="needs dbus-daemon"),
]

SLEEP = unitfile.parse("[Service]\nExecStart=/bin/sleep 100\n")
INSTALL = unitfile.parse("[Service]\nExecStart=/bin/sleep 100\n[Install]\nWantedBy=a.target\n")
NO_INSTALL = unitfile.parse("[Service]\nExecStart=/bin/sleep 100\n[Install]\nAlso=b.service\n")
CONFIG = """<busconfig>
  <type>session</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>"""


class Bus:
    """A message bus of our own."""

    def __init__(self, directory):
        self.path = directory / "bus"
        self.config = directory / "bus.conf"
        self.config.write_text(CONFIG.format(path=self.path))
        self.address = f"unix:path={self.path}"
        self.process = None

    async def start(self):
        self.process = await asyncio.create_subprocess_exec(
            "dbus-daemon",
            f"--config-file={self.config}",
            "--nofork",
            "--print-address",
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert await self.process.stdout.readline()

    async def stop(self):
        self.process.kill()
        await self.process.communicate()
        self.path.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def everything(tmp_path):
    """A bus, a pretended systemd on it, and an open manager."""
    bus, fake = Bus(tmp_path), FakeSystemd()
    await bus.start()
    try:
        async with fake.on_bus(bus.address):
            manager = DBusManager(str(tmp_path / "units"), address=bus.address)
            await manager.open()
            try:
                yield manager, fake, bus
            finally:
                await manager.close()
    finally:
        await bus.stop()


def scenario(tmp_path, steps):
    async def run():
        async with asyncio.timeout(240), everything(tmp_path) as (manager, fake, _):
            await steps(manager, fake)

    asyncio.run(run())


def members(fake):
    return [member for member, *_ in fake.calls if member not in ("Subscribe", "ListUnitsByNames")]


async def bring_up(manager, name="a.service", unit=SLEEP):
    await manager.load(name, unit)
    await manager.reload_unit_files()
    await manager.start(name)


def test_the_life_of_a_unit(tmp_path):
    async def steps(manager, fake):
        path = tmp_path / "units" / "a.service"
        await bring_up(manager)
        assert path.read_text() == "[Service]\nExecStart=/bin/sleep 100\n"
        assert path.stat().st_mode & 0o7777 == 0o644
        assert fake.files == {"a.service": str(path)}
        assert await manager.units() == {"a.service": SLEEP.hash}
        states = await manager.states(["a.service", "b.service", "t@.service"])
        assert states["a.service"] == ("loaded", "active", "running", SLEEP.hash)
        assert states["b.service"] == NOT_FOUND
        assert states["t@.service"] == NOT_FOUND
        await manager.stop("a.service")
        assert (await manager.states(["a.service"]))["a.service"].sub == "dead"
        await manager.unload("a.service")
        assert not path.exists()
        assert fake.files == {}
        assert await manager.units() == {}
        assert members(fake) == [
            "LinkUnitFiles",
            "Reload",
            "StartUnit",
            "StopUnit",
            "StopUnit",
            "DisableUnitFiles",
            "ResetFailedUnit",
        ]

    scenario(tmp_path, steps)


def test_what_systemd_does_not_hold_needs_no_reload(tmp_path):
    async def run():
        bus, fake = Bus(tmp_path), FakeSystemd()
        fake.version = "252.39-1~deb12u1"
        await bus.start()
        try:
            async with fake.on_bus(bus.address):
                manager = DBusManager(str(tmp_path / "units"), address=bus.address)
                await manager.open()
                fake.gates["GetUnit"] = asyncio.Event()
                names = [f"{n}.service" for n in range(9)]
                loads = [asyncio.create_task(manager.load(name, SLEEP)) for name in names]
                await eventually_true(
                    lambda: _contains([len(members(fake))], 9), "all have been asked for"
                )
                fake.gates["GetUnit"].set()
                await asyncio.gather(*loads)
                await manager.reload_unit_files()
                await manager.start("1.service")
                # All were linked together, in one call where the answers came together.
                linked = [body[0] for member, *body in fake.calls if member == "LinkUnitFiles"]
                assert (
                    sorted(path.rpartition("/")[2] for paths in linked for path in paths) == names
                )
                assert len(linked) < 9
                assert set(members(fake)) == {"GetUnit", "LinkUnitFiles", "StartUnit"}
                # systemd holds the old text of this one, and that one changes others.
                for name, unit in (("1.service", SLEEP), ("i.service", INSTALL)):
                    before = fake.reloading
                    await manager.load(name, unit)
                    await manager.reload_unit_files()
                    await manager.reload_unit_files()
                    assert fake.reloading == before + 1
                await manager.close()
        finally:
            await bus.stop()

    asyncio.run(run())


def test_one_file_that_cannot_be_linked_does_not_spoil_the_others(tmp_path):
    async def steps(manager, fake):
        link = fake.do_LinkUnitFiles

        async def picky(fields, paths, runtime, force):
            if any("odd" in path for path in paths):
                raise Refused("org.freedesktop.DBus.Error.InvalidArgs", "odd")
            return await link(fields, paths, runtime, force)

        fake.do_LinkUnitFiles = picky
        names = ("a.service", "odd.service", "c.service")
        done = await asyncio.gather(
            *(manager.load(name, SLEEP) for name in names), return_exceptions=True
        )
        assert [str(found) for found in done] == [
            "None",
            "systemd refused LinkUnitFiles: odd",
            "None",
        ]
        assert sorted(fake.files) == ["a.service", "c.service"]

    scenario(tmp_path, steps)


def test_units_with_install_section_are_enabled(tmp_path):
    async def steps(manager, fake):
        await manager.load("a.service", INSTALL)
        assert fake.enabled == {"a.service"}
        await manager.reload_unit_files()
        await manager.unload("a.service")
        assert fake.enabled == set()

    scenario(tmp_path, steps)


@pytest.mark.parametrize("refused", [True, False])
def test_a_unit_that_cannot_be_enabled_is_taken_back(tmp_path, refused):
    async def steps(manager, fake):
        if refused:
            fake.errors["EnableUnitFiles"] = ("org.freedesktop.DBus.Error.Failed", "no such target")
        with pytest.raises(UnitManagerError) as caught:
            await manager.load("a.service", NO_INSTALL)
        reason = (
            "systemd refused EnableUnitFiles: no such target"
            if refused
            else "its [Install] section enables nothing"
        )
        assert str(caught.value) == f"Failed to enable systemd unit a.service: {reason}"
        assert fake.files == {}
        assert await manager.units() == {}

    scenario(tmp_path, steps)


def test_errors_name_the_unit_and_the_reason(tmp_path):
    async def steps(manager, fake):
        with pytest.raises(UnitManagerError) as caught:
            await manager.start("a.service")
        assert caught.value.unit == "a.service"
        assert str(caught.value) == "systemd refused StartUnit: Unit a.service not found."

    scenario(tmp_path, steps)


def test_units_systemd_has_dropped_can_be_stopped_and_unloaded(tmp_path):
    async def steps(manager, fake):
        await manager.stop("a.service")
        await manager.unload("a.service")
        await manager.load("a.service", SLEEP)
        await manager.unload("a.service")
        assert await manager.units() == {}

    scenario(tmp_path, steps)


def test_a_template_can_be_unloaded(tmp_path):
    async def steps(manager, fake):
        await manager.load("t@.service", SLEEP)
        await manager.unload("t@.service")
        assert await manager.units() == {}

    scenario(tmp_path, steps)


def test_a_failed_unit_is_reset(tmp_path):
    async def steps(manager, fake):
        await bring_up(manager)
        fake.running["a.service"] = "failed"
        await manager.unload("a.service")
        assert fake.running["a.service"] == "inactive"

    scenario(tmp_path, steps)


@pytest.mark.parametrize("member", ["DisableUnitFiles", "ResetFailedUnit"])
def test_the_file_goes_even_when_systemd_refuses(tmp_path, member):
    async def steps(manager, fake):
        await bring_up(manager)
        fake.errors[member] = ("org.freedesktop.DBus.Error.Failed", "broken")
        with pytest.raises(UnitManagerError, match=f"systemd refused {member}: broken"):
            await manager.unload("a.service")
        assert await manager.units() == {}

    scenario(tmp_path, steps)


def test_a_unit_that_cannot_be_stopped_stays(tmp_path):
    async def steps(manager, fake):
        await bring_up(manager)
        fake.errors["StopUnit"] = ("org.freedesktop.DBus.Error.AccessDenied", "no")
        with pytest.raises(UnitManagerError, match="refused StopUnit: no"):
            await manager.unload("a.service")
        assert await manager.units() == {"a.service": SLEEP.hash}

    scenario(tmp_path, steps)


def test_the_file_stays_until_the_unit_is_down_and_others_do_not_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(dbus_manager, "_STOP_POLL_S", 1e9)  # only the signal tells that it is down

    async def steps(manager, fake):
        await bring_up(manager, "slow.service")
        await bring_up(manager, "b.service")
        fake.slow_stops.add("slow.service")
        unloading = asyncio.create_task(manager.unload("slow.service"))
        await manager.unload("b.service")
        await asyncio.sleep(0.1)
        assert await manager.units() == {"slow.service": SLEEP.hash}
        assert ("DisableUnitFiles", ["slow.service"], True) not in fake.calls
        await fake.finish_stop("slow.service")
        await unloading
        assert await manager.units() == {}

    scenario(tmp_path, steps)


def test_simultaneous_reloads_are_one(tmp_path):
    async def steps(manager, fake):
        fake.gates["Reload"] = asyncio.Event()
        first = asyncio.create_task(manager.reload_unit_files())
        await eventually_true(lambda: _contains(fake.calls, ("Reload",)), "the first has begun")
        others = [asyncio.create_task(manager.reload_unit_files()) for _ in range(20)]
        await asyncio.sleep(0)  # all of them have asked
        fake.gates["Reload"].set()
        await asyncio.gather(first, *others)
        assert fake.reloading == 2
        await manager.reload_unit_files()
        assert fake.reloading == 3

    scenario(tmp_path, steps)


def test_a_refused_reload_is_reported_and_the_next_one_works(tmp_path):
    async def steps(manager, fake):
        fake.errors["Reload"] = ("org.freedesktop.DBus.Error.Failed", "busy")
        with pytest.raises(UnitManagerError, match="systemd refused Reload: busy"):
            await manager.reload_unit_files()
        fake.errors.clear()
        await manager.reload_unit_files()

    scenario(tmp_path, steps)


def test_one_bad_name_does_not_spoil_the_states(tmp_path):
    async def steps(manager, fake):
        await bring_up(manager)
        states = await manager.states(["a.service", "bad.service", "c.service"])
        assert states["a.service"].active == "active"
        assert states["bad.service"] == NOT_FOUND
        assert states["c.service"] == NOT_FOUND
        fake.calls.clear()
        await manager.states(["a.service"])
        assert fake.calls == [("ListUnitsByNames", ["a.service"])]

    scenario(tmp_path, steps)


def test_older_systemd_without_list_by_names(tmp_path):
    async def steps(manager, fake):
        await bring_up(manager)
        await bring_up(manager, "b-x@1.service")
        await manager.stop("b-x@1.service")
        fake.errors["ListUnitsByNames"] = ("org.freedesktop.DBus.Error.UnknownMethod", "what?")
        for _ in range(2):
            states = await manager.states(["a.service", "b-x@1.service"])
            assert states["a.service"][:3] == ("loaded", "active", "running")
            assert states["b-x@1.service"][:3] == ("loaded", "inactive", "dead")
        assert sum(member == "ListUnitsByNames" for member, *_ in fake.calls) == 1

    scenario(tmp_path, steps)


def test_files_of_an_earlier_fleetd_are_found(tmp_path):
    directory = tmp_path / "units"
    directory.mkdir()
    (directory / "a.service").write_text("# note\n[Service]\nExecStart = /bin/sleep 100\n")
    (directory / "x.target").write_text("[Unit]\nDescription=x\n")
    (directory / "broken.service").write_text("[Service\n")
    (directory / "README").write_text("no unit")
    (directory / ".a.service.tmp").write_text("half")

    async def steps(manager, fake):
        assert await manager.units() == {
            "a.service": SLEEP.hash,
            "broken.service": "",
            "x.target": unitfile.parse("[Unit]\nDescription=x\n").hash,
        }
        (directory / "a.service").write_text("[Service]\nExecStart=/bin/true\n")
        assert (await manager.units())["a.service"] != SLEEP.hash

    scenario(tmp_path, steps)


def test_changes_are_hinted_for_our_units_only(tmp_path):
    async def steps(manager, fake):
        hints: list[str] = []
        manager.on_change(hints.append)
        await bring_up(manager)
        fake.known["foreign.service"] = "x"
        await manager.start("foreign.service")
        await bring_up(manager, "b.service")
        await eventually_true(lambda: _contains(hints, "b.service"), "hints of what came last")
        assert "a.service" in hints
        assert "foreign.service" not in hints

    scenario(tmp_path, steps)


async def _contains(hints, name):
    return name in hints


def test_the_bus_restarts(tmp_path):
    async def run():
        async with asyncio.timeout(240), everything(tmp_path) as (manager, fake, bus):
            await bring_up(manager)
            hints: list[str] = []
            manager.on_change(hints.append)
            await bus.stop()
            with pytest.raises(UnitManagerError, match="systemd cannot be reached"):
                await manager.states(["a.service"])
            await bus.start()
            async with fake.on_bus(bus.address):
                states = await manager.states(["a.service"])
                assert states["a.service"].active == "active"
                await eventually_true(lambda: _contains(hints, ""), "a hint for all units")
                await manager.stop("a.service")
                await eventually_true(lambda: _contains(hints, "a.service"), "a hint")

    asyncio.run(run())


def test_a_directory_that_cannot_be_used(tmp_path):
    (tmp_path / "file").touch()
    manager = DBusManager(str(tmp_path / "file" / "units"))
    with pytest.raises(ConfigError, match=r"cannot use .*/file/units for units: Not a directory"):
        asyncio.run(manager.open())


def test_no_bus_at_all(tmp_path):
    async def run():
        manager = DBusManager(str(tmp_path / "units"), address=f"unix:path={tmp_path}/none")
        with pytest.raises(Unavailable, match="No such file or directory"):
            await manager.open()
        await manager.close()

    asyncio.run(run())


def test_an_answer_that_never_comes(tmp_path):
    async def run():
        async with everything(tmp_path) as (_, fake, bus):
            fake.delays_s["Reload"] = 60
            connection = await dbus_connection.connect(bus.address, lambda *_: None, is_bus=True)
            address = dbus_connection.DBusAddress(
                "/org/freedesktop/systemd1",
                "org.freedesktop.systemd1",
                "org.freedesktop.systemd1.Manager",
            )
            with pytest.raises(Unavailable, match=r"no answer to Reload within 0\.1 s"):
                await connection.call(address, "Reload", timeout_s=0.1)
            await connection.close()

    asyncio.run(run())


@pytest.mark.skipif(os.getuid() != 0, reason="only root may talk to systemd directly")
def test_root_falls_back_to_systemds_own_socket(tmp_path, monkeypatch):
    private = tmp_path / "private"
    monkeypatch.setattr(dbus_connection, "SYSTEMD_PRIVATE", f"unix:path={private}")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")

    async def run():
        fake = FakeSystemd()
        async with asyncio.timeout(240), fake.on_socket(str(private)):
            manager = DBusManager(str(tmp_path / "units"))
            await manager.open()
            hints: list[str] = []
            manager.on_change(hints.append)
            await bring_up(manager)
            assert (await manager.states(["a.service"]))["a.service"].active == "active"
            fake.drop_clients()
            assert (await manager.states(["a.service"]))["a.service"].active == "active"
            await manager.unload("a.service")
            await eventually_true(lambda: _contains(hints, "a.service"), "a hint")
            await manager.close()

    asyncio.run(run())


def test_an_address_list_is_tried_in_order(tmp_path):
    async def run():
        async with everything(tmp_path) as (_, _fake, bus):
            addresses = f"tcp:host=localhost,port=1;unix:path={tmp_path}/none;{bus.address}"
            connection = await dbus_connection.connect(addresses, lambda *_: None, is_bus=True)
            await connection.close()
            with pytest.raises(Unavailable, match="not a unix socket address"):
                await dbus_connection.connect("tcp:host=x", lambda *_: None, is_bus=True)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("a.service", "a_2eservice"),
        ("web@1.service", "web_401_2eservice"),
        ("1-a_b.mount", "_31_2da_5fb_2emount"),
        ("", "_"),
    ],
)
def test_object_paths(name, label):
    assert escape_path(name) == label
    assert unescape_path(label) == name
