"""What units print: read from one named pipe per unit, stamped, and kept in the unit's journal.

A unit holds its pipe open for reading and writing, so it neither gets SIGPIPE nor loses a line when
the manager is killed: the pipe keeps what is written until the next manager opens it again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import time
from typing import TYPE_CHECKING

from coreos_py.systemd import journal
from coreos_py.systemd.manager import LogLine

if TYPE_CHECKING:
    from collections.abc import Callable

    Source = Callable[[str], tuple[str, int]]

log = logging.getLogger(__name__)

_CHUNK_BYTES = 64 << 10
# journald's defaults: this many lines in this time, the rest is counted and dropped.
LINES_MAX = 10_000
WINDOW_S = 30.0
_PAUSE_S = 0.05


class Collector:
    """The output of all units of one manager; `source` names a unit's program and pid."""

    def __init__(self, state_dir: str, source: Source, *, journal_bytes_max: int) -> None:
        self._state_dir = state_dir
        self._source = source
        self._bytes_max = journal_bytes_max
        self._pipes: dict[str, _Pipe] = {}
        self._writers: dict[str, journal.Writer] = {}
        self._loop = asyncio.get_running_loop()

    def open(self, unit: str) -> None:
        """Read the unit's pipe from now on."""
        if unit not in self._pipes:
            self._pipes[unit] = _Pipe(self._path(unit), unit, self)

    def has_pipe(self, unit: str) -> bool:
        """Whether a pipe is there from an earlier manager."""
        return os.path.exists(self._path(unit))

    def writing_end(self, unit: str) -> int:
        """A descriptor for the unit's standard output; the caller closes it."""
        self.open(unit)
        return os.open(self._path(unit), os.O_RDWR | os.O_CLOEXEC)

    def drain(self, unit: str) -> None:
        """Take in all that was printed so far, also a last line without its end."""
        if unit in self._pipes:
            self._pipes[unit].drain()

    def say(self, unit: str, text: str) -> None:
        """Add a line of the manager's own to the unit's journal."""
        self.write(unit, [LogLine(_now_us(), "fleetd", os.getpid(), text)])

    def write(self, unit: str, lines: list[LogLine]) -> None:
        writer = self._writers.get(unit)
        if writer is None:
            writer = journal.Writer(self._state_dir, unit, bytes_max=self._bytes_max)
            self._writers[unit] = writer
        try:
            writer.write(lines)
        except OSError as error:
            log.warning("journal of %s: %d lines lost: %s", unit, len(lines), error.strerror)

    def forget(self, unit: str) -> None:
        """The unit is gone: its pipe too; its journal stays."""
        pipe = self._pipes.pop(unit, None)
        if pipe is not None:
            pipe.drain()
            pipe.close()
        if self.has_pipe(unit):
            os.unlink(self._path(unit))
        writer = self._writers.pop(unit, None)
        if writer is not None:
            writer.close()

    def close(self) -> None:
        """Stop reading; the pipes stay for the units that hold them."""
        for pipe in self._pipes.values():
            pipe.drain()
            pipe.close()
        for writer in self._writers.values():
            writer.close()
        self._pipes.clear()
        self._writers.clear()

    def source(self, unit: str) -> tuple[str, int]:
        return self._source(unit)

    def _path(self, unit: str) -> str:
        return os.path.join(self._state_dir, "pipe", unit)


class _Pipe:
    """The reading side of one unit's pipe."""

    def __init__(self, path: str, unit: str, collector: Collector) -> None:
        self._unit = unit
        self._collector = collector
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._window_at = 0.0
        self._lines = 0
        self._dropped = 0
        self._pause: asyncio.TimerHandle | None = None
        if not _is_pipe(path):
            os.mkfifo(path, 0o600)
        # Opened for writing too, so that the pipe never reports an end.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._loop.add_reader(self._fd, self._read)

    def close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def drain(self) -> None:
        for _ in range(64):  # a unit that prints without end must not keep us here
            if not self._take():
                break
        if self._rest:
            self._keep([self._rest])
            self._rest = b""
        if self._dropped:
            self._new_window(self._loop.time())

    def _read(self) -> None:
        self._take()
        if self._dropped and self._pause is None:
            self._loop.remove_reader(self._fd)
            self._pause = self._loop.call_later(_PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._fd, self._read)

    def _take(self) -> bool:
        try:
            data = os.read(self._fd, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) > journal.LINE_BYTES_MAX:
            lines.append(self._rest[: journal.LINE_BYTES_MAX])
            self._rest = self._rest[journal.LINE_BYTES_MAX :]
        self._keep(lines)
        return True

    def _keep(self, lines: list[bytes]) -> None:
        now = self._loop.time()
        if now - self._window_at >= WINDOW_S:
            self._new_window(now)
        room = max(LINES_MAX - self._lines, 0)
        self._lines += len(lines)
        self._dropped += max(len(lines) - room, 0)
        lines = lines[:room]
        if not lines:
            return
        ident, pid = self._collector.source(self._unit)
        at = _now_us()
        self._collector.write(
            self._unit,
            [
                LogLine(at, ident, pid, part.decode("utf-8", "surrogateescape"))
                for line in lines
                for part in _parts(line)
            ],
        )

    def _new_window(self, now: float) -> None:
        if self._dropped:
            self._collector.say(self._unit, f"Suppressed {self._dropped} lines of output")
        self._window_at, self._lines, self._dropped = now, 0, 0


def _parts(line: bytes) -> list[bytes]:
    """A line in pieces no longer than a journal line may be."""
    size = journal.LINE_BYTES_MAX
    return [line[at : at + size] for at in range(0, max(len(line), 1), size)]


def _is_pipe(path: str) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISFIFO(mode):
        os.unlink(path)
        return False
    return True


def _now_us() -> int:
    return time.time_ns() // 1000
