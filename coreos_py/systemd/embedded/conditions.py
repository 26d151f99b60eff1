"""Condition*= and Assert*= tests of unit files, answered by looking."""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coreos_py.systemd.embedded.definition import Condition


def holds(condition: Condition, *, hostname: str, machine_id: str) -> bool:
    """Whether the test is true, its "!" not considered."""
    path = condition.argument
    match condition.kind:
        case "PathExists":
            return os.path.exists(path)
        case "PathExistsGlob":
            return bool(glob.glob(path))
        case "PathIsDirectory":
            return os.path.isdir(path)
        case "PathIsSymbolicLink":
            return os.path.islink(path)
        case "DirectoryNotEmpty":
            return os.path.isdir(path) and bool(os.listdir(path))
        case "FileNotEmpty":
            return os.path.isfile(path) and os.path.getsize(path) > 0
        case "FileIsExecutable":
            return os.path.isfile(path) and os.access(path, os.X_OK)
        case "Host":
            return path in (hostname, machine_id)
    raise AssertionError(condition.kind)
