"""HTTP as update_engine does it: a connection for each request, proxies, redirects, ranges.

An edge. Mirrors libcurl_http_fetcher.cc: a transfer that broke off after some bytes goes on where
it was, 20 times at most; one that gets fewer than 10 bytes a second for 90 s is broken.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol
from urllib.parse import urljoin

from coreos_py.base.errors import CoreosError
from coreos_py.http.aclient import AsyncHTTPClient, AsyncReply
from coreos_py.http.client import TransportError
from coreos_py.http.forward_proxy import Proxy, parse_proxy
from coreos_py.http.no_proxy import needs_none
from coreos_py.http.url import Endpoint, parse_endpoint
from coreos_py.omaha.codes import ErrorCode

log = logging.getLogger(__name__)

REDIRECTS_MAX = 10
ANSWER_MAX = 1 << 20
PAYLOAD_MAX = 1 << 34
_SLOW_BYTES = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class Patience(NamedTuple):
    """How long to wait for what."""

    connect_s: float = 30.0
    answer_s: float = 180.0
    slow_s: float = 90.0
    retry_s: float = 20.0
    retries: int = 20
    check_retry_s: float = 10.0


class Sink(Protocol):
    """Where a download goes: it knows how far it is."""

    @property
    def received(self) -> int:
        """How many bytes are there."""

    @property
    def is_complete(self) -> bool:
        """Everything has arrived."""

    def append(self, data: bytes) -> None:
        """The next bytes."""

    def clear(self) -> None:
        """Begin anew."""


class TransferError(CoreosError):
    """Nothing usable came; `status` is the HTTP status, 0 when nobody answered."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    @property
    def check_code(self) -> int:
        """The error code where this was a question to the update server."""
        return ErrorCode.OMAHA_REQUEST_HTTP_BASE + min(self.status, 999)


async def post(
    url: str, body: bytes, *, content_type: str = "text/xml", patience: Patience
) -> bytes:
    """Post and return the answer's body; TransferError unless it is a success."""
    headers = (("Accept", "*/*"), ("Content-Type", content_type))
    try:
        async with asyncio.timeout(patience.answer_s):
            reply, client = await _open("POST", url, headers, body, patience, ANSWER_MAX)
            try:
                if not _is_success(reply):
                    raise TransferError(f"{url}: HTTP status {reply.status}", status=reply.status)
                return await reply.read_all()
            finally:
                reply.close()
                client.close()
    except TransportError as err:
        raise TransferError(f"{url}: {err}") from None
    except TimeoutError:
        raise TransferError(f"{url}: no answer within {patience.answer_s:g} s") from None


async def download(
    url: str, spool: Sink, *, on_bytes: Callable[[int], None], patience: Patience
) -> None:
    """Fetch all that the server has; TransferError, or what the spool finds wrong."""
    retries = 0
    while True:
        before = spool.received
        try:
            is_all = await _one_transfer(url, spool, on_bytes, patience)
            if is_all or spool.is_complete:
                return
            problem: CoreosError = TransferError(f"{url}: the transfer ended early")
        except TransferError as err:
            if err.status:
                raise
            problem = err
        # Without a single byte so far there is nothing to go on with.
        if not spool.received or (spool.received == before and retries == 0):
            raise problem
        retries += 1
        if retries > patience.retries:
            raise problem
        log.warning("%s; going on at byte %d in %g s", problem, spool.received, patience.retry_s)
        await asyncio.sleep(patience.retry_s)


async def _one_transfer(
    url: str, spool: Sink, on_bytes: Callable[[int], None], patience: Patience
) -> bool:
    """Whether the server said that there is no more."""
    headers = [("Accept", "*/*")]
    if spool.received:
        headers.append(("Range", f"bytes={spool.received}-"))
        log.info("Resuming %s at byte %d", url, spool.received)
    try:
        reply, client = await _open("GET", url, headers, b"", patience, PAYLOAD_MAX)
    except TransportError as err:
        raise TransferError(f"{url}: {err}") from None
    try:
        _check_reply(url, reply, spool)
        meter = _Meter(patience.slow_s)
        while True:
            async with asyncio.timeout(patience.slow_s):
                data = await reply.read()
            if not data:
                return _was_all(reply, spool)
            on_bytes(len(data))
            spool.append(data)
            meter.count(url, len(data))
    except TransportError as err:
        raise TransferError(f"{url}: {err}") from None
    except TimeoutError:
        raise TransferError(f"{url}: nothing came for {patience.slow_s:g} s") from None
    finally:
        reply.close()
        client.close()


