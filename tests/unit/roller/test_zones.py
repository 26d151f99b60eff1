"""Office hours where the group is."""

from __future__ import annotations

import pytest

from coreos_py.roller import zones
from coreos_py.roller.policy import Local
from tests.support.rollerdb import START_US

HOUR_US = 3_600_000_000
SUMMER_US = START_US + 200 * 24 * HOUR_US  # 2024-06-01, a Saturday


@pytest.mark.parametrize(
    ("zone", "now_us", "expected"),
    [
        ("UTC", START_US, Local(1, 22)),
        ("Europe/Berlin", START_US, Local(1, 23)),
        ("Europe/Berlin", SUMMER_US, Local(6, 0)),
        ("America/New_York", SUMMER_US, Local(5, 18)),
        ("Asia/Kolkata", START_US, Local(2, 3)),
        ("UTC", 0, Local(3, 0)),
    ],
)
def test_local_time(zone, now_us, expected):
    if not zones.is_known(zone):
        pytest.skip("this machine has no time zone data")
    assert zones.local(zone, now_us) == expected


@pytest.mark.parametrize(
    "zone", [None, "", "Mars/Base", "../../etc/passwd", "/etc/passwd", "UTC\0", "Europe", "é" * 999]
)
def test_places_nobody_knows(zone):
    assert zones.local(zone, START_US) is None
    assert not zones.is_known(zone or "")


def test_utc_is_always_known():
    assert zones.is_known("UTC")
    assert "UTC" in zones.names()
