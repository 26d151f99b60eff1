"""YAML as go-yaml v1 reads it: values, errors and their lines, against recordings of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreos_py.cloudinit.yaml import resolve
from coreos_py.cloudinit.yaml.decode import weak
from coreos_py.cloudinit.yaml.nodes import YamlError
from coreos_py.cloudinit.yaml.parser import DEPTH_MAX, parse
from tests.unit.cloudinit import recorded

CASES = recorded.load("yaml.json")


def outcome(data):
    try:
        return {"value": recorded.weak(weak(parse(data)))}
    except YamlError as error:
        return {"error": recorded.latin(str(error))}


def test_everything_recorded():
    assert len(CASES) > 500
    wrong = []
    for case in CASES:
        text = case["text"]
        expected = {key: recorded.ordered(item) for key, item in case.items() if key != "text"}
        found = outcome(text.encode("latin-1"))
        if found != expected:
            wrong.append((text, expected, found))
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0644", 420),
        ("0x1F", 31),
        ("0b101", 5),
        ("-0b1", -1),
        ("1_000", 1000),
        ("08", 8.0),
        ("+5", 5),
        ("12:30", "12:30"),
        ("2016-01-01", "2016-01-01"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1e400", "1e400"),
        ("-.inf", float("-inf")),
        ("+inf", float("inf")),
        ("inf", "inf"),
        ("9223372036854775807", 9223372036854775807),
        ("9223372036854775808", 9223372036854775808.0),
        ("yes", True),
        ("Off", False),
        ("yEs", "yEs"),
        ("~", None),
        ("", None),
        ("=", "="),
    ],
)
def test_plain_scalars(text, value):
    ((_, found),) = weak(parse(f"k: {text}\n".encode())).items()
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("text", ['"5"', "'yes'", '"~"', "|\n  5"])
def test_quoted_scalars_are_strings(text):
    ((_, found),) = weak(parse(f"k: {text}\n".encode())).items()
    assert isinstance(found, str)


def test_numbers_too_long_to_be_any():
    assert resolve.parse_int("9" * 100_000) is None
    assert resolve.parse_int("0x" + "f" * 100_000) is None


def test_aliases_of_aliases_are_bounded():
    levels = [
        f"{chr(98 + at)}: &{chr(98 + at)} [{','.join(['*' + chr(97 + at)] * 9)}]"
        for at in range(12)
    ]
    text = "\n".join(["a: &a [x]", *levels])
    assert outcome(text.encode()) == {"error": "YAML error: document contains excessive aliasing"}


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_nesting_is_bounded(opening):
    found = outcome(b"k: 1\n? " + opening.encode() * 5000)
    assert f"nested deeper than {DEPTH_MAX}" in found["error"]


def test_tabs_between_tokens():
    assert outcome(b"a:\tb\t# c\n") == {"value": {"map": [["a", "b"]]}}


@given(st.text(alphabet=st.sampled_from("ab:-?[]{},'\"#&*!|>%@`~\\ \t\n\r0x.<"), max_size=40))
def test_any_text_is_a_value_or_an_error(text):
    assert set(outcome(text.encode())) <= {"value", "error"}


@given(st.binary(max_size=40))
def test_any_bytes_are_a_value_or_an_error(data):
    assert set(outcome(b"#\n" + data)) <= {"value", "error"}
