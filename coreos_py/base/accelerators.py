"""Unpack the compiled libraries that ride in the archive, for daemons.

The archive holds whole wheels under wheels/ with their digests in index.json. Those that fit this
interpreter and C library are unpacked once into a private cache directory whose name says what is
in it, and that directory is appended to sys.path. Whatever is in the way (no archive, no wheel for
this interpreter, no writable cache), nothing is unpacked and the pure-Python fallbacks serve;
callers import an accelerator under `try` and never ask here.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import stat
import sys
import zipfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

CACHE_NAME = "coreos-py"
_INDEX = "wheels/index.json"
_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_(\w+)")
_LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}


def activate(cache_dir: str | None = None) -> str:
    """Make the accelerators importable; where they are, or "" when the fallbacks have to do."""
    archive = getattr(getattr(__spec__, "loader", None), "archive", None)
    if archive is None:
        return ""
    try:
        with zipfile.ZipFile(archive) as source:
            return _activate(source, cache_dir or default_cache_dir())
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return ""


def default_cache_dir() -> str:
    """Where to unpack: the service manager's choice, else the user's cache; "" without either."""
    managed = os.environ.get("CACHE_DIRECTORY", "").partition(":")[0]
    if managed:
        return managed
    import platformdirs

    try:
        path = platformdirs.user_cache_dir(CACHE_NAME, appauthor=False)
    except RuntimeError:
        return ""  # a user without a home
    return path if os.path.isabs(path) else ""  # older platformdirs leave a literal ~ then


def suitable(
    names: Iterable[str], *, python: str, machine: str, glibc: tuple[int, int]
) -> list[str]:
    """The wheels that this interpreter ("cp311"), machine and C library can load."""
    return sorted(name for name in names if _fits(name, python, machine, glibc))


def _fits(name: str, python: str, machine: str, glibc: tuple[int, int]) -> bool:
    parts = name.removesuffix(".whl").split("-")
    if len(parts) < 5 or python not in parts[-3].split("."):
        return False
    for tag in parts[-1].split("."):
        if tag == "any":
            return True
        if match := _MANYLINUX.fullmatch(tag):
            needs, built_for = (int(match[1]), int(match[2])), match[3]
        else:
            legacy, _, built_for = tag.partition("_")
            needs = _LEGACY.get(legacy, (99, 0))
        if built_for == machine and needs <= glibc:
            return True
    return False


def _activate(source: zipfile.ZipFile, cache_dir: str) -> str:
    index: dict[str, str] = json.loads(source.read(_INDEX))
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    names = suitable(index, python=python, machine=os.uname().machine, glibc=_glibc())
    if not names or not cache_dir:
        return ""
    content = hashlib.sha256("".join(index[name] for name in names).encode()).hexdigest()
    target = os.path.join(cache_dir, f"{python}-{content[:16]}")
    if not os.path.isdir(target):
        _unpack(source, {name: index[name] for name in names}, target)
    if not _is_private(cache_dir) or not _is_private(target):
        return ""
    sys.path.append(target)
    return target


def _unpack(source: zipfile.ZipFile, wheels: dict[str, str], target: str) -> None:
    """All or nothing: into a directory beside the target, then a rename."""
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    temporary = f"{target}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    os.mkdir(temporary, 0o700)
    try:
        for name, digest in wheels.items():
            data = source.read(f"wheels/{name}")
            if hashlib.sha256(data).hexdigest() != digest:
                raise ValueError(f"{name}: digest differs")
            with zipfile.ZipFile(io.BytesIO(data)) as wheel:
                wheel.extractall(temporary)
        os.rename(temporary, target)
    except FileExistsError:
        pass  # another daemon was faster
    except OSError as err:
        if not os.path.isdir(target):  # ENOTEMPTY: the same, said differently
            raise err
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_private(path: str) -> bool:
    """Code is loaded from here: ours (or root's), and nobody else may write."""
    info = os.stat(path)
    others = stat.S_IWGRP | stat.S_IWOTH
    return info.st_uid in (os.geteuid(), 0) and not info.st_mode & others


def _glibc() -> tuple[int, int]:
    """(2, 36), or (0, 0) on another C library."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (OSError, ValueError):
        return (0, 0)
    match = re.match(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if name == "glibc" and match else (0, 0)
