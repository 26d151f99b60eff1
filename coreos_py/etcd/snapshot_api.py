"""GET /v2/snapshot: one consistent copy of a running member's store. Ours; etcd 2.3 has none.

The body is a .snap file as it stands in a data directory, checksum included: of the moment after
everything that was acknowledged before the request, or with `local=true` of what this member has,
for a cluster that has lost its majority. The document is made in slices between other work.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from coreos_py.etcd import pb, replies
from coreos_py.etcd.snap import envelope
from coreos_py.http.exchange import Pending
from coreos_py.raft.types import Snapshot, SnapshotMeta

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coreos_py.etcd.auth.gate import Gate
    from coreos_py.etcd.server import Server
    from coreos_py.http.message import Request, Response
    from coreos_py.store.event import Event

PATH = "/v2/snapshot"
_LOCAL = b"local=true"
_QUERIES = (b"", b"local=false", _LOCAL)
_SLICE_S = 0.002
_WRITE_BYTES = 256 << 10


class SnapshotAPI:
    """Answers requests for snapshots; root's only, once auth is on."""

    def __init__(self, server: Server, gate: Gate) -> None:
        self._server = server
        self._gate = gate
        self._tasks: set[asyncio.Task[None]] = set()

    def handle(self, request: Request, *, query: bytes, extra: bytes) -> Response | Pending:
        """The file, when a majority has confirmed that nothing is missing."""
        if request.method != "GET":
            return replies.not_allowed("GET")
        if self._gate.is_on():
            again = partial(self.handle, request, query=query, extra=extra)
            refusal = self._gate.check_root(request, PATH, extra=extra, again=again)
            if refusal is not None:
                return refusal
        if query not in _QUERIES:
            return replies.message(400, "the one parameter is local=true", headers=extra)
        reply = Pending()
        if query == _LOCAL:
            self._start(reply, extra)
            return reply

        def confirmed(_event: Event | None, error: Exception | None) -> None:
            if error is None:
                self._start(reply, extra)
            else:
                reply.complete(replies.message(503, f"no snapshot: {error}", headers=extra))

        server = self._server
        server.propose(pb.Request(server.next_id(), "QGET", "/0"), confirmed)
        return reply

    def _start(self, reply: Pending, extra: bytes) -> None:
        """Freeze the store now, and send it at leisure."""
        server = self._server
        if not server.index:
            text = "no snapshot: this member has nothing yet"
            reply.complete(replies.message(503, text, headers=extra))
            return
        meta = SnapshotMeta(server.index, server.term, server.node.nodes)
        headers = (
            b"Content-Type: application/octet-stream\r\nX-Etcd-Cluster-Id: %x\r\n"
            b"X-Etcd-Index: %d\r\nX-Raft-Index: %d\r\nX-Raft-Term: %d\r\n%b"
            % (server.cluster.id, server.store.index, meta.index, meta.term, extra)
        )
        reply.start(200, headers)
        task = asyncio.get_running_loop().create_task(
            _send(reply, Snapshot(meta=meta), server.store.save_chunks())
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

        def gone() -> None:
            task.cancel()

        reply.on_close(gone)


async def _send(reply: Pending, snapshot: Snapshot, chunks: Iterator[bytes]) -> None:
    try:
        document: list[bytes] = []
        slice_end_s = perf_counter() + _SLICE_S
        for chunk in chunks:
            document.append(chunk)
            if perf_counter() > slice_end_s:
                await asyncio.sleep(0)
                slice_end_s = perf_counter() + _SLICE_S
        loop = asyncio.get_running_loop()
        for part in await loop.run_in_executor(None, envelope, document, snapshot):
            for start in range(0, len(part), _WRITE_BYTES):
                reply.write(part[start : start + _WRITE_BYTES])
                await _room(reply)
    except BaseException:
        reply.cut()
        raise
    reply.end()


async def _room(reply: Pending) -> None:
    room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    reply.on_drain(lambda: None if room.done() else room.set_result(None))
    await room