def _check_reply(url: str, reply: AsyncReply, spool: Sink) -> None:
    """The status fits what was asked for; a server without ranges makes us begin anew."""
    if reply.status == 206 and spool.received:
        match = _RANGE.match(reply.get("Content-Range"))
        if match is None or int(match[1]) != spool.received:
            raise TransferError(f"{url}: a range that was not asked for", status=reply.status)
        return
    if reply.status == 416 and spool.received:
        spool.clear()
        raise TransferError(f"{url}: nothing there at this byte", status=reply.status)
    if not _is_success(reply) or reply.status == 206:
        raise TransferError(f"{url}: HTTP status {reply.status}", status=reply.status)
    if spool.received:
        log.info("%s does not resume; beginning anew", url)
        spool.clear()


def _is_success(reply: AsyncReply) -> bool:
    return 200 <= reply.status < 300


def _was_all(reply: AsyncReply, spool: Sink) -> bool:
    """At a body's end: the length was known, and it is the whole file's."""
    if reply.status == 206:
        match = _RANGE.match(reply.get("Content-Range"))
        return match is not None and match[3] == str(spool.received)
    return bool(reply.get("Content-Length") or reply.get("Transfer-Encoding"))


class _Meter:
    """Notices a transfer that trickles."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._start = time.monotonic()
        self._bytes = 0

    def count(self, url: str, size: int) -> None:
        self._bytes += size
        now = time.monotonic()
        if now - self._start >= self._window_s:
            if self._bytes < _SLOW_BYTES * (now - self._start):
                raise TransferError(f"{url}: fewer than {_SLOW_BYTES} bytes a second")
            self._start, self._bytes = now, 0


async def _open(
    method: str,
    url: str,
    headers: list[tuple[str, str]] | tuple[tuple[str, str], ...],
    body: bytes,
    patience: Patience,
    body_max: int,
) -> tuple[AsyncReply, AsyncHTTPClient]:
    """The reply behind all redirects; they may not change the protocol."""
    status = 0
    for _ in range(REDIRECTS_MAX + 1):
        endpoint, target = split(url)
        client = AsyncHTTPClient(
            connect_timeout_s=patience.connect_s,
            idle_max=0,
            body_max=body_max,
            proxy=proxy_for(endpoint, os.environ),
        )
        reply = await client.stream(
            method, endpoint, target, headers=headers, body=body, timeout_s=patience.answer_s
        )
        if reply.status not in _REDIRECTS or not reply.get("Location"):
            return reply, client
        status = reply.status
        following = urljoin(url, reply.get("Location"))
        reply.close()
        client.close()
        if split(following)[0].scheme != endpoint.scheme:
            text = f"redirected to another protocol: {following}"
            raise TransferError(text, status=status)
        url = following
    text = f"redirected more than {REDIRECTS_MAX} times"
    raise TransferError(text, status=status)


def split(url: str) -> tuple[Endpoint, str]:
    """Where to connect, and what to ask for; TransportError for what is no URL of http(s)."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.lower() not in ("http", "https"):
        raise TransportError(f'unsupported URL "{url}"')
    end = min((rest.find(char) for char in "/?#" if char in rest), default=len(rest))
    authority, target = rest[:end], rest[end:].partition("#")[0]
    try:
        endpoint = parse_endpoint(f"{scheme}://{authority}")
    except ValueError as err:
        raise TransportError(str(err)) from None
    if not target.startswith("/"):
        target = f"/{target}"
    return endpoint, "".join(c if "!" <= c <= "~" else _escaped(c) for c in target)


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape"))


def proxy_for(endpoint: Endpoint, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that curl would take for a URL, by the environment."""
    names = ("https_proxy", "HTTPS_PROXY") if endpoint.scheme == "https" else ("http_proxy",)
    text = next((environ[n] for n in (*names, "all_proxy", "ALL_PROXY") if environ.get(n)), "")
    excepted = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if not text or needs_none(endpoint.host, excepted.split(",")):
        return None
    try:
        return parse_proxy(text)
    except ValueError as err:
        raise TransportError(f"proxy {err}") from None
