"""The syncer's rounds, with a database and without a network."""

from __future__ import annotations

import asyncio
import itertools

from coreos_py.base.errors import CoreosError
from coreos_py.roller.db import channels, coreupdate, packages
from coreos_py.roller.db.coreupdate import Publication, Upstream
from coreos_py.roller.records import COREOS_APP
from coreos_py.roller.syncer import Report, Syncer, channels_of
from tests.support import rollerdb

ABOVE = Upstream("11111111-2222-4333-8444-555555555555", "http://u", "up", 1)
OTHER = "22222222-2222-4333-8444-555555555555"


class Rounds(Syncer):
    """Counts its rounds, of which some fail."""

    def __init__(self, enough: int) -> None:
        self.count = itertools.count(1)
        self.enough = enough

    async def sync(self):
        number = next(self.count)
        if number == self.enough:
            raise asyncio.CancelledError
        if number % 2:
            raise CoreosError("the database is gone")
        return Report(is_ok=True, lines=())


def test_a_round_that_fails_is_not_the_last(caplog):
    waits = []

    def below(most_s):
        waits.append(most_s)
        return 0.0

    async def run():
        task = asyncio.create_task(Rounds(5).run(below, first_s=0, every_s=0))
        await asyncio.wait({task})
        assert task.cancelled()

    asyncio.run(run())
    assert len(waits) == 5
    assert caplog.text.count("the database is gone") == 2


def test_which_channels_follow_a_server(tx):
    packages.add(tx, rollerdb.package("1.0.0"))
    found = {item.track: item for item in channels_of(tx, ABOVE)}
    assert {(item.track, item.version) for item in found.values()} == {
        ("alpha", "0.0.0"),
        ("beta", "0.0.0"),
        ("stable", "0.0.0"),
    }
    for name, owner in [("alpha", ABOVE.id), ("beta", OTHER), ("stable", "")]:
        channel = channels.by_name(tx, COREOS_APP, name)
        assert channel is not None
        package_id = rollerdb.package("1.0.0").id
        channels.update(tx, channel._replace(package_id=package_id), 5)
        coreupdate.publish(tx, channel.id, Publication(upstream_id=owner))
    # Beta is another server's, and stable was pointed to its package by hand.
    (left,) = channels_of(tx, ABOVE)
    assert (left.track, left.version) == ("alpha", "1.0.0")
    # The pretended machine stays the same one.
    assert left.machine_id == found["alpha"].machine_id
    assert len({item.machine_id for item in found.values()}) == 3
