"""Makes a database ready: migrated, and with CoreRoller's first application when it is new."""

from __future__ import annotations

from coreos_py.roller.db import apps, channels, groups
from coreos_py.roller.db.driver import Database, Tx
from coreos_py.roller.db.migrate import is_applied, migrate, note
from coreos_py.roller.records import COREOS_APP, App, Channel, Group, Policy

_FILLED = 0  # the number under which it is written down that the first application was made

# name, channel's id, its color, group's id, description, the group's policy
_STREAMS = (
    (
        "Stable",
        "e06064ad-4414-4904-9a6e-fd465593d1b2",
        "#14b9d6",
        "9a2deb70-37be-4026-853f-bfdd6b347bbe",
        "Production machines",
        Policy(max_updates_per_period=2),
    ),
    (
        "Beta",
        "128b8c29-5058-4643-8e67-a1a0e3c641c9",
        "#fc7f33",
        "3fe10490-dd73-4b49-b72a-28ac19acfcdc",
        "What becomes stable next",
        Policy(max_updates_per_period=2),
    ),
    (
        "Alpha",
        "a87a03ad-4984-47a1-8dc4-3507bae91ee1",
        "#1fbb86",
        "5b810680-e36a-4879-b98a-4f989e80b899",
        "The newest, for trying out",
        Policy(update_timeout="30 minutes"),
    ),
)
# The words that CoreOS machines call these groups by, whatever their tracks are.
COREOS_TRACKS = {stream[0].lower(): stream[3] for stream in _STREAMS}


def prepare(database: Database, now_us: int) -> bool:
    """Migrate, and fill a new database; whether it was new. DatabaseError."""
    migrate(database, now_us)
    with database.transaction() as tx:
        is_new = not is_applied(tx, _FILLED)
        if is_new:
            _fill(tx, now_us)
            note(tx, _FILLED, "first application", now_us)
    return is_new


def _fill(tx: Tx, now_us: int) -> None:
    apps.add(tx, App(COREOS_APP, "CoreOS", "The operating system", None, now_us))
    for number, (name, channel_id, color, group_id, description, policy) in enumerate(_STREAMS):
        track, born_us = name.lower(), now_us + number  # lists have the newest first
        channels.add(tx, Channel(channel_id, COREOS_APP, track, color, None, born_us))
        groups.add(
            tx,
            Group(group_id, COREOS_APP, channel_id, name, description, track, born_us, policy),
        )
