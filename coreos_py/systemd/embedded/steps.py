"""What a service is made of while it lives, and the single steps of its transitions. Pure."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from coreos_py.systemd.embedded.effects import Effect, Say, Signal, Spawn, Timer, Watch
from coreos_py.systemd.embedded.policy import Exit, Result
from coreos_py.systemd.embedded.states import ACTIVE_OF, Snapshot
from coreos_py.systemd.embedded.values import SIGKILL

if TYPE_CHECKING:
    from coreos_py.systemd.embedded.command import Command
    from coreos_py.systemd.embedded.definition import Definition

START_HISTORY_MAX = 1000


class Steps:
    """One service; `sub` is systemd's sub state, `definition` the text in force.

    A run keeps the definition it was started with in `run`, so that a unit file replaced
    meanwhile does not change how the old process is stopped.
    """

    def __init__(self, definition: Definition, effects: list[Effect]) -> None:
        self.name = definition.name
        self.definition = definition
        self.run = definition
        self.effects = effects
        self.sub = "dead"
        self.result = Result.SUCCESS
        self.main_pid = 0
        self.main_known = True
        self.main_exit: Exit | None = None
        self.control_pid = 0
        self.control_setting = ""
        self.step = 0
        self.asked_to_stop = False
        self.restarts = 0
        self.starts: deque[float] = deque(maxlen=START_HISTORY_MAX)
        self.status_text = ""
        self.spawning = False  # a Spawn is not answered yet: nobody knows the pid to signal
        self._main_command: Command | None = None

    @property
    def active(self) -> str:
        """systemd's ActiveState word."""
        return ACTIVE_OF[self.sub]

    def snapshot(self) -> Snapshot:
        """What to write down now, so that `adopt` can go on from here."""
        return Snapshot(
            self.sub,
            str(self.result),
            self.main_pid,
            self.main_known,
            self.step,
            self.asked_to_stop,
            self.restarts,
        )

    def _main(self, index: int) -> None:
        self.step = index
        self._main_command = self.run.command_list("ExecStart")[index]
        self._spawn("main", "ExecStart", self._main_command)

    def _control(self, sub: str, setting: str, index: int) -> None:
        self.sub = sub
        self.step = index
        self.control_setting = setting
        self._spawn("control", setting, self.run.command_list(setting)[index])

    def _spawn(self, role: str, setting: str, command: Command) -> None:
        extra = {"MAINPID": str(self.main_pid)} if self.main_pid and role == "control" else {}
        if setting in ("ExecStop", "ExecStopPost"):
            extra["SERVICE_RESULT"] = str(self.result)
            if self.main_exit is not None:
                extra["EXIT_CODE"] = self.main_exit.code
                extra["EXIT_STATUS"] = self.main_exit.status_word
        self.spawning = True
        self.effects.append(Spawn(self.name, role, setting, command, self.run, extra))

    def _pids(self) -> tuple[int, ...]:
        return tuple(pid for pid in (self.main_pid, self.control_pid) if pid)

    def _kill_control(self) -> None:
        if self.control_pid:
            self.effects.append(Signal(self.name, SIGKILL, (self.control_pid,)))
            self.control_pid = 0

    def _fail(self, result: Result) -> None:
        if self.result is Result.SUCCESS:
            self.result = result

    def _watch_tree(self) -> None:
        self.effects.append(Watch(self.name, True))

    def _arm(self, delay_s: float) -> None:
        self._timer(None if math.isinf(delay_s) else delay_s)

    def _arm_watchdog(self) -> None:
        if not math.isinf(self.run.watchdog_s):
            self.effects.append(Timer(self.name, "watchdog", self.run.watchdog_s))

    def _timer(self, delay_s: float | None) -> None:
        self.effects.append(Timer(self.name, "state", delay_s))

    def _say(self, text: str, *, warning: bool = False) -> None:
        self.effects.append(Say(self.name, text, warning))
