"""The groups, their policies, and whether they are paused."""

from __future__ import annotations

from coreos_py.roller import interval
from coreos_py.roller.db import activity, instances
from coreos_py.roller.db.driver import Row, Tx
from coreos_py.roller.records import ActivityClass, Group, Invalid, Policy, Severity, Status

BY_ADMIN = "by admin"

_SELECT = (
    "SELECT id, app_id, channel_id, name, description, track, created_us,"
    " policy_updates_enabled, policy_safe_mode, policy_office_hours, policy_timezone,"
    " policy_period_interval, policy_max_updates_per_period, policy_update_timeout,"
    " policy_canaries, update_percent, rollout, rollout_active, rollout_started_us,"
    " rollout_in_progress, pause_reason, oem_blacklist FROM groups"
)


def find(tx: Tx, group_id: str) -> Group | None:
    """The group with this id."""
    row = tx.one(f"{_SELECT} WHERE id = ?", group_id)
    return None if row is None else of_row(row)


def by_track(tx: Tx, app_id: str, track: str) -> Group | None:
    """The application's group that machines call so."""
    row = tx.one(f"{_SELECT} WHERE app_id = ? AND track = ?", app_id, track)
    return None if row is None else of_row(row)


def listing(tx: Tx, app_id: str, *, limit: int = 500, offset: int = 0) -> list[Group]:
    """An application's groups, the newest first."""
    rows = tx.all(
        f"{_SELECT} WHERE app_id = ? ORDER BY created_us DESC, id LIMIT ? OFFSET ?",
        app_id,
        limit,
        offset,
    )
    return [of_row(row) for row in rows]


def count(tx: Tx, app_id: str) -> int:
    """How many groups an application has."""
    row = tx.one("SELECT COUNT(*) FROM groups WHERE app_id = ?", app_id)
    return int(row[0]) if row else 0


def add(tx: Tx, group: Group) -> None:
    """Register a group; Invalid when its name or track is taken, or the channel is another's."""
    _check(tx, group)
    tx.execute(
        "INSERT INTO groups (id, app_id, channel_id, name, description, track, created_us,"
        " policy_updates_enabled, policy_safe_mode, policy_office_hours, policy_timezone,"
        " policy_period_interval, policy_max_updates_per_period, policy_update_timeout,"
        " policy_canaries, update_percent, rollout, rollout_active, rollout_started_us,"
        " rollout_in_progress, pause_reason, oem_blacklist)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *group[:7],
        *_policy_columns(group.policy),
        int(group.rollout_in_progress),
        _reason(group),
        group.oem_blacklist,
    )


def update(tx: Tx, group: Group, now_us: int, *, silent: bool = False) -> bool:
    """Change everything but id, application, birth and rollout_in_progress; False: not there.

    Switching updates off or on does what pause() and resume() do, unless it shall be `silent` as
    in CoreRoller.
    """
    before = find(tx, group.id)
    if before is None:
        return False
    _check(tx, group)
    tx.execute(
        "UPDATE groups SET channel_id = ?, name = ?, description = ?, track = ?,"
        " policy_updates_enabled = ?, policy_safe_mode = ?, policy_office_hours = ?,"
        " policy_timezone = ?, policy_period_interval = ?, policy_max_updates_per_period = ?,"
        " policy_update_timeout = ?, policy_canaries = ?, update_percent = ?, rollout = ?,"
        " rollout_active = ?, rollout_started_us = ?, oem_blacklist = ? WHERE id = ?",
        *group[2:6],
        *_policy_columns(group.policy),
        group.oem_blacklist,
        group.id,
    )
    if silent:
        tx.execute("UPDATE groups SET pause_reason = ? WHERE id = ?", _reason(group), group.id)
    elif before.policy.updates_enabled and not group.policy.updates_enabled:
        pause(tx, before, group.pause_reason or BY_ADMIN, now_us)
    elif group.policy.updates_enabled and not before.policy.updates_enabled:
        resume(tx, before, now_us)
    return True


def delete(tx: Tx, group_id: str) -> bool:
    """Remove a group; its instances have none then. False if there is none."""
    return tx.execute("DELETE FROM groups WHERE id = ?", group_id) > 0


def pause(tx: Tx, group: Group, reason: str, now_us: int) -> None:
    """Grant no more updates, and say why."""
    tx.send(
        "UPDATE groups SET policy_updates_enabled = 0, pause_reason = ? WHERE id = ?",
        reason,
        group.id,
    )
    _tell(tx, group, ActivityClass.PAUSED, Severity.WARNING, now_us, note=reason)


def resume(tx: Tx, group: Group, now_us: int) -> None:
    """Grant updates again; those that timed out are given up, else they would stop it again."""
    if group.policy.updates_enabled:
        return
    timeout_us = interval.parse_us(group.policy.update_timeout) or 0
    for late in instances.overdue(tx, group.id, now_us - timeout_us):
        ended = late._replace(status=Status.ERROR, in_progress=False)
        instances.save(tx, late, ended, now_us)
    tx.send(
        "UPDATE groups SET policy_updates_enabled = 1, pause_reason = '' WHERE id = ?", group.id
    )
    _tell(tx, group, ActivityClass.RESUMED, Severity.INFO, now_us)


def set_rollout_in_progress(tx: Tx, group_id: str, *, under_way: bool) -> None:
    """Whether a version is being rolled out."""
    tx.send("UPDATE groups SET rollout_in_progress = ? WHERE id = ?", int(under_way), group_id)


def disable(tx: Tx, group_id: str, reason: str) -> None:
    """Switch updates off without a word in the activity, where another entry tells it."""
    tx.send(
        "UPDATE groups SET policy_updates_enabled = 0, pause_reason = ? WHERE id = ?",
        reason,
        group_id,
    )


def of_row(row: Row) -> Group:
    """The columns of a group as a record."""
    flags = (bool(flag) for flag in row[7:10])
    policy = Policy._make((*flags, *row[10:17], bool(row[17]), row[18]))
    return Group._make((*row[:7], policy, bool(row[19]), row[20], row[21]))


def _policy_columns(policy: Policy) -> tuple[object, ...]:
    flags = (int(flag) for flag in policy[:3])
    return (*flags, *policy[3:10], int(policy.rollout_active), policy.rollout_started_us)


def _reason(group: Group) -> str:
    return "" if group.policy.updates_enabled else group.pause_reason or BY_ADMIN


def _check(tx: Tx, group: Group) -> None:
    others = "SELECT 1 FROM groups WHERE app_id = ? AND id <> ?"
    if tx.one(f"{others} AND name = ?", group.app_id, group.id, group.name):
        raise Invalid(f'there is a group "{group.name}" already')
    if tx.one(f"{others} AND track = ?", group.app_id, group.id, group.track):
        raise Invalid(f'there is a group with track "{group.track}" already')
    if group.channel_id is None:
        return
    channel = tx.one("SELECT app_id FROM channel WHERE id = ?", group.channel_id)
    if channel is None or channel[0] != group.app_id:
        raise Invalid(f"the application has no channel {group.channel_id}")


def _tell(
    tx: Tx, group: Group, kind: ActivityClass, severity: Severity, now_us: int, *, note: str = ""
) -> None:
    row = tx.one(
        "SELECT p.version FROM groups g JOIN channel c ON c.id = g.channel_id"
        " JOIN package p ON p.id = c.package_id WHERE g.id = ?",
        group.id,
    )
    activity.add(
        tx,
        kind,
        severity,
        version=row[0] if row else "0.0.0",
        app_id=group.app_id,
        group_id=group.id,
        now_us=now_us,
        note=note,
    )
