"""The unit manager that drives a real systemd over D-Bus, never through systemctl.

Unit files lie in `units_dir` and are linked into systemd at run time only, as fleet 1.0.0 does it
(systemd/manager.go). A lost connection is made again at the next call and, for the signals, in the
background. Signals only wake the caller early; nothing depends on them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from jeepney.wrappers import DBusAddress

from coreos_py.base import unitfile
from coreos_py.base.errors import ConfigError, Unavailable
from coreos_py.systemd import dbus_connection as bus
from coreos_py.systemd import dbus_journal, files
from coreos_py.systemd.dbus_connection import Connection, DBusError
from coreos_py.systemd.manager import NOT_FOUND, LogLine, UnitManagerError, UnitState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from coreos_py.base.unitfile import UnitFile
    from coreos_py.systemd.manager import ChangeHint

log = logging.getLogger(__name__)

UNITS_DIR = "/run/fleet/units"
MANAGER = "org.freedesktop.systemd1.Manager"
UNIT = "org.freedesktop.systemd1.Unit"
_NAME = "org.freedesktop.systemd1"
_ROOT = "/org/freedesktop/systemd1"
_NO_SUCH_UNIT = ("org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.systemd1.LoadFailed")
_UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"
_CALL_TIMEOUT_S = 30.0
# A bus refuses a 129th call while 128 wait for their answers.
_CALLS_MAX = 64
_SUBSCRIBE_TIMEOUT_S = 5.0
_RELOAD_TIMEOUT_S = 120.0
STOP_WAIT_S = 100.0  # systemd's own stop time-out is 90 s by default
_STOP_POLL_S = 0.5
# From this version on systemd notices new files in its directories without being told.
_FINDS_NEW_FILES = 250
_RECONNECT_FIRST_S = 0.25
_RECONNECT_LONGEST_S = 10.0
_DOWN = ("inactive", "failed")
_MATCHES = (
    f"type='signal',interface='{MANAGER}',member='JobRemoved',path='{_ROOT}'",
    "type='signal',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',"
    f"arg0='{UNIT}',path_namespace='{_ROOT}/unit'",
)


class _Batch(NamedTuple):
    """Unit files that one call will link."""

    task: asyncio.Task[None]
    paths: list[str]


class DBusManager:
    """A UnitManager (see manager.py) on systemd; `user` means the calling user's own systemd."""

    def __init__(
        self, units_dir: str = UNITS_DIR, *, user: bool = False, address: str = ""
    ) -> None:
        """`address` names another bus than the usual one."""
        self._units_dir = os.path.abspath(units_dir)
        self._user = user
        self._address = address
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._calling = asyncio.Semaphore(_CALLS_MAX)
        self._keeper: asyncio.Task[None] | None = None
        self._reload_now: asyncio.Task[None] | None = None
        self._reload_next: asyncio.Task[None] | None = None
        self._linking: _Batch | None = None
        self._finds_new_files = False
        self._reload_is_due = False
        self._lists_by_name = True
        self._hashes: dict[str, tuple[tuple[int, int, int], str]] = {}
        self._hints: list[ChangeHint] = []
        self._stopping: dict[str, asyncio.Event] = {}

    # The interface

    async def open(self) -> None:
        """Connect to systemd; Unavailable when that is impossible."""
        try:
            os.makedirs(self._units_dir, mode=0o755, exist_ok=True)
        except OSError as error:
            message = f"cannot use {self._units_dir} for units: {error.strerror}"
            raise ConfigError(message) from None
        await self._connected()
        self._keeper = asyncio.create_task(self._keep_connected())

    async def close(self) -> None:
        """Let go of the connection; units keep running."""
        tasks = [task for task in (self._keeper, self._reload_now, self._reload_next) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def load(self, name: str, unit: UnitFile) -> None:
        """Write the unit's file and link it; enable it where [Install] has options."""
        path = self._path(name)
        if unit.has_section("Install") or not await self._is_unknown(name):
            self._reload_is_due = True
        text = unit.serialise().encode("utf-8", "surrogateescape")
        try:
            files.replace_file(path, text, mode=0o644)
        except OSError as error:
            raise UnitManagerError(name, f"cannot write {path}: {error.strerror}") from None
        await self._link(name, path)
        if unit.has_section("Install"):
            await self._enable(name, path)

    async def unload(self, name: str) -> None:
        """Stop the unit, wait a bounded time, then unlink it and delete its file."""
        runs = not _is_template(name)
        if runs:
            await self._stop_and_wait(name)
        unit = files.read_unit(self._path(name))
        if unit is None or unit.has_section("Install"):
            self._reload_is_due = True
        try:
            await self._call(name, "DisableUnitFiles", "asb", [name], True)
            if runs:
                await self._tolerant(name, "ResetFailedUnit", "s", name)
        finally:
            files.remove_file(self._path(name))
            self._hashes.pop(name, None)

    async def abandon(self) -> None:
        """Nothing to do: systemd goes on stopping what it was told to stop."""

    async def start(self, name: str) -> None:
        """Queue a start job."""
        await self._call(name, "StartUnit", "ss", name, "replace")

    async def stop(self, name: str) -> None:
        """Queue a stop job; a unit systemd does not know is stopped already."""
        await self._tolerant(name, "StopUnit", "ss", name, "replace")

    async def reload_unit_files(self) -> None:
        """Make systemd read unit files again; whoever asks during a reload shares the next one.

        Where only files of units came and went that systemd does not hold there is no need to: it
        reads such a file when the unit is started, and a reload costs it more than a start.
        """
        if self._finds_new_files and not self._reload_is_due:
            return
        if self._reload_next is None:
            self._reload_next = asyncio.create_task(self._reload(self._reload_now))
        await asyncio.shield(self._reload_next)

    async def states(self, names: Iterable[str]) -> dict[str, UnitState]:
        """The state of every name asked for, in one call where systemd can (230 and later)."""
        wanted = list(dict.fromkeys(names))
        instances = [name for name in wanted if not _is_template(name)]
        rows = await self._rows(instances) if instances else {}
        return {name: rows.get(name, NOT_FOUND)._replace(hash=self._hash(name)) for name in wanted}

    async def units(self) -> dict[str, str]:
        """Name -> hash of the files in the units directory; hash "" for one that is no unit."""
        return {name: self._hash(name) for name in files.unit_names(self._units_dir)}

    def on_change(self, hint: ChangeHint) -> None:
        """Call `hint(name)` when systemd signals a change of a unit we hold."""
        self._hints.append(hint)

    async def journal(self, name: str, *, lines: int) -> list[LogLine]:
        """The last lines of the unit in systemd's journal."""
        return await dbus_journal.read(name, lines=lines, user=self._user)

    async def follow(self, name: str, *, lines: int) -> AsyncIterator[LogLine]:
        """The last lines, then new ones as they come."""
        async for line in dbus_journal.follow(name, lines=lines, user=self._user):
            yield line

    # Calls

    async def _call(
        self, name: str, member: str, signature: str, *body: Any, timeout_s: float = _CALL_TIMEOUT_S
    ) -> tuple[Any, ...]:
        """Call systemd about one unit; once more when the connection breaks on the way."""
        address = DBusAddress(_ROOT, _NAME, MANAGER)
        try:
            for attempt in (1, 2):
                connection = await self._connected()
                try:
                    async with self._calling:
                        return await connection.call(
                            address, member, signature, *body, timeout_s=timeout_s
                        )
                except Unavailable:
                    if attempt == 2 or not connection.lost.done():
                        raise
        except DBusError as error:
            raise SystemdError(name, member, error) from None
        except Unavailable as error:
            raise UnitManagerError(name, f"systemd cannot be reached: {error}") from None
        raise AssertionError("unreachable")

    async def _tolerant(self, name: str, member: str, signature: str, *body: Any) -> None:
        """A call that is pointless, but not wrong, for a unit systemd has already dropped."""
        try:
            await self._call(name, member, signature, *body)
        except SystemdError as error:
            if error.name not in _NO_SUCH_UNIT:
                raise

    async def _is_unknown(self, name: str) -> bool:
        """Whether systemd holds nothing of that name, and so will read its file when it must."""
        if not self._finds_new_files:
            return False
        try:
            await self._call(name, "GetUnit", "s", name)
        except SystemdError as error:
            return error.name == _NO_SUCH_UNIT[0]
        return False

    async def _link(self, name: str, path: str) -> None:
        """Link a unit file; those asked for at the same time go in one call."""
        if self._linking is None:
            self._linking = _Batch(asyncio.create_task(self._link_soon()), [])
        batch = self._linking
        batch.paths.append(path)
        try:
            await asyncio.shield(batch.task)
        except UnitManagerError:
            if len(batch.paths) == 1:
                raise
            # One that systemd refuses spoils the call for all.
            await self._call(name, "LinkUnitFiles", "asbb", [path], True, True)

    async def _link_soon(self) -> None:
        await asyncio.sleep(0)
        assert self._linking is not None
        paths, self._linking = self._linking.paths, None
        name = os.path.basename(paths[0]) if len(paths) == 1 else ""
        await self._call(name, "LinkUnitFiles", "asbb", paths, True, True)

    async def _enable(self, name: str, path: str) -> None:
        try:
            carries, _ = await self._call(name, "EnableUnitFiles", "asbb", [path], True, True)
            reason = "" if carries else "its [Install] section enables nothing"
        except UnitManagerError as error:
            reason = str(error)
        if not reason:
            return
        try:
            await self._call(name, "DisableUnitFiles", "asb", [name], True)
        finally:
            files.remove_file(path)
        raise UnitManagerError(name, f"Failed to enable systemd unit {name}: {reason}")

    async def _reload(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.gather(before, return_exceptions=True)
        self._reload_now, self._reload_next = self._reload_next, None
        self._reload_is_due = False
        try:
            await self._call("", "Reload", "", timeout_s=_RELOAD_TIMEOUT_S)
        except BaseException:
            self._reload_is_due = True
            raise
        finally:
            self._reload_now = None

    async def _stop_and_wait(self, name: str) -> None:
        """Stop a unit; its file must stay until it is down, for systemd reads ExecStop there."""
        done = self._stopping.setdefault(name, asyncio.Event())
        try:
            await self.stop(name)
            deadline = time.monotonic() + STOP_WAIT_S
            while time.monotonic() < deadline:
                done.clear()  # before the question: a signal may overtake the answer
                row = (await self._rows([name])).get(name, NOT_FOUND)
                if row.active in _DOWN:
                    return
                try:
                    async with asyncio.timeout(_STOP_POLL_S):
                        await done.wait()
                except TimeoutError:
                    continue
            log.warning("%s: still not stopped after %d s", name, STOP_WAIT_S)
        finally:
            self._stopping.pop(name, None)

    # States

    async def _rows(self, names: list[str]) -> dict[str, UnitState]:
        if self._lists_by_name:
            try:
                (rows,) = await self._call("", "ListUnitsByNames", "as", names)
            except SystemdError as error:
                # One name systemd dislikes spoils the whole answer.
                self._lists_by_name = error.name != _UNKNOWN_METHOD
            else:
                return {row[0]: UnitState(row[2], row[3], row[4]) for row in rows}
        return await self._rows_singly(names)

    async def _rows_singly(self, names: list[str]) -> dict[str, UnitState]:
        (rows,) = await self._call("", "ListUnits", "")
        wanted = set(names)
        found = {row[0]: UnitState(row[2], row[3], row[4]) for row in rows if row[0] in wanted}
        for name in names:
            if name not in found:
                found[name] = await self._properties(name)
        return found

    async def _properties(self, name: str) -> UnitState:
        path = f"{_ROOT}/unit/{escape_path(name)}"
        address = DBusAddress(path, _NAME, "org.freedesktop.DBus.Properties")
        try:
            connection = await self._connected()
            (values,) = await connection.call(
                address, "GetAll", "s", UNIT, timeout_s=_CALL_TIMEOUT_S
            )
            words = [str(values[key][1]) for key in ("LoadState", "ActiveState", "SubState")]
        except Unavailable as error:
            raise UnitManagerError(name, f"systemd cannot be reached: {error}") from None
        except (DBusError, KeyError) as error:
            log.debug("%s: no properties: %s", name, error)
            return NOT_FOUND
        return UnitState(*words)

    # The connection

    async def _connected(self) -> Connection:
        async with self._connecting:
            if self._connection is None or self._connection.lost.done():
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> Connection:
        address = self._address or (
            bus.session_bus_address() if self._user else bus.system_bus_address()
        )
        try:
            return await self._open(address, is_bus=True)
        except Unavailable as error:
            if self._address or self._user or os.getuid() != 0:
                raise
            log.info("no system bus (%s), connecting to systemd itself", error)
            return await self._open(bus.SYSTEMD_PRIVATE, is_bus=False)

    async def _open(self, address: str, *, is_bus: bool) -> Connection:
        connection = await bus.connect(address, self._signalled, is_bus=is_bus)
        try:
            await self._subscribe(connection, matches=_MATCHES if is_bus else ())
            self._finds_new_files = await _version(connection) >= _FINDS_NEW_FILES
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _subscribe(self, connection: Connection, *, matches: Iterable[str]) -> None:
        """Ask for signals; without them all works, only slower."""
        limit_s = _SUBSCRIBE_TIMEOUT_S
        try:
            for match in matches:
                await connection.call(bus.BUS, "AddMatch", "s", match, timeout_s=limit_s)
            manager = DBusAddress(_ROOT, _NAME, MANAGER)
            await connection.call(manager, "Subscribe", timeout_s=limit_s)
        except DBusError as error:
            log.info("systemd sends no signals: %s", error)

    async def _keep_connected(self) -> None:
        """Make a lost connection again, so that signals go on."""
        pause_s = _RECONNECT_FIRST_S
        while True:
            try:
                connection = await self._connected()
            except Unavailable as error:
                log.warning("systemd cannot be reached: %s; next try in %g s", error, pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _RECONNECT_LONGEST_S)
                continue
            pause_s = _RECONNECT_FIRST_S
            self._hint("")
            await asyncio.shield(connection.lost)
            log.warning("the D-Bus connection was lost")

    def _signalled(self, interface: str, member: str, body: tuple[Any, ...], path: str) -> None:
        if member == "JobRemoved" and interface == MANAGER and len(body) >= 3:
            name = str(body[2])
        elif member == "PropertiesChanged" and path.startswith(f"{_ROOT}/unit/"):
            name = unescape_path(path.rpartition("/")[2])
        else:
            return
        if name in self._stopping:
            self._stopping[name].set()
        if os.path.exists(self._path(name)):
            self._hint(name)

    def _hint(self, name: str) -> None:
        for hint in self._hints:
            hint(name)

    # Files

    def _path(self, name: str) -> str:
        return os.path.join(self._units_dir, name)

    def _hash(self, name: str) -> str:
        path = self._path(name)
        try:
            stat = os.stat(path)
        except OSError:
            return ""
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        known = self._hashes.get(name)
        if known is None or known[0] != stamp:
            unit = files.read_unit(path)
            known = self._hashes[name] = (stamp, unit.hash if unit is not None else "")
        return known[1]


async def _version(connection: Connection) -> int:
    """systemd's version, 0 when it does not say."""
    properties = DBusAddress(_ROOT, _NAME, "org.freedesktop.DBus.Properties")
    try:
        (value,) = await connection.call(
            properties, "Get", "ss", MANAGER, "Version", timeout_s=_SUBSCRIBE_TIMEOUT_S
        )
    except DBusError:
        return 0
    digits = re.match(r"\d+", str(value[1]))
    return int(digits.group()) if digits else 0


def _is_template(name: str) -> bool:
    """Whether systemd only holds the name for its instances, and refuses to hear of it else."""
    info = unitfile.name_info(name)
    return info is not None and info.is_template


class SystemdError(UnitManagerError):
    """systemd answered with an error; `name` is its D-Bus name."""

    def __init__(self, unit: str, member: str, error: DBusError) -> None:
        super().__init__(unit, f"systemd refused {member}: {error}")
        self.name = error.name


def escape_path(name: str) -> str:
    """A unit name as systemd writes it in object paths."""
    if not name:
        return "_"
    return "".join(
        chr(byte) if _is_plain(byte, first=at == 0) else f"_{byte:02x}"
        for at, byte in enumerate(name.encode())
    )


def unescape_path(label: str) -> str:
    """The unit name behind the last part of an object path."""
    if label == "_":
        return ""
    data = bytearray()
    at = 0
    while at < len(label):
        digits = label[at + 1 : at + 3]
        if label[at] == "_" and len(digits) == 2 and all(c in "0123456789abcdef" for c in digits):
            data.append(int(digits, 16))
            at += 3
        else:
            data += label[at].encode()
            at += 1
    return data.decode("utf-8", "surrogateescape")


def _is_plain(byte: int, *, first: bool) -> bool:
    char = chr(byte)
    return byte < 0x80 and (char.isalpha() or (char.isdigit() and not first))
