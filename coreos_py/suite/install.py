"""`coreos install`: the archive under a versioned name, and one link per command.

The file name carries version and build, so that a running daemon's archive is never replaced under
it. Ours is a link into the store, or a copy of an archive of ours; anything else in a command's
place is foreign and stays unless the caller insists. The second time nothing changes.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from coreos_py import __version__
from coreos_py.base.atomic import symlink_atomically, write_atomically
from coreos_py.base.errors import CoreosError
from coreos_py.commands import TABLE

_PREFIX = "coreos-"
_SUFFIX = ".pyz"
_LANDMARK = "coreos_py/multicall.py"


class Plan(NamedTuple):
    """Where everything goes."""

    directory: str
    store: str
    names: tuple[str, ...]
    copy: bool = False
    force: bool = False
    dry_run: bool = False


class Refused(NamedTuple):
    """A path that is not ours, and why."""

    path: str
    reason: str


Say = Callable[[str], None]


def plan(
    directory: str,
    *,
    store: str = "",
    only: Sequence[str] = (),
    copy: bool = False,
    force: bool = False,
    dry_run: bool = False,
) -> Plan:
    """Check the arguments; the store is DIR/../lib/coreos unless told otherwise."""
    unknown = [name for name in only if name not in TABLE]
    if unknown:
        raise CoreosError(f"no such command: {', '.join(unknown)}", hint="coreos list names them")
    home = os.path.realpath(directory)
    chosen = store or os.path.join(os.path.dirname(home), "lib", "coreos")
    names = tuple(name for name in TABLE if not only or name in only)
    return Plan(home, os.path.realpath(chosen), names, copy, force, dry_run)


def install(plan: Plan, *, archive: str, build: str, say: Say) -> list[Refused]:
    """Put the archive into the store and the commands into the directory."""
    with open(archive, "rb") as source:
        data = source.read()
    if not os.path.isdir(plan.directory):
        raise CoreosError(f"{plan.directory}: no such directory")
    stored = os.path.join(plan.store, f"{_PREFIX}{__version__}-{build}{_SUFFIX}")
    if not plan.copy:
        _put_file(plan, stored, data, say)
    refused = []
    for name in plan.names:
        path = os.path.join(plan.directory, name)
        reason = _foreign(path, plan.store)
        if reason and not (plan.force and not os.path.isdir(path)):
            refused.append(Refused(path, reason))
        elif plan.copy:
            _put_file(plan, path, data, say)
        else:
            _put_link(plan, path, stored, say)
    return refused


def uninstall(plan: Plan, *, say: Say) -> None:
    """Remove what install made; what is not ours stays."""
    for name in plan.names:
        path = os.path.join(plan.directory, name)
        if os.path.lexists(path) and not _foreign(path, plan.store):
            _remove(plan, path, say)
    if plan.names != tuple(TABLE):
        return
    for path in list(_stored(plan.store)):
        _remove(plan, path, say)
    if not plan.dry_run and os.path.isdir(plan.store) and not os.listdir(plan.store):
        os.rmdir(plan.store)


def _put_file(plan: Plan, path: str, data: bytes, say: Say) -> None:
    if _has(path, data):
        return
    say(f"installed {path}")
    if not plan.dry_run:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_atomically(path, data, mode=0o755)


def _put_link(plan: Plan, path: str, stored: str, say: Say) -> None:
    target = os.path.relpath(stored, plan.directory)
    if os.path.islink(path) and os.readlink(path) == target:
        return
    say(f"linked {path} -> {target}")
    if not plan.dry_run:
        symlink_atomically(target, path)


def _remove(plan: Plan, path: str, say: Say) -> None:
    say(f"removed {path}")
    if not plan.dry_run:
        os.unlink(path)


def _has(path: str, data: bytes) -> bool:
    try:
        info = os.lstat(path)
        if not stat.S_ISREG(info.st_mode) or info.st_size != len(data):
            return False
        with open(path, "rb") as present:
            return bool(info.st_mode & 0o111) and present.read() == data
    except FileNotFoundError:
        return False


def _foreign(path: str, store: str) -> str:
    """Why the path is not ours; "" when it is, or when nothing is there."""
    if os.path.islink(path):
        target = os.path.join(os.path.dirname(path), os.readlink(path))
        if os.path.dirname(os.path.realpath(target)) == store and _is_stored_name(target):
            return ""
        return f"a link to {os.readlink(path)}"
    if os.path.isdir(path):
        return "a directory"
    if os.path.exists(path) and not _is_our_archive(path):
        return "a file that is not ours"
    return ""


def _is_our_archive(path: str) -> bool:
    try:
        with zipfile.ZipFile(path) as candidate:
            return _LANDMARK in candidate.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def _is_stored_name(path: str) -> bool:
    name = os.path.basename(path)
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)


def _stored(store: str) -> Iterator[str]:
    if os.path.isdir(store):
        for name in sorted(os.listdir(store)):
            path = os.path.join(store, name)
            if _is_stored_name(name) and os.path.isfile(path) and _is_our_archive(path):
                yield path
