"""Bodies that go to a file while they come: payloads, in whatever form they are sent.

Nothing of a body is read before its sender was found to be allowed. The disk works in other
threads; a client that is quicker than it has to wait. What a body means is its kind's to know.
"""

from __future__ import annotations

import abc
import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from coreos_py.http.message import Request, Response, error_body
from coreos_py.roller.payloads import Incoming, Payloads

if TYPE_CHECKING:
    from typing import Any

    from coreos_py.http.exchange import Pending
    from coreos_py.roller.call import Call, Handler
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.worker import Worker

TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
EMPTY = b"the payload is empty\n"
_BUFFER_MAX = 1 << 20

log = logging.getLogger(__name__)


class Kind(Protocol):
    """One kind of upload."""

    def takes(self, request: Request) -> bool:
        """Whether this request's body is one."""

    def begin(self, request: Request, intakes: Intakes) -> Intake:
        """What takes it in."""


class Intakes:
    """Makes an Intake for a request as soon as its head is there."""

    def __init__(
        self,
        kinds: Sequence[Kind],
        payloads: Payloads,
        worker: Worker,
        threads: ThreadPoolExecutor,
        *,
        call: Callable[[Request], Call],
        begin: Callable[[Request], Pending],
    ) -> None:
        self._kinds = kinds
        self.payloads = payloads
        self.worker = worker
        self.threads = threads
        self.call = call
        self._begin = begin
        self._running: set[asyncio.Task[None]] = set()

    def takes(self, request: Request) -> bool:
        """Whether this request's body is a payload."""
        return any(kind.takes(request) for kind in self._kinds)

    def sink_for(self, request: Request) -> Intake | None:
        """Where the body of this request goes, None for memory."""
        for kind in self._kinds:
            if kind.takes(request):
                intake = kind.begin(request, self)
                task = asyncio.get_running_loop().create_task(intake.run())
                self._running.add(task)
                task.add_done_callback(self._running.discard)
                return intake
        return None

    def route(self, request: Request) -> Response | Pending | None:
        """The answer to a payload that has come in completely."""
        if request.sink is None:
            return Response(400, TEXT, EMPTY) if self.takes(request) else None
        pending = self._begin(request)
        request.sink.ended(pending)
        return pending

    def close(self) -> None:
        """Give up what is coming in."""
        for task in list(self._running):
            task.cancel()


class Intake(abc.ABC):
    """One upload; the sink of its body."""

    def __init__(self, request: Request, intakes: Intakes) -> None:
        self.request = request
        self._connection: Any = request.connection
        self._intakes = intakes
        self._loop = asyncio.get_running_loop()
        self._call = intakes.call(request)
        self._pieces: list[bytes] = []
        self._buffered = 0
        self._is_held = False
        self._wake = asyncio.Event()
        self._pending: Pending | None = None
        self._is_gone = False
        self._hold()

    # -- the sink ------

    def write(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._buffered += len(piece)
        if self._buffered > _BUFFER_MAX:
            self._hold()
        self._wake.set()

    def abandon(self) -> None:
        self._is_gone = True
        self._wake.set()

    def ended(self, pending: Pending) -> None:
        """All of it has come; this is who waits for the answer."""
        self._pending = pending
        self._wake.set()

    # -- the work ------

    async def run(self) -> None:
        """Take the body in and answer."""
        incoming: Incoming | None = None
        try:
            allowed = await self.in_database(self.check, write=False)
            if allowed.status != 200:
                self._answer(allowed)
                return
            incoming = await self.in_thread(self._intakes.payloads.receive)
            self._accept()
            if await self._receive(incoming):
                self._answer(await self.store(incoming))
        except OSError as error:
            log.error("payloads: an upload failed: %s", error.strerror or error)
            text = f"the payload cannot be stored: {error.strerror or error}\n"
            self._answer(Response(507, TEXT, text.encode()))
        except Exception as error:  # noqa: BLE001 - the handler boundary: a fault becomes a 500
            log.error("payloads: an upload failed: %s: %s", type(error).__name__, error)
            self._answer(Response(500, TEXT, error_body(500)))
        finally:
            if incoming is not None:
                incoming.discard()

    @abc.abstractmethod
    def check(self, tx: Tx, call: Call) -> Response:
        """Whether the sender may, and what for is there: 200, or the answer."""

    def take(self, incoming: Incoming, data: bytes) -> None:
        """The next bytes of the body, in another thread."""
        incoming.write(data)

    @abc.abstractmethod
    async def store(self, incoming: Incoming) -> Response:
        """All of it has come: keep it, and answer."""

    async def _receive(self, incoming: Incoming) -> bool:
        """Write what comes until it ends; False if the client has gone away."""
        while not self._is_gone:
            pieces, self._pieces, self._buffered = self._pieces, [], 0
            if pieces:
                await self.in_thread(self.take, incoming, b"".join(pieces))
                self._accept()
            elif self._pending is not None:
                return True
            else:
                self._wake.clear()
                await self._wake.wait()
        return False

    def _answer(self, response: Response) -> None:
        if self._pending is not None:
            self._accept()
            self._pending.complete(response)
        elif not self._is_gone:
            self._connection.refuse_body(response)

    def _hold(self) -> None:
        if not self._is_held:
            self._is_held = True
            self._connection.hold_body()

    def _accept(self) -> None:
        if self._is_held:
            self._is_held = False
            self._connection.accept_body()

    async def in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Something that waits for the disk."""
        return await self._loop.run_in_executor(self._intakes.threads, work, *arguments)

    async def in_database(self, handler: Handler, *, write: bool) -> Response:
        """A handler with this request's call."""
        return await self._intakes.worker.run(handler, self._call, write=write)
