"""Carries out the files stage's actions on a target root.

An edge: disk, tools and the network are here. A file is fetched and verified beside its place and
renamed into it; what fails ends the stage and is named.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from typing import TYPE_CHECKING

from coreos_py.base.atomic import fsync_dir
from coreos_py.base.errors import CoreosError
from coreos_py.ignition import plan, tools
from coreos_py.ignition.plan import (
    Disable,
    Keys,
    Mask,
    OwnHome,
    Preset,
    PutDirectory,
    PutFile,
    PutLink,
    PutUnit,
    Run,
    Unmask,
)
from coreos_py.ignition.root import Root, number_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from coreos_py.ignition.plan import Action, Owner, Source

_PARENT_MODE = 0o755
_UNIT_MODE = 0o644
_KEYS_MODE = 0o600
_SSH_MODE = 0o700


class Applier:
    """One target, and the way to fetch what goes there."""

    def __init__(
        self,
        root: Root,
        get: Callable[[Source], bytes],
        *,
        say: Callable[[str], None],
        may_repeat: bool = False,
    ) -> None:
        """`may_repeat`: two actions may mean the same place, which the second wins."""
        self._may_repeat = may_repeat
        self._root = root
        self._get = get
        self._say = say
        self._mounts: dict[str, Root] = {}

    def apply(self, actions: Iterable[Action]) -> None:
        """Do all of them, in order; CoreosError names the first that fails.

        What is in the way of a file, a directory or a link is found before anything is changed.
        """
        todo = list(actions)
        taken: dict[str, str] = {}
        for action in todo:
            if isinstance(action, (PutFile, PutDirectory, PutLink)) and not action.device:
                self._obstacle(action, self._root)
                where = self._root.entry(action.path)
                if where in taken and not self._may_repeat:
                    raise CoreosError(f"{action.path} and {taken[where]} are the same place")
                taken[where] = action.path
        try:
            for action in todo:
                self._say(describe(action))
                try:
                    self._one(action)
                except OSError as error:
                    raise CoreosError(f"{describe(action)}: {error.strerror}") from None
        finally:
            self._unmount()

    def _obstacle(self, action: PutFile | PutDirectory | PutLink, root: Root) -> bool:
        """Whether what is there has to be removed first; CoreosError if it must not be."""
        where = root.entry(action.path)
        found = _lstat(where)
        if found is None:
            return False
        if isinstance(action, PutFile):
            if stat.S_ISREG(found.st_mode):
                if action.source is None or action.overwrite:
                    return False
                text = "A file exists there already and overwrite is false"
                raise CoreosError(f"{action.path}: {text}")
            is_allowed = action.overwrite and action.source is not None
        elif isinstance(action, PutDirectory):
            if stat.S_ISDIR(found.st_mode) and not action.overwrite:
                return False
            is_allowed = action.overwrite
        else:
            if action.may_be_there and self._is_link(where, found, action, root):
                return False
            is_allowed = action.overwrite
        if not is_allowed:
            raise CoreosError(f"{action.path}: something else exists there already")
        return True

    def _is_link(self, where: str, found: os.stat_result, action: PutLink, root: Root) -> bool:
        """Whether the link is there already."""
        if not action.hard:
            return stat.S_ISLNK(found.st_mode) and os.readlink(where) == action.target
        other = _lstat(_hard_target(action, root))
        return other is not None and os.path.samestat(found, other)

    def _one(self, action: Action) -> None:
        match action:
            case Run():
                self._run(action.argv)
            case Keys():
                self._keys(action)
            case OwnHome():
                self._own_home(action)
            case PutFile():
                self._file(action)
            case PutDirectory():
                self._directory(action)
            case PutLink():
                self._link(action)
            case PutUnit():
                self._write(self._root, action.path, action.text.encode(), mode=_UNIT_MODE)
            case Mask():
                self._mask(action.path)
            case Unmask():
                self._unmask(action.path)
            case Disable():
                self._disable(action.unit)
            case Preset():
                self._preset(action.lines)

    # -- accounts ------

    def _run(self, argv: tuple[str, ...]) -> None:
        words = [self._root.directory if word == "{root}" else word for word in argv]
        if self._root.directory == "/":
            at = words.index("--root")
            del words[at : at + 2]
        tools.check(words, name=f"{words[0]} {words[-1]}")

    def _keys(self, action: Keys) -> None:
        home, uid, gid = self._account(action.user)
        ssh = f"{home}/.ssh"
        for path in (ssh, f"{ssh}/{os.path.dirname(action.file)}"):
            self._make_directory(path, mode=_SSH_MODE, uid=uid, gid=gid)
        data = "".join(f"{key}\n" for key in action.keys).encode()
        self._write(self._root, f"{ssh}/{action.file}", data, mode=_KEYS_MODE, uid=uid, gid=gid)
        if action.is_collected:
            directory = self._root.resolve(f"{ssh}/{os.path.dirname(action.file)}")
            parts = []
            for name in sorted(os.listdir(directory)):
                with open(os.path.join(directory, name), "rb") as file:
                    parts += [file.read(), b"\n"]
            path = f"{ssh}/authorized_keys"
            self._write(self._root, path, b"".join(parts), mode=_KEYS_MODE, uid=uid, gid=gid)

    def _account(self, user: str) -> tuple[str, int, int]:
        """A user's home, number and group."""
        for row in _rows(self._root.read_text("/etc/passwd")):
            if row[0] == user and row[5] and row[2].isdigit() and row[3].isdigit():
                return row[5], int(row[2]), int(row[3])
        raise CoreosError(f"{user}: there is no such user, or no home")

    def _own_home(self, action: OwnHome) -> None:
        home, uid, gid = self._account(action.user)
        for directory in action.directories:
            if directory == home or directory.startswith(f"{home}/"):
                self._own(self._root.resolve(directory), uid, gid, _SSH_MODE)

    def _make_directory(self, path: str, *, mode: int, uid: int, gid: int) -> None:
        where = self._root.resolve(path)
        if not os.path.isdir(where):
            self._make_parents(where)
            os.mkdir(where)
            os.chown(where, uid, gid)
            os.chmod(where, mode)

    # -- files ------

    def _file(self, action: PutFile) -> None:
        root = self._root_of(action.device)
        where = root.entry(action.path)
        found = _lstat(where)
        uid, gid = self._number(action.user, "passwd"), self._number(action.group, "group")
        if self._obstacle(action, root):
            _remove(where)
            found = None
        if action.source is not None or found is None:
            parts = [self._get(action.source)] if action.source is not None else []
            parts += [self._get(source) for source in action.appends]
            mode = action.new_mode if action.mode is None else action.mode
            data = b"".join(parts)
            self._write(root, action.path, data, mode=mode, uid=uid or 0, gid=gid or 0)
            return
        if action.appends:
            with open(where, "ab") as file:  # not a new one: it may have other names
                file.writelines(self._get(source) for source in action.appends)
                file.flush()
                os.fsync(file.fileno())
        os.chown(where, -1 if uid is None else uid, -1 if gid is None else gid)
        if action.mode is not None:
            os.chmod(where, action.mode)

    def _write(
        self, root: Root, path: str, data: bytes, *, mode: int, uid: int = 0, gid: int = 0
    ) -> None:
        """A file, whole or not at all."""
        where = root.entry(path)
        self._make_parents(where)
        directory = os.path.dirname(where)
        fd, temporary = tempfile.mkstemp(dir=directory, prefix=".ignition-")
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), uid, gid)
                os.fchmod(file.fileno(), mode)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, where)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        fsync_dir(directory)

    def _make_parents(self, where: str) -> None:
        missing = []
        directory = os.path.dirname(where)
        while not os.path.isdir(directory):
            missing.append(directory)
            directory = os.path.dirname(directory)
        for path in reversed(missing):
            os.mkdir(path)
            os.chmod(path, _PARENT_MODE)

    def _directory(self, action: PutDirectory) -> None:
        root = self._root_of(action.device)
        where = root.entry(action.path)
        if self._obstacle(action, root):
            _remove(where)
        found = _lstat(where)
        uid, gid = self._number(action.user, "passwd"), self._number(action.group, "group")
        mode = action.mode
        if mode is None and found is None:
            mode = _PARENT_MODE
        missing = [where] if found is None else []
        while missing and not os.path.isdir(os.path.dirname(missing[-1])):
            missing.append(os.path.dirname(missing[-1]))
        for path in reversed(missing):
            os.mkdir(path)
            os.chmod(path, _PARENT_MODE)
            if path != where and action.parents_alike:
                self._own(path, uid, gid, mode)
        self._own(where, uid, gid, mode)

    def _own(self, path: str, uid: int | None, gid: int | None, mode: int | None) -> None:
        os.chown(path, -1 if uid is None else uid, -1 if gid is None else gid)
        if mode is not None:
            os.chmod(path, mode)

    def _link(self, action: PutLink) -> None:
        root = self._root_of(action.device)
        where = root.entry(action.path)
        target = action.target
        if self._obstacle(action, root):
            _remove(where)
        self._make_parents(where)
        if action.hard:
            if _lstat(where) is None:
                os.link(_hard_target(action, root), where, follow_symlinks=False)
            return
        if _lstat(where) is None:
            os.symlink(target, where)
        uid, gid = self._number(action.user, "passwd"), self._number(action.group, "group")
        os.lchown(where, -1 if uid is None else uid, -1 if gid is None else gid)

    def _number(self, owner: Owner, database: str) -> int | None:
        if owner.id is not None:
            return owner.id
        if not owner.name:
            return None
        found = number_of(owner.name, self._root.read_text(f"/etc/{database}"))
        if found is None:
            kind = "user" if database == "passwd" else "group"
            raise CoreosError(f"{owner.name}: no such {kind}")
        return found

    # -- units ------

    def _mask(self, path: str) -> None:
        where = self._root.entry(path)
        if os.path.islink(where) and os.readlink(where) == "/dev/null":
            return
        if _lstat(where) is not None:
            _remove(where)
        self._make_parents(where)
        os.symlink("/dev/null", where)

    def _unmask(self, path: str) -> None:
        where = self._root.entry(path)
        if os.path.islink(where) and os.readlink(where) == "/dev/null":
            os.unlink(where)

    def _disable(self, unit: str) -> None:
        """Remove what `systemctl enable` has made: other units' links to this one, and aliases."""
        top = self._root.resolve(plan.UNITS)
        if not os.path.isdir(top):
            return
        others = [name for name in os.listdir(top) if name.endswith((".wants", ".requires"))]
        for directory in (top, *(self._root.resolve(f"{plan.UNITS}/{name}") for name in others)):
            for name in os.listdir(directory) if os.path.isdir(directory) else ():
                where = os.path.join(directory, name)
                if not os.path.islink(where):
                    continue
                is_alias = name != unit and os.path.basename(os.readlink(where)) == unit
                if is_alias or (name == unit and directory != top):
                    os.unlink(where)

    def _preset(self, lines: tuple[str, ...]) -> None:
        present = self._root.read_text(plan.PRESET)
        known = present.splitlines()
        added = "".join(f"{line}\n" for line in lines if line not in known)
        if added:
            data = (present + added).encode("utf-8", "surrogateescape")
            self._write(self._root, plan.PRESET, data, mode=_UNIT_MODE)

    # -- devices ------

    def _root_of(self, device: str) -> Root:
        if not device:
            return self._root
        if device not in self._mounts:
            self._mounts[device] = Root(tools.mount(device), is_part=True)
        return self._mounts[device]

    def _unmount(self) -> None:
        for device, root in self._mounts.items():
            try:
                tools.unmount(device, root.directory)
            except CoreosError as error:
                self._say(str(error))
        self._mounts.clear()


