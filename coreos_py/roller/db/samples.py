"""What the charts are drawn from: counts per version and status, written now and then."""

from __future__ import annotations

from coreos_py.roller.db.driver import Tx
from coreos_py.roller.records import DAY_US, SECOND_US, SEEN_US, Sample

EVERY_US = 300 * SECOND_US
KEPT_US = 31 * DAY_US


def take(tx: Tx, now_us: int) -> int:
    """Write one count per group, version and status of those seen lately; how many rows.

    At most one per EVERY_US, at its start, so that two servers or a restart count once.
    """
    at_us = now_us // EVERY_US * EVERY_US
    tx.execute("DELETE FROM sample WHERE at_us < ?", now_us - KEPT_US)
    if tx.one("SELECT 1 FROM sample WHERE at_us = ? LIMIT 1", at_us) is not None:
        return 0
    return tx.execute(
        "INSERT INTO sample (group_id, at_us, version, status, count)"
        " SELECT group_id, CAST(? AS BIGINT), version, COALESCE(status, 1), COUNT(*)"
        " FROM standing WHERE group_id IS NOT NULL AND last_check_us > ?"
        " GROUP BY group_id, version, COALESCE(status, 1)",
        at_us,
        now_us - SEEN_US,
    )


def now(tx: Tx, group_id: str, now_us: int) -> list[Sample]:
    """The count at this moment."""
    rows = tx.all(
        "SELECT version, COALESCE(status, 1), COUNT(*) FROM standing"
        " WHERE group_id = ? AND last_check_us > ? GROUP BY version, COALESCE(status, 1)"
        " ORDER BY 1, 2",
        group_id,
        now_us - SEEN_US,
    )
    return [Sample(now_us, row[0], int(row[1]), int(row[2])) for row in rows]


def between(tx: Tx, group_id: str, start_us: int, end_us: int) -> list[Sample]:
    """A group's samples in order of time."""
    rows = tx.all(
        "SELECT at_us, version, status, count FROM sample WHERE group_id = ? AND at_us >= ?"
        " AND at_us < ? ORDER BY at_us, version, status",
        group_id,
        start_us,
        end_us,
    )
    return [Sample._make(row) for row in rows]
