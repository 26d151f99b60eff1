"""Where a command's standard output and error go, as file descriptors."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

    from coreos_py.systemd.embedded.definition import Execution, Output

_FLAGS = {
    "append": os.O_APPEND,
    "truncate": os.O_TRUNC,
    "file": 0,
}


class Streams:
    """Descriptors for one command; takes over `journal` and closes all when left."""

    def __init__(self, execution: Execution, journal: int) -> None:
        self._open = [journal]
        self._journal = journal
        self.stdout = self.stderr = journal
        try:
            self.stdout = self._descriptor(execution.stdout, inherited=journal)
            self.stderr = self._descriptor(execution.stderr, inherited=self.stdout)
        except OSError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        for fd in self._open:
            os.close(fd)
        self._open.clear()

    def _descriptor(self, output: Output, *, inherited: int) -> int:
        if output.kind == "inherit":
            return inherited
        if output.kind == "journal":
            return self._journal
        path = "/dev/null" if output.kind == "null" else output.path
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | _FLAGS.get(output.kind, 0)
        fd = os.open(path, flags, 0o644)
        self._open.append(fd)
        return fd
