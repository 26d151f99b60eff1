"""What is forgotten, in both databases, and that nobody decides anything by it."""

from __future__ import annotations

import pytest

from coreos_py.roller.db import activity, events, fleet, instances, retention
from coreos_py.roller.db.events import Origin
from coreos_py.roller.records import COREOS_APP, DAY_US, EventEntry, Instance
from tests.support import rollerdb

ENTRY = EventEntry(3, 1, 0, None, 0, "")


def _counts(tx):
    return tx.one(
        "SELECT (SELECT COUNT(*) FROM event), (SELECT COUNT(*) FROM instance_status_history),"
        " (SELECT COUNT(*) FROM activity)"
    )


def test_the_oldest_goes_in_pieces(both):
    with rollerdb.undone(both) as tx:
        instances.put(tx, None, Instance("m", "", 1, *[""] * 6))
        origin = Origin("m", COREOS_APP, None, "1.0.0")
        for at_us in range(1200):
            events.add(tx, origin, ENTRY._replace(created_us=at_us))
            tx.send(
                "INSERT INTO instance_status_history (instance_id, app_id, status, created_us)"
                " VALUES ('m', ?, 2, ?)",
                COREOS_APP,
                at_us,
            )
        assert retention.prune(tx, 1100)
        assert _counts(tx)[:2] == (700, 700)
        assert tx.one("SELECT MIN(created_us) FROM event") == (500,)
        assert retention.prune(tx, 1100)
        assert not retention.prune(tx, 1100)
        assert _counts(tx)[:2] == (100, 100)
        assert tx.one("SELECT MIN(created_us) FROM instance_status_history") == (1100,)
        assert not retention.prune(tx, 1100)
        assert _counts(tx)[:2] == (100, 100)


@pytest.mark.parametrize("compat", [False, True], ids=["friendly", "coreroller"])
def test_a_rollout_goes_on_as_if_nothing_were_gone(both, compat):
    def play(*, forget):
        with rollerdb.undone(both) as tx:
            server = rollerdb.Server(
                tx, policy=rollerdb.LOOSE._replace(max_updates_per_period=4), compat=compat
            )
            said = [server.check(f"m{number}") for number in range(8)]
            for number in range(4):
                server.event(f"m{number}", 13, 1)
            server.event("m0", 3, 0, code=5)
            if forget:
                before = _counts(tx)
                while retention.prune(tx, server.now_us + 1):
                    pass
                assert min(before) > 0
                assert _counts(tx) == (0, 0, before[2])
            said += [server.check(f"m{number}") for number in range(8)]
            for number in (1, 2, 3):
                server.event(f"m{number}", 3, 1)
                server.event(f"m{number}", 3, 2, version="2.0.0", previous="1.0.0")
                said.append(server.check(f"m{number}", "2.0.0"))
            server.now_us += DAY_US // 2
            said += [server.check(f"m{number}") for number in (4, 5, 6, 7, 0)]
            told = [entry[:4] for entry in activity.listing(tx, activity.Query(0, 1 << 60))]
            tallies = instances.tallies(tx, server.group_id)
            return said, told, tallies, fleet.by_status(tx, server.group_id, server.now_us)

    assert play(forget=False) == play(forget=True)
