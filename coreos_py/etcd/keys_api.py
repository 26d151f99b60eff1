"""/v2/keys: from an HTTP request to the store or the log, and back to the client's bytes.

The hot path of the server: a plain GET goes from target to reply without a copy of anything but
its bytes. Mirrors keysHandler of etcd 2.3.8's etcdhttp/client.go.
"""

from __future__ import annotations

from collections import deque
from time import monotonic, time_ns
from typing import TYPE_CHECKING

from coreos_py.base.errors import EVENT_INDEX_CLEARED, INVALID_FORM, RAFT_INTERNAL, StoreError
from coreos_py.etcd import keys_request, replies
from coreos_py.etcd.keys_request import QuietRequest
from coreos_py.etcd.quota import Quota
from coreos_py.http.exchange import Pending
from coreos_py.http.message import Request, Response
from coreos_py.store import event as ev

if TYPE_CHECKING:
    from coreos_py.etcd import pb
    from coreos_py.etcd.auth.gate import Gate
    from coreos_py.etcd.server import Server
    from coreos_py.store.event import Event
    from coreos_py.store.watch import Watcher

PREFIX = keys_request.PREFIX
REPLAY_AHEAD_BYTES = 128 << 10
REPLAY_BEHIND_EVENTS = 1000
_METHODS = frozenset(("HEAD", "GET", "PUT", "POST", "DELETE"))
_LOGGED = frozenset(("PUT", "POST", "DELETE"))
_QUIETED = frozenset((ev.SET, ev.CREATE, ev.UPDATE, ev.COMPARE_AND_SWAP))


class KeysAPI:
    """Answers requests below /v2/keys. `path` is decoded and clean."""

    def __init__(self, server: Server, gate: Gate) -> None:
        self._server = server
        self._gate = gate
        self._store = server.store
        self._submit = server.submit
        self._requests = server.requests
        self.succeeded = server.requests.succeeded
        self.cluster_header = b"X-Etcd-Cluster-Id: %x\r\n" % server.cluster.id
        limit = server.config.quota_bytes
        self._quota = Quota(server.store, limit) if limit else None
        self._head = replies.JSON_TYPE + self.cluster_header

    def handle(
        self, request: Request, path: str, *, query: bytes, extra: bytes
    ) -> Response | Pending:
        """The reply, or a Pending for a write, a quorum read or a watch."""
        method = request.method
        if method not in _METHODS:
            return replies.not_allowed("HEAD", "GET", "PUT", "POST", "DELETE")
        server = self._server
        start_s = monotonic()
        try:
            parsed = keys_request.parse(
                method,
                path,
                query=query,
                content_type=request.headers.get(b"content-type", b""),
                body=request.body,
                request_id=server.next_id() if method != "GET" else 0,
                now_ns=time_ns(),
            )
            if self._gate.is_on():
                refusal = self._gate.check_key(
                    request,
                    path[len(PREFIX) :],
                    recursive=parsed.recursive,
                    streams=parsed.wait,
                    extra=extra,
                    again=lambda: self.handle(request, path, query=query, extra=extra),
                )
                if refusal is not None:
                    return refusal
            requests = self._requests
            if method in _LOGGED:
                requests.received[method] += 1
                if self._quota is not None:
                    self._quota.admit(parsed)
                reply = KeyReply(self, parsed, extra)
                self._submit(parsed, reply)
                return reply
            if method == "GET":
                if parsed.quorum:
                    parsed = parsed._replace(id=server.next_id(), method="QGET")
                    requests.received["QGET"] += 1
                    reply = KeyReply(self, parsed, extra)
                    server.read(reply)
                    return reply
                if parsed.wait:
                    if parsed.stream and parsed.since and keys_request.replays(query):
                        return self._replay(parsed, extra)
                    return self._watch(parsed, extra)
            requests.received[method] += 1
            event = self._store.get(
                parsed.path, recursive=parsed.recursive, sort=parsed.sorted, now_ns=time_ns()
            )
        except StoreError as error:
            self._requests.fail(method, error.status)
            headers = self.cluster_header
            if error.code == EVENT_INDEX_CLEARED:
                headers += b"X-Etcd-Oldest-Index: %d\r\n" % self._store.oldest_index
            return replies.store_error(error, headers=headers)
        reply_line = event.to_line()
        requests.succeeded[method](monotonic() - start_s)
        return Response(200, self.head(event.etcd_index, b""), reply_line)

    def head(self, etcd_index: int, extra: bytes) -> bytes:
        """The headers of a success."""
        server = self._server
        return b"%bX-Etcd-Index: %d\r\nX-Raft-Index: %d\r\nX-Raft-Term: %d\r\n%b" % (
            self._head,
            etcd_index,
            server.index,
            server.term,
            extra,
        )

    def failed(self, method: str, status: int) -> None:
        """An operation that went through the log was refused."""
        self._requests.fail(method, status)

    def too_large(self) -> Response:
        """A form beyond the limit."""
        error = StoreError(INVALID_FORM, "http: POST too large")
        return replies.store_error(error, headers=self.cluster_header)

    def _watch(self, parsed: pb.Request, extra: bytes) -> Pending:
        self._requests.watches += 1
        watcher = self._store.watch(
            parsed.path,
            recursive=parsed.recursive,
            stream=parsed.stream,
            since_index=parsed.since,
        )
        return WatchReply(watcher, self.head(watcher.start_index, extra), stream=parsed.stream)

    def _replay(self, parsed: pb.Request, extra: bytes) -> Pending:
        self._requests.watches += 1
        events, watcher = self._store.replay(
            parsed.path, recursive=parsed.recursive, since_index=parsed.since
        )
        return ReplayReply(watcher, self.head(watcher.start_index, extra), events)


