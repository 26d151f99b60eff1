"""One other member: which way a message goes to it, and whether it can be reached.

Streams that the peer has dialled are preferred; without them, and for snapshots, messages are
POSTed. Mirrors rafthttp/peer.go, pipeline.go, remote.go, peer_status.go and urlpick.go of 2.3.8.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import monotonic, perf_counter_ns
from typing import TYPE_CHECKING

from coreos_py.etcd.pb import encode_message
from coreos_py.etcd.streams import (
    CLUSTER_MISMATCH,
    HEARTBEAT_INTERVAL_S,
    INCOMPATIBLE,
    StreamKind,
    StreamReader,
    StreamWriter,
)
from coreos_py.http.client import TransportError
from coreos_py.http.url import parse_endpoint
from coreos_py.raft.types import MsgType

if TYPE_CHECKING:
    from coreos_py.etcd.stats import FollowerStats
    from coreos_py.etcd.transport import Transport
    from coreos_py.http.exchange import Pending
    from coreos_py.http.reply import Reply
    from coreos_py.raft.types import Message

POST_WORKERS = 4
POST_QUEUE = 64
POST_TIMEOUT_S = 5.0
SNAPSHOT_TIMEOUT_S = 600.0
PIPELINE = "pipeline"

log = logging.getLogger("rafthttp")


class URLPicker:
    """The peer URL to use: the same one until it fails, then the next."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        self._urls = urls
        self._at = 0

    def update(self, urls: tuple[str, ...]) -> None:
        """The peer has moved."""
        self._urls = urls
        self._at = 0

    def pick(self) -> str:
        """The URL to try."""
        return self._urls[self._at] if self._urls else ""

    def unreachable(self, url: str) -> None:
        """That one did not work."""
        if self._urls and url == self._urls[self._at]:
            self._at = (self._at + 1) % len(self._urls)


