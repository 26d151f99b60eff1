"""What only CoreUpdate's API knows: its users' keys, upstream servers, published channels."""

from __future__ import annotations

from typing import NamedTuple

from coreos_py.roller.db.driver import Tx
from coreos_py.roller.records import Invalid


class HawkUser(NamedTuple):
    """Somebody who signs requests."""

    name: str
    key: str
    created_us: int


class Upstream(NamedTuple):
    """A server whose published packages are taken over."""

    id: str
    url: str
    label: str
    created_us: int


class Publication(NamedTuple):
    """Whether other servers may take a channel over, and from where it was taken itself."""

    publish: bool = False
    upstream_id: str = ""


class Client(NamedTuple):
    """A row of the list of instances: how one stands with one application."""

    app_id: str  # as CoreUpdate's clients know it, and so the track
    instance_id: str
    version: str
    last_check_us: int
    track: str
    oem: str


class Chosen(NamedTuple):
    """Which instances; empty fields do not choose."""

    app_id: str = ""
    group_id: str = ""
    version: str = ""
    oem: str = ""
    instance_id: str = ""
    start_us: int = 0
    end_us: int = 0


# -- users


def user(tx: Tx, name: str) -> HawkUser | None:
    """The user of this name."""
    row = tx.one("SELECT name, key, created_us FROM hawk_user WHERE name = ?", name)
    return None if row is None else HawkUser._make(row)


def users(tx: Tx) -> list[HawkUser]:
    """All users by name."""
    rows = tx.all("SELECT name, key, created_us FROM hawk_user ORDER BY name")
    return [HawkUser._make(row) for row in rows]


def add_user(tx: Tx, item: HawkUser) -> None:
    """Register a user; Invalid when the name is taken."""
    if user(tx, item.name) is not None:
        raise Invalid(f'there is a user "{item.name}" already')
    tx.execute("INSERT INTO hawk_user (name, key, created_us) VALUES (?, ?, ?)", *item)


def set_key(tx: Tx, name: str, key: str) -> bool:
    """Give a user another key; False if there is no such user."""
    return tx.execute("UPDATE hawk_user SET key = ? WHERE name = ?", key, name) > 0


def delete_user(tx: Tx, name: str) -> bool:
    """Remove a user; False if there is none."""
    return tx.execute("DELETE FROM hawk_user WHERE name = ?", name) > 0


# -- upstreams


def upstream(tx: Tx, upstream_id: str) -> Upstream | None:
    """The upstream with this id."""
    row = tx.one("SELECT id, url, label, created_us FROM upstream WHERE id = ?", upstream_id)
    return None if row is None else Upstream._make(row)


def upstreams(tx: Tx) -> list[Upstream]:
    """All of them, the oldest first."""
    rows = tx.all("SELECT id, url, label, created_us FROM upstream ORDER BY created_us, id")
    return [Upstream._make(row) for row in rows]


def add_upstream(tx: Tx, item: Upstream) -> None:
    """Register one."""
    tx.execute("INSERT INTO upstream (id, url, label, created_us) VALUES (?, ?, ?, ?)", *item)


def update_upstream(tx: Tx, item: Upstream) -> bool:
    """Change URL and label; False if there is none."""
    sql = "UPDATE upstream SET url = ?, label = ? WHERE id = ?"
    return tx.execute(sql, item.url, item.label, item.id) > 0


def delete_upstream(tx: Tx, upstream_id: str) -> bool:
    """Remove one; its channels stay as they are and are nobody's. False if there is none."""
    tx.execute("UPDATE channel SET upstream_id = '' WHERE upstream_id = ?", upstream_id)
    return tx.execute("DELETE FROM upstream WHERE id = ?", upstream_id) > 0


# -- channels


def publication(tx: Tx, channel_id: str) -> Publication:
    """Of one channel."""
    row = tx.one("SELECT publish, upstream_id FROM channel WHERE id = ?", channel_id)
    return Publication() if row is None else Publication(bool(row[0]), row[1])


