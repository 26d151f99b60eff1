"""The two long-lived streams between a pair of members, from both ends.

The dialler of a stream receives: a member writes to what its peer dialled (StreamWriter) and dials
what it wants to read (StreamReader). Mirrors rafthttp/stream.go of etcd 2.3.8.
"""

from __future__ import annotations

import asyncio
import logging
from enum import StrEnum
from typing import TYPE_CHECKING

from coreos_py.base.errors import WireError
from coreos_py.etcd import version
from coreos_py.etcd.rafthttp_codec import (
    MessageDecoder,
    MessageEncoder,
    MsgAppDecoder,
    MsgAppEncoder,
)
from coreos_py.etcd.reads import CAPABILITY, CAPABILITY_HEADER
from coreos_py.http.client import TransportError
from coreos_py.http.url import parse_endpoint
from coreos_py.raft.types import MsgType

if TYPE_CHECKING:
    from coreos_py.etcd.peer import PeerStatus, URLPicker
    from coreos_py.etcd.transport import Transport
    from coreos_py.http.aclient import AsyncReply
    from coreos_py.http.exchange import Pending
    from coreos_py.raft.types import Message

READ_TIMEOUT_S = 5.0
HEARTBEAT_INTERVAL_S = READ_TIMEOUT_S / 3
RETRY_S = 0.1
BACKLOG_BYTES_MAX = 64 << 20
HOLD_S = 0.005

INCOMPATIBLE = "incompatible version"
CLUSTER_MISMATCH = "cluster ID mismatch"

log = logging.getLogger("rafthttp")


class StreamKind(StrEnum):
    """What a stream carries; the value is its place in the URL."""

    MESSAGE = "message"
    MSGAPP = "msgapp"

    @property
    def title(self) -> str:  # type: ignore[override]  # str has a method of that name
        """The name in log lines."""
        return "stream Message" if self is StreamKind.MESSAGE else "stream MsgApp v2"

    @property
    def way(self) -> str:
        """The name in metrics."""
        return "message" if self is StreamKind.MESSAGE else "msgappv2"


class StreamWriter:
    """One stream that a peer has dialled.

    A follower answers every commit index with an append that repeats what the leader knows. Such
    an answer waits a moment for the next message: to send it, and for the leader to wake up for
    it, would cost as much as one that says something.
    """

    def __init__(self, kind: StreamKind, pending: Pending) -> None:
        self.kind = kind
        self._pending = pending
        self._encoder = MessageEncoder() if kind is StreamKind.MESSAGE else MsgAppEncoder()
        self._held = b""
        self._flushing = False
        self._acknowledged = (0, 0)

    @property
    def is_open(self) -> bool:
        """False once the peer is gone."""
        return not self._pending.closed

    def write(self, message: Message) -> int:
        """Send one message; its size, or 0 if the peer reads too slowly to take it."""
        if self._pending.buffered > BACKLOG_BYTES_MAX:
            return 0
        data = self._encoder.encode(message)
        if message.type == MsgType.APP_RESP and self._is_known(message):
            self._held += data
            if not self._flushing:
                self._flushing = True
                asyncio.get_running_loop().call_later(HOLD_S, self._flush)
        elif self._held:
            held, self._held = self._held, b""
            self._pending.write(held + data)
        else:
            self._pending.write(data)
        return len(data)

    def _is_known(self, message: Message) -> bool:
        """Whether an answer to an append has been given already."""
        answer = (message.term, message.index)
        if message.reject or answer > self._acknowledged:
            self._acknowledged = (message.term, 0) if message.reject else answer
            return False
        return True

    def _flush(self) -> None:
        self._flushing = False
        held, self._held = self._held, b""
        self._pending.write(held)

    def heartbeat(self) -> None:
        """Show the peer that the stream is alive."""
        self._pending.write(self._encoder.heartbeat)

    def close(self) -> None:
        """End the stream."""
        self._pending.end()


