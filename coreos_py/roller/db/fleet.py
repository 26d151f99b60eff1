"""Lists and sums of instances, for people: everything here may look at a whole group."""

from __future__ import annotations

from typing import NamedTuple

from coreos_py.roller.db.driver import Tx
from coreos_py.roller.db.instances import standing_of_row
from coreos_py.roller.records import SEEN_US, Instance, Standing, Status

_SELECT = (
    "SELECT i.id, i.ip, i.created_us, i.alias, i.oem, i.oem_version, i.aleph_version, i.board,"
    " i.boot_id, s.instance_id, s.app_id, s.group_id, s.version, s.created_us, s.last_check_us,"
    " s.status, s.granted_us, s.granted_version, s.in_progress, s.failures, s.failed_version,"
    " s.retry_us, s.seen"
)
_FROM = " FROM standing s JOIN instance i ON i.id = s.instance_id WHERE s.app_id = ?"
_WIDTH = len(Instance._fields)
_SORTS = {
    "": " ORDER BY i.created_us DESC, i.id",
    "id": " ORDER BY i.id",
    "ip": " ORDER BY i.ip",
    "version": " ORDER BY s.version",
    "status": " ORDER BY COALESCE(s.status, 1)",
    "last_check": " ORDER BY s.last_check_us",
}
SORTS = tuple(name for name in _SORTS if name)


class Query(NamedTuple):
    """Which instances; empty fields do not choose."""

    app_id: str
    group_id: str = ""
    seen_after_us: int = 0
    status: int = 0
    version: str = ""
    search: str = ""  # in id, alias or address
    sort: str = ""  # one of SORTS; else the newest first
    descending: bool = False
    limit: int = 500
    offset: int = 0


class Member(NamedTuple):
    """A machine and how it stands with the application asked for."""

    instance: Instance
    standing: Standing


def listing(tx: Tx, query: Query) -> list[Member]:
    """The instances a query chooses, one page of them."""
    where, params = _where(query)
    order = _SORTS[query.sort]
    if query.sort:
        order += " DESC, i.id" if query.descending else ", i.id"
    rows = tx.all(
        f"{_SELECT}{_FROM}{where}{order} LIMIT ? OFFSET ?", *params, query.limit, query.offset
    )
    return [Member(Instance._make(row[:_WIDTH]), standing_of_row(row[_WIDTH:])) for row in rows]


def count(tx: Tx, query: Query) -> int:
    """How many instances a query chooses, on all its pages."""
    where, params = _where(query)
    row = tx.one(f"SELECT COUNT(*){_FROM}{where}", *params)
    return int(row[0]) if row else 0


def by_status(tx: Tx, group_id: str, now_us: int) -> dict[int, int]:
    """How many of a group's instances seen lately have each status; UNDEFINED without one."""
    rows = tx.all(
        "SELECT COALESCE(status, ?), COUNT(*) FROM standing WHERE group_id = ?"
        " AND last_check_us > ? GROUP BY 1",
        int(Status.UNDEFINED),
        group_id,
        now_us - SEEN_US,
    )
    return {int(row[0]): int(row[1]) for row in rows}


def by_version(tx: Tx, group_id: str, now_us: int) -> dict[str, int]:
    """How many of a group's instances seen lately run each version."""
    rows = tx.all(
        "SELECT version, COUNT(*) FROM standing WHERE group_id = ? AND last_check_us > ?"
        " GROUP BY version",
        group_id,
        now_us - SEEN_US,
    )
    return {row[0]: int(row[1]) for row in rows}


def _where(query: Query) -> tuple[str, list[object]]:
    choices: tuple[tuple[str, object], ...] = (
        (" AND s.group_id = ?", query.group_id),
        (" AND s.last_check_us > ?", query.seen_after_us),
        (" AND COALESCE(s.status, 1) = ?", query.status),
        (" AND s.version = ?", query.version),
    )
    chosen = [(text, value) for text, value in choices if value]
    params: list[object] = [query.app_id, *(value for _, value in chosen)]
    where = "".join(text for text, _ in chosen)
    if query.search:
        where += " AND (LOWER(i.id) LIKE ? ESCAPE '!' OR LOWER(i.alias) LIKE ? ESCAPE '!'"
        where += " OR i.ip LIKE ? ESCAPE '!')"
        params += [_pattern(query.search)] * 3
    return where, params


def _pattern(text: str) -> str:
    """Anywhere inside, in small letters, with nothing special in it."""
    plain = text.lower().replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{plain}%"
