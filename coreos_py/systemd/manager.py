"""The unit manager interface: what fleet's agent asks of systemd, or of the embedded supervisor.

Two implementations: `dbus_manager.DBusManager` (real systemd, never through systemctl) and
`embedded.supervisor.EmbeddedManager` (supervises processes itself, as an ordinary user).
Rules both keep: no call waits for a unit to finish starting or stopping, except that `unload`
gives a stopping unit a bounded time; calls for different units may run at the same time and the
failure of one never delays another; a change notification is a hint and may be lost, so callers
poll `states` as well. Mirrors the UnitManager of fleet 1.0.0 (unit/manager.go).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from coreos_py.base.errors import CoreosError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from coreos_py.base.unitfile import UnitFile

    ChangeHint = Callable[[str], None]


class UnitState(NamedTuple):
    """systemd's three state words; `hash` is "" unless the manager holds the unit's file."""

    load: str
    active: str
    sub: str
    hash: str = ""


NOT_FOUND = UnitState("not-found", "inactive", "dead")


class LogLine(NamedTuple):
    """One line of a unit's output; `pid` is 0 when unknown, `ident` names the program."""

    unix_us: int
    ident: str
    pid: int
    text: str


class UnitManagerError(CoreosError):
    """The manager could not do what was asked of one unit."""

    def __init__(self, unit: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.unit = unit


class UnitManager(Protocol):
    """What the fleet agent drives; create one, `open` it, and `close` it at the end."""

    async def open(self) -> None:
        """Connect or take over what an earlier process left running; raise when impossible."""

    async def close(self) -> None:
        """Let go of resources; units keep running."""

    async def load(self, name: str, unit: UnitFile) -> None:
        """Write the unit's file and link it, and enable it where [Install] has options.

        The new text is not in force before `reload_unit_files`. Replaces an older file.
        """

    async def unload(self, name: str) -> None:
        """Stop the unit, wait a bounded time for that, then forget it and its file.

        Unknown units are not an error. A unit that could not even be told to stop is still held
        when the call raises, so that it can be tried again; after any other failure it is not.
        """

    async def abandon(self) -> None:
        """See that what is being unloaded ends although this process will not wait for it."""

    async def start(self, name: str) -> None:
        """Ask for the unit to be started; return without waiting. No effect on a running unit."""

    async def stop(self, name: str) -> None:
        """Ask for the unit to be stopped; return without waiting."""

    async def reload_unit_files(self) -> None:
        """Make loaded files effective; simultaneous calls share one reload."""

    async def states(self, names: Iterable[str]) -> dict[str, UnitState]:
        """Return the state of every name asked for; unknown ones are NOT_FOUND."""

    async def units(self) -> dict[str, str]:
        """Return name -> hash of the unit files held, also those an earlier process wrote."""

    def on_change(self, hint: ChangeHint) -> None:
        """Call `hint(name)` when a unit's state may have changed; "" means any unit."""

    async def journal(self, name: str, *, lines: int) -> list[LogLine]:
        """Return the last `lines` lines of the unit's output, oldest first; all when negative."""

    def follow(self, name: str, *, lines: int) -> AsyncIterator[LogLine]:
        """Yield the last `lines` lines, then new ones as they come; ends when closed."""
