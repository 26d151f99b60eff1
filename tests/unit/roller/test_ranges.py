"""Which bytes of a file a request gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreos_py.roller.ranges import Part, Validators, select

KNOWN = Validators('"abc"', 1_700_000_000)
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
EARLIER = "Tue, 14 Nov 2023 22:13:19 GMT"
LATER = "Tue, 14 Nov 2023 22:13:21 GMT"


def _headers(**headers):
    return lambda name: headers.get(name, "")


RANGES = [
    ("", (200, 0, 1000)),
    ("bytes=0-", (206, 0, 1000)),
    ("bytes=0-0", (206, 0, 1)),
    ("bytes=0-1108", (206, 0, 1000)),
    ("bytes=999-", (206, 999, 1)),
    ("bytes=10-19", (206, 10, 10)),
    ("Bytes = 10-19", (206, 10, 10)),
    ("bytes=-1", (206, 999, 1)),
    ("bytes=-5000", (206, 0, 1000)),
    ("bytes=-0", (416, 0, 0)),
    ("bytes=1000-", (416, 0, 0)),
    ("bytes=1000-1001", (416, 0, 0)),
    ("bytes=" + "9" * 5000 + "-", (416, 0, 0)),
    ("bytes=" + "0" * 5000 + "7-", (206, 7, 993)),
    ("bytes=-" + "9" * 50, (206, 0, 1000)),
    ("bytes=0-" + "9" * 50, (206, 0, 1000)),
    ("bytes=20-10", (200, 0, 1000)),
    ("bytes=a-b", (200, 0, 1000)),
    ("bytes=", (200, 0, 1000)),
    ("bytes=-", (200, 0, 1000)),
    ("lines=0-1", (200, 0, 1000)),
    ("bytes=0-1,4-5", (200, 0, 1000)),
    ("bytes=\u0661-\u0662", (200, 0, 1000)),
]


@pytest.mark.parametrize(("asked", "expected"), RANGES)
def test_range(asked, expected):
    assert select(_headers(Range=asked), 1000, KNOWN) == Part(*expected)


CONDITIONS = [
    ({"If-Range": '"abc"'}, 206),
    ({"If-Range": '"other"'}, 200),
    ({"If-Range": 'W/"abc"'}, 200),
    ({"If-Range": DATE}, 206),
    ({"If-Range": EARLIER}, 200),
    ({"If-Range": LATER}, 200),
    ({"If-Range": "nonsense"}, 200),
    ({"If-None-Match": '"abc"'}, 304),
    ({"If-None-Match": 'W/"abc"'}, 304),
    ({"If-None-Match": "*"}, 304),
    ({"If-None-Match": '"x", "abc"'}, 304),
    ({"If-None-Match": '"x"'}, 206),
    ({"If-None-Match": '"x"', "If-Modified-Since": DATE}, 206),
    ({"If-Modified-Since": DATE}, 304),
    ({"If-Modified-Since": LATER}, 304),
    ({"If-Modified-Since": EARLIER}, 206),
    ({"If-Modified-Since": "nonsense"}, 206),
    ({"If-Match": '"abc"'}, 206),
    ({"If-Match": "*"}, 206),
    ({"If-Match": '"x"'}, 412),
    ({"If-Match": 'W/"abc"'}, 412),
    ({"If-Unmodified-Since": DATE}, 206),
    ({"If-Unmodified-Since": EARLIER}, 412),
]


@pytest.mark.parametrize(("headers", "status"), CONDITIONS)
def test_conditions(headers, status):
    headers = {"Range": "bytes=0-9", **headers}
    assert select(lambda name: headers.get(name, ""), 1000, KNOWN).status == status


def test_an_empty_file_has_no_range():
    assert select(_headers(Range="bytes=0-"), 0, KNOWN) == Part(416)
    assert select(_headers(Range="bytes=-5"), 0, KNOWN) == Part(416)
    assert select(_headers(), 0, KNOWN) == Part(200, 0, 0)


def test_the_date_of_a_file():
    assert KNOWN.last_modified == DATE


@given(st.text(), st.integers(0, 1 << 50))
def test_any_header_gets_bytes_that_are_there(text, size):
    part = select(lambda name: text, size, KNOWN)
    assert part.status in (200, 206, 304, 412, 416)
    assert 0 <= part.start <= part.start + part.length <= size


@given(st.integers(0, 2000), st.integers(0, 2000), st.integers(0, 1500))
def test_a_range_is_what_slicing_gives(first, length, size):
    data = bytes(index % 251 for index in range(size))
    part = select(_headers(Range=f"bytes={first}-{first + length}"), size, KNOWN)
    wanted = data[first : first + length + 1]
    assert data[part.start : part.start + part.length] == wanted
    assert part.status == (206 if wanted else 416)
