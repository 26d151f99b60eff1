"""The reboot locks of all groups, as locksmithctl knows them: who holds them, and letting go.

Reads etcd over the API that locksmith is told to use and changes what is there by the same
compare-and-swap; a lock that nobody has made yet is not made here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import unquote, unquote_plus

from coreos_py.base import gojson
from coreos_py.base.errors import KEY_NOT_FOUND, CoreosError, StoreError, Unavailable
from coreos_py.http.message import Request, Response
from coreos_py.locksmith import notes
from coreos_py.locksmith.connect import open_keys
from coreos_py.locksmith.lock import Lock
from coreos_py.locksmith.semaphore import PREFIX, BadSemaphore, HolderMissing, Semaphore, parse
from coreos_py.roller.db import instances
from coreos_py.roller.rest.ask import refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coreos_py.etcdclient.model import Node
    from coreos_py.http.exchange import Pending
    from coreos_py.roller.call import Call
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.worker import Worker

    Admit: TypeAlias = Callable[[Tx, Call], object]  # raises the answer to who may not

TIMEOUT_S = 5.0
POLL_S = 5.0
_PATH = re.compile(r"/api/locks(?:/([^/]*)(/unlock)?)?")
_JSON = (
    ("Content-Type", "application/json"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
)
_MAX_LIMIT = (1 << 31) - 1
_SECOND_NS = 1_000_000_000

log = logging.getLogger(__name__)


class Standing(NamedTuple):
    """A group's lock. `since_ns` has those holders whose time is known."""

    group: str
    semaphore: Semaphore | None  # None where the key holds something else
    since_ns: Mapping[str, int]


class Doors(NamedTuple):
    """What the locks need of the service."""

    worker: Worker
    call: Callable[[Request], Call]
    begin: Callable[[Request], Pending]
    may_read: Admit
    may_write: Admit
    changed: Callable[[], None]
    is_watched: Callable[[], bool]


