"""A pretended machine for the pure engine: processes, signals and timers, no operating system.

A command's path decides how its process behaves: /run stays until signalled, /stubborn only ends on
SIGKILL, /ok and /fail end at once, /missing cannot be executed, /daemon forks a /run and ends.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import Any

from coreos_py.base import unitfile
from coreos_py.systemd.embedded.directives import define
from coreos_py.systemd.embedded.engine import Engine
from coreos_py.systemd.embedded.policy import Exit
from coreos_py.systemd.embedded.specifiers import Facts


class Process:
    def __init__(self, pid, unit, kind, setting, argv):
        self.pid = pid
        self.unit = unit
        self.kind = kind
        self.setting = setting
        self.argv = argv


class World:
    def __init__(self):
        self.now = 1000.0
        self.engine = Engine(lambda condition: condition.argument in self.paths)
        self.paths = set()
        self.processes = {}
        self.timers = {}
        self.watched = set()
        self.leaving = set()
        self.ran = []
        self.said = []
        self.seen = {}
        self.during = {}
        self._pid = 100
        self._queue: deque[Any] = deque()
        self._ends: deque[Any] = deque()  # like a real loop, only told of between two turns

    def load(self, name, text):
        self.engine.load(define(name, unitfile.parse(text), Facts()))

    def services(self, **bodies):
        for name, body in bodies.items():
            self.load(f"{name}.service", body)

    def start(self, *names):
        for name in names:
            self.do(self.engine.start(f"{name}.service", self.now))

    def stop(self, *names):
        for name in names:
            self.do(self.engine.stop(f"{name}.service", self.now))

    def state(self, name):
        return self.engine.services[f"{name}.service"].sub

    def result(self, name):
        return str(self.engine.services[f"{name}.service"].result)

    def running(self, name):
        return [one.kind for one in self.processes.values() if one.unit == f"{name}.service"]

    def main(self, name):
        return self.engine.services[f"{name}.service"].main_pid

    def notify(self, name, **fields):
        self.do(self.engine.notify(f"{name}.service", fields, main_pid=0, now=self.now))

    def end(self, name, code="exited", status=0):
        """The unit's main process ends."""
        self.reap(self.main(name), Exit(code, status))

    def reap(self, pid, end):
        process = self.processes.pop(pid)
        self.do(self.engine.exited(process.unit, pid, end, self.now))

    def advance(self, seconds):
        """Let time pass; timers run out in order."""
        until = self.now + seconds
        while True:
            due = [(at, unit, which) for (unit, which), at in self.timers.items() if at <= until]
            if not due:
                break
            heapq.heapify(due)
            at, unit, which = due[0]
            del self.timers[unit, which]
            self.now = max(self.now, at)
            self.do(self.engine.timer(unit, which, self.now))
        self.now = until

    def do(self, effects):
        self._queue.extend(effects)
        while True:
            while self._queue:
                self._handle(self._queue.popleft())
            if self._ends:
                unit, pid, end = self._ends.popleft()
                self._queue.extend(self.engine.exited(unit, pid, end, self.now))
                continue
            empty = [unit for unit in sorted(self.watched) if not self.any_of(unit)]
            if not empty:
                return
            self.watched.discard(empty[0])
            self._queue.extend(self.engine.tree_empty(empty[0], self.now))

    def _handle(self, effect):
        getattr(self, f"on_{type(effect).__name__.lower()}")(effect)

    def any_of(self, unit):
        return any(one.unit == unit for one in self.processes.values())

    def on_begin(self, effect):
        self.ran.append(f"begin {effect.unit}")

    def on_end(self, effect):
        self.ran.append(f"end {effect.unit}")

    def on_spawn(self, effect):
        kind = effect.command.path.strip("/")
        self.ran.append(f"{effect.setting} {' '.join(effect.command.argv)}")
        self.seen[effect.setting] = effect.extra
        self.during[effect.setting] = self.engine.services[effect.unit].sub
        if kind == "missing":
            self._queue.extend(
                self.engine.spawn_failed(
                    effect.unit, effect.role, Exit("exited", 203), reason="no file", now=self.now
                )
            )
            return
        pid = self._new(effect.unit, kind, effect.setting, effect.command.argv)
        self._queue.extend(self.engine.spawned(effect.unit, effect.role, pid, self.now))
        if kind == "daemon":
            self._new(effect.unit, "run", effect.setting, ())
        if kind in ("ok", "fail", "daemon"):
            del self.processes[pid]
            status = 1 if kind == "fail" else 0
            self._ends.append((effect.unit, pid, Exit("exited", status)))

    def _new(self, unit, kind, setting, argv):
        self._pid += 1
        self.processes[self._pid] = Process(self._pid, unit, kind, setting, argv)
        return self._pid

    def on_signal(self, effect):
        targets = [pid for pid in effect.pids if pid in self.processes]
        if effect.tree:
            targets = [pid for pid, one in self.processes.items() if one.unit == effect.unit]
        self.ran.append(f"signal {effect.number} {'tree' if effect.tree else 'pids'}")
        for pid in targets:
            process = self.processes[pid]
            if process.kind == "stubborn" and effect.number != 9:
                continue
            del self.processes[pid]
            self._ends.append((effect.unit, pid, Exit("killed", effect.number)))

    def on_timer(self, effect):
        key = (effect.unit, effect.name)
        if effect.delay_s is None:
            self.timers.pop(key, None)
        else:
            self.timers[key] = self.now + effect.delay_s

    def on_watch(self, effect):
        if effect.on:
            self.watched.add(effect.unit)
        else:
            self.watched.discard(effect.unit)

    def on_findmain(self, effect):
        pids = [pid for pid, one in self.processes.items() if one.unit == effect.unit]
        guess = pids[0] if len(pids) == 1 and effect.guess else 0
        self._queue.extend(self.engine.main_found(effect.unit, guess, self.now))

    def on_say(self, effect):
        self.said.append(effect.text)

    def on_changed(self, effect):
        assert effect.unit in self.engine.services
