"""Records as the JSON of CoreRoller's API: its keys in its order, and what rollerd adds to them.

`more` stands for clients that accept application/json; the others get CoreRoller's keys and no
others, quirks included. Pure. Mirrors the structs of CoreRoller's api package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from coreos_py.base import gotime
from coreos_py.omaha import codes
from coreos_py.roller.records import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from coreos_py.roller.records import (
        Activity,
        App,
        Channel,
        EventEntry,
        Group,
        HistoryEntry,
        Instance,
        Package,
        Standing,
        Token,
        User,
    )

Shape: TypeAlias = "dict[str, Any]"

_STATS = (
    ("undefined", Status.UNDEFINED),
    ("update_granted", Status.UPDATE_GRANTED),
    ("error", Status.ERROR),
    ("complete", Status.COMPLETE),
    ("installed", Status.INSTALLED),
    ("downloaded", Status.DOWNLOADED),
    ("downloading", Status.DOWNLOADING),
    ("onhold", Status.ON_HOLD),
)


def moment(us: int) -> str:
    """A time as Go prints it."""
    return gotime.format_ns(us * 1000)


def moment_or_null(us: int | None) -> str | None:
    """The same for one that may be absent."""
    return None if us is None else moment(us)


def app(
    found: App,
    *,
    groups: Sequence[Shape],
    channels: Sequence[Shape],
    packages: Sequence[Shape],
    instances: int,
    more: bool,
) -> Shape:
    """An application with everything of it."""
    empty: Sequence[Shape] | None = () if more else None
    shape: Shape = {
        "id": found.id,
        "name": found.name,
        "description": found.description,
        "created_ts": moment(found.created_us),
        "groups": groups or empty,
        "channels": channels or empty,
        "packages": packages or empty,
        "instances": {"count": instances},
    }
    if more:
        shape["product_id"] = found.product_id
    return shape


def package(found: Package) -> Shape:
    """A package with its action."""
    action = found.action
    return {
        "id": found.id,
        "type": found.type,
        "version": found.version,
        "url": found.url,
        "filename": found.filename,
        "description": found.description,
        "size": found.size,
        "hash": found.hash,
        "created_ts": moment(found.created_us),
        "channels_blacklist": list(found.blacklist) or None,
        "application_id": found.app_id,
        "coreos_action": action
        and {
            "id": action.id,
            "event": action.event,
            "chromeos_version": action.chromeos_version,
            "sha256": action.sha256,
            "needs_admin": action.needs_admin,
            "is_delta": action.is_delta,
            "disable_payload_backoff": action.disable_payload_backoff,
            "metadata_signature_rsa": action.metadata_signature_rsa,
            "metadata_size": action.metadata_size,
            "deadline": action.deadline,
            "created_ts": moment(action.created_us),
        },
    }


def channel(found: Channel, points_to: Package | None) -> Shape:
    """A channel with its package."""
    return {
        "id": found.id,
        "name": found.name,
        "color": found.color,
        "created_ts": moment(found.created_us),
        "application_id": found.app_id,
        "package_id": found.package_id,
        "package": points_to and package(points_to),
    }


def versions(counts: Iterable[tuple[str, int]]) -> list[Shape]:
    """How many instances run which version, in the order given."""
    rows = list(counts)
    total = sum(count for _, count in rows)
    return [
        {"version": version, "instances": count, "percentage": count * 100 / total}
        for version, count in rows
    ]


def stats(counts: Mapping[int, int]) -> Shape:
    """How many instances have which status."""
    shape: Shape = {"total": sum(counts.values())}
    shape.update((name, counts.get(status, 0)) for name, status in _STATS)
    return shape


def group(
    found: Group,
    *,
    breakdown: Sequence[Shape],
    channel: Shape | None,
    stats: Shape,
    more: bool,
) -> Shape:
    """A group with its channel and its counts."""
    policy = found.policy
    shape: Shape = {
        "id": found.id,
        "name": found.name,
        "description": found.description,
        "created_ts": moment(found.created_us),
        "rollout_in_progress": found.rollout_in_progress,
        "application_id": found.app_id,
        "channel_id": found.channel_id,
        "policy_updates_enabled": policy.updates_enabled,
        "policy_safe_mode": policy.safe_mode,
        "policy_office_hours": policy.office_hours,
        "policy_timezone": policy.timezone,
        "policy_period_interval": policy.period_interval,
        "policy_max_updates_per_period": policy.max_updates_per_period,
        "policy_update_timeout": policy.update_timeout,
    }
    if breakdown or more:
        shape["version_breakdown"] = breakdown
    if channel is not None or more:
        shape["channel"] = channel
    shape["instances_stats"] = stats
    if more:
        shape["track"] = found.track
        shape["policy_canaries"] = policy.canaries
        shape["update_percent"] = policy.update_percent
        shape["oem_blacklist"] = found.oem_blacklist
        shape["pause_reason"] = found.pause_reason
        shape["rollout"] = policy.rollout
        shape["rollout_active"] = policy.rollout_active
    return shape


def instance(found: Instance, standing: Standing, *, more: bool) -> Shape:
    """An instance and how it stands with one application."""
    shape: Shape = {
        "id": found.id,
        "ip": found.ip,
        "created_ts": moment(found.created_us),
        "application": {
            "application_id": standing.app_id,
            "group_id": standing.group_id,
            "version": standing.version,
            "created_ts": moment(standing.created_us) if more else gotime.ZERO,
            "status": standing.status,
            "last_check_for_updates": moment(standing.last_check_us),
            "last_update_granted_ts": moment_or_null(standing.granted_us) if more else None,
            "last_update_version": standing.granted_version,
            "update_in_progress": standing.in_progress,
        },
    }
    if more:
        shape["alias"] = found.alias
        shape["oem"] = found.oem
        shape["oem_version"] = found.oem_version
        shape["aleph_version"] = found.aleph_version
        shape["board"] = found.board
        shape["boot_id"] = found.boot_id
        shape["application"]["failures"] = standing.failures
        shape["application"]["failed_version"] = standing.failed_version
    return shape


def history(entry: HistoryEntry) -> Shape:
    """A change of status."""
    return {
        "status": entry.status,
        "version": entry.version or "",
        "created_ts": moment(entry.created_us),
    }


def event(entry: EventEntry) -> Shape:
    """What an instance has reported."""
    return {
        "type": entry.type,
        "result": entry.result,
        "error_code": entry.error_code,
        "error": codes.describe(entry.error_code) if entry.error_code else "",
        "previous_version": entry.previous_version,
        "created_ts": moment(entry.created_us),
        "ignored": entry.ignored,
    }


def activity(entry: Activity, *, more: bool) -> Shape:
    """An entry of the activity."""
    shape: Shape = {
        "created_ts": moment(entry.created_us),
        "class": int(entry.kind),
        "severity": int(entry.severity),
        "version": entry.version,
        "application_name": entry.app_name,
        "group_name": entry.group_name,
        "channel_name": entry.channel_name,
        "instance_id": entry.instance_id,
    }
    if more:
        shape["application_id"] = entry.app_id
        shape["group_id"] = entry.group_id
        shape["channel_id"] = entry.channel_id
        shape["note"] = entry.note
    return shape


def user(found: User) -> Shape:
    """A user without the password."""
    return {"name": found.name, "role": found.role, "created_ts": moment(found.created_us)}


def token(found: Token, last_used_us: int | None) -> Shape:
    """A token without its secret."""
    return {
        "id": found.id,
        "name": found.name,
        "role": found.role,
        "user": found.user,
        "created_ts": moment(found.created_us),
        "last_used_ts": moment_or_null(last_used_us),
    }
