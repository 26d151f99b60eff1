"""Records together with what belongs to them: an application's groups, a group's channel.

Between the database and the shapes; writes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.roller import semver
from coreos_py.roller.db import apps, channels, fleet, groups, packages
from coreos_py.roller.rest import shapes

if TYPE_CHECKING:
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.records import App, Channel, Group
    from coreos_py.roller.rest.ask import Ask
    from coreos_py.roller.rest.shapes import Shape

_ALL = (1 << 31) - 1


def app(tx: Tx, ask: Ask, found: App) -> Shape:
    """An application with everything of it."""
    return shapes.app(
        found,
        groups=[group(tx, ask, item) for item in groups.listing(tx, found.id, limit=_ALL)],
        channels=[channel(tx, item) for item in channels.listing(tx, found.id, limit=_ALL)],
        packages=[shapes.package(item) for item in packages.listing(tx, found.id, limit=_ALL)],
        instances=apps.instances(tx, found.id, ask.call.now_us),
        more=ask.is_json,
    )


def channel(tx: Tx, found: Channel) -> Shape:
    """A channel with its package."""
    package_id = found.package_id
    return shapes.channel(found, packages.find(tx, package_id) if package_id else None)


def group(tx: Tx, ask: Ask, found: Group) -> Shape:
    """A group with its channel, the channel's package, and how its instances are doing."""
    follows = channels.find(tx, found.channel_id) if found.channel_id else None
    return shapes.group(
        found,
        breakdown=versions(tx, ask, found.id),
        channel=follows and channel(tx, follows),
        stats=stats(tx, ask, found.id),
        more=ask.is_json,
    )


def versions(tx: Tx, ask: Ask, group_id: str) -> list[Shape]:
    """How many instances of a group run which version, the newest first."""
    counts = fleet.by_version(tx, group_id, ask.call.now_us)
    return shapes.versions(
        sorted(counts.items(), key=lambda item: semver.sort_key(item[0]), reverse=True)
    )


def stats(tx: Tx, ask: Ask, group_id: str) -> Shape:
    """How many instances of a group have which status."""
    return shapes.stats(fleet.by_status(tx, group_id, ask.call.now_us))
