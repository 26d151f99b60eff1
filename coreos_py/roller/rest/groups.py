"""Groups of an application and their policies: /api/apps/:app/groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.roller import policy as policies
from coreos_py.roller import validate, zones
from coreos_py.roller.db import apps, groups
from coreos_py.roller.records import Group, Policy
from coreos_py.roller.rest import fields, views

if TYPE_CHECKING:
    from typing import Any

    from coreos_py.http.message import Response
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.rest.ask import Ask

_OWN = ("name", "description", "track")
_POLICY = {
    "policy_updates_enabled": "updates_enabled",
    "policy_safe_mode": "safe_mode",
    "policy_office_hours": "office_hours",
    "policy_timezone": "timezone",
    "policy_period_interval": "period_interval",
    "policy_max_updates_per_period": "max_updates_per_period",
    "policy_update_timeout": "update_timeout",
    "policy_canaries": "canaries",
    "update_percent": "update_percent",
}
# What CoreRoller makes of fields that are left out, when a group is made as when it is changed.
_ZERO: dict[str, Any] = {
    "updates_enabled": False,
    "safe_mode": False,
    "office_hours": False,
    "timezone": None,
    "period_interval": "",
    "max_updates_per_period": 0,
    "update_timeout": "",
}


def listing(tx: Tx, ask: Ask) -> Response:
    """An application's groups, the newest first."""
    app_id, page = ask.found("application", apps.find(tx, ask.id("app"))).id, ask.page()
    found = groups.listing(tx, app_id, limit=page.limit, offset=page.offset)
    return ask.rows([views.group(tx, ask, item) for item in found], groups.count(tx, app_id))


def get(tx: Tx, ask: Ask) -> Response:
    """One group."""
    return ask.ok(views.group(tx, ask, shown(tx, ask)))


def add(tx: Tx, ask: Ask) -> Response:
    """Register a group."""
    app = ask.to_change("application", apps.find(tx, ask.id("app")))
    policy = Policy() if ask.is_json else Policy()._replace(**_ZERO)
    blank = Group(ask.call.new_id(), app.id, None, "", "", "", ask.call.now_us, policy)
    values = ask.body(fields.GROUP)
    group = _filled(tx, ask, blank, values)
    with ask.rules():
        groups.add(tx, group)
    return ask.ok(views.group(tx, ask, stored(tx, group)))


def update(tx: Tx, ask: Ask) -> Response:
    """Change a group and its policy."""
    before = ask.to_change("group", named(tx, ask))
    base = before
    if not ask.is_json:
        policy = before.policy._replace(**_ZERO)
        base = before._replace(name="", description="", channel_id=None, policy=policy)
    group = _filled(tx, ask, base, ask.body(fields.GROUP))
    with ask.rules():
        groups.update(tx, group, ask.call.now_us, silent=ask.call.config.compat)
    return ask.ok(views.group(tx, ask, stored(tx, group)))


def delete(tx: Tx, ask: Ask) -> Response:
    """Remove a group; its instances belong to none then."""
    groups.delete(tx, ask.to_change("group", named(tx, ask)).id)
    return ask.done()


def pause(tx: Tx, ask: Ask) -> Response:
    """Stop granting updates, and say why."""
    group = shown(tx, ask)
    reason = ask.body(fields.PAUSE).get("reason", "") if ask.call.request.body else ""
    with ask.rules():
        validate.reason(reason)
    if group.policy.updates_enabled or reason not in ("", group.pause_reason):
        groups.pause(tx, group, reason or groups.BY_ADMIN, ask.call.now_us)
    return ask.ok(views.group(tx, ask, stored(tx, group)))


def resume(tx: Tx, ask: Ask) -> Response:
    """Grant updates again."""
    group = shown(tx, ask)
    if not group.policy.updates_enabled:
        groups.resume(tx, group, ask.call.now_us)
    return ask.ok(views.group(tx, ask, stored(tx, group)))


def named(tx: Tx, ask: Ask) -> Group | None:
    """The group that the path names."""
    return ask.of_app(groups.find(tx, ask.id("group")))


def shown(tx: Tx, ask: Ask) -> Group:
    """The same, or 404."""
    return ask.found("group", named(tx, ask))


def stored(tx: Tx, group: Group) -> Group:
    """The group as it is now."""
    found = groups.find(tx, group.id)
    assert found is not None
    return found


def _filled(tx: Tx, ask: Ask, base: Group, values: dict[str, Any]) -> Group:
    policy = base.policy._replace(
        **{name: values[key] for key, name in _POLICY.items() if key in values}
    )
    known: dict[str, Any] = {key: values[key] for key in _OWN if key in values}
    if "channel_id" in values:
        known["channel_id"] = ask.reference("channel_id", values["channel_id"])
    group = base._replace(policy=policy, **known)
    if "oem_blacklist" in values:
        group = group._replace(oem_blacklist=",".join(policies.oems(values["oem_blacklist"])))
    if not group.track:
        group = group._replace(track=_free_track(tx, group))
    with ask.rules():
        validate.group(group, is_zone=zones.is_known, strict=ask.is_json)
    return group


def _free_track(tx: Tx, group: Group) -> str:
    """What machines call a group by default: its name in small letters, or else its id."""
    track = group.name.lower()
    other = groups.by_track(tx, group.app_id, track)
    return track if other is None or other.id == group.id else group.id
