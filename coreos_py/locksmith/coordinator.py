"""The file by which a program says that it decides about reboots here, and how far it is.

Lines a shell can read; whoever holds the lock on the file is the one. Each change is a new file,
locked before it takes the old one's place. Mirrors locksmith 0.6.2's pkg/coordinatorconf and
pkg/filelock.
"""

from __future__ import annotations

import fcntl
import os

from coreos_py.base.errors import CoreosError

PATH = "/run/update-engine/coordinator.conf"
_NAME = "locksmithd"
_MODE = 0o644


class NotCoordinator(CoreosError):
    """Somebody else decides, or the file cannot be used."""


class Coordinator:
    """The one who decides. The file stays when the process ends, its lock does not."""

    def __init__(self, path: str, *, strategy: str, state: str) -> None:
        self._path = path
        self._strategy = strategy
        try:
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        except OSError as err:
            raise NotCoordinator(f"{path}: {err.strerror}") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise NotCoordinator("file already locked") from None
        self.update(state)

    def update(self, state: str) -> None:
        """Say how far we are; NotCoordinator when that cannot be written."""
        text = f"NAME={_NAME}\nSTRATEGY={self._strategy}\nSTATE={state}"
        new = f"{self._path}.new"
        try:
            descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
        except OSError as err:
            raise NotCoordinator(f"{new}: {err.strerror}") from None
        try:
            os.fchmod(descriptor, _MODE)
            os.write(descriptor, text.encode())
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(new, self._path)
        except OSError as err:
            os.close(descriptor)
            raise NotCoordinator(f"{self._path}: {err.strerror}") from None
        old, self._descriptor = self._descriptor, descriptor
        os.close(old)

    def close(self) -> None:
        """Let somebody else decide."""
        os.close(self._descriptor)
