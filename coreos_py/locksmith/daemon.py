"""locksmithd's edge: D-Bus, the clock, the lock in etcd, terminals. rebooter.py decides.

The lock is asked for in a thread of its own, one question at a time: what locksmithctl does too,
and a process that shall end need not wait for an etcd.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from coreos_py.base import golog, sdnotify
from coreos_py.base.errors import CoreosError
from coreos_py.locksmith import broadcast, connect, coordinator, rebooter
from coreos_py.locksmith import window as windows
from coreos_py.locksmith.coordinator import Coordinator, NotCoordinator
from coreos_py.locksmith.lock import unlock_if_held
from coreos_py.locksmith.rebooter import Action, Rebooter
from coreos_py.locksmith.semaphore import HolderExists
from coreos_py.systemd import dbus_login, dbus_update1

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.cli.settings import Values
    from coreos_py.locksmith.lock import Lock
    from coreos_py.locksmith.window import Now, Window
    from coreos_py.systemd.dbus_connection import Connection
    from coreos_py.systemd.dbus_update1 import Status

log = logging.getLogger("daemon")

# The clock may be set, and a machine may sleep: a long wait is looked at again this often.
_LOOK_S = 30.0
_ETCD_UNITS = ("etcd.service", "etcd2.service")
_LEVELS = {
    rebooter.INFO: logging.INFO,
    rebooter.NOTICE: golog.NOTICE,
    rebooter.WARNING: logging.WARNING,
    rebooter.ERROR: logging.ERROR,
    rebooter.CRITICAL: logging.CRITICAL,
}


class Config(NamedTuple):
    """What locksmithd runs with; the paths are those of every machine."""

    settings: Values
    strategy: str
    window: Window | None
    machine_id_file: str
    coordinator_file: str
    utmp: str


def configure(settings: Values) -> Config | None:
    """The configuration, told in the log; None when it cannot be."""
    strategy = settings["reboot-strategy"] or rebooter.REBOOT
    files = (connect.MACHINE_ID_FILE, coordinator.PATH, broadcast.UTMP)
    start, length = settings["reboot-window-start"], settings["reboot-window-length"]
    if bool(start) != bool(length):
        names = "$REBOOT_WINDOW_START and $REBOOT_WINDOW_LENGTH"
        log.critical("Either both or neither %s must be set", names)
        return None
    if not start:
        log.info("No configured reboot window")
        return Config(settings, strategy, None, *files)
    try:
        window = windows.parse(start, length)
    except ValueError as err:
        log.critical("Error parsing reboot window: %s", err)
        return None
    log.info('Reboot window start is "%s" and length is "%s"', start, length)
    begin, end = windows.next_ns(window, calendar(time.time_ns()))
    log.info("Next window begins at %s and ends at %s", _go_time(begin), _go_time(end))
    return Config(settings, strategy, window, *files)


def calendar(now_ns: int) -> Now:
    """A moment in the machine's time zone."""
    today = time.localtime(now_ns // 1_000_000_000)

    def at(days: int, hour: int, minute: int) -> int:
        fields = (today.tm_year, today.tm_mon, today.tm_mday + days, hour, minute, 0, 0, 0, -1)
        return int(time.mktime(fields)) * 1_000_000_000

    return windows.Now(now_ns, (today.tm_wday + 1) % 7, at)


class Daemon:
    """One run of locksmithd."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._rebooter = Rebooter(config.strategy, config.window, calendar=calendar)
        self._events: asyncio.Queue[Callable[[], list[Action]]] = asyncio.Queue()
        self._coordinator: Coordinator | None = None
        self._bus: Connection | None = None
        self._etcd: connect.Connection | None = None
        self._stopped = asyncio.Event()

    async def run(self) -> int:
        """Run until told to stop, or until there is no going on; the exit code."""
        strategy = self._config.strategy
        try:
            self._coordinator = Coordinator(
                self._config.coordinator_file, strategy=strategy, state=rebooter.STARTING
            )
        except NotCoordinator as err:
            log.critical("unable to become 'update coordinator': %s", err)
            return 1
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopped.set)
        work = asyncio.create_task(self._work())
        stopped = asyncio.create_task(self._stopped.wait())
        await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
        try:
            if work.done():
                return work.result()
            text = "Received interrupt/termination signal - locksmithd is exiting."
            log.log(golog.NOTICE, text)
            return 0
        finally:
            for task in (work, stopped):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            if self._bus is not None:
                await self._bus.close()
            self._coordinator.close()

    async def _work(self) -> int:
        try:
            self._bus = await dbus_update1.follow(self._on_status)
        except CoreosError as err:
            log.critical("Error initializing update1 client: %s", err)
            return 1
        try:
            status = await dbus_update1.status(self._bus)
        except CoreosError as err:
            log.critical("Cannot get update engine status: %s", err)
            return 1
        sdnotify.notify(sdnotify.READY)
        actions = self._rebooter.start(status.operation, time.time_ns())
        lost = asyncio.ensure_future(self._bus.lost)
        while True:
            for action in actions:
                code = await self._do(action)
                if code is not None:
                    return code
            if lost.done() and self._events.empty():
                log.critical("the connection to the system bus was lost")
                return 1
            actions = await self._next(lost)

    async def _next(self, lost: asyncio.Future[None]) -> list[Action]:
        """What follows from the next event or the passing of time."""
        limit_s = _LOOK_S
        if self._rebooter.deadline_ns is not None:
            left_ns = self._rebooter.deadline_ns - time.time_ns()
            limit_s = min(max(left_ns / 1e9, 0.0), _LOOK_S)
        getting = asyncio.create_task(self._events.get())
        both: list[asyncio.Future[Any]] = [getting, lost]
        done, _ = await asyncio.wait(both, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if getting in done:
            return getting.result()()
        getting.cancel()
        return self._rebooter.tick(time.time_ns())

    def _on_status(self, status: Status) -> None:
        progress = repr(status.progress).removesuffix(".0")
        sys.stderr.write(
            f"LastCheckedTime={status.last_checked} Progress={progress}"
            f' CurrentOperation="{status.operation}" NewVersion={status.new_version}'
            f" NewSize={status.new_size}\n"
        )
        sys.stderr.flush()
        self._events.put_nowait(lambda: self._rebooter.status(status.operation, time.time_ns()))

    # -- actions

    async def _do(self, action: Action) -> int | None:
        """Do one thing; the exit code when it is the last."""
        if action.verb == rebooter.EXIT:
            return int(action.text)
        if action.verb == rebooter.LOG:
            log.log(_LEVELS[action.level], "%s", action.text)
        elif action.verb == rebooter.STATE:
            self._tell_state(action.text)
        elif action.verb == rebooter.CHOOSE:
            has_etcd = await self._has_etcd()
            self._put(lambda now_ns: self._rebooter.chosen(has_etcd=has_etcd, now_ns=now_ns))
        elif action.verb == rebooter.BROADCAST:
            lines = self._broadcast()
            self._put(lambda now_ns: self._rebooter.broadcast_to(lines, now_ns))
        elif action.verb == rebooter.GO_DOWN:
            await self._go_down()
        else:
            self._ask_etcd(self._unlock if action.verb == rebooter.UNLOCK else self._lock)
        return None

    def _put(self, event: Callable[[int], list[Action]]) -> None:
        self._events.put_nowait(lambda: event(time.time_ns()))

    def _tell_state(self, state: str) -> None:
        assert self._coordinator is not None
        try:
            self._coordinator.update(state)
        except NotCoordinator as err:
            log.error("could not write state %s: %s", state, err)
        sdnotify.status(state)

    def _broadcast(self) -> int:
        minutes = rebooter.LOGINS_DELAY_NS // 60_000_000_000
        now = _go_time(time.time_ns())
        text = f"System reboot in {minutes} minutes!"
        return broadcast.broadcast(text, now=now, utmp=self._config.utmp)

    async def _has_etcd(self) -> bool:
        """best-effort: an endpoint was set, or a unit of etcd is anything but inactive."""
        if self._config.settings.origin("endpoint") != "default":
            return True
        assert self._bus is not None
        for unit in _ETCD_UNITS:
            try:
                if await dbus_login.active_state(self._bus, unit) != "inactive":
                    return True
            except CoreosError as err:
                log.debug("%s: %s", unit, err)
        return False

    async def _go_down(self) -> None:
        assert self._bus is not None
        try:
            await dbus_login.reboot(self._bus)
        except CoreosError as err:
            log.error("Error rebooting: %s", err)

    # -- the lock, in a thread

    def _ask_etcd(self, question: Callable[[], Callable[[int], list[Action]]]) -> None:
        loop = asyncio.get_running_loop()

        def ask() -> None:
            answer = question()
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._put, answer)

        threading.Thread(target=ask, name="etcd", daemon=True).start()

    def _unlock(self) -> Callable[[int], list[Action]]:
        try:
            holder, lock = self._open()
        except connect.NoSetup as err:
            problem = str(err)
            return lambda now_ns: self._rebooter.no_lock(problem, now_ns)
        try:
            was_held = unlock_if_held(lock, holder)
        except CoreosError as err:
            problem = str(err)
            return lambda now_ns: self._rebooter.unlocked(problem, now_ns)
        return lambda now_ns: self._rebooter.unlocked("", now_ns, was_held=was_held)

    def _lock(self) -> Callable[[int], list[Action]]:
        problem = ""
        try:
            holder, lock = self._open()
            lock.lock(holder)
        except HolderExists:
            problem = ""
        except CoreosError as err:
            problem = str(err)
        return lambda now_ns: self._rebooter.locked(problem, now_ns)

    def _open(self) -> tuple[str, Lock]:
        """This machine's ID, and the lock; NoSetup."""
        if self._etcd is None:
            settings = self._config.settings
            trace = _trace if settings["debug"] else None
            self._etcd = connect.Connection(settings, trace=trace)
        return connect.machine_id(self._config.machine_id_file), self._etcd.lock


def _trace(method: str, url: str) -> None:
    log.debug("%s %s", method, url)


def _go_time(unix_ns: int) -> str:
    """A local time as Go prints it, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(unix_ns // 1_000_000_000))
