"""Our records as CoreUpdate's. An application's id is the one its clients use, a group's its track.

Reads what belongs to a record; writes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coreos_py.base import gotime
from coreos_py.roller import rollout
from coreos_py.roller.db import channels, coreupdate, packages

if TYPE_CHECKING:
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.records import App, Channel, Group, Package


def app_id(found: App) -> str:
    """What clients call it."""
    return found.product_id or found.id


def app(found: App) -> dict[str, Any]:
    """An application's fields."""
    return {"id": app_id(found), "label": found.name, "description": found.description}


def channel(tx: Tx, owner: App, found: Channel) -> dict[str, Any]:
    """A channel's fields."""
    package = packages.find(tx, found.package_id) if found.package_id else None
    publication = coreupdate.publication(tx, found.id)
    upstream = coreupdate.upstream(tx, publication.upstream_id)
    return {
        "appId": app_id(owner),
        "dateCreated": moment(found.created_us),
        "label": found.name,
        "publish": publication.publish,
        "upstream": (upstream.label or upstream.url) if upstream else "",
        "version": package.version if package else "",
    }


def group(tx: Tx, owner: App, found: Group, now_us: int) -> dict[str, Any]:
    """A group's fields; the percentage is today's, as the rollout has it."""
    follows = channels.find(tx, found.channel_id) if found.channel_id else None
    return {
        "appId": app_id(owner),
        "channelId": follows.name if follows else "",
        "id": found.track,
        "label": found.name,
        "oemBlacklist": found.oem_blacklist,
        "rolloutActive": found.policy.rollout_active,
        "updatePercent": short(rollout.percent_at(found.policy, now_us)),
        "updatesPaused": not found.policy.updates_enabled,
    }


def package(owner: App, found: Package) -> dict[str, Any]:
    """A package's fields."""
    action = found.action
    return {
        "appId": app_id(owner),
        "dateCreated": moment(found.created_us),
        "metadataSignatureRsa": action.metadata_signature_rsa if action else "",
        "metadataSize": action.metadata_size if action else "",
        "releaseNotes": found.description or "",
        "sha1Sum": found.hash or "",
        "sha256Sum": action.sha256 if action else "",
        "size": found.size or "",
        "url": url(found),
        "version": found.version,
    }


def url(found: Package) -> str:
    """Where a payload is: base and name, as update_engine puts them together."""
    return found.url + (found.filename or "")


def moment(at_us: int) -> str:
    """A time as JSON has it."""
    return gotime.format_ns(at_us * 1000)


def short(number: float) -> float | int:
    """A whole number without its point."""
    return int(number) if number == int(number) else number
