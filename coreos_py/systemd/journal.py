"""The output of embedded units on disk: one small rotating file of JSON lines per unit.

A line is {"t": microseconds since 1970, "i": program, "p": pid, "m": text}. `NAME.log` is being
written, `NAME.log.1` is the one before it; together they hold at most `BYTES_MAX`. Anybody who may
read the directory can read along, whether or not the manager runs. Ours, not systemd's format.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

from coreos_py.systemd.manager import LogLine

if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from typing import Self

BYTES_MAX = 4 << 20
LINE_BYTES_MAX = 48 << 10
FOLLOW_POLL_S = 0.2


def journal_path(state_dir: str, unit: str) -> str:
    """The file that is being written for a unit."""
    return os.path.join(state_dir, "journal", f"{unit}.log")


def read_journal(state_dir: str, unit: str, lines: int) -> list[LogLine]:
    """The last `lines` lines of a unit's output, oldest first; all there is when negative."""
    return Reader(state_dir, unit).tail(lines)


class Reader:
    """A place in a unit's journal; survives rotation. Close it, or use it in a `with`."""

    def __init__(self, state_dir: str, unit: str) -> None:
        self._path = journal_path(state_dir, unit)
        self._fd = -1
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def tail(self, lines: int) -> list[LogLine]:
        """The last lines, all when negative; `new` goes on behind them."""
        old = _read_file(f"{self._path}.1")
        raw = [*old.split(b"\n"), *self._lines()]
        raw = [line for line in raw if line]
        return _decode(raw if lines < 0 else raw[len(raw) - min(lines, len(raw)) :])

    def new(self) -> list[LogLine]:
        """Lines written since the last call."""
        raw = self._lines()
        if self._was_rotated():
            raw += self._lines()
            self.close()
            raw += self._lines()
        return _decode(raw)

    def _was_rotated(self) -> bool:
        if self._fd < 0:
            return False
        try:
            return os.stat(self._path).st_ino != os.fstat(self._fd).st_ino
        except FileNotFoundError:
            return False

    def _lines(self) -> list[bytes]:
        if self._fd < 0:
            try:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return []
            self._rest = b""
        data = self._rest + _read_all(self._fd)
        *whole, self._rest = data.split(b"\n")
        return whole


class Writer:
    """The one who writes a unit's journal."""

    def __init__(self, state_dir: str, unit: str, *, bytes_max: int = BYTES_MAX) -> None:
        self._path = journal_path(state_dir, unit)
        self._bytes_max = bytes_max // 2
        self._batch_bytes = self._bytes_max // 4
        self._fd = -1
        self._size = 0

    def write(self, lines: Iterable[LogLine]) -> None:
        """Append lines; rotate when the file is full. OSError when the disk says no."""
        batch: list[bytes] = []
        size = 0
        for encoded in map(_encode, lines):
            if batch and size + len(encoded) > self._batch_bytes:
                self._append(b"".join(batch))
                batch, size = [], 0
            batch.append(encoded)
            size += len(encoded)
        if batch:
            self._append(b"".join(batch))

    def _append(self, data: bytes) -> None:
        if self._fd >= 0 and self._size + len(data) > self._bytes_max:
            self.close()
            os.replace(self._path, f"{self._path}.1")
        if self._fd < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(self._path, flags, 0o600)
            self._size = os.fstat(self._fd).st_size
        self._size += os.write(self._fd, data)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def remove_old_journals(state_dir: str, keep: Container[str], *, older_than_s: float) -> None:
    """Delete the output of units outside `keep` that printed nothing for so long."""
    for entry in list(os.scandir(os.path.join(state_dir, "journal"))):
        unit = entry.name.removesuffix(".1").removesuffix(".log")
        if unit not in keep and time.time() - entry.stat().st_mtime > older_than_s:
            os.unlink(entry.path)


def _encode(line: LogLine) -> bytes:
    fields = {"t": line.unix_us, "i": line.ident, "p": line.pid, "m": line.text}
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _decode(raw: Iterable[bytes]) -> list[LogLine]:
    found = []
    for line in raw:
        try:
            fields = json.loads(line)
            found.append(
                LogLine(int(fields["t"]), str(fields["i"]), int(fields["p"]), str(fields["m"]))
            )
        except (ValueError, KeyError, TypeError):
            continue  # the torn end of a file whose writer was killed
    return found


def _read_file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def _read_all(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 1 << 20):
        parts.append(part)
    return b"".join(parts)
