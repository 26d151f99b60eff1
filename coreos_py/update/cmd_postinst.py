"""coreos-postinst: what a new image does to be booted next, run from inside it by update_engine.

Mirrors update_engine 0.4.10's coreos-postinst without its repairs of releases from 2014 to 2018.
The kernel is copied only when nobody else did it, and only if it fits.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager

from coreos_py.base.atomic import fsync_file, write_atomically
from coreos_py.base.errors import CoreosError
from coreos_py.cli.grammar import GO
from coreos_py.cli.program import Call, Program
from coreos_py.cli.settings import STRING, Setting
from coreos_py.update import disk as storage
from coreos_py.update.cgpt import showing
from coreos_py.update.disk import Disk, partition_device, whole_disk
from coreos_py.update.gpt import EFI_TYPE
from coreos_py.update.slots import mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_SLOTS = {"ROOT-A": "A", "USR-A": "A", "ROOT-B": "B", "USR-B": "B"}
_OEM_HOOK = "/usr/share/oem/bin/oem-postinst"
_SPARE = 1 << 20  # what the EFI system partition keeps free

PROGRAM = Program(
    "coreos-postinst",
    GO,
    settings=(
        Setting("image", STRING, help="where the image is mounted (where this was started from)"),
        Setting("esp", STRING, help="mount point of the EFI system partition (found)"),
    ),
    target="coreos_py.update.cmd_postinst:install",
    args="DEVICE [KERNEL=FILE]",
    help="make a freshly written slot the one to boot next, once",
    about="""\
update_engine runs the program /postinst of the new image, a link to this one. It copies the
image's kernel to the EFI system partition unless KERNEL= says that this has been done, runs the
OEM's hook, and gives the slot one try and the highest priority.""",
)


class PostinstError(CoreosError):
    """The image cannot be made bootable."""


def main(argv: list[str]) -> int:
    """Run coreos-postinst."""
    _started_from.append(os.path.dirname(argv[0]))
    return PROGRAM.run(argv)


_started_from: list[str] = []


def install(call: Call) -> int:
    """Do it."""
    if not call.args:
        print(PROGRAM.help_text(call), file=sys.stderr)
        return 1
    device, *rest = call.args
    image = call.settings["image"] or _started_from[-1] or "."
    disk_path, number = whole_disk(device)
    if not number:
        raise PostinstError(f"{device} is no partition")
    with Disk(disk_path) as disk:
        gpt = disk.gpt()
        gpt.check()
        label = gpt.entries[number - 1].label
    letter = _SLOTS.get(label)
    if letter is None:
        raise PostinstError(f"Unknown LABEL {label}")
    if not any(word.startswith("KERNEL=") and len(word) > 7 for word in rest):
        with _esp(call.settings["esp"]) as folder:
            target = f"{folder}/coreos/vmlinuz-{letter.lower()}"
            copy_kernel(f"{image}/boot/vmlinuz", target)
    if os.access(_OEM_HOOK, os.X_OK):
        done = subprocess.run([_OEM_HOOK, letter, image], check=False)
        if done.returncode:
            raise PostinstError(f"{_OEM_HOOK}: exit status {done.returncode}")
    with Disk(disk_path, write=True) as disk:
        gpt = disk.gpt()
        gpt.check()
        gpt.repair()
        mark(gpt, number - 1, tries=1, successful=False, first=True)
        disk.save(gpt)
        gpt = disk.gpt()
        gpt.check()
    showing.everything(gpt, numeric=False, verbose=False, damaged=False)
    sys.stdout.write(_release(image))
    print(f"Setup {label} ({device}) for next boot.")
    return 0


def copy_kernel(source: str, target: str) -> None:
    """Put the kernel in place whole or not at all; PostinstError when it does not fit."""
    folder = os.path.dirname(target)
    try:
        with open(source, "rb") as file:
            data = file.read()
        os.makedirs(folder, exist_ok=True)
        room = os.statvfs(folder)
        free = room.f_bavail * room.f_frsize
        if free < len(data) + _SPARE:
            raise PostinstError(f"{folder}: {len(data)} bytes of kernel, {free} bytes are free")
        write_atomically(target, data, mode=0o644)
        fsync_file(target)
    except OSError as err:
        raise PostinstError(f"{err.filename or target}: {err.strerror}") from None
    print(f"'{source}' -> '{target}'")


@contextmanager
def _esp(given: str) -> Iterator[str]:
    """Where the EFI system partition is mounted, now or for this moment."""
    if given:
        yield given
        return
    device = _find_esp()
    if mounted := storage.mounted_from(device):
        yield mounted
        return
    folder = tempfile.mkdtemp(prefix="postinst_esp.")
    try:
        _run("mount", device, folder)
        try:
            yield folder
        finally:
            _run("umount", folder)
    finally:
        os.rmdir(folder)


def _find_esp() -> str:
    for path in storage.disks():
        try:
            with Disk(path) as disk:
                gpt = disk.gpt()
                gpt.check()
        except CoreosError:
            continue  # a disk without a table
        for number, entry in enumerate(gpt.entries, 1):
            if entry.type == EFI_TYPE:
                return partition_device(path, number)
    raise PostinstError("Failed to find ESP partition!")


def _run(*words: str) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise PostinstError(f"{' '.join(words)}: {done.stderr.strip()}")


def _release(image: str) -> str:
    try:
        with open(f"{image}/share/coreos/release", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
