"""Files as a cloud-config writes them: whole or not at all, and not at all when they are there.

Mirrors system/file.go and the masks of system/systemd.go of coreos-cloudinit 1.13.0. Upstream
writes a file also when it is the same already; here a second run leaves it.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import posixpath
import pwd
import re
import stat
from typing import TYPE_CHECKING

from coreos_py.base.atomic import fsync_dir, write_all
from coreos_py.cloudinit import gotext
from coreos_py.cloudinit.sources.source import go_reason
from coreos_py.cloudinit.tools import ToolError, chown

if TYPE_CHECKING:
    from coreos_py.cloudinit.config import File
    from coreos_py.cloudinit.log import Log

_OCTAL = re.compile(r"[-+]?[0-7]+")
_MODE_MAX = 1 << 31
# Where Go keeps these bits in a mode; an octal number gets there when it is huge or negative.
_GO_BITS = ((1 << 23, stat.S_ISUID), (1 << 22, stat.S_ISGID), (1 << 20, stat.S_ISVTX))


class FileError(Exception):
    """A file cannot be written; the message is Go's."""


def target(path: str, *, root: str = "/") -> str:
    """Where a file goes: below `root`, whatever its path says."""
    inside = posixpath.normpath("/" + path).lstrip("/")
    return posixpath.join(root, inside)


def mode(permissions: str) -> int:
    """The bits of an octal number that Go's os.FileMode knows: the set-uid one is not 4000."""
    if not permissions:
        return 0o644
    value = int(permissions, 8) if _OCTAL.fullmatch(permissions) else _MODE_MAX
    if not -_MODE_MAX <= value < _MODE_MAX:
        text = gotext.quote(permissions)
        raise FileError(f"Unable to parse file permissions {text} as integer")
    return value & 0o777 | sum(bit for go_bit, bit in _GO_BITS if value & go_bit)


def write(file: File, log: Log, *, root: str = "/") -> str:
    """Put the file in its place; the path it got. FileError."""
    path = target(file.path, root=root)
    log(f"Writing file to {gotext.quote(path)}")
    if "\0" in path:
        raise FileError(f"open {path}: invalid argument")
    directory = posixpath.dirname(path)
    make_directory(directory)
    bits = mode(file.permissions)
    if not _is_same(path, file, bits):
        try:
            _write(path, directory, file, bits)
        except OSError as error:
            raise FileError(f"write {path}: {go_reason(error)}") from None
        except ToolError as error:
            raise FileError(str(error)) from None
    log(f"Wrote file to {gotext.quote(path)}")
    return path


def _write(path: str, directory: str, file: File, bits: int) -> None:
    temporary = posixpath.join(directory, f"cloudinit-temp{os.urandom(5).hex()}")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FileError(f"open {temporary}: {go_reason(error)}") from None
    try:
        try:
            write_all(fd, file.content)
            os.fchmod(fd, bits)
            os.fsync(fd)
        finally:
            os.close(fd)
        if file.owner:
            chown(file.owner, temporary)
        _rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    fsync_dir(directory)


def _rename(old: str, new: str) -> None:
    try:
        if os.path.isdir(new) and not os.path.islink(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        os.rename(old, new)
    except OSError as error:
        raise FileError(f"rename {old} {new}: {go_reason(error)}") from None


def compare(file: File, *, root: str = "/") -> str:
    """What writing the file would do, in a word."""
    path = target(file.path, root=root)
    try:
        if _is_same(path, file, mode(file.permissions)):
            return "unchanged"
        return "replaced" if os.path.lexists(path) else "new"
    except FileError as error:
        return str(error)


def _is_same(path: str, file: File, bits: int) -> bool:
    """True when writing would change nothing; when in doubt it would."""
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) != bits:
            return False
        if found.st_size != len(file.content) or (found.st_uid, found.st_gid) != _ids(file.owner):
            return False
        with open(path, "rb") as old:
            return old.read() == file.content
    except (OSError, ValueError, KeyError):
        return False


def _ids(owner: str) -> tuple[int, int]:
    """What chown would make of a new file of ours; KeyError for an unknown name."""
    user, colon, group = owner.partition(":")
    uid, gid = os.geteuid(), os.getegid()
    if user:
        uid = int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
        if colon and not group:
            gid = pwd.getpwuid(uid).pw_gid
    if group:
        gid = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    return uid, gid


def make_directory(path: str) -> None:
    """The directory and its parents, mode 0755 less the umask; FileError."""
    try:
        found = os.stat(path)
    except OSError:
        _make_all(path)
        return
    if not stat.S_ISDIR(found.st_mode):
        raise FileError(f"{path} is not a directory")


def _make_all(path: str) -> None:
    """Go's MkdirAll: what is in the way is named, be it a file or a link to nowhere."""
    missing = []
    while not os.path.isdir(path):
        if os.path.exists(path):
            raise FileError(f"mkdir {path}: not a directory")
        missing.append(path)
        path = os.path.dirname(path)
    for path in reversed(missing):
        try:
            os.mkdir(path, 0o755)
        except OSError as error:
            if not os.path.isdir(path):
                raise FileError(f"mkdir {path}: {go_reason(error)}") from None


def mask(path: str) -> None:
    """Make the unit at `path` a link to /dev/null, whatever is there; FileError."""
    _check(path)
    if os.path.islink(path) and os.readlink(path) == os.devnull:
        return
    try:
        os.stat(path)
    except FileNotFoundError:
        _make_all(os.path.dirname(path))
    except OSError:
        _remove(path)
    else:
        _remove(path)
    try:
        os.symlink(os.devnull, path)
    except OSError as error:
        raise FileError(f"symlink {os.devnull} {path}: {go_reason(error)}") from None


def _remove(path: str) -> None:
    """Go's Remove: a file or an empty directory; of two reasons, the one that tells more."""
    try:
        os.unlink(path)
    except OSError as error:
        try:
            os.rmdir(path)
        except NotADirectoryError:
            raise FileError(f"remove {path}: {go_reason(error)}") from None
        except OSError as other:
            raise FileError(f"remove {path}: {go_reason(other)}") from None


def unmask(path: str, log: Log) -> None:
    """Remove what is empty or leads to a device; FileError."""
    _check(path)
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise FileError(f"stat {path}: {go_reason(error)}") from None
    is_empty = stat.S_ISREG(found.st_mode) and found.st_size == 0
    if is_empty or stat.S_ISCHR(found.st_mode):
        _remove(path)
    else:
        log(f"{path} is not null or empty, refusing to unmask")


def _check(path: str) -> None:
    if "\0" in path:
        raise FileError(f"stat {path}: invalid argument")


def read(path: str) -> bytes | None:
    """A file's bytes, None when it is not there; FileError."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        what = "read" if isinstance(error, IsADirectoryError) else "open"
        raise FileError(f"{what} {path}: {go_reason(error)}") from None