def publish(tx: Tx, channel_id: str, item: Publication) -> None:
    """Change that."""
    tx.execute(
        "UPDATE channel SET publish = ?, upstream_id = ? WHERE id = ?",
        int(item.publish),
        item.upstream_id,
        channel_id,
    )


def published(tx: Tx) -> list[str]:
    """The ids of the channels that other servers may take over, by application and name."""
    sql = "SELECT id FROM channel WHERE publish = 1 ORDER BY app_id, name"
    return [row[0] for row in tx.all(sql)]


# -- instances

_APP = "COALESCE(a.product_id, a.id)"
_FROM = (
    " FROM standing s JOIN instance i ON i.id = s.instance_id"
    " JOIN application a ON a.id = s.app_id LEFT JOIN groups g ON g.id = s.group_id"
)


def clients(tx: Tx, chosen: Chosen, *, limit: int, offset: int) -> list[Client]:
    """The instances of all applications, who checked in last first."""
    where, params = _where(chosen)
    rows = tx.all(
        f"SELECT {_APP}, s.instance_id, s.version, s.last_check_us, COALESCE(g.track, ''), i.oem"
        f"{_FROM}{where} ORDER BY s.last_check_us DESC, s.instance_id LIMIT ? OFFSET ?",
        *params,
        limit,
        offset,
    )
    return [Client._make(row) for row in rows]


def count_clients(tx: Tx, chosen: Chosen) -> int:
    """How many those are."""
    where, params = _where(chosen)
    row = tx.one(f"SELECT COUNT(*){_FROM}{where}", *params)
    return int(row[0]) if row else 0


def versions(tx: Tx, chosen: Chosen) -> list[tuple[str, str, str, int]]:
    """(application, track, version, how many instances run it)."""
    where, params = _where(chosen)
    rows = tx.all(
        f"SELECT {_APP}, COALESCE(g.track, ''), s.version, COUNT(*){_FROM}{where}"
        " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        *params,
    )
    return [(row[0], row[1], row[2], int(row[3])) for row in rows]


def _where(chosen: Chosen) -> tuple[str, list[object]]:
    choices: tuple[tuple[str, object], ...] = (
        ("s.app_id = ?", chosen.app_id),
        ("s.group_id = ?", chosen.group_id),
        ("s.version = ?", chosen.version),
        ("i.oem = ?", chosen.oem),
        ("s.instance_id = ?", chosen.instance_id),
        ("s.last_check_us >= ?", chosen.start_us),
        ("s.last_check_us <= ?", chosen.end_us),
    )
    found = [(text, value) for text, value in choices if value]
    where = f" WHERE {' AND '.join(text for text, _ in found)}" if found else ""
    return where, [value for _, value in found]


def history(tx: Tx, instance_id: str, *, limit: int) -> list[tuple[int, int, int, int, str, str]]:
    """(when, type, result, error code, track, version) of an instance's events, newest first."""
    rows = tx.all(
        "SELECT e.created_us, e.type, e.result, e.error_code, COALESCE(g.track, ''), e.version"
        " FROM event e LEFT JOIN groups g ON g.id = e.group_id WHERE e.instance_id = ?"
        " ORDER BY e.id DESC LIMIT ?",
        instance_id,
        limit,
    )
    return [(int(row[0]), int(row[1]), int(row[2]), int(row[3]), row[4], row[5]) for row in rows]


def last_event(tx: Tx, instance_id: str, app_id: str) -> tuple[int, int, int] | None:
    """(type, result, error code) of the newest."""
    row = tx.one(
        "SELECT type, result, error_code FROM event WHERE instance_id = ? AND app_id = ?"
        " ORDER BY id DESC LIMIT 1",
        instance_id,
        app_id,
    )
    return None if row is None else (int(row[0]), int(row[1]), int(row[2]))
