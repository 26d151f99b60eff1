"""The built archive, for tests that start it: fresh, and built once however many ask."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = ROOT / "dist" / "coreos.pyz"


def built() -> Path:
    """dist/coreos.pyz, rebuilt if the checkout is newer."""
    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build" / "test.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ARCHIVE.exists() or ARCHIVE.stat().st_mtime < _newest():
            subprocess.run([ROOT / "packaging" / "build.sh"], check=True, capture_output=True)
            os.utime(ARCHIVE)  # an unchanged archive keeps its bytes, not its age
    return ARCHIVE


def _newest() -> float:
    files = [path for path in (ROOT / "coreos_py").rglob("*") if "__pycache__" not in path.parts]
    sources = [*files, *(ROOT / "packaging").glob("*.py")]
    return max(path.stat().st_mtime for path in sources)
