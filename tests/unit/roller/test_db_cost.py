"""What a check costs does not grow with the fleet: counted in steps of sqlite's machine."""

from __future__ import annotations

import pytest

from coreos_py.roller.records import Policy
from tests.support import rollerdb

FEW, MANY = 150, 3000
STEP = 10


class Meter:
    """Counts the steps that a piece of work takes."""

    def __init__(self, database):
        self._connection = database._connection
        self.steps = 0

    def _count(self):
        self.steps += STEP
        return 0

    def __enter__(self):
        self.steps = 0
        self._connection.set_progress_handler(self._count, STEP)
        return self

    def __exit__(self, *exc):
        self._connection.set_progress_handler(None, STEP)


def _populate(server, first, last):
    for number in range(first, last):
        server.check(f"m{number:05}")


@pytest.mark.parametrize(
    "policy",
    [
        Policy(safe_mode=False, max_updates_per_period=20, update_timeout="1 day"),
        Policy(safe_mode=False, max_updates_per_period=1_000_000),
        Policy(canaries=5, safe_mode=False, max_updates_per_period=20),
    ],
    ids=["waiting", "granting", "canaries"],
)
def test_a_check_does_not_look_at_everybody(database, policy):
    with rollerdb.undone(database) as tx:
        server = rollerdb.Server(tx, policy=policy)
        costs = []
        for first, last in ((0, FEW), (FEW, MANY)):
            _populate(server, first, last)
            with Meter(database) as meter:
                server.check("new" + str(last))  # somebody nobody has seen
                server.check(f"m{last - 1:05}")  # somebody who waits or was granted
                server.event(f"m{last - 1:05}", 3, 0, code=5)
                server.check(f"m{last - 2:05}", "2.0.0")
            costs.append(meter.steps)
    few, many = costs
    assert many < 1.5 * few + 200, f"{few} steps among {FEW}, {many} among {MANY}"
