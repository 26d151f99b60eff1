"""One connection to a message bus, or straight to systemd, on asyncio.

Only what a client needs: method calls with replies, and signals. The wire format is jeepney's,
which is pure Python: decoding the states of 100 units takes it 1.9 ms, once a second, and needs no
compiled wheel per interpreter. EXTERNAL authentication, by the uid the kernel vouches for.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from jeepney.auth import BEGIN, AuthenticationError, Authenticator
from jeepney.low_level import Header, HeaderFields, Message, MessageFlag, MessageType, Parser
from jeepney.wrappers import DBusAddress, new_method_call, new_signal

from coreos_py.base.errors import CoreosError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    SignalHandler = Callable[[str, str, tuple[Any, ...], str], None]
    CallHandler = Callable[[Message], None]

log = logging.getLogger(__name__)

SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"
SYSTEMD_PRIVATE = "unix:path=/run/systemd/private"
BUS = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
_READ_BYTES = 64 << 10
_CONNECT_TIMEOUT_S = 10.0
_HEADER_BYTES_MIN = 16


class DBusError(CoreosError):
    """The other side answered with an error; `name` is its D-Bus name."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text or name)
        self.name = name


class LazyParser(Parser):  # type: ignore[misc]  # jeepney is not typed
    """Leaves the bodies of PropertiesChanged signals out.

    systemd sends several for every unit that starts, thirty values each, and nobody here reads
    them: which unit it is stands in the header.
    """

    def get_next_message(self) -> Message | None:
        if self.buf.bytes_buffered >= _HEADER_BYTES_MIN:
            start = self.buf.peek(2)
            if start[1] == MessageType.signal.value:
                return self._next_signal()
        return super().get_next_message()

    def _next_signal(self) -> Message | None:
        size = self.bytes_desired() + self.buf.bytes_buffered
        if self.buf.bytes_buffered < size:
            return None
        header, _ = Header.from_buffer(self.buf.peek(size))
        if header.fields.get(HeaderFields.member) != "PropertiesChanged":
            return super().get_next_message()
        self.buf.read(size)
        self.next_msg_size = None
        return Message(header, ())


