"""The stages that mount a config's file systems below the root, and unmount them again.

An edge: mount(8) and umount(8) are called here. Mirrors the stages mount and umount of Ignition
2.14: parents first, and no symbolic link on the way, so that nothing is mounted outside the root.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from coreos_py.base.errors import CoreosError
from coreos_py.ignition import tools

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.ignition.decode import Obj

_UNMOUNTABLE = ("", "swap", "none")
_DIRECTORY_MODE = 0o755


def mount(config: Obj, root: str, *, dry_run: bool, say: Callable[[str], None]) -> list[str]:
    """Mount what has a path; the directories that had to be made for it. CoreosError."""
    made: list[str] = []
    for filesystem in _with_places(config):
        options = ",".join(filesystem["mountOptions"])
        words = ["mount", *(["-o", options] if options else []), "-t", filesystem["format"]]
        words += [filesystem["device"], _place(root, filesystem)]
        say(" ".join(words))
        if not dry_run:
            made += _make_directories(root, filesystem["path"])
            tools.check(words)
    return made


def unmount(config: Obj, root: str, *, dry_run: bool, say: Callable[[str], None]) -> None:
    """Unmount what `mount` has mounted, the deepest first; CoreosError."""
    for filesystem in reversed(_with_places(config)):
        words = ["umount", _place(root, filesystem)]
        say(" ".join(words))
        if not dry_run:
            tools.check(words)


def _with_places(config: Obj) -> list[Obj]:
    found = [
        filesystem
        for filesystem in config["storage"]["filesystems"]
        if filesystem["path"] and (filesystem["format"] or "") not in _UNMOUNTABLE
    ]
    return sorted(found, key=lambda filesystem: filesystem["path"].rstrip("/").count("/"))


def _place(root: str, filesystem: Obj) -> str:
    return os.path.join(_real(root), filesystem["path"].lstrip("/"))


def _real(root: str) -> str:
    return os.path.realpath(root or "/")


def _make_directories(root: str, path: str) -> list[str]:
    made = []
    inside, here = "", _real(root)
    for part in path.strip("/").split("/"):
        inside, here = f"{inside}/{part}", os.path.join(here, part)
        if os.path.islink(here) or (os.path.exists(here) and not os.path.isdir(here)):
            raise CoreosError(f"{path}: {inside} is not a directory")
        if os.path.isdir(here):
            continue
        try:
            os.mkdir(here)
            os.chmod(here, _DIRECTORY_MODE)
        except OSError as error:
            raise CoreosError(f"{inside}: {error.strerror}") from None
        made.append(inside)
    return made
