"""The iterative reader agrees with the standard one on everything that the latter can read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreos_py.store.deepjson import _Reader, loads

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(DOCUMENTS, st.sampled_from([None, 1]), st.booleans())
def test_both_readers_agree(document, indent, ascii_only):
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    assert _Reader(text, dict).read() == document
    assert loads(text, dict) == document


def test_the_hook_sees_inner_objects_first():
    seen = []
    text = '{"a":{"b":{}},"c":[{"d":1}]}'

    def number(members):
        seen.append(members)
        return len(seen)

    _Reader(text, number).read()
    assert seen == [{}, {"b": 1}, {"d": 1}, {"a": 2, "c": [3]}]


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_any_depth(opening):
    depth = 100_000
    closing = "]" if opening == "[" else "}"
    value = loads(opening * depth + "7" + closing * depth, lambda members: [members["a"]])
    for _ in range(depth):
        assert isinstance(value, list)
        (value,) = value
    assert value == 7


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[1 2]",
        "]",
        "{",
        '{"a"',
        '{"a":',
        '{"a":1',
        '{"a":1,}',
        '{"a" 1}',
        "{1:1}",
        "{a:1}",
        '"',
        '"\x01"',
        '"\\x"',
        "01",
        "1.",
        "-",
        "+1",
        "nul",
        "True",
        "[1]]",
        "1 1",
        '{"a":1}{"a":1}',
    ],
)
def test_what_is_not_json(text):
    with pytest.raises(ValueError):  # noqa: PT011 - every JSON error, whatever its words
        _Reader(text, dict).read()
    with pytest.raises(ValueError):  # noqa: PT011
        loads(text, dict)
