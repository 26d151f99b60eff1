"""Lengths of time as PostgreSQL 15 reads them."""

from __future__ import annotations

import pytest

from coreos_py.roller import interval

SECOND, MINUTE, HOUR, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000

READ = {
    "15 minutes": 15 * MINUTE,
    "1 minutes": MINUTE,
    "60 MINUTES": HOUR,
    "1 day": DAY,
    "1d2h": DAY + 2 * HOUR,
    "1 d 2 h 3 m 4 s": DAY + 2 * HOUR + 3 * MINUTE + 4 * SECOND,
    "1.5 hours": 90 * MINUTE,
    ".5 hour": 30 * MINUTE,
    "2 weeks": 14 * DAY,
    "1 month": 30 * DAY,
    "1 mon": 30 * DAY,
    "1 year": 360 * DAY,
    "250 ms": SECOND // 4,
    "7 us": 7,
    "90": 90 * SECOND,
    "1 day 2": DAY + 2 * SECOND,
    "01:30": 90 * MINUTE,
    "01:30:15.5": 90 * MINUTE + 15 * SECOND + SECOND // 2,
    "1 day 02:00:00": DAY + 2 * HOUR,
    "-1 day +02:00": -DAY + 2 * HOUR,
    "-01:00": -HOUR,
    "@ 1 minute": MINUTE,
    "@ 1 minute ago": -MINUTE,
    "PT15M": 15 * MINUTE,
    "P1DT2H3M4.5S": DAY + 2 * HOUR + 3 * MINUTE + 4 * SECOND + SECOND // 2,
    "P2W": 14 * DAY,
    "  15   minutes  ": 15 * MINUTE,
    "0": 0,
}
REFUSED = (
    *("", "   ", "minutes", "15 lightyears", "fifteen minutes", "15 minutes 3 minutes"),
    *("1:2:3:4", "01:60", "P", "PT", "P1", "P1H", "1e9 days", "--1 day"),
    *("1 day" + " " * 60, "99999999999999 years", "P..1D", "P.D", "1.2.3 days", "\x00", "ago"),
)


@pytest.mark.parametrize(("text", "expected"), READ.items())
def test_read(text, expected):
    assert interval.parse_us(text) == expected


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text):
    assert interval.parse_us(text) is None
