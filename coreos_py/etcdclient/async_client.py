"""etcd v2 client for daemons.

Endpoint failover as in etcd 2.3's client: endpoints are tried in turn starting with the one that
answered last, a 5xx counts as a failure, everything else is the answer. A failed write may have
happened: ClusterUnavailable and DeadlineExceeded say that nobody confirmed it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from coreos_py.etcdclient import calls
from coreos_py.etcdclient.calls import Call
from coreos_py.etcdclient.cluster import REDIRECTS_MAX, Endpoints, failure, redirected
from coreos_py.etcdclient.errors import ClusterUnavailable, DeadlineExceeded, EmptyBody
from coreos_py.etcdclient.model import Member, Result
from coreos_py.http.aclient import AsyncHTTPClient, AsyncReply
from coreos_py.http.client import TimedOut, TransportError
from coreos_py.http.reply import Reply
from coreos_py.http.url import Endpoint, parse_endpoint

if TYPE_CHECKING:
    import ssl


class AsyncEtcd:
    """Talks to the cluster behind `endpoints`.

    `timeout_s` bounds each attempt at one endpoint (watches excepted), `total_timeout_s` a whole
    call.
    """

    def __init__(
        self,
        endpoints: Iterable[str],
        *,
        timeout_s: float = 1.0,
        total_timeout_s: float | None = None,
        username: str = "",
        password: str = "",
        tls: ssl.SSLContext | None = None,
        shuffle: Callable[[list[Endpoint]], None] | None = None,
    ) -> None:
        self._endpoints = Endpoints(endpoints, shuffle=shuffle)
        self._timeout_s = timeout_s
        self._total_timeout_s = total_timeout_s
        self._http = AsyncHTTPClient(tls=tls, connect_timeout_s=timeout_s)
        self._auth = (calls.basic_auth(username, password),) if username else ()

    @property
    def endpoints(self) -> list[str]:
        """The endpoints in use."""
        return self._endpoints.urls

    async def get(
        self, path: str, *, recursive: bool = False, sort: bool = False, quorum: bool = False
    ) -> Result:
        """Read a key or list a directory; StoreError 100 when it is not there."""
        call = calls.get(path, recursive=recursive, sort=sort, quorum=quorum)
        return await self._keys(call)

    async def set(
        self, path: str, value: str = "", *, ttl_s: int = 0, is_dir: bool = False
    ) -> Result:
        """Write a key whatever was there before."""
        return await self._keys(calls.put(path, value, ttl_s=ttl_s, is_dir=is_dir))

    async def create(
        self, path: str, value: str = "", *, ttl_s: int = 0, is_dir: bool = False
    ) -> Result:
        """Write a key that must not exist; StoreError 105 when it does."""
        call = calls.put(path, value, prev_exist=False, ttl_s=ttl_s, is_dir=is_dir)
        return await self._keys(call)

    async def create_in_order(self, path: str, value: str = "", *, ttl_s: int = 0) -> Result:
        """Add a child whose name sorts after those added before."""
        return await self._keys(calls.create_in_order(path, value, ttl_s=ttl_s))

    async def update(
        self, path: str, value: str = "", *, ttl_s: int = 0, is_dir: bool = False
    ) -> Result:
        """Write a key that must exist; StoreError 100 when it does not."""
        call = calls.put(path, value, prev_exist=True, ttl_s=ttl_s, is_dir=is_dir)
        return await self._keys(call)

    async def refresh(self, path: str, *, ttl_s: int) -> Result:
        """Renew the TTL of an existing key without waking watchers."""
        return await self._keys(calls.put(path, prev_exist=True, ttl_s=ttl_s, refresh=True))

    async def cas(
        self,
        path: str,
        value: str,
        *,
        prev_value: str = "",
        prev_index: int = 0,
        ttl_s: int = 0,
    ) -> Result:
        """Write a key only if it is as expected; StoreError 101 when it is not."""
        assert prev_value or prev_index, "cas needs something to compare"
        call = calls.put(path, value, prev_value=prev_value, prev_index=prev_index, ttl_s=ttl_s)
        return await self._keys(call)

    async def delete(self, path: str, *, recursive: bool = False, is_dir: bool = False) -> Result:
        """Remove a key or directory."""
        return await self._keys(calls.delete(path, recursive=recursive, is_dir=is_dir))

    async def cad(self, path: str, *, prev_value: str = "", prev_index: int = 0) -> Result:
        """Remove a key only if it is as expected; StoreError 101 when it is not."""
        assert prev_value or prev_index, "cad needs something to compare"
        return await self._keys(calls.delete(path, prev_value=prev_value, prev_index=prev_index))

    async def watch(self, path: str, *, wait_index: int = 0, recursive: bool = False) -> Result:
        """The next event, or the first at or after `wait_index`; waits as long as it takes.

        StoreError 401 when the history no longer goes back that far. Our server is asked for its
        progress, so that this does not happen to who waits already.
        """
        while True:
            call = calls.wait(
                path, wait_index=wait_index, recursive=recursive, progress_s=calls.PROGRESS_S
            )
            try:
                result = calls.read_result(await self._send(call))
            except EmptyBody:
                continue
            if result.action != calls.PROGRESS:
                return result
            wait_index = result.node.modified_index + 1

    async def stream(self, path: str, *, recursive: bool = False) -> EventStream:
        """Every event from now on, without the nodes as they were before.

        There is none from an index on: with one, etcd 2.3 sends a single event and then nothing.
        """
        call = calls.stream(path, recursive=recursive)
        errors = []
        for endpoint in self._endpoints.order():
            try:
                reply = await self._http.stream(
                    call.method,
                    endpoint,
                    endpoint.path + call.target,
                    headers=(*call.headers, *self._auth),
                    timeout_s=self._timeout_s,
                )
            except TransportError as exc:
                errors.append(str(exc))
                continue
            if reply.status == 200:
                return EventStream(reply)
            reply.close()
            errors.append(f"client: endpoint {endpoint.text} answered {reply.status} to a stream")
        raise ClusterUnavailable(errors)

    async def members(self) -> list[Member]:
        """The members of the cluster."""
        return calls.read_members(await self._send(calls.members()))

    async def leader(self) -> Member:
        """The member that leads."""
        return calls.read_member(await self._send(calls.leader()), status=200)

    async def add_member(self, peer_urls: Iterable[str]) -> Member:
        """Add a member that will be reached at `peer_urls`."""
        reply = await self._send(calls.add_member(list(peer_urls)))
        return calls.read_member(reply, status=201)

    async def remove_member(self, member_id: str) -> None:
        """Remove a member for good."""
        calls.check_removed(await self._send(calls.remove_member(member_id)))

    async def update_member(self, member_id: str, peer_urls: Iterable[str]) -> None:
        """Change where a member is reached."""
        calls.check_updated(await self._send(calls.update_member(member_id, list(peer_urls))))

    async def sync(self) -> None:
        """Use the client URLs the members publish from now on."""
        urls = [url for member in await self.members() for url in member.client_urls]
        if urls:
            self._endpoints.replace(urls)

    async def healthy(self, endpoint: str) -> bool:
        """True when the member behind this endpoint says it makes progress."""
        try:
            reply = await self._http.request(
                "GET", parse_endpoint(endpoint), "/health", timeout_s=self._timeout_s
            )
        except TransportError:
            return False
        return reply.status == 200 and b"true" in reply.body

    def close(self) -> None:
        """Close idle connections."""
        self._http.close()

    async def _keys(self, call: Call) -> Result:
        return calls.read_result(await self._send(call))

    async def _send(self, call: Call) -> Reply:
        limit_s = None if call.wait else self._total_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                return await self._try_all(call)
        except TimeoutError:
            raise DeadlineExceeded from None

    async def _try_all(self, call: Call) -> Reply:
        errors = []
        for endpoint in self._endpoints.order():
            try:
                reply = await self._attempt(call, endpoint)
            except TimedOut:
                errors.append(f"client: endpoint {endpoint.text} exceeded header timeout")
                continue
            except TransportError as exc:
                errors.append(str(exc))
                continue
            problem = failure(endpoint, reply.status)
            if problem is None:
                self._endpoints.pin(endpoint)
                return reply
            errors.append(problem)
        raise ClusterUnavailable(errors)

    async def _attempt(self, call: Call, endpoint: Endpoint) -> Reply:
        where, target = endpoint, endpoint.path + call.target
        for _ in range(REDIRECTS_MAX + 1):
            reply = await self._http.request(
                call.method,
                where,
                target,
                headers=(*call.headers, *self._auth),
                body=call.body or b"",
                timeout_s=None if call.wait else self._timeout_s,
            )
            if reply.status // 100 != 3:
                return reply
            where, target = redirected(where, reply)
        raise TransportError("client: too many redirects")


class EventStream:
    """Events as they come; close it. `etcd_index` is the store's index when it began."""

    def __init__(self, reply: AsyncReply) -> None:
        self._reply = reply
        self._rest = b""
        index = reply.get("x-etcd-index")
        self.etcd_index = int(index) if index.isdigit() else 0

    async def next(self) -> list[Result]:
        """The next events, at least one; none when etcd has ended the stream.

        ClusterUnavailable when the connection broke.
        """
        while True:
            try:
                data = await self._reply.read()
            except TransportError as exc:
                raise ClusterUnavailable([str(exc)]) from None
            if not data:
                return []
            *lines, self._rest = (self._rest + data).split(b"\n")
            if events := [calls.read_event(line) for line in lines if line]:
                return events

    def close(self) -> None:
        """Drop the connection."""
        self._reply.close()
