"""What is written down of every run, so that a manager that was killed can be followed by another.

One small JSON file per unit, rewritten at every change and always before a process is started: with
the run's mark in it, each of its processes can be found, so none is ever started twice. A record is
one block of fixed size, written by one call, so a kill leaves the old or the new one; files renamed
over each other would make ext4 write to the disk each time. Not synced: after a power cut the boot
id differs and nothing in it counts.
"""

from __future__ import annotations

import errno
import json
import os
from typing import NamedTuple

from coreos_py.systemd.embedded.states import Snapshot
from coreos_py.systemd.files import remove_file

BLOCK_BYTES = 2048  # within one page


class Record(NamedTuple):
    """One run; `main_start` tells the main process from a later one with its pid."""

    unit: str
    boot: str
    mark: int
    invocation: str
    main_start: int
    snapshot: Snapshot


def save(directory: str, record: Record) -> None:
    """Write the unit's record."""
    path = os.path.join(directory, record.unit)
    fields = record._asdict() | {"snapshot": record.snapshot._asdict()}
    block = json.dumps(fields).encode().ljust(BLOCK_BYTES)
    assert len(block) == BLOCK_BYTES, "a unit name fits"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.pwrite(fd, block, 0) != BLOCK_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    finally:
        os.close(fd)


def load_all(directory: str) -> list[Record]:
    """Every readable record; a torn one is as good as none."""
    found = []
    for name in sorted(os.listdir(directory)):
        try:
            with open(os.path.join(directory, name), encoding="utf-8") as file:
                fields = json.load(file)
            fields["snapshot"] = Snapshot(**fields["snapshot"])
            found.append(Record(**fields))
        except (ValueError, TypeError, KeyError):
            continue
    return found


def remove(directory: str, unit: str) -> None:
    """Forget the unit's run."""
    remove_file(os.path.join(directory, unit))
