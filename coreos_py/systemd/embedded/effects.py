"""What the pure part of the embedded manager asks its edge to do. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from coreos_py.systemd.embedded.command import Command
    from coreos_py.systemd.embedded.definition import Definition


class Begin(NamedTuple):
    """A new run of the unit starts: give it an identity before its first process."""

    unit: str


class Spawn(NamedTuple):
    """Run one command; answer with Engine.spawned or Engine.spawn_failed.

    `role` is "main" or "control"; `extra` are variables this command gets besides the unit's own.
    """

    unit: str
    role: str
    setting: str
    command: Command
    definition: Definition
    extra: dict[str, str]


class Signal(NamedTuple):
    """Send a signal to `pids`, and to everything the unit runs when `tree` is set."""

    unit: str
    number: int
    pids: tuple[int, ...] = ()
    tree: bool = False


class Timer(NamedTuple):
    """Call Engine.timer(unit, name) after `delay_s`; None cancels. Names: state, watchdog."""

    unit: str
    name: str
    delay_s: float | None


class Watch(NamedTuple):
    """Call Engine.tree_empty(unit) once nothing of the unit runs any more; off cancels."""

    unit: str
    on: bool


class FindMain(NamedTuple):
    """Find the main process of a forking service; answer with Engine.main_found."""

    unit: str
    pid_file: str
    guess: bool


class Say(NamedTuple):
    """One line about the unit for its journal and the daemon's log; failures are `warning`s."""

    unit: str
    text: str
    warning: bool = False


class End(NamedTuple):
    """The run is over: its sockets can go, what is left of its output belongs to it."""

    unit: str


class Changed(NamedTuple):
    """The unit's state words, processes or result are not what they were."""

    unit: str


Effect = Begin | Spawn | Signal | Timer | Watch | FindMain | Say | End | Changed
