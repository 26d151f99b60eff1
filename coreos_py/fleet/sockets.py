"""The API's listening sockets: those systemd passed, and those of api_listen.

Also decides which address, if any, the other machines are told: one they can reach.
"""

from __future__ import annotations

import os
import socket

from coreos_py.base.errors import ConfigError
from coreos_py.base.listenfds import stream_sockets
from coreos_py.http.listen import ListenError, bind_tcp, bind_unix, split_host_port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_WILDCARDS = ("0.0.0.0", "::")


def open_all(urls: Iterable[str]) -> list[socket.socket]:
    """Return the passed sockets and new ones for the URLs; errors name the URL."""
    sockets = stream_sockets()
    for url in urls:
        scheme, mark, rest = url.partition("://")
        if not mark or not rest or scheme not in ("unix", "http", "tcp"):
            hint = "want unix:///path or http://host:port"
            raise ConfigError(f"api_listen: cannot listen on {url!r}", hint=hint)
        if scheme == "unix":
            if not rest.startswith("/"):
                raise ConfigError(f"api_listen: {url!r} is not an absolute path")
            os.makedirs(os.path.dirname(rest), exist_ok=True)
            sockets.append(bind_unix(rest))
            continue
        try:
            host, port = split_host_port(rest.rstrip("/"))
        except ListenError as err:
            raise ConfigError(f"api_listen: {err}") from None
        sockets.append(bind_tcp(host, port))
    return sockets


def reachable_url(sockets: Iterable[socket.socket], public_ip: str) -> str:
    """Return the URL under which other machines reach the API, "" when there is none.

    A loopback address means something else on every machine, unless it is the public one.
    """
    for found in sockets:
        if found.family not in (socket.AF_INET, socket.AF_INET6):
            continue
        host, port = found.getsockname()[:2]
        if host in _WILDCARDS:
            host = public_ip
        if not host or (_is_loopback(host) and host != public_ip):
            continue
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return ""


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host == "::1"
