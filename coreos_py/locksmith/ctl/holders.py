"""locksmithctl lock, unlock, set-max, status: the semaphore and who holds it."""

from __future__ import annotations

from coreos_py.base.errors import CoreosError
from coreos_py.locksmith.ctl.session import Fatal, fail, machine_id, open_lock
from coreos_py.locksmith.semaphore import parse_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.program import Call


def lock(call: Call) -> int:
    """Add a holder."""
    held = open_lock(call)
    holder = machine_id(call)
    try:
        held.lock(holder)
    except CoreosError as err:
        fail("Error locking:", err)
    return 0


def unlock(call: Call) -> int:
    """Remove a holder."""
    held = open_lock(call)
    holder = machine_id(call)
    try:
        held.unlock(holder)
    except CoreosError as err:
        fail("Error unlocking:", err)
    return 0


def set_max(call: Call) -> int:
    """Change how many may hold the lock. 0.6.2 exits with 0 when it lost a race here."""
    if len(call.args) != 1:
        raise Fatal("New maximum value must be set.")
    held = open_lock(call)
    try:
        limit = parse_limit(call.args[0])
    except ValueError:
        raise Fatal(f"Invalid maximum value: {call.args[0]}") from None
    try:
        before = held.set_limit(limit)
    except CoreosError as err:
        fail("Error setting value:", err)
    print(f"Old-Max: {before}")
    print(f"Max: {limit}")
    return 0


def status(call: Call) -> int:
    """Show the semaphore."""
    held = open_lock(call)
    try:
        semaphore = held.read()
    except CoreosError as err:
        fail("Error setting value:", err)  # 0.6.2's words, although nothing is set
    print(f"Available: {semaphore.available}")
    print(f"Max: {semaphore.limit}")
    if semaphore.holders:
        print("\nMACHINE ID")
        for holder in semaphore.holders:
            print(holder)
    return 0
