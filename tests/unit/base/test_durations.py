"""Durations against Go's time package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreos_py.base import durations

DATA = Path(__file__).resolve().parents[2] / "data" / "base" / "durations.json"


@pytest.mark.parametrize(("text", "expected"), json.loads(DATA.read_text()))
def test_like_go(text, expected):
    try:
        value = durations.parse(text)
        outcome = [value, durations.format(value)]
    except ValueError as err:
        outcome = str(err)
    assert outcome == expected


@given(st.integers(-(1 << 63) + 1, (1 << 63) - 1))
def test_what_is_printed_reads_back(value):
    assert durations.parse(durations.format(value)) == value


def test_seconds():
    assert durations.seconds(durations.parse("1.5s")) == 1.5