def describe(action: Action) -> str:
    """One line for a person: what an action does. No content, which may be secret."""
    match action:
        case Run():
            return _describe_run(action.argv)
        case OwnHome():
            return f"give {action.user} what was mounted in {action.user}'s home"
        case Keys():
            return f"add {len(action.keys)} SSH key(s) of {action.user}"
        case PutFile() if action.source is None and not action.appends:
            return f"set file {action.path}"
        case PutFile() if action.source is None:
            return f"append to file {action.path}"
        case PutFile():
            return f"write file {action.path}"
        case PutDirectory():
            return f"create directory {action.path}"
        case PutLink():
            return f"link {action.path} -> {action.target}"
        case PutUnit():
            return f"write unit {action.path}"
        case Mask():
            return f"mask {os.path.basename(action.path)}"
        case Disable():
            return f"disable {action.unit}"
        case Unmask():
            return f"unmask {os.path.basename(action.path)}"
        case Preset():
            return f"preset: {', '.join(action.lines)}"


def _describe_run(argv: tuple[str, ...]) -> str:
    """The command line without the root, which is the same for all, and without passwords."""
    shown: list[str] = []
    for before, word in zip(("", *argv), argv, strict=False):
        if word == "--root" or before == "--root":
            continue
        shown.append("..." if before == "--password" else word)
    return " ".join(shown)


def _hard_target(action: PutLink, root: Root) -> str:
    return root.entry(os.path.join("/", action.target))


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _rows(passwd: str) -> Iterator[list[str]]:
    for line in passwd.splitlines():
        parts = line.split(":")
        if len(parts) > 5:
            yield parts
