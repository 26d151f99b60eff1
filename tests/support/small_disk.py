"""A file system of a few megabytes that can be filled, in a mount namespace of its own.

ext4 on a loop device where there is one, else tmpfs. The namespace belongs to a process that dies
with the test process, and the mount with it. Needs root.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

from tests.support.procs import eventually

_PR_SET_PDEATHSIG = 1
_CHUNK = b"\0" * 4096


def why_not() -> str:
    """Why there can be no such disk here; empty when there can."""
    if os.geteuid() != 0:
        return "mounting needs root"
    missing = [tool for tool in ("mount", "nsenter", "unshare") if not shutil.which(tool)]
    return f"not installed: {', '.join(missing)}" if missing else ""


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class SmallDisk:
    """Mounted at `path`, for those whose words begin with `words()`; `seen` is where we see it."""

    def __init__(self, directory: Path, *, mebibytes: int) -> None:
        self.path = directory / "disk"
        self.path.mkdir()
        words = ["unshare", "--mount", "--propagation=private", "sleep", "infinity"]
        self._holder = subprocess.Popen(words, preexec_fn=_die_with_parent)
        own = Path("/proc/self/ns/mnt").readlink()
        eventually(lambda: Path(f"/proc/{self._holder.pid}/ns/mnt").readlink() != own)
        eventually(lambda: Path(f"/proc/{self._holder.pid}/comm").read_text() == "sleep\n")
        self.seen = Path(f"/proc/{self._holder.pid}/root{self.path}")
        self._ballast = self.seen / "ballast"
        if not self._mount_ext4(directory / "image", mebibytes):
            self._run("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(self.path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._holder.kill()
        self._holder.wait()

    def words(self) -> list[str]:
        """The words that start a command where this disk is mounted."""
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "--"]

    def fill(self, *, leave_bytes: int) -> None:
        """Take all room but some."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while self._free_bytes() > leave_bytes:
                file.write(_CHUNK)

    def _free_bytes(self) -> int:
        found = os.statvfs(self.seen)
        return found.f_bavail * found.f_frsize

    def make_room(self) -> None:
        self._ballast.unlink()

    def _mount_ext4(self, image: Path, mebibytes: int) -> bool:
        if not shutil.which("mkfs.ext4"):
            return False
        with image.open("wb") as file:
            file.truncate(mebibytes << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True, capture_output=True)
        words = [*self.words(), "mount", "-o", "loop", str(image), str(self.path)]
        return subprocess.run(words, check=False, capture_output=True).returncode == 0

    def _run(self, *words: str) -> None:
        subprocess.run([*self.words(), *words], check=True, capture_output=True)
