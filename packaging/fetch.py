"""Fetch the wheels that go into the archive, exactly those the lock files name.

For CPython on Linux machines named here, whatever machine builds, so that all fetch the same files.
A wheel that is here already with the right hash is not fetched again; then no network is needed.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

PYTHON_OLDEST = "311"
ACCELERATED_PYTHONS = ("311", "312", "313", "314")
MACHINES = ("x86_64", "aarch64")
# pip takes the best that the index has among these.
_LIBCS = ("manylinux2014", "manylinux_2_17", "manylinux_2_28")

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def locked(lock: Path) -> dict[str, set[str]]:
    """Requirement ("click==8.5.1") to its hashes."""
    found: dict[str, set[str]] = {}
    name = ""
    for line in lock.read_text().splitlines():
        if match := _REQUIREMENT.match(line):
            name = f"{match[1]}=={match[2]}"
            found[name] = set()
        if name:
            found[name].update(_HASH.findall(line))
    return found


def sha256(path: Path) -> str:
    """The file's digest in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wheels(lock: Path, directory: Path, *, pythons: tuple[str, ...]) -> list[Path]:
    """The locked wheels for these Python versions, sorted by name; fetched when missing."""
    directory.mkdir(parents=True, exist_ok=True)
    wanted = {digest for digests in locked(lock).values() for digest in digests}
    have = _have(directory, wanted)
    if len(have) < len(wanted):
        words = ["--require-hashes", "--requirement", str(lock)]
        for python in pythons:
            pip_download(words, directory, python=python)
        have = _have(directory, wanted)
    if len(have) < len(wanted):
        missing = ", ".join(sorted(wanted - set(have)))
        raise SystemExit(f"{lock.name}: no wheel came with sha256 {missing}")
    return sorted(have.values())


def _have(directory: Path, wanted: set[str]) -> dict[str, Path]:
    found = {}
    for path in sorted(directory.glob("*.whl")):
        digest = sha256(path)
        if digest in wanted:
            found[digest] = path
    return found


def pip_download(words: list[str], directory: Path, *, python: str) -> None:
    """pip download for CPython `python` ("311"), once for each machine."""
    for machine in MACHINES:
        platforms = [word for libc in _LIBCS for word in ("--platform", f"{libc}_{machine}")]
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--disable-pip-version-check", "--only-binary=:all:"),
                *("--implementation", "cp", "--python-version", python),
                *("--abi", f"cp{python}", "--abi", "abi3", "--abi", "none"),
                *platforms,
                *("--dest", str(directory)),
                *words,
            ],
            check=True,
        )
