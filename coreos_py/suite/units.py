"""`coreos units`, `coreos install --units`: what starts daemons and applies user-data at boot.

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

# Each unit and the command of the suite without which it is of no use, if there is one.
COMMANDS = {
    "discovery.service": "etcd-discovery",
    "discovery.socket": "etcd-discovery",
    "etcd.service": "etcd",
    "etcd2.service": "etcd2",
    "flanneld.service": "",
    "fleet.service": "fleetd",
    "fleet.socket": "fleetd",
    "locksmithd.service": "locksmithd",
    "media-configdrive.mount": "coreos-cloudinit",
    "media-configvirtfs.mount": "coreos-cloudinit",
    "system-cloudinit@.service": "coreos-cloudinit",
    "system-config.target": "coreos-cloudinit",
    "update-engine-stub.service": "update_engine_stub",
    "update-engine-stub.timer": "update_engine_stub",
    "update-engine.service": "update_engine",
    "user-cloudinit-proc-cmdline.service": "coreos-cloudinit",
    "user-cloudinit@.path": "coreos-cloudinit",
    "user-cloudinit@.service": "coreos-cloudinit",
    "user-config.target": "coreos-cloudinit",
    "user-configdrive.service": "coreos-cloudinit",
    "user-configvirtfs.service": "coreos-cloudinit",
}
UNITS = tuple(COMMANDS)
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


def of_commands(commands: Sequence[str]) -> tuple[str, ...]:
    """The units that start one of these commands, or lead up to that."""
    return tuple(unit for unit, command in COMMANDS.items() if command in commands)


def install(
    directory: str,
    names: Sequence[str],
    *,
    bin_dir: str,
    say: Callable[[str], None],
    force: bool = False,
    dry_run: bool = False,
) -> list[Refused]:
    """Write the units; the ones that somebody else wrote are returned and left alone."""
    refused = []
    texts = {name: text(name, bin_dir=bin_dir).encode() for name in names}
    if not os.path.isdir(directory) and not dry_run:
        raise CoreosError(f"{directory}: no such directory")
    for name, data in texts.items():
        path = os.path.join(directory, name)
        present = _present(path)
        if present == data:
            continue
        if present is not None and not _ours(present) and not force:
            refused.append(Refused(path, "a unit that is not ours"))
            continue
        say(f"installed {path}")
        if not dry_run:
            write_atomically(path, data, mode=0o644)
    return refused


def uninstall(
    directory: str, names: Sequence[str], *, say: Callable[[str], None], dry_run: bool = False
) -> None:
    """Remove the units that install wrote."""
    for name in names:
        path = os.path.join(directory, name)
        present = _present(path)
        if present is not None and _ours(present):
            say(f"removed {path}")
            if not dry_run:
                os.unlink(path)


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
