"""Groups, their percentages and rollouts, and what they have reported over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coreos_py.base import gojson
from coreos_py.omaha import coreupdate as shapes
from coreos_py.roller import policy as policies
from coreos_py.roller import rollout, validate, zones
from coreos_py.roller.coreupdate import views
from coreos_py.roller.coreupdate.apps import ALL
from coreos_py.roller.coreupdate.ask import find_group
from coreos_py.roller.db import channels, events, fleet, groups, instances, samples
from coreos_py.roller.records import SECOND_US, Group, Policy, Status
from coreos_py.roller.tally import Tally

if TYPE_CHECKING:
    from coreos_py.http.message import Response
    from coreos_py.roller.coreupdate.ask import Ask
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.records import App

# CoreUpdate has no limit but the percentage.
NO_LIMITS = Policy(safe_mode=False, max_updates_per_period=1_000_000)
_ROUNDING = 1e-6
RESOLUTIONS = (60, 3600, 86_400)


def list_groups(tx: Tx, ask: Ask) -> Response:
    """An application's groups, the oldest first."""
    app, limit = ask.app(tx), ask.number("limit") or ALL
    found = list(reversed(groups.listing(tx, app.id, limit=ALL)))[:limit]
    items = [views.group(tx, app, item, ask.call.now_us) for item in found]
    return ask.ok(shapes.GROUP_LIST.write(items=items))


def get_group(tx: Tx, ask: Ask) -> Response:
    """One group; also what answers to who asks for its percentage."""
    return _answer(tx, ask, ask.group(tx))


def add_group(tx: Tx, ask: Ask) -> Response:
    """Register a group by the name that machines will give as their track."""
    app, body = ask.app(tx), ask.body(shapes.GROUP)
    track = body.get("id") or ask.call.new_id()
    if find_group(tx, app, track) is not None:
        ask.refuse(409, f"there is a group {track} already")
    item = Group(
        ask.call.new_id(),
        app.id,
        _channel_id(tx, ask, app, body.get("channelId", "")),
        body.get("label") or track,
        "",
        track,
        ask.call.now_us,
        NO_LIMITS._replace(
            updates_enabled=not body.get("updatesPaused", False),
            update_percent=float(body.get("updatePercent", 100.0)),
        ),
        oem_blacklist=_oems(body),
    )
    with ask.rules():
        validate.group(item, is_zone=zones.is_known, strict=True)
        groups.add(tx, item)
    ask.changed("group", app.id)
    return _answer(tx, ask, item)


def update_group(tx: Tx, ask: Ask) -> Response:
    """Change a group.

    Clients send the whole record and Go leaves out what is empty: an absent flag is false, an
    absent list of OEMs is empty.
    """
    before, app, body = ask.group(tx), ask.app(tx), ask.body(shapes.GROUP)
    is_paused = body.get("updatesPaused", False)
    policy = before.policy._replace(updates_enabled=not is_paused)
    if "updatePercent" in body and not policy.rollout_active:
        policy = policy._replace(update_percent=float(body["updatePercent"]))
    name = body.get("label") or before.name
    item = before._replace(name=name, policy=policy, oem_blacklist=_oems(body))
    if body.get("channelId"):
        item = item._replace(channel_id=_channel_id(tx, ask, app, body["channelId"]))
    if is_paused and before.policy.updates_enabled:
        item = item._replace(pause_reason=f"by {ask.who.name}")
    _save(tx, ask, item)
    return _answer(tx, ask, item)


def delete_group(tx: Tx, ask: Ask) -> Response:
    """Remove a group; its instances belong to none then."""
    item = ask.group(tx)
    answer = _answer(tx, ask, item)
    groups.delete(tx, item.id)
    ask.changed("group", item.app_id)
    return answer


def set_percent(tx: Tx, ask: Ask) -> Response:
    """What part of the instances may update; what is set by hand ends a rollout."""
    item, wanted = ask.group(tx), ask.body(shapes.GROUP_PERCENT)
    percent = float(wanted.get("updatePercent", 0))
    policy = item.policy._replace(update_percent=percent, rollout_active=False)
    _save(tx, ask, item._replace(policy=policy))
    return ask.ok(
        shapes.GROUP_PERCENT.write(
            appId=views.app_id(ask.app(tx)), id=item.track, updatePercent=views.short(percent)
        )
    )


def _save(tx: Tx, ask: Ask, item: Group) -> None:
    with ask.rules():
        validate.group(item, is_zone=zones.is_known, strict=True)
        groups.update(tx, item, ask.call.now_us)
    ask.changed("group", item.app_id)


def _answer(tx: Tx, ask: Ask, item: Group) -> Response:
    app = ask.app(tx)
    found = groups.find(tx, item.id) or item
    return ask.ok(shapes.GROUP.write(**views.group(tx, app, found, ask.call.now_us)))


def _channel_id(tx: Tx, ask: Ask, app: App, name: str) -> str | None:
    if not name:
        return None
    found = channels.by_name(tx, app.id, name)
    return found.id if found else ask.refuse(404, "no such channel")


def _oems(body: dict[str, Any]) -> str:
    return ",".join(policies.oems(body.get("oemBlacklist", "")))


# -- rollouts


def get_rollout(tx: Tx, ask: Ask) -> Response:
    """The frames that are set."""
    item = ask.group(tx)
    frames = [
        {"duration": frame.duration_s, "percent": views.short(frame.percent)}
        for frame in rollout.parse(item.policy.rollout)
    ]
    app_id = views.app_id(ask.app(tx))
    return ask.ok(shapes.ROLLOUT.write(appId=app_id, groupId=item.track, rollout=frames))


