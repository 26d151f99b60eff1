"""Blocking HTTP/1.1 client for command-line programs: one kept connection per endpoint.

No asyncio, no http.client (12 ms to import), ssl only for https, and of socket only the C part (the
rest brings enum and selectors: 2 ms). Errors carry the texts Go's client prints, because etcdctl
2.3 and fleetctl 1.0 show them.
"""

from __future__ import annotations

import _socket as socket
import os
import select
from time import monotonic

from coreos_py.base.errors import CoreosError
from coreos_py.http.framing import BodyLimit, ParseError
from coreos_py.http.reply import Reply, ReplyParser, encode_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator

    from coreos_py.http.url import Endpoint

_RECV = 65536
_UNKNOWN_AUTHORITY = (18, 19, 20, 21)  # X509_V_ERR_… of self-signed and incomplete chains


class TransportError(CoreosError):
    """No reply came: refused, reset, cut short, nonsense. The text is Go's."""


class TimedOut(TransportError):
    """No reply came in time."""


class HTTPClient:
    """Sends requests and reads replies. `tls` makes the context at the first https endpoint."""

    def __init__(self, *, tls: Callable[[], ssl.SSLContext] | None = None) -> None:
        self._make_tls = tls
        self._context: ssl.SSLContext | None = None
        self._idle: dict[tuple[str, str, int], socket.socket] = {}

    def request(
        self,
        method: str,
        endpoint: Endpoint,
        target: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        header_deadline: float | None = None,
        deadline: float | None = None,
    ) -> Reply:
        """One request and its whole reply. Deadlines are time.monotonic() values."""
        stream = self.stream(
            method,
            endpoint,
            target,
            headers=headers,
            body=body,
            header_deadline=_earlier(header_deadline, deadline),
        )
        pieces = list(stream.pieces(deadline=deadline))
        return Reply(stream.status, stream.fields, b"".join(pieces))

    def stream(
        self,
        method: str,
        endpoint: Endpoint,
        target: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        header_deadline: float | None = None,
    ) -> ReplyStream:
        """One request; returns when the head of the reply is there, the body is read from it."""
        data = encode_request(method, endpoint.authority, target, headers, body)
        sock = self._reuse(endpoint)
        if sock is not None:
            try:
                return self._exchange(sock, method, endpoint, data, header_deadline)
            except TimedOut:
                raise
            except TransportError as exc:
                if method not in ("GET", "HEAD") or str(exc) != "EOF":
                    raise
        sock = self._connect(endpoint, header_deadline)
        return self._exchange(sock, method, endpoint, data, header_deadline)

    def upload(
        self,
        method: str,
        endpoint: Endpoint,
        target: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        pieces: Iterable[bytes],
    ) -> Reply:
        """One request whose body comes in pieces, on a connection of its own.

        A server may answer before it has taken everything; what is left is not sent then.
        """
        chunked = (*headers, ("Transfer-Encoding", "chunked"), ("Connection", "close"))
        head = encode_request(method, endpoint.authority, target, chunked, b"")
        sock = self._connect(endpoint, None)
        stream = ReplyStream(self, sock, endpoint, ReplyParser(method))
        try:
            _send_chunks(sock, head, pieces)
            stream.read_head(None)
            return Reply(stream.status, stream.fields, b"".join(stream.pieces()))
        except OSError as exc:
            raise _translate(exc, _route("write", sock, endpoint)) from exc
        finally:
            sock.close()

    def close(self) -> None:
        """Close the kept connections."""
        for sock in self._idle.values():
            sock.close()
        self._idle.clear()

    def _exchange(
        self,
        sock: socket.socket,
        method: str,
        endpoint: Endpoint,
        data: bytes,
        deadline: float | None,
    ) -> ReplyStream:
        stream = ReplyStream(self, sock, endpoint, ReplyParser(method))
        try:
            _arm(sock, deadline)
            sock.sendall(data)
            stream.read_head(deadline)
        except OSError as exc:
            sock.close()
            raise _translate(exc, _route("write", sock, endpoint)) from exc
        except BaseException:
            sock.close()
            raise
        return stream

    def keep(self, endpoint: Endpoint, sock: socket.socket) -> None:
        """Take a connection back whose reply was read to the end."""
        old = self._idle.pop(endpoint.key, None)
        if old is not None:
            old.close()
        self._idle[endpoint.key] = sock

    def _reuse(self, endpoint: Endpoint) -> socket.socket | None:
        sock = self._idle.pop(endpoint.key, None)
        if sock is not None and select.select([sock], [], [], 0)[0]:
            sock.close()  # readable while idle: the server has closed it
            return None
        return sock

    def _connect(self, endpoint: Endpoint, deadline: float | None) -> socket.socket:
        if endpoint.socket_path:
            return _connect_unix(endpoint.socket_path, deadline)
        check_scheme(endpoint)
        sock = _connect_tcp(endpoint.host, endpoint.port, deadline)
        if endpoint.scheme != "https":
            return sock
        try:
            _arm(sock, deadline)
            return self._wrap(sock, endpoint.host)
        except OSError as exc:
            sock.close()
            raise _translate(exc, "read") from exc

    def _wrap(self, sock: socket.socket, host: str) -> ssl.SSLSocket:
        import socket as whole

        context, timeout_s = self._tls(), sock.gettimeout()
        plain = whole.socket(fileno=sock.detach())
        plain.settimeout(timeout_s)
        try:
            return context.wrap_socket(plain, server_hostname=host)
        except OSError:
            plain.close()
            raise

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            if self._make_tls is not None:
                self._context = self._make_tls()
            else:
                import ssl

                self._context = ssl.create_default_context()
        return self._context


