"""The instances: who they are, how they stand with an application, and what that adds up to.

Every change of a standing goes through save(), which keeps the tallies right; so a decision needs
no look at the whole group.
"""

from __future__ import annotations

from coreos_py.roller import tally
from coreos_py.roller.db.driver import Row, Tx
from coreos_py.roller.records import (
    SEEN_US,
    HistoryEntry,
    Instance,
    Standing,
    Stats,
    Status,
)
from coreos_py.roller.tally import Tally

_INSTANCE = (
    "SELECT id, ip, created_us, alias, oem, oem_version, aleph_version, board, boot_id"
    " FROM instance"
)
_STANDING = (
    "SELECT instance_id, app_id, group_id, version, created_us, last_check_us, status, granted_us,"
    " granted_version, in_progress, failures, failed_version, retry_us, seen FROM standing"
)
_LATE_MAX = 100  # of those who timed out, as long as they are too few to decide anything
RETIRE_MAX = 500  # at a time, so that no single check pays for a whole fleet


def find(tx: Tx, instance_id: str) -> Instance | None:
    """The machine with this id."""
    row = tx.one(f"{_INSTANCE} WHERE id = ?", instance_id)
    return None if row is None else Instance._make(row)


def standing(tx: Tx, instance_id: str, app_id: str) -> Standing | None:
    """How a machine stands with an application."""
    row = tx.one(f"{_STANDING} WHERE instance_id = ? AND app_id = ?", instance_id, app_id)
    return None if row is None else standing_of_row(row)


def standings(tx: Tx, instance_id: str) -> list[Standing]:
    """How a machine stands with all its applications."""
    rows = tx.all(f"{_STANDING} WHERE instance_id = ? ORDER BY app_id", instance_id)
    return [standing_of_row(row) for row in rows]


def standing_of_row(row: Row) -> Standing:
    """The columns of a standing as a record."""
    status = None if row[6] is None else Status(row[6])
    return Standing._make(
        (*row[:6], status, row[7], row[8], bool(row[9]), *row[10:13], bool(row[13]))
    )


def put(tx: Tx, before: Instance | None, after: Instance) -> None:
    """Write a machine; what it keeps is not written again."""
    if before is None:
        tx.send(
            "INSERT INTO instance (id, ip, created_us, alias, oem, oem_version, aleph_version,"
            " board, boot_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *after,
        )
    elif after != before:
        tx.send(
            "UPDATE instance SET ip = ?, alias = ?, oem = ?, oem_version = ?, aleph_version = ?,"
            " board = ?, boot_id = ? WHERE id = ?",
            after.ip,
            *after[3:],
            after.id,
        )


def rename(tx: Tx, instance_id: str, alias: str) -> bool:
    """Give a machine a name for people; False if there is no such machine."""
    return tx.execute("UPDATE instance SET alias = ? WHERE id = ?", alias, instance_id) > 0


def save(tx: Tx, before: Standing | None, after: Standing, now_us: int) -> None:
    """Write a standing, its place in the tallies and, if the status is another, the history."""
    if before is None:
        _insert(tx, after)
    elif before._replace(last_check_us=after.last_check_us) == after:
        tx.send(
            "UPDATE standing SET last_check_us = ? WHERE instance_id = ? AND app_id = ?",
            after.last_check_us,
            after.instance_id,
            after.app_id,
        )
        return
    else:
        _update(tx, after)
    for (group_id, version), delta in tally.changes(before, after).items():
        _add(tx, group_id, version, delta)
    if after.status is not None and (before is None or before.status != after.status):
        _remember(tx, after, now_us)


def _insert(tx: Tx, after: Standing) -> None:
    tx.send(
        "INSERT INTO standing (instance_id, app_id, group_id, version, created_us, last_check_us,"
        " status, granted_us, granted_version, in_progress, failures, failed_version, retry_us,"
        " seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *_columns(after),
    )


def _update(tx: Tx, after: Standing) -> None:
    columns = _columns(after)
    tx.send(
        "UPDATE standing SET group_id = ?, version = ?, created_us = ?, last_check_us = ?,"
        " status = ?, granted_us = ?, granted_version = ?, in_progress = ?, failures = ?,"
        " failed_version = ?, retry_us = ?, seen = ? WHERE instance_id = ? AND app_id = ?",
        *columns[2:],
        *columns[:2],
    )


def _columns(item: Standing) -> tuple[object, ...]:
    status = None if item.status is None else int(item.status)
    return (*item[:6], status, *item[7:9], int(item.in_progress), *item[10:13], int(item.seen))


