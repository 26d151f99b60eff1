"""The v2 client's primitives over the JSON gateway of etcd 3, for daemons.

Same records and errors as AsyncEtcd, so that fleet runs on either. See v3map.py for what a
directory or an index is here, v3talk.py for endpoints and leases. One connection per watch.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from coreos_py.etcdclient import v3map
from coreos_py.etcdclient.v3events import EventStream3, drive
from coreos_py.etcdclient.v3talk import Leases, Talk
from coreos_py.etcdclient.v3watch import Watch
from coreos_py.etcdclient.v3wire import GatewayError
from coreos_py.http.aclient import AsyncHTTPClient

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable
    from typing import Any

    from coreos_py.etcdclient.model import Result
    from coreos_py.etcdclient.v3map import Plan
    from coreos_py.etcdclient.v3talk import Steps
    from coreos_py.http.url import Endpoint


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
        self._watches: dict[tuple[str, bool], EventStream3] = {}

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
        stream = self._watches.pop(name, None)
        if stream is None or not wait_index or stream.goes_on_at != wait_index:
            if stream is not None:
                stream.close()
            watch = Watch(path, start=wait_index, recursive=recursive)
            stream = EventStream3(self._talk, self._http, watch, timeout_s=self._timeout_s)
        try:
            event = await stream.next_one()
        except BaseException:
            stream.close()
            raise
        if (other := self._watches.pop(name, None)) is not None:
            other.close()  # of somebody who watches the same at the same time
        self._watches[name] = stream
        return event

    async def stream(self, path: str, *, recursive: bool = False) -> EventStream3:
        """Every event from now on, as long as some endpoint can be reached."""
        watch = Watch(path, recursive=recursive)
        stream = EventStream3(self._talk, self._http, watch, timeout_s=self._timeout_s)
        try:
            await stream.begin()
        except BaseException:
            stream.close()
            raise
        return stream

    def close(self) -> None:
        """Close the watches and idle connections; keys with a TTL expire when it is over."""
        watches, self._watches = self._watches, {}
        for stream in watches.values():
            stream.close()
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
        return await drive(steps, self._http, timeout_s=self._timeout_s)
