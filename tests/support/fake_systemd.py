"""A pretended org.freedesktop.systemd1 for tests, on a private bus or a socket like systemd's own.

It keeps units in memory and behaves as systemd 252 does where fleet once stumbled: ResetFailedUnit
of a stopped unit answers "not loaded", one bad name spoils ListUnitsByNames, and a unit that is
started before Reload is not found, unless `version` is new. `errors`, `delays_s`, `gates` and
`calls` let a test steer it.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from jeepney.bus_messages import message_bus
from jeepney.io.asyncio import open_dbus_connection
from jeepney.low_level import HeaderFields, MessageType, Parser
from jeepney.wrappers import DBusAddress, new_error, new_method_return, new_signal

NAME = "org.freedesktop.systemd1"
ROOT = "/org/freedesktop/systemd1"
MANAGER = f"{NAME}.Manager"
NO_SUCH_UNIT = f"{NAME}.NoSuchUnit"


class Refused(Exception):
    def __init__(self, name, text):
        super().__init__(text)
        self.name = name


class FakeSystemd:
    def __init__(self):
        self.version = "249.11"
        self.files = {}
        self.enabled = set()
        self.known = {}
        self.running = {}
        self.calls = []
        self.errors = {}
        self.delays_s = {}
        self.gates = {}  # member -> event that its answers wait for
        self.slow_stops = set()
        self.reloading = 0
        self._jobs = 0
        self._send = None
        self._task = None
        self._server = None
        self._writers = []

    # Where it is reached

    @contextlib.asynccontextmanager
    async def on_bus(self, address):
        connection = await open_dbus_connection(address)
        self._send = connection.send
        await connection.send(message_bus.RequestName(NAME))
        task = asyncio.create_task(self._serve(connection.receive))
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await connection.close()

    @contextlib.asynccontextmanager
    async def on_socket(self, path):
        server = await asyncio.start_unix_server(self._accept, path)
        try:
            yield self
        finally:
            server.close()
            self.drop_clients()
            await server.wait_closed()

    def drop_clients(self):
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _accept(self, reader, writer):
        self._writers.append(writer)
        serial = iter(range(1, 1 << 30))

        async def send(message):
            writer.write(message.serialise(serial=next(serial)))

        self._send = send
        assert (await reader.readline()).startswith(b"\0AUTH EXTERNAL ")
        writer.write(b"OK 0123456789abcdef0123456789abcdef\r\n")
        assert await reader.readline() == b"BEGIN\r\n"
        parser = Parser()
        while data := await reader.read(65536):
            for message in parser.feed(data):
                self._spawn(message)
        writer.close()

    async def _serve(self, receive):
        while True:
            self._spawn(await receive())

    def _spawn(self, message):
        if message.header.message_type is MessageType.method_call:
            task = asyncio.ensure_future(self._answer(message))
            self._pending = getattr(self, "_pending", set())
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)

    async def _answer(self, message):
        fields = message.header.fields
        member = fields[HeaderFields.member]
        if member != "Get":
            self.calls.append((member, *message.body))
        try:
            await asyncio.sleep(self.delays_s.get(member, 0))
            if member in self.gates:
                await self.gates[member].wait()
            if member in self.errors:
                raise Refused(*self.errors[member])
            signature, body = await getattr(self, f"do_{member}")(fields, *message.body)
        except Refused as error:
            reply = new_error(message, error.name, "s", (str(error),))
        else:
            reply = new_method_return(message, signature or None, body)
        with contextlib.suppress(OSError):
            await self._send(reply)

    # What it does

    async def do_Subscribe(self, fields):
        return "", ()

    async def do_Hello(self, fields):
        raise Refused("org.freedesktop.DBus.Error.UnknownMethod", "this is no bus")

    async def do_Get(self, fields, interface, name):
        assert (interface, name) == (MANAGER, "Version")
        return "v", (("s", self.version),)

    async def do_GetUnit(self, fields, name):
        if name not in self.known:
            raise Refused(NO_SUCH_UNIT, f"Unit {name} not loaded.")
        return "o", (f"{ROOT}/unit/x",)

    async def do_LinkUnitFiles(self, fields, paths, runtime, force):
        assert runtime
        assert force
        for path in paths:
            self.files[Path(path).name] = path
        return "a(sss)", ([("symlink", "/run/systemd/system/x", path) for path in paths],)

    async def do_EnableUnitFiles(self, fields, paths, runtime, force):
        assert runtime
        assert force
        carries = all(map(_wants_something, paths))
        if carries:
            self.enabled.update(Path(path).name for path in paths)
        return "ba(sss)", (carries, [])

    async def do_DisableUnitFiles(self, fields, names, runtime):
        assert runtime
        for name in names:
            assert "/" not in name
            self.files.pop(name, None)
            self.enabled.discard(name)
        return "a(sss)", ([],)

    async def do_ResetFailedUnit(self, fields, name):
        if self.running.get(name) != "failed":
            raise Refused(NO_SUCH_UNIT, f"Unit {name} not loaded.")
        self.running[name] = "inactive"
        return "", ()

    async def do_Reload(self, fields):
        self.reloading += 1
        self.known = dict(self.files)
        return "", ()

    async def do_StartUnit(self, fields, name, mode):
        assert mode == "replace"
        if int(self.version[:3]) >= 250 and name in self.files:
            self.known.setdefault(name, self.files[name])
        if name not in self.known:
            raise Refused(NO_SUCH_UNIT, f"Unit {name} not found.")
        self.running[name] = "active"
        return "o", (await self._job(name),)

    async def do_StopUnit(self, fields, name, mode):
        assert mode == "replace"
        if "@." in name:
            text = f"Unit name {name} is missing the instance name."
            raise Refused("org.freedesktop.DBus.Error.InvalidArgs", text)
        if name not in self.known and name not in self.running:
            raise Refused(NO_SUCH_UNIT, f"Unit {name} not loaded.")
        if name in self.slow_stops:
            self.running[name] = "deactivating"
            return "o", (f"{ROOT}/job/0",)
        if self.running.get(name) != "failed":
            self.running[name] = "inactive"
        return "o", (await self._job(name),)

    async def do_ListUnitsByNames(self, fields, names):
        if any("bad" in name for name in names):
            raise Refused("org.freedesktop.DBus.Error.InvalidArgs", "Unit name is not valid.")
        return "a(ssssssouso)", ([self._row(name) for name in names],)

    async def do_ListUnits(self, fields):
        rows = [self._row(name) for name, state in self.running.items() if state == "active"]
        return "a(ssssssouso)", (rows,)

    async def do_GetAll(self, fields, interface):
        assert interface == f"{NAME}.Unit"
        from coreos_py.systemd.dbus_manager import unescape_path

        name = unescape_path(fields[HeaderFields.path].rpartition("/")[2])
        if "bad" in name:
            raise Refused("org.freedesktop.DBus.Error.InvalidArgs", "Unit name is not valid.")
        _, _, load, active, sub, *_ = self._row(name)
        values = {"LoadState": load, "ActiveState": active, "SubState": sub, "Id": name}
        return "a{sv}", ({key: ("s", value) for key, value in values.items()},)

    def _row(self, name):
        load = "loaded" if name in self.known else "not-found"
        active = self.running.get(name, "inactive")
        sub = {"active": "running", "inactive": "dead", "deactivating": "stop-sigterm"}.get(
            active, active
        )
        return (name, name, load, active, sub, "", f"{ROOT}/unit/x", 0, "", "/")

    async def finish_stop(self, name):
        self.slow_stops.discard(name)
        self.running[name] = "inactive"
        await self._job(name)

    async def _job(self, name):
        self._jobs += 1
        path = f"{ROOT}/job/{self._jobs}"
        emitter = DBusAddress(ROOT, interface=MANAGER)
        signal = new_signal(emitter, "JobRemoved", "uoss", (self._jobs, path, name, "done"))
        await self._send(signal)
        return path


def _wants_something(path):
    return "WantedBy=" in Path(path).read_text()
