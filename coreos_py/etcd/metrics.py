"""/metrics: the numbers that monitoring of etcd 2.3 looks for, as Prometheus text 0.0.4."""

from __future__ import annotations

import gzip
import os
import resource
from bisect import bisect_left
from functools import cache
from typing import TYPE_CHECKING

from coreos_py.http.message import Request, Response
from coreos_py.raft.types import MsgType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coreos_py.etcd.server import Server

CONTENT_TYPE = b"Content-Type: text/plain; version=0.0.4\r\n"
PAGE_BYTES = resource.getpagesize()
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

_WRITES = (
    ("set", "sets"),
    ("delete", "delete"),
    ("update", "update"),
    ("create", "create"),
    ("compareAndSwap", "compare_and_swap"),
    ("compareAndDelete", "compare_and_delete"),
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

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return sum(self._counts)

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
    """Requests to the keys API, watches apart, by method; failed ones by status too.

    `succeeded[method]` is called with the seconds that a request took.
    """

    __slots__ = ("_seconds", "failed", "received", "succeeded", "watches")

    def __init__(self) -> None:
        methods = ("DELETE", "GET", "HEAD", "POST", "PUT", "QGET")
        self.received = dict.fromkeys(methods, 0)
        self._seconds = {method: http_histogram() for method in methods}
        self.succeeded: dict[str, Callable[[float], None]] = {
            method: histogram.observe for method, histogram in self._seconds.items()
        }
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
            yield f'etcd_http_failed_total{{code="{status}",method="{method}"}} {count}'
        name = "etcd_http_successful_duration_second"
        yield from head(name, "histogram", "Time until a request to keys had succeeded.")
        for method, histogram in self._seconds.items():
            if histogram.count:
                yield from histogram.samples(name, label=f'method="{method}"')
        yield from _one("etcd_store_watch_requests_total", "counter", self.watches, "Watches.")


class SentMessages:
    """Messages to other members, by way, receiver and type: how long they took, how many failed.

    The ways have upstream's names: `message`, `msgappv2` and `pipeline`.
    """

    __slots__ = ("_failed", "_seconds")

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, int, int], Histogram] = {}
        self._failed: dict[tuple[str, int, int], int] = {}

    def sent(self, way: str, number: int, *, kind: int, took_s: float) -> None:
        """Count a message that has left."""
        key = way, number, kind
        histogram = self._seconds.get(key)
        if histogram is None:
            histogram = self._seconds[key] = http_histogram()
        histogram.observe(took_s)

    def failed(self, way: str, number: int, *, kind: int) -> None:
        """Count a message that was lost."""
        key = way, number, kind
        self._failed[key] = self._failed.get(key, 0) + 1

    def lines(self) -> Iterator[str]:
        """The counters as Prometheus reads them."""
        name = "etcd_rafthttp_message_sent_latency_seconds"
        yield from head(name, "histogram", "Time to send a message to a member.")
        for key, histogram in sorted(self._seconds.items()):
            yield from histogram.samples(name, label=self._label(key))
        name = "etcd_rafthttp_message_sent_failed_total"
        yield from head(name, "counter", "Messages to a member that were lost.")
        for key, count in sorted(self._failed.items()):
            yield f"{name}{{{self._label(key)}}} {count}"

    @staticmethod
    def _label(key: tuple[str, int, int]) -> str:
        way, number, kind = key
        title = "Msg" + "".join(word.title() for word in MsgType(kind).name.split("_"))
        return f'msgType="{title}",remoteID="{number:x}",sendingType="{way}"'


def http_histogram() -> Histogram:
    """For requests and messages: 0.5 ms to 2 s."""
    return Histogram(first_s=0.0005, buckets=13)


def server_histogram() -> Histogram:
    """For proposals, the log and snapshots: 1 ms to 8 s."""
    return Histogram(first_s=0.001, buckets=14)


def reply(request: Request, body: bytes) -> Response:
    """Metrics for whoever asks, compressed if they can read that."""
    headers = CONTENT_TYPE
    codings = request.headers.get(b"accept-encoding", b"").split(b",")
    if any(coding.split(b";")[0].strip() == b"gzip" for coding in codings):
        headers += b"Content-Encoding: gzip\r\n"
        body = gzip.compress(body, mtime=0)
    return Response(200, headers, body)


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
    marshal, save = server.snapshot_seconds
    yield from marshal.lines(
        "etcd_snapshot_save_marshalling_durations_seconds", "Time to wrap a snapshot's document."
    )
    yield from save.lines(
        "etcd_snapshot_save_total_durations_seconds", "Time to make a snapshot durable."
    )
    yield from server.transport.sent.lines()
    pending, failed = server.pending_proposals, server.failed_proposals
    yield from _one("etcd_server_pending_proposal_total", "gauge", pending, "Waiting proposals.")
    yield from _one("etcd_server_proposal_failed_total", "counter", failed, "Lost proposals.")
    last = server.node.storage.last_index
    yield from _one("etcd_wal_last_index_saved", "gauge", last, "Last index in the log.")
    yield from process_lines()


def _store_lines(server: Server) -> Iterator[str]:
    stats = server.store.stats
    yield from head("etcd_store_reads_total", "counter", "Reads of this member's store.")
    recursive = stats.recursive_gets
    plain = stats.gets_success + stats.gets_fail - recursive
    yield f'etcd_store_reads_total{{action="get"}} {max(plain, 0)}'
    yield f'etcd_store_reads_total{{action="getRecursive"}} {recursive}'
    yield from head("etcd_store_writes_total", "counter", "Writes seen by this member.")
    for action, name in _WRITES:
        count = getattr(stats, f"{name}_success") + getattr(stats, f"{name}_fail")
        yield f'etcd_store_writes_total{{action="{action}"}} {count}'
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
    yield from _one("process_resident_memory_bytes", "gauge", _memory()[1], "Memory in use.")
    yield from _one("process_virtual_memory_bytes", "gauge", _memory()[0], "Memory mapped.")
    yield from _one("process_start_time_seconds", "gauge", _started_s(), "Start, Unix time.")


def _one(name: str, kind: str, value: float, text: str) -> Iterator[str]:
    yield from head(name, kind, text)
    yield f"{name} {value}"


def head(name: str, kind: str, text: str) -> Iterator[str]:
    """What a metric is."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _memory() -> tuple[int, int]:
    """Bytes mapped, bytes resident."""
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = file.read().split()
    return int(pages[0]) * PAGE_BYTES, int(pages[1]) * PAGE_BYTES


@cache
def _started_s() -> float:
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    with open("/proc/stat", encoding="ascii") as file:
        boot_s = next(int(line.split()[1]) for line in file if line.startswith("btime "))
    return boot_s + ticks / TICKS_PER_S
