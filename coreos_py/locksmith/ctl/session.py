"""What every locksmithctl command starts with: the lock, and this machine's ID."""

from __future__ import annotations

import sys

from coreos_py.base.errors import CoreosError
from coreos_py.locksmith import connect
from coreos_py.locksmith.connect import MACHINE_ID_FILE as MACHINE_ID_FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from coreos_py.cli.program import Call
    from coreos_py.locksmith.lock import Lock

_open: list[connect.Connection] = []


class Fatal(CoreosError):
    """The end of the command; the message is all of what stderr gets."""


def fail(what: str, err: object) -> NoReturn:
    """End with `<what> <err>`."""
    raise Fatal(f"{what} {err}") from None


def open_lock(call: Call) -> Lock:
    """The lock of the group that was asked for."""
    try:
        opened = connect.Connection(call.settings, trace=_trace if call.settings["debug"] else None)
    except connect.NoSetup as err:
        raise Fatal(str(err)) from None
    _open.append(opened)
    return opened.lock


def close_clients() -> None:
    """Close the connections of this run."""
    while _open:
        _open.pop().close()


def machine_id(call: Call) -> str:
    """The first argument, else this machine's ID."""
    return call.args[0] if call.args else this_machine()


def this_machine() -> str:
    """This machine's ID."""
    try:
        return connect.machine_id(MACHINE_ID_FILE)
    except connect.NoSetup as err:
        raise Fatal(str(err)) from None


def _trace(method: str, url: str) -> None:
    print(f"{method} {url}", file=sys.stderr, flush=True)
