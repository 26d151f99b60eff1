"""The channels: names that point to packages."""

from __future__ import annotations

from coreos_py.roller.db import activity
from coreos_py.roller.db.driver import Tx
from coreos_py.roller.records import ActivityClass, Channel, Invalid, Severity

_SELECT = "SELECT id, app_id, name, color, package_id, created_us FROM channel"


def find(tx: Tx, channel_id: str) -> Channel | None:
    """The channel with this id."""
    row = tx.one(f"{_SELECT} WHERE id = ?", channel_id)
    return None if row is None else Channel(*row)


def by_name(tx: Tx, app_id: str, name: str) -> Channel | None:
    """The application's channel of this name."""
    row = tx.one(f"{_SELECT} WHERE app_id = ? AND name = ?", app_id, name)
    return None if row is None else Channel(*row)


def listing(tx: Tx, app_id: str, *, limit: int = 500, offset: int = 0) -> list[Channel]:
    """An application's channels by name."""
    rows = tx.all(
        f"{_SELECT} WHERE app_id = ? ORDER BY name LIMIT ? OFFSET ?",
        app_id,
        limit,
        offset,
    )
    return [Channel(*row) for row in rows]


def count(tx: Tx, app_id: str) -> int:
    """How many channels an application has."""
    row = tx.one("SELECT COUNT(*) FROM channel WHERE app_id = ?", app_id)
    return int(row[0]) if row else 0


def add(tx: Tx, channel: Channel) -> None:
    """Register a channel; Invalid when its name is taken or its package cannot be."""
    _check(tx, channel)
    tx.execute(
        "INSERT INTO channel (id, app_id, name, color, package_id, created_us)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        *channel,
    )


def update(tx: Tx, channel: Channel, now_us: int) -> bool:
    """Change name, color and package; a new package is told in the activity. False: not there."""
    before = find(tx, channel.id)
    if before is None:
        return False
    version = _check(tx, channel)
    tx.execute(
        "UPDATE channel SET name = ?, color = ?, package_id = ? WHERE id = ?",
        channel.name,
        channel.color,
        channel.package_id,
        channel.id,
    )
    if channel.package_id is not None and channel.package_id != before.package_id:
        activity.add(
            tx,
            ActivityClass.CHANNEL_PACKAGE_UPDATED,
            Severity.INFO,
            version=version,
            app_id=before.app_id,
            channel_id=channel.id,
            now_us=now_us,
        )
    return True


def delete(tx: Tx, channel_id: str) -> bool:
    """Remove a channel; its groups have none then. False if there is none."""
    return tx.execute("DELETE FROM channel WHERE id = ?", channel_id) > 0


def _check(tx: Tx, channel: Channel) -> str:
    """The version that the channel will point to; Invalid."""
    taken = tx.one(
        "SELECT 1 FROM channel WHERE app_id = ? AND name = ? AND id <> ?",
        channel.app_id,
        channel.name,
        channel.id,
    )
    if taken:
        raise Invalid(f'there is a channel "{channel.name}" already')
    if channel.package_id is None:
        return ""
    package = tx.one("SELECT app_id, version FROM package WHERE id = ?", channel.package_id)
    if package is None or package[0] != channel.app_id:
        raise Invalid(f"the application has no package {channel.package_id}")
    banned = tx.one(
        "SELECT 1 FROM package_channel_blacklist WHERE package_id = ? AND channel_id = ?",
        channel.package_id,
        channel.id,
    )
    if banned:
        raise Invalid(f"package {package[1]} is not for this channel")
    return str(package[1])
