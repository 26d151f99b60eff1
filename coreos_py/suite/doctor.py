"""`coreos doctor`: what this installation runs on, and what it misses."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator

from coreos_py import __version__
from coreos_py.base import accelerators
from coreos_py.cli.progress import Progress
from coreos_py.commands import ROWS, Row
from coreos_py.suite import resources

_TOOLS = (
    ("ssh", "fleetctl ssh, status, journal and --tunnel to other machines"),
    ("man", "coreos man"),
)
_ACCELERATORS = ("crc32c",)
_DBUS = "/run/dbus/system_bus_socket"

_TIMER = """\
import sys, time
sys.path[:] = [*sys.argv[2:], *sys.path]
start = time.perf_counter()
__import__(sys.argv[1])
print(f"{(time.perf_counter() - start) * 1000:.1f}")
"""


def report() -> Iterator[tuple[str, str]]:
    """Lines of (what, finding)."""
    flags = f"isolated {sys.flags.isolated}, no_site {sys.flags.no_site}"
    yield "version", f"{__version__} (build {resources.build_id()})"
    yield "runs from", resources.archive() or resources.root()
    version = platform.python_version()
    yield "interpreter", f"{sys.executable}, {platform.python_implementation()} {version}, {flags}"
    yield "accelerators", _accelerators()
    yield "D-Bus", "reachable" if os.path.exists(_DBUS) else f"no {_DBUS}: no systemd manager"
    for tool, purpose in _TOOLS:
        yield tool, shutil.which(tool) or f"not installed; needed for {purpose}"
    with Progress() as progress:
        timed: dict[str, str] = {}
        for row in ROWS:
            progress(f"importing {row.name}")
            module = row.target.partition(":")[0]
            timed[module] = timed.get(module) or _import_time(row)
            yield f"import {row.name}", timed[module]


def _accelerators() -> str:
    where = accelerators.activate()
    found = [name for name in _ACCELERATORS if _imports(name)]
    if not found:
        return "none; the pure-Python fallbacks serve"
    return f"{', '.join(found)} in {where}" if where else ", ".join(found)


def _imports(name: str) -> bool:
    try:
        __import__(name)
    except ImportError:
        return False
    return True


def _import_time(row: Row) -> str:
    module = row.target.partition(":")[0]
    done = subprocess.run(
        [sys.executable, "-I", "-c", _TIMER, module, *sys.path],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return done.stderr.strip().rsplit("\n", 1)[-1]
    return f"{done.stdout.strip()} ms"
