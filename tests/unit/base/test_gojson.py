"""JSON text against what Go 1.19 prints."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreos_py.base.gojson import dumps, format_float, quote, syntax_error

QUOTED = [
    ("", '""'),
    ("plain text 123", '"plain text 123"'),
    ('say "hi"', r'"say \"hi\""'),
    ("back\\slash", r'"back\\slash"'),
    ("/slash", '"/slash"'),
    ("<a href='x'>&amp;", r"""\u003ca href='x'\u003e\u0026amp;""".join('""')),
    ("\n\r\t", r'"\n\r\t"'),
    ("\b\f\v\0\x1f", r'"\u0008\u000c\u000b\u0000\u001f"'),
    ("\x7f", '"\x7f"'),
    ("\x80\x9f", '"\x80\x9f"'),
    ("é€\U0001f600", '"é€\U0001f600"'),
    ("\u2028\u2029\u2027", r'"\u2028\u2029' + '\u2027"'),
    ("\udc80", r'"\ufffd"'),
    ("a\udcffb\udcfe", r'"a\ufffdb\ufffd"'),
    ("\ud83d", r'"\ufffd"'),
    ("\ufffd", '"\ufffd"'),
    ("é<\udcff\u2028\n\"'", r'"é\u003c\ufffd\u2028\n\"' + "'\""),
]


@pytest.mark.parametrize(("text", "literal"), QUOTED)
def test_quote(text, literal):
    assert quote(text) == literal


SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def slow_quote(text):
    """Go's rule, one character at a time."""
    out = []
    for char in text:
        if char in SHORT:
            out.append(SHORT[char])
        elif char < " " or char in "<>&\u2028\u2029":
            out.append(f"\\u{ord(char):04x}")
        elif "\ud800" <= char <= "\udfff":
            out.append("\\ufffd")
        else:
            out.append(char)
    return f'"{"".join(out)}"'


@given(st.text(st.characters(codec=None)) | st.text('<>&"\\\n\b\fa\u2028\udcffé'))
def test_quote_equals_the_rule(text):
    assert quote(text) == slow_quote(text)
    quote(text).encode()


@given(st.text())
def test_quote_is_read_back_by_any_parser(text):
    assert json.loads(quote(text)) == text


@given(st.binary())
def test_any_bytes_can_be_quoted(data):
    literal = quote(data.decode("utf-8", "surrogateescape"))
    kept = data.decode("utf-8", "surrogateescape").encode("utf-8", "replace")
    assert json.loads(literal).replace("\ufffd", "?") == kept.decode().replace("\ufffd", "?")


DUMPED: list[tuple[object, str]] = [
    (None, "null"),
    (True, "true"),
    (False, "false"),
    (0, "0"),
    (-5, "-5"),
    (1 << 63, "9223372036854775808"),
    ([], "[]"),
    ((1, "a", None), '[1,"a",null]'),
    ({}, "{}"),
    ({"b": 1, "a": [{"<": "é"}]}, '{"b":1,"a":[{"\\u003c":"é"}]}'),
    (1.5, "1.5"),
]


@pytest.mark.parametrize(("value", "text"), DUMPED)
def test_dumps(value, text):
    assert dumps(value) == text


def test_sorted_keys_reach_every_level():
    value = {"b": {"d": 1, "c": 2}, "a": [{"z": 1, "y": 2}]}
    assert dumps(value, sort_keys=True) == '{"a":[{"y":2,"z":1}],"b":{"c":2,"d":1}}'


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object()])
def test_other_types_are_refused(value):
    with pytest.raises(TypeError, match="cannot write"):
        dumps({"a": value})


FLOATS = [
    (0.0, "0"),
    (-0.0, "-0"),
    (1.0, "1"),
    (-1.0, "-1"),
    (0.1, "0.1"),
    (100.0, "100"),
    (123456789.5, "123456789.5"),
    (1e20, "100000000000000000000"),
    (1e21, "1e+21"),
    (1.5e300, "1.5e+300"),
    (1e-6, "0.000001"),
    (9.9e-7, "9.9e-7"),
    (1e-7, "1e-7"),
    (5e-324, "5e-324"),
    (-2.5e-9, "-2.5e-9"),
    (1.7976931348623157e308, "1.7976931348623157e+308"),
    (9223372036854775807.0, "9223372036854776000"),
]


@pytest.mark.parametrize(("value", "text"), FLOATS)
def test_floats(value, text):
    assert format_float(value) == text
    assert dumps(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_keep_their_value(value):
    assert struct.pack("d", float(format_float(value))) == struct.pack("d", value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_floats_that_json_lacks(value):
    with pytest.raises(ValueError, match="JSON has no number"):
        format_float(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "unexpected end of JSON input"),
        ("[1", "unexpected end of JSON input"),
        ('"abc', "unexpected end of JSON input"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a":1 2}', "invalid character '2' after object key:value pair"),
        ('{"a":[{"]":1}] 2}', "invalid character '2' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("nonsense", "invalid character 'o' in literal null (expecting 'u')"),
        ('{"a":tru}', "invalid character '}' in literal true (expecting 'e')"),
        ('{"a":nul', "invalid character ' ' in literal null (expecting 'l')"),
        ('{"a":1} x', "invalid character 'x' after top-level value"),
        ('"a\nb"', "invalid character '\\n' in string literal"),
        ('"\\x"', "invalid character 'x' in string escape code"),
        ("{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
        ('{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("\\", "invalid character '\\\\' looking for beginning of value"),
        ("\u00e9", "invalid character '\u00c3' looking for beginning of value"),
    ],
)
def test_syntax_errors_are_told_as_go_tells_them(text: str, said: str) -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads(text)
    assert syntax_error(caught.value) == said
