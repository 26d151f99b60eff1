"""Applications and their channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coreos_py.omaha import coreupdate as shapes
from coreos_py.roller import validate
from coreos_py.roller.coreupdate import views
from coreos_py.roller.db import apps, channels, coreupdate, packages
from coreos_py.roller.db.coreupdate import Publication
from coreos_py.roller.records import App, Channel
from coreos_py.roller.rest.ask import canonical_uuid

if TYPE_CHECKING:
    from coreos_py.http.message import Response
    from coreos_py.roller.coreupdate.ask import Ask
    from coreos_py.roller.db.driver import Tx

ALL = (1 << 31) - 1
COLOR = "#777777"  # of channels made here


def list_apps(tx: Tx, ask: Ask) -> Response:
    """All applications, the oldest first."""
    found = [views.app(item) for item in reversed(apps.listing(tx, limit=ALL))]
    return ask.ok(shapes.APP_LIST.write(items=found))


def get_app(tx: Tx, ask: Ask) -> Response:
    """One application."""
    return ask.ok(shapes.APP.write(**views.app(ask.app(tx))))


def add_app(tx: Tx, ask: Ask) -> Response:
    """Register an application; an id that is no uuid is what machines call it."""
    body = ask.body(shapes.APP)
    wanted = body.get("id", "") or ask.call.new_id()
    if apps.named(tx, wanted) is not None:
        ask.refuse(409, f"there is an app {wanted} already")
    uuid = canonical_uuid(wanted)
    item = App(
        id=uuid or ask.call.new_id(),
        name=body.get("label") or wanted,
        description=body.get("description", ""),
        product_id=None if uuid else wanted,
        created_us=ask.call.now_us,
    )
    with ask.rules():
        validate.app(item)
        apps.add(tx, item)
    ask.changed("app", item.id)
    return ask.ok(shapes.APP.write(**views.app(item)))


def update_app(tx: Tx, ask: Ask) -> Response:
    """Name and description."""
    before, body = ask.app(tx), ask.body(shapes.APP)
    item = before._replace(
        name=body.get("label") or before.name,
        description=body.get("description", before.description),
    )
    with ask.rules():
        validate.app(item)
        apps.update(tx, item)
    ask.changed("app", item.id)
    return ask.ok(shapes.APP.write(**views.app(item)))


def delete_app(tx: Tx, ask: Ask) -> Response:
    """Remove an application with everything of it."""
    item = ask.app(tx)
    apps.delete(tx, item.id)
    ask.changed("app", item.id)
    return ask.ok(shapes.APP.write(**views.app(item)))


# -- channels


def list_channels(tx: Tx, ask: Ask) -> Response:
    """An application's channels by name."""
    app = ask.app(tx)
    found = [views.channel(tx, app, item) for item in channels.listing(tx, app.id, limit=ALL)]
    return ask.ok(shapes.CHANNEL_LIST.write(items=found))


def public_channels(tx: Tx, ask: Ask) -> Response:
    """The published channels of all applications."""
    return ask.ok(shapes.CHANNEL_LIST.write(items=[view for _, _, view in published(tx)]))


def published(tx: Tx) -> list[tuple[App, Channel, dict[str, Any]]]:
    """The published channels with their applications."""
    found = []
    for channel_id in coreupdate.published(tx):
        channel = channels.find(tx, channel_id)
        app = apps.find(tx, channel.app_id) if channel else None
        if channel is not None and app is not None:
            found.append((app, channel, views.channel(tx, app, channel)))
    return found


def add_channel(tx: Tx, ask: Ask) -> Response:
    """Register a channel. updateservicectl has the channel's name where the application belongs,

    so the application in the body counts, if there is one.
    """
    body = ask.body(shapes.CHANNEL_REQUEST)
    app = ask.app(tx, body.get("appId", ""))
    item = Channel(
        ask.call.new_id(),
        app.id,
        body.get("label", ""),
        COLOR,
        _package_id(tx, ask, app, body.get("version", "")),
        ask.call.now_us,
    )
    with ask.rules():
        validate.channel(item)
        channels.add(tx, item)
    coreupdate.publish(tx, item.id, Publication(body.get("publish", False)))
    ask.changed("channel", app.id)
    return ask.ok(shapes.CHANNEL.write(**views.channel(tx, app, item)))


def update_channel(tx: Tx, ask: Ask) -> Response:
    """Point it to a package, publish it or, where nothing is said about that, do not any more."""
    app, body = ask.app(tx), ask.body(shapes.CHANNEL_REQUEST)
    item = _channel(tx, ask, app)
    if body.get("version"):
        item = item._replace(package_id=_package_id(tx, ask, app, body["version"]))
    if body.get("label"):
        item = item._replace(name=body["label"])
    with ask.rules():
        validate.channel(item)
        channels.update(tx, item, ask.call.now_us)
    before = coreupdate.publication(tx, item.id)
    coreupdate.publish(tx, item.id, before._replace(publish=body.get("publish", False)))
    ask.changed("channel", app.id)
    return ask.ok(shapes.CHANNEL.write(**views.channel(tx, app, item)))


def delete_channel(tx: Tx, ask: Ask) -> Response:
    """Remove a channel; its groups have none then."""
    app = ask.app(tx)
    item = _channel(tx, ask, app)
    view = views.channel(tx, app, item)
    channels.delete(tx, item.id)
    ask.changed("channel", app.id)
    names = shapes.CHANNEL_REQUEST.fields
    return ask.ok(shapes.CHANNEL_REQUEST.write(**{name: view[name] for name in names}))


def _channel(tx: Tx, ask: Ask, app: App) -> Channel:
    found = channels.by_name(tx, app.id, ask.names["channel"])
    return found or ask.refuse(404, "no such channel")


def _package_id(tx: Tx, ask: Ask, app: App, version: str) -> str | None:
    if not version:
        return None
    package = packages.by_version(tx, app.id, version)
    return package.id if package else ask.refuse(404, f"no package of version {version}")
