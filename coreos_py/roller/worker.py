"""The database's threads: one that writes, one that reads, each with a connection of its own.

The writer takes all calls that wait, runs each inside a savepoint of one transaction, and hands
the answers out after the commit: whatever a client was told is on the disk, and many clients share
one fsync. A handler that fails takes back its own changes only and is answered by a 500.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from coreos_py.http.message import Response, error_body
from coreos_py.roller.call import Call, Handler, Undo
from coreos_py.roller.db.driver import DatabaseError, Late, Rejected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.roller.db.driver import Database, Tx

Done: TypeAlias = Callable[[Response], None]

_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
_BUSY = (*_TEXT, ("Retry-After", "10"))
_BATCH_MAX = 256
_WAITING_MAX = 20_000

log = logging.getLogger(__name__)


class Job(NamedTuple):
    """A call on its way; `done` is called in the event loop."""

    handler: Handler
    call: Call
    done: Done


class Worker:
    """Both threads. All methods are for the event loop's thread."""

    def __init__(
        self, *, open_writer: Callable[[], Database], open_reader: Callable[[], Database]
    ) -> None:
        loop = asyncio.get_running_loop()
        self._writer = _Lane("roller-write", open_writer, loop, is_writer=True)
        self._reader = _Lane("roller-read", open_reader, loop, is_writer=False)

    def submit(self, job: Job, *, write: bool) -> None:
        """Run a handler; its answer arrives at `job.done`, a write's after it is durable."""
        lane = self._writer if write else self._reader
        if not lane.put(job):
            job.done(_busy())

    async def run(self, handler: Handler, call: Call, *, write: bool) -> Response:
        """The same for a coroutine."""
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

        def done(response: Response) -> None:
            if not answer.done():
                answer.set_result(response)

        self.submit(Job(handler, call, done), write=write)
        return await answer

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return self._writer.waiting + self._reader.waiting

    async def close(self, timeout_s: float) -> None:
        """Finish what waits, then end the threads; those that take longer end with the process."""
        loop = asyncio.get_running_loop()
        lanes = (self._reader, self._writer)
        for lane in lanes:
            lane.stop()
        await asyncio.gather(*(loop.run_in_executor(None, lane.join, timeout_s) for lane in lanes))


class _Lane(threading.Thread):
    """A thread, its connection and its queue."""

    def __init__(
        self,
        name: str,
        open_database: Callable[[], Database],
        loop: asyncio.AbstractEventLoop,
        *,
        is_writer: bool,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._open = open_database
        self._loop = loop
        self._is_writer = is_writer
        self._jobs: deque[Job] = deque()
        self._ready = threading.Condition()
        self._stopping = False
        self._database: Database | None = None
        self.start()

    @property
    def waiting(self) -> int:
        return len(self._jobs)

    def put(self, job: Job) -> bool:
        """False when too many wait already, or the thread has ended."""
        with self._ready:
            if self._stopping or len(self._jobs) >= _WAITING_MAX:
                return False
            self._jobs.append(job)
            self._ready.notify()
        return True

    def stop(self) -> None:
        with self._ready:
            self._stopping = True
            self._ready.notify()

    def run(self) -> None:
        while batch := self._take():
            answers = self._perform(batch)
            with contextlib.suppress(RuntimeError):  # the loop has ended before this thread
                self._loop.call_soon_threadsafe(_deliver, batch, answers)
        self._disconnect()

    def _take(self) -> list[Job]:
        """What waits, in order; nothing at the end."""
        with self._ready:
            while not self._jobs and not self._stopping:
                self._ready.wait()
            most = _BATCH_MAX if self._is_writer else 1
            return [self._jobs.popleft() for _ in range(min(most, len(self._jobs)))]

    def _perform(self, batch: list[Job]) -> list[Response]:
        """One transaction for all of them. If that fails nothing of it has happened."""
        answers: list[Response] = []
        try:
            self._transact(batch, answers)
        except Late:
            return self._one_by_one(batch)  # which tells whose it is
        except Exception as error:  # noqa: BLE001 - the database is gone: every client is told
            log.error("%s", _one_line(error))
            self._disconnect()
            # If it was the commit that failed, nobody knows what has happened.
            if len(answers) == len(batch) or len(batch) == 1:
                return [_busy() for _ in batch]
            return self._one_by_one(batch)
        return answers

    def _transact(self, batch: list[Job], answers: list[Response]) -> None:
        database = self._database
        if database is None:
            database = self._database = self._open()
        with database.transaction() as tx:
            answers.extend(self._one(database, tx, job) for job in batch)

    def _one_by_one(self, batch: list[Job]) -> list[Response]:
        """After a failure: nobody pays for what another one has asked."""
        done: list[Response] = []
        while len(done) < len(batch):
            answers: list[Response] = []
            try:
                self._transact([batch[len(done)]], answers)
            except Late as error:
                is_refused = isinstance(error.__cause__, Rejected)
                reply = _fault(batch[len(done)], error)
                answers = [reply if is_refused else _busy()]
            except Exception as error:  # noqa: BLE001 - as above
                log.error("%s", _one_line(error))
                if self._database is None:  # it cannot be reached at all
                    return [*done, *(_busy() for _ in batch[len(done) :])]
                self._disconnect()
                answers = [_busy()]
            done += answers
        return done

    def _one(self, database: Database, tx: Tx, job: Job) -> Response:
        try:
            with database.savepoint(tx):
                return job.handler(tx, job.call)
        except Undo as refused:
            job.call.changed.clear()
            return refused.response
        except DatabaseError:
            raise
        except Exception as error:  # noqa: BLE001 - the handler boundary: a fault becomes a 500
            return _fault(job, error)

    def _disconnect(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            try:
                database.close()
            except Exception as error:  # noqa: BLE001 - whatever a broken connection raises
                log.warning("database: closing: %s", _one_line(error))


def _fault(job: Job, error: Exception) -> Response:
    request = job.call.request
    log.error("%s %s: %s", request.method, request.path, _one_line(error))
    job.call.changed.clear()
    return Response(500, _TEXT, error_body(500))


def _busy() -> Response:
    return Response(503, _BUSY, error_body(503))


def _deliver(batch: list[Job], answers: list[Response]) -> None:
    for job, response in zip(batch, answers, strict=True):
        job.done(response)


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
