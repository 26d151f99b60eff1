"""Files that are either the old one or the new one, also after a power cut.

Temporary file in the same directory, fsync, rename, fsync of the directory.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def write_atomically(path: str, data: bytes, *, mode: int = 0o600) -> None:
    """Replace the file at `path`; a link is replaced, not followed."""
    with replacing(path, mode=mode) as fd:
        write_all(fd, data)


@contextmanager
def replacing(path: str, *, mode: int = 0o600) -> Iterator[int]:
    """A descriptor of what will be the file at `path` if nothing goes wrong."""
    temporary = _beside(path)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            os.fchmod(fd, mode)  # the umask has no say
            yield fd
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    fsync_dir(os.path.dirname(path) or ".")


def is_special(path: str) -> bool:
    """A device or a pipe: what root must not replace by a file because somebody names it."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def symlink_atomically(target: str, path: str) -> None:
    """Make `path` a symlink to `target`, replacing what was there (not a directory)."""
    temporary = _beside(path)
    os.symlink(target, temporary)
    try:
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    fsync_dir(os.path.dirname(path) or ".")


def write_all(fd: int, data: bytes) -> None:
    """os.write until everything is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def fsync_dir(path: str) -> None:
    """Make a rename, creation or removal in this directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def fsync_file(path: str) -> None:
    """Make a renamed file durable on FAT too, which notes its size in the new place only now."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def private_dir(path: str) -> None:
    """Create a directory that only we can enter, and its parents; an existing one stays as is."""
    if not os.path.isdir(path):
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        os.mkdir(path, 0o700)


def _beside(path: str) -> str:
    head, tail = os.path.split(path)
    return os.path.join(head, f".{tail}.{os.urandom(6).hex()}.tmp")
