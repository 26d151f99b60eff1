"""What locksmithd does when: from its start over a finished update to the reboot.

Pure: told what happened and the time, it says what to do next and when to ask again. Mirrors
locksmith 0.6.2's locksmithctl/daemon.go, whose texts the log lines are. Different on purpose: a
lock that was late in coming waits for the next reboot window, as in locksmith 0.7; best-effort,
which 0.6 has dropped, decides as 0.5 did, and takes an endpoint that was set for an etcd.
"""

from __future__ import annotations

from coreos_py.base import durations
from coreos_py.locksmith import window as windows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.locksmith.window import Now, Window

ETCD_LOCK = "etcd-lock"
REBOOT = "reboot"
BEST_EFFORT = "best-effort"
OFF = "off"

NEED_REBOOT = "UPDATE_STATUS_UPDATED_NEED_REBOOT"

# States of the coordinator file.
STARTING = "starting"
RUNNING = "running"
REBOOT_PLANNED = "reboot-planned"
REBOOTING = "rebooting"

FIRST_TRY_NS = 5 * durations.SECOND
TRY_MAX_NS = 5 * durations.MINUTE
LOGINS_DELAY_NS = 5 * durations.MINUTE
REBOOT_DEADLINE_NS = 7 * 24 * durations.HOUR

INFO = "I"
NOTICE = "N"
WARNING = "W"
ERROR = "E"
CRITICAL = "C"


class Action:
    """One thing to do, in order; `wants` names the answer that is waited for, "" for none."""

    __slots__ = ("level", "text", "verb")

    def __init__(self, verb: str, text: str = "", *, level: str = INFO) -> None:
        self.verb = verb
        self.text = text
        self.level = level

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Action) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Action({self.verb!r}, {self.text!r}, level={self.level!r})"

    def _key(self) -> tuple[str, str, str]:
        return self.verb, self.text, self.level


# Verbs. The first ones are answered: by `unlocked`, `locked`, `chosen`, `broadcast_to`.
UNLOCK = "unlock"
LOCK = "lock"
CHOOSE = "choose"
BROADCAST = "broadcast"
LOG = "log"
STATE = "state"
GO_DOWN = "reboot"
EXIT = "exit"

_ASKED = (UNLOCK, LOCK, CHOOSE, BROADCAST)


