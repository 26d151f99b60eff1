"""The preferences as files, one for each: a small text, replaced whole. An edge."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, MutableMapping

from coreos_py.base.atomic import fsync_dir, write_atomically
from coreos_py.update import prefs

_TEXT_MAX = 1 << 20


class PrefsDir(MutableMapping[str, str]):
    """A mapping kept in a directory; what was set is on the disk."""

    def __init__(self, path: str) -> None:
        self._path = path
        os.makedirs(path, mode=0o700, exist_ok=True)

    def __getitem__(self, name: str) -> str:
        try:
            with open(self._file(name), encoding="utf-8", errors="replace") as file:
                return file.read(_TEXT_MAX)
        except OSError:
            raise KeyError(name) from None

    def __setitem__(self, name: str, value: str) -> None:
        if self.get(name) != value:
            write_atomically(self._file(name), value.encode(), mode=0o600)

    def __delitem__(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._file(name))
        fsync_dir(self._path)

    def __iter__(self) -> Iterator[str]:
        return (name for name in sorted(os.listdir(self._path)) if name in prefs.ALL)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _file(self, name: str) -> str:
        assert name in prefs.ALL
        return os.path.join(self._path, name)
