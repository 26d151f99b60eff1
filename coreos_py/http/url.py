"""Endpoints and percent-escaping as Go's net/url does them, without urllib (2 ms of a CLI's start).

Pure. `Endpoint` is where to connect plus the path prefix; targets are built by `escape_path` and
`encode_query`.
"""

from __future__ import annotations

_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"
_PATH_SAFE = _UNRESERVED + b"$&+,/:;=@"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HERE = "127.0.0.1"  # where Go connects for a port without a host


class Endpoint:
    """One server address. `text` is how it was written, for messages."""

    __slots__ = ("host", "path", "port", "scheme", "socket_path", "text")

    def __init__(
        self, text: str, *, scheme: str, host: str, port: int, path: str = "", socket_path: str = ""
    ) -> None:
        self.text = text
        self.scheme = scheme
        self.host = host
        self.port = port
        self.path = path
        self.socket_path = socket_path

    @property
    def authority(self) -> str:
        """The Host header: `host[:port]`, the port left out where the scheme implies it."""
        if self.socket_path:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS.get(self.scheme) else f"{host}:{self.port}"

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes two endpoints share a connection."""
        return (self.scheme, self.socket_path or self.host, self.port)


def parse_endpoint(text: str) -> Endpoint:
    """An endpoint from `http://host:port[/prefix]`, `https://…` or `unix:///path`.

    ValueError in Go's words. Another scheme is not an error here: connecting to it is.
    """
    scheme, sep, rest = text.partition("://")
    scheme = scheme.lower()
    if not sep or not scheme:
        raise ValueError(f'parse "{text}": missing protocol scheme')
    if scheme == "unix":
        if not rest:
            raise ValueError(f'parse "{text}": missing socket path')
        return Endpoint(text, scheme="unix", host="", port=0, socket_path=rest)
    authority, slash, path = rest.partition("/")
    host, port = _host_port(text, authority.rpartition("@")[2], _DEFAULT_PORTS.get(scheme, 0))
    prefix = (slash + path).partition("?")[0].rstrip("/")
    return Endpoint(text, scheme=scheme, host=host, port=port, path=prefix)


def _host_port(text: str, authority: str, default: int) -> tuple[str, int]:
    if authority.startswith("["):
        host, bracket, tail = authority[1:].partition("]")
        if not bracket:
            raise ValueError(f"parse \"{text}\": missing ']' in host")
    else:
        host, colon, port = authority.partition(":")
        tail = colon + port
    for char in host:
        if char <= " " or char in '"<>\\^`{|}\x7f':
            raise ValueError(f'parse "{text}": invalid character "{char}" in host name')
    if tail in ("", ":"):
        if not host:
            raise ValueError(f'parse "{text}": no host')
        return host, default
    port = tail[1:]
    if tail[0] != ":" or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f'parse "{text}": invalid port "{tail}" after host')
    return host or _HERE, int(port)


def escape_path(path: str) -> str:
    """A path as Go's URL.String writes it."""
    return _escape(path, _PATH_SAFE)


def escape_query(text: str) -> str:
    """One query or form component as Go's QueryEscape writes it."""
    return _escape(text, _UNRESERVED + b" ").replace(" ", "+")


def _escape(text: str, safe: bytes) -> str:
    raw = text.encode("utf-8", "surrogateescape")
    odd = set(raw.translate(None, safe))
    if not odd:
        return text
    return "".join([f"%{byte:02X}" if byte in odd else chr(byte) for byte in raw])


def encode_query(pairs: list[tuple[str, str]]) -> str:
    """`a=1&b=2`, names sorted, as Go's Values.Encode writes it."""
    return "&".join([f"{escape_query(k)}={escape_query(v)}" for k, v in sorted(pairs)])
