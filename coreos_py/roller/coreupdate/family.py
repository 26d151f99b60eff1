"""All of CoreUpdate that rollerd answers: the admin API, and what does not run in a transaction.

`upstream/sync` talks to other servers, `/db/backup` reads a whole file; `/admin/v1/init` has
nothing to do, because rollerd makes its tables when it starts.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import sqlite3
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from coreos_py.base import gojson
from coreos_py.base.errors import CoreosError
from coreos_py.http.message import Request, Response
from coreos_py.omaha.coreupdate import BASE_PATH, UPSTREAM_SYNC
from coreos_py.roller.coreupdate.ask import refusal
from coreos_py.roller.db.driver import POSTGRES
from coreos_py.roller.hosting import Sending
from coreos_py.roller.payloads import File
from coreos_py.roller.ranges import Part, Validators
from coreos_py.roller.rest.gate import Needs

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from coreos_py.http.exchange import Pending
    from coreos_py.roller.call import Call, Handler
    from coreos_py.roller.coreupdate.table import Api, Door
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.syncer import Report, Syncer
    from coreos_py.roller.worker import Worker

log = logging.getLogger(__name__)

_SYNC = f"{BASE_PATH}upstream/sync"
_BACKUP = "/db/backup"
_INIT = "/admin/v1/init"
_SYNC_WAIT_S = 100.0
_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
_JSON = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))


class Parts(NamedTuple):
    """What the family works with. `database` is a file or PostgreSQL's URL."""

    api: Api
    door: Door
    worker: Worker
    syncer: Syncer
    threads: ThreadPoolExecutor
    call: Callable[[Request], Call]
    begin: Callable[[Request], Pending]
    database: str


class CoreUpdate:
    """The family of routes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._running: set[asyncio.Task[None]] = set()

    def route(self, request: Request) -> Handler | Response | Pending | None:
        """What a request means; None for other paths."""
        if request.path == _SYNC and request.method == "POST":
            return self._start(request, self._sync)
        if request.path == _BACKUP and request.method == "GET":
            return self._start(request, self._backup)
        if request.path == _INIT and request.method == "GET":
            return Response(200, _TEXT, b"ok")
        return self._parts.api.route(request)

    def close(self) -> None:
        """Give up what is under way."""
        for task in list(self._running):
            task.cancel()

    def _start(
        self, request: Request, work: Callable[[Pending], Coroutine[None, None, None]]
    ) -> Pending:
        pending = self._parts.begin(request)
        task = asyncio.get_running_loop().create_task(self._run(request, pending, work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return pending

    async def _run(
        self,
        request: Request,
        pending: Pending,
        work: Callable[[Pending], Coroutine[None, None, None]],
    ) -> None:
        """The work, once it is known who asks for it."""
        parts = self._parts

        def admit(tx: Tx, call: Call) -> Response:
            parts.door.admit(tx, call, Needs.ADMIN)
            return Response(200)

        answer = await parts.worker.run(admit, parts.call(request), write=False)
        if answer.status != 200:
            pending.complete(answer)
            return
        try:
            await work(pending)
        except (CoreosError, OSError, sqlite3.Error) as err:
            log.error("%s: %s", request.path, err)
            pending.complete(refusal(500, str(err)))

    async def _sync(self, pending: Pending) -> None:
        """A round of the syncer; it goes on when nobody waits for it any more."""
        task = asyncio.ensure_future(self._parts.syncer.sync())
        done, _ = await asyncio.wait({task}, timeout=_SYNC_WAIT_S)
        if done:
            record = UPSTREAM_SYNC.write(**_told(task.result()))
        else:
            record = UPSTREAM_SYNC.write(status="running", detail="downloads take their time")
        pending.complete(Response(200, _JSON, gojson.dumps(record).encode() + b"\n"))

    async def _backup(self, pending: Pending) -> None:
        """A copy as of now, while others go on."""
        parts = self._parts
        if parts.database.startswith(POSTGRES):
            text = f"the database is in PostgreSQL, whose own programs copy it: {_dump(parts)}\n"
            pending.complete(Response(501, _TEXT, text.encode()))
            return
        loop = asyncio.get_running_loop()
        fd = await loop.run_in_executor(parts.threads, copy_of, parts.database)
        size = os.fstat(fd).st_size
        file = File(fd, size, Validators("", 0))
        headers = [("Content-Type", "application/x-sqlite3"), ("Cache-Control", "no-store")]
        Sending(pending, file, Part(200, 0, size), threads=parts.threads).start(headers)


def _dump(parts: Parts) -> str:
    from coreos_py.roller.db.postgres import target

    at = target(parts.database)
    words = (f"--host={at.host}", f"--port={at.port}", f"--username={at.user}", at.name)
    return shlex.join(("pg_dump", *words))


def _told(report: Report) -> dict[str, str]:
    return {"status": "ok" if report.is_ok else "error", "detail": "; ".join(report.lines)}


def copy_of(database: str) -> int:
    """An open file without a name that holds a consistent copy of a database."""
    fd, path = tempfile.mkstemp(prefix=".backup-", dir=os.path.dirname(database))
    try:
        with (
            closing(sqlite3.connect(f"file:{quote(database)}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(path)) as target,
        ):
            source.backup(target)
    except BaseException:
        os.close(fd)
        raise
    finally:
        os.unlink(path)
    return fd
