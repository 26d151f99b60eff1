"""`coreos units`: the systemd units that start the daemons at boot.

The files are package data under coreos_py/units/, with @BINDIR@ for the commands' directory.
Installed ones start with a mark, by which a later run knows them as ours; others stay as they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from coreos_py.base.atomic import write_atomically
from coreos_py.base.errors import CoreosError
from coreos_py.suite import resources
from coreos_py.suite.install import Refused

UNITS = (
    "discovery.service",
    "discovery.socket",
    "etcd.service",
    "etcd2.service",
    "fleet.service",
    "fleet.socket",
    "locksmithd.service",
    "update-engine.service",
)
MARK = "# Written by `coreos units`."


def text(name: str, *, bin_dir: str) -> str:
    """One unit's text, for commands that are in `bin_dir`."""
    if name not in UNITS:
        known = ", ".join(UNITS)
        raise CoreosError(f"no unit is called {name}", hint=f"there are {known}")
    if not os.path.isabs(bin_dir) or any(char in bin_dir for char in " \t\n\"'%$\\"):
        raise CoreosError(f"{bin_dir}: systemd cannot take this as the path of a command")
    source = resources.read(f"coreos_py/units/{name}").decode()
    return f"{MARK}\n{source.replace('@BINDIR@', bin_dir)}"


def install(
    directory: str, names: Sequence[str], *, bin_dir: str, force: bool, say: Callable[[str], None]
) -> list[Refused]:
    """Write the units; the ones that somebody else wrote are returned and left alone."""
    refused = []
    texts = {name: text(name, bin_dir=bin_dir).encode() for name in names}
    if not os.path.isdir(directory):
        raise CoreosError(f"{directory}: no such directory")
    for name, data in texts.items():
        path = os.path.join(directory, name)
        present = _present(path)
        if present == data:
            continue
        if present is not None and not _ours(present) and not force:
            refused.append(Refused(path, "a unit that is not ours"))
            continue
        write_atomically(path, data, mode=0o644)
        say(f"installed {path}")
    return refused


def uninstall(directory: str, names: Sequence[str], *, say: Callable[[str], None]) -> None:
    """Remove the units that install wrote."""
    for name in names:
        path = os.path.join(directory, name)
        present = _present(path)
        if present is not None and _ours(present):
            os.unlink(path)
            say(f"removed {path}")


def _present(path: str) -> bytes | None:
    try:
        with open(path, "rb") as unit:
            return unit.read()
    except FileNotFoundError:
        # A dangling link is somebody's, too (a masked unit links to /dev/null, which opens).
        return b"" if os.path.islink(path) else None
    except IsADirectoryError:
        return b""


def _ours(data: bytes) -> bool:
    return data.startswith(MARK.encode())
