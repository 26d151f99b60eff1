"""Uploads of payloads: a body that goes to a file while it comes, then into the package's record.

Nothing of the body is read before its sender was found to be allowed. The disk works in other
threads; a client that is quicker than it has to wait.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from coreos_py.http.message import Request, Response, error_body
from coreos_py.roller.payloads import Incoming, Payloads, Stored, trouble
from coreos_py.roller.records import Action, Package, PackageType
from coreos_py.update.payload.errors import PayloadError
from coreos_py.update.payload.reader import Verified

if TYPE_CHECKING:
    from typing import Any

    from coreos_py.http.exchange import Pending
    from coreos_py.roller.call import Call, Handler
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.rest.api import Api
    from coreos_py.roller.worker import Worker

_PATH = re.compile(r"/api/apps/([^/]+)/packages/([^/]+)/payload")
_METHODS = ("POST", "PUT")
_BUFFER_MAX = 1 << 20
_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
_EMPTY = b"the payload is empty\n"
_SUFFIXES = {PackageType.COREOS: ".gz"}

log = logging.getLogger(__name__)


def is_upload(request: Request) -> bool:
    """Whether this request's body is a payload."""
    return request.method in _METHODS and _PATH.fullmatch(request.path) is not None


class Uploads:
    """Makes an Upload for a request as soon as its head is there."""

    def __init__(
        self,
        payloads: Payloads,
        worker: Worker,
        records: Api,
        threads: ThreadPoolExecutor,
        *,
        call: Callable[[Request], Call],
        begin: Callable[[Request], Pending],
    ) -> None:
        self.payloads = payloads
        self.worker = worker
        self.records = records
        self.threads = threads
        self.call = call
        self._begin = begin
        self._running: set[asyncio.Task[None]] = set()

    def sink_for(self, request: Request) -> Upload | None:
        """Where the body of this request goes, None for memory."""
        if not is_upload(request):
            return None
        upload = Upload(request, self)
        task = asyncio.get_running_loop().create_task(upload.run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return upload

    def route(self, request: Request) -> Response | Pending | None:
        """The answer to a payload that has come in completely."""
        if request.sink is None:
            return Response(400, _TEXT, _EMPTY) if is_upload(request) else None
        pending = self._begin(request)
        request.sink.ended(pending)
        return pending

    def close(self) -> None:
        """Give up what is coming in."""
        for task in list(self._running):
            task.cancel()


class Upload:
    """One upload; the sink of its body."""

    def __init__(self, request: Request, uploads: Uploads) -> None:
        self._request = request
        self._connection: Any = request.connection
        self._uploads = uploads
        self._loop = asyncio.get_running_loop()
        self._call = uploads.call(request)
        found = _PATH.fullmatch(request.path)
        assert found is not None
        self._app, self._package_id = found.groups()
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
            package = await self._allowed()
            if package is None:
                return
            incoming = await self._in_thread(self._uploads.payloads.receive)
            self._accept()
            if await self._receive(incoming):
                self._answer(await self._store(incoming, package))
        except OSError as error:
            log.error("payloads: an upload failed: %s", error.strerror or error)
            text = f"the payload cannot be stored: {error.strerror or error}\n"
            self._answer(Response(507, _TEXT, text.encode()))
        except Exception as error:  # noqa: BLE001 - the handler boundary: a fault becomes a 500
            log.error("payloads: an upload failed: %s: %s", type(error).__name__, error)
            self._answer(Response(500, _TEXT, error_body(500)))
        finally:
            if incoming is not None:
                incoming.discard()

    async def _allowed(self) -> Package | None:
        """The package; None when the answer has been given."""
        found: list[Package] = []

        def look(tx: Tx, call: Call) -> Response:
            found.append(self._target(tx, call))
            return Response(200)

        answer = await self._in_database(look, write=False)
        if not found:
            self._answer(answer)
            return None
        return found[0]

    async def _receive(self, incoming: Incoming) -> bool:
        """Write what comes until it ends; False if the client has gone away."""
        while not self._is_gone:
            pieces, self._pieces, self._buffered = self._pieces, [], 0
            if pieces:
                await self._in_thread(incoming.write, b"".join(pieces))
                self._accept()
            elif self._pending is not None:
                return True
            else:
                self._wake.clear()
                await self._wake.wait()
        return False

    async def _store(self, incoming: Incoming, package: Package) -> Response:
        """Check the file, keep it, and say so in the package's record."""
        verified: Verified | None = None
        wants_check = _option(self._request, "check") != "no"
        if package.type == PackageType.COREOS and wants_check:
            try:
                verified = await self._in_thread(incoming.verify)
            except PayloadError as error:
                return Response(400, _TEXT, f"{trouble(error)}\n".encode())
        elif not incoming.size:
            return Response(400, _TEXT, _EMPTY)
        name = incoming.name(package.version, self._suffix(package))
        stored = await self._in_thread(incoming.keep, name)

        def fill(tx: Tx, call: Call) -> Response:
            filled = with_payload(self._target(tx, call), stored, call, verified=verified)
            return self._uploads.records.filled(tx, call, filled)

        return await self._in_database(fill, write=True)

    def _target(self, tx: Tx, call: Call) -> Package:
        """The package whose payload this becomes; an Undo if the sender may not, or has none."""
        records = self._uploads.records
        return records.target(tx, call, app=self._app, package=self._package_id)

    def _suffix(self, package: Package) -> str:
        given = os.path.splitext(_option(self._request, "filename"))[1]
        if re.fullmatch(r"\.[A-Za-z0-9]{1,10}", given):
            return given
        return _SUFFIXES.get(PackageType(package.type), ".bin")

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

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await self._loop.run_in_executor(self._uploads.threads, work, *arguments)

    async def _in_database(self, handler: Handler, *, write: bool) -> Response:
        return await self._uploads.worker.run(handler, self._call, write=write)


def with_payload(
    package: Package, stored: Stored, call: Call, *, verified: Verified | None
) -> Package:
    """The package with what is known about its file now."""
    action = package.action
    if package.type == PackageType.COREOS:
        fresh = action or Action(call.new_id(), "", call.now_us)
        size = str(verified.metadata_size) if verified is not None else fresh.metadata_size
        action = fresh._replace(sha256=stored.sha256, metadata_size=size)
    return package._replace(
        url=f"{call.base_url}/packages/",
        filename=stored.filename,
        size=str(stored.size),
        hash=stored.sha1,
        action=action,
    )


def _option(request: Request, name: str) -> str:
    return parse_qs(request.query).get(name, [""])[0]
