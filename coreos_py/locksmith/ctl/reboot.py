"""locksmithctl reboot and send-need-reboot: what goes over D-Bus. Not on the hot path."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from coreos_py.base.errors import CoreosError
from coreos_py.locksmith.ctl.session import Fatal, fail, open_lock, this_machine
from coreos_py.locksmith.semaphore import SemaphoreError
from coreos_py.systemd import dbus_login
from coreos_py.systemd.dbus_connection import DBusError

if TYPE_CHECKING:
    from coreos_py.cli.program import Call
    from coreos_py.locksmith.lock import Lock
    from coreos_py.systemd.dbus_connection import Connection

_NEED_REBOOT = (0, 0.0, "UPDATE_STATUS_UPDATED_NEED_REBOOT", "", 0)


def reboot(call: Call) -> int:
    """Take this machine's lock and reboot; a lock just taken is given back if logind refuses.

    0.6.2 refuses a machine that has the lock already.
    """
    if os.geteuid() != 0:
        raise Fatal("Must be root to initiate reboot.")
    return asyncio.run(_reboot(open_lock(call)))


def send_need_reboot(_call: Call) -> int:
    """Signal what update_engine signals after an update."""
    return asyncio.run(_send_need_reboot())


async def _reboot(lock: Lock) -> int:
    try:
        bus = await dbus_login.open_system_bus()
    except CoreosError as err:
        fail("Error initializing login connection:", err)
    try:
        holder = this_machine()
        try:
            is_new = _take(lock, holder)
        except CoreosError as err:
            fail("Error locking:", err)
        await _ask(bus, lock, holder if is_new else "")
    finally:
        await bus.close()
    return 0


def _take(lock: Lock, holder: str) -> bool:
    """Have the lock; False when this machine had it."""
    try:
        lock.lock(holder)
    except SemaphoreError:
        if holder not in (lock.read().holders or ()):
            raise
        return False
    return True


async def _ask(bus: Connection, lock: Lock, holder: str) -> None:
    """Ask logind; on its refusal the lock is given back, unless `holder` is empty."""
    try:
        await dbus_login.reboot(bus)
    except DBusError as err:
        if not holder:
            fail("Error rebooting:", f"{err}; the lock is kept")
        print(f"Error rebooting: {err}", file=sys.stderr)
        try:
            lock.unlock(holder)
        except CoreosError as problem:
            fail("Error unlocking:", problem)
        raise Fatal("The lock was given back.") from None
    except CoreosError as err:
        # The reboot may have begun: giving the lock back could take a second machine down.
        fail("Error rebooting:", f"{err}; the lock is kept")


async def _send_need_reboot() -> int:
    try:
        bus = await dbus_login.open_system_bus()
    except CoreosError as err:
        fail("error connecting to system dbus:", err)
    try:
        await dbus_login.announce(
            bus,
            "/com/coreos/update1",
            interface="com.coreos.update1.Manager",
            member="StatusUpdate",
            signature="xdssx",
            body=_NEED_REBOOT,
        )
    except CoreosError as err:
        fail("error emitting signal:", err)
    finally:
        await bus.close()
    return 0
