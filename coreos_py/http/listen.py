"""Listening sockets: TCP and unix, accepting into an HTTPServer.

Addresses and error texts follow Go's net package (`listen tcp 127.0.0.1:2379: bind: address
already in use`).
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import stat

from coreos_py.base.errors import CoreosError
from coreos_py.http.server import HTTPServer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.base.tls import ContextSource

_BACKLOG = 1024
_ACCEPT_BATCH = 64
_RETRY_S = 0.5
_KEEPALIVE_S = 30


class ListenError(CoreosError):
    """An address cannot be listened on; the text is one line naming it and the reason."""


def bind_tcp(host: str, port: int) -> socket.socket:
    """A listening TCP socket.

    An empty host means every address, both families where the host has them.
    """
    where = f"listen tcp {_join(host, port)}"
    family, address = _resolve(where, host, port)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host not in ("", "::")))
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as exc:
        sock.close()
        raise ListenError(f"{where}: bind: {_reason(exc)}") from exc
    sock.setblocking(False)
    return sock


def bind_unix(path: str, *, mode: int = 0o660) -> socket.socket:
    """A listening unix socket.

    A dead socket file in the way is replaced, a live one is an error.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_dead_socket(path)
        sock.bind(path)
        os.chmod(path, mode)
        sock.listen(_BACKLOG)
    except OSError as exc:
        sock.close()
        raise ListenError(f"listen unix {path}: bind: {_reason(exc)}") from exc
    sock.setblocking(False)
    return sock


class Listener:
    """Accepts from one socket into `server`.

    At `connections_max` open connections it stops accepting, as Go's limit listener.
    """

    def __init__(
        self,
        server: HTTPServer,
        sock: socket.socket,
        *,
        tls: ssl.SSLContext | ContextSource | None = None,
        connections_max: int | None = None,
        handshake_timeout_s: float = 10.0,
    ) -> None:
        self._server = server
        self._sock = sock
        self._tls = tls
        self._max = connections_max
        self._handshake_timeout_s = handshake_timeout_s
        self._loop = asyncio.get_running_loop()
        self._starting: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._accept)

    @property
    def address(self) -> str:
        """`ip:port` or the socket's path, as bound."""
        name = self._sock.getsockname()
        return _join(name[0], name[1]) if isinstance(name, tuple) else str(name)

    @property
    def port(self) -> int:
        """The bound TCP port, 0 for a unix socket."""
        name = self._sock.getsockname()
        return int(name[1]) if isinstance(name, tuple) else 0

    def close(self) -> None:
        """Stop accepting and close the socket; live connections stay."""
        if self._sock.fileno() < 0:
            return
        self._loop.remove_reader(self._sock.fileno())
        if self._retry is not None:
            self._retry.cancel()
        for task in list(self._starting):
            task.cancel()
        self._sock.close()

    def _accept(self) -> None:
        for _ in range(_ACCEPT_BATCH):
            if (
                self._max is not None
                and len(self._server.connections) + len(self._starting) >= self._max
            ):
                self._pause()
                return
            try:
                conn, _address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                if exc.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                self._pause()
                return
            conn.setblocking(False)
            if conn.family != socket.AF_UNIX:
                conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # A watcher whose machine is gone must not keep its connection for ever.
                conn.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
                conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_S)
            task = self._loop.create_task(self._start(conn))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _start(self, conn: socket.socket) -> None:
        tls = self._tls() if callable(self._tls) else self._tls
        timeout = self._handshake_timeout_s if tls is not None else None
        try:
            await self._loop.connect_accepted_socket(
                self._server.connection, conn, ssl=tls, ssl_handshake_timeout=timeout
            )
        except OSError:  # the peer went away or failed the handshake (ssl.SSLError is an OSError)
            conn.close()

    def _pause(self) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._retry = self._loop.call_later(_RETRY_S, self._unpause)

    def _unpause(self) -> None:
        self._retry = None
        self._loop.add_reader(self._sock.fileno(), self._accept)
        self._accept()


def listen(
    server: HTTPServer,
    sockets: list[socket.socket],
    *,
    tls: ssl.SSLContext | ContextSource | None = None,
    connections_max: int | None = None,
) -> list[Listener]:
    """Start accepting on every socket; call inside the running loop.

    `tls` may be asked for its context at every handshake.
    """
    return [Listener(server, sock, tls=tls, connections_max=connections_max) for sock in sockets]


def split_host_port(text: str) -> tuple[str, int]:
    """`host:port`, `[v6]:port` or `:port` as its parts."""
    host, sep, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ListenError(f"address {text}: too many colons in address")
    if not sep:
        raise ListenError(f"address {text}: missing port in address")
    if not port.isdigit() or int(port) > 65535:
        raise ListenError(f"address {text}: invalid port")
    return host, int(port)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _resolve(where: str, host: str, port: int) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    if not host:
        return (
            (socket.AF_INET6, ("::", port))
            if socket.has_dualstack_ipv6()
            else (socket.AF_INET, ("0.0.0.0", port))
        )
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as exc:
        raise ListenError(f"{where}: lookup {host}: no such host") from exc
    found.sort(key=lambda item: item[0] != socket.AF_INET)
    return found[0][0], found[0][4]


def _remove_dead_socket(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
    except FileNotFoundError:
        return
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.connect(path)
    except OSError:
        os.unlink(path)
    finally:
        probe.close()


def _reason(exc: OSError) -> str:
    text = os.strerror(exc.errno) if exc.errno else str(exc)
    return text[:1].lower() + text[1:]
