"""Packages, and the ones that other servers may take over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coreos_py.omaha import coreupdate as shapes
from coreos_py.roller import validate
from coreos_py.roller.coreupdate import records, views
from coreos_py.roller.coreupdate.apps import ALL, published
from coreos_py.roller.db import packages

if TYPE_CHECKING:
    from coreos_py.http.message import Response
    from coreos_py.roller.coreupdate.ask import Ask
    from coreos_py.roller.db.driver import Tx


def list_packages(tx: Tx, ask: Ask) -> Response:
    """An application's packages, the newest first; `total` counts what limit and skip cut off."""
    app, page, version = ask.app(tx), ask.page(), ask.text("version")
    found = packages.listing(tx, app.id, limit=ALL)
    chosen = [item for item in found if version in ("", item.version)]
    shown = chosen[page.offset : page.offset + page.limit]
    items = [views.package(app, item) for item in shown]
    return ask.ok(shapes.PACKAGE_LIST.write(items=items, total=len(chosen)))


def add_package(tx: Tx, ask: Ask) -> Response:
    """Register a package."""
    app, body = ask.app(tx), ask.body(shapes.PACKAGE)
    version, call = ask.names["version"], ask.call
    item = records.package(
        body, app_id=app.id, version=version, new_id=call.new_id, now_us=call.now_us
    )
    with ask.rules():
        validate.package(item, strict=True)
        packages.add(tx, item)
    ask.changed("package", app.id)
    return ask.ok(shapes.PACKAGE.write(**views.package(app, item)))


def delete_package(tx: Tx, ask: Ask) -> Response:
    """Remove a package; its channels have none then."""
    app = ask.app(tx)
    item = packages.by_version(tx, app.id, ask.names["version"])
    if item is None:
        ask.refuse(404, "no such package")
    packages.delete(tx, item.id)
    ask.changed("package", app.id)
    return ask.ok(shapes.PACKAGE.write(**views.package(app, item)))


def public_packages(tx: Tx, ask: Ask) -> Response:
    """What published channels point to, by application; nobody has to sign in."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for app, channel, _ in published(tx):
        item = packages.find(tx, channel.package_id) if channel.package_id else None
        if item is not None:
            view = views.package(app, item)
            found.setdefault(views.app_id(app), {})[item.id] = view
    items = [{"AppId": app_id, "packages": list(items.values())} for app_id, items in found.items()]
    return ask.ok(shapes.PUBLIC_PACKAGES.write(items=items))
