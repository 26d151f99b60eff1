"""Applications: /api/apps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.roller import validate
from coreos_py.roller.db import apps, channels, groups
from coreos_py.roller.records import App
from coreos_py.roller.rest import fields, views
from coreos_py.roller.rest.ask import canonical_uuid

if TYPE_CHECKING:
    from typing import Any

    from coreos_py.http.message import Response
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.rest.ask import Ask

_EVERYTHING = 1 << 31


def listing(tx: Tx, ask: Ask) -> Response:
    """All applications, the newest first."""
    page = ask.page()
    found = apps.listing(tx, limit=page.limit, offset=page.offset)
    return ask.rows([views.app(tx, ask, app) for app in found], apps.count(tx))


def get(tx: Tx, ask: Ask) -> Response:
    """One application."""
    return ask.ok(views.app(tx, ask, ask.found("application", apps.find(tx, ask.id("app")))))


def add(tx: Tx, ask: Ask) -> Response:
    """Register an application, on request with another one's groups and channels."""
    blank = App(ask.call.new_id(), "", "", None, ask.call.now_us)
    app = _filled(ask, blank, ask.body(fields.APP))
    with ask.rules():
        apps.add(tx, app)
    source = ask.text("clone_from")
    if source:
        _clone(tx, ask, canonical_uuid(source) or source, app)
    return ask.ok(views.app(tx, ask, app))


def update(tx: Tx, ask: Ask) -> Response:
    """Change an application."""
    before = ask.to_change("application", apps.find(tx, ask.id("app")))
    values = ask.body(fields.APP)
    base = before if ask.is_json else before._replace(name="", description="")
    app = _filled(ask, base, values)
    with ask.rules():
        apps.update(tx, app)
    return ask.ok(views.app(tx, ask, app))


def delete(tx: Tx, ask: Ask) -> Response:
    """Remove an application and all it has."""
    apps.delete(tx, ask.to_change("application", apps.find(tx, ask.id("app"))).id)
    return ask.done()


def _filled(ask: Ask, base: App, values: dict[str, Any]) -> App:
    known = {key: values[key] for key in ("name", "description", "product_id") if key in values}
    app = base._replace(**known)
    if not app.product_id:
        app = app._replace(product_id=None)
    with ask.rules():
        validate.app(app)
    return app


def _clone(tx: Tx, ask: Ask, source_id: str, app: App) -> None:
    """Copy channels without packages and groups without their rollouts; from nowhere, nothing."""
    if apps.find(tx, source_id) is None:
        if ask.is_json:
            ask.refuse(400, f"there is no application {source_id} to copy from")
        return
    new_id, now_us = ask.call.new_id, ask.call.now_us
    copies: dict[str | None, str | None] = {None: None}
    for channel in channels.listing(tx, source_id, limit=_EVERYTHING):
        copy = channel._replace(id=new_id(), app_id=app.id, package_id=None, created_us=now_us)
        copies[channel.id] = copy.id
        channels.add(tx, copy)
    for number, group in enumerate(groups.listing(tx, source_id, limit=_EVERYTHING)):
        policy = group.policy._replace(
            updates_enabled=True, rollout="", rollout_active=False, rollout_started_us=None
        )
        groups.add(
            tx,
            group._replace(
                id=new_id(),
                app_id=app.id,
                channel_id=copies[group.channel_id],
                created_us=now_us + number,
                policy=policy,
                rollout_in_progress=False,
                pause_reason="",
            ),
        )
