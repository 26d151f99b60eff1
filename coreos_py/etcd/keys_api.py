"""/v2/keys: from an HTTP request to the store or the log, and back to the client's bytes.

The hot path of the server: a plain GET goes from target to reply without a copy of anything but
its bytes. Mirrors keysHandler of etcd 2.3.8's etcdhttp/client.go.
"""

from __future__ import annotations

import asyncio
from time import monotonic, time_ns
from typing import TYPE_CHECKING

from coreos_py.base.errors import EVENT_INDEX_CLEARED, INVALID_FORM, RAFT_INTERNAL, StoreError
from coreos_py.etcd import keys_request, replies
from coreos_py.etcd.keys_request import QuietRequest
from coreos_py.etcd.quota import Quota
from coreos_py.etcd.watch_replies import Progress, ReplayReply, WatchReply
from coreos_py.http.exchange import Pending
from coreos_py.http.message import Request, Response
from coreos_py.store import event as ev

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.etcd import pb
    from coreos_py.etcd.auth.gate import Gate
    from coreos_py.etcd.keys_request import WatchWishes
    from coreos_py.etcd.server import Server
    from coreos_py.store.event import Event

PREFIX = keys_request.PREFIX
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
        self._progress = Progress(server.store, call_later=_call_later, now=monotonic)

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
                    return self._watch(parsed, keys_request.watch_wishes(query), extra)
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

    def _watch(self, parsed: pb.Request, wishes: WatchWishes, extra: bytes) -> Pending:
        self._requests.watches += 1
        store = self._store
        reply: WatchReply | ReplayReply
        # Who wants to hear of progress must not be left with a stream that has ended unseen.
        if parsed.stream and parsed.since and (wishes.replay or wishes.progress_s):
            events, watcher = store.replay(
                parsed.path, recursive=parsed.recursive, since_index=parsed.since
            )
            reply = ReplayReply(watcher, self.head(watcher.start_index, extra), events)
        else:
            watcher = store.watch(
                parsed.path,
                recursive=parsed.recursive,
                stream=parsed.stream,
                since_index=parsed.since,
                strict=wishes.progress_s > 0,
            )
            headers = self.head(watcher.start_index, extra)
            reply = WatchReply(watcher, headers, stream=parsed.stream)
        if wishes.progress_s:
            self._progress.follow(reply, watcher, interval_s=wishes.progress_s)
        return reply


def _call_later(delay_s: float, callback: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_later(delay_s, callback)


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
