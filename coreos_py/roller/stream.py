"""Server-sent events: dashboards hear what has changed, not how.

Changes are gathered for a moment, so that a thousand machines checking in are one event. A browser
that does not read misses nothing it could not ask for again: it gets one event about everything.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from coreos_py.base import gojson
from coreos_py.http.message import Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coreos_py.http.exchange import Pending

INTERVAL_S = 0.25
HEARTBEAT_S = 15.0
AGE_MAX_S = 1800.0  # then the browser comes again, and must still be allowed to
SUBSCRIBERS_MAX = 500
BACKLOG_MAX = 16 << 10
HEADERS = (
    ("Content-Type", "text/event-stream"),
    ("Cache-Control", "no-store"),
    ("X-Accel-Buffering", "no"),
    ("X-Content-Type-Options", "nosniff"),
)
_FULL = Response(
    503,
    (("Content-Type", "text/plain; charset=utf-8"), ("Retry-After", "30")),
    b"too many event streams\n",
)
_BEAT = b": beat\n\n"


class Stream:
    """All who listen. For the event loop's thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._listeners: dict[Pending, bool] = {}  # and whether they have missed something
        self._changes: dict[str, set[str]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._heart = self._loop.call_later(HEARTBEAT_S, self._beat)

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def subscribe(self, pending: Pending) -> None:
        """Send events to this client until it goes away."""
        if len(self._listeners) >= SUBSCRIBERS_MAX:
            pending.complete(_FULL)
            return
        self._listeners[pending] = False
        pending.on_close(lambda: self._forget(pending))
        self._loop.call_later(AGE_MAX_S, self._end, pending)
        pending.start(200, HEADERS)
        pending.write(b"retry: 2000\n\n")

    def changed(self, changes: Iterable[tuple[str, str]]) -> None:
        """Tell, soon, that records of this kind and application are not what they were."""
        if not self._listeners:
            return
        for kind, app_id in changes:
            self._changes.setdefault(app_id, set()).add(kind)
        if self._changes and self._timer is None:
            self._timer = self._loop.call_later(INTERVAL_S, self._flush)

    def close(self) -> None:
        """End every stream."""
        self._heart.cancel()
        if self._timer is not None:
            self._timer.cancel()
        for pending in list(self._listeners):
            self._end(pending)

    def _flush(self) -> None:
        self._timer = None
        changes, self._changes = self._changes, {}
        text = "".join(event(sorted(kinds), app_id) for app_id, kinds in sorted(changes.items()))
        for pending, has_missed in list(self._listeners.items()):
            if pending.buffered > BACKLOG_MAX:
                self._listeners[pending] = True
                continue
            self._listeners[pending] = False
            pending.write((event([], "") if has_missed else text).encode())

    def _beat(self) -> None:
        self._heart = self._loop.call_later(HEARTBEAT_S, self._beat)
        for pending, has_missed in list(self._listeners.items()):
            if pending.buffered <= BACKLOG_MAX:
                self._listeners[pending] = False
                pending.write(event([], "").encode() if has_missed else _BEAT)

    def _end(self, pending: Pending) -> None:
        if pending in self._listeners:
            self._forget(pending)
            pending.end()

    def _forget(self, pending: Pending) -> None:
        self._listeners.pop(pending, None)


def event(kinds: list[str], app_id: str) -> str:
    """One event; without kinds it says that everything has to be looked up again."""
    data = gojson.dumps({"kinds": kinds, "app": app_id} if kinds else {})
    return f"event: change\ndata: {data}\n\n"
