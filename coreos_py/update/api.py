"""com.coreos.update1 on the system bus: three methods and a signal. An edge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coreos_py.systemd.dbus_connection import Connection, DBusError, connect, system_bus_address
from coreos_py.systemd.dbus_service import Method, Service
from coreos_py.update.policy import INTERFACE, NAME

if TYPE_CHECKING:
    from coreos_py.update.attempt import Status
    from coreos_py.update.engine import Engine

PATH = "/com/coreos/update1"
SIGNAL = "StatusUpdate"
_STATUS = "xdssx"
_FAILED = "org.freedesktop.DBus.Error.Failed"


class Api:
    """What others see of the engine."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._engine: Engine | None = None
        self._service = Service(
            connection,
            path=PATH,
            interface=INTERFACE,
            methods={
                "AttemptUpdate": Method(self._attempt_update),
                "ResetStatus": Method(self._reset_status),
                "GetStatus": Method(self._get_status, _STATUS),
            },
            signals={SIGNAL: _STATUS},
        )

    async def serve(self, engine: Engine) -> None:
        """Take the name; from now on calls are answered."""
        self._engine = engine
        await self._service.own(NAME)

    def announce(self, status: Status) -> None:
        """The status is another one."""
        if not self.connection.lost.done():
            self._service.emit(SIGNAL, *_body(status))

    def _attempt_update(self) -> tuple[Any, ...]:
        assert self._engine is not None
        self._engine.attempt_update()
        return ()

    def _reset_status(self) -> tuple[Any, ...]:
        assert self._engine is not None
        if not self._engine.reset_status():
            raise DBusError(_FAILED, "reset is not allowed in this state")
        return ()

    def _get_status(self) -> tuple[Any, ...]:
        assert self._engine is not None
        return _body(self._engine.attempt.status)


async def open_bus() -> Connection:
    """A connection to the system bus; Unavailable."""
    return await connect(system_bus_address(), _ignore, is_bus=True)


def _body(status: Status) -> tuple[Any, ...]:
    return (
        status.last_checked,
        status.progress,
        str(status.operation),
        status.new_version,
        status.new_size,
    )


def _ignore(_interface: str, _member: str, _body: tuple[Any, ...], _path: str) -> None:
    """Signals of others mean nothing here."""