class Rebooter:
    """The course of one locksmithd. `deadline_ns` is when `tick` wants to be called, None: never.

    At most one asked-for answer is outstanding, named by `waits_for`.
    """

    def __init__(
        self,
        strategy: str,
        window: Window | None,
        *,
        calendar: Callable[[int], Now],
    ) -> None:
        self.strategy = strategy
        self.deadline_ns: int | None = None
        self.waits_for = ""
        self._window = window
        self._calendar = calendar
        self._interval_ns = FIRST_TRY_NS
        self._next: Callable[[int], list[Action]] | None = None
        self._is_needed = False
        self._is_planned = False
        self._uses_lock = strategy == ETCD_LOCK

    # -- what happens

    def start(self, operation: str, now_ns: int) -> list[Action]:
        """The daemon is ready; update_engine is at `operation`."""
        quoted = operation.replace("\\", "\\\\").replace('"', '\\"')
        text = f'locksmithd starting currentOperation="{quoted}" strategy="{self.strategy}"'
        actions = [Action(LOG, text), Action(STATE, RUNNING)]
        if operation == NEED_REBOOT:
            return actions + self._needed(now_ns)
        if self._may_hold:
            self._at(now_ns + self._interval_ns, self._unlock_old)
        return actions

    def status(self, operation: str, now_ns: int) -> list[Action]:
        """update_engine has said where it is."""
        if operation != NEED_REBOOT or self._is_needed:
            return []
        if self.waits_for:  # an unlocking that is under way comes first
            self._is_needed = True
            return []
        return self._needed(now_ns)

    def tick(self, now_ns: int) -> list[Action]:
        """The deadline has come."""
        if self.deadline_ns is None or now_ns < self.deadline_ns or self._next is None:
            return []
        step, self._next, self.deadline_ns = self._next, None, None
        return step(now_ns)

    def unlocked(self, problem: str, now_ns: int, *, was_held: bool = False) -> list[Action]:
        """Giving this machine's lock back went so; no `problem` when none is held any more."""
        self.waits_for = ""
        actions = []
        if was_held and not problem:
            actions.append(Action(LOG, "Unlocked existing lock for this machine"))
        if self._is_planned:
            if problem:
                return self._fail(f"Failed to unlock held lock: {problem}")
            return actions + self._ask(LOCK)
        if problem and not self._is_needed:
            self._back_off()
            wait = durations.format(self._interval_ns)
            text = f"Unlocking old locks failed: {problem}. Retrying in {wait}."
            actions.append(Action(LOG, text, level=ERROR))
            self._at(now_ns + self._interval_ns, self._unlock_old)
        return actions + (self._needed(now_ns) if self._is_needed else [])

    def chosen(self, *, has_etcd: bool, now_ns: int) -> list[Action]:
        """Whether best-effort finds an etcd."""
        self.waits_for = ""
        self._uses_lock = has_etcd
        if self._is_planned:
            return self._take_or_go(now_ns)
        if has_etcd and not self._is_needed:
            return self._ask(UNLOCK)
        if self._is_needed:
            return self._needed(now_ns)
        self._back_off()
        self._at(now_ns + self._interval_ns, self._unlock_old)
        return []

    def locked(self, problem: str, now_ns: int) -> list[Action]:
        """Taking the lock went so; a lock that this machine had already is no problem."""
        self.waits_for = ""
        if not problem:
            return self._ask(BROADCAST)
        self._back_off()
        wait = durations.format(self._interval_ns)
        self._at(now_ns + self._interval_ns, self._try_again)
        text = f"Failed to acquire lock: {problem}. Retrying in {wait}."
        return [Action(LOG, text, level=WARNING)]

    def no_lock(self, problem: str, now_ns: int) -> list[Action]:
        """The lock cannot even be asked for; when it is needed that is left to the next start."""
        if not self._is_planned:
            return self.unlocked(f"error setting up lock: {problem}", now_ns)
        self.waits_for = ""
        return self._fail(f"Failed to set up lock: {problem}")

    def broadcast_to(self, lines: int, now_ns: int) -> list[Action]:
        """So many terminals were told."""
        self.waits_for = ""
        if not lines:
            return self._go_down(now_ns)
        minutes = LOGINS_DELAY_NS // durations.MINUTE
        self._at(now_ns + LOGINS_DELAY_NS, self._go_down)
        text = f"Logins detected, delaying reboot for {minutes} minutes."
        return [Action(LOG, text, level=NOTICE)]

    # -- what follows

    @property
    def _may_hold(self) -> bool:
        return self.strategy in (ETCD_LOCK, BEST_EFFORT)

    def _unlock_old(self, now_ns: int) -> list[Action]:
        del now_ns
        return self._ask(CHOOSE if self.strategy == BEST_EFFORT else UNLOCK)

    def _needed(self, now_ns: int) -> list[Action]:
        self._is_needed = True
        self._interval_ns = FIRST_TRY_NS
        self._next, self.deadline_ns = None, None
        return self._in_window(now_ns, self._plan)

    def _in_window(self, now_ns: int, then: Callable[[int], list[Action]]) -> list[Action]:
        """Go on when the window is open."""
        wait_ns = 0
        if self._window is not None:
            wait_ns = windows.until_open_ns(self._window, self._calendar(now_ns))
        if wait_ns <= 0:
            return then(now_ns)
        self._at(now_ns + wait_ns, then)
        return [Action(LOG, f"Waiting for {durations.format(wait_ns)} to reboot.")]

    def _plan(self, now_ns: int) -> list[Action]:
        self._is_planned = True
        actions = [Action(STATE, REBOOT_PLANNED)]
        if self.strategy == BEST_EFFORT:
            return actions + self._ask(CHOOSE)
        if self.strategy in (ETCD_LOCK, REBOOT):
            return actions + self._take_or_go(now_ns)
        return actions + self._fail(f"unknown strategy: {self.strategy}")

    def _take_or_go(self, now_ns: int) -> list[Action]:
        del now_ns
        return self._ask(UNLOCK if self._uses_lock else BROADCAST)

    def _try_again(self, now_ns: int) -> list[Action]:
        return self._in_window(now_ns, lambda _now_ns: self._ask(LOCK))

    def _go_down(self, now_ns: int) -> list[Action]:
        self._at(now_ns + REBOOT_DEADLINE_NS, self._give_up)
        return [
            Action(GO_DOWN),
            Action(LOG, "Reboot sent. Going to sleep."),
            Action(STATE, REBOOTING),
        ]

    def _give_up(self, now_ns: int) -> list[Action]:
        del now_ns
        return self._fail("Tried to reboot but did not!", level=CRITICAL)

    def _fail(self, text: str, *, level: str = ERROR) -> list[Action]:
        return [Action(LOG, text, level=level), Action(EXIT, "1")]

    def _ask(self, verb: str) -> list[Action]:
        assert verb in _ASKED
        self.waits_for = verb
        return [Action(verb)]

    def _at(self, when_ns: int, step: Callable[[int], list[Action]]) -> None:
        self._next, self.deadline_ns = step, when_ns

    def _back_off(self) -> None:
        self._interval_ns = min(self._interval_ns * 2, TRY_MAX_NS)
