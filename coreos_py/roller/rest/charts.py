"""A group's numbers now and over time, and how far its rollout is.

The shapes are Nebraska's, whose dashboard draws the same charts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coreos_py.roller.db import activity, channels, fleet, instances, packages, samples
from coreos_py.roller.records import DAY_US, SECOND_US, ActivityClass, Status
from coreos_py.roller.rest import groups, shapes, views
from coreos_py.roller.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coreos_py.http.message import Response
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.records import Group, Sample
    from coreos_py.roller.rest.ask import Ask

_HOUR_US = 3600 * SECOND_US
# How long, and the time between two points; a hundred of them are enough for any screen.
DURATIONS = {
    "1d": (DAY_US, _HOUR_US // 4),
    "1h": (_HOUR_US, samples.EVERY_US),
    "7d": (7 * DAY_US, 2 * _HOUR_US),
    "30d": (30 * DAY_US, 6 * _HOUR_US),
}


def versions(tx: Tx, ask: Ask) -> Response:
    """How many instances run which version."""
    rows = views.versions(tx, ask, groups.shown(tx, ask).id)
    return ask.rows(rows, len(rows))


def statuses(tx: Tx, ask: Ask) -> Response:
    """How many instances have which status."""
    return ask.ok(views.stats(tx, ask, groups.shown(tx, ask).id))


def versions_then(tx: Tx, ask: Ask) -> Response:
    """How many instances ran which version when."""
    points: dict[str, dict[str, int]] = {}
    for sample in _points(tx, ask):
        counts = points.setdefault(shapes.moment(sample.at_us), {})
        counts[sample.version] = counts.get(sample.version, 0) + sample.instances
    return ask.ok(points)


def statuses_then(tx: Tx, ask: Ask) -> Response:
    """How many instances had which status, on the way to which version, when."""
    points: dict[str, dict[str, dict[str, int]]] = {}
    for sample in _points(tx, ask):
        counts = points.setdefault(shapes.moment(sample.at_us), {})
        counts.setdefault(str(int(sample.status)), {})[sample.version] = sample.instances
    return ask.ok(points)


def rollout(tx: Tx, ask: Ask) -> Response:
    """How far the group is with its channel's package."""
    group = groups.shown(tx, ask)
    version = _version(tx, group)
    tallies = instances.tallies(tx, group.id)
    mine = tallies.get(version, Tally())
    by_status = fleet.by_status(tx, group.id, ask.call.now_us)
    total = sum(item.running for item in tallies.values())
    failed = mine.granted - mine.in_progress - mine.succeeded
    on_hold = by_status.get(Status.ON_HOLD, 0)
    rest = total - mine.running - mine.in_progress - failed - on_hold
    wanted = min(group.policy.canaries, total)
    shape: dict[str, Any] = {
        "version": version,
        "total": total,
        "granted": mine.granted,
        "in_progress": mine.in_progress,
        "done": mine.running,
        "failed": failed,
        "on_hold": on_hold,
        "waiting": max(rest, 0),
        "paused": not group.policy.updates_enabled,
        "reason": group.pause_reason,
        "started_ts": shapes.moment_or_null(_started_us(tx, group, version)),
        "canaries": {"wanted": wanted, "done": min(mine.succeeded, wanted)},
    }
    return ask.ok(shape)


def thinned(found: Iterable[Sample], step_us: int) -> list[Sample]:
    """The last samples of every step."""
    last: dict[int, int] = {}
    kept = list(found)
    for sample in kept:
        last[sample.at_us // step_us] = sample.at_us
    return [sample for sample in kept if last[sample.at_us // step_us] == sample.at_us]


def _points(tx: Tx, ask: Ask) -> list[Sample]:
    group_id, now_us = groups.shown(tx, ask).id, ask.call.now_us
    long_us, step_us = DURATIONS[ask.choice("duration", tuple(DURATIONS))]
    past = samples.between(tx, group_id, now_us - long_us, now_us)
    return thinned(past, step_us) + samples.now(tx, group_id, now_us)


def _version(tx: Tx, group: Group) -> str:
    channel = channels.find(tx, group.channel_id) if group.channel_id else None
    package = packages.find(tx, channel.package_id) if channel and channel.package_id else None
    return package.version if package else ""


def _started_us(tx: Tx, group: Group, version: str) -> int | None:
    if not version:
        return None
    return activity.latest(tx, ActivityClass.ROLLOUT_STARTED, group.id, version)
