"""Instances, their history and their events: …/instances below groups, /api/instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.roller import updates, validate
from coreos_py.roller.db import apps, events, fleet, instances
from coreos_py.roller.db.fleet import Member
from coreos_py.roller.records import SEEN_US, Status, Style
from coreos_py.roller.rest import fields, groups, shapes

if TYPE_CHECKING:
    from coreos_py.http.message import Response
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.rest.ask import Ask

_HISTORY = 20
_EVENTS = 100
_MOST = 10_000


def of_app(tx: Tx, ask: Ask) -> Response:
    """An application's instances seen within a day."""
    return _listing(tx, ask, ask.found("application", apps.find(tx, ask.id("app"))).id, "")


def of_group(tx: Tx, ask: Ask) -> Response:
    """A group's instances seen within a day."""
    return _listing(tx, ask, ask.id("app"), groups.shown(tx, ask).id)


def get(tx: Tx, ask: Ask) -> Response:
    """One instance of a group, whenever it was seen; what it would be told now, and why."""
    member = _member(tx, ask)
    shape = shapes.instance(member.instance, member.standing, more=ask.is_json)
    if ask.is_json:
        style = Style.COREROLLER if ask.call.config.compat else Style.FRIENDLY
        group, now_us = groups.shown(tx, ask), ask.call.now_us
        shape["outlook"] = updates.outlook(tx, style, group, member.standing, now_us).reason
    return ask.ok(shape)


def history(tx: Tx, ask: Ask) -> Response:
    """How an instance's status has changed, the newest first."""
    app_id, group_id = ask.id("app"), groups.shown(tx, ask).id
    limit = min(ask.number("limit") or _HISTORY, _MOST)
    found = instances.history(tx, ask.params["instance"], app_id, group_id, limit=limit)
    return ask.rows([shapes.history(item) for item in found], len(found))


def events_of(tx: Tx, ask: Ask) -> Response:
    """What an instance has reported, the newest first."""
    member, page = _member(tx, ask), ask.page()
    limit = page.limit if ask.text("perpage") else _EVENTS
    instance_id, app_id = member.instance.id, member.standing.app_id
    found = events.of_instance(tx, instance_id, app_id, limit=limit, offset=page.offset)
    rows = [shapes.event(item) for item in found]
    return ask.rows(rows, events.count_of(tx, instance_id, app_id))


def rename(tx: Tx, ask: Ask) -> Response:
    """Give an instance a name for people."""
    instance_id = ask.params["instance"]
    ask.to_change("instance", instances.find(tx, instance_id))
    alias = ask.body(fields.INSTANCE).get("alias")
    if alias is None:
        ask.refuse(400, "field alias is needed")
    with ask.rules():
        validate.alias(alias)
    instances.rename(tx, instance_id, alias)
    return ask.done()


def _listing(tx: Tx, ask: Ask, app_id: str, group_id: str) -> Response:
    page, status = ask.page(), ask.number("status")
    if status == Status.UNDEFINED and not ask.is_json:
        return ask.rows([], 0)  # CoreRoller keeps null where it means undefined, and finds none
    query = fleet.Query(
        app_id,
        group_id,
        seen_after_us=ask.call.now_us - SEEN_US,
        status=status,
        version=ask.text("version"),
        search=ask.text("search"),
        sort=ask.choice("sort", ("", *fleet.SORTS)),
        descending=ask.choice("order", ("asc", "desc")) == "desc",
        limit=page.limit,
        offset=page.offset,
    )
    found = fleet.listing(tx, query)
    rows = [shapes.instance(item.instance, item.standing, more=ask.is_json) for item in found]
    return ask.rows(rows, fleet.count(tx, query))


def _member(tx: Tx, ask: Ask) -> Member:
    group_id = groups.shown(tx, ask).id
    instance_id = ask.params["instance"]
    instance = instances.find(tx, instance_id)
    standing = instances.standing(tx, instance_id, ask.id("app"))
    if instance is None or standing is None or standing.group_id != group_id:
        ask.refuse(404, "there is no such instance in this group")
    return Member(instance, standing)
