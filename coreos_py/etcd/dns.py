"""Looks SRV records up: a small stub resolver, which the standard library lacks.

Asks the servers of /etc/resolv.conf in turn over UDP, and over TCP when an answer did not fit.
Blocking, and light: etcdctl imports it; daemons call it in a thread. Search list, order and error
texts follow Go's resolver, because etcd 2.3.8 shows them. COREOS_RESOLV_CONF names another file;
there a server may have a port, as in `nameserver [127.0.0.1]:5353`.
"""

from __future__ import annotations

import os
import socket
from time import monotonic

from coreos_py.base.errors import CoreosError
from coreos_py.etcd import dns_wire
from coreos_py.etcd.dns_wire import SRV, Answer, DNSError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

RESOLV_CONF = "/etc/resolv.conf"
VARIABLE = "COREOS_RESOLV_CONF"
PORT = 53

_SERVERS_MAX = 3
_FILE_BYTES_MAX = 1 << 16
_UDP_BYTES_MAX = 65535
_NO_SUCH_HOST = "no such host"


class LookupFailed(CoreosError):
    """No records; the text is Go's: `lookup NAME on SERVER: reason`."""

    def __init__(self, name: str, server: str, reason: str) -> None:
        where = f" on {server}" if server else ""
        super().__init__(f"lookup {name}{where}: {reason}")
        self.server = server
        self.reason = reason

    def named(self, name: str) -> LookupFailed:
        """The same, about the name that was asked for before the search list was applied."""
        return LookupFailed(name, self.server, self.reason)


class Resolver:
    """Whom to ask, and how patiently. `search` and `ndots` as in resolv.conf(5)."""

    __slots__ = ("attempts", "ndots", "search", "servers", "timeout_s")

    def __init__(
        self,
        servers: tuple[tuple[str, int], ...],
        *,
        search: tuple[str, ...] = (),
        ndots: int = 1,
        timeout_s: float = 5.0,
        attempts: int = 2,
    ) -> None:
        self.servers = servers
        self.search = search
        self.ndots = ndots
        self.timeout_s = timeout_s
        self.attempts = attempts

    def lookup_srv(self, service: str, domain: str) -> list[SRV]:
        """Records of `_service._tcp.domain`, most preferred first; LookupFailed if there are none.

        The order among equals is fixed, whatever their weights: who uses it shuffles.
        """
        name = f"_{service}._tcp.{domain}"
        failed = LookupFailed(name, "", _NO_SUCH_HOST)
        for candidate in self.candidates(name):
            try:
                found = self._ask_servers(candidate)
            except LookupFailed as error:
                failed = error
            else:
                return sorted(
                    found, key=lambda srv: (srv.priority, -srv.weight, srv.target, srv.port)
                )
        raise failed.named(name)

    def candidates(self, name: str) -> list[str]:
        """The names to try for this one, in order."""
        if name.endswith("."):
            return [name]
        rooted = f"{name}."
        searched = [f"{name}.{suffix.strip('.')}." for suffix in self.search if suffix.strip(".")]
        return [rooted, *searched] if name.count(".") >= self.ndots else [*searched, rooted]

    def _ask_servers(self, name: str) -> list[SRV]:
        number = int.from_bytes(os.urandom(2), "big")
        try:
            query = dns_wire.encode_query(number, name)
        except DNSError as error:
            raise LookupFailed(name, "", str(error)) from None
        failed = LookupFailed(name, "", "no DNS servers")
        for _ in range(self.attempts):
            for server in self.servers:
                shown = _join(*server)
                try:
                    answer = _exchange(server, query, number, name=name, timeout_s=self.timeout_s)
                except OSError as error:
                    failed = LookupFailed(name, shown, _reason(error))
                    continue
                except DNSError:
                    failed = LookupFailed(name, shown, "cannot unmarshal DNS message")
                    continue
                if answer.code == dns_wire.NAME_ERROR:
                    raise LookupFailed(name, shown, _NO_SUCH_HOST)
                if answer.code != dns_wire.NO_ERROR:
                    failed = LookupFailed(name, shown, "server misbehaving")
                    continue
                if not answer.records:
                    raise LookupFailed(name, shown, _NO_SUCH_HOST)
                return answer.records
        raise failed


