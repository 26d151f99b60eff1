"""Jobs of a real systemd, each waited for: what a program needs that configures a machine once.

Every call has a connection of its own: a unit that is restarted may be the bus itself. A job has no
time limit, for systemd has its own for each unit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

from jeepney.wrappers import DBusAddress

from coreos_py.base.errors import Unavailable
from coreos_py.systemd import dbus_connection as bus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from coreos_py.systemd.dbus_connection import Connection

_ROOT = "/org/freedesktop/systemd1"
_INTERFACE = "org.freedesktop.systemd1.Manager"
_MANAGER = DBusAddress(_ROOT, "org.freedesktop.systemd1", _INTERFACE)
_MATCH = f"type='signal',interface='{_INTERFACE}',member='JobRemoved',path='{_ROOT}'"
_CALL_TIMEOUT_S = 120.0
_SUBSCRIBE_TIMEOUT_S = 10.0
_MODE = "replace"


async def enable(name: str, *, runtime: bool, address: str = "") -> None:
    """Enable a unit file, replacing links that are in the way."""
    await _call(address, "EnableUnitFiles", "asbb", [name], runtime, True)


async def reload(*, address: str = "") -> None:
    """Read all unit files again."""
    await _call(address, "Reload", "")


async def run(member: str, unit: str, *, address: str = "") -> str:
    """Call a method that takes a unit and queues a job, StartUnit for one; the job's result."""
    return await _Jobs(address).run(member, "ss", unit, _MODE)


async def run_transient(unit: str, *, description: str, argv: list[str], address: str = "") -> str:
    """Start a unit that is made for one command; the start job's result."""
    properties = [
        ("Description", ("s", description)),
        ("ExecStart", ("a(sasb)", [(argv[0], argv, False)])),
    ]
    signature = "ssa(sv)a(sa(sv))"
    return await _Jobs(address).run("StartTransientUnit", signature, unit, _MODE, properties, [])


async def _call(address: str, member: str, signature: str, *body: Any) -> None:
    async with _Jobs(address).connection() as connection:
        await connection.call(_MANAGER, member, signature, *body, timeout_s=_CALL_TIMEOUT_S)


class _Jobs:
    """One connection, and the ends of jobs that were heard of on it."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._results: dict[str, asyncio.Future[str]] = {}
        self._is_bus = True

    async def run(self, member: str, signature: str, *body: Any) -> str:
        async with self.connection() as connection:
            await self._subscribe(connection)
            (path,) = await connection.call(
                _MANAGER, member, signature, *body, timeout_s=_CALL_TIMEOUT_S
            )
            result = self._result(path)
            waited: set[asyncio.Future[Any]] = {result, connection.lost}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if result.done():
                return result.result()
        raise Unavailable(f"the D-Bus connection was lost while {body[0]} was waited for")

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for the length of an `async with`."""
        connection = await self._connect()
        try:
            yield connection
        finally:
            await connection.close()

    async def _connect(self) -> Connection:
        """To the system bus, or, for root where there is none, to systemd itself."""
        try:
            address = self._address or bus.system_bus_address()
            return await bus.connect(address, self._signalled, is_bus=True)
        except Unavailable:
            if self._address or os.getuid() != 0:
                raise
        self._is_bus = False
        return await bus.connect(bus.SYSTEMD_PRIVATE, self._signalled, is_bus=False)

    async def _subscribe(self, connection: Connection) -> None:
        timeout_s = _SUBSCRIBE_TIMEOUT_S
        if self._is_bus:
            await connection.call(bus.BUS, "AddMatch", "s", _MATCH, timeout_s=timeout_s)
        await connection.call(_MANAGER, "Subscribe", timeout_s=timeout_s)

    def _signalled(self, _interface: str, member: str, body: tuple[Any, ...], _path: str) -> None:
        if member == "JobRemoved" and len(body) == 4:
            result = self._result(body[1])
            if not result.done():
                result.set_result(str(body[3]))

    def _result(self, path: str) -> asyncio.Future[str]:
        """The end of a job, which may come before the answer that names the job."""
        if path not in self._results:
            self._results[path] = asyncio.get_running_loop().create_future()
        return self._results[path]
