"""The little of logind and of the system bus that a reboot needs."""

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
_TIMEOUT_S = 25.0  # libdbus's


async def open_system_bus() -> Connection:
    """A connection to the system bus; Unavailable."""
    return await connect(system_bus_address(), _ignore, is_bus=True)


async def reboot(bus: Connection) -> None:
    """Ask logind to reboot now; DBusError when it refuses, Unavailable when nobody knows."""
    await bus.call(_LOGIN, "Reboot", "b", False, timeout_s=_TIMEOUT_S)


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