def _add(tx: Tx, group_id: str, version: str, delta: Tally) -> None:
    tx.send(
        "INSERT INTO tally (group_id, version, running, granted, in_progress, succeeded)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (group_id, version) DO UPDATE SET"
        " running = tally.running + excluded.running,"
        " granted = tally.granted + excluded.granted,"
        " in_progress = tally.in_progress + excluded.in_progress,"
        " succeeded = tally.succeeded + excluded.succeeded",
        group_id,
        version,
        *delta,
    )


def _remember(tx: Tx, item: Standing, now_us: int) -> None:
    tx.send(
        "INSERT INTO instance_status_history (instance_id, app_id, group_id, status, version,"
        " created_us) VALUES (?, ?, ?, ?, ?, ?)",
        item.instance_id,
        item.app_id,
        item.group_id,
        int(item.status or Status.UNDEFINED),
        item.granted_version,
        now_us,
    )


def history(
    tx: Tx, instance_id: str, app_id: str, group_id: str, *, limit: int = 20
) -> list[HistoryEntry]:
    """A machine's changes of status in a group, the newest first."""
    rows = tx.all(
        "SELECT status, version, created_us FROM instance_status_history WHERE instance_id = ?"
        " AND app_id = ? AND group_id = ? ORDER BY id DESC LIMIT ?",
        instance_id,
        app_id,
        group_id,
        limit,
    )
    return [HistoryEntry._make(row) for row in rows]


def retire(tx: Tx, now_us: int) -> int:
    """Count out who did not check in for so long; how many."""
    rows = tx.all(
        f"{_STANDING} WHERE seen = 1 AND last_check_us <= ? ORDER BY last_check_us LIMIT ?",
        now_us - SEEN_US,
        RETIRE_MAX,
    )
    for row in rows:
        before = standing_of_row(row)
        save(tx, before, before._replace(seen=False), now_us)
    return len(rows)


def tallies(tx: Tx, group_id: str) -> dict[str, Tally]:
    """A group's numbers by version; of those seen lately."""
    rows = tx.all(
        "SELECT version, running, granted, in_progress, succeeded FROM tally WHERE group_id = ?",
        group_id,
    )
    return {row[0]: Tally._make(row[1:]) for row in rows if any(row[1:])}


def stats(
    tx: Tx,
    group_id: str,
    version: str,
    *,
    now_us: int,
    period_us: int,
    timeout_us: int,
    cap: int,
) -> Stats:
    """How far a group is with a version.

    The last three are right about being none and about reaching `cap`: counting each of twenty
    thousand for everyone who asks would cost more than all the rest.
    """
    counts = tallies(tx, group_id)
    mine = counts.get(version, Tally())
    total = sum(item.running for item in counts.values())
    under_way = sum(item.in_progress for item in counts.values())
    ever = sum(item.granted for item in counts.values())
    recent = in_time = late = 0
    if ever:
        recent = _bounded(
            tx,
            "SELECT COUNT(*) FROM (SELECT 1 FROM standing WHERE group_id = ? AND seen = 1"
            " AND granted_us IS NOT NULL AND granted_us > ? LIMIT ?) AS recent",
            (group_id, now_us - period_us, cap if ever >= cap else 1),
        )
    if under_way:
        most = cap if under_way >= cap else min(cap, _LATE_MAX)
        late = _bounded(
            tx,
            "SELECT COUNT(*) FROM (SELECT 1 FROM standing WHERE group_id = ? AND seen = 1"
            " AND in_progress = 1 AND granted_us < ? LIMIT ?) AS late",
            (group_id, now_us - timeout_us, most),
        )
        in_time = under_way - late
        if late == most:  # and perhaps there are more
            in_time = _bounded(
                tx,
                "SELECT COUNT(*) FROM (SELECT 1 FROM standing WHERE group_id = ? AND seen = 1"
                " AND in_progress = 1 AND granted_us >= ? LIMIT ?) AS in_time",
                (group_id, now_us - timeout_us, cap if under_way >= cap else 1),
            )
    return Stats(
        total=total,
        granted=mine.granted,
        attempted=mine.granted - mine.in_progress,
        succeeded=mine.succeeded,
        granted_in_period=recent,
        in_progress=in_time,
        timed_out=late,
    )


def _bounded(tx: Tx, sql: str, params: tuple[object, ...]) -> int:
    row = tx.one(sql, *params)
    return int(row[0]) if row else 0


def overdue(tx: Tx, group_id: str, before_us: int, *, limit: int = 1000) -> list[Standing]:
    """Who was granted an update before then and is still at it, the longest first."""
    rows = tx.all(
        f"{_STANDING} WHERE group_id = ? AND seen = 1 AND in_progress = 1 AND granted_us < ?"
        " ORDER BY granted_us LIMIT ?",
        group_id,
        before_us,
        limit,
    )
    return [standing_of_row(row) for row in rows]
