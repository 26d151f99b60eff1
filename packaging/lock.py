"""Rewrite the lock files with the newest versions, as a maintainer does before a release.

    build/venv/bin/python packaging/lock.py

Read the diff, run the tests, commit. What is bundled is listed here and nowhere else.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import fetch

HERE = Path(__file__).resolve().parent

RUNTIME = ("click", "jeepney", "platformdirs")
ACCELERATORS = ("crc32c",)
BUILD = ("click", "pip", "setuptools", "shiv")
DEV = (
    *("cryptography", "crc32c", "h11", "hypothesis", "mypy", "pytest", "pytest-timeout"),
    *("pytest-xdist", "ruff"),
)


def main() -> None:
    write("requirements.txt", RUNTIME, "in the archive", pythons=(fetch.PYTHON_OLDEST,))
    write(
        "requirements-accelerators.txt",
        ACCELERATORS,
        "in the archive as whole wheels, for daemons",
        pythons=fetch.ACCELERATED_PYTHONS,
    )
    write("requirements-build.txt", BUILD, "makes the archive", pythons=(fetch.PYTHON_OLDEST,))
    write_dev()


def write(name: str, packages: tuple[str, ...], what: str, *, pythons: tuple[str, ...]) -> None:
    """One lock file with the hash of every wheel that may be taken."""
    found: dict[str, set[str]] = {}
    with tempfile.TemporaryDirectory() as directory:
        for python in pythons:
            fetch.pip_download(list(packages), Path(directory), python=python)
        for wheel in sorted(Path(directory).glob("*.whl")):
            project, version = wheel.name.split("-")[:2]
            found.setdefault(f"{_normal(project)}=={version}", set()).add(fetch.sha256(wheel))
    lines = [f"# {what[0].upper()}{what[1:]}. Written by packaging/lock.py."]
    for requirement in sorted(found):
        hashes = [f"    --hash=sha256:{digest}" for digest in sorted(found[requirement])]
        lines.append(" \\\n".join([requirement, *hashes]))
    (HERE / name).write_text("\n".join(lines) + "\n")


def write_dev() -> None:
    """Versions only: these never reach a user."""
    report = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"),
            *("--report", "-", *fetch.locked(HERE / "requirements.txt"), *DEV),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    found = [item["metadata"] for item in json.loads(report.stdout)["install"]]
    lines = ["# What the tests need. Written by packaging/lock.py."]
    lines += sorted(f"{_normal(item['name'])}=={item['version']}" for item in found)
    (HERE / "requirements-dev.txt").write_text("\n".join(lines) + "\n")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
