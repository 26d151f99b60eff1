"""Asks a discovery service: registers this member and waits until the cluster is complete.

The edge of discovery.py. What cannot be had just now is asked for again, after 2, 4, 8... seconds;
what the service refuses is final. Requests and their order are etcd 2.3.8's.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urljoin

from coreos_py.base import durations, gopath
from coreos_py.base.errors import EVENT_INDEX_CLEARED, NODE_EXIST, CoreosError, StoreError
from coreos_py.base.golog import NOTICE
from coreos_py.etcd import discovery
from coreos_py.etcd.discovery import Listing, Refused, Registration
from coreos_py.etcdclient import calls
from coreos_py.etcdclient.cluster import failure
from coreos_py.etcdclient.errors import EmptyBody, InvalidJSON
from coreos_py.http.aclient import AsyncHTTPClient
from coreos_py.http.client import TransportError
from coreos_py.http.forward_proxy import Proxy, parse_proxy
from coreos_py.http.url import Endpoint, encode_query, escape_path, parse_endpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from coreos_py.etcd.urls import URLsMap
    from coreos_py.etcdclient.model import Node, Result
    from coreos_py.http.reply import Reply

REQUEST_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 30.0
REDIRECTS_MAX = 10

_READ = "quorum=false&recursive=false&sorted=false"
_FORM = (("Content-Type", "application/x-www-form-urlencoded"),)

log = logging.getLogger("discovery")


class Trouble(CoreosError):
    """The service could not be asked; it may be later."""


class Token(NamedTuple):
    """A discovery URL: the service (with its scheme, as logs show it) and the path on it."""

    service: Endpoint
    path: str


def parse_token(url: str) -> Token:
    """A discovery URL taken apart; Refused if it is none."""
    try:
        endpoint = parse_endpoint(url)
    except ValueError as error:
        raise Refused(f"discovery: invalid URL {error}") from None
    if endpoint.scheme not in ("http", "https"):
        raise Refused(f"discovery: invalid URL {url!r}: want http or https")
    service = parse_endpoint(f"{endpoint.scheme}://{url.partition('://')[2].partition('/')[0]}")
    path = gopath.clean("/" + unquote(endpoint.path, errors="surrogateescape"))
    return Token(service, "" if path == "/" else path)


def parse_discovery_proxy(text: str) -> Proxy | None:
    """--discovery-proxy, None if it is not set; Refused if it is no proxy."""
    if not text:
        return None
    try:
        proxy = parse_proxy(text)
    except ValueError as error:
        raise Refused(f"invalid proxy address {error}") from None
    log.info('using proxy "%s"', proxy.endpoint.text)
    return proxy


class Discovery:
    """One token at one service, for the member with that id (hex; "0" for a mere observer)."""

    def __init__(
        self,
        token: Token,
        own: str,
        *,
        client: AsyncHTTPClient,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._service = token.service
        self._path = token.path
        self._own = own
        self._client = client
        self._sleep = sleep
        self._retries = 0

    async def join(self, value: str, *, again: bool = False) -> URLsMap:
        """Register `value` for this member; the cluster, once it is complete. Refused if not.

        `again` if an earlier start of this member may have registered it.
        """
        await self._check()
        await self._register(value, again=again)
        return await self._complete(await self._check())

    async def cluster(self) -> URLsMap:
        """The cluster, once it is complete, without being part of it."""
        try:
            found = await self._check()
        except discovery.ClusterFull as error:
            found = error.listing
            return discovery.to_urls_map(found.chosen, size=found.size)
        return await self._complete(found)

    async def _check(self) -> Listing:
        """Who is registered; ClusterFull if we have no place among them."""
        while True:
            try:
                found = await self._list()
            except Trouble as error:
                await self._back_off("cluster status check", error)
                continue
            discovery.check_room(found, self._own)
            return found

    async def _list(self) -> Listing:
        config = await self._ask("GET", f"/{discovery.CONFIG}/size", _READ)
        size = discovery.parse_size(config.node.value)
        result = await self._ask("GET", "", _READ)
        members = [_registration(node) for node in result.node.nodes]
        return discovery.listing(size, members, etcd_index=result.etcd_index)

    async def _register(self, value: str, *, again: bool) -> None:
        """Create our key, and wait until the server we talk to shows it."""
        while True:
            try:
                created_index = await self._create(value, again=again)
                query = f"recursive=false&wait=true&waitIndex={created_index}"
                await self._watch(f"/{self._own}", query)
            except Trouble as error:
                again = True
                await self._back_off("registration", error)
            except StoreError as error:
                if error.code != EVENT_INDEX_CLEARED:  # that old, it is certainly visible
                    raise
                return
            else:
                return

    async def _create(self, value: str, *, again: bool) -> int:
        """When our key was created; `again`: an earlier try of ours may have done it."""
        body = encode_query([("value", value)]).encode()
        try:
            result = await self._ask("PUT", f"/{self._own}", "prevExist=false", body=body)
        except StoreError as error:
            if error.code != NODE_EXIST:
                raise
            if again:
                result = await self._ask("GET", f"/{self._own}", _READ)
                if result.node.value == value:
                    return result.node.created_index
            raise discovery.DuplicateID from None
        return result.node.created_index

    async def _complete(self, found: Listing) -> URLsMap:
        """Wait for those who are missing."""
        while True:
            roster = discovery.Roster(found, self._own)
            try:
                await self._fill(roster, after=found.etcd_index)
            except Trouble as error:
                await self._back_off("waiting for other nodes", error)
            except StoreError as error:
                if error.code != EVENT_INDEX_CLEARED:
                    raise
            else:
                log.log(NOTICE, "found %d needed peer(s)", len(roster.members))
                return discovery.to_urls_map(roster.members, size=found.size)
            found = await self._check()

    async def _fill(self, roster: discovery.Roster, *, after: int) -> None:
        _say(roster.lines)
        while roster.missing > 0:
            text = "found %d peer(s), waiting for %d more"
            log.log(NOTICE, text, len(roster.members), roster.missing)
            result = await self._watch("", f"recursive=true&wait=true&waitIndex={after + 1}")
            roster.learn(result.action, _registration(result.node))
            after = result.node.modified_index
            _say(roster.lines)

    async def _watch(self, key: str, query: str) -> Result:
        while True:
            try:
                return await self._ask("GET", key, query, timeout_s=None)
            except EmptyBody:
                continue  # the watch has ended without an event

    async def _ask(
        self,
        method: str,
        key: str,
        query: str,
        *,
        body: bytes = b"",
        timeout_s: float | None = REQUEST_TIMEOUT_S,
    ) -> Result:
        """One answer; Trouble, StoreError or BadEndpoint if there is none."""
        target = f"{escape_path(self._path + key)}?{query}"
        try:
            reply = await self._send(method, target, body=body, timeout_s=timeout_s)
        except TransportError as error:
            raise Trouble(str(error)) from None
        problem = failure(self._service, reply.status)
        if problem is not None:
            raise Trouble(problem)
        try:
            return _checked(calls.read_result(reply))
        except (InvalidJSON, TypeError, AttributeError):  # JSON of another shape included
            raise discovery.BadEndpoint from None
        except EmptyBody:
            if timeout_s is None:
                raise
            raise discovery.BadEndpoint from None

    async def _send(
        self, method: str, target: str, *, body: bytes, timeout_s: float | None
    ) -> Reply:
        url = f"{self._service.text}{target}"
        for _ in range(REDIRECTS_MAX + 1):
            endpoint, target = _split(url)
            reply = await self._client.request(
                method,
                endpoint,
                target,
                headers=_FORM if body else (),
                body=body,
                timeout_s=timeout_s,
            )
            location = reply.get("Location")
            if reply.status // 100 != 3 or not location:
                return reply
            url = urljoin(url, location)
        raise TransportError("client: too many redirects")

    async def _back_off(self, step: str, error: Trouble) -> None:
        self._retries += 1
        delay_s = discovery.retry_s(self._retries)
        log.error("error #0: %s", error)
        text = "%s: error connecting to %s, retrying in %s"
        shown = durations.format(delay_s * 1_000_000_000)
        log.info(text, step, self._service.text, shown)
        await self._sleep(delay_s)


async def join(url: str, number: int, value: str, *, proxy: str, again: bool = False) -> URLsMap:
    """The cluster of a discovery URL with the member `number` in it; JoinFailed if none.

    `again` if an earlier start of this member may have registered it.
    """
    try:
        return await _with_service(
            url, f"{number:x}", proxy, lambda it: it.join(value, again=again)
        )
    except (Refused, StoreError) as error:
        raise discovery.JoinFailed(error) from None


async def cluster(url: str, *, proxy: str) -> URLsMap:
    """The cluster of a discovery URL; Refused or StoreError if there is none."""
    return await _with_service(url, "0", proxy, lambda it: it.cluster())


async def _with_service(
    url: str, own: str, proxy: str, use: Callable[[Discovery], Awaitable[URLsMap]]
) -> URLsMap:
    token = parse_token(url)
    client = AsyncHTTPClient(
        connect_timeout_s=CONNECT_TIMEOUT_S, proxy=parse_discovery_proxy(proxy)
    )
    try:
        return await use(Discovery(token, own, client=client))
    finally:
        client.close()


def _checked(result: Result) -> Result:
    """The result, if its parts that matter here have the types they should have."""
    for node in (result.node, *result.node.nodes):
        for text in (node.key, node.value):
            if not isinstance(text, str):
                raise TypeError(text)
        for number in (node.created_index, node.modified_index):
            if not isinstance(number, int):
                raise TypeError(number)
    return result


def _registration(node: Node) -> Registration:
    return Registration(node.key.rpartition("/")[2], node.value, node.created_index)


def _split(url: str) -> tuple[Endpoint, str]:
    """Where a URL leads and what to ask for there."""
    try:
        endpoint = parse_endpoint(url.partition("?")[0])
    except ValueError as error:
        raise TransportError(str(error)) from None
    rest = url.partition("://")[2]
    return endpoint, "/" + rest.partition("/")[2]


def _say(lines: list[str]) -> None:
    for line in lines:
        log.log(NOTICE, "%s", line)
