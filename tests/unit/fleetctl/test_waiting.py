"""How long `fleetctl start` waits for systemd, told from states at given times."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from coreos_py.base import unitfile
from coreos_py.fleet.ctl import waiting

UNIT = SimpleNamespace(name="a.service", file=unitfile.parse("[Service]\nExecStart=/bin/true\n"))
FAILURE = "Failed to find an active unit a.service within 2s, err: Failed to fetch states within 2s"


class Clock:
    """Passes only while somebody sleeps."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize(
    ("reports", "failures", "least_s", "most_s"),
    [
        ([(0, "loaded", "active")], [], 0, 0),
        ([(1, "loaded", "active")], [], 1, 1.3),
        ([(0, "loaded", "activating"), (1.5, "loaded", "active")], [], 1.5, 1.8),
        ([(0, "loaded", "activating")], [FAILURE], 2, 2.3),
        ([(0, "loaded", "failed")], [FAILURE], 2, 2.3),
        ([(0, "not-found", "inactive")], [FAILURE], 2, 2.3),
        # Silence is a slow machine, up to a point.
        ([(9, "loaded", "active")], [], 9, 9.3),
        ([(9, "loaded", "failed")], [FAILURE], 11, 11.6),
        ([], [FAILURE], 30, 30.3),
    ],
)
def test_the_two_seconds_run_from_the_first_report(monkeypatch, reports, failures, least_s, most_s):
    clock = Clock()
    begin = clock.now
    monkeypatch.setattr(waiting, "time", clock)

    def state(_name):
        seen = [report for report in reports if clock.now - begin >= report[0]]
        return SimpleNamespace(load=seen[-1][1], active=seen[-1][2]) if seen else None

    session = SimpleNamespace(client=SimpleNamespace(state=state))
    assert waiting.wait_for_active(session, [UNIT]) == failures
    assert least_s <= clock.now - begin <= most_s
