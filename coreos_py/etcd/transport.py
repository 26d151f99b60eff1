"""The wires between members: who the peers are, messages out, and the /raft endpoints in.

Mirrors rafthttp/transport.go and http.go of etcd 2.3.8; the statuses and texts of refusals are what
a real member acts upon.
"""

from __future__ import annotations

import logging
from time import time_ns
from typing import TYPE_CHECKING, Protocol

from coreos_py.base import gojson, gotime
from coreos_py.base.errors import WireError
from coreos_py.etcd import rafthttp_codec, replies, version
from coreos_py.etcd.membership import parse_id
from coreos_py.etcd.metrics import SentMessages
from coreos_py.etcd.pb import decode_message
from coreos_py.etcd.peer import Peer, Remote
from coreos_py.etcd.probe import Prober
from coreos_py.etcd.reads import CAPABILITY, CAPABILITY_HEADER
from coreos_py.etcd.streams import CLUSTER_MISMATCH, INCOMPATIBLE, StreamKind, request_headers
from coreos_py.http.exchange import Pending
from coreos_py.http.message import Request, Response
from coreos_py.raft.types import MsgType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coreos_py.etcd.stats import LeaderStats, ServerStats
    from coreos_py.http.aclient import AsyncHTTPClient
    from coreos_py.raft.types import Message

PREFIX = "/raft"
STREAM_PREFIX = "/raft/stream/"
SNAPSHOT_PATH = "/raft/snapshot"
REMOTES_MAX = 64

log = logging.getLogger("rafthttp")


class Owner(Protocol):
    """What the transport wants of the server."""

    stats: ServerStats
    leader_stats: LeaderStats

    def receive(self, message: Message, size: int) -> bool: ...
    def report_unreachable(self, number: int) -> None: ...
    def report_snapshot(self, number: int, *, ok: bool) -> None: ...
    def is_removed(self, number: int) -> bool: ...
    def removed(self) -> None: ...


