"""What a unit is to the embedded manager: one frozen record per unit file. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from coreos_py.systemd.embedded.command import Command
from coreos_py.systemd.embedded.values import INFINITY, ExitSet

TIMEOUT_DEFAULT_S = 90.0
RESTART_DEFAULT_S = 0.1
START_LIMIT_INTERVAL_DEFAULT_S = 10.0
START_LIMIT_BURST_DEFAULT = 5


class Condition(NamedTuple):
    """A Condition*= or Assert*= test; `trigger` is the "|" prefix."""

    kind: str
    argument: str
    negate: bool = False
    trigger: bool = False
    is_assert: bool = False


class EnvironmentSource(NamedTuple):
    """A file of EnvironmentFile=; `optional` is the "-" prefix."""

    path: str
    optional: bool = False


class Output(NamedTuple):
    """Where a standard stream goes: kind is journal, null, file, append, truncate or inherit."""

    kind: str = "journal"
    path: str = ""


_NO_EXITS = ExitSet()
_JOURNAL = Output()
_AS_STDOUT = Output("inherit")


@dataclass(frozen=True, slots=True)
class Execution:
    """The conditions under which a unit's commands run."""

    user: str = ""
    group: str = ""
    supplementary_groups: tuple[str, ...] = ()
    working_directory: str = ""
    working_directory_optional: bool = False
    umask: int | None = None
    limits: tuple[tuple[str, float, float], ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    environment_files: tuple[EnvironmentSource, ...] = ()
    pass_environment: tuple[str, ...] = ()
    unset_environment: tuple[str, ...] = ()
    stdout: Output = _JOURNAL
    stderr: Output = _AS_STDOUT
    identifier: str = ""


@dataclass(frozen=True, slots=True)
class Killing:
    """How processes are ended; `mode` is control-group, mixed, process or none."""

    mode: str = "control-group"
    signal: int = 15
    final_signal: int = 9
    send_sigkill: bool = True
    send_sighup: bool = False


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Names of other units, by relation."""

    requires: tuple[str, ...] = ()
    requisite: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    binds_to: tuple[str, ...] = ()
    part_of: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Definition:
    """One unit as its file defines it.

    `problem` says why it cannot be started ("" when it can); `warnings` name what is ignored.
    `commands` maps ExecStartPre, ExecStart, ... to their command lists.
    """

    name: str
    hash: str = ""
    description: str = ""
    problem: str = ""
    warnings: tuple[str, ...] = ()
    dependencies: Dependencies = Dependencies()
    conditions: tuple[Condition, ...] = ()
    type: str = "simple"
    commands: dict[str, tuple[Command, ...]] = field(default_factory=dict)
    pid_file: str = ""
    guess_main_pid: bool = True
    remain_after_exit: bool = False
    restart: str = "no"
    restart_s: float = RESTART_DEFAULT_S
    timeout_start_s: float = TIMEOUT_DEFAULT_S
    timeout_stop_s: float = TIMEOUT_DEFAULT_S
    runtime_max_s: float = INFINITY
    watchdog_s: float = INFINITY
    notify_access: str = "none"
    success: ExitSet = _NO_EXITS
    restart_prevent: ExitSet = _NO_EXITS
    restart_force: ExitSet = _NO_EXITS
    start_limit_interval_s: float = START_LIMIT_INTERVAL_DEFAULT_S
    start_limit_burst: int = START_LIMIT_BURST_DEFAULT
    killing: Killing = Killing()
    execution: Execution = Execution()

    def command_list(self, setting: str) -> tuple[Command, ...]:
        """Commands of one Exec*= setting, () when it is not given."""
        return self.commands.get(setting, ())

    @property
    def title(self) -> str:
        """How log lines call the unit: "web.service - A web server"."""
        return f"{self.name} - {self.description}" if self.description else self.name
