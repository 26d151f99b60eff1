"""Reboot windows: what locksmith 0.6.2 accepts, and when they open."""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

import pytest

from coreos_py.base import durations
from coreos_py.locksmith.window import DAILY, Now, Window, parse, until_open_ns

HOUR, MINUTE = durations.HOUR, durations.MINUTE


@pytest.mark.parametrize(
    ("start", "length", "window"),
    [
        ("14:00", "1h", Window(DAILY, 14, 0, HOUR)),
        ("9:5", "0", Window(DAILY, 9, 5, 0)),
        (" THU  23:59 ", "167h59m", Window(4, 23, 59, 168 * HOUR - MINUTE)),
        ("sun +1:02x", "1h30m", Window(0, 1, 2, 90 * MINUTE)),
    ],
)
def test_windows(start, length, window):
    assert parse(start, length) == window


TIME = "unable to parse start: invalid time of day"


@pytest.mark.parametrize(
    ("start", "length", "problem"),
    [
        ("25:00", "1h", f'{TIME} "25:00": hour must be >= 0 and <= 23'),
        ("-1:00", "1h", f'{TIME} "-1:00": hour must be >= 0 and <= 23'),
        ("23:61", "1h", f'{TIME} "23:61": minute must be >= 0 and <= 59'),
        ("14", "1h", f'{TIME} "14": unexpected EOF'),
        ("14:", "1h", f'{TIME} "14:": EOF'),
        (
            f"{'9' * 20}:1",
            "1h",
            f'{TIME} "{"9" * 20}:1": strconv.ParseInt: parsing "{"9" * 20}": value out of range',
        ),
        ("14-00", "1h", f'{TIME} "14-00": input does not match format'),
        (":30", "1h", f'{TIME} ":30": expected integer'),
        ("sat", "1h", f'{TIME} "sat": expected integer'),
        ("Foo 14:00", "1h", 'unable to parse start: invalid day of week "Foo"'),
        ("Mon-Fri 14:00", "1h", 'unable to parse start: invalid day of week "Mon-Fri"'),
        ("sat 14:00 1234", "1h", "unable to parse start: wrong number of fields"),
        ("", "1h", "unable to parse start: wrong number of fields"),
        (
            "sat 14:00",
            "1j",
            'unable to parse duration: time: unknown unit "j" in duration "1j"',
        ),
        ("sat 14:00", "-1h", "duration cannot be negative"),
        ("14:00", "24h", "duration cannot exceed period"),
        ("sat 14:00", "168h", "duration cannot exceed period"),
    ],
)
def test_no_windows(start, length, problem):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        parse(start, length)
    assert str(caught.value) == problem


def moment(text, zone):
    time = datetime.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))

    def at(days, hour, minute):
        day = time.date() + datetime.timedelta(days)
        wall = datetime.datetime.combine(day, datetime.time(hour, minute), ZoneInfo(zone))
        return int(wall.timestamp()) * durations.SECOND

    return Now(int(time.timestamp()) * durations.SECOND, time.isoweekday() % 7, at)


@pytest.mark.parametrize(
    ("start", "length", "now", "until"),
    [
        ("00:15", "10s", "2015-05-21T00:00:00", "15m"),
        ("00:00", "1h", "2015-05-21T00:00:00", "0"),
        ("00:00", "1h", "2015-05-21T00:00:01", "-1s"),
        ("02:33", "10h", "2015-05-21T12:33:00", "-10h"),  # the last instant
        ("02:33", "10h", "2015-05-21T12:33:01", "13h59m59s"),
        ("23:05", "11h", "2015-05-21T09:33:01", "-10h28m1s"),  # since yesterday
        ("Thu 00:15", "10s", "2015-05-21T00:00:00", "15m"),
        ("Sun 02:33", "10h", "2015-05-17T12:33:01", "157h59m59s"),
        ("Sat 23:05", "11h", "2015-05-17T09:33:01", "-10h28m1s"),  # since last week
        ("Mon 9:00", "1h", "2015-05-30T23:00:00", "34h"),  # next month
        ("Sun 23:00", "4h", "2015-06-01T01:00:00", "-2h"),  # since last month
        ("12:00", "1h", "2026-03-28T13:30:00", "21h30m"),  # a night of 23 hours in between
    ],
)
def test_until_it_opens(start, length, now, until):
    window = parse(start, length)
    assert until_open_ns(window, moment(now, "Europe/Berlin")) == durations.parse(until)