def system_resolver(environ: Mapping[str, str] | None = None) -> Resolver:
    """The resolver that this machine's resolv.conf describes; a missing file has defaults."""
    path = (os.environ if environ is None else environ).get(VARIABLE) or RESOLV_CONF
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(_FILE_BYTES_MAX)
    except OSError as error:
        if path != RESOLV_CONF:
            raise CoreosError(f"{VARIABLE}: {path}: {error.strerror}") from None
        text = ""
    return parse_resolv_conf(text)


def parse_resolv_conf(text: str) -> Resolver:
    """resolv.conf(5); what is not understood is passed over, as every resolver does."""
    servers: list[tuple[str, int]] = []
    search: list[str] = []
    options = {"ndots": 1, "timeout": 5, "attempts": 2}
    for line in text.splitlines():
        words = line.split()
        if not words or words[0][0] in "#;":
            continue
        keyword, values = words[0], words[1:]
        if keyword == "nameserver" and values:
            server = _parse_server(values[0])
            if server is not None and len(servers) < _SERVERS_MAX:
                servers.append(server)
        elif keyword == "domain" and values:
            search = values[:1]
        elif keyword == "search":
            search = values
        elif keyword == "options":
            for value in values:
                option, _, number = value.partition(":")
                if option in options and number.isascii() and number.isdigit():
                    options[option] = int(number)
    return Resolver(
        tuple(servers) or (("127.0.0.1", PORT), ("::1", PORT)),
        search=tuple(search),
        ndots=min(options["ndots"], 15),
        timeout_s=min(max(options["timeout"], 1), 30),
        attempts=min(max(options["attempts"], 1), 5),
    )


def _parse_server(text: str) -> tuple[str, int] | None:
    port = PORT
    if text.startswith("["):
        text, _, tail = text[1:].partition("]")
        if tail:
            if tail[0] != ":" or not (tail[1:].isascii() and tail[1:].isdigit()):
                return None
            port = int(tail[1:])
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text.partition("%")[0])
        except OSError:
            continue
        return (text, port) if 0 < port < 65536 else None
    return None


def _exchange(
    server: tuple[str, int], query: bytes, number: int, *, name: str, timeout_s: float
) -> Answer:
    """Ask one server; OSError or DNSError if it gives no usable answer in time."""
    deadline = monotonic() + timeout_s
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout_s)
        sock.connect(server)  # so that only this server's datagrams arrive
        sock.send(query)
        while True:
            sock.settimeout(_left(deadline))
            data = sock.recv(_UDP_BYTES_MAX)
            try:
                answer = dns_wire.parse_answer(data, number, name)
            except DNSError:
                continue  # may be forged; the right one may still come
            if answer is not None:
                break
    if not answer.truncated:
        return answer
    with socket.create_connection(server, _left(deadline)) as stream:
        stream.sendall(len(query).to_bytes(2, "big") + query)
        size = int.from_bytes(_read_exactly(stream, 2, deadline), "big")
        answer = dns_wire.parse_answer(_read_exactly(stream, size, deadline), number, name)
    if answer is None or answer.truncated:
        raise DNSError("not the whole answer")
    return answer


def _read_exactly(stream: socket.socket, size: int, deadline: float) -> bytes:
    data = b""
    while len(data) < size:
        stream.settimeout(_left(deadline))
        piece = stream.recv(size - len(data))
        if not piece:
            raise DNSError("answer cut short")
        data += piece
    return data


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError) or error.errno is None:
        return "i/o timeout"
    return os.strerror(error.errno).lower()


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
