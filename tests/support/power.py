"""Cut the power at the n-th write: that one happens in part, and nothing after it.

Every write, rename, removal and truncation of this process counts. What was not synced may be lost
as well: all of it, or the older half, as when a disk has changed the order. A file's bytes are
synced through the descriptor they were written to, its name through its directory. That is harder
than an image file is, and as hard as two nodes of one disk are.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Hashable
from pathlib import Path

# What is lost of that which was not synced.
NOTHING, OLDER, ALL = "nothing", "older", "all"


class PowerCut(BaseException):
    """The machine is off."""


class Power:
    """Installs itself in `os`; `cut_at` 0 only counts."""

    def __init__(self, monkeypatch, *, cut_at: int = 0, loses: str = NOTHING) -> None:
        self.count = 0
        self.is_off = False
        self._cut_at = cut_at
        self._loses = loses
        self._opened: dict[int, int] = {}  # descriptor to which opening of it this is
        self._pending: list[tuple[Hashable, Callable[[], None]]] = []  # how it is undone
        self._lock = threading.RLock()
        self._real = {
            name: getattr(os, name)
            for name in ("open", "pwrite", "write", "rename", "unlink", "ftruncate", "fsync")
        }
        monkeypatch.setattr(os, "open", self._open)
        monkeypatch.setattr(os, "pwrite", self._pwrite)
        monkeypatch.setattr(os, "write", self._write)
        monkeypatch.setattr(os, "fsync", self._fsync)
        for name in ("rename", "unlink", "ftruncate"):
            monkeypatch.setattr(os, name, self._changing(name))

    def _step(self) -> bool:
        """True when the power goes now; PowerCut when it is gone."""
        if self.is_off:
            raise PowerCut
        self.count += 1
        return self.count == self._cut_at

    def _changing(self, name):
        def call(*args):
            with self._lock:
                if self._step():
                    self._off()
                if name == "ftruncate":
                    key, path = self._key(args[0]), _path_of(args[0])
                else:  # names belong to their directory
                    path = Path(args[-1]).absolute()
                    key = str(path.parent.resolve())
                self._pending.append((key, _restoring(path)))
                return self._real[name](*args)

        return call

    def _pwrite(self, fd, data, offset):
        with self._lock:
            cut = self._step()
            data = bytes(data)
            self._remember(fd, offset, len(data))
            if cut:
                # Disks write whole sectors.
                self._real["pwrite"](fd, data[: len(data) // 2 // 512 * 512], offset)
                self._off()
            return self._real["pwrite"](fd, data, offset)

    def _write(self, fd, data):
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return self._real["write"](fd, data)  # the event loop's own pipe
        with self._lock:
            cut = self._step()
            self._pending.append((self._key(fd), _restoring(_path_of(fd))))
            if cut:
                self._real["write"](fd, bytes(data)[: len(data) // 2])
                self._off()
            return self._real["write"](fd, data)

    def _open(self, *args, **options):
        with self._lock:
            fd = self._real["open"](*args, **options)
            self._opened[fd] = self._opened.get(fd, 0) + 1
            return fd

    def _fsync(self, fd):
        with self._lock:
            if self.is_off:
                raise PowerCut
            synced = {self._key(fd), str(_path_of(fd))}
            self._pending = [item for item in self._pending if item[0] not in synced]
            return self._real["fsync"](fd)

    def _key(self, fd: int) -> tuple[int, int]:
        """This opening of a file: numbers are used again."""
        return fd, self._opened.get(fd, 0)

    def _remember(self, fd: int, offset: int, size: int) -> None:
        path, before = _path_of(fd), os.pread(fd, size, offset)

        def undo() -> None:
            if path.exists():
                with path.open("r+b", buffering=0) as file:
                    self._real["pwrite"](file.fileno(), before, offset)

        self._pending.append((self._key(fd), undo))

    def _off(self) -> None:
        self.is_off = True
        lost = {NOTHING: 0, OLDER: (len(self._pending) + 1) // 2, ALL: len(self._pending)}
        for _, undo in reversed(self._pending[: lost[self._loses]]):
            undo()
        raise PowerCut


def _path_of(fd: int) -> Path:
    return Path(f"/proc/self/fd/{fd}").readlink()


def _restoring(path: Path) -> Callable[[], None]:
    """What makes a small file again what it is now."""
    before = path.read_bytes() if path.exists() else None

    def undo() -> None:
        if before is not None:
            path.write_bytes(before)
        elif path.exists():
            os.remove(path)  # noqa: PTH107 - the one that does not count

    return undo
