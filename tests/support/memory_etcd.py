"""An etcd without a server: AsyncEtcd's methods over the project's own v2 store.

`down` makes every call fail as an unreachable cluster does; expired keys go at `expire`.
"""

from __future__ import annotations

import asyncio
import json
import time

from coreos_py.etcdclient.errors import ClusterUnavailable
from coreos_py.etcdclient.model import Node, Result
from coreos_py.store.store import Store


class MemoryEtcd:
    """What fleet's registry needs of AsyncEtcd."""

    def __init__(self):
        self.store = Store()
        self.down = False
        self.calls = []
        self._later_ns = 0

    def expire(self, *, after_s=0.0):
        """Let time pass and expired keys go."""
        self._later_ns += int(after_s * 1e9)
        self.store.delete_expired(self._now())

    def _now(self):
        return time.time_ns() + self._later_ns

    def _expiry(self, ttl_s):
        return self._now() + ttl_s * 1_000_000_000 if ttl_s else 0

    async def _do(self, method, path, **arguments):
        await asyncio.sleep(0)
        self.calls.append((method, path))
        if self.down:
            raise ClusterUnavailable(["down"])
        event = getattr(self.store, method)(f"/1{path}", now_ns=self._now(), **arguments)
        return _result(event)

    async def get(self, path, *, recursive=False, sort=False, quorum=False):
        return await self._do("get", path, recursive=recursive, sort=sort)

    async def set(self, path, value="", *, ttl_s=0, is_dir=False):
        expire_ns = self._expiry(ttl_s)
        return await self._do("set", path, value=value, is_dir=is_dir, expire_ns=expire_ns)

    async def create(self, path, value="", *, ttl_s=0, is_dir=False):
        expire_ns = self._expiry(ttl_s)
        return await self._do("create", path, value=value, is_dir=is_dir, expire_ns=expire_ns)

    async def update(self, path, value="", *, ttl_s=0, is_dir=False):
        return await self._do("update", path, value=value, expire_ns=self._expiry(ttl_s))

    async def cas(self, path, value, *, prev_value="", prev_index=0, ttl_s=0):
        assert prev_value or prev_index
        return await self._do(
            "compare_and_swap",
            path,
            value=value,
            prev_value=prev_value,
            prev_index=prev_index,
            expire_ns=self._expiry(ttl_s),
        )

    async def delete(self, path, *, recursive=False, is_dir=False):
        return await self._do("delete", path, recursive=recursive, is_dir=is_dir)

    async def cad(self, path, *, prev_value="", prev_index=0):
        assert prev_value or prev_index
        return await self._do(
            "compare_and_delete", path, prev_value=prev_value, prev_index=prev_index
        )

    async def watch(self, path, *, wait_index=0, recursive=False):
        found = asyncio.get_running_loop().create_future()
        watcher = self.store.watch(
            f"/1{path}",
            recursive=recursive,
            since_index=wait_index,
            notify=lambda event: found.done() or found.set_result(event),
        )
        try:
            return _result(await found)
        finally:
            watcher.remove()

    async def stream(self, path, *, recursive=False):
        await asyncio.sleep(0)
        if self.down:
            raise ClusterUnavailable(["down"])
        return MemoryStream(self.store, path, recursive=recursive)

    def close(self):
        """Nothing is open."""

    def dump(self):
        """Return every file below the root, hidden ones as well."""
        nodes = self.store._tree.nodes
        return {
            key[2:]: node.value
            for key, node in sorted(nodes.items())
            if key.startswith("/1/") and not node.is_dir
        }


class MemoryStream:
    """What EventStream is of a real etcd."""

    def __init__(self, store, path, *, recursive):
        self._events = asyncio.Queue()
        self._watcher = store.watch(
            f"/1{path}", recursive=recursive, stream=True, notify=self._events.put_nowait
        )
        self.etcd_index = store.index

    async def next(self):
        return [_result(await self._events.get())]

    def close(self):
        self._watcher.remove()


def _result(event):
    data = json.loads(event.to_json("/1"))
    prev = data.get("prevNode")
    return Result(
        data["action"],
        Node(data["node"]),
        Node(prev) if prev else None,
        etcd_index=event.etcd_index,
    )