class ReplyStream:
    """A reply whose body is read piece by piece; read it to the end or close it."""

    __slots__ = ("_client", "_endpoint", "_parser", "_sock")

    def __init__(
        self, client: HTTPClient, sock: socket.socket, endpoint: Endpoint, parser: ReplyParser
    ) -> None:
        self._client = client
        self._sock = sock
        self._endpoint = endpoint
        self._parser = parser

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._parser.status

    @property
    def fields(self) -> dict[bytes, bytes]:
        """The headers, lower-case names."""
        return self._parser.fields

    def read_head(self, deadline: float | None) -> None:
        """Wait for the head of the reply."""
        while not self._parser.status or self._parser.status < 200:
            self._receive(deadline)

    def pieces(self, *, deadline: float | None = None) -> Iterator[bytes]:
        """The body as it arrives."""
        parser = self._parser
        try:
            while True:
                yield from parser.take()
                if parser.done:
                    break
                self._receive(deadline)
        except BaseException:
            self.close()
            raise
        if parser.keep:
            self._client.keep(self._endpoint, self._sock)
        else:
            self.close()

    def close(self) -> None:
        """Drop the connection."""
        self._sock.close()

    def _receive(self, deadline: float | None) -> None:
        _arm(self._sock, deadline)
        try:
            data = self._sock.recv(_RECV)
            if data:
                self._parser.feed(data)
            else:
                self._parser.eof()
        except OSError as exc:
            raise _translate(exc, _route("read", self._sock, self._endpoint)) from exc
        except (ParseError, BodyLimit) as exc:
            raise TransportError(str(exc) or "reply body too large") from exc


