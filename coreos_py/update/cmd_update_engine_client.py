"""update_engine_client: ask update_engine what it does, and tell it what to do.

Mirrors update_engine 0.4.10's update_engine_client.cc. That there was no update is no failure, as
flatcar has it; -no_update_fails brings the old exit status back.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

from coreos_py.base import golog
from coreos_py.base.errors import CoreosError, Unavailable
from coreos_py.cli.grammar import GO
from coreos_py.cli.program import Call
from coreos_py.cli.settings import BOOL, Setting
from coreos_py.systemd import dbus_update1
from coreos_py.systemd.dbus_connection import DBusError
from coreos_py.update.gflags import Gflags
from coreos_py.update.logs import GlogFormatter

if TYPE_CHECKING:
    from coreos_py.systemd.dbus_connection import Connection
    from coreos_py.systemd.dbus_update1 import Status

log = logging.getLogger(__name__)

NAME = "com.coreos.update1"
IDLE = "UPDATE_STATUS_IDLE"
NEED_REBOOT = "UPDATE_STATUS_UPDATED_NEED_REBOOT"
REPORTING_ERROR = "UPDATE_STATUS_REPORTING_ERROR_EVENT"
TRIES = 4
RETRY_S = 10.0
POLL_S = 5.0
UNDO = '(D=$(rootdev -d /usr) P=$(rootdev -s /usr); cgpt prioritize "$P"; cgpt show -q "$D")'

PROGRAM = Gflags(
    "update_engine_client",
    GO,
    settings=(
        Setting("status", BOOL, help="print the status"),
        Setting("check_for_update", BOOL, help="look for an update, do not wait for it"),
        Setting("update", BOOL, help="look for an update, and wait until it is installed"),
        Setting("watch_for_updates", BOOL, help="print every status that is announced"),
        Setting("reset_status", BOOL, help="forget that a reboot is needed"),
        Setting("no_update_fails", BOOL, help="with -update: exit with 1 if there is none"),
    ),
    target="coreos_py.update.cmd_update_engine_client:run",
    help="client for update_engine",
)


def main(argv: list[str]) -> int:
    """Run update_engine_client."""
    return PROGRAM.run(argv)


def run(call: Call) -> int:
    """What the flags ask for; the first of them in update_engine 0.4.10's order."""
    golog.setup(GlogFormatter())
    flags = call.settings
    try:
        if flags["reset_status"]:
            return asyncio.run(_reset())
        if flags["status"]:
            return asyncio.run(_status())
        if flags["check_for_update"] or flags["update"]:
            waits = flags["update"]
            return asyncio.run(_update(waits=waits, strict=flags["no_update_fails"]))
        if flags["watch_for_updates"]:
            return asyncio.run(_watch())
    except DBusError as err:
        log.error("%s", err)
        return 1
    except CoreosError as err:
        log.error("Failed to get bus: %s", err)
        return 1
    log.info("Done.")
    return 0


# update_engine 0.4.10's names of a status's parts, where they are not ours.
_SHOWN = {"last_checked": "last_checked_time", "operation": "current_operation"}


class Seen:
    """What was announced while we look."""

    def __init__(self, *, prints: bool = False) -> None:
        self.has_failed = False
        self._prints = prints

    def __call__(self, status: Status) -> None:
        if status.operation == REPORTING_ERROR:
            self.has_failed = True
        if self._prints:
            log.info("Got status update:")
            for name, value in zip(status._fields, status, strict=True):
                log.info("  %s: %s", _SHOWN.get(name, name), value)
            _print(status)


async def _connected(seen: Seen) -> tuple[Connection, Status]:
    """The bus and the status, once update_engine is there; SystemExit after four tries."""
    bus = await dbus_update1.follow(seen)
    for number in range(1, TRIES + 1):
        if number > 1:
            log.info("Retrying to get dbus proxy. Try %d/%d", number, TRIES)
            await asyncio.sleep(RETRY_S)
        try:
            return bus, await dbus_update1.status(bus)
        except (DBusError, Unavailable) as err:
            log.warning("Error getting dbus proxy for %s: %s", NAME, err)
    log.error("Giving up -- unable to get dbus proxy for %s", NAME)
    await bus.close()
    sys.exit(1)


async def _status() -> int:
    log.info("Querying Update Engine status...")
    bus, status = await _connected(Seen())
    await bus.close()
    _print(status)
    return 0


async def _reset() -> int:
    log.info("Setting Update Engine status to idle ...")
    bus, _ = await _connected(Seen())
    try:
        await dbus_update1.call(bus, "ResetStatus")
    except DBusError as err:
        log.error("ResetStatus failed: %s", err)
        return 1
    finally:
        await bus.close()
    log.info("ResetStatus succeeded; to undo partition table changes run:")
    print(UNDO, file=sys.stderr)
    return 0


async def _update(*, waits: bool, strict: bool) -> int:
    log.info("Initiating update check and install.")
    seen = Seen()
    bus, _ = await _connected(seen)
    try:
        await dbus_update1.call(bus, "AttemptUpdate")
        if not waits:
            return 0
        log.info("Waiting for update to complete.")
        while True:
            await asyncio.sleep(POLL_S)
            status = await dbus_update1.status(bus)
            if status.operation == NEED_REBOOT:
                _print(status)
                log.info("Update succeeded -- reboot needed.")
                return 0
            if status.operation == IDLE:
                _print(status)
                if not seen.has_failed and not strict:
                    log.info("No update available.")
                    return 0
                log.error("Update failed.")
                return 1
    finally:
        await bus.close()


async def _watch() -> int:
    log.info("Watching for status updates.")
    bus, _ = await _connected(Seen(prints=True))
    await bus.lost
    raise Unavailable("the connection to the system bus is lost")


def _print(status: Status) -> None:
    print(f"LAST_CHECKED_TIME={status.last_checked}")
    print(f"PROGRESS={status.progress:f}")
    print(f"CURRENT_OP={status.operation}")
    print(f"NEW_VERSION={status.new_version}")
    print(f"NEW_SIZE={status.new_size}", flush=True)
