"""The way through an HTTP proxy: plain requests are handed to it, TLS goes through a tunnel.

Mirrors what Go's net/http does with http.ProxyURL, which etcd 2.3.8 uses for --discovery-proxy.
"""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import unquote

from coreos_py.http.client import TransportError, tls_text
from coreos_py.http.framing import ParseError
from coreos_py.http.reply import ReplyParser
from coreos_py.http.url import Endpoint, parse_endpoint

if TYPE_CHECKING:
    import ssl

P = TypeVar("P", bound=asyncio.Protocol)


class Proxy(NamedTuple):
    """A proxy; `authorization` is what it wants to see, "" for nothing."""

    endpoint: Endpoint
    authorization: str = ""

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What a request to the proxy itself carries."""
        return (("Proxy-Authorization", self.authorization),) if self.authorization else ()


def parse_proxy(text: str) -> Proxy:
    """`http://[user:password@]host:port`, the scheme may be left out; ValueError if it is none."""
    scheme, mark, _ = text.partition("://")
    if mark and scheme.lower() != "http":
        raise ValueError(f"{text!r}: a proxy is spoken to in plain http")
    url = text if mark else f"http://{text}"
    endpoint = parse_endpoint(url)
    user, at, _ = url.partition("://")[2].partition("/")[0].rpartition("@")
    if not at:
        return Proxy(endpoint)
    token = b64encode(unquote(user if ":" in user else f"{user}:").encode()).decode()
    return Proxy(endpoint, f"Basic {token}")


async def open_tunnel(
    proxy: Proxy, endpoint: Endpoint, factory: Callable[[], P], *, tls: ssl.SSLContext
) -> P:
    """A connection of `factory`'s, encrypted up to `endpoint`; TransportError if there is none."""
    loop = asyncio.get_running_loop()
    where = f"dial tcp {proxy.endpoint.authority}"
    try:
        transport, handshake = await loop.create_connection(
            _Handshake, proxy.endpoint.host, proxy.endpoint.port
        )
    except TimeoutError:
        raise
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise TransportError(f"{where}: {reason}") from error
    try:
        authority = f"{_bracketed(endpoint.host)}:{endpoint.port}"
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        lines += [f"{name}: {value}" for name, value in proxy.headers]
        transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await handshake.done
        protocol = factory()
        secure = await loop.start_tls(transport, protocol, tls, server_hostname=endpoint.host)
    except OSError as error:
        transport.abort()
        if isinstance(error, TimeoutError):
            raise
        raise TransportError(tls_text(error)) from error
    except BaseException:
        transport.abort()
        raise
    assert secure is not None
    protocol.connection_made(secure)
    return protocol


class _Handshake(asyncio.Protocol):
    """Waits for the proxy's yes."""

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parser = ReplyParser("HEAD")  # a reply without a body

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed(data)
        except ParseError as error:
            self._fail(str(error))
            return
        if self._parser.done and not self.done.done():
            if self._parser.status == 200:
                self.done.set_result(None)
            else:
                self._fail(f"proxy answered CONNECT with status {self._parser.status}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("proxy closed the connection")

    def _fail(self, text: str) -> None:
        if not self.done.done():
            self.done.set_exception(TransportError(text))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
