"""Passes what clients ask about a token on to an etcd, and its answer back as it arrives.

Several etcds may be named; the one that answered last is asked first.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from coreos_py.etcd import proxy
from coreos_py.http.client import TransportError
from coreos_py.http.reply import Reply
from coreos_py.http.url import parse_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coreos_py.http.aclient import AsyncHTTPClient, AsyncReply
    from coreos_py.http.message import Request
    from coreos_py.http.url import Endpoint

WRITE_TIMEOUT_S = 30.0
REDIRECTS_MAX = 11

log = logging.getLogger(__name__)


class Unreachable(Exception):
    """No etcd has answered; the text says which and why."""


class Forwarder:
    """The etcds behind the service, asked with a client's own requests."""

    def __init__(self, urls: Iterable[str], client: AsyncHTTPClient) -> None:
        self._endpoints = [parse_endpoint(url) for url in urls]
        self._client = client

    async def stream(self, request: Request, target: str) -> AsyncReply:
        """The answer to a read, which may take as long as a watch does. Close it."""
        headers = self._headers(request)
        errors = []
        for endpoint in list(self._endpoints):
            try:
                reply = await self._client.stream(
                    request.method,
                    endpoint,
                    endpoint.path + target,
                    headers=headers,
                    body=request.body,
                )
            except TransportError as error:
                errors.append(f"{endpoint.text}: {error}")
                continue
            self._prefer(endpoint)
            return reply
        raise Unreachable("; ".join(errors))

    async def write(self, request: Request, target: str) -> Reply:
        """The answer to a write."""
        headers = self._headers(request)
        errors = []
        for endpoint in list(self._endpoints):
            try:
                reply = await self._write_at(request, endpoint, target, headers=headers)
            except TransportError as error:
                errors.append(f"{endpoint.text}: {error}")
                continue
            self._prefer(endpoint)
            return reply
        raise Unreachable("; ".join(errors))

    async def _write_at(
        self, request: Request, endpoint: Endpoint, target: str, *, headers: proxy.Pairs
    ) -> Reply:
        """One etcd's answer; etcd 0.4 sends whoever writes to the leader."""
        where, path = endpoint, endpoint.path + target
        for _ in range(REDIRECTS_MAX):
            reply = await self._client.request(
                request.method,
                where,
                path,
                headers=headers,
                body=request.body,
                timeout_s=WRITE_TIMEOUT_S,
            )
            location = reply.fields.get(b"location", b"").decode("latin-1")
            if reply.status != 307 or not location.startswith(("http://", "https://")):
                return reply
            scheme, _, rest = location.partition("://")
            host, slash, path = rest.partition("/")
            try:
                where = parse_endpoint(f"{scheme}://{host}")
            except ValueError as error:
                raise TransportError(f"redirected to {location}: {error}") from None
            path = slash + path
        raise TransportError("too many redirects")

    def _headers(self, request: Request) -> proxy.Pairs:
        return proxy.request_headers(request.headers, peer=request.peer).headers

    def _prefer(self, endpoint: Endpoint) -> None:
        if self._endpoints[0] is not endpoint:
            self._endpoints.remove(endpoint)
            self._endpoints.insert(0, endpoint)
            log.info("using etcd %s", endpoint.text)
