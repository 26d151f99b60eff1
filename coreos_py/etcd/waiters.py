"""Who waits for which entry of the log, and what becomes of those who wait too long."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Protocol

from coreos_py.base.errors import RAFT_INTERNAL, StoreError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from coreos_py.etcd.pb import Request
    from coreos_py.store.event import Event

    Done = Callable[[Event | None, Exception | None], None]

SWEEP_INTERVAL_S = 0.1


class Waiter(Protocol):
    """Somebody who waits for an entry; `request` is None for a configuration change."""

    @property
    def request(self) -> Request | None: ...
    @property
    def start_s(self) -> float: ...

    def done(self, event: Event | None, error: Exception | None) -> None: ...


class CallbackWaiter:
    """A waiter that only passes the outcome on."""

    __slots__ = ("done", "request", "start_s")

    def __init__(self, request: Request | None, done: Done) -> None:
        self.request = request
        self.done = done
        self.start_s = monotonic()


class Waiters:
    """The waiters by the bytes of their entries, in order of arrival."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        timeout_s: float,
        cause: Callable[[float], str],
        on_expired: Callable[[], None],
    ) -> None:
        """`cause` tells who has waited since a time why it was in vain."""
        self.by_entry: dict[bytes, Waiter] = {}
        self.expired = 0
        self._loop = loop
        self._timeout_s = timeout_s
        self._cause = cause
        self._on_expired = on_expired
        self._sweeping = False

    def add(self, entry: bytes, waiter: Waiter) -> None:
        """Have somebody wait, but not for ever."""
        self.by_entry[entry] = waiter
        if not self._sweeping:
            self._sweeping = True
            self._loop.call_later(SWEEP_INTERVAL_S, self._sweep)

    def drain(self) -> list[Waiter]:
        """Everybody, who then waits no more."""
        waiters = list(self.by_entry.values())
        self.by_entry.clear()
        return waiters

    def _sweep(self) -> None:
        """Answer those who have waited too long."""
        now_s = monotonic()
        late = []
        for entry, waiter in self.by_entry.items():
            if now_s - waiter.start_s < self._timeout_s:
                break
            late.append(entry)
        for entry in late:
            waiter = self.by_entry.pop(entry)
            waiter.done(None, StoreError(RAFT_INTERNAL, self._cause(waiter.start_s)))
        if late:
            self.expired += len(late)
            self._on_expired()
        self._sweeping = bool(self.by_entry)
        if self._sweeping:
            self._loop.call_later(SWEEP_INTERVAL_S, self._sweep)
