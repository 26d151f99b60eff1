"""Small files that readers see whole or not at all, and the unit files of a directory.

Unlike base.atomic nothing is synced: what is written here is written again after a power cut.
"""

from __future__ import annotations

import contextlib
import os

from coreos_py.base import unitfile
from coreos_py.base.atomic import write_all


def replace_file(path: str, data: bytes, *, mode: int) -> None:
    """Write a file beside its place and move it there; one that is the same already is left."""
    if _holds(path, data, mode):
        return
    head, tail = os.path.split(path)
    temporary = os.path.join(head, f".{tail}.tmp")  # not a unit name
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.fchmod(fd, mode)
        write_all(fd, data)
    finally:
        os.close(fd)
    os.replace(temporary, path)


def _holds(path: str, data: bytes, mode: int) -> bool:
    try:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_mode & 0o7777 == mode and file.read() == data
    except OSError:
        return False


def remove_file(path: str) -> None:
    """Delete a file that may be gone already."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def unit_names(directory: str) -> list[str]:
    """Names of the unit files in a directory, in order.

    Every valid type counts: fleet 1.0.0 sees only some, and so never gets rid of the others.
    """
    return [name for name in sorted(os.listdir(directory)) if _is_unit_name(name)]


def _is_unit_name(name: str) -> bool:
    try:
        unitfile.validate_name(name)
    except unitfile.UnitNameError:
        return False
    return True


def read_unit(path: str) -> unitfile.UnitFile | None:
    """The unit file, None when it cannot be read or makes no sense."""
    try:
        with open(path, "rb") as file:
            return unitfile.parse(file.read())
    except (OSError, unitfile.UnitFileError):
        return None
