"""The API's listening sockets: those systemd passed, and those of api_listen.

TLS is spoken on https:// addresses, and on TCP sockets that systemd passed as soon as there is a
certificate; never on unix sockets. Also decides which address, if any, the other machines are told:
one they can reach.
"""

from __future__ import annotations

import os
import socket
from typing import NamedTuple

from coreos_py.base.errors import ConfigError
from coreos_py.base.listenfds import stream_sockets
from coreos_py.http.listen import ListenError, bind_tcp, bind_unix, split_host_port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_INTERNET = (socket.AF_INET, socket.AF_INET6)
_WILDCARDS = ("0.0.0.0", "::")


class Opened(NamedTuple):
    """Listening sockets by what is spoken there."""

    plain: list[socket.socket]
    tls: list[socket.socket]


def open_all(urls: Iterable[str], *, has_certificate: bool = False) -> Opened:
    """Return the passed sockets and new ones for the URLs; errors name the URL."""
    opened = Opened([], [])
    for passed in stream_sockets():
        is_tls = has_certificate and passed.family in _INTERNET
        (opened.tls if is_tls else opened.plain).append(passed)
    for url in urls:
        scheme, mark, rest = url.partition("://")
        if not mark or not rest or scheme not in ("unix", "http", "https", "tcp"):
            hint = "want unix:///path, http://host:port or https://host:port"
            raise ConfigError(f"api_listen: cannot listen on {url!r}", hint=hint)
        if scheme == "https" and not has_certificate:
            raise ConfigError(f"api_listen: {url!r} needs api_certfile and api_keyfile")
        if scheme == "unix":
            if not rest.startswith("/"):
                raise ConfigError(f"api_listen: {url!r} is not an absolute path")
            os.makedirs(os.path.dirname(rest), exist_ok=True)
            opened.plain.append(bind_unix(rest))
            continue
        try:
            host, port = split_host_port(rest.rstrip("/"))
        except ListenError as err:
            raise ConfigError(f"api_listen: {err}") from None
        (opened.tls if scheme == "https" else opened.plain).append(bind_tcp(host, port))
    return opened


def reachable_url(opened: Opened, public_ip: str) -> str:
    """Return the URL under which other machines reach the API, "" when there is none.

    A loopback address means something else on every machine, unless it is the public one.
    """
    both = [(found, "https") for found in opened.tls] + [(found, "http") for found in opened.plain]
    for found, scheme in both:
        if found.family not in _INTERNET:
            continue
        host, port = found.getsockname()[:2]
        if host in _WILDCARDS:
            host = public_ip
        if not host or (_is_loopback(host) and host != public_ip):
            continue
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    return ""


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host == "::1"
