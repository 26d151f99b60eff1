"""The activity: /api/activity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.roller.db import activity
from coreos_py.roller.rest import shapes

if TYPE_CHECKING:
    from coreos_py.http.message import Response
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.rest.ask import Ask


def listing(tx: Tx, ask: Ask) -> Response:
    """What has happened, the newest first; by default within the last three days."""
    now_us, page = ask.call.now_us, ask.page()
    start_us, end_us = ask.moment_us("start"), ask.moment_us("end")
    query = activity.Query(
        now_us - activity.RECENT_US if start_us is None else start_us,
        now_us if end_us is None else end_us,
        app_id=ask.uuid("app"),
        group_id=ask.uuid("group"),
        channel_id=ask.uuid("channel"),
        instance_id=ask.text("instance"),
        version=ask.text("version"),
        severity=ask.number("severity"),
        limit=page.limit,
        offset=page.offset,
    )
    found = activity.listing(tx, query)
    rows = [shapes.activity(entry, more=ask.is_json) for entry in found]
    return ask.rows(rows, activity.count(tx, query))