class KeyReply(Pending):
    """The reply to an operation that goes through the log; the server's waiter for it."""

    __slots__ = ("_api", "_extra", "request", "start_s")

    def __init__(self, api: KeysAPI, request: pb.Request, extra: bytes) -> None:
        super().__init__()
        self._api = api
        self._extra = extra
        self.request = request
        self.start_s = monotonic()

    def done(self, event: Event | None, error: Exception | None) -> None:
        """The operation was applied, refused or given up."""
        api = self._api
        if event is not None:
            headers = api.head(event.etcd_index, self._extra)
            status = 201 if event.is_created else 200
            line = event.to_line()
            if type(self.request) is QuietRequest and event.action in _QUIETED:
                line = b'{"action":"%b"}\n' % event.action.encode()
            self.complete(Response(status, headers, line))
            api.succeeded[self.request.method](monotonic() - self.start_s)
            return
        if not isinstance(error, StoreError):
            error = StoreError(RAFT_INTERNAL, "received response with no Event/Watcher!")
        api.failed(self.request.method, error.status)
        headers = api.cluster_header + self._extra
        self.complete(replies.store_error(error, headers=headers))


class WatchReply(Pending):
    """The reply to a watch: headers at once, events as they come."""

    __slots__ = ("_stream", "_watcher")

    def __init__(self, watcher: Watcher, headers: bytes, *, stream: bool) -> None:
        super().__init__()
        self._watcher = watcher
        self._stream = stream
        self.start(200, headers)
        self.on_close(watcher.remove)
        watcher.on_event(self._on_event, on_close=self.end)

    def _on_event(self, event: Event) -> None:
        self.write(event.to_line())
        if not self._stream:
            self._watcher.remove()
            self.end()


class ReplayReply(Pending):
    """The reply to a stream that starts in the past: history as the client takes it, then live."""

    __slots__ = ("_behind_max", "_pumping", "_waiting", "_watcher")

    def __init__(self, watcher: Watcher, headers: bytes, events: list[Event]) -> None:
        super().__init__()
        self._watcher = watcher
        self._waiting = deque(events)
        self._behind_max = len(events) + REPLAY_BEHIND_EVENTS
        self._pumping = True
        self.start(200, headers)
        self.on_close(watcher.remove)
        watcher.on_event(self._on_event, on_close=self.end)
        self.on_drain(self._pump)

    def _on_event(self, event: Event) -> None:
        self._waiting.append(event)
        if not self._pumping:
            self._pump()
        elif len(self._waiting) > self._behind_max:
            self._waiting.clear()
            self._watcher.remove()
            self.cut()

    def _pump(self) -> None:
        """Write what waits while there is room."""
        waiting = self._waiting
        while waiting:
            self.write(waiting.popleft().to_line())
            if self.buffered > REPLAY_AHEAD_BYTES:
                self._pumping = True
                self.on_drain(self._pump)
                return
        self._pumping = False
