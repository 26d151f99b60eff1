"""The preferences as files, one for each: a small text, replaced whole. An edge.

Where a file cannot be written, on a full disk say, the value is kept in memory and the log tells:
a machine must be able to update even then.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, MutableMapping

from coreos_py.base.atomic import fsync_dir, write_atomically
from coreos_py.base.errors import CoreosError
from coreos_py.update import prefs

log = logging.getLogger(__name__)

_TEXT_MAX = 1 << 20


class PrefsDir(MutableMapping[str, str]):
    """A mapping kept in a directory; what was set is on the disk."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._unsaved: dict[str, str] = {}
        try:
            os.makedirs(path, mode=0o700, exist_ok=True)
        except OSError as err:
            raise CoreosError(f"{path}: {err.strerror}") from None

    def __getitem__(self, name: str) -> str:
        if name in self._unsaved:
            return self._unsaved[name]
        try:
            with open(self._file(name), encoding="utf-8", errors="replace") as file:
                return file.read(_TEXT_MAX)
        except OSError:
            raise KeyError(name) from None

    def __setitem__(self, name: str, value: str) -> None:
        if self.get(name) == value and name not in self._unsaved:
            return
        try:
            write_atomically(self._file(name), value.encode(), mode=0o600)
        except OSError as err:
            log.warning("Unable to store %s: %s", self._file(name), err.strerror)
            self._unsaved[name] = value
        else:
            self._unsaved.pop(name, None)

    def __delitem__(self, name: str) -> None:
        self._unsaved.pop(name, None)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._file(name))
        fsync_dir(self._path)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(({*os.listdir(self._path)} & prefs.ALL) | {*self._unsaved}))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _file(self, name: str) -> str:
        assert name in prefs.ALL
        return os.path.join(self._path, name)