class PeerStatus:
    """Whether the connection works, and since when; changes are logged."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.active_since_s: float | None = None

    def activate(self) -> None:
        """Something got through."""
        if self.active_since_s is None:
            log.info("the connection with %x became active", self._number)
            self.active_since_s = monotonic()

    def deactivate(self, what: str, reason: str) -> None:
        """Something did not."""
        if self.active_since_s is None:
            log.debug("failed to %s (%s)", what, reason)
            return
        log.error("failed to %s (%s)", what, reason)
        log.info("the connection with %x became inactive", self._number)
        self.active_since_s = None


class Pipeline:
    """Messages as single POSTs, a few at a time."""

    def __init__(
        self,
        hub: Transport,
        number: int,
        *,
        picker: URLPicker,
        status: PeerStatus,
        stats: FollowerStats | None,
    ) -> None:
        self._hub = hub
        self._number = number
        self._picker = picker
        self._status = status
        self._stats = stats
        self._queue: deque[Message] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, message: Message) -> bool:
        """Queue a message; False if the queue is full."""
        if len(self._queue) >= POST_QUEUE:
            return False
        self._queue.append(message)
        if len(self._tasks) < POST_WORKERS:
            self._tasks.add(asyncio.get_running_loop().create_task(self._work()))
        return True

    def stop(self) -> None:
        """Give up what is on its way."""
        self._queue.clear()
        for task in list(self._tasks):
            task.cancel()

    async def _work(self) -> None:
        """Post what is queued. Who finds nothing left is gone at once: the next message needs a
        worker, and must not take one that has looked already for it.
        """
        try:
            while self._queue:
                message = self._queue.popleft()
                start_ns = perf_counter_ns()
                try:
                    await self._post(message)
                except TransportError as error:
                    self._failed(message, error)
                else:
                    self._succeeded(message, perf_counter_ns() - start_ns)
        finally:
            task = asyncio.current_task()
            if task is not None:
                self._tasks.discard(task)

    def _succeeded(self, message: Message, took_ns: int) -> None:
        self._status.activate()
        self._hub.sent.sent(
            PIPELINE, self._number, kind=message.type, took_s=took_ns / 1_000_000_000
        )
        if message.type == MsgType.APP and self._stats is not None:
            self._stats.succeeded(took_ns)
        if message.type == MsgType.SNAP:
            self._hub.on_snapshot_sent(self._number, ok=True)

    def _failed(self, message: Message, error: TransportError) -> None:
        self._status.deactivate(f"write {self._number:x} on pipeline", str(error))
        self._hub.sent.failed(PIPELINE, self._number, kind=message.type)
        if message.type == MsgType.APP and self._stats is not None:
            self._stats.failed()
        self._hub.on_unreachable(self._number)
        if message.type == MsgType.SNAP:
            self._hub.on_snapshot_sent(self._number, ok=False)

    async def _post(self, message: Message) -> None:
        url = self._picker.pick()
        hub = self._hub
        timeout_s = SNAPSHOT_TIMEOUT_S if message.type == MsgType.SNAP else POST_TIMEOUT_S
        try:
            reply = await hub.client.request(
                "POST",
                parse_endpoint(url),
                "/raft",
                headers=[("Content-Type", "application/protobuf"), *hub.headers()],
                body=encode_message(message),
                timeout_s=timeout_s,
            )
            self._check(reply, url)
        except (TransportError, ValueError) as error:
            self._picker.unreachable(url)
            raise TransportError(str(error)) from None

    def _check(self, reply: Reply, url: str) -> None:
        if reply.status == 204:
            return
        body = reply.body.decode("utf-8", "replace").strip()
        number = self._number
        if reply.status == 403:
            self._hub.on_removed()
            raise TransportError("the member has been permanently removed from the cluster")
        if reply.status == 412 and body == INCOMPATIBLE:
            text = f"request sent was ignored by peer {number:x} (server version incompatible)"
            self._hub.complain(number, text)
        elif reply.status == 412 and body == CLUSTER_MISMATCH:
            remote = reply.get("X-Etcd-Cluster-Id")
            self._hub.complain(
                number,
                f"request sent was ignored (cluster ID mismatch: remote[{number:x}]={remote}, "
                f"local={self._hub.cluster_id:x})",
            )
        raise TransportError(body or f'unexpected http status {reply.status} posting to "{url}"')


class Remote:
    """A member that only its URLs are known of; it gets what it asks for by POST."""

    def __init__(self, hub: Transport, number: int, urls: tuple[str, ...]) -> None:
        self._pipeline = Pipeline(
            hub, number, picker=URLPicker(urls), status=PeerStatus(number), stats=None
        )

    def send(self, message: Message) -> None:
        """Send a message, or drop it if too many wait."""
        self._pipeline.send(message)

    def stop(self) -> None:
        """Send no more."""
        self._pipeline.stop()


class Peer:
    """A member of the cluster other than this one."""

    def __init__(
        self, hub: Transport, number: int, urls: tuple[str, ...], *, stats: FollowerStats
    ) -> None:
        self._hub = hub
        self._number = number
        self._stats = stats
        self.status = PeerStatus(number)
        self.picker = URLPicker(urls)
        self._pipeline = Pipeline(hub, number, picker=self.picker, status=self.status, stats=stats)
        self._writers: dict[StreamKind, StreamWriter] = {}
        self.reads_by_index = False
        self._readers = [
            StreamReader(hub, kind, number, picker=self.picker, status=self.status)
            for kind in StreamKind
        ]
        loop = asyncio.get_running_loop()
        self._heartbeat = loop.call_later(HEARTBEAT_INTERVAL_S, self._beat)

    def send(self, message: Message) -> None:
        """Send a message by the best way there is."""
        kind = message.type
        writers = self._writers
        if writers and kind != MsgType.SNAP:
            writer = writers.get(StreamKind.MSGAPP) if kind == MsgType.APP else None
            if writer is None:
                writer = writers.get(StreamKind.MESSAGE)
            if writer is not None:
                self._write(writer, message)
                return
        if not self._pipeline.send(message):
            self._dropped(message, "pipeline")

    def _write(self, writer: StreamWriter, message: Message) -> None:
        start_ns = perf_counter_ns()
        size = writer.write(message)
        kind = message.type
        if not size:
            self._hub.sent.failed(writer.kind.way, self._number, kind=kind)
            self._dropped(message, writer.kind.title)
            return
        took_ns = perf_counter_ns() - start_ns
        self._hub.sent.sent(
            writer.kind.way, self._number, kind=kind, took_s=took_ns / 1_000_000_000
        )
        if kind == MsgType.APP:
            self._hub.on_append_sent(size)
            if message.entries:
                self._stats.succeeded(took_ns)

    def _dropped(self, message: Message, where: str) -> None:
        log.debug(
            "dropped %d to %x since %s's sending buffer is full", message.type, self._number, where
        )
        self._hub.on_unreachable(self._number)
        if message.type == MsgType.SNAP:
            self._hub.on_snapshot_sent(self._number, ok=False)

    def attach(self, kind: StreamKind, pending: Pending, *, reads_by_index: bool) -> None:
        """The peer has dialled a stream; an older one of the same kind is closed.

        `reads_by_index`: it is a program that answers read rounds.
        """
        self.reads_by_index = reads_by_index
        old = self._writers.get(kind)
        if old is not None:
            old.close()
        writer = self._writers[kind] = StreamWriter(kind, pending)
        pending.on_close(lambda: self._detached(writer))
        self.status.activate()

    def _detached(self, writer: StreamWriter) -> None:
        if self._writers.get(writer.kind) is writer:
            del self._writers[writer.kind]
            what = f"write {self._number:x} on {writer.kind.title}"
            self.status.deactivate(what, "the peer has closed the connection")
            self._hub.on_unreachable(self._number)

    def update(self, urls: tuple[str, ...]) -> None:
        """The peer has new URLs."""
        self.picker.update(urls)

    def stop(self) -> None:
        """Drop every connection."""
        self._heartbeat.cancel()
        for reader in self._readers:
            reader.stop()
        self._pipeline.stop()
        writers, self._writers = self._writers, {}
        for writer in writers.values():
            writer.close()

    def _beat(self) -> None:
        for writer in self._writers.values():
            writer.heartbeat()
        loop = asyncio.get_running_loop()
        self._heartbeat = loop.call_later(HEARTBEAT_INTERVAL_S, self._beat)
