"""When a member takes a snapshot of its store, and what it forgets afterwards.

The store is copied in one go, sharing its files; the document is written out in slices between
other work, so that heartbeats and clients never wait for it. Mirrors triggerSnapshot and snapshot
of etcd 2.3.8's etcdserver/server.go.
"""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter
from typing import TYPE_CHECKING

from coreos_py.etcd.config import CATCH_UP_ENTRIES
from coreos_py.raft.types import Snapshot, SnapshotMeta

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.etcd.disk import Disk
    from coreos_py.raft.node import RawNode
    from coreos_py.store.store import Store

SLICE_S = 0.002

log = logging.getLogger("etcdserver")


class SnapshotKeeper:
    """Watches how far the member has applied and keeps one snapshot in the making at most."""

    def __init__(
        self,
        node: RawNode,
        store: Store,
        disk: Disk,
        *,
        every: int,
        last_index: int,
        fatal: Callable[[Exception], None],
    ) -> None:
        self._node = node
        self._store = store
        self._disk = disk
        self._every = every
        self._last_index = last_index
        self._fatal = fatal
        self._task: asyncio.Task[None] | None = None

    def maybe_start(self, applied: int) -> None:
        """Start a snapshot if more than `every` entries were applied since the last one."""
        if applied - self._last_index <= self._every or self._task is not None:
            return
        if applied < self._node.storage.snapshot_meta.index:
            return  # a leader's snapshot is being saved: the raft log is that far already
        log.info("start to snapshot (applied: %d, lastsnap: %d)", applied, self._last_index)
        self._last_index = applied
        meta = SnapshotMeta(applied, self._node.storage.term(applied), self._node.nodes)
        self._task = asyncio.get_running_loop().create_task(self._take(meta))

    def restored(self, meta: SnapshotMeta) -> None:
        """The leader's snapshot has replaced the store."""
        self._last_index = meta.index
        self._node.storage.supply_snapshot(self._disk.loader(meta))

    async def wait(self) -> None:
        """Let a snapshot that is under way finish."""
        if self._task is not None:
            await self._task

    async def _take(self, meta: SnapshotMeta) -> None:
        try:
            await self._save(meta)
        except Exception as error:  # noqa: BLE001 - a task's failure must not vanish
            self._fatal(error)
        finally:
            self._task = None

    async def _save(self, meta: SnapshotMeta) -> None:
        chunks: list[bytes] = []
        slice_end_s = perf_counter() + SLICE_S
        for chunk in self._store.save_chunks():
            chunks.append(chunk)
            if perf_counter() > slice_end_s:
                await asyncio.sleep(0)
                slice_end_s = perf_counter() + SLICE_S
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(
            None, lambda: self._disk.save_snapshot(Snapshot(meta=meta), chunks=chunks)
        )
        log.info("saved snapshot at index %d", meta.index)
        storage = self._node.storage
        if meta.index <= storage.snapshot_meta.index:
            return  # the leader has sent a newer one meanwhile
        storage.create_snapshot(meta.index, nodes=meta.nodes, data=self._disk.loader(meta))
        compact_index = max(meta.index - CATCH_UP_ENTRIES, 1)
        storage.compact(compact_index)
        log.info("compacted raft log at %d", compact_index)
