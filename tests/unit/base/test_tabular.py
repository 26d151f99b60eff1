"""Columns against what Go's tabwriter made of the same text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coreos_py.base.tabular import columns, tabulate

DATA = Path(__file__).resolve().parents[2] / "data" / "base" / "tabwriter.json"


@pytest.mark.parametrize("case", json.loads(DATA.read_text()))
def test_like_go(case):
    text, expected = case.pop("in"), case.pop("out")
    assert tabulate(text, **case) == expected


def test_columns():
    rows = [("UNIT", "SUB"), ("hello.service", "running"), ("x", "-")]
    assert columns(rows) == "UNIT\t\tSUB\nhello.service\trunning\nx\t\t-\n"
    assert columns([]) == ""
