"""Fetches what a config refers to, verified: http, https, tftp, data and oem URLs.

An edge: sockets, files and the clock are here. Retries as Ignition does: a network error or a
status of 500 and more is tried again after 200 ms, 400 ms ... 5 s, until the time is up.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import struct
import time
import zlib
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin

from coreos_py.base import tls
from coreos_py.base.errors import CoreosError
from coreos_py.http.aclient import AsyncHTTPClient
from coreos_py.http.client import TimedOut, TransportError
from coreos_py.http.forward_proxy import Proxy, parse_proxy
from coreos_py.http.no_proxy import needs_none
from coreos_py.http.reply import Reply
from coreos_py.http.url import parse_endpoint
from coreos_py.ignition import dataurl, tools
from coreos_py.ignition.dataurl import BadDataURL

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from coreos_py.ignition.plan import Source

USER_AGENT = "Ignition/2.14.0"
ACCEPT = "application/vnd.coreos.ignition+json;version=3.3.0, */*;q=0.1"
ACCEPT_2 = (
    "application/vnd.coreos.ignition+json; version=2.2.0,"
    " application/vnd.coreos.ignition+json; version=1; q=0.5, */*; q=0.1"
)
OEM_DIRECTORY = "/usr/share/oem"
OEM_DEVICE = "/dev/disk/by-label/OEM"
BYTES_MAX = 1 << 30
_FIRST_DELAY_S = 0.2
_DELAY_MAX_S = 5.0
_REDIRECTS_MAX = 10
_CONNECT_TIMEOUT_S = 30.0
_TFTP_PORT = 69
_TFTP_BLOCK = 512
_TFTP_TIMEOUT_S = 5.0


class FetchError(CoreosError):
    """A source that cannot be had, or is not what it should be."""


class NotFound(FetchError):
    """There is no such thing where it was looked for."""


class NeedsNetwork(FetchError):
    """A source that cannot be had before there is a network."""


class Fetcher:
    """Fetches sources.

    `timeout_s` bounds the attempts at one of them, 0: no bound; `authorities` are PEM texts that
    are trusted besides the system's; `offline`: what needs a network is not tried; `accept` tells
    servers what can be read.
    """

    def __init__(
        self,
        *,
        timeout_s: float = 0.0,
        header_timeout_s: float = 10.0,
        authorities: tuple[str, ...] = (),
        proxies: Proxies | None = None,
        oem_directory: str = OEM_DIRECTORY,
        offline: bool = False,
        accept: str = ACCEPT,
        say: Callable[[str], None],
    ) -> None:
        self._timeout_s = timeout_s
        self._header_timeout_s = header_timeout_s
        self._authorities = authorities
        self._proxies = proxies or Proxies()
        self._oem_directory = oem_directory
        self._offline = offline
        self._accept = accept
        self._say = say

    def get(self, source: Source) -> bytes:
        """The bytes of a source, decompressed and verified; FetchError."""
        if not source.url:
            return b""
        fetched = self.fetch(source.url, source.headers)
        data = _gunzip(fetched, source.url) if source.compression == "gzip" else fetched
        if source.digest:
            self._verify(source, data, fetched)
        return data

    def fetch(self, url: str, headers: tuple[tuple[str, str], ...] = ()) -> bytes:
        """The bytes behind a URL as they are; FetchError."""
        scheme, _, rest = url.partition(":")
        scheme = scheme.lower()
        if scheme == "data":
            try:
                return dataurl.decode(url)
            except BadDataURL as error:
                raise FetchError(f"{url[:60]}: {error}") from None
        if scheme == "oem":
            return self._oem(rest)
        if self._offline:
            raise NeedsNetwork(f"{url}: there is no network yet")
        if scheme == "tftp":
            return _tftp(rest.removeprefix("//"))
        if scheme in ("http", "https"):
            return self._http(url, headers)
        raise FetchError(f"{url}: unsupported source scheme")

    def _verify(self, source: Source, data: bytes, fetched: bytes) -> None:
        function, _, expected = source.digest.partition("-")
        found = hashlib.new(function, data).hexdigest()
        if found == expected.lower():
            return
        also = hashlib.new(function, fetched).hexdigest() if source.digest_of_either else ""
        if also == expected.lower():
            return
        text = f"hash verification failed (calculated {found} but expected {expected})"
        raise FetchError(f"{source.url[:80]}: {text}")

    def _oem(self, rest: str) -> bytes:
        path = os.path.normpath("/" + rest.lstrip("/"))
        try:
            try:
                return _read(self._oem_directory + path)
            except FileNotFoundError:
                if not os.path.exists(OEM_DEVICE):
                    raise
            with tools.mounted(OEM_DEVICE) as place:
                return _read(place + path)
        except OSError as error:
            raise FetchError(f"oem:{rest}: {error.strerror}") from None

    # -- http ------

    def _http(self, url: str, headers: tuple[tuple[str, str], ...]) -> bytes:
        deadline = time.monotonic() + self._timeout_s if self._timeout_s else None
        delay_s = _FIRST_DELAY_S
        attempt = 1
        while True:
            left_s = deadline - time.monotonic() if deadline is not None else None
            try:
                status, body = asyncio.run(self._once(url, headers, timeout_s=left_s))
            except TransportError as error:
                problem = str(error)
            else:
                if status < 500:
                    return _accept(url, status, body)
                problem = f"status {status}"
            self._say(f"GET {url}: attempt #{attempt}: {problem}")
            if deadline is not None and time.monotonic() + delay_s > deadline:
                raise FetchError(f"{url}: {problem} (no more attempts available)")
            time.sleep(delay_s)
            delay_s = min(delay_s * 2, _DELAY_MAX_S)
            attempt += 1

    async def _once(
        self, url: str, headers: tuple[tuple[str, str], ...], *, timeout_s: float | None
    ) -> tuple[int, bytes]:
        sent = self._with_ours(headers)
        try:
            async with asyncio.timeout(timeout_s):
                for _ in range(_REDIRECTS_MAX):
                    reply = await self._ask(url, sent)
                    location = reply.fields.get(b"location", b"").decode("latin-1")
                    if reply.status not in (301, 302, 303, 307, 308) or not location:
                        return reply.status, reply.body
                    url = urljoin(url, location)
                    # A config's headers may hold secrets for the server it names.
                    sent = self._with_ours(())
        except TimeoutError:
            raise TimedOut("i/o timeout") from None
        raise FetchError(f"{url}: stopped after {_REDIRECTS_MAX} redirects")

    def _with_ours(self, headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        """A config's request headers, and of ours those that it does not have."""
        own = (
            ("User-Agent", USER_AGENT),
            ("Accept-Encoding", "identity"),
            ("Accept", self._accept),
        )
        given = {name.lower() for name, _ in headers}
        return (*((name, value) for name, value in own if name.lower() not in given), *headers)

    async def _ask(self, url: str, headers: tuple[tuple[str, str], ...]) -> Reply:
        scheme, _, rest = url.partition("://")
        authority, slash, target = rest.partition("#")[0].partition("/")
        try:
            endpoint = parse_endpoint(f"{scheme}://{authority.partition('?')[0]}")
            proxy = self._proxies.of(scheme, endpoint.host)
        except ValueError as error:
            raise FetchError(str(error)) from None
        client = AsyncHTTPClient(
            tls=self._context,
            connect_timeout_s=_CONNECT_TIMEOUT_S,
            body_max=BYTES_MAX,
            proxy=proxy,
        )
        try:
            stream = await client.stream(
                "GET",
                endpoint,
                slash + target or "/",
                headers=headers,
                head_timeout_s=self._header_timeout_s,
            )
            try:
                return Reply(stream.status, stream.fields, await stream.read_all())
            finally:
                stream.close()
        finally:
            client.close()

    def _context(self) -> ssl.SSLContext:
        context = tls.client_context()
        for pem in self._authorities:
            try:
                context.load_verify_locations(cadata=pem)
            except OSError as error:  # what ssl raises is one
                raise FetchError(f"certificateAuthorities: {error}") from None
        return context


