"""Paths below a target root: symbolic links in the target lead to places in the target.

An edge. Nothing that the target contains can make us touch the host.
"""

from __future__ import annotations

import os
import posixpath
import stat

from coreos_py.base.errors import CoreosError

_LINKS_MAX = 40


class Root:
    """The root of the machine that is configured: / or a directory.

    `is_part`: it is one of its file systems only, from which no link may lead anywhere else.
    """

    def __init__(self, directory: str, *, is_part: bool = False) -> None:
        self.directory = os.path.abspath(directory)
        self._is_part = is_part

    def parent(self, path: str) -> str:
        """Where on the host the directory of a path is, as far as it exists; links followed."""
        return self.resolve(posixpath.dirname(path) or "/")

    def entry(self, path: str) -> str:
        """Where on the host a path is; its last component is not followed."""
        name = posixpath.basename(path)
        return os.path.join(self.parent(path), name) if name else self.resolve("/")

    def resolve(self, path: str) -> str:
        """Where on the host a path leads; CoreosError if links lead in circles."""
        done: list[str] = []
        todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                if done:
                    done.pop()
                continue
            here = os.path.join(self.directory, *done, part)
            try:
                is_link = stat.S_ISLNK(os.lstat(here).st_mode)
            except OSError:
                is_link = False
            if not is_link:
                done.append(part)
                continue
            links += 1
            if links > _LINKS_MAX:
                raise CoreosError(f"{path}: too many symbolic links")
            target = os.readlink(here)
            if self._is_part and posixpath.normpath(target).startswith(("/", "..")):
                raise CoreosError(f"{path}: a symbolic link leads out of the file system")
            if target.startswith("/"):
                done.clear()
            todo += [p for p in reversed(target.split("/")) if p not in ("", ".")]
        return os.path.join(self.directory, *done)

    def read_text(self, path: str) -> str:
        """The content of a small file, "" if there is none."""
        try:
            with open(self.resolve(path), encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        except OSError:
            return ""


def names_in(passwd: str) -> frozenset[str]:
    """The names in the text of /etc/passwd or /etc/group."""
    return frozenset(line.split(":", 1)[0] for line in passwd.splitlines() if ":" in line)


def number_of(name: str, passwd: str) -> int | None:
    """The number of a name in the text of /etc/passwd or /etc/group."""
    for line in passwd.splitlines():
        parts = line.split(":")
        if parts[0] == name and len(parts) > 2 and parts[2].isdigit():
            return int(parts[2])
    return None
