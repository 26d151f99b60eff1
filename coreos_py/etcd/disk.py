"""The disk of one member: its log, its snapshots, and the thread that waits for slow disks.

Writes go to the kernel from the event loop; waiting for a slow fdatasync happens in the thread, so
that the loop parses the next requests meanwhile. A failure is final: it is reported once, nothing
is acknowledged after it, and the process must end.
"""

from __future__ import annotations

import threading
from collections import deque
from queue import SimpleQueue
from time import perf_counter
from typing import TYPE_CHECKING

from coreos_py.base.errors import CoreosError
from coreos_py.etcd import wal_files
from coreos_py.etcd.metrics import server_histogram
from coreos_py.etcd.snap import SNAP_SUFFIX, read_snapshot
from coreos_py.raft.types import Snapshot, SnapshotMeta

FAST_SYNC_S = 0.001
REMEMBERED_SYNCS = 8  # the best of them tells the disk's time from a busy processor's
RETRY_SYNCS = 64

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Sequence

    from coreos_py.etcd.snap import Snapshotter
    from coreos_py.etcd.wal import WAL
    from coreos_py.raft.types import Entry, HardState

    Job = Callable[[], object]
    Done = Callable[[], None]


class Disk:
    """Owns a WAL that is ready for writing and a Snapshotter. Call from the event loop."""

    def __init__(
        self,
        wal: WAL,
        snapshotter: Snapshotter,
        *,
        loop: asyncio.AbstractEventLoop,
        on_failure: Callable[[Exception], None],
    ) -> None:
        """`on_failure` is called on the loop, at most once."""
        self._wal = wal
        self._snapshotter = snapshotter
        self._loop = loop
        self._on_failure = on_failure
        self._failed = False
        self._syncs = 0
        self.sync_seconds = server_histogram()
        self.snapshot_seconds = server_histogram(), server_histogram()
        snapshotter.on_saved = self._snapshot_saved
        self._sync_times_s = deque([0.0], maxlen=REMEMBERED_SYNCS)
        self._jobs: SimpleQueue[tuple[Job, Done] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="wal-sync", daemon=True)
        self._thread.start()

    def append(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """Hand one batch to the kernel; CoreosError if it does not take it."""
        self._wal.save(hard_state, entries, sync=False)

    def sync(self, done: Done) -> bool:
        """Make what was appended durable: True if it is; else `done` will be called on the loop.

        A disk that needs less than a millisecond is waited for: handing over to a thread and back
        takes as long. A slower one is left to the thread, but for a try now and then.
        """
        self._syncs += 1
        if min(self._sync_times_s) > FAST_SYNC_S and self._syncs % RETRY_SYNCS:
            self._jobs.put((self._timed_sync, done))
            return False
        self._sync_times_s.append(self._timed_sync())
        return True

    def _timed_sync(self) -> float:
        start_s = perf_counter()
        self._wal.sync()
        took_s = perf_counter() - start_s
        self.sync_seconds.observe(took_s)
        return took_s

    def _snapshot_saved(self, marshal_s: float, save_s: float) -> None:
        marshal, save = self.snapshot_seconds
        marshal.observe(marshal_s)
        save.observe(save_s)

    def receive_snapshot(self, snapshot: Snapshot, done: Done) -> None:
        """Store a leader's snapshot in the thread, then call `done` on the loop."""
        self._jobs.put((lambda: self.save_snapshot(snapshot), done))

    def save_snapshot(self, snapshot: Snapshot, *, chunks: Iterable[bytes] | None = None) -> str:
        """Marker, file, release of older logs. Blocks; any thread. Returns the file's path."""
        meta = snapshot.meta
        self._wal.save_snapshot(meta.index, meta.term)
        path = self._snapshotter.save(snapshot, chunks=chunks)
        self._wal.release_to(meta.index)
        return path

    def loader(self, meta: SnapshotMeta) -> Callable[[], bytes | None]:
        """Reads a saved snapshot's data back when a slow follower needs it."""
        return snapshot_loader(self._snapshotter.directory, meta)

    def purge(self, *, max_wals: int, max_snapshots: int) -> list[str]:
        """Remove files that are no longer needed. Blocks; any thread."""
        removed = wal_files.purge(self._wal.directory, ".wal", keep=max_wals)
        directory = self._snapshotter.directory
        return removed + wal_files.purge(directory, SNAP_SUFFIX, keep=max_snapshots)

    def close(self) -> None:
        """Finish what is queued and give up the locks."""
        self._jobs.put(None)
        self._thread.join()
        if self._failed:
            self._wal.abandon()
        else:
            self._wal.close()

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, done = item
            try:
                job()
            except Exception as error:  # noqa: BLE001 - whatever it is, nothing may follow it
                self._failed = True
                self._loop.call_soon_threadsafe(self._on_failure, error)
                return
            self._loop.call_soon_threadsafe(done)


def snapshot_loader(directory: str, meta: SnapshotMeta) -> Callable[[], bytes | None]:
    """Reads a saved snapshot's data back when a slow follower needs it."""
    path = f"{directory}/{meta.term:016x}-{meta.index:016x}{SNAP_SUFFIX}"

    def load() -> bytes | None:
        try:
            return read_snapshot(path).data
        except CoreosError:
            return None  # purged by now; the follower waits for the next snapshot

    return load
