"""The client port of a proxy: passes requests on to a member and its answer back as it arrives.

One task per request that is passed on. Mirrors proxy/reverse.go of etcd 2.3.8: the members are
tried in turn until one answers, whatever its answer is.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.etcd import keys_request, metrics, proxy, proxy_metrics, replies
from coreos_py.etcd.proxy_metrics import ProxyMetrics
from coreos_py.etcd.proxy_relay import hand_over
from coreos_py.http.client import TransportError
from coreos_py.http.exchange import Pending
from coreos_py.http.message import Request, Response, encode_headers, strip_authority
from coreos_py.http.url import escape_path

if TYPE_CHECKING:
    from coreos_py.etcd.proxy import Director, Upstream
    from coreos_py.http.aclient import AsyncHTTPClient, AsyncReply

CONFIG_PATH = "/v2/config/local/proxy"
METRICS_PATH = "/metrics"

log = logging.getLogger("proxy")


class Rules(NamedTuple):
    """How a proxy behaves."""

    readonly: bool = False
    cors: tuple[str, ...] = ()
    failure_wait_s: float = 5.0
    read_timeout_s: float | None = None


class ProxyAPI:
    """The handler of the client port."""

    def __init__(self, director: Director, client: AsyncHTTPClient, rules: Rules) -> None:
        self._director = director
        self._client = client
        self._rules = rules
        self._origins = frozenset(rules.cors)
        self._metrics = ProxyMetrics()
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def handle(self, request: Request) -> Response | Pending:
        """One request of a client."""
        path = keys_request.unescape_path(request.path.encode("utf-8", "surrogateescape"))
        if not keys_request.is_clean(path) and path != "*":
            location = escape_path(keys_request.clean_path(path))
            if request.query:
                location += f"?{request.query}"
            return replies.redirect(location, method=request.method)
        if path == METRICS_PATH:
            return metrics.reply(request, self._metrics.render())
        if self._rules.readonly and request.method != "GET":
            return Response(501)
        extra = self._allowed_origin(request)
        if request.method == "OPTIONS":
            return Response(200, extra)
        if path == CONFIG_PATH:
            return self._config(request, extra)
        return self._forward(request, extra)

    def close(self) -> None:
        """Give up what is being passed on."""
        for task in list(self._tasks):
            task.cancel()

    def _allowed_origin(self, request: Request) -> bytes:
        origin = "*" if "*" in self._origins else request.get("Origin")
        if origin not in self._origins:
            return b""
        return (
            "Access-Control-Allow-Methods: POST, GET, OPTIONS, PUT, DELETE\r\n"
            f"Access-Control-Allow-Origin: {origin}\r\n"
            "Access-Control-Allow-Headers: accept, content-type, authorization\r\n"
        ).encode("latin-1")

    def _config(self, request: Request, extra: bytes) -> Response:
        if request.method != "GET":
            refusal = replies.not_allowed("GET")
            return Response(refusal.status, encode_headers(refusal.headers) + extra, refusal.body)
        urls = [upstream.url for upstream in self._director.available()]
        reply = replies.json_reply({"endpoints": urls})
        return Response(200, replies.TEXT_TYPE + extra, reply.body)

    def _forward(self, request: Request, extra: bytes) -> Response | Pending:
        upstreams = self._director.available()
        if not upstreams:
            text = "proxy: zero endpoints currently available"
            log.info("%s", text.removeprefix("proxy: "))
            self._metrics.dropped(request.method, proxy_metrics.ZERO_ENDPOINTS)
            return replies.message(503, text, headers=extra)
        pending = Pending()
        relay = self._relay(request, pending, upstreams=upstreams, extra=extra)
        task = self._loop.create_task(relay)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        peer = request.peer

        def cancel() -> None:
            log.info("client %s closed request prematurely", peer)
            task.cancel()

        pending.on_close(cancel)
        return pending

    async def _relay(
        self, request: Request, pending: Pending, *, upstreams: list[Upstream], extra: bytes
    ) -> None:
        started_s = self._loop.time()
        reply = await self._ask(request, upstreams)
        if reply is not None:
            took_s = self._loop.time() - started_s
            self._metrics.handled(request.method, reply.status, took_s=took_s)
            limit_s = self._rules.read_timeout_s
            try:
                if await hand_over(reply, request, pending, extra=extra, read_timeout_s=limit_s):
                    return
            finally:
                reply.close()
        self._metrics.dropped(request.method, proxy_metrics.FAILED_GETTING)
        text = f"proxy: unable to get response from {len(upstreams)} endpoint(s)"
        log.info("%s", text.removeprefix("proxy: "))
        pending.complete(replies.message(502, text, headers=extra))

    async def _ask(self, request: Request, upstreams: list[Upstream]) -> AsyncReply | None:
        """The first answer there is."""
        sent = proxy.request_headers(request.headers, peer=request.peer)
        target = strip_authority(request.target).decode("utf-8", "surrogateescape")
        for upstream in upstreams:
            try:
                return await self._client.stream(
                    request.method,
                    upstream.endpoint,
                    target,
                    headers=sent.headers,
                    body=request.body,
                    timeout_s=self._rules.read_timeout_s,
                    host=sent.host,
                )
            except TransportError as error:
                self._metrics.dropped(request.method, proxy_metrics.FAILED_SENDING)
                log.info("failed to direct request to %s: %s", upstream.url, error)
                self._fail(upstream)
        return None

    def _fail(self, upstream: Upstream) -> None:
        if not upstream.available:
            return
        upstream.available = False
        log.info("marked endpoint %s unavailable", upstream.url)
        self._loop.call_later(self._rules.failure_wait_s, _revive, upstream)


def _revive(upstream: Upstream) -> None:
    upstream.available = True
    log.info("marked endpoint %s available, to retest connectivity", upstream.url)
