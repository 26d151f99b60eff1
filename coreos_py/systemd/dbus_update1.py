"""update_engine as its clients see it on the system bus: the status, asked for and announced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from jeepney.wrappers import DBusAddress

from coreos_py.base.errors import WireError
from coreos_py.systemd.dbus_connection import BUS, connect, system_bus_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.systemd.dbus_connection import Connection

INTERFACE = "com.coreos.update1.Manager"
MEMBER = "StatusUpdate"
_MANAGER = DBusAddress("/com/coreos/update1", "com.coreos.update1", INTERFACE)
# Nobody is required to own the name: whoever may send on the bus may announce an update.
_RULE = f"type='signal',interface='{INTERFACE}',member='{MEMBER}'"
_TIMEOUT_S = 25.0  # libdbus's
_TYPES = (int, float, str, str, int)


class Status(NamedTuple):
    """What update_engine says; times in seconds since 1970, sizes in bytes."""

    last_checked: int
    progress: float
    operation: str
    new_version: str
    new_size: int


async def follow(on_status: Callable[[Status], None]) -> Connection:
    """A connection to the system bus that hands every announced status on; Unavailable."""

    def on_signal(interface: str, member: str, body: tuple[Any, ...], _path: str) -> None:
        if (interface, member) == (INTERFACE, MEMBER) and (status := _status(body)) is not None:
            on_status(status)

    bus = await connect(system_bus_address(), on_signal, is_bus=True)
    try:
        await bus.call(BUS, "AddMatch", "s", _RULE, timeout_s=_TIMEOUT_S)
    except BaseException:
        await bus.close()
        raise
    return bus


async def status(bus: Connection) -> Status:
    """The status now; DBusError when nobody is there to ask, Unavailable, WireError."""
    found = _status(await bus.call(_MANAGER, "GetStatus", timeout_s=_TIMEOUT_S))
    if found is None:
        raise WireError("GetStatus answered something else than a status")
    return found


async def call(bus: Connection, member: str) -> None:
    """Call a method without arguments or result; DBusError, Unavailable."""
    await bus.call(_MANAGER, member, timeout_s=_TIMEOUT_S)


def _status(body: tuple[Any, ...]) -> Status | None:
    if len(body) < len(_TYPES):
        return None
    fields = body[: len(_TYPES)]
    if any(type(field) is not kind for field, kind in zip(fields, _TYPES, strict=True)):
        return None
    return Status(*fields)
