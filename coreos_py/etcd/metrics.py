"""/metrics: the numbers that monitoring of etcd 2.3 looks for, as Prometheus text 0.0.4."""

from __future__ import annotations

import os
import resource
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


def render(server: Server) -> bytes:
    """Every metric of this member."""
    return ("\n".join(_lines(server)) + "\n").encode()


def _lines(server: Server) -> Iterator[str]:
    stats = server.store.stats
    yield from _head("etcd_store_reads_total", "counter", "Reads of this member's store.")
    for action, name in _READS:
        yield f'etcd_store_reads_total{{action="{action}"}} {getattr(stats, name)}'
    yield from _head("etcd_store_writes_total", "counter", "Writes seen by this member.")
    for action, name in _WRITES:
        yield f'etcd_store_writes_total{{action="{action}"}} {getattr(stats, name)}'
    yield from _one("etcd_store_expires_total", "counter", stats.expire_count, "Expired keys.")
    yield from _one("etcd_store_watchers", "gauge", server.store.watcher_count, "Live watchers.")
    yield from _one(
        "etcd_server_pending_proposal_total",
        "gauge",
        server.pending_proposals,
        "Proposals that wait to be applied.",
    )
    yield from _one(
        "etcd_server_proposal_failed_total", "counter", server.failed_proposals, "Lost proposals."
    )
    fds = len(os.listdir("/proc/self/fd"))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield from _one("etcd_server_file_descriptors_used_total", "gauge", fds, "Open descriptors.")
    yield from _one(
        "etcd_wal_last_index_saved",
        "gauge",
        server.node.storage.last_index,
        "Last index in the log.",
    )
    yield from _one("process_open_fds", "gauge", fds, "Open descriptors.")
    yield from _one("process_max_fds", "gauge", limit, "Descriptors there may be.")
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = usage.ru_utime + usage.ru_stime
    yield from _one("process_cpu_seconds_total", "counter", cpu_s, "Processor time used.")
    yield from _one("process_resident_memory_bytes", "gauge", _resident(), "Memory in use.")


def _one(name: str, kind: str, value: float, text: str) -> Iterator[str]:
    yield from _head(name, kind, text)
    yield f"{name} {value}"


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * PAGE_BYTES
