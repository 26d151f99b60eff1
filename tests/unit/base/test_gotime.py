"""RFC 3339 text with nanoseconds, against Go's rules and Python's calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreos_py.base.gotime import ZERO, ZERO_NS, format_ns, parse_ns

BOTH_WAYS = [
    (0, "1970-01-01T00:00:00Z"),
    (1, "1970-01-01T00:00:00.000000001Z"),
    (-1, "1969-12-31T23:59:59.999999999Z"),
    (1_000_000_000, "1970-01-01T00:00:01Z"),
    (1_500_000_000, "1970-01-01T00:00:01.5Z"),
    (1_795_229_095_387_479_629, "2026-11-21T02:44:55.387479629Z"),
    (1_795_229_095_387_479_600, "2026-11-21T02:44:55.3874796Z"),
    (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
    (946_684_800_000_000_000, "2000-01-01T00:00:00Z"),
    ((1 << 63) - 1, "2262-04-11T23:47:16.854775807Z"),
    (-(1 << 63), "1677-09-21T00:12:43.145224192Z"),
    (ZERO_NS, ZERO),
    (253_402_300_799_999_999_999, "9999-12-31T23:59:59.999999999Z"),
]


@pytest.mark.parametrize(("ns", "text"), BOTH_WAYS)
def test_both_ways(ns, text):
    assert format_ns(ns) == text
    assert parse_ns(text) == ns


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-21T02:44:55+00:00", "2026-11-21T02:44:55Z"),
        ("2026-11-21T02:44:55.5+01:30", "2026-11-21T01:14:55.5Z"),
        ("2026-11-21T02:44:55-02:30", "2026-11-21T05:14:55Z"),
        ("2026-12-31T23:30:00-01:00", "2027-01-01T00:30:00Z"),
        ("2026-11-21t02:44:55z", "2026-11-21T02:44:55Z"),
        ("2026-11-21T02:44:55.1234567899Z", "2026-11-21T02:44:55.123456789Z"),
    ],
)
def test_other_spellings(text, utc):
    assert format_ns(parse_ns(text)) == utc


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11-21",
        "2026-11-21T02:44:55",
        "2026-11-21 02:44:55Z",
        "2026-11-21T02:44Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.5",
        "2026-01-01T00:00:00+1:00",
        "2026-01-01T00:00:00+01:60",
        "2026-01-01T00:00:00+25:00",
        "2026-01-01T00:00:00 01:00",
        "2026-01-01T00:00:00Zulu",
        "-026-01-01T00:00:00Z",
        "+026-01-01T00:00:00Z",
        "٢٠٢٦-01-01T00:00:00Z",
        "2026-01-01T00:00:00.\u0665Z",
    ],
)
def test_what_is_not_a_time(text):
    with pytest.raises(ValueError, match="not an RFC 3339 time") as caught:
        parse_ns(text)
    assert repr(text) in str(caught.value)


@given(st.integers(ZERO_NS, 253_402_300_799_999_999_999))
def test_every_moment_survives(ns):
    assert parse_ns(format_ns(ns)) == ns


@given(st.datetimes(timezones=st.just(UTC)))
def test_agreement_with_the_calendar(moment):
    microseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    text = format_ns(microseconds * 1000)
    assert datetime.fromisoformat(text) == moment
