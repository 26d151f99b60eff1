"""The little of logind, systemd and the system bus that a reboot needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jeepney.wrappers import DBusAddress

from coreos_py.systemd.dbus_connection import BUS, connect, system_bus_address

if TYPE_CHECKING:
    from typing import Any

    from coreos_py.systemd.dbus_connection import Connection

_LOGIN = DBusAddress(
    "/org/freedesktop/login1", "org.freedesktop.login1", "org.freedesktop.login1.Manager"
)
_SYSTEMD = DBusAddress(
    "/org/freedesktop/systemd1", "org.freedesktop.systemd1", "org.freedesktop.systemd1.Manager"
)
_TIMEOUT_S = 25.0  # libdbus's


async def open_system_bus() -> Connection:
    """A connection to the system bus; Unavailable."""
    return await connect(system_bus_address(), _ignore, is_bus=True)


async def reboot(bus: Connection) -> None:
    """Ask logind to reboot now; DBusError when it refuses, Unavailable when nobody knows."""
    await bus.call(_LOGIN, "Reboot", "b", False, timeout_s=_TIMEOUT_S)


async def active_state(bus: Connection, unit: str) -> str:
    """The ActiveState of a systemd unit; DBusError, Unavailable."""
    (path,) = await bus.call(_SYSTEMD, "LoadUnit", "s", unit, timeout_s=_TIMEOUT_S)
    properties = DBusAddress(path, "org.freedesktop.systemd1", "org.freedesktop.DBus.Properties")
    words = ("org.freedesktop.systemd1.Unit", "ActiveState")
    (found,) = await bus.call(properties, "Get", "ss", *words, timeout_s=_TIMEOUT_S)
    return str(found[1])


async def announce(
    bus: Connection,
    path: str,
    *,
    interface: str,
    member: str,
    signature: str,
    body: tuple[Any, ...],
) -> None:
    """Send a signal to everybody; when this returns the bus has passed it on."""
    bus.emit(DBusAddress(path, interface=interface), member, signature, *body)
    await bus.call(BUS, "GetId", timeout_s=_TIMEOUT_S)


def _ignore(_interface: str, _member: str, _body: tuple[Any, ...], _path: str) -> None:
    """Signals to us mean nothing."""
