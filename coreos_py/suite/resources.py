"""Files that travel with the program: in the archive, or beside the package in a checkout."""

from __future__ import annotations

import json
import os

import coreos_py
from coreos_py.base.errors import CoreosError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def root() -> str:
    """The archive, or the directory that holds the package."""
    return os.path.dirname(os.path.dirname(os.path.abspath(coreos_py.__file__)))


def archive() -> str:
    """The archive this process runs from; "" in a checkout."""
    path = root()
    return path if os.path.isfile(path) else ""


def read(name: str) -> bytes:
    """The bytes of a file by its path from the root, such as "man/etcd.8"."""
    loader: Any = coreos_py.__spec__.loader
    try:
        data: bytes = loader.get_data(os.path.join(root(), *name.split("/")))
    except OSError:
        raise CoreosError(f"{name} is not part of this installation") from None
    return data


def build_id() -> str:
    """Twelve digits that name the archive's content; "source" in a checkout."""
    if not archive():
        return "source"
    return str(json.loads(read("environment.json"))["build_id"])[:12]
