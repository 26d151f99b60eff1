"""Programs of the system that Ignition's stages call. An edge."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

from coreos_py.base.errors import CoreosError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Early in the boot PATH may be short of these.
_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"


def find(*names: str) -> str:
    """Where the first of these programs is that can be found; CoreosError."""
    path = f"{os.environ.get('PATH', '')}:{_PATH}"
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    raise CoreosError(f"{' or '.join(names)} not found")


def attempt(argv: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """The program's end, whatever it is; CoreosError when there is no such program."""
    return subprocess.run(
        [find(argv[0]), *argv[1:]], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )


def check(argv: Sequence[str], *, name: str = "") -> str:
    """What the program prints; CoreosError with `name` and its complaint unless it succeeds."""
    done = attempt(argv)
    if done.returncode:
        raise CoreosError(f"{name or argv[0]}: exit status {done.returncode}: {complaint(done)}")
    return done.stdout.decode("utf-8", "replace")


def complaint(done: subprocess.CompletedProcess[bytes]) -> str:
    """What a program that failed had to say, in one line."""
    return " ".join((done.stderr or done.stdout).decode("utf-8", "replace").split())


def mount(device: str, *, read_only: bool = False) -> str:
    """Mount a device in a new directory, and tell which; CoreosError."""
    place = tempfile.mkdtemp(prefix="ignition-")
    try:
        done = attempt(["mount", *(["-o", "ro"] if read_only else []), device, place])
        if done.returncode:
            raise CoreosError(f"cannot mount {device}: {complaint(done)}")
    except BaseException:
        os.rmdir(place)
        raise
    return place


def unmount(device: str, place: str) -> None:
    """Undo `mount`; CoreosError."""
    done = attempt(["umount", place])
    if done.returncode:
        raise CoreosError(f"cannot unmount {device}: {complaint(done)}")
    os.rmdir(place)


@contextlib.contextmanager
def mounted(device: str) -> Iterator[str]:
    """The directory where a device is mounted for a while, to be read; CoreosError."""
    place = mount(device, read_only=True)
    try:
        yield place
    finally:
        unmount(device, place)
