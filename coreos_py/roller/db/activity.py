"""The activity: what happened to groups, channels and instances, for people."""

from __future__ import annotations

from typing import NamedTuple

from coreos_py.roller.db.driver import Tx
from coreos_py.roller.records import DAY_US, Activity

RECENT_US = 3 * DAY_US

_FROM = (
    "FROM activity a JOIN application app ON app.id = a.app_id"
    " LEFT JOIN groups g ON g.id = a.group_id LEFT JOIN channel c ON c.id = a.channel_id"
    " WHERE a.created_us BETWEEN ? AND ?"
)


class Query(NamedTuple):
    """Which entries; empty fields do not choose."""

    start_us: int
    end_us: int
    app_id: str = ""
    group_id: str = ""
    channel_id: str = ""
    instance_id: str = ""
    version: str = ""
    severity: int = 0
    limit: int = 500
    offset: int = 0


def add(
    tx: Tx,
    kind: int,
    severity: int,
    *,
    version: str,
    app_id: str,
    now_us: int,
    group_id: str | None = None,
    channel_id: str | None = None,
    instance_id: str | None = None,
    note: str = "",
) -> None:
    """Write an entry."""
    tx.send(
        "INSERT INTO activity (created_us, class, severity, version, app_id, group_id, channel_id,"
        " instance_id, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        now_us,
        int(kind),
        int(severity),
        version,
        app_id,
        group_id,
        channel_id,
        instance_id,
        note,
    )


def listing(tx: Tx, query: Query) -> list[Activity]:
    """The newest first."""
    where, params = _where(query)
    rows = tx.all(
        "SELECT a.created_us, a.class, a.severity, a.version, app.name, g.name, c.name,"
        f" a.instance_id, a.app_id, a.group_id, a.channel_id, a.note {_FROM}{where}"
        " ORDER BY a.created_us DESC, a.id DESC LIMIT ? OFFSET ?",
        *params,
        query.limit,
        query.offset,
    )
    return [Activity(*row) for row in rows]


def count(tx: Tx, query: Query) -> int:
    """How many entries the query chooses, on all its pages."""
    where, params = _where(query)
    row = tx.one(f"SELECT COUNT(*) {_FROM}{where}", *params)
    return int(row[0]) if row else 0


def since(tx: Tx, kind: int, group_id: str, start_us: int) -> bool:
    """Whether a group has an entry of this class from then on."""
    row = tx.one(
        "SELECT 1 FROM activity WHERE group_id = ? AND class = ? AND created_us >= ? LIMIT 1",
        group_id,
        int(kind),
        start_us,
    )
    return row is not None


def latest(tx: Tx, kind: int, group_id: str, version: str) -> int | None:
    """When a group had its last entry of this class about a version."""
    row = tx.one(
        "SELECT MAX(created_us) FROM activity WHERE group_id = ? AND class = ? AND version = ?",
        group_id,
        int(kind),
        version,
    )
    return int(row[0]) if row and row[0] is not None else None


def _where(query: Query) -> tuple[str, list[object]]:
    choices: tuple[tuple[str, object], ...] = (
        (" AND a.app_id = ?", query.app_id),
        (" AND a.group_id = ?", query.group_id),
        (" AND a.channel_id = ?", query.channel_id),
        (" AND a.instance_id = ?", query.instance_id),
        (" AND a.version = ?", query.version),
        (" AND a.severity = ?", query.severity),
    )
    chosen = [(text, value) for text, value in choices if value]
    params: list[object] = [query.start_us, query.end_us, *(value for _, value in chosen)]
    return "".join(text for text, _ in chosen), params
