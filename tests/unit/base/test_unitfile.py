"""Unit-file text against tables recorded from fleet 1.0.0 and its go-systemd lexer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreos_py.base import unitfile

DATA = Path(__file__).parents[2] / "data" / "unitfile"


def table(name):
    return json.loads((DATA / name).read_text())


def case_text(case):
    if "in" in case:
        return case["in"].encode(), str.encode
    return case["in_latin1"].encode("latin1"), lambda text: text.encode("latin1")


@pytest.mark.parametrize("case", table("parse.json"))
def test_parse(case):
    data, to_bytes = case_text(case)
    if "error" in case:
        with pytest.raises(unitfile.UnitFileError) as caught:
            unitfile.parse(data)
        assert str(caught.value) == case["error"]
        return
    unit = unitfile.parse(data)
    got = [[part.encode("utf-8", "surrogateescape") for part in option] for option in unit.options]
    assert got == [[to_bytes(part) for part in option] for option in case["options"]]
    assert unit.serialise().encode("utf-8", "surrogateescape") == to_bytes(case["text"])
    assert unit.hash == case["hash"]
    assert unit.short_hash == case["hash"][:7]


@pytest.mark.parametrize("case", table("validate_name.json"))
def test_validate_name(case):
    if case["error"] is None:
        unitfile.validate_name(case["in"])
        return
    with pytest.raises(unitfile.UnitNameError) as caught:
        unitfile.validate_name(case["in"])
    assert str(caught.value) == case["error"]


@pytest.mark.parametrize("case", table("name_info.json"))
def test_name_info(case):
    info = unitfile.name_info(case["in"])
    got = info and {key: getattr(info, key) for key in case["out"]}
    assert got == case["out"]


@pytest.mark.parametrize("case", table("recognised_type.json"))
def test_recognised_type(case):
    assert unitfile.is_recognised_type(case["in"]) is case["out"]


@pytest.mark.parametrize("case", table("split_words.json"))
def test_split_words(case):
    assert unitfile.split_words(case["in"]) == case["out"]


def test_default_type():
    assert unitfile.default_type("foo.link") == "foo.link.service"


def test_description_and_values():
    unit = unitfile.parse("[Unit]\nDescription=a\nDescription=b\n[Service]\nExecStart=x\n")
    assert unit.description == "a"
    assert unit.values("Unit", "Description") == ["a", "b"]
    assert unit.has_section("Service")
    assert not unit.has_section("Install")
    assert unitfile.UnitFile().description == ""


def test_units_are_equal_when_their_canonical_text_is():
    one = unitfile.parse("# note\n[A]\nx = 1\n\n[B]\ny=2\n[A]\nz=3\n")
    two = unitfile.parse("[A]\nx=1\nz=3\n[B]\ny=2\n")
    assert one == two
    assert hash(one) == hash(two)
    assert one != unitfile.parse("[A]\nx=1\n")


def test_a_lone_surrogate_from_json_hashes_as_the_replacement_character():
    assert (
        unitfile.UnitFile([("A", "b", "\ud800")]).hash
        == unitfile.UnitFile([("A", "b", "\ufffd")]).hash
    )


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ([("S", "A", "1"), ("S", "A", "")], None),
        ([("S", "A", "1\n2")], "unexpected newline encountered while parsing option name"),
        ([("S", "A\nB", "1")], "unexpected newline encountered while parsing option name"),
        ([("S", "A", "x" * 3000)], "line too long (max 2048 bytes)"),
        ([("S]", "A", "1")], "found garbage after section name : [93]"),
    ],
)
def test_check_options(options, error):
    if error is None:
        unitfile.check_options(options)
        return
    with pytest.raises(unitfile.UnitFileError) as caught:
        unitfile.check_options(options)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("a\n.service", r"'\n'"),
        ("a'.service", r"'\''"),
        ('a".service', "'\"'"),
        ("a\u00e9.service", "'é'"),
        ("a\u200b.service", r"'\u200b'"),
        ("a\U000e0001.service", r"'\U000e0001'"),
        ("a\x7f.service", r"'\x7f'"),
    ],
)
def test_invalid_character_is_quoted_as_go_does(name, quoted):
    with pytest.raises(unitfile.UnitNameError) as caught:
        unitfile.validate_name(name)
    assert str(caught.value) == f"invalid character {quoted} in unit name"


@given(st.binary(max_size=300))
def test_canonical_text_is_a_fixed_point(data):
    try:
        once = unitfile.parse(b"[S]\n" + data)
        again = unitfile.parse(once.serialise())
    except unitfile.UnitFileError:
        return
    assert again.hash == unitfile.parse(again.serialise()).hash
