"""`coreos units`, `coreos install --units`: what starts daemons and applies user-data at boot.

The files are package data under coreos_py/units/, with @BINDIR@ for the commands' directory.
Installed ones start with a mark, by which a later run knows them as ours; others stay as they are.
What the system bus has to allow a daemon comes along, where units are in one of systemd's own
directories, also below another root.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

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
    "media-ovfenv.mount": "coreos-cloudinit",
    "rollerd.service": "rollerd",
    "system-cloudinit@.service": "coreos-cloudinit",
    "system-config.target": "coreos-cloudinit",
    "update-engine-stub.service": "update_engine_stub",
    "update-engine-stub.timer": "update_engine_stub",
    "update-engine.service": "update_engine",
    "user-cloudinit-proc-cmdline.service": "coreos-cloudinit",
    "user-cloudinit@.path": "coreos-cloudinit",
    "user-cloudinit@.service": "coreos-cloudinit",
    "user-config-ovfenv.service": "coreos-cloudinit",
    "user-config.target": "coreos-cloudinit",
    "user-configdrive.service": "coreos-cloudinit",
    "user-configvirtfs.service": "coreos-cloudinit",
}
UNITS = tuple(COMMANDS)
MARK = "# Written by `coreos units`."
POLICY_MARK = "<!-- Written by `coreos units`. -->"
# Where the bus looks that belongs to systemd's directory; the ends of both paths.
_BUSES = (
    ("/usr/local/lib/systemd/system", "/etc/dbus-1/system.d"),
    ("/usr/lib/systemd/system", "/usr/share/dbus-1/system.d"),
    ("/lib/systemd/system", "/usr/share/dbus-1/system.d"),
    ("/etc/systemd/system", "/etc/dbus-1/system.d"),
)
Policies = Mapping[str, tuple[str, str]]
"""By the unit's name: the file's name and text."""


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
    policies: Policies | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> list[Refused]:
    """Write the units and their policies; what somebody else wrote is returned and left alone."""
    refused = []
    files = {os.path.join(directory, name): text(name, bin_dir=bin_dir).encode() for name in names}
    if not os.path.isdir(directory) and not dry_run:
        raise CoreosError(f"{directory}: no such directory")
    for path, content in _policy_files(directory, names, policies):
        files[path] = f"{POLICY_MARK}\n{content}".encode()
        if not dry_run:
            os.makedirs(os.path.dirname(path), exist_ok=True)
    for path, data in files.items():
        present = _present(path)
        if present == data:
            continue
        if present is not None and not _ours(present) and not force:
            refused.append(Refused(path, "a file that is not ours"))
            continue
        say(f"installed {path}")
        if not dry_run:
            write_atomically(path, data, mode=0o644)
    return refused


def uninstall(
    directory: str,
    names: Sequence[str],
    *,
    say: Callable[[str], None],
    policies: Policies | None = None,
    dry_run: bool = False,
) -> None:
    """Remove what install wrote."""
    paths = [os.path.join(directory, name) for name in names]
    for path in paths + [path for path, _ in _policy_files(directory, names, policies)]:
        present = _present(path)
        if present is not None and _ours(present):
            say(f"removed {path}")
            if not dry_run:
                os.unlink(path)


def bus_directory(directory: str) -> str:
    """Where the system bus finds the policies of units in `directory`; "" for nowhere."""
    path = os.path.abspath(directory)
    for end, bus in _BUSES:
        if path.endswith(end):
            return path.removesuffix(end) + bus
    return ""


def _policy_files(
    directory: str, names: Sequence[str], policies: Policies | None
) -> list[tuple[str, str]]:
    """Path and text of every policy that goes with these units there."""
    bus = bus_directory(directory)
    chosen = [policies[name] for name in names if name in policies] if policies and bus else []
    return [(os.path.join(bus, name), content) for name, content in chosen]


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
    return data.startswith((MARK.encode(), POLICY_MARK.encode()))