class Connection:
    """An open connection; create it with `connect`. Calls fail with Unavailable once it is lost."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, on_signal: SignalHandler
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._on_signal = on_signal
        self._serial = 0
        self._replies: dict[int, asyncio.Future[Message]] = {}
        self.on_call: CallHandler | None = None  # who answers calls; nobody: they are refused
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    async def call(
        self, address: DBusAddress, member: str, signature: str = "", *body: Any, timeout_s: float
    ) -> tuple[Any, ...]:
        """Call a method and return the reply's values; DBusError, or Unavailable."""
        if self.lost.done():
            raise Unavailable("the D-Bus connection is lost")
        self._serial += 1
        serial = self._serial
        message = new_method_call(address, member, signature or None, body)
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._replies[serial] = reply
        try:
            self._writer.write(message.serialise(serial=serial))
            async with asyncio.timeout(timeout_s):
                return _values(await reply)
        except TimeoutError:
            raise Unavailable(f"no answer to {member} within {timeout_s:g} s") from None
        finally:
            self._replies.pop(serial, None)

    def emit(self, source: DBusAddress, member: str, signature: str, *body: Any) -> None:
        """Send a signal."""
        self._serial += 1
        message = new_signal(source, member, signature, body)
        self._writer.write(message.serialise(serial=self._serial))

    def send(self, message: Message) -> None:
        """Send a message that was made elsewhere: the answer to a call."""
        self._serial += 1
        self._writer.write(message.serialise(serial=self._serial))

    async def close(self) -> None:
        """Close the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._lose()

    def start(self) -> None:
        """Begin to read."""
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        parser = LazyParser()
        try:
            while data := await self._reader.read(_READ_BYTES):
                for message in parser.feed(data):
                    self._dispatch(message)
        except (OSError, ValueError, KeyError, IndexError) as error:
            log.warning("D-Bus connection: %s", error)
        finally:
            self._lose()

    def _dispatch(self, message: Message) -> None:
        fields = message.header.fields
        kind = message.header.message_type
        if kind in (MessageType.method_return, MessageType.error):
            reply = self._replies.get(fields.get(HeaderFields.reply_serial, 0))
            if reply is not None and not reply.done():
                reply.set_result(message)
        elif kind is MessageType.signal:
            self._on_signal(
                fields.get(HeaderFields.interface, ""),
                fields.get(HeaderFields.member, ""),
                message.body,
                fields.get(HeaderFields.path, ""),
            )
        elif kind is MessageType.method_call:
            if self.on_call is None:
                self._refuse(message)
            else:
                self.on_call(message)

    def _refuse(self, message: Message) -> None:
        """Somebody calls us, who offer nothing."""
        if MessageFlag.no_reply_expected & message.header.flags:
            return
        self._serial += 1
        error = Message(message.header, ())
        fields = message.header.fields
        error.header.fields = {
            HeaderFields.reply_serial: message.header.serial,
            HeaderFields.error_name: "org.freedesktop.DBus.Error.UnknownMethod",
        }
        if HeaderFields.sender in fields:
            error.header.fields[HeaderFields.destination] = fields[HeaderFields.sender]
        error.header.message_type = MessageType.error
        error.header.flags = MessageFlag.no_reply_expected
        self._writer.write(error.serialise(serial=self._serial))

    def _lose(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
        self._writer.close()
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(Unavailable("the D-Bus connection was lost"))


async def connect(address: str, on_signal: SignalHandler, *, is_bus: bool) -> Connection:
    """Connect, authenticate, and on a bus introduce ourselves; Unavailable when that fails."""
    reasons = []
    for part in address.split(";"):
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                return await _connect_one(part, on_signal, is_bus=is_bus)
        except TimeoutError:
            reasons.append(f"{part}: no answer")
        except (OSError, ValueError, AuthenticationError, DBusError) as error:
            reasons.append(f"{part}: {_reason(error)}")
    raise Unavailable("; ".join(reasons))


async def _connect_one(part: str, on_signal: SignalHandler, *, is_bus: bool) -> Connection:
    reader, writer = await asyncio.open_unix_connection(_socket_path(part))
    try:
        await _authenticate(reader, writer)
        connection = Connection(reader, writer, on_signal)
        connection.start()
    except BaseException:
        writer.close()
        raise
    if is_bus:
        try:
            await connection.call(BUS, "Hello", timeout_s=_CONNECT_TIMEOUT_S)
        except BaseException:
            await connection.close()
            raise
    return connection


async def _authenticate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    authenticator = Authenticator()
    for data in authenticator:
        writer.write(data)
        line = await reader.readline()
        if not line:
            raise AuthenticationError(b"connection closed")
        authenticator.feed(line)
    writer.write(BEGIN)


def _socket_path(part: str) -> str:
    """The socket of one `unix:` address; an abstract one begins with NUL."""
    transport, _, rest = part.partition(":")
    pairs = dict(item.partition("=")[::2] for item in rest.split(","))
    if transport == "unix" and "path" in pairs:
        return unquote(pairs["path"])
    if transport == "unix" and "abstract" in pairs:
        return "\0" + unquote(pairs["abstract"])
    raise ValueError("not a unix socket address")


def system_bus_address() -> str:
    """Where the system bus listens."""
    return os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM_BUS


def session_bus_address() -> str:
    """Where this user's bus listens."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    return os.environ.get("DBUS_SESSION_BUS_ADDRESS") or f"unix:path={runtime}/bus"


def _values(message: Message) -> tuple[Any, ...]:
    if message.header.message_type is MessageType.error:
        name = message.header.fields.get(HeaderFields.error_name, "")
        text = message.body[0] if message.body and isinstance(message.body[0], str) else ""
        raise DBusError(name, text)
    body: tuple[Any, ...] = message.body
    return body


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, AuthenticationError):
        return "authentication refused"
    return str(error)
