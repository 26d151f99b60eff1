"""asyncio HTTP/1.1 client for daemons: pooled connections, long polls, streams, unix sockets, TLS.

Small on purpose: the daemons talk to etcd and to each other, where a connection pool and a streamed
body are all that is needed; a request costs one write and one future.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING

from coreos_py.http.client import TimedOut, TransportError, check_scheme, tls_text, tune
from coreos_py.http.forward_proxy import Proxy, open_tunnel
from coreos_py.http.framing import BodyLimit, ParseError
from coreos_py.http.reply import Reply, ReplyParser, encode_request
from coreos_py.http.url import Endpoint

if TYPE_CHECKING:
    import ssl

    from coreos_py.base.tls import ContextSource

_HIGH_WATER = 1 << 18
# As for the server: a stream of small messages would otherwise map and unmap 256 KiB for each.
_READ_MAX = 64 << 10


class AsyncHTTPClient:
    """Sends requests over kept connections. Create and use it inside one event loop.

    `tls` may be asked for its context at every handshake; `write_timeout_s` bounds how long a peer
    may refuse to take a request.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | ContextSource | None = None,
        connect_timeout_s: float | None = 10.0,
        write_timeout_s: float | None = None,
        idle_max: int = 16,
        body_max: int = 1 << 30,
        proxy: Proxy | None = None,
    ) -> None:
        self._tls = tls
        self._connect_timeout_s = connect_timeout_s
        self._write_timeout_s = write_timeout_s
        self._proxy = proxy
        self._idle_max = idle_max
        self._body_max = body_max
        self._idle: dict[tuple[str, str, int], list[_Connection]] = {}

    async def request(
        self,
        method: str,
        endpoint: Endpoint,
        target: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        timeout_s: float | None = None,
    ) -> Reply:
        """One request and its whole reply within `timeout_s`; TransportError when none came."""
        try:
            async with asyncio.timeout(timeout_s):
                stream = await self.stream(method, endpoint, target, headers=headers, body=body)
                try:
                    return Reply(stream.status, stream.fields, await stream.read_all())
                finally:
                    stream.close()
        except TimeoutError:
            raise TimedOut("i/o timeout") from None

    async def stream(
        self,
        method: str,
        endpoint: Endpoint,
        target: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        timeout_s: float | None = None,
        head_timeout_s: float | None = None,
        host: str = "",
    ) -> AsyncReply:
        """One request.

        Returns when the head of the reply is there. Read it to the end or close it.
        `head_timeout_s` bounds the wait for that once there is a connection.
        `host` replaces the Host header that the endpoint implies.
        """
        if self._proxy is not None and endpoint.scheme == "http":
            target = f"http://{endpoint.authority}{target}"
            headers = (*headers, *self._proxy.headers)
        data = encode_request(method, host or endpoint.authority, target, headers, body)
        try:
            async with asyncio.timeout(timeout_s):
                conn = self._reuse(endpoint)
                if conn is not None:
                    try:
                        return await conn.exchange(method, data)
                    except TransportError as exc:
                        if method not in ("GET", "HEAD") or str(exc) != "EOF":
                            raise
                conn = await self._connect(endpoint)
                async with asyncio.timeout(head_timeout_s):
                    return await conn.exchange(method, data)
        except TimeoutError:
            raise TimedOut("i/o timeout") from None

    def close(self) -> None:
        """Close the idle connections; those in use end with their reply."""
        idle, self._idle = self._idle, {}
        self._idle_max = 0
        for conns in idle.values():
            for conn in conns:
                conn.close()

    def _reuse(self, endpoint: Endpoint) -> _Connection | None:
        conns = self._idle.get(endpoint.key)
        while conns:
            conn = conns.pop()
            if conn.usable:
                return conn
            conn.close()
        return None

    def _keep(self, conn: _Connection) -> None:
        conns = self._idle.setdefault(conn.endpoint.key, [])
        if len(conns) >= self._idle_max:
            conn.close()
        else:
            conns.append(conn)

    async def _connect(self, endpoint: Endpoint) -> _Connection:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                if endpoint.socket_path:
                    return await self._connect_unix(endpoint)
                if self._proxy is None:
                    return await self._connect_tcp(endpoint, endpoint)
                if endpoint.scheme != "https":
                    return await self._connect_tcp(endpoint, self._proxy.endpoint)
                return await open_tunnel(
                    self._proxy, endpoint, lambda: self._make(endpoint), tls=self._context()
                )
        except TimeoutError:
            where = endpoint.socket_path or endpoint.authority
            raise TimedOut(f"dial {where}: i/o timeout") from None

    def _make(self, endpoint: Endpoint) -> _Connection:
        return _Connection(
            endpoint, self._keep, body_max=self._body_max, write_timeout_s=self._write_timeout_s
        )

    async def _connect_unix(self, endpoint: Endpoint) -> _Connection:
        loop, path = asyncio.get_running_loop(), endpoint.socket_path
        try:
            return (await loop.create_unix_connection(lambda: self._make(endpoint), path))[1]
        except OSError as exc:
            raise TransportError(f"dial unix {path}: {_reason(exc)}") from exc

    async def _connect_tcp(self, endpoint: Endpoint, via: Endpoint) -> _Connection:
        check_scheme(endpoint)
        loop, port = asyncio.get_running_loop(), via.port
        tls = self._context() if via.scheme == "https" else None
        name = via.host if tls else None
        first: TransportError | None = None
        for host in await _addresses(via.host, port):
            try:
                made = await loop.create_connection(
                    lambda: self._make(endpoint), host, port, ssl=tls, server_hostname=name
                )
            except TimeoutError:
                raise
            except OSError as exc:
                shown = f"[{host}]" if ":" in host else host
                first = first or TransportError(f"dial tcp {shown}:{port}: {_reason(exc)}")
            else:
                return made[1]
        assert first is not None
        raise first

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            import ssl

            self._tls = ssl.create_default_context()
        return self._tls() if callable(self._tls) else self._tls


