"""Page tokens and pages, by tables; the texts are those of Go's decoder."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreos_py.fleet import schema
from coreos_py.fleet.schema import BadRequest, PageToken


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (PageToken(100, 2), "ZAACAA=="),
        (PageToken(1, 1), "AQABAA=="),
        (PageToken(65535, 65535), "_____w=="),
        (PageToken(250, 250), "-gD6AA=="),
    ],
)
def test_tokens(token, text):
    assert token.encode() == text
    assert schema.decode_token(text) == token


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "EOF"),
        ("AA==", "unexpected EOF"),
        ("=", "illegal base64 data at input byte 0"),
        ("A", "illegal base64 data at input byte 0"),
        ("A=", "illegal base64 data at input byte 1"),
        ("AA=", "illegal base64 data at input byte 3"),
        ("AA=A", "illegal base64 data at input byte 2"),
        ("AA==A", "illegal base64 data at input byte 4"),
        ("AAA=A", "illegal base64 data at input byte 4"),
        ("AAAAA", "illegal base64 data at input byte 4"),
        ("AAAA=", "illegal base64 data at input byte 4"),
        ("A+A=", "illegal base64 data at input byte 1"),
        ("bogus", "illegal base64 data at input byte 4"),
        ("\xe4", "illegal base64 data at input byte 0"),
        ("ZAACAA=", "illegal base64 data at input byte 7"),
    ],
)
def test_tokens_that_are_none(text, problem):
    with pytest.raises(BadRequest) as caught:
        schema.decode_token(text)
    assert str(caught.value) == problem


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_tokens_survive(limit, page):
    token = PageToken(limit, page)
    assert schema.decode_token(token.encode()) == token


@given(st.text(max_size=12))
def test_any_text_is_a_token_or_refused(text):
    try:
        token = schema.decode_token(text)
    except BadRequest:
        return
    assert len(token) == 2


@pytest.mark.parametrize(
    ("total", "page", "shown", "following"),
    [
        (0, 1, [], False),
        (2, 1, [0, 1], False),
        (3, 1, [0, 1, 2], True),
        (3, 2, [], False),
        (4, 1, [0, 1, 2], True),
        (4, 2, [3], False),
        (4, 9, [], False),
        # 1.0.0 counts in 16 bits and would wrap here.
        (100_000, 30_000, [89_997, 89_998, 89_999], True),
    ],
)
def test_pages(total, page, shown, following):
    items = [str(number) for number in range(total)]
    found = json.loads(schema.page(items, PageToken(3, page), key="units"))
    assert found.get("units", []) == shown
    expected = PageToken(3, page + 1).encode() if following else None
    assert found.get("nextPageToken") == expected


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "EOF"),
        (b" ", "EOF"),
        (b"{", "unexpected EOF"),
        (b'{"name":"a', "unexpected EOF"),
        (b"tru", "unexpected EOF"),
        (b'{"a":}', "invalid character '}' looking for beginning of value"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b"{1:2}", "invalid character '1' looking for beginning of object key string"),
        (b"[]", "json: cannot unmarshal array into Go value of type schema.Unit"),
        (b"true", "json: cannot unmarshal bool into Go value of type schema.Unit"),
    ],
)
def test_bodies_that_are_none(body, problem):
    with pytest.raises(BadRequest) as caught:
        schema.read_unit(body)
    assert str(caught.value) == problem


def test_names_in_any_case_and_what_follows_is_ignored():
    body = (
        b'{"NAME":"a","DesiredState":"loaded","options":[{"Section":"S","nAme":"N","VALUE":"v"}]}x'
    )
    assert schema.read_unit(body) == ("a", "loaded", (("S", "N", "v"),))
    assert schema.read_unit(b"null") == ("", "", ())


@given(st.binary(max_size=60))
def test_any_bytes_are_a_body_or_refused(body):
    for read in (schema.read_unit, schema.read_metadata_ops):
        with contextlib.suppress(BadRequest):
            assert read(body) is not None
