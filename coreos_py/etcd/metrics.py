"""/metrics: the numbers that monitoring of etcd 2.3 looks for, as Prometheus text 0.0.4."""

from __future__ import annotations

import os
import resource
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coreos_py.etcd.server import Server

CONTENT_TYPE = b"Content-Type: text/plain; version=0.0.4\r\n"
PAGE_BYTES = resource.getpagesize()

_READS = (("get", "gets_success"),)
_WRITES = (
    ("set", "sets_success"),
    ("delete", "delete_success"),
    ("update", "update_success"),
    ("create", "create_success"),
    ("compareAndSwap", "compare_and_swap_success"),
    ("compareAndDelete", "compare_and_delete_success"),
)


class Histogram:
    """Durations in buckets that double from `first_s` on, as etcd 2.3 has them."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, *, first_s: float, buckets: int) -> None:
        self._bounds = [first_s * 2**power for power in range(buckets)]
        self._counts = [0] * (buckets + 1)
        self._sum = 0.0

    def observe(self, took_s: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(self._bounds, took_s)] += 1
        self._sum += took_s

    def lines(self, name: str, text: str) -> Iterator[str]:
        """The histogram as Prometheus reads it."""
        yield from head(name, "histogram", text)
        yield from self.samples(name)

    def samples(self, name: str, *, label: str = "") -> Iterator[str]:
        """The same without its description; `label` as `method="GET"`."""
        total = 0
        first, whole = (f"{label},", f"{{{label}}}") if label else ("", "")
        for bound, count in zip([*self._bounds, None], self._counts, strict=True):
            total += count
            limit = "+Inf" if bound is None else f"{bound:g}"
            yield f'{name}_bucket{{{first}le="{limit}"}} {total}'
        yield f"{name}_sum{whole} {self._sum}"
        yield f"{name}_count{whole} {total}"


class Requests:
    """Requests to the keys API, by method, and failed ones by status too."""

    __slots__ = ("failed", "received", "watches")

    def __init__(self) -> None:
        self.received = dict.fromkeys(("GET", "HEAD", "QGET", "PUT", "POST", "DELETE"), 0)
        self.failed: dict[tuple[str, int], int] = {}
        self.watches = 0

    def fail(self, method: str, status: int) -> None:
        """Count one refusal."""
        self.failed[method, status] = self.failed.get((method, status), 0) + 1

    def lines(self) -> Iterator[str]:
        """The counters as Prometheus reads them."""
        yield from head("etcd_http_received_total", "counter", "Requests to keys.")
        for method, count in self.received.items():
            yield f'etcd_http_received_total{{method="{method}"}} {count}'
        yield from head("etcd_http_failed_total", "counter", "Refused requests to keys.")
        for (method, status), count in sorted(self.failed.items()):
            yield f'etcd_http_failed_total{{method="{method}",code="{status}"}} {count}'
        yield from _one("etcd_store_watch_requests_total", "counter", self.watches, "Watches.")


def server_histogram() -> Histogram:
    """For proposals, the log and snapshots: 1 ms to 8 s."""
    return Histogram(first_s=0.001, buckets=14)


def render(server: Server) -> bytes:
    """Every metric of this member."""
    return ("\n".join(_lines(server)) + "\n").encode()


def _lines(server: Server) -> Iterator[str]:
    yield from server.requests.lines()
    yield from _store_lines(server)
    yield from server.proposal_seconds.lines(
        "etcd_server_proposal_durations_seconds", "From proposing to having applied."
    )
    yield from server.sync_seconds.lines(
        "etcd_wal_fsync_durations_seconds", "Time to make the log durable."
    )
    pending, failed = server.pending_proposals, server.failed_proposals
    yield from _one("etcd_server_pending_proposal_total", "gauge", pending, "Waiting proposals.")
    yield from _one("etcd_server_proposal_failed_total", "counter", failed, "Lost proposals.")
    last = server.node.storage.last_index
    yield from _one("etcd_wal_last_index_saved", "gauge", last, "Last index in the log.")
    yield from process_lines()


def _store_lines(server: Server) -> Iterator[str]:
    stats = server.store.stats
    yield from head("etcd_store_reads_total", "counter", "Reads of this member's store.")
    for action, name in _READS:
        yield f'etcd_store_reads_total{{action="{action}"}} {getattr(stats, name)}'
    yield from head("etcd_store_writes_total", "counter", "Writes seen by this member.")
    for action, name in _WRITES:
        yield f'etcd_store_writes_total{{action="{action}"}} {getattr(stats, name)}'
    yield from _one("etcd_store_expires_total", "counter", stats.expire_count, "Expired keys.")
    yield from _one("etcd_store_watchers", "gauge", server.store.watcher_count, "Live watchers.")


def process_lines() -> Iterator[str]:
    """What every process tells of itself."""
    fds = len(os.listdir("/proc/self/fd"))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield from _one("etcd_server_file_descriptors_used_total", "gauge", fds, "Open descriptors.")
    yield from _one("process_open_fds", "gauge", fds, "Open descriptors.")
    yield from _one("process_max_fds", "gauge", limit, "Descriptors there may be.")
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = usage.ru_utime + usage.ru_stime
    yield from _one("process_cpu_seconds_total", "counter", cpu_s, "Processor time used.")
    yield from _one("process_resident_memory_bytes", "gauge", _resident(), "Memory in use.")


def _one(name: str, kind: str, value: float, text: str) -> Iterator[str]:
    yield from head(name, kind, text)
    yield f"{name} {value}"


def head(name: str, kind: str, text: str) -> Iterator[str]:
    """What a metric is."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * PAGE_BYTES
