"""Looks at machines that reboot under a lock, all the time: who is down, and who has the lock."""

from __future__ import annotations

import json
import threading
import time
from typing import Self

from tests.support.procs import http_request
from tests.support.slot_machines import SlotMachine

KEY = "/v2/keys/coreos.com/updateengine/rebootlock/semaphore?quorum=true"
_ASK_S = 2.0


class RebootWatch:
    """Two threads that fill `violations`. Use as a context manager.

    At no moment may two machines be down, or two have the lock; and while one is down, it has it.
    Those in `dead` do not count.
    """

    def __init__(self, machines: list[SlotMachine]) -> None:
        self._machines = machines
        self.violations: list[str] = []
        self.looks_at_power = 0
        self.looks_at_lock = 0
        self.dead: set[int] = set()
        self._is_over = threading.Event()
        works = (self._watch_power, self._watch_lock)
        self._threads = [threading.Thread(target=work, daemon=True) for work in works]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def holders(self) -> list[str] | None:
        """Who has the lock, as a quorum says; None when nobody can tell at the moment."""
        for machine in self._machines:
            if not machine.is_on:
                continue
            try:
                reply = http_request("GET", f"http://{machine.address}:2379{KEY}", timeout_s=_ASK_S)
            except OSError:
                continue
            if reply.status == 200:
                return json.loads(reply.json()["node"]["value"])["holders"] or []
        return None

    def _watch_power(self) -> None:
        while not self._is_over.wait(0.05):
            down = self._down()
            if len(down) > 1:
                self._complain(f"machines {sorted(down)} are down at once")
            self.looks_at_power += 1

    def _watch_lock(self) -> None:
        while not self._is_over.wait(0.1):
            down = self._down()
            holders = self.holders()
            if holders is not None:
                self._compare(down & self._down(), holders)
                self.looks_at_lock += 1

    def _compare(self, down: set[int], holders: list[str]) -> None:
        """`down` are those that were so before the lock was looked at, and still are."""
        if len(holders) > 1:
            self._complain(f"{holders} have the lock")
        for machine in self._machines:
            if machine.number in down and holders != [machine.id]:
                self._complain(f"machine {machine.number} is down, the lock is at {holders}")

    def _down(self) -> set[int]:
        return {m.number for m in self._machines if not m.is_on} - self.dead

    def _complain(self, text: str) -> None:
        if not self.violations or not self.violations[-1].endswith(text):
            self.violations.append(f"{time.strftime('%X')} {text}")
