"""Cut the power at the n-th write: that one happens in part, and nothing after it.

Every write, rename, removal and truncation of this process counts. What was not synced is lost too,
if the test wants the worst; what was synced stays.
"""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path


class PowerCut(BaseException):
    """The machine is off."""


class Power:
    """Installs itself in `os`; `cut_at` 0 only counts."""

    def __init__(self, monkeypatch, *, cut_at: int = 0, loses_unsynced: bool = False) -> None:
        self.count = 0
        self.is_off = False
        self._cut_at = cut_at
        self._loses = loses_unsynced
        self._pending: list[tuple[str, int, bytes]] = []
        self._lock = threading.RLock()
        self._real = {
            name: getattr(os, name)
            for name in ("pwrite", "write", "rename", "unlink", "ftruncate", "fsync")
        }
        monkeypatch.setattr(os, "pwrite", self._pwrite)
        monkeypatch.setattr(os, "write", self._write)
        monkeypatch.setattr(os, "fsync", self._fsync)
        for name in ("rename", "unlink", "ftruncate"):
            monkeypatch.setattr(os, name, self._counted(name))

    def _step(self) -> bool:
        """True when the power goes now; PowerCut when it is gone."""
        if self.is_off:
            raise PowerCut
        self.count += 1
        return self.count == self._cut_at

    def _counted(self, name):
        def call(*args, **options):
            with self._lock:
                if self._step():
                    self._off()
                return self._real[name](*args, **options)

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
            if self._step():
                self._real["write"](fd, bytes(data)[: len(data) // 2])
                self._off()
            return self._real["write"](fd, data)

    def _fsync(self, fd):
        with self._lock:
            if self.is_off:
                raise PowerCut
            path = str(Path(f"/proc/self/fd/{fd}").readlink())
            self._pending = [item for item in self._pending if item[0] != path]
            return self._real["fsync"](fd)

    def _remember(self, fd: int, offset: int, size: int) -> None:
        before = os.pread(fd, size, offset)
        self._pending.append((str(Path(f"/proc/self/fd/{fd}").readlink()), offset, before))

    def _off(self) -> None:
        self.is_off = True
        if self._loses:
            for path, offset, before in reversed(self._pending):
                if Path(path).exists():
                    with Path(path).open("r+b", buffering=0) as file:
                        self._real["pwrite"](file.fileno(), before, offset)
        raise PowerCut
