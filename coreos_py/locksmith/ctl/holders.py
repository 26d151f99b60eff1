"""locksmithctl lock, unlock, release, set-max, status: the semaphore and who holds it."""

from __future__ import annotations

from time import time_ns

from coreos_py.base import durations
from coreos_py.base.errors import CoreosError
from coreos_py.locksmith.ctl.session import Fatal, fail, machine_id, open_lock
from coreos_py.locksmith.semaphore import parse_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.program import Call
    from coreos_py.locksmith.lock import Holder


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
    is_long = call.flags["long"]
    try:
        semaphore, holders = held.holders() if is_long else (held.read(), [])
    except CoreosError as err:
        fail("Error setting value:", err)  # 0.6.2's words, although nothing is set
    print(f"Available: {semaphore.available}")
    print(f"Max: {semaphore.limit}")
    if is_long and holders:
        print(f"\n{_table(holders, time_ns())}", end="")
    elif semaphore.holders:
        print("\nMACHINE ID")
        for holder in semaphore.holders:
            print(holder)
    return 0


def release(call: Call) -> int:
    """Remove a holder that is dead for all that is known."""
    if len(call.args) != 1:
        raise Fatal("The machine ID to release must be given.")
    held = open_lock(call)
    try:
        problem = held.release(call.args[0], after_ns=call.flags["after"])
    except CoreosError as err:
        fail("Error releasing:", err)
    if problem:
        fail("Error releasing:", f"{call.args[0]}: {problem}")
    return 0


def _table(holders: list[Holder], now_ns: int) -> str:
    rows = [("MACHINE ID", "HELD FOR", "FLEET")]
    for holder in holders:
        held_ns = max(now_ns - holder.since_ns, 0) // durations.SECOND * durations.SECOND
        held_for = durations.format(held_ns) if holder.since_ns else "unknown"
        fleet = "-" if holder.in_fleet is None else "alive" if holder.in_fleet else "absent"
        rows.append((holder.id, held_for, fleet))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "".join(
        [f"{name:{widths[0]}}  {held:{widths[1]}}  {fleet}\n" for name, held, fleet in rows]
    )