class Transport:
    """Connections to every other member."""

    def __init__(
        self,
        owner: Owner,
        *,
        number: int,
        cluster_id: int,
        peer_urls: tuple[str, ...],
        client: AsyncHTTPClient,
        dial_timeout_s: float,
    ) -> None:
        self._owner = owner
        self.id = number
        self.cluster_id = cluster_id
        self.client = client
        self.dial_timeout_s = dial_timeout_s
        self._headers = request_headers(local=number, cluster_id=cluster_id, peer_urls=peer_urls)
        self._cluster_header = f"X-Etcd-Cluster-Id: {cluster_id:x}\r\n".encode()
        self._stream_headers = (
            f"X-Server-Version: {version.SERVER}\r\nX-Etcd-Cluster-Id: {cluster_id:x}\r\n".encode()
        )
        self._peers: dict[int, Peer] = {}
        self._remotes: dict[int, Remote] = {}
        self._prober = Prober(client)
        self.sent = SentMessages()
        self._complaints: dict[int, str] = {}

    # -- membership --------------------------------------------------------------------------------

    def add_peer(self, number: int, urls: tuple[str, ...]) -> None:
        """A member to talk to; known ones stay as they are."""
        if number not in self._peers:
            stats = self._owner.leader_stats.follower(number)
            self._peers[number] = Peer(self, number, urls, stats=stats)
            self._prober.add(number, urls)

    def add_remote(self, number: int, urls: tuple[str, ...]) -> None:
        """A member that is not known as a peer (yet) and wants to catch up."""
        known = number in self._peers or number in self._remotes or number == self.id
        if not known and len(self._remotes) < REMOTES_MAX:
            self._remotes[number] = Remote(self, number, urls)

    def update_peer(self, number: int, urls: tuple[str, ...]) -> None:
        """A peer has moved."""
        peer = self._peers.get(number)
        if peer is not None:
            peer.update(urls)
            self._prober.add(number, urls)

    def remove_peer(self, number: int) -> None:
        """A peer is no member any more."""
        peer = self._peers.pop(number, None)
        if peer is not None:
            peer.stop()
            self._prober.remove(number)
            self._owner.leader_stats.forget(number)

    def set_peers(self, peers: Mapping[int, tuple[str, ...]]) -> None:
        """The peers are exactly these."""
        for number in [known for known in self._peers if known not in peers]:
            self.remove_peer(number)
        for number, urls in peers.items():
            self.add_peer(number, urls)
            self.update_peer(number, urls)

    def stop(self) -> None:
        """Drop every connection."""
        self._prober.stop()
        for peer in self._peers.values():
            peer.stop()
        for remote in self._remotes.values():
            remote.stop()
        self._peers.clear()
        self._remotes.clear()
        self.client.close()

    # -- sending -----------------------------------------------------------------------------------

    def send(self, messages: Sequence[Message]) -> None:
        """Send each message on its way; what cannot be sent is dropped."""
        for message in messages:
            target = self._peers.get(message.to) or self._remotes.get(message.to)
            if target is not None:
                target.send(message)

    def connected_since(self, number: int, since_s: float) -> bool:
        """Whether the connection with a peer has worked ever since."""
        peer = self._peers.get(number)
        active_s = peer.status.active_since_s if peer is not None else None
        return active_s is not None and active_s < since_s

    @property
    def reads_by_index(self) -> bool:
        """Whether every peer was last heard of as one that answers read rounds."""
        return all(peer.reads_by_index for peer in self._peers.values())

    def headers(self) -> list[tuple[str, str]]:
        """What a request to a peer says about us."""
        return self._headers

    def complain(self, number: int, text: str) -> None:
        """Log what a peer refuses us for, once."""
        if self._complaints.get(number) != text:
            self._complaints[number] = text
            log.error("%s", text)

    # -- for peers ---------------------------------------------------------------------------------

    def receive(self, message: Message, size: int) -> None:
        """A message came in on a stream."""
        self._owner.receive(message, size)

    def on_removed(self) -> None:
        """A peer says that this member was removed."""
        self._owner.removed()

    def on_unreachable(self, number: int) -> None:
        """Something could not be delivered."""
        self._owner.report_unreachable(number)

    def on_snapshot_sent(self, number: int, *, ok: bool) -> None:
        """A snapshot was delivered, or was not."""
        self._owner.report_snapshot(number, ok=ok)

    def on_append_sent(self, size: int) -> None:
        """An append has left."""
        self._owner.stats.sent(size, now_ns=time_ns())

    # -- serving -----------------------------------------------------------------------------------

    def handle(self, request: Request, path: str) -> Response | Pending:
        """A request on /raft or below it."""
        if path == PREFIX:
            return self._handle_post(request)
        if path.startswith(STREAM_PREFIX):
            return self._handle_stream(request, path)
        if path == SNAPSHOT_PATH:
            return self._handle_database(request)
        if path == PREFIX + "/probing":
            now = gotime.format_ns(time_ns())
            body = gojson.dumps({"OK": True, "Now": now}) + "\n"
            return Response(200, replies.TEXT_TYPE, body.encode())  # Go guesses the type, and so
        if path == STREAM_PREFIX.rstrip("/"):
            return replies.redirect(STREAM_PREFIX, method=request.method)
        return replies.not_found()

    def _refuse(self, request: Request, headers: bytes) -> Response | None:
        """Check that sender and receiver belong together."""
        problem = version.incompatibility(
            request.get("X-Server-Version"),
            request.get("X-Min-Cluster-Version"),
            name=request.get("X-Server-From"),
        )
        if problem:
            log.error("request version incompatibility (%s)", problem)
            return replies.text_error(412, INCOMPATIBLE, headers=headers)
        got = request.get("X-Etcd-Cluster-Id")
        if got != f"{self.cluster_id:x}":
            log.error("request cluster ID mismatch (got %s want %x)", got, self.cluster_id)
            return replies.text_error(412, CLUSTER_MISMATCH, headers=headers)
        return None

    def _handle_post(self, request: Request) -> Response:
        if request.method != "POST":
            return replies.not_allowed("POST")
        headers = self._cluster_header
        refusal = self._refuse(request, headers)
        if refusal is not None:
            return refusal
        try:
            message = decode_message(request.body)
        except WireError as error:
            log.error("failed to unmarshal raft message (%s)", error)
            return replies.text_error(400, "error unmarshaling raft message", headers=headers)
        if not self._owner.receive(message, len(request.body)):
            text = "cannot process message from removed member"
            return replies.message(403, text, headers=headers)
        return Response(204, headers)

    def _handle_database(self, request: Request) -> Response:
        """Snapshots of the v3 preview come here; those of the keys come to /raft."""
        if request.method != "POST":
            return replies.not_allowed("POST")
        headers = self._cluster_header
        refusal = self._refuse(request, headers)
        if refusal is not None:
            return refusal
        try:
            message = rafthttp_codec.decode_frame(request.body)
        except WireError as error:
            text = f"failed to decode raft message ({error})"
            log.error("%s", text)
            return replies.text_error(400, text, headers=headers)
        if message.type != MsgType.SNAP:
            return replies.text_error(400, "wrong raft message type", headers=headers)
        text = "failed to save KV snapshot (this member keeps no v3 keys)"
        return replies.text_error(500, text, headers=headers)

    def _handle_stream(self, request: Request, path: str) -> Response | Pending:
        if request.method != "GET":
            return replies.not_allowed("GET")
        headers = self._stream_headers
        refusal = self._refuse(request, headers)
        if refusal is not None:
            return refusal
        word, slash, sender = path.removeprefix(STREAM_PREFIX).partition("/")
        if word not in (StreamKind.MESSAGE, StreamKind.MSGAPP) or not slash or "/" in sender:
            return replies.text_error(404, "invalid path", headers=headers)
        try:
            number = parse_id(sender)
        except ValueError as error:
            log.error("failed to parse from %s into ID (%s)", sender, error)
            return replies.text_error(404, "invalid from", headers=headers)
        if self._owner.is_removed(number):
            log.warning("rejected the stream from peer %x since it was removed", number)
            return replies.text_error(410, "removed member", headers=headers)
        peer = self._peers.get(number)
        if peer is None:
            return self._stranger(request, number)
        wanted = request.get("X-Raft-To")
        if wanted != f"{self.id:x}":
            log.error("streaming request ignored (ID mismatch got %s want %x)", wanted, self.id)
            return replies.text_error(412, "to field mismatch", headers=headers)
        pending = Pending()
        pending.start(200, headers)
        capable = CAPABILITY in request.get(CAPABILITY_HEADER).split(",")
        peer.attach(StreamKind(word), pending, reads_by_index=capable)
        return pending

    def _stranger(self, request: Request, number: int) -> Response:
        urls = tuple(url for url in request.get("X-PeerURLs").split(",") if url)
        if urls:
            self.add_remote(number, urls)
        self.complain(number, f"failed to find member {number:x} in cluster {self.cluster_id:x}")
        return replies.text_error(404, "error sender not found", headers=self._stream_headers)