class Fetched:
    """Sources that have been fetched already, kept in a directory."""

    def __init__(self, fetcher: Fetcher, directory: str) -> None:
        self._fetcher = fetcher
        self._directory = directory
        self._files: dict[Source, str] = {}

    def add(self, source: Source) -> None:
        """Fetch and verify one; FetchError."""
        if source in self._files:
            return
        data = self._fetcher.get(source)
        path = os.path.join(self._directory, str(len(self._files)))
        with open(path, "wb") as file:
            file.write(data)
        self._files[source] = path

    def get(self, source: Source) -> bytes:
        """The bytes of one that was added."""
        with open(self._files[source], "rb") as file:
            return file.read()


class Proxies(NamedTuple):
    """The proxies of a config: for http, for https, and the hosts that need none."""

    http: str = ""
    https: str = ""
    exceptions: tuple[str, ...] = ()

    def of(self, scheme: str, host: str) -> Proxy | None:
        """The proxy on the way to a host; ValueError if it is none."""
        text = self.https if scheme == "https" else self.http
        if not text or needs_none(host, self.exceptions):
            return None
        return parse_proxy(text)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(BYTES_MAX)


def _accept(url: str, status: int, body: bytes) -> bytes:
    if status in (200, 204):
        return body
    if status == 404:
        raise NotFound(f"{url}: resource not found")
    raise FetchError(f"{url}: failed to fetch resource (status {status})")


def _gunzip(data: bytes, url: str) -> bytes:
    reader = zlib.decompressobj(wbits=31)
    try:
        out = reader.decompress(data, BYTES_MAX)
    except zlib.error as error:
        raise FetchError(f"{url[:80]}: gzip: {error}") from None
    if not reader.eof:
        raise FetchError(f"{url[:80]}: gzip: the data are cut off or too large")
    return out


def _tftp(rest: str) -> bytes:
    """RFC 1350, octet mode."""
    authority, _, path = rest.partition("/")
    host, _, port = authority.partition(":")
    out = bytearray()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_TFTP_TIMEOUT_S)
        try:
            request = b"\0\1" + path.encode() + b"\0octet\0"
            sock.sendto(request, (host, int(port or _TFTP_PORT)))
            expected = 1
            while True:
                packet, peer = sock.recvfrom(4 + _TFTP_BLOCK)
                code, block = struct.unpack("!HH", packet[:4])
                if code != 3:
                    text = packet[4:].split(b"\0")[0].decode("utf-8", "replace")
                    raise FetchError(f"tftp://{rest}: {text or f'unexpected packet {code}'}")
                if block == expected & 0xFFFF:
                    out += packet[4:]
                    expected += 1
                sock.sendto(struct.pack("!HH", 4, block), peer)
                if len(packet) < 4 + _TFTP_BLOCK:
                    return bytes(out)
        except (OSError, ValueError, struct.error) as error:
            raise FetchError(f"tftp://{rest}: {error}") from None
