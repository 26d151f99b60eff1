"""Disk images with two slots, for tests."""

from __future__ import annotations

import os
from pathlib import Path

from coreos_py.update.cgpt.types import by_name
from coreos_py.update.disk import Disk
from coreos_py.update.gpt import SECTOR, Entry, Gpt

SLOT_SIZE = 1 << 20
_FIRST = 128
_SECTORS = _FIRST + 2 * SLOT_SIZE // SECTOR + 200
Bits = tuple[int, int, int]


def make_disk(
    path: Path, *, a: Bits = (1, 0, 1), b: Bits = (0, 0, 0), slot_type: str = "coreos-usr"
) -> str:
    """An image of a disk: EFI-SYSTEM, USR-A and USR-B with these bits; its path."""
    path.touch()
    os.truncate(path, _SECTORS * SECTOR)
    gpt = Gpt.create(sectors=_SECTORS, disk_guid=b"\1" * 16)
    gpt.entries[0] = Entry(by_name("efi"), b"\x09" * 16, 40, 47).named("EFI-SYSTEM")
    for number, (priority, tries, good) in ((3, a), (4, b)):
        first = _FIRST + (number - 3) * SLOT_SIZE // SECTOR
        entry = Entry(by_name(slot_type), bytes((number,)) * 16, first, first + 2047)
        entry = entry.named(f"USR-{'AB'[number - 3]}")
        gpt.entries[number - 1] = entry.marked(priority=priority, tries=tries, successful=good)
    with Disk(str(path), write=True) as disk:
        disk.save(gpt)
    return str(path)


def bits(path: str) -> dict[int, Bits]:
    """Priority, tries and successful of both slots."""
    with Disk(path) as disk:
        gpt = disk.gpt()
        gpt.check()
    rows = {number: gpt.entries[number - 1] for number in (3, 4)}
    return {n: (row.priority, row.tries, int(row.successful)) for n, row in rows.items()}
