"""Where the suite's own commands are, for processes that start other commands of the suite.

From an archive: a copy of it in the cluster's directory, with a link per command, so that a rebuilt
or moved archive does not change a running cluster. From a checkout: the links of shims/.
"""

from __future__ import annotations

import contextlib
import os
import shutil

import coreos_py
from coreos_py.base.errors import ConfigError
from coreos_py.commands import TABLE

ARCHIVE = "coreos.pyz"


def own_archive() -> str | None:
    """The archive this process runs from, None when it runs from a checkout."""
    loader = coreos_py.__loader__
    return getattr(loader, "archive", None)


def place(directory: str) -> str:
    """Makes the commands available below `directory`; the folder to put on PATH."""
    archive = own_archive()
    if archive is None:
        return _shims()
    copy = os.path.join(directory, ARCHIVE)
    if not os.path.exists(copy):
        try:
            shutil.copyfile(archive, f"{copy}.tmp")
            os.chmod(f"{copy}.tmp", 0o700)
            os.rename(f"{copy}.tmp", copy)
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{copy}.tmp")
            raise
    folder = os.path.join(directory, "bin")
    os.makedirs(folder, exist_ok=True)
    for name in TABLE:
        link = os.path.join(folder, name)
        if not os.path.lexists(link):
            os.symlink(os.path.join("..", ARCHIVE), link)
    return folder


def folder_in(directory: str) -> str:
    """The folder place() made earlier."""
    return _shims() if own_archive() is None else os.path.join(directory, "bin")


def _shims() -> str:
    top = os.path.dirname(os.path.dirname(os.path.abspath(coreos_py.__file__)))
    shims = os.path.join(top, "shims")
    if not os.path.isdir(shims):
        raise ConfigError(f"no commands beside the package: {shims} is missing")
    return shims