def _send_chunks(sock: socket.socket, head: bytes, pieces: Iterable[bytes]) -> None:
    """Until the end, or until the server says something or hangs up, whichever comes first."""
    try:
        sock.sendall(head)
        for piece in pieces:
            if select.select([sock], [], [], 0)[0]:
                return
            if piece:
                sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        sock.sendall(b"0\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError):
        return  # its answer may be there to read


def check_scheme(endpoint: Endpoint) -> None:
    """TransportError unless it is http or https."""
    if endpoint.scheme not in ("http", "https"):
        raise TransportError(f'unsupported protocol scheme "{endpoint.scheme}"')


def tune(sock: socket.socket) -> None:
    """No Nagle delay; probe a silent peer, so that a watch on a vanished host ends (Go: 30 s)."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 30)


def _connect_unix(path: str, deadline: float | None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    _open(sock, path, deadline, f"dial unix {path}")
    return sock


def _open(sock: socket.socket, address: object, deadline: float | None, what: str) -> None:
    try:
        _arm(sock, deadline)
        sock.connect(address)  # type: ignore[arg-type]  # its type depends on the family
    except (TimeoutError, TimedOut) as exc:
        sock.close()
        raise TimedOut(f"{what}: i/o timeout") from exc
    except OSError as exc:
        sock.close()
        raise _translate(exc, f"{what}: connect") from exc
    except BaseException:
        sock.close()
        raise


def _connect_tcp(host: str, port: int, deadline: float | None) -> socket.socket:
    first: TransportError | None = None
    for family, address in resolve(host, port):
        sock = socket.socket(family, socket.SOCK_STREAM)
        shown = f"[{address[0]}]" if family == socket.AF_INET6 else address[0]
        try:
            tune(sock)
            _open(sock, address, deadline, f"dial tcp {shown}:{port}")
        except TimedOut:
            raise
        except TransportError as exc:
            first = first or exc
        else:
            return sock
    assert first is not None
    raise first


def resolve(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    """Addresses to try, as (family, address). A literal IPv4 address needs no resolver."""
    try:
        socket.inet_pton(socket.AF_INET, host)
        return [(socket.AF_INET, (host, port))]
    except (OSError, UnicodeError):
        pass
    try:
        # As bytes: the idna codec and its tables would cost 2 ms, and names here are ASCII.
        name = host.encode("ascii")
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise TransportError(f"dial tcp: lookup {host}: no such host") from exc
    return [(item[0], (str(item[4][0]), port)) for item in found]


def _arm(sock: socket.socket, deadline: float | None) -> None:
    """Give the next socket call the time that is left."""
    if deadline is None:
        sock.settimeout(None)
        return
    left = deadline - monotonic()
    if left <= 0:
        raise TimedOut("i/o timeout")
    sock.settimeout(left)


def _translate(exc: OSError, what: str) -> TransportError:
    if isinstance(exc, TimeoutError):
        return TimedOut("i/o timeout")
    if type(exc).__module__ == "ssl":
        return TransportError(tls_text(exc))
    text = os.strerror(exc.errno) if exc.errno else str(exc)
    return TransportError(f"{what}: {text[:1].lower()}{text[1:]}")


def _route(what: str, sock: socket.socket, endpoint: Endpoint) -> str:
    """Go's description of a failed read or write:

    `read tcp 10.0.0.1:41000->10.0.0.2:2379: read`.
    """
    if endpoint.socket_path:
        return f"{what} unix @->{endpoint.socket_path}: {what}"
    try:
        here, there = sock.getsockname(), sock.getpeername()
    except OSError:
        return f"{what} tcp {endpoint.authority}: {what}"
    if sock.family == socket.AF_UNIX:  # a tunnel's pipe
        return f"{what} tcp {endpoint.authority}: {what}"
    return f"{what} tcp {here[0]}:{here[1]}->{there[0]}:{there[1]}: {what}"


def tls_text(exc: OSError) -> str:
    """A failed handshake in the words of Go's crypto/tls and x509, where they have any."""
    reason = str(getattr(exc, "reason", None) or exc)
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return "tls: first record does not look like a TLS handshake"
    if reason != "CERTIFICATE_VERIFY_FAILED":
        words = reason.lower().replace("_", " ")
        return f"remote error: tls: {words.rpartition(' alert ')[2]}"
    if getattr(exc, "verify_code", 0) in _UNKNOWN_AUTHORITY:
        return "x509: certificate signed by unknown authority"
    return f"x509: {getattr(exc, 'verify_message', reason)}"


def _earlier(a: float | None, b: float | None) -> float | None:
    if a is None or b is None:
        return b if a is None else a
    return min(a, b)
