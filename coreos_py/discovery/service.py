"""The discovery service's handler: tokens, registrations, the status page, health, metrics.

Mirrors handlers/ of coreos/discovery.etcd.io. Beyond it: limits, expiry, failover between etcds, a
page for browsers, and members that may come back while their cluster is incomplete. An etcd that
cannot be reached is reported as etcd reports its own trouble, which every client retries.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs

from coreos_py.base.errors import CoreosError, StoreError
from coreos_py.discovery import page, routes
from coreos_py.discovery.forward import Unreachable
from coreos_py.discovery.limiter import Limiter, client_of
from coreos_py.discovery.registry import ROOT
from coreos_py.etcd import proxy, replies
from coreos_py.etcd.proxy_relay import hand_over
from coreos_py.http.client import TransportError
from coreos_py.http.message import Request, Response, encode_headers
from coreos_py.http.observed import Observed
from coreos_py.http.url import escape_path

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from coreos_py.discovery.forward import Forwarder
    from coreos_py.discovery.metrics import Metrics
    from coreos_py.discovery.registry import Registry
    from coreos_py.discovery.routes import Route
    from coreos_py.http.exchange import Pending
    from coreos_py.http.reply import Reply

BODY_MAX = 10 << 20  # as much as etcd takes in a form
HOME_URL = "https://coreos.com/docs/cluster-management/setup/cluster-discovery/"
_ROBOTS = b"User-agent: *\nDisallow: /"
_RAFT_INTERNAL_ERROR = 300
_NODE_EXIST = 105

log = logging.getLogger(__name__)


class Rules(NamedTuple):
    """How the service behaves: the URL in front of tokens, and its limits (0: none)."""

    host: str
    size_max: int = 0
    trust_proxy: bool = False


class Service:
    """The handler. `on_access` gets every client, its request, and the reply's status and size."""

    def __init__(
        self,
        registry: Registry,
        forwarder: Forwarder,
        rules: Rules,
        *,
        limiter: Limiter,
        metrics: Metrics,
        on_access: Callable[[str, Request, int, int], None],
    ) -> None:
        self._registry = registry
        self._forwarder = forwarder
        self._rules = rules
        self._limiter = limiter
        self._metrics = metrics
        self._on_access = on_access
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def handle(self, request: Request) -> Response | Pending:
        """One request of a client."""
        found = routes.route(request.method, request.path)
        if found.what in (routes.NEW, routes.HEALTH):
            work = self._new(request) if found.what == routes.NEW else self._health(request)
            return self._later(request, found, work)
        if found.what in (routes.TOKEN, routes.MEMBER, routes.SIZE):
            if found.what == routes.TOKEN and _wants_page(request):
                return self._later(request, found, self._page(found))
            return self._token(request, found)
        response = self._fixed(request, found)
        if found.what not in (routes.REDIRECT, routes.METRICS):
            size = _body_size(request, response)
            self._on_access(request.peer, request, response.status, size)
        return response

    def close(self) -> None:
        """Give up what is in the making."""
        for task in list(self._tasks):
            task.cancel()

    def _fixed(self, request: Request, found: Route) -> Response:
        if found.what == routes.REDIRECT:
            location = escape_path(found.location)
            if request.query:
                location += f"?{request.query}"
            return replies.redirect(location, method=request.method)
        if found.what == routes.HOME:
            return replies.redirect(HOME_URL, method=request.method)
        if found.what == routes.ROBOTS:
            return Response(200, replies.TEXT_TYPE, _ROBOTS)
        if found.what == routes.METRICS:
            return Response(200, replies.TEXT_TYPE, self._metrics.text().encode())
        if found.what == routes.NOT_ALLOWED:
            return Response(405)
        return replies.not_found()

    # -- replies that are made here ------

    def _later(
        self, request: Request, found: Route, work: Coroutine[None, None, Response]
    ) -> Pending:
        pending = self._observed(request, found)

        async def run() -> None:
            pending.complete(await work)

        self._start(run(), pending)
        return pending

    async def _new(self, request: Request) -> Response:
        forwarded = request.get("X-Forwarded-For") if self._rules.trust_proxy else ""
        client = client_of(request.peer, forwarded_for=forwarded)
        wait_s = self._limiter.wait_s(client, self._loop.time())
        if wait_s:
            text = f"too many new tokens for {client}, try again in {math.ceil(wait_s)}s"
            retry = f"Retry-After: {math.ceil(wait_s)}\r\n".encode()
            return replies.text_error(429, text, headers=retry)
        try:
            size = routes.requested_size(
                request.method,
                request.query,
                content_type=request.get("Content-Type"),
                body=request.body,
                size_max=self._rules.size_max,
            )
        except routes.BadSize as error:
            return replies.text_error(400, str(error))
        token = secrets.token_hex(16)
        try:
            await self._registry.create(token, size)
        except CoreosError as error:
            log.error("cannot store a new token: %s", _one_line(error))
            return replies.text_error(400, "Unable to generate token")
        log.info("New cluster created %s", token)
        return Response(200, replies.TEXT_TYPE, f"{self._rules.host}/{token}".encode())

    async def _health(self, request: Request) -> Response:
        token = secrets.token_hex(16)
        step = "health failed to setupToken"
        try:
            await self._registry.create(token, 0)
            step = "health failed to deleteToken"
            await self._registry.delete(token)
        except CoreosError as error:
            log.error("%s: %s", step, _one_line(error))
            return replies.text_error(400, step)
        return Response(200, replies.TEXT_TYPE, b"OK")

    async def _page(self, found: Route) -> Response:
        try:
            standing = await self._registry.standing(found.token)
        except StoreError as error:
            return replies.text_error(404, f"no such token: {error}")
        except CoreosError as error:
            log.error("cannot show a token: %s", _one_line(error))
            return replies.text_error(503, "the registry cannot be reached just now")
        body = page.render(f"{self._rules.host}/{found.token}", standing)
        return Response(200, page.HEADERS, body.encode("utf-8", "replace"))

    # -- replies that etcd makes ------

    def _token(self, request: Request, found: Route) -> Pending:
        pending = self._observed(request, found)
        target = f"/v2/keys{ROOT}{escape_path(found.key)}"
        if request.query:
            target += f"?{request.query}"
        relay = self._read if request.method == "GET" else self._write
        self._start(relay(request, found, pending, target=target), pending)
        return pending

    async def _read(self, request: Request, found: Route, pending: Pending, *, target: str) -> None:
        try:
            reply = await self._forwarder.stream(request, target)
        except Unreachable as error:
            pending.complete(_unreachable(error))
            return
        try:
            if not await hand_over(reply, request, pending):
                pending.complete(_unreachable(TransportError("the answer broke off")))
        finally:
            reply.close()

    async def _write(
        self, request: Request, found: Route, pending: Pending, *, target: str
    ) -> None:
        try:
            reply = await self._forwarder.write(request, target)
        except Unreachable as error:
            pending.complete(_unreachable(error))
            return
        is_registration = found.what == routes.MEMBER and request.method == "PUT"
        if is_registration and reply.status == 412:
            reply = await self._known(request, found, reply)
        headers = encode_headers(proxy.reply_headers(reply.fields))
        pending.complete(Response(reply.status, headers, reply.body))
        if is_registration and reply.status in (200, 201):
            await self._registered(found)

    async def _known(self, request: Request, found: Route, refusal: Reply) -> Reply:
        """What to answer to a registration that is there already: itself, if it may come back."""
        form = parse_qs(request.body.decode("utf-8", "replace"))
        value = form.get("value", [""])[0]
        if b'"errorCode":%d' % _NODE_EXIST not in refusal.body:
            return refusal
        try:
            standing = await self._registry.standing(found.token)
            if not standing.may_register_again(found.member, value):
                return refusal
            asked = Request("GET", b"/", {}, 1)
            target = f"/v2/keys{ROOT}{escape_path(found.key)}?quorum=true"
            answer = await self._forwarder.write(asked, target)
        except (CoreosError, Unreachable):
            return refusal
        if answer.status != 200:
            return refusal
        log.info("member %s of %s has registered again", found.member, found.token)
        return answer

    async def _registered(self, found: Route) -> None:
        """Follow up on a registration: is the token complete now, or has somebody come too late?"""
        try:
            standing = await self._registry.standing(found.token)
            if standing.full:
                await self._registry.keep(found.token)
        except CoreosError as error:
            log.warning("cannot follow up on token %s: %s", found.token, _one_line(error))
            return
        if standing.place(found.member) >= standing.size:
            text = "member %s knocked at %s, which is full: it has all of its %d members"
            log.warning(text, found.member, found.token, standing.size)

    # -- for all of them ------

    def _observed(self, request: Request, found: Route) -> Observed:
        endpoint = found.what if found.what in (routes.NEW, routes.HEALTH) else "token"

        peer = request.peer  # not known any more when the client has gone away

        def done(status: int, size: int) -> None:
            self._metrics.count(endpoint, status, request.method)
            self._on_access(peer, request, status, size)

        return Observed(done)

    def _start(self, work: Coroutine[None, None, None], pending: Pending) -> None:
        async def run() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001 - the handler boundary, as in http.server
                log.error("unexpected %s: %s", type(error).__name__, error)
                with contextlib.suppress(AssertionError):
                    pending.complete(Response(500))

        task = self._loop.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        pending.on_close(lambda: _cancel(task))


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


def _wants_page(request: Request) -> bool:
    return request.method == "GET" and not request.query and "text/html" in request.get("Accept")


def _unreachable(error: Exception) -> Response:
    log.error("no etcd can be reached: %s", error)
    response = replies.store_error(StoreError(_RAFT_INTERNAL_ERROR, str(error), 0))
    response.status = 503
    return response


def _body_size(request: Request, response: Response) -> int:
    return 0 if request.method == "HEAD" else len(response.body)


def _one_line(error: CoreosError) -> str:
    return str(error).replace("\n", " ")
