"""The v2 client's primitives over the JSON gateway of etcd 3, for daemons.

Same records and errors as AsyncEtcd, so that fleet runs on either. See v3map.py for what a
directory or an index is here, v3talk.py for endpoints and leases. One connection per watch.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from coreos_py.base.errors import StoreError
from coreos_py.etcdclient import v3map
from coreos_py.etcdclient.errors import ClusterUnavailable, InvalidJSON
from coreos_py.etcdclient.v3talk import Leases, Talk, explain
from coreos_py.etcdclient.v3watch import Watch
from coreos_py.etcdclient.v3wire import WATCH_HEADERS, GatewayError, NoGateway, read_reply
from coreos_py.http.aclient import AsyncHTTPClient
from coreos_py.http.client import TransportError
from coreos_py.http.reply import Reply

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable
    from typing import Any

    from coreos_py.etcdclient.model import Result
    from coreos_py.etcdclient.v3map import Plan
    from coreos_py.etcdclient.v3talk import Attempt, Steps
    from coreos_py.etcdclient.v3wire import Rpc
    from coreos_py.http.aclient import AsyncReply
    from coreos_py.http.url import Endpoint

# Between two streams of one watch, so that a server that ends each at once is not run into.
_WATCH_PAUSE_S = 0.1


class AsyncEtcd3:
    """Talks to the cluster behind `endpoints`; `timeout_s` bounds each attempt at one of them."""

    def __init__(
        self,
        endpoints: Iterable[str],
        *,
        timeout_s: float = 1.0,
        username: str = "",
        password: str = "",
        tls: ssl.SSLContext | None = None,
        shuffle: Callable[[list[Endpoint]], None] | None = None,
    ) -> None:
        self._talk = Talk(endpoints, username=username, password=password, shuffle=shuffle)
        self._timeout_s = timeout_s
        self._http = AsyncHTTPClient(tls=tls, connect_timeout_s=timeout_s)
        self._leases = Leases()
        self._granting: dict[int, asyncio.Lock] = {}
        self._watches: dict[tuple[str, bool], _OpenWatch] = {}

    @property
    def endpoints(self) -> list[str]:
        """The endpoints in use."""
        return self._talk.endpoints.urls

    async def get(
        self, path: str, *, recursive: bool = False, sort: bool = False, quorum: bool = False
    ) -> Result:
        """Read a key or list a directory, which is always sorted; StoreError 100."""
        return await self._run(v3map.get(path, recursive=recursive, quorum=quorum))

    async def set(self, path: str, value: str = "", *, ttl_s: int = 0) -> Result:
        """Write a key whatever was there before."""
        return await self._put(path, value, ttl_s=ttl_s)

    async def create(self, path: str, value: str = "", *, ttl_s: int = 0) -> Result:
        """Write a key that must not exist; StoreError 105 when it does."""
        return await self._put(path, value, ttl_s=ttl_s, prev_exist=False)

    async def update(self, path: str, value: str = "", *, ttl_s: int = 0) -> Result:
        """Write a key that must exist; StoreError 100 when it does not."""
        return await self._put(path, value, ttl_s=ttl_s, prev_exist=True)

    async def refresh(self, path: str, *, ttl_s: int) -> Result:
        """Renew the TTL of an existing key and leave its value; watchers see it set."""
        return await self._put(path, "", ttl_s=ttl_s, prev_exist=True, keep_value=True)

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
        return await self._put(
            path, value, ttl_s=ttl_s, prev_value=prev_value, prev_index=prev_index
        )

    async def delete(self, path: str, *, recursive: bool = False, is_dir: bool = False) -> Result:
        """Remove a key or directory."""
        return await self._run(v3map.delete(path, recursive=recursive, is_dir=is_dir))

    async def cad(self, path: str, *, prev_value: str = "", prev_index: int = 0) -> Result:
        """Remove a key only if it is as expected; StoreError 101 when it is not."""
        assert prev_value or prev_index, "cad needs something to compare"
        return await self._run(v3map.delete(path, prev_value=prev_value, prev_index=prev_index))

    async def watch(self, path: str, *, wait_index: int = 0, recursive: bool = False) -> Result:
        """The next event, or the first at or after `wait_index`; waits as long as it takes.

        Asked for the index after the last event, nothing is missed, whatever happens in between.
        StoreError 401 when the history no longer goes back that far.
        """
        name = (path, recursive)
        watch = self._watches.pop(name, None)
        if watch is None or not wait_index or watch.events.goes_on_at != wait_index:
            if watch is not None:
                watch.close()
            watch = _OpenWatch(Watch(path, start=wait_index, recursive=recursive))
        try:
            event = await self._next(watch)
        except BaseException:
            watch.close()
            raise
        self._watches[name] = watch
        return event

    def close(self) -> None:
        """Close the watches and idle connections; keys with a TTL expire when it is over."""
        watches, self._watches = self._watches, {}
        for watch in watches.values():
            watch.close()
        self._http.close()

    # -- calls

    async def _put(
        self,
        path: str,
        value: str,
        *,
        ttl_s: int,
        prev_exist: bool | None = None,
        prev_value: str = "",
        prev_index: int = 0,
        keep_value: bool = False,
    ) -> Result:
        for is_last in (False, True):
            plan = v3map.put(
                path,
                value,
                prev_exist=prev_exist,
                prev_value=prev_value,
                prev_index=prev_index,
                lease=await self._lease(ttl_s) if ttl_s else 0,
                ttl_s=ttl_s,
                keep_value=keep_value,
            )
            try:
                return await self._run(plan)
            except GatewayError as err:
                if not err.is_lease_gone or is_last:
                    raise
                self._leases.forget(ttl_s)  # this process stood still for longer than the TTL
        raise AssertionError("the last attempt returns or raises")

    async def _lease(self, ttl_s: int) -> int:
        async with self._granting.setdefault(ttl_s, asyncio.Lock()):
            now_s = time.monotonic()
            if lease := self._leases.find(ttl_s, now_s):
                return lease
            try:
                answer = await self._drive(self._talk.call(self._leases.request(ttl_s)))
            except GatewayError as err:
                raise err.translated() from None
            return self._leases.granted(ttl_s, answer, asked_s=now_s)

    async def _run(self, plan: Plan) -> Result:
        try:
            rpc = next(plan)
            while True:
                rpc = plan.send(await self._drive(self._talk.call(rpc)))
        except StopIteration as end:
            result: Result = end.value
            return result
        except GatewayError as err:
            raise err.translated() from None

    async def _drive(self, steps: Steps) -> dict[str, Any]:
        try:
            attempt = next(steps)
            while True:
                try:
                    reply = await self._send(attempt)
                except TransportError as err:
                    attempt = steps.throw(err)
                else:
                    attempt = steps.send(reply)
        except StopIteration as end:
            answer: dict[str, Any] = end.value
            return answer

    async def _send(self, attempt: Attempt) -> Reply:
        return await self._http.request(
            "POST",
            attempt.endpoint,
            attempt.target,
            headers=attempt.headers,
            body=attempt.body,
            timeout_s=self._timeout_s,
        )

    # -- watches

    async def _next(self, watch: _OpenWatch) -> Result:
        """The next event, over as many streams as it takes while some endpoint gives one."""
        errors: list[str] = []
        while (event := watch.events.take()) is None:
            try:
                if watch.stream is None:
                    watch.stream = await self._open(watch, errors)
                data = await watch.stream.read()
                if watch.events.feed(data):
                    errors = []
                if not data:
                    watch.events.end()
                    raise TransportError("EOF")
            except (TransportError, GatewayError, InvalidJSON) as err:
                await self._broken(watch, err, errors)
        return event

    async def _broken(self, watch: _OpenWatch, err: Exception, errors: list[str]) -> None:
        """Go on elsewhere, or raise when there is nowhere left."""
        watch.close()
        endpoint = watch.endpoint
        assert endpoint is not None
        if isinstance(err, GatewayError):
            if err.needs_login and self._talk.can_login and not watch.is_fresh:
                watch.is_fresh = True
                await self._login(endpoint)
                return
            problem = err.translated()
            if isinstance(problem, StoreError):
                raise problem from None
        errors.append(explain(endpoint, err))
        order = self._talk.endpoints.order()
        if len(errors) > len(order):
            raise ClusterUnavailable(errors[-len(order) :])
        if order[0] is endpoint:
            self._talk.endpoints.pin(order[1 % len(order)])
        await asyncio.sleep(_WATCH_PAUSE_S)

    async def _login(self, endpoint: Endpoint) -> None:
        steps = self._talk.login(endpoint)
        try:
            attempt = next(steps)
            while True:
                attempt = steps.send(await self._send(attempt))
        except StopIteration:
            return
        except GatewayError as err:
            raise err.translated() from None

    async def _open(self, watch: _OpenWatch, errors: list[str]) -> AsyncReply:
        """A stream from the first endpoint that gives one."""
        rpc = watch.events.request()
        failed = []
        for endpoint in self._talk.endpoints.order():
            watch.endpoint = endpoint
            try:
                stream = await self._stream(endpoint, rpc)
            except (TransportError, GatewayError, InvalidJSON, NoGateway) as err:
                failed.append(explain(endpoint, err))
            else:
                self._talk.endpoints.pin(endpoint)
                return stream
        raise ClusterUnavailable(failed + errors)

    async def _stream(self, endpoint: Endpoint, rpc: Rpc) -> AsyncReply:
        while True:
            attempt = self._talk.attempt(endpoint, rpc, headers=WATCH_HEADERS)
            stream = await self._http.stream(
                "POST",
                endpoint,
                attempt.target,
                headers=attempt.headers,
                body=attempt.body,
                timeout_s=self._timeout_s,
            )
            if stream.status == 200:
                return stream
            try:
                read_reply(Reply(stream.status, stream.fields, await stream.read_all()))
            except NoGateway:
                if not self._talk.next_prefix():
                    raise
            finally:
                stream.close()


class _OpenWatch:
    """A watch, and the stream it is read from at the moment."""

    def __init__(self, events: Watch) -> None:
        self.events = events
        self.stream: AsyncReply | None = None
        self.endpoint: Endpoint | None = None
        self.is_fresh = False

    def close(self) -> None:
        """Give the stream up."""
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.close()