class StreamReader:
    """Keeps one stream of a peer dialled and hands its messages to the transport."""

    def __init__(
        self,
        hub: Transport,
        kind: StreamKind,
        number: int,
        *,
        picker: URLPicker,
        status: PeerStatus,
    ) -> None:
        self._hub = hub
        self._kind = kind
        self._number = number
        self._picker = picker
        self._status = status
        self._last_s = 0.0
        self._reply: AsyncReply | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Hang up and dial no more."""
        self._task.cancel()
        if self._reply is not None:
            self._reply.close()

    async def _run(self) -> None:
        while True:
            try:
                reply = await self._dial()
            except TransportError as error:
                self._status.deactivate(f"dial {self._number:x} on {self._kind.title}", str(error))
            else:
                self._status.activate()
                reason = await self._read(reply)
                if reason:
                    self._status.deactivate(f"read {self._number:x} on {self._kind.title}", reason)
            await asyncio.sleep(RETRY_S)

    async def _dial(self) -> AsyncReply:
        url = self._picker.pick()
        hub = self._hub
        target = f"/raft/stream/{self._kind}/{hub.id:x}"
        headers = [*hub.headers(), ("X-Raft-To", f"{self._number:x}")]
        try:
            reply = await hub.client.stream(
                "GET",
                parse_endpoint(url),
                target,
                headers=headers,
                timeout_s=hub.dial_timeout_s + READ_TIMEOUT_S,
            )
            if reply.status == 200:
                return reply
            body = await _short_body(reply)
        except (TransportError, ValueError) as error:
            self._picker.unreachable(url)
            raise TransportError(str(error)) from None
        self._picker.unreachable(url)
        raise TransportError(self._refusal(reply, body))

    def _refusal(self, reply: AsyncReply, body: str) -> str:
        """Why the peer does not want this stream; being removed ends the process."""
        number = self._number
        if reply.status == 410:
            self._hub.on_removed()
            return "the member has been permanently removed from the cluster"
        if reply.status == 404:
            return f"remote member {number:x} could not recognize local member"
        if reply.status == 412:
            if body == INCOMPATIBLE:
                self._hub.complain(
                    number,
                    f"request sent was ignored by peer {number:x} (server version incompatible)",
                )
            elif body == CLUSTER_MISMATCH:
                remote = reply.get("X-Etcd-Cluster-Id")
                self._hub.complain(
                    number,
                    f"request sent was ignored (cluster ID mismatch: remote[{number:x}]={remote}, "
                    f"local={self._hub.cluster_id:x})",
                )
            return body or "precondition failed"
        return f"unhandled http status {reply.status}"

    async def _read(self, reply: AsyncReply) -> str:
        """Take messages until the stream ends; why it did, empty if the peer closed it."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[str] = loop.create_future()
        hub = self._hub
        decoder: MessageDecoder | MsgAppDecoder = (
            MessageDecoder()
            if self._kind is StreamKind.MESSAGE
            else MsgAppDecoder(hub.id, self._number)
        )

        def on_data(piece: bytes) -> None:
            self._last_s = loop.time()
            try:
                for message in decoder.feed(piece):
                    hub.receive(message, len(piece))
            except WireError as error:
                if not ended.done():
                    ended.set_result(str(error))

        def on_end(error: TransportError | None) -> None:
            if not ended.done():
                ended.set_result("" if error is None else str(error))

        self._last_s = loop.time()
        self._reply = reply
        reply.receive(on_data, on_end)
        try:
            while not ended.done():
                left_s = self._last_s + READ_TIMEOUT_S - loop.time()
                if left_s <= 0:
                    return "i/o timeout"
                await asyncio.wait((ended,), timeout=left_s)
            return ended.result()
        finally:
            self._reply = None
            reply.close()


async def _short_body(reply: AsyncReply) -> str:
    async with asyncio.timeout(READ_TIMEOUT_S):
        try:
            return (await reply.read_all()).decode("utf-8", "replace").strip()
        except TransportError:
            return ""
        finally:
            reply.close()


def request_headers(
    *, local: int, cluster_id: int, peer_urls: tuple[str, ...]
) -> list[tuple[str, str]]:
    """What every request to a peer says about its sender."""
    return [
        ("X-Server-From", f"{local:x}"),
        ("X-Server-Version", version.SERVER),
        ("X-Min-Cluster-Version", version.MIN_CLUSTER),
        ("X-Etcd-Cluster-ID", f"{cluster_id:x}"),
        ("X-PeerURLs", ",".join(peer_urls)),
        (CAPABILITY_HEADER, CAPABILITY),
    ]