def set_rollout(tx: Tx, ask: Ask) -> Response:
    """Other frames; they begin when somebody activates them."""
    item, body = ask.group(tx), ask.body(shapes.ROLLOUT)
    items = [shapes.FRAME.write(**_frame(frame)) for frame in body.get("rollout", ())]
    with ask.rules():
        frames = rollout.parse(gojson.dumps(items))
    policy = item.policy._replace(
        rollout=rollout.dump(frames) if frames else "",
        rollout_active=False,
        rollout_started_us=None,
        update_percent=rollout.percent_at(item.policy, ask.call.now_us),
    )
    _save(tx, ask, item._replace(policy=policy))
    return get_rollout(tx, ask)


def _frame(fields: dict[str, Any]) -> dict[str, Any]:
    """A client that adds up a thousand steps may end a little above 100."""
    percent = fields["percent"]
    return {**fields, "percent": 100 if 100 < percent < 100 + _ROUNDING else percent}


def get_active(tx: Tx, ask: Ask) -> Response:
    """Whether the percentage grows."""
    item = ask.group(tx)
    return ask.ok(
        shapes.ROLLOUT_ACTIVE.write(
            active=item.policy.rollout_active,
            appId=views.app_id(ask.app(tx)),
            groupId=item.track,
        )
    )


def set_active(tx: Tx, ask: Ask) -> Response:
    """Begin, or stop where it is."""
    item, now_us = ask.group(tx), ask.call.now_us
    is_active = ask.body(shapes.ROLLOUT_ACTIVE).get("active", False)
    policy = item.policy
    if is_active and not rollout.parse(policy.rollout):
        ask.refuse(400, "the group has no rollout")
    if is_active != policy.rollout_active:
        policy = policy._replace(
            rollout_active=is_active,
            rollout_started_us=now_us if is_active else None,
            update_percent=rollout.percent_at(policy, now_us),
        )
        _save(tx, ask, item._replace(policy=policy))
    return get_active(tx, ask)


# -- numbers


def event_rollup(tx: Tx, ask: Ask) -> Response:
    """How many events of each kind came when."""
    item, start_us, end_us, step_us = _span(tx, ask)
    found = events.counts_over_time(tx, item.id, start_us=start_us, end_us=end_us, step_us=step_us)
    series: dict[tuple[str, str, str], list[dict[str, int]]] = {}
    for at_us, version, type_, result, count in found:
        value = {"count": count, "timestamp": at_us // SECOND_US}
        series.setdefault((version, str(type_), str(result)), []).append(value)
    items = [
        {"version": version, "type": type_, "result": result, "values": values}
        for (version, type_, result), values in sorted(series.items())
    ]
    return ask.ok(shapes.REQUESTS.write(items=items))


def version_rollup(tx: Tx, ask: Ask) -> Response:
    """How many instances ran each version when: of every step the last count, and now's."""
    item, start_us, end_us, step_us = _span(tx, ask)
    now_us = ask.call.now_us
    found = samples.between(tx, item.id, start_us, end_us)
    if start_us <= now_us < end_us:
        found += samples.now(tx, item.id, now_us)
    last = {sample.at_us // step_us: sample.at_us for sample in found}
    counts: dict[str, dict[int, int]] = {}
    for sample in found:
        step = sample.at_us // step_us
        if sample.at_us == last[step]:
            at_s = step * step_us // SECOND_US
            steps = counts.setdefault(sample.version, {})
            steps[at_s] = steps.get(at_s, 0) + sample.instances
    items = [
        {
            "version": version,
            "values": [{"count": n, "timestamp": at} for at, n in sorted(steps.items())],
        }
        for version, steps in sorted(counts.items())
    ]
    return ask.ok(shapes.REQUESTS.write(items=items))


def _span(tx: Tx, ask: Ask) -> tuple[Group, int, int, int]:
    """Group, start, end and step; an end of 0 is a little after now."""
    item = ask.group(tx)
    step_s = ask.number("resolution") or RESOLUTIONS[0]
    if step_s not in RESOLUTIONS:
        ask.refuse(400, f"resolution must be 60, 3600 or 86400, not {step_s}")
    start_us = ask.as_number("start", ask.names["start"]) * SECOND_US
    end_us = ask.as_number("end", ask.names["end"]) * SECOND_US
    if not end_us:
        end_us = ask.call.now_us + SECOND_US
    if end_us < start_us:
        ask.refuse(400, "the end is before the start")
    return item, start_us, end_us, step_s * SECOND_US


def status(tx: Tx, ask: Ask) -> Response:
    """How far the group is with its channel's package. Ours."""
    item, app = ask.group(tx), ask.app(tx)
    view = views.group(tx, app, item, ask.call.now_us)
    follows = channels.find(tx, item.channel_id) if item.channel_id else None
    version = views.channel(tx, app, follows)["version"] if follows else ""
    tallies = instances.tallies(tx, item.id)
    mine = tallies.get(version, Tally())
    on_hold = fleet.by_status(tx, item.id, ask.call.now_us).get(Status.ON_HOLD, 0)
    total = sum(one.running for one in tallies.values())
    failed = mine.granted - mine.in_progress - mine.succeeded
    rest = total - mine.running - mine.in_progress - failed - on_hold
    names = ("appId", "channelId", "id", "label", "updatesPaused")
    return ask.ok(
        shapes.GROUP_STATUS.write(
            **{name: view[name] for name in names},
            done=mine.running,
            failed=failed,
            inProgress=mine.in_progress,
            onHold=on_hold,
            pauseReason=item.pause_reason,
            total=total,
            version=version,
            waiting=max(rest, 0),
        )
    )
