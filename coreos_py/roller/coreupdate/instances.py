"""What instances run, and what they told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coreos_py.omaha import coreupdate as shapes
from coreos_py.roller.coreupdate import views
from coreos_py.roller.coreupdate.ask import find_group
from coreos_py.roller.db import apps, coreupdate
from coreos_py.roller.db.coreupdate import Chosen
from coreos_py.roller.records import SECOND_US

if TYPE_CHECKING:
    from coreos_py.http.message import Response
    from coreos_py.roller.coreupdate.ask import Ask
    from coreos_py.roller.db.driver import Tx

_DETAILS_MAX = 1000  # rows for which the last event is looked up
_HISTORY_MAX = 1000


def list_updates(tx: Tx, ask: Ask) -> Response:
    """The instances, who checked in last first."""
    chosen, page = _chosen(tx, ask), ask.page()
    found = coreupdate.clients(tx, chosen, limit=page.limit, offset=page.offset)
    items = []
    for at, client in enumerate(found):
        item: dict[str, Any] = {
            "appId": client.app_id,
            "clientId": client.instance_id,
            "groupId": client.track,
            "lastSeen": views.moment(client.last_check_us // SECOND_US * SECOND_US),
            "oem": client.oem,
            "version": client.version,
        }
        if at < _DETAILS_MAX:
            item |= _last_event(tx, client.app_id, client.instance_id)
        items.append(item)
    return ask.ok(shapes.CLIENT_UPDATES.write(items=items))


def _last_event(tx: Tx, app_id: str, instance_id: str) -> dict[str, Any]:
    app = apps.named(tx, app_id)
    event = coreupdate.last_event(tx, instance_id, app.id) if app else None
    if event is None:
        return {}
    names = ("eventType", "eventResult", "errorCode")
    return {name: str(number) for name, number in zip(names, event, strict=True)}


def count_updates(tx: Tx, ask: Ask) -> Response:
    """How many instances those are."""
    count = coreupdate.count_clients(tx, _chosen(tx, ask))
    return ask.ok(shapes.CLIENT_COUNT.write(count=count))


def list_versions(tx: Tx, ask: Ask) -> Response:
    """How many instances of each group run each version."""
    found = coreupdate.versions(tx, _chosen(tx, ask))
    names = ("appId", "groupId", "version", "count")
    items = [dict(zip(names, row, strict=True)) for row in found]
    return ask.ok(shapes.APP_VERSIONS.write(items=items))


def history(tx: Tx, ask: Ask) -> Response:
    """What one instance told, the newest first."""
    found = coreupdate.history(tx, ask.text("clientId"), limit=_HISTORY_MAX)
    items = [
        {
            "dateTime": at_us // SECOND_US,
            "errorCode": str(code) if code else "",
            "eventResult": str(result),
            "eventType": str(type_),
            "groupId": track,
            "version": version,
        }
        for at_us, type_, result, code, track, version in found
    ]
    return ask.ok(shapes.CLIENT_HISTORY.write(items=items))


def _chosen(tx: Tx, ask: Ask) -> Chosen:
    """The query's filters; a group without its application is one of any."""
    app_text, group_text = ask.text("appId"), ask.text("groupId")
    app = ask.app(tx, app_text) if app_text else None
    group_id = ""
    if group_text:
        owners = [app] if app else apps.listing(tx, limit=(1 << 31) - 1)
        groups = [find_group(tx, owner, group_text) for owner in owners]
        found = next((item for item in groups if item is not None), None)
        group_id = found.id if found else ask.refuse(404, "no such group")
    return Chosen(
        app_id=app.id if app else "",
        group_id=group_id,
        version=ask.text("version"),
        oem=ask.text("oem"),
        instance_id=ask.text("clientId"),
        start_us=ask.moment_us("dateStart"),
        end_us=ask.moment_us("dateEnd"),
    )
