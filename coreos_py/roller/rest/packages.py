"""Packages of an application: /api/apps/:app/packages, and what an upload makes of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.roller import validate
from coreos_py.roller.db import apps, packages
from coreos_py.roller.records import Action, Package, PackageType
from coreos_py.roller.rest import fields, shapes

if TYPE_CHECKING:
    from typing import Any

    from coreos_py.http.message import Response
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.rest.ask import Ask

_OWN = ("type", "version", "url", "filename", "description", "size", "hash")
_ACTION = (
    "event",
    "chromeos_version",
    "sha256",
    "needs_admin",
    "is_delta",
    "disable_payload_backoff",
    "metadata_signature_rsa",
    "metadata_size",
    "deadline",
)


def listing(tx: Tx, ask: Ask) -> Response:
    """An application's packages, the newest version first."""
    app_id, page = ask.found("application", apps.find(tx, ask.id("app"))).id, ask.page()
    found = packages.listing(tx, app_id, limit=page.limit, offset=page.offset)
    return ask.rows([shapes.package(item) for item in found], packages.count(tx, app_id))


def get(tx: Tx, ask: Ask) -> Response:
    """One package."""
    return ask.ok(shapes.package(ask.found("package", named(tx, ask))))


def add(tx: Tx, ask: Ask) -> Response:
    """Register a package."""
    app = ask.to_change("application", apps.find(tx, ask.id("app")))
    kind = PackageType.COREOS if ask.is_json else 0
    new_id, now_us = ask.call.new_id, ask.call.now_us
    blank = Package(new_id(), app.id, kind, "", "", None, None, None, None, now_us)
    package = _filled(ask, blank, ask.body(fields.PACKAGE))
    with ask.rules():
        packages.add(tx, package)
    return ask.ok(shapes.package(package))


def update(tx: Tx, ask: Ask) -> Response:
    """Change a package; without an action it keeps the one it has."""
    before = ask.to_change("package", named(tx, ask))
    base = before
    if not ask.is_json:
        base = before._replace(type=0, version="", url="", blacklist=())
        base = base._replace(filename=None, description=None, size=None, hash=None)
    package = _filled(ask, base, ask.body(fields.PACKAGE))
    with ask.rules():
        packages.update(tx, package)
    return ask.ok(shapes.package(package))


def delete(tx: Tx, ask: Ask) -> Response:
    """Remove a package; its channels have none then."""
    packages.delete(tx, ask.to_change("package", named(tx, ask)).id)
    return ask.done()


def named(tx: Tx, ask: Ask) -> Package | None:
    """The package that the path names."""
    return ask.of_app(packages.find(tx, ask.id("package")))


def _filled(ask: Ask, base: Package, values: dict[str, Any]) -> Package:
    package = base._replace(**{key: values[key] for key in _OWN if key in values})
    if "channels_blacklist" in values:
        package = package._replace(blacklist=_blacklist(ask, values["channels_blacklist"]))
    action = values.get("coreos_action")
    if action is not None and package.type == PackageType.COREOS:
        package = package._replace(action=_action(ask, package.action, action))
    with ask.rules():
        validate.package(package, strict=ask.is_json)
    return package


def _blacklist(ask: Ask, values: list[str]) -> tuple[str, ...]:
    found = {ask.reference("channels_blacklist", item) for item in values}
    return tuple(sorted(item for item in found if item))


def _action(ask: Ask, before: Action | None, values: dict[str, Any]) -> Action:
    """CoreRoller takes the digest from its clients and nothing else."""
    base = before or Action(ask.call.new_id(), "", ask.call.now_us)
    if not ask.is_json:
        return base._replace(sha256=values.get("sha256", ""))
    return base._replace(**{key: values[key] for key in _ACTION if key in values})