class Locks:
    """The routes below /api/locks, and a look every few seconds while somebody watches."""

    def __init__(self, settings: Mapping[str, Any], doors: Doors) -> None:
        """`settings` are locksmith's for etcd. NoSetup."""
        self._client, self._keys = open_keys(settings, timeout_s=TIMEOUT_S)
        self._doors = doors
        self._one_at_a_time = threading.Lock()
        self._failure: tuple[float, CoreosError] | None = None  # when, and what
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: object = None
        self._start(self._watch())

    def route(self, request: Request) -> Response | Pending | None:
        """The answer to a request about locks, None for other paths."""
        found = _PATH.fullmatch(request.path)
        if found is None:
            return None
        group = None if found[1] is None else unquote(found[1])
        work = self._work(request, group, is_unlock=found[2] is not None)
        if work is None:
            return Response(405)
        pending = self._doors.begin(request)
        self._start(self._answer(pending, work, self._doors.call(request)))
        return pending

    def close(self) -> None:
        """Stop looking."""
        for task in list(self._tasks):
            task.cancel()
        if self._one_at_a_time.acquire(blocking=False):
            self._client.close()

    # -- the routes ------

    def _work(
        self, request: Request, group: str | None, *, is_unlock: bool
    ) -> Callable[[Call], Coroutine[None, None, Response]] | None:
        if group is None:
            return self._list if request.method in ("GET", "HEAD") else None
        if is_unlock and request.method == "POST":
            return lambda call: self._unlock(call, group)
        if not is_unlock and request.method == "PUT":
            return lambda call: self._set_max(call, group)
        return None

    async def _answer(
        self, pending: Pending, work: Callable[[Call], Coroutine[None, None, Response]], call: Call
    ) -> None:
        try:
            pending.complete(await self._admitted(call) or await work(call))
        except _Refusal as no:
            pending.complete(refusal(call, no.status, no.reason))
        except HolderMissing:
            pending.complete(refusal(call, 404, "this machine does not hold the lock"))
        except CoreosError as error:
            log.warning("locks: %s", error)
            pending.complete(refusal(call, 503, f"the reboot locks cannot be reached: {error}"))
        except Exception as error:  # noqa: BLE001 - the handler boundary: a fault becomes a 500
            log.error("locks: %s: %s", type(error).__name__, error)
            pending.complete(Response(500))

    async def _admitted(self, call: Call) -> Response | None:
        """The refusal, None if this client may."""
        is_read = call.request.method in ("GET", "HEAD")
        check = self._doors.may_read if is_read else self._doors.may_write

        def look(tx: Tx, call: Call) -> Response:
            check(tx, call)
            return Response(200)

        answer = await self._doors.worker.run(look, call, write=False)
        return None if answer.status == 200 else answer

    async def _list(self, call: Call) -> Response:
        found = await self._in_thread(self._read)
        ids = [item for lock in found if lock.semaphore for item in lock.semaphore.holders or ()]
        aliases: dict[str, str] = {}

        def look(tx: Tx, _call: Call) -> Response:
            known = [instances.find(tx, item) for item in ids]
            aliases.update((item.id, item.alias) for item in known if item is not None)
            return Response(200)

        if ids:
            await self._doors.worker.run(look, call, write=False)
        shown = [shape(lock, aliases, now_ns=time.time_ns()) for lock in found]
        return Response(200, _JSON, gojson.dumps({"groups": shown}).encode() + b"\n")

    async def _unlock(self, call: Call, group: str) -> Response:
        holder = _field(call, "holder", str)
        await self._change(group, lambda lock: lock.unlock(holder))
        log.info("locks: %s took the lock of group %r from %s", call.peer, group, holder)
        return Response(204)

    async def _set_max(self, call: Call, group: str) -> Response:
        limit = _field(call, "max", int)
        if not 0 <= limit <= _MAX_LIMIT:
            raise _Refusal(400, f"max must be from 0 to {_MAX_LIMIT}")
        await self._change(group, lambda lock: lock.set_limit(limit))
        log.info("locks: %s set the lock of group %r to %d", call.peer, group, limit)
        return Response(204)

    async def _change(self, group: str, change: Callable[[Lock], object]) -> None:
        def work() -> None:
            if all(lock.group != group for lock in self._read()):
                raise _Refusal(404, f"there is no lock of group {group!r}")
            change(Lock(self._keys, group=group))

        await self._in_thread(work)
        self._doors.changed()

    # -- etcd ------

    def _read(self) -> list[Standing]:
        try:
            tree = self._keys.read_tree(PREFIX)
        except StoreError as error:
            if error.code == KEY_NOT_FOUND:
                return []
            raise
        return standings(tree)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            if not self._doors.is_watched():
                continue
            with contextlib.suppress(CoreosError):
                found = await self._in_thread(self._read)
                if self._seen is not None and found != self._seen:
                    self._doors.changed()
                self._seen = found

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        """What `work` returns or raises; an etcd that is away is asked by one at a time, not by
        all who wait for it.
        """
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Any] = loop.create_future()

        def run() -> None:
            outcome = self._attempt(work)
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(_settle, result, *outcome)

        # Not a pool's thread: the process need not wait for it when it ends.
        threading.Thread(target=run, name="roller-locks", daemon=True).start()
        return await result

    def _attempt(self, work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
        asked_s = time.monotonic()
        with self._one_at_a_time:
            if self._failure is not None and self._failure[0] > asked_s:
                return None, self._failure[1]  # it failed while this one waited
            try:
                return work(), None
            except (Unavailable, OSError) as error:
                failure = error if isinstance(error, CoreosError) else Unavailable(str(error))
                self._failure = (time.monotonic(), failure)
                return None, failure
            except Exception as error:  # noqa: BLE001 - raised again where it is awaited
                return None, error

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _settle(result: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if result.done():
        return
    if error is None:
        result.set_result(value)
    else:
        result.set_exception(error)


class _Refusal(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def standings(tree: Node) -> list[Standing]:
    """Every lock below the locks' directory, the one without a group first."""
    found = [_standing("", tree)]
    groups = next((node for node in tree.nodes if node.key == f"{PREFIX}/groups"), None)
    for node in groups.nodes if groups is not None else ():
        found += [_standing(unquote_plus(node.key.rpartition("/")[2]), node)]
    return [lock for lock in found if lock is not None]


def _standing(group: str, directory: Node) -> Standing | None:
    by_name = {node.key.rpartition("/")[2]: node for node in directory.nodes if not node.dir}
    key = by_name.get("semaphore")
    if key is None:
        return None
    noted = by_name.get(notes.key_of("/semaphore").rpartition("/")[2])
    since = notes.parse(noted.value).at(key.modified_index) if noted is not None else {}
    try:
        return Standing(group, parse(key.value), dict(since))
    except BadSemaphore as error:
        log.warning("locks: the lock of group %r: %s", group, error)
        return Standing(group, None, {})


def shape(lock: Standing, aliases: Mapping[str, str], *, now_ns: int) -> dict[str, object]:
    """A lock as JSON tells it."""
    semaphore = lock.semaphore
    if semaphore is None:
        return {"group": lock.group, "max": None, "semaphore": None, "holders": []}
    return {
        "group": lock.group,
        "max": semaphore.limit,
        "semaphore": semaphore.available,
        "holders": list(_holders(lock, semaphore, aliases, now_ns)),
    }


def _holders(
    lock: Standing, semaphore: Semaphore, aliases: Mapping[str, str], now_ns: int
) -> Iterator[dict[str, object]]:
    for holder in semaphore.holders or ():
        since_ns = lock.since_ns.get(holder, 0)
        yield {
            "id": holder,
            "since_ts": _stamp(since_ns) if since_ns else None,
            "age_s": max(0, now_ns - since_ns) // _SECOND_NS if since_ns else None,
            "alias": aliases.get(holder) or None,
        }


def _stamp(ns: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ns // _SECOND_NS))


def _field(call: Call, name: str, kind: type[Any]) -> Any:
    """A field of the body; 400 if it is not there or of another type."""
    try:
        data = json.loads(call.request.body)
        value = data[name]
    except (ValueError, KeyError, TypeError, RecursionError):
        value = None
    if type(value) is not kind or value == "":
        what = "a text" if kind is str else "a number"
        raise _Refusal(400, f'the body must be {{"{name}": {what}}}')
    return value
