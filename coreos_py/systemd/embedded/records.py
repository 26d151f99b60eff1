"""What is written down of every run, so that a manager that was killed can be followed by another.

One small JSON file per unit, replaced at every change and always before a process is started: with
the run's mark in it, each of its processes can be found, so none is ever started twice. Not synced
to disk: after a power cut the boot id differs and nothing in it counts.
"""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from coreos_py.systemd.embedded.states import Snapshot
from coreos_py.systemd.files import remove_file, replace_file


class Record(NamedTuple):
    """One run; `main_start` tells the main process from a later one with its pid."""

    unit: str
    boot: str
    mark: int
    invocation: str
    main_start: int
    snapshot: Snapshot


def save(directory: str, record: Record) -> None:
    """Replace the unit's record."""
    path = os.path.join(directory, record.unit)
    fields = record._asdict() | {"snapshot": record.snapshot._asdict()}
    replace_file(path, json.dumps(fields).encode(), mode=0o600)


def load_all(directory: str) -> list[Record]:
    """Every readable record; a torn one is as good as none."""
    found = []
    for name in sorted(os.listdir(directory)):
        if name.endswith(".tmp"):
            continue
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
