"""Channels of an application: /api/apps/:app/channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.roller import validate
from coreos_py.roller.db import apps, channels, packages
from coreos_py.roller.records import Channel
from coreos_py.roller.rest import fields, views

if TYPE_CHECKING:
    from typing import Any

    from coreos_py.http.message import Response
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.rest.ask import Ask


def listing(tx: Tx, ask: Ask) -> Response:
    """An application's channels by name."""
    app_id, page = ask.found("application", apps.find(tx, ask.id("app"))).id, ask.page()
    found = channels.listing(tx, app_id, limit=page.limit, offset=page.offset)
    return ask.rows([views.channel(tx, item) for item in found], channels.count(tx, app_id))


def get(tx: Tx, ask: Ask) -> Response:
    """One channel."""
    return ask.ok(views.channel(tx, ask.found("channel", _named(tx, ask))))


def add(tx: Tx, ask: Ask) -> Response:
    """Register a channel."""
    app = ask.to_change("application", apps.find(tx, ask.id("app")))
    blank = Channel(ask.call.new_id(), app.id, "", "", None, ask.call.now_us)
    channel = _filled(tx, ask, blank, ask.body(fields.CHANNEL))
    with ask.rules():
        channels.add(tx, channel)
    return ask.ok(views.channel(tx, channel))


def update(tx: Tx, ask: Ask) -> Response:
    """Change a channel; a new package starts its groups' rollouts."""
    before = ask.to_change("channel", _named(tx, ask))
    base = before if ask.is_json else before._replace(name="", color="", package_id=None)
    channel = _filled(tx, ask, base, ask.body(fields.CHANNEL))
    with ask.rules():
        channels.update(tx, channel, ask.call.now_us)
    return ask.ok(views.channel(tx, channel))


def delete(tx: Tx, ask: Ask) -> Response:
    """Remove a channel; its groups have none then."""
    channels.delete(tx, ask.to_change("channel", _named(tx, ask)).id)
    return ask.done()


def _named(tx: Tx, ask: Ask) -> Channel | None:
    return ask.of_app(channels.find(tx, ask.id("channel")))


def _filled(tx: Tx, ask: Ask, base: Channel, values: dict[str, Any]) -> Channel:
    known: dict[str, Any] = {key: values[key] for key in ("name", "color") if key in values}
    if "package_id" in values:
        known["package_id"] = ask.reference("package_id", values["package_id"])
    channel = base._replace(**known)
    with ask.rules():
        validate.channel(channel)
    package = packages.find(tx, channel.package_id) if channel.package_id else None
    if package is not None and not package.url:
        ask.refuse(400, f"package {package.version} has no file yet, nor the URL of one")
    return channel
