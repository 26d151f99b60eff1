"""update_engine's hands: performs what attempt.py asks for, one action after the other. An edge."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from coreos_py.base.atomic import write_atomically
from coreos_py.base.errors import CoreosError
from coreos_py.omaha import request, response
from coreos_py.omaha.codes import ErrorCode, describe
from coreos_py.omaha.response import ResponseError, Update
from coreos_py.update import attempt as machine
from coreos_py.update import config as configuration
from coreos_py.update import gpt, install, postinstall, transfer
from coreos_py.update import prefs as names
from coreos_py.update.attempt import Action, Attempt, Facts, Failure, Operation, Random
from coreos_py.update.config import Config
from coreos_py.update.install import Paths
from coreos_py.update.payload.errors import PayloadError
from coreos_py.update.payload.manifest import FileKind
from coreos_py.update.payload.reader import Verified
from coreos_py.update.prefs_dir import PrefsDir
from coreos_py.update.rsa import PublicKey
from coreos_py.update.schedule import Schedule
from coreos_py.update.slots import Slot, Slots
from coreos_py.update.spool import Interrupted, Spool
from coreos_py.update.transfer import Patience, TransferError

log = logging.getLogger(__name__)

GOOD_AFTER_S = 45.0
_TEXT_MAX = 1 << 20

Postinstall = Callable[[Slot, list[str]], Awaitable[None]]


class Places(NamedTuple):
    """Where everything is; `root` is put before every path."""

    root: str = ""
    state: str = "/var/lib/update_engine"
    marker: str = "/run/update_engine_autoupdate_completed"
    deadline: str = "/tmp/update-check-response-deadline"  # noqa: S108 - replaced, never opened
    public_key: str = "/usr/share/update_engine/update-payload-key.pub.pem"
    boot: str = "/boot/coreos"

    def of(self, path: str) -> str:
        """A path on this machine."""
        return f"{self.root}{path}"


class Engine:
    """Checks, updates, and says what it does through `on_status`."""

    def __init__(
        self,
        places: Places,
        find_slots: Callable[[], Slots],
        *,
        rng: Random,
        on_status: Callable[[machine.Status], None] = lambda status: None,
        patience: Patience | None = None,
        run_postinst: Postinstall = postinstall.run,
    ) -> None:
        self._places = places
        self._find_slots = find_slots
        self._on_status = on_status
        self._patience = patience or Patience()
        self._run_postinst = run_postinst
        self._stop = threading.Event()
        self._prefs = PrefsDir(places.of(f"{places.state}/prefs"))
        self._config = self._load()
        self._schedule = Schedule(rng)
        self._spool: Spool | None = None
        self._verified: Verified | None = None
        self._words: list[str] = []
        self._is_good = False
        self._wanted = asyncio.Event()
        done = os.path.exists(places.of(places.marker))
        self.attempt = Attempt(
            self._prefs,
            facts=self._facts(),
            rng=rng,
            needs_reboot=done,
            failed_to_boot=not done and self._other_failed(),
        )
        if done:
            self._is_good = True  # the other slot is on top; leave it there

    # -- life

    async def run(self) -> None:
        """Check now and then, and whenever asked; until cancelled."""
        self._on_status(self.attempt.status)
        good = asyncio.create_task(self._mark_good_later())
        try:
            await self._check_for_ever()
        finally:
            self._stop.set()
            good.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await good
            if self._spool is not None:
                self._spool.close()

    def stop(self) -> None:
        """What runs in a thread shall end soon."""
        self._stop.set()

    def attempt_update(self) -> None:
        """D-Bus: check now. Passed over unless idle."""
        log.info("New update check requested")
        operation = self.attempt.status.operation
        if operation is not Operation.IDLE or self.attempt.is_busy:
            log.info("Skipping update check because current status is %s", operation)
            return
        # From now on a client that looks for the end of the attempt sees that it has begun.
        self.attempt.status = self.attempt.status._replace(operation=Operation.CHECKING)
        self._wanted.set()

    def reset_status(self) -> bool:
        """D-Bus: no reboot is needed; False when that is not the state."""
        if not self.attempt.reset():
            log.error("Reset not allowed in this state.")
            return False
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._places.of(self._places.marker))
        log.info("Reset Successful")
        return True

    async def _check_for_ever(self) -> None:
        due_s = self._due_s(self._schedule.first())
        while True:
            left_s = max(0.0, due_s - time.monotonic())
            on_demand = await self._wait(left_s if self._facts().is_official else None)
            await self.check(on_demand=on_demand)
            if on_demand and time.monotonic() < due_s:
                continue  # the next one by itself comes when it would have come
            delay_s = self._schedule.next(
                poll_interval_s=self.attempt.poll_interval_s,
                http_status=self.attempt.http_status,
            )
            due_s = self._due_s(delay_s)

    def _due_s(self, delay_s: float) -> float:
        """Tell when the next check will be; that time."""
        if self._facts().is_official:
            log.info("Next update check in %s", _words_for(delay_s))
        else:
            log.warning("Non-official build: periodic update checks disabled.")
        return time.monotonic() + delay_s

    async def _wait(self, delay_s: float | None) -> bool:
        """True when somebody asked, False when it is time."""
        try:
            async with asyncio.timeout(delay_s):
                await self._wanted.wait()
        except TimeoutError:
            return self._wanted.is_set()
        return True

    async def check(self, *, on_demand: bool) -> None:
        """One attempt, to its end."""
        self._wanted.clear()
        if self.attempt.status.operation is Operation.CHECKING:  # said in advance
            self.attempt.status = self.attempt.status._replace(operation=Operation.IDLE)
        if self._spool is not None:  # of the last attempt
            self._spool.close()
            self._spool = None
        self._config = self._load()
        if self._config.is_disabled:
            log.info("SERVER=disabled: not looking for updates")
            self._on_status(self.attempt.status)
            return
        self.attempt.facts = self._facts()
        await self._mark_good()
        action = self.attempt.begin(on_demand=on_demand, now_s=time.time())
        told = self.attempt.status
        self._on_status(told)
        while action is not None:
            outcome = await self._perform(action)
            action = self.attempt.done(outcome, now_s=time.time())
            if self.attempt.status != told:
                told = self.attempt.status
                self._on_status(told)

    # -- actions

    async def _perform(self, action: Action) -> object:
        """What came of an action: its value, or a Failure."""
        try:
            match action:
                case machine.Ask():
                    return await self._ask(action)
                case machine.Ping(on_demand):
                    await self._post(request.ping(self._config.client, on_demand=on_demand))
                case machine.Tell(event, on_demand):
                    await self._tell(event, on_demand=on_demand)
                case machine.Fetch(update, url):
                    await self._fetch(update, url)
                case machine.Clear():
                    await asyncio.to_thread(self._find_slots().mark_unbootable)
                case machine.Write():
                    await self._write()
                case machine.Run():
                    await self._run()
                case machine.Finish():
                    self._finish()
        except (PayloadError, ResponseError) as err:
            return self._failure(err.code, err)
        except TransferError as err:
            return self._failure(ErrorCode.DOWNLOAD_TRANSFER_ERROR, err, status=err.status)
        except Interrupted:
            raise asyncio.CancelledError from None
        except CoreosError as err:
            return self._failure(_FALLBACK.get(type(action), ErrorCode.ERROR), err)
        except OSError as err:
            code = _FALLBACK.get(type(action), ErrorCode.ERROR)
            return self._failure(code, CoreosError(f"{err.filename}: {err.strerror}"))
        return None

    def _failure(self, code: int, err: CoreosError, *, status: int = 0) -> Failure:
        log.error("%s: %s", describe(code), err)
        return Failure(code, str(err), status)

    async def _ask(self, action: machine.Ask) -> object:
        client = self._config.client
        if action.rollback_code:
            log.error("The version installed last did not come up: reporting error 44")
            body = request.rollback_check(
                client,
                previous_version=action.previous_version,
                code=action.rollback_code,
                on_demand=action.on_demand,
            )
        else:
            body = request.check(
                client, previous_version=action.previous_version, on_demand=action.on_demand
            )
        log.info("Posting an Omaha request to %s", self._config.server)
        try:
            data = await self._post(body, retries=1 if action.on_demand else 3)
        except TransferError as err:
            return self._failure(err.check_code, err, status=err.status)
        answer = response.parse(data)
        if answer.update is None:
            log.info("No update.")
        else:
            log.info("Update to version %s, %d bytes", answer.update.version, answer.update.size)
            deadline = answer.update.deadline.encode()
            with contextlib.suppress(OSError):
                write_atomically(self._places.of(self._places.deadline), deadline, mode=0o644)
        return answer

    async def _post(self, body: bytes, *, retries: int = 0) -> bytes:
        while True:
            try:
                return await transfer.post(self._config.server, body, patience=self._patience)
            except TransferError as err:
                if err.status or retries <= 0:
                    raise
                log.warning("%s; trying again in %g s", err, self._patience.check_retry_s)
            retries -= 1
            await asyncio.sleep(self._patience.check_retry_s)

    async def _tell(self, event: request.Event, *, on_demand: bool) -> None:
        body = request.report(self._config.client, event, on_demand=on_demand)
        try:
            await self._post(body)
        except TransferError as err:
            log.warning("Event %d/%d not reported: %s", event.type, event.result, err)

    async def _fetch(self, update: Update, url: str) -> None:
        if not update.digest():
            # No payload can have it, so none is fetched; update_engine 0.4.10 finds out afterwards.
            text = f'the server announced "{update.sha256[:60]}", which is no SHA-256'
            raise PayloadError(ErrorCode.PAYLOAD_HASH_MISMATCH, text)
        spool = self._spool = Spool(
            self._places.of(f"{self._places.state}/payload"),
            update,
            check_signature=self._signature_check(),
            stop=self._stop,
        )
        await asyncio.to_thread(spool.prepare, self._prefs)
        while True:
            try:
                self._verified = await self._transfer(spool, url)
                break
            except PayloadError as err:
                spool.clear()  # what is there is of no use
                if not spool.was_resumed or err.code == ErrorCode.DOWNLOAD_WRITE:
                    raise
                # Perhaps it was this machine that damaged what it had: once more from the start.
                log.warning("%s; beginning anew", err)
                spool.was_resumed = spool.is_resumed = False
        signed = "signature good" if self._verified.is_signed else "no public key to check with"
        log.info("Payload downloaded and verified (%s)", signed)

    async def _transfer(self, spool: Spool, url: str) -> Verified:
        if spool.received:
            self._progress(0)
        if not spool.is_complete:
            await transfer.download(url, spool, on_bytes=self._progress, patience=self._patience)
        return await asyncio.to_thread(spool.finish)

    def _progress(self, count: int) -> None:
        """So many bytes have come, and are looked at next."""
        assert self._spool is not None
        received = min(self._spool.received + count, self._spool.size)
        if self.attempt.progress(received, new_bytes=count, now_s=time.monotonic()):
            log.info("Downloaded %d bytes", received)
            self._on_status(self.attempt.status)

    def _signature_check(self) -> Callable[[bytes, bytes], bool] | None:
        path = self._places.of(self._places.public_key)
        if not os.path.exists(path):
            log.warning("Not verifying the signature of the payload -- missing public key.")
            return None
        try:
            return PublicKey(path).verify
        except CoreosError as err:
            code = ErrorCode.DOWNLOAD_PAYLOAD_PUB_KEY_VERIFICATION
            raise PayloadError(code, str(err)) from None

    async def _write(self) -> None:
        assert self._spool is not None
        assert self._verified is not None
        places = self._places
        has_kernels = "cros_legacy" not in (self._read("/proc/cmdline") or "")
        paths = Paths(
            {
                FileKind.KERNEL: places.of(f"{places.boot}/vmlinuz-@") if has_kernels else "",
                FileKind.PCR_POLICY: places.of(f"{places.state}/pcrs-@.zip"),
            }
        )
        slots = self._find_slots()
        self._words = await asyncio.to_thread(
            install.write, self._verified, self._spool, slots, paths, self._stop
        )
        await self._post_policy(paths.of(FileKind.PCR_POLICY, slots.other.letter))

    async def _post_policy(self, path: str) -> None:
        server = self._config.pcr_policy_server
        if not server or not any(word.startswith("PCR_POLICY=") for word in self._words):
            return
        data = await asyncio.to_thread(_read_bytes, path)
        try:
            kind = "application/octet-stream"
            await transfer.post(server, data, content_type=kind, patience=self._patience)
        except TransferError as err:
            raise PayloadError(ErrorCode.NEW_PCR_POLICY_HTTP, str(err)) from None

    async def _run(self) -> None:
        slots = self._find_slots()
        try:
            await self._run_postinst(slots.other, self._words)
        except PayloadError:
            await asyncio.to_thread(slots.mark_unbootable)
            raise
        if not await asyncio.to_thread(_is_next, slots):
            # The image's postinst left the bits to us.
            await asyncio.to_thread(slots.mark_new)
        log.info("%s is the slot to try next", slots.other.label)

    def _finish(self) -> None:
        marker = self._places.of(self._places.marker)
        os.makedirs(os.path.dirname(marker), exist_ok=True)
        write_atomically(marker, b"", mode=0o600)
        if self._spool is not None:
            self._spool.remove()
        log.info("Update successfully applied, waiting to reboot.")

    # -- this machine

    async def _mark_good_later(self) -> None:
        await asyncio.sleep(GOOD_AFTER_S)
        await self._mark_good()

    async def _mark_good(self) -> None:
        """Once: the running slot is up. Best effort."""
        if self._is_good:
            return
        self._is_good = True
        try:
            await asyncio.to_thread(self._find_slots().mark_good)
        except CoreosError as err:
            log.error("Cannot mark the running slot as good: %s", err)

    def _other_failed(self) -> bool:
        """The other slot was tried, and did not come up."""
        try:
            slots = self._find_slots()
            entry = slots.entry(slots.other)
        except CoreosError as err:
            log.error("Cannot look at the slots: %s", err)
            return False
        return entry.priority > 0 and not entry.tries and not entry.successful

    def _load(self) -> Config:
        aleph = self._prefs.get(names.ALEPH_VERSION)
        config = configuration.load(
            self._read, aleph_version=aleph, architecture=os.uname().machine
        )
        if aleph is None and config.client.version:
            self._prefs[names.ALEPH_VERSION] = config.client.version
        return config

    def _read(self, path: str) -> str | None:
        prefix = "" if path.startswith("/proc/") else self._places.root
        try:
            with open(f"{prefix}{path}", encoding="utf-8", errors="replace") as file:
                return file.read(_TEXT_MAX)
        except OSError:
            return None

    def _facts(self) -> Facts:
        return Facts(
            version=self._config.client.version,
            is_official=not os.path.exists(self._places.of(configuration.DEV_MODE)),
            is_custom_server=self._config.is_custom_server,
            is_resumed=lambda: self._spool is not None and self._spool.is_resumed,
        )


_FALLBACK: dict[type, int] = {
    machine.Ask: ErrorCode.OMAHA_REQUEST_ERROR,
    machine.Fetch: ErrorCode.DOWNLOAD_WRITE,
    machine.Clear: ErrorCode.INSTALL_DEVICE_OPEN_ERROR,
    machine.Write: ErrorCode.INSTALL_DEVICE_OPEN_ERROR,
    machine.Run: ErrorCode.POSTINSTALL_RUNNER_ERROR,
}


def _is_next(slots: Slots) -> bool:
    """The boot loader would take the other slot."""
    rows = {slot.number: slots.entry(slot) for slot in (slots.current, slots.other)}
    order = sorted(rows)
    best = gpt.choose([rows[number] for number in order])
    return best is not None and order[best] == slots.other.number


def _read_bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _words_for(seconds: float) -> str:
    """10m45s."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}h" if hours else ""
    return f"{text}{minutes}m{rest}s" if hours or minutes else f"{rest}s"
