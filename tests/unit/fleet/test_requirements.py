"""[X-Fleet] tables: what is read from a unit, and which demands exclude each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coreos_py.base.unitfile import parse
from coreos_py.fleet import requirements
from coreos_py.fleet.gomatch import BadPattern, matches, to_regex

DATA = Path(__file__).resolve().parents[2] / "data" / "fleet"


def load(name):
    return json.loads((DATA / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", load("requirements.json"))
def test_requirements(case):
    found = requirements.parse(case["name"], parse(case["text"]).options)
    assert found.machine_id == case.get("machine_id")
    assert list(found.peers) == case.get("peers", [])
    assert list(found.conflicts) == case.get("conflicts", [])
    assert list(found.replaces) == case.get("replaces", [])
    metadata = {key: sorted(values) for key, values in found.metadata.items()}
    assert metadata == case.get("metadata", {})
    assert found.is_global is case.get("global", False)
    assert list(found.unknown) == case.get("unknown", [])


@pytest.mark.parametrize("case", load("combinations.json"))
def test_combinations(case):
    options = [tuple(option) for option in case.get("options", ())]
    options = options or list(parse(case.get("text", "")).options)
    if case["error"] is None:
        requirements.check(options)
        return
    with pytest.raises(requirements.RequirementsError) as caught:
        requirements.check(options)
    assert str(caught.value) == case["error"]


@pytest.mark.parametrize(("pattern", "name", "expected"), load("globs.json"))
def test_globs(pattern, name, expected):
    assert matches(pattern, name) is expected


@pytest.mark.parametrize("pattern", ["[", "[]", "[a", "[a-", "[-a]", "[a-]", "a\\", "[\\", "[^]"])
def test_bad_patterns(pattern):
    with pytest.raises(BadPattern):
        to_regex(pattern)
