"""Takes packages over from upstream servers: asks them, downloads, points channels. An edge.

What to ask and what the answers mean is in syncplan; this has the connections, the files and the
transactions. A channel belongs to the upstream that filled it first; one that somebody has pointed
to a package by hand is left alone.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import uuid
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.base.errors import CoreosError, WireError
from coreos_py.http.message import Request, Response
from coreos_py.omaha.codes import ErrorCode
from coreos_py.roller import syncplan, validate
from coreos_py.roller.coreupdate import views
from coreos_py.roller.db import apps, channels, coreupdate, packages
from coreos_py.roller.records import App, Channel, Invalid, Package
from coreos_py.roller.syncplan import FIRST_VERSION, Followed, Offer, Refused
from coreos_py.update import transfer
from coreos_py.update.transfer import Patience, TransferError

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.roller.call import Call, Handler
    from coreos_py.roller.db.coreupdate import Upstream
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.payloads import Incoming, Payloads, Stored
    from coreos_py.roller.worker import Worker

EVERY_S = 3600.0
FIRST_S = 60.0
_ALL = (1 << 31) - 1
_PATIENCE = Patience(answer_s=60.0)

log = logging.getLogger(__name__)


class Report(NamedTuple):
    """What came of one round: whether all went well, and a line per channel."""

    is_ok: bool
    lines: tuple[str, ...]


class NotTaken(CoreosError):
    """An offer that cannot be taken over; `code` is what the upstream server is told."""

    def __init__(self, message: str, code: ErrorCode = ErrorCode.ERROR) -> None:
        super().__init__(message)
        self.code = code


class Syncer:
    """One per server. `host_url` is where payloads taken over will be served, "" to leave them."""

    def __init__(
        self,
        worker: Worker,
        payloads: Payloads,
        *,
        call: Callable[[Request], Call],
        host_url: str,
    ) -> None:
        self._worker = worker
        self._payloads = payloads
        self._call = call
        self._host_url = host_url
        self._one_at_a_time = asyncio.Lock()

    async def run(
        self, below: Callable[[float], float], *, first_s: float = FIRST_S, every_s: float = EVERY_S
    ) -> None:
        """For ever, once an hour; `below(n)` is a random number of seconds up to n."""
        await asyncio.sleep(first_s / 2 + below(first_s / 2))
        while True:
            try:
                await self.sync()
            except CoreosError as err:
                log.error("%s", err)
            await asyncio.sleep(every_s * 0.95 + below(every_s * 0.1))

    async def sync(self) -> Report:
        """Ask all upstream servers about all their channels."""
        async with self._one_at_a_time:
            upstreams: list[Upstream] = []
            await self._in_database(lambda tx, _: upstreams.extend(coreupdate.upstreams(tx)))
            reports = [await self._ask(item) for item in upstreams]
        lines = tuple(line for report in reports for line in report.lines)
        for line in lines:
            log.info("%s", line)
        if not upstreams:
            lines = ("there is no upstream",)
        return Report(all(report.is_ok for report in reports), lines)

    async def _ask(self, upstream: Upstream) -> Report:
        """One server about every channel that is or may become its own."""
        followed: list[Followed] = []
        await self._in_database(lambda tx, _: followed.extend(channels_of(tx, upstream)))
        name = upstream.label or upstream.url
        lines, is_ok = [], True
        for item in followed:
            try:
                line = await self._follow(upstream, item)
            except CoreosError as err:
                line, is_ok = f"{item.track}: {err}", False
            if line:
                lines.append(f"{name}: {line}")
        return Report(is_ok, tuple(lines) or (f"{name}: nothing to follow",))

    async def _follow(self, upstream: Upstream, item: Followed) -> str:
        """One channel: what has happened, in words; CoreosError."""
        url = syncplan.endpoint(upstream.url)
        data = await transfer.post(url, syncplan.question(item), patience=_PATIENCE)
        answer = syncplan.read(data, item)
        if isinstance(answer, Refused):
            if answer.is_unknown:
                return ""
            raise WireError(answer.reason)
        if answer is None:
            return f"{item.track}: nothing newer than {item.version}"
        try:
            await self._take(upstream, item, answer)
        except NotTaken as err:
            await transfer.post(url, syncplan.failure(item, err.code), patience=_PATIENCE)
            raise
        for told in syncplan.story(item, answer.version):
            await transfer.post(url, told, patience=_PATIENCE)
        return f"{item.track}: {answer.version}"

    async def _take(self, upstream: Upstream, item: Followed, offer: Offer) -> None:
        known: list[Package] = []
        await self._in_database(
            lambda tx, _: known.extend(
                [found] if (found := packages.by_version(tx, item.app_id, offer.version)) else []
            )
        )
        stored = None
        if self._host_url and not known:
            stored = await self._download(item, offer)
        problems: list[str] = []

        def write(tx: Tx, call: Call) -> None:
            try:
                _point(tx, call, upstream, item, self._package(tx, call, item, offer, stored))
            except Invalid as err:
                problems.append(err.message)

        await self._in_database(write, is_write=True)
        if problems:
            raise NotTaken(problems[0])

    def _package(
        self, tx: Tx, call: Call, item: Followed, offer: Offer, stored: Stored | None
    ) -> Package:
        """The offer in the database; Invalid."""
        known = packages.by_version(tx, item.app_id, offer.version)
        if known is not None:
            if known.action is None or known.action.sha256 != offer.sha256:
                raise Invalid(f"there is another package of version {offer.version} already")
            return known
        made = syncplan.package(
            offer, item, package_id=call.new_id(), action_id=call.new_id(), now_us=call.now_us
        )
        if stored is not None:
            made = made._replace(
                url=f"{self._host_url}/packages/", filename=stored.filename, hash=stored.sha1
            )
        validate.package(made, strict=True)
        packages.add(tx, made)
        call.changed.add(("package", item.app_id))
        return made

    async def _download(self, item: Followed, offer: Offer) -> Stored:
        landing = _Landing(self._payloads, offer.size)
        try:
            await transfer.download(
                offer.url, landing, on_bytes=lambda _size: None, patience=_PATIENCE
            )
            return landing.keep(syncplan.hosted_name(offer, item), offer.sha256)
        except TransferError as err:
            raise NotTaken(str(err), ErrorCode.DOWNLOAD_TRANSFER_ERROR) from None
        except OSError as err:
            text = f"the payload cannot be stored: {err.strerror or err}"
            raise NotTaken(text, ErrorCode.DOWNLOAD_WRITE) from None
        finally:
            landing.discard()

    async def _in_database(
        self, work: Callable[[Tx, Call], object], *, is_write: bool = False
    ) -> None:
        def handle(tx: Tx, call: Call) -> Response:
            work(tx, call)
            return Response(200)

        handler: Handler = handle
        call = self._call(Request("POST" if is_write else "GET", b"/", {}, 1))
        answer = await self._worker.run(handler, call, write=is_write)
        if answer.status != 200:
            raise NotTaken("the database did not take it")


class _Landing:
    """A payload on its way into the directory; of at most the size that was told."""

    def __init__(self, payloads: Payloads, size: int) -> None:
        self._payloads = payloads
        self._size = size
        self._incoming: Incoming = payloads.receive()

    @property
    def received(self) -> int:
        return self._incoming.size

    @property
    def is_complete(self) -> bool:
        return self._incoming.size == self._size

    def append(self, data: bytes) -> None:
        if self._incoming.size + len(data) > self._size:
            text = f"the payload has more than {self._size} bytes"
            raise NotTaken(text, ErrorCode.PAYLOAD_SIZE_MISMATCH)
        self._incoming.write(data)

    def clear(self) -> None:
        self._incoming.discard()
        self._incoming = self._payloads.receive()

    def keep(self, name: str, sha256: str) -> Stored:
        """Put it in its place if it is the one that was meant."""
        if not hmac.compare_digest(self._incoming.sha256, sha256):
            text = "the payload has another SHA-256 than the server says"
            raise NotTaken(text, ErrorCode.PAYLOAD_HASH_MISMATCH)
        return self._incoming.keep(name)

    def discard(self) -> None:
        self._incoming.discard()


def channels_of(tx: Tx, upstream: Upstream) -> list[Followed]:
    """The channels that follow a server: its own, and those that nobody has filled yet."""
    found = []
    for app in reversed(apps.listing(tx, limit=_ALL)):
        for channel in channels.listing(tx, app.id, limit=_ALL):
            owner = coreupdate.publication(tx, channel.id).upstream_id
            if owner == upstream.id or (not owner and channel.package_id is None):
                found.append(_followed(tx, upstream, app, channel))
    return found


def _followed(tx: Tx, upstream: Upstream, app: App, channel: Channel) -> Followed:
    package = packages.find(tx, channel.package_id) if channel.package_id else None
    version = package.version if package else FIRST_VERSION
    machine = str(uuid.uuid5(uuid.UUID(upstream.id), channel.id))
    return Followed(channel.id, app.id, views.app_id(app), channel.name, version, machine)


def _point(tx: Tx, call: Call, upstream: Upstream, item: Followed, package: Package) -> None:
    """Let the channel offer the package, and be the upstream's."""
    channel = channels.find(tx, item.channel_id)
    if channel is None:
        raise Invalid("the channel is gone")
    channels.update(tx, channel._replace(package_id=package.id), call.now_us)
    publication = coreupdate.publication(tx, channel.id)
    coreupdate.publish(tx, channel.id, publication._replace(upstream_id=upstream.id))
    call.changed.add(("channel", item.app_id))