class _Connection(asyncio.Protocol):
    """One connection; at most one exchange at a time."""

    def __init__(
        self,
        endpoint: Endpoint,
        keep: Callable[[_Connection], None],
        *,
        body_max: int,
        write_timeout_s: float | None,
    ) -> None:
        self.endpoint = endpoint
        self._keep = keep
        self._body_max = body_max
        self._write_timeout_s = write_timeout_s
        self._stalled: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._reply: AsyncReply | None = None

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if hasattr(transport, "max_size"):
            transport.max_size = _READ_MAX
        if not self.endpoint.socket_path:
            tune(transport.get_extra_info("socket"))

    def pause_writing(self) -> None:
        if self._write_timeout_s is not None:
            loop = asyncio.get_running_loop()
            self._stalled = loop.call_later(self._write_timeout_s, self._give_up)

    def resume_writing(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _give_up(self) -> None:
        if self._reply is not None:
            self._reply.on_lost(TimeoutError())
        self.close()

    def data_received(self, data: bytes) -> None:
        if self._reply is None:
            self.close()  # bytes nobody asked for
        else:
            self._reply.on_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.resume_writing()
        if self._reply is not None:
            self._reply.on_lost(exc)

    async def exchange(self, method: str, data: bytes) -> AsyncReply:
        if self._transport is None:
            raise TransportError("EOF")
        reply = self._reply = AsyncReply(self, ReplyParser(method, body_max=self._body_max))
        self._transport.write(data)
        try:
            await reply.wait_head()
        except BaseException:
            self.close()
            raise
        return reply

    def finished(self, *, keep: bool) -> None:
        """The reply is complete."""
        self._reply = None
        if keep and self.usable:
            self._keep(self)
        else:
            self.close()

    def pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class AsyncReply:
    """A reply whose body arrives.

    Read it by `read`, `read_all`, iteration, or take it by callback.
    """

    def __init__(self, conn: _Connection, parser: ReplyParser) -> None:
        self._conn: _Connection | None = conn
        self._parser = parser
        self._waiter: asyncio.Future[None] | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._paused = False
        self._error: TransportError | None = None
        self._receiver: Callable[[bytes], None] | None = None
        self._on_end: Callable[[TransportError | None], None] | None = None

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._parser.status

    @property
    def fields(self) -> dict[bytes, bytes]:
        """The headers, lower-case names."""
        return self._parser.fields

    def get(self, name: str) -> str:
        """A header (any case) as text, "" when absent."""
        return self.fields.get(name.lower().encode(), b"").decode("latin-1")

    async def read(self) -> bytes:
        """The next bytes of the body, b"" at its end; TransportError when it is cut short."""
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._parser.done:
                return b""
            await self._wait()
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if self._paused and self._conn is not None:
            self._paused = False
            self._conn.resume()
        return data

    async def read_all(self) -> bytes:
        """The rest of the body."""
        parts = []
        while part := await self.read():
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while part := await self.read():
            yield part

    def receive(
        self, on_data: Callable[[bytes], None], on_end: Callable[[TransportError | None], None]
    ) -> None:
        """Hand the body over as it arrives, without a task; `on_end(None)` at a proper end."""
        self._receiver = on_data
        self._on_end = on_end
        if self._paused and self._conn is not None:
            self._paused = False
            self._conn.resume()
        pieces, self._pieces = self._pieces, []
        for piece in pieces:
            on_data(piece)
        if self._parser.done or self._error is not None:
            on_end(self._error)

    def close(self) -> None:
        """Give the reply up; the connection is dropped unless the body was complete."""
        if self._conn is not None:
            conn, self._conn = self._conn, None
            self._on_end = self._receiver = None
            self._error = self._error or TransportError("reply was closed")
            conn.close()
            self._wake()

    # -- for the connection ------

    async def wait_head(self) -> None:
        while self._parser.status < 200 and self._error is None:
            await self._wait()
        if self._error is not None:
            raise self._error

    def on_data(self, data: bytes) -> None:
        parser = self._parser
        try:
            parser.feed(data)
        except (ParseError, BodyLimit) as exc:
            self._fail(TransportError(str(exc) or "reply body too large"))
            return
        pieces = parser.take()
        if self._receiver is not None:
            for piece in pieces:
                self._receiver(piece)
        else:
            self._buffer(pieces)
        if parser.done:
            self._finish()
        self._wake()

    def on_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, TimeoutError) and exc.errno is None:
            self._fail(TimedOut("write: i/o timeout"))
            return
        if isinstance(exc, OSError):
            self._fail(TransportError(f"read: {_reason(exc).removeprefix('connect: ')}"))
            return
        try:
            self._parser.eof()
        except ParseError as error:
            self._fail(TransportError(str(error)))
        else:
            self._finish()
            self._wake()

    def _buffer(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self._pieces.append(piece)
            self._size += len(piece)
        if self._size > _HIGH_WATER and not self._paused and self._conn is not None:
            self._paused = True
            self._conn.pause()

    def _finish(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.finished(keep=self._parser.keep and not self._paused)
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(None)

    def _fail(self, error: TransportError) -> None:
        conn, self._conn = self._conn, None
        self._error = error
        if conn is not None:
            conn.finished(keep=False)
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(error)
        self._wake()

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def _addresses(host: str, port: int) -> list[str]:
    """The addresses behind a name, in the resolver's order."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, host)
            return [host]
    try:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise TransportError(f"dial tcp: lookup {host}: no such host") from exc
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def _reason(exc: OSError) -> str:
    if type(exc).__module__ == "ssl":
        return tls_text(exc)
    if exc.errno is None:
        return str(exc)
    text = os.strerror(exc.errno)
    return f"connect: {text[:1].lower()}{text[1:]}"
