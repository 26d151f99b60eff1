"""The life of a pretended instance, as steps: it says what to do, and is told what came of it.

Pure: a generator that yields Sleep, Ask and Say; after an Ask it is sent the answer, None if there
was none. Chance comes as an argument. Mirrors instance.go.
"""

from __future__ import annotations

from coreos_py.base.errors import WireError
from coreos_py.updatectl import omahaclient
from coreos_py.updatectl.omahaclient import event, ping, update_check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from coreos_py.omaha.xml import Element

    Life = Generator["Sleep | Ask | Say", "Element | None", None]

UPDATE = (("13", "1"), ("14", "1"), ("3", "1"))  # downloading, downloaded, installed
_FAILED = ("3", "0")
_COMPLETE = ("3", "2")


class Sleep:
    """Do nothing for a while."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds


class Ask:
    """Send a request."""

    __slots__ = ("body",)

    def __init__(self, body: bytes) -> None:
        self.body = body


class Say:
    """Tell the person who watches; `is_problem`: in the log."""

    __slots__ = ("is_problem", "text")

    def __init__(self, text: str, *, is_problem: bool = False) -> None:
        self.text = text
        self.is_problem = is_problem


class Rules:
    """What all instances of a run share; times in seconds."""

    __slots__ = ("app", "errorrate", "force", "max_sleep_s", "min_sleep_s", "oem", "pings", "track")

    def __init__(
        self,
        *,
        app: str,
        track: str,
        oem: str = "fakeclient",
        min_sleep_s: int = 1,
        max_sleep_s: int = 10,
        errorrate: int = 1,
        pings: int = 0,
        force: bool = False,
    ) -> None:
        self.app = app
        self.track = track
        self.oem = oem
        self.min_sleep_s = min_sleep_s
        self.max_sleep_s = max_sleep_s
        self.errorrate = errorrate  # of a hundred
        self.pings = pings  # while the reboot is awaited, the first time
        self.force = force


class Instance:
    """One of them. `below(n)` is a random number from 0 to n - 1, `new_id` makes boot ids."""

    def __init__(
        self,
        rules: Rules,
        *,
        id: str,
        version: str,
        below: Callable[[int], int],
        new_id: Callable[[], str],
    ) -> None:
        self.rules = rules
        self.id = id
        self.version = version
        self._below = below
        self._new_id = new_id
        self._boot_id = new_id()
        self._pings = rules.pings

    def live(self) -> Life:
        """For ever: check, and update when there is one."""
        low, high = self.rules.min_sleep_s, self.rules.max_sleep_s
        while True:
            yield Sleep(low + self._below(high - low) if high > low else high)
            answer = yield self._ask(update_check(), event(*_COMPLETE))
            if answer is None:
                continue
            try:
                check = omahaclient.check_of(answer)
            except WireError as err:
                yield Say(f"error setting version: {err}")
                continue
            if check.status != "ok":
                yield Say(check.status)
                continue
            yield from self._update(check.version)

    def _update(self, version: str) -> Life:
        for at, (type_, result) in enumerate(UPDATE):
            if at:
                yield Sleep(1)
            if self._below(100) < self.rules.errorrate:
                yield self._ask(event(*_FAILED))
                problem = f"failed to update in eventType: {type_}, eventResult: {result}."
                yield Say(f"{problem} Retrying.", is_problem=True)
                yield Sleep(self.rules.min_sleep_s)
                yield self._ask(event(type_, result))
                return
            answer = yield self._ask(event(type_, result))
            if answer is None:
                return
        while self._pings > 0:
            self._pings -= 1
            yield self._ask(ping())
            yield Sleep(1)
        yield Say(f"updated from {self.version} to {version}")
        self.version = version
        yield self._ask(event(*_COMPLETE))
        self._boot_id = self._new_id()

    def _ask(self, *children: Element) -> Ask:
        app = {
            "appid": self.rules.app,
            "version": self.version,
            "track": self.rules.track,
            "bootid": self._boot_id,
            "machineid": self.id,
            "oem": self.rules.oem,
        }
        source = "ondemandupdate" if self.rules.force else "scheduler"
        return Ask(omahaclient.request(app, children, source=source))
