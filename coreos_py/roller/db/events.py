"""The events, as they were reported; retention.py alone drops any."""

from __future__ import annotations

from typing import NamedTuple

from coreos_py.roller.db.driver import Tx
from coreos_py.roller.records import EventEntry


class Origin(NamedTuple):
    """Who told an event, about what."""

    instance_id: str
    app_id: str
    group_id: str | None
    version: str  # that it ran then


def add(tx: Tx, origin: Origin, entry: EventEntry) -> None:
    """Write an event."""
    tx.send(
        "INSERT INTO event (instance_id, app_id, group_id, version, type, result, error_code,"
        " previous_version, created_us, ignored) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *origin,
        *entry,
    )


def of_instance(
    tx: Tx, instance_id: str, app_id: str, *, limit: int = 100, offset: int = 0
) -> list[EventEntry]:
    """A machine's events about an application, the newest first."""
    rows = tx.all(
        "SELECT type, result, error_code, previous_version, created_us, ignored FROM event"
        " WHERE instance_id = ? AND app_id = ? ORDER BY id DESC LIMIT ? OFFSET ?",
        instance_id,
        app_id,
        limit,
        offset,
    )
    return [EventEntry._make(row) for row in rows]


def count_of(tx: Tx, instance_id: str, app_id: str) -> int:
    """How many events of a machine there are about an application."""
    row = tx.one(
        "SELECT COUNT(*) FROM event WHERE instance_id = ? AND app_id = ?", instance_id, app_id
    )
    return int(row[0]) if row else 0


def count(tx: Tx) -> int:
    """How many there are."""
    row = tx.one("SELECT COUNT(*) FROM event")
    return int(row[0]) if row else 0


def counts_over_time(
    tx: Tx, group_id: str, *, start_us: int, end_us: int, step_us: int
) -> list[tuple[int, str, int, int, int]]:
    """(start of the step, version, type, result, how many) of a group's events."""
    rows = tx.all(
        "SELECT (created_us / ?) * ?, version, type, result, COUNT(*) FROM event"
        " WHERE created_us >= ? AND created_us < ? AND group_id = ?"
        " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
        step_us,
        step_us,
        start_us,
        end_us,
        group_id,
    )
    return [(int(row[0]), row[1], row[2], row[3], int(row[4])) for row in rows]
