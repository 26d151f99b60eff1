"""A watch of etcd 3 as the v2 API's events, without a gap over any number of streams.

Pure: made for a key, told what the stream says, asked for events and for the request that goes on
where the last stream ended. Events of one revision share a modified_index; all of them are handed
out, although the v2 API would ask from the index after it.
"""

from __future__ import annotations

from collections import deque

from coreos_py.base.errors import EVENT_INDEX_CLEARED, StoreError
from coreos_py.etcdclient.model import Node, Result
from coreos_py.etcdclient.v3map import below, clean
from coreos_py.etcdclient.v3wire import UNKNOWN, GatewayError, Lines, Rpc, b64, number, unb64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PERMISSION = 7


class Watch:
    """The events of a key, or of everything below a directory, from `start` or from now on."""

    def __init__(self, path: str, *, start: int = 0, recursive: bool = False) -> None:
        self._key = clean(path)
        self._recursive = recursive
        self._start = start
        self._events: deque[Result] = deque()
        self._lines = Lines()
        self._last = 0
        self._seen = 0
        # The revision at which the first stream began, 0 before that.
        self.began_at = 0

    @property
    def goes_on_at(self) -> int:
        """The index at which a caller who took the last event goes on."""
        return self._last + 1 if self._last else 0

    def request(self) -> Rpc:
        """What to ask a new stream for."""
        self._lines = Lines()
        first, end = below(self._key) if self._recursive else (self._key, "")
        wanted: dict[str, Any] = {"key": b64(first), "prev_kv": True, "progress_notify": True}
        if end:
            wanted["range_end"] = b64(end)
        if self._start:
            wanted["start_revision"] = str(self._start)
        return Rpc("/watch", {"create_request": wanted})

    def take(self) -> Result | None:
        """The next event, None while there is none."""
        if not self._events:
            return None
        event = self._events.popleft()
        self._last = event.node.modified_index
        return event

    def feed(self, data: bytes) -> bool:
        """What the stream says; StoreError 401, or GatewayError, when it ends the watch.

        True when it said more than that it has begun.
        """
        messages = self._lines.feed(data)
        for message in messages:
            self._note(message)
        return any("created" not in message for message in messages)

    def end(self) -> None:
        """The stream has ended; GatewayError when it says why."""
        self._lines.end()

    def _note(self, message: dict[str, Any]) -> None:
        header = message.get("header", {})
        revision = number(header.get("revision"))
        self._seen = max(self._seen, revision)
        if compacted := number(message.get("compact_revision")):
            cause = f"the requested history has been cleared [{compacted}/{self._start}]"
            # The header of this message may be older than what was removed.
            raise StoreError(EVENT_INDEX_CLEARED, cause, max(self._seen, compacted))
        if message.get("created") and not message.get("canceled"):
            self.began_at = self.began_at or revision
        if message.get("canceled"):
            reason = str(message.get("cancel_reason") or "watch was cancelled")
            _, _, text = reason.rpartition("desc = ")
            raise GatewayError(_PERMISSION if "PermissionDenied" in reason else UNKNOWN, text)
        events = message.get("events", ())
        for event in events:
            found = _event(event, header)
            self._events.append(found)
            self._start = max(self._start, found.node.modified_index + 1)
        # What has just begun, or only reports progress, is level with the store.
        if not events and (not message.get("created") or not self._start):
            self._start = max(self._start, revision + 1)


def _event(event: dict[str, Any], header: dict[str, Any]) -> Result:
    kv, before = event.get("kv", {}), event.get("prev_kv")
    is_gone = event.get("type") == "DELETE"
    data = {"key": unb64(kv.get("key")), "modifiedIndex": number(kv.get("mod_revision"))}
    if is_gone:
        # Nobody tells a key that was deleted from one that expired: it had a TTL.
        action = "expire" if before and number(before.get("lease")) else "delete"
    else:
        action = "create" if number(kv.get("version")) == 1 else "set"
        data["value"] = unb64(kv.get("value"))
        data["createdIndex"] = number(kv.get("create_revision"))
    return Result(
        action,
        Node(data),
        None if not before else _before(before),
        etcd_index=number(header.get("revision")),
        raft_term=number(header.get("raft_term")),
    )


def _before(kv: dict[str, Any]) -> Node:
    return Node(
        {
            "key": unb64(kv.get("key")),
            "value": unb64(kv.get("value")),
            "createdIndex": number(kv.get("create_revision")),
            "modifiedIndex": number(kv.get("mod_revision")),
        }
    )
