"""Own a name on a bus and answer calls to one object: what update_engine offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from jeepney.low_level import HeaderFields, Message, MessageFlag
from jeepney.wrappers import DBusAddress, new_error, new_method_return

from coreos_py.base.errors import CoreosError
from coreos_py.systemd.dbus_connection import BUS, DBusError

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.systemd.dbus_connection import Connection

_DO_NOT_QUEUE = 4
_OWNER = (1, 4)  # primary owner, and that already
_TIMEOUT_S = 25.0
_ERRORS = "org.freedesktop.DBus.Error"
_INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
_PEER = "org.freedesktop.DBus.Peer"


class Method(NamedTuple):
    """What is called, without arguments, and the signature of what it returns."""

    call: Callable[[], tuple[Any, ...]]
    returns: str = ""


class NameTaken(CoreosError):
    """Somebody else has the name."""


class Service:
    """One object with one interface."""

    def __init__(
        self,
        connection: Connection,
        *,
        path: str,
        interface: str,
        methods: dict[str, Method],
        signals: dict[str, str],
    ) -> None:
        self._connection = connection
        self._path = path
        self._interface = interface
        self._methods = methods
        self._signals = signals

    async def own(self, name: str) -> None:
        """Begin to answer, then take the name; NameTaken, DBusError, Unavailable."""
        self._connection.on_call = self._answer
        words = (name, _DO_NOT_QUEUE)
        (code,) = await self._connection.call(
            BUS, "RequestName", "su", *words, timeout_s=_TIMEOUT_S
        )
        if code not in _OWNER:
            raise NameTaken(f"{name} belongs to another process")

    def emit(self, member: str, *body: Any) -> None:
        """Send one of the signals."""
        source = DBusAddress(self._path, interface=self._interface)
        self._connection.emit(source, member, self._signals[member], *body)

    def _answer(self, message: Message) -> None:
        reply = self._reply(message)
        if not message.header.flags & MessageFlag.no_reply_expected:
            self._connection.send(reply)

    def _reply(self, message: Message) -> Message:
        fields = message.header.fields
        member = fields.get(HeaderFields.member, "")
        interface = fields.get(HeaderFields.interface, "")
        if (interface, member) == (_PEER, "Ping"):
            return new_method_return(message)
        if (interface, member) == (_INTROSPECTABLE, "Introspect"):
            return new_method_return(message, "s", (self._introspection(),))
        if fields.get(HeaderFields.path) != self._path:
            return _error(message, "UnknownObject", "no such object")
        method = self._methods.get(member)
        if method is None or interface not in ("", self._interface):
            return _error(message, "UnknownMethod", f"no method {member} of {interface}")
        if fields.get(HeaderFields.signature, ""):
            return _error(message, "InvalidArgs", f"{member} takes no arguments")
        try:
            body = method.call()
        except DBusError as err:
            return new_error(message, err.name, "s", (str(err),))
        return new_method_return(message, method.returns or None, body)

    def _introspection(self) -> str:
        methods = "".join(_method_xml(name, method) for name, method in self._methods.items())
        signals = "".join(
            f'<signal name="{name}">{_arguments(signature, "")}</signal>'
            for name, signature in self._signals.items()
        )
        return f'<node><interface name="{self._interface}">{methods}{signals}</interface></node>'


def _method_xml(name: str, method: Method) -> str:
    arguments = _arguments(method.returns, ' direction="out"')
    return f'<method name="{name}">{arguments}</method>'


def _arguments(signature: str, more: str) -> str:
    """One element for each basic type."""
    return "".join(f'<arg type="{kind}"{more}/>' for kind in signature)


def _error(message: Message, name: str, text: str) -> Message:
    return new_error(message, f"{_ERRORS}.{name}", "s", (text,))
