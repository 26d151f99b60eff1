"""The life of one service: what happens on start, stop, exits, time-outs and notifications.

State names, their order and the results are those of systemd 252 (src/core/service.c). Pure:
events and the time come in, effects go into a list; the engine adds order between units.
"""

from __future__ import annotations

import math

from coreos_py.systemd.embedded.effects import (
    Begin,
    End,
    FindMain,
    Signal,
    Timer,
    Watch,
)
from coreos_py.systemd.embedded.policy import (
    Exit,
    Result,
    control_result,
    main_result,
    may_start,
    restarts,
)
from coreos_py.systemd.embedded.states import (
    SIGNALLED,
    STARTING,
    STOPPING,
    Snapshot,
)
from coreos_py.systemd.embedded.steps import Steps
from coreos_py.systemd.embedded.values import SIGABRT, SIGHUP


class Service(Steps):
    """The transitions between the states of one service."""

    # Requests

    def start(self, now: float) -> None:
        """Start a service that is inactive, failed or waiting for its automatic restart."""
        if self.sub not in ("dead", "failed", "auto-restart"):
            return
        automatic = self.sub == "auto-restart"
        self._timer(None)
        self.run = self.definition
        self.result = Result.SUCCESS
        self.main_exit = None
        self.status_text = ""
        self.asked_to_stop = False
        if not automatic:
            self.restarts = 0
        if not may_start(self.run, self.starts, now):
            self.result = Result.START_LIMIT
            self._say(f"{self.name}: Start request repeated too quickly.", warning=True)
            self._end("failed")
            return
        self.starts.append(now)
        self.effects.append(Begin(self.name))
        self._say(f"Starting {self.run.title}...")
        self._enter_start_pre()

    def stop(self) -> None:
        """Stop the service; a stopped one is left alone."""
        self.asked_to_stop = True
        if self.sub == "auto-restart":
            self._timer(None)
            self._end("failed" if self.result is not Result.SUCCESS else "dead")
        elif self.sub in STARTING or self.sub == "reload":
            self._say(f"Stopping {self.run.title}...")
            self._enter_signal("stop-sigterm", Result.SUCCESS)
        elif self.sub in ("running", "exited"):
            self._say(f"Stopping {self.run.title}...")
            self._enter_stop(Result.SUCCESS)

    def refuse(self, reason: str) -> None:
        """Fail a start that cannot even be tried."""
        self.result = Result.RESOURCES
        self._say(f"{self.name}: {reason}", warning=True)
        self._end("failed")

    def reload(self) -> None:
        """Run ExecReload of a running service."""
        if self.sub == "running" and self.run.command_list("ExecReload"):
            self._arm(self.run.timeout_start_s)
            self._control("reload", "ExecReload", 0)

    def reset(self) -> None:
        """Forget an earlier failure and the history of starts."""
        self.starts.clear()
        if self.sub == "failed":
            self.sub = "dead"
            self.result = Result.SUCCESS

    def adopt(self, old: Snapshot, *, main_alive: bool, tree_alive: bool) -> bool:
        """Go on from what an earlier manager wrote down; True when the start must be repeated."""
        self.result = Result(old.result)
        self.restarts = old.restarts
        self.asked_to_stop = old.asked_to_stop
        self.step = old.step
        self.sub = old.sub
        self.main_pid = old.main_pid if main_alive else 0
        self.main_known = old.main_known
        if old.sub in ("dead", "failed", "exited"):
            return False
        if old.sub == "auto-restart":
            self._arm(self.run.restart_s)
        elif old.sub in STOPPING:
            self._enter_signal("stop-sigterm", Result.SUCCESS)
        elif old.sub in STARTING and old.sub != "start-post":
            return self._adopt_starting(old)
        elif self.main_pid or (tree_alive and not old.main_known):
            self.sub = "running"
            self._enter_running(Result.SUCCESS)
            self._arm_watchdog()
        else:
            self.sub, self.main_known = "running", True
            self._main_ended(Exit("lost", 0))
        return False

    def _adopt_starting(self, old: Snapshot) -> bool:
        if old.sub == "start" and self.main_pid and "notify" in self.run.type:
            # READY may have been sent to nobody; a ready service must not be timed out for that.
            self.sub = "running"
            self._enter_running(Result.SUCCESS)
        elif old.sub == "start" and self.main_pid and self.run.type == "oneshot":
            self._main_command = self.run.command_list("ExecStart")[self.step]
            self._arm(self.run.timeout_start_s)
        elif old.sub == "start" and old.main_pid and self.run.type == "oneshot":
            self._main_ended(Exit("lost", 0))
        else:
            self.asked_to_stop = True
            self._enter_signal("stop-sigterm", Result.SUCCESS)
            return not old.asked_to_stop
        return False

    # Events

    def spawned(self, role: str, pid: int) -> None:
        """A command runs."""
        self.spawning = False
        if role == "control":
            self.control_pid = pid
            return
        self.main_pid = pid
        self.main_known = True
        if self.sub == "start" and self.run.type not in ("oneshot", "notify", "notify-reload"):
            self._enter_start_post()

    def spawn_failed(self, role: str, end: Exit, reason: str) -> None:
        """A command could not be run; `end` is how systemd would report it."""
        self.spawning = False
        self._say(f"{self.name}: {reason}", warning=True)
        if role == "control":
            self._control_ended(end)
        else:
            self._main_ended(end)

    def exited(self, pid: int, end: Exit) -> None:
        """A process ended; others than the main and the control process say nothing."""
        if pid and pid == self.main_pid:
            self.main_pid = 0
            self._main_ended(end)
        elif pid and pid == self.control_pid:
            self.control_pid = 0
            self._control_ended(end)

    def main_found(self, pid: int) -> None:
        """Answer to FindMain; 0 when there is none to be known."""
        if self.sub != "start":
            return
        self.main_pid = pid
        self.main_known = bool(pid)
        self._enter_start_post()

    def tree_empty(self) -> None:
        """Nothing of the unit runs any more."""
        if self.sub in SIGNALLED:
            self._after_signal()
        elif self.sub == "running" and not self.main_known:
            self.main_known = True
            self._enter_running(Result.SUCCESS)

    def notify(self, fields: dict[str, str], *, main_pid: int = 0) -> None:
        """A notification of the service; `main_pid` is a checked MAINPID."""
        if "STATUS" in fields:
            self.status_text = fields["STATUS"]
        if main_pid and self.sub not in ("dead", "failed", "auto-restart"):
            self.main_pid = main_pid
            self.main_known = True
        if fields.get("READY") == "1" and self.sub == "start" and "notify" in self.run.type:
            self._enter_start_post()
        if fields.get("STOPPING") == "1" and self.sub in ("running", "reload"):
            self._arm(self.run.timeout_stop_s)
            self.sub = "stop-sigterm"
            self._watch_tree()
        if fields.get("WATCHDOG") == "1":
            self._arm_watchdog()
        elif fields.get("WATCHDOG") == "trigger":
            self.watchdog()
        extend = fields.get("EXTEND_TIMEOUT_USEC", "")
        if extend.isdigit() and (self.sub in STARTING or self.sub in STOPPING):
            self._arm(int(extend) / 1e6)

    def watchdog(self) -> None:
        """The service did not report in time."""
        if self.sub in ("running", "start-post", "reload"):
            self._say(f"{self.name}: Watchdog timeout!", warning=True)
            self.effects.append(Signal(self.name, SIGABRT, self._pids()))
            self._enter_signal("stop-sigterm", Result.WATCHDOG)

    def timeout(self) -> None:
        """The time for the present state is over; auto-restart is the engine's business."""
        sub = self.sub
        if sub in STARTING:
            self._say(f"{self.name}: {sub} operation timed out. Terminating.", warning=True)
            self._enter_signal("stop-sigterm", Result.TIMEOUT)
        elif sub == "running":
            self._say(f"{self.name}: Service reached runtime time limit. Stopping.", warning=True)
            self._enter_stop(Result.TIMEOUT)
        elif sub == "reload":
            self._say(f"{self.name}: Reload operation timed out. Killing.", warning=True)
            self._kill_control()
            self._enter_running(Result.SUCCESS)
        elif sub == "stop":
            self._say(f"{self.name}: Stopping timed out. Terminating.", warning=True)
            self._enter_signal("stop-sigterm", Result.TIMEOUT)
        elif sub in STOPPING:
            self._stopping_timed_out()

    def _stopping_timed_out(self) -> None:
        sub, kills = self.sub, self.run.killing.send_sigkill
        if sub == "stop-post":
            self._say(f"{self.name}: Stop-post timed out. Terminating.", warning=True)
            self._enter_signal("final-sigterm", Result.TIMEOUT)
        elif sub.endswith("sigterm") and kills:
            self._say(f"{self.name}: State '{sub}' timed out. Killing.", warning=True)
            self._enter_signal(sub.replace("term", "kill"), Result.TIMEOUT)
        else:
            word = "Processes still around after SIGKILL" if kills else f"State '{sub}' timed out"
            self._say(f"{self.name}: {word}. Ignoring.", warning=True)
            self._fail(Result.TIMEOUT)
            self._after_signal()

    # Starting

    def _enter_start_pre(self) -> None:
        self._arm(self.run.timeout_start_s)
        if self.run.command_list("ExecStartPre"):
            self._control("start-pre", "ExecStartPre", 0)
        else:
            self._enter_start()

    def _enter_start(self) -> None:
        self._arm(self.run.timeout_start_s)
        if self.run.type == "forking":
            self.main_known = False
            self._control("start", "ExecStart", 0)
        elif self.run.command_list("ExecStart"):
            self.sub = "start"
            self._main(0)
        else:
            self.sub = "start"
            self._enter_start_post()

    def _enter_start_post(self) -> None:
        self._arm_watchdog()
        if self.run.command_list("ExecStartPost"):
            self._arm(self.run.timeout_start_s)
            self._control("start-post", "ExecStartPost", 0)
        else:
            self._enter_running(Result.SUCCESS)

    def _enter_running(self, result: Result) -> None:
        self._fail(result)
        was = self.sub
        if self.result is not Result.SUCCESS:
            self._enter_signal("stop-sigterm", result)
            return
        self._timer(None)
        alive = bool(self.main_pid) or not self.main_known
        if not alive and not self.run.remain_after_exit:
            if was in STARTING:
                self._say(f"Finished {self.run.title}.")
            self._enter_stop(Result.SUCCESS)
            return
        self.sub = "running" if alive else "exited"
        if was in STARTING:
            finished = self.run.type == "oneshot"
            self._say(f"{'Finished' if finished else 'Started'} {self.run.title}.")
        if alive and not self.main_known:
            self._watch_tree()
        if alive and not math.isinf(self.run.runtime_max_s):
            self._arm(self.run.runtime_max_s)

    # Stopping

    def _enter_stop(self, result: Result) -> None:
        self._fail(result)
        self.effects.append(Watch(self.name, False))
        if self.run.command_list("ExecStop"):
            self._arm(self.run.timeout_stop_s)
            self._control("stop", "ExecStop", 0)
        else:
            self._enter_signal("stop-sigterm", Result.SUCCESS)

    def _enter_signal(self, sub: str, result: Result) -> None:
        """Signal as KillMode= says; go on at once when that leaves nobody to wait for."""
        self._fail(result)
        killing = self.run.killing
        self.sub = sub
        forced = sub.endswith("sigkill")
        if forced and not killing.send_sigkill:
            self._after_signal()
            return
        number = killing.final_signal if forced else killing.signal
        tree = killing.mode == "control-group" or (killing.mode == "mixed" and forced)
        pids = () if killing.mode == "none" else self._pids()
        if not tree and not pids:
            self._after_signal()
            return
        self.effects.append(Signal(self.name, number, pids, tree))
        if killing.send_sighup and not forced:
            self.effects.append(Signal(self.name, SIGHUP, pids, tree))
        self._arm(self.run.timeout_stop_s)
        if tree:
            self._watch_tree()

    def _after_signal(self) -> None:
        killing = self.run.killing
        if self.sub.startswith("stop"):
            self._enter_stop_post()
        elif self.sub == "final-sigterm" and killing.mode == "mixed" and killing.send_sigkill:
            self._enter_signal("final-sigkill", Result.SUCCESS)
        else:
            self._enter_dead()

    def _enter_stop_post(self) -> None:
        self.effects.append(Watch(self.name, False))
        if self.run.command_list("ExecStopPost"):
            self._arm(self.run.timeout_stop_s)
            self._control("stop-post", "ExecStopPost", 0)
        else:
            self._enter_signal("final-sigterm", Result.SUCCESS)

    def _enter_dead(self) -> None:
        if not self.asked_to_stop and restarts(self.run, self.result, self.main_exit):
            self.restarts += 1
            self._say_end()
            self._finish("auto-restart")
            self._arm(self.definition.restart_s)
            return
        self._say_end()
        self._end("dead" if self.result is Result.SUCCESS else "failed")

    def _say_end(self) -> None:
        if self.result is Result.SUCCESS:
            self._say(f"{self.name}: Deactivated successfully.")
        else:
            self._say(f"{self.name}: Failed with result '{self.result}'.", warning=True)
        if self.asked_to_stop:
            self._say(f"Stopped {self.run.title}.")

    def _end(self, sub: str) -> None:
        self._finish(sub)
        self.run = self.definition

    def _finish(self, sub: str) -> None:
        self.sub = sub
        self._timer(None)
        self.effects.append(Timer(self.name, "watchdog", None))
        self.effects.append(Watch(self.name, False))
        self.effects.append(End(self.name))
        self.main_pid = self.control_pid = 0
        self.main_known = True

    # Ends of processes

    def _main_ended(self, end: Exit) -> None:
        self.main_exit = end
        result = main_result(self.run, end)
        if end.code == "lost" and self.asked_to_stop and self.sub in STOPPING:
            result = Result.SUCCESS  # ended as it was told to, by all we can know
        if result is not Result.SUCCESS:
            self._say(f"{self.name}: Main process exited, {end}", warning=True)
        if self._main_command is not None and self._main_command.may_fail:
            result = Result.SUCCESS
        starts = self.run.command_list("ExecStart")
        if (
            self.run.type == "oneshot"
            and self.sub == "start"
            and result is Result.SUCCESS
            and self.step + 1 < len(starts)
        ):
            self._main(self.step + 1)
            return
        self._fail(result)
        sub = self.sub
        if sub == "start":
            self._main_ended_in_start(result)
        elif sub in ("start-post", "reload"):
            if not self.control_pid:
                self._enter_running(result)
        elif sub == "running":
            self._enter_running(result)
        elif sub in SIGNALLED and not self.control_pid and not self._waits_for_tree():
            self._after_signal()

    def _main_ended_in_start(self, result: Result) -> None:
        if result is not Result.SUCCESS:
            self._enter_signal("stop-sigterm", result)
        elif self.run.type == "oneshot" or not self.run.command_list("ExecStart"):
            self._enter_start_post()
        elif "notify" in self.run.type:
            self._enter_signal("stop-sigterm", Result.PROTOCOL)
        else:
            self._enter_start_post()

    def _control_ended(self, end: Exit) -> None:
        setting = self.control_setting
        commands = self.run.command_list(setting)
        result = control_result(end)
        if result is not Result.SUCCESS:
            self._say(f"{self.name}: Control process exited, {end} ({setting})", warning=True)
            if commands[self.step].may_fail:
                result = Result.SUCCESS
        more = self.step + 1 < len(commands) and setting != "ExecStart"
        if more and result is Result.SUCCESS and self.sub not in SIGNALLED:
            self._control(self.sub, setting, self.step + 1)
            return
        if self.sub != "reload":
            self._fail(result)
        self._control_step(result)

    def _control_step(self, result: Result) -> None:
        sub, failed = self.sub, result is not Result.SUCCESS
        if sub in STARTING and failed:
            self._enter_signal("stop-sigterm", result)
        elif sub == "start-pre":
            self._enter_start()
        elif sub == "start":
            self.effects.append(FindMain(self.name, self.run.pid_file, self.run.guess_main_pid))
        elif sub in ("start-post", "reload"):
            self._enter_running(Result.SUCCESS)
        elif sub == "stop":
            self._enter_signal("stop-sigterm", result)
        elif sub == "stop-post":
            self._enter_signal("final-sigterm", result)
        elif sub in SIGNALLED and not self.main_pid and not self._waits_for_tree():
            self._after_signal()

    def _waits_for_tree(self) -> bool:
        mode = self.run.killing.mode
        return mode == "control-group" or (mode == "mixed" and self.sub.endswith("sigkill"))
