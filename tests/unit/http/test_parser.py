"""The request parser: what it accepts, what it refuses, and that chunk borders never matter."""

from __future__ import annotations

import itertools

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreos_py.http.framing import ParseError
from coreos_py.http.parser import BodyTooLarge, RequestParser

HOST = b"Host: x\r\n"


def new_parser(*, body_limit=1000, head_max=4096):
    return RequestParser(lambda _request: body_limit, head_max, {})


def parse(pieces, **limits):
    """Everything a parser makes of these pieces: requests as tuples, then an error or nothing."""
    parser = new_parser(**limits)
    seen = []
    for piece in pieces:
        parser.feed(piece)
        try:
            while (request := parser.next()) is not None:
                seen.append(
                    (request.method, request.target, request.minor, parser.keep, request.body)
                )
                if not parser.keep:
                    return seen
        except ParseError as err:
            return [*seen, (err.status, err.text)]
        except BodyTooLarge as err:
            return [*seen, ("too large", err.request.method)]
    return seen


def one(data, *, method="GET", target=b"/", minor=1, keep=True, body=b""):
    return (data, (method, target, minor, keep, body))


GOOD = [
    one(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"),
    one(b"GET /v2/keys/a?b=c HTTP/1.1\r\n" + HOST + b"\r\n", target=b"/v2/keys/a?b=c"),
    one(b"GET /%20?%zz HTTP/1.1\r\n" + HOST + b"\r\n", target=b"/%20?%zz"),
    one("GET /é HTTP/1.1\r\n".encode() + HOST + b"\r\n", target="/é".encode()),
    one(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", method="OPTIONS", target=b"*"),
    one(b"GET http://h/p HTTP/1.1\r\n" + HOST + b"\r\n", target=b"http://h/p"),
    one(b"QUUX / HTTP/1.1\r\n" + HOST + b"\r\n", method="QUUX"),
    one(b"\r\n\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n"),
    one(b"GET / HTTP/1.0\r\n\r\n", minor=0, keep=False),
    one(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", minor=0),
    one(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", keep=False),
    one(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: foo, Close\r\n\r\n", keep=False),
    one(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
    one(b"GET / HTTP/1.1\r\n" + HOST + b"Empty:\r\nX: \t a \t\r\n\r\n"),
    one(
        b"PUT /k HTTP/1.1\r\n" + HOST + b"Content-Length: 7\r\n\r\nvalue=1",
        method="PUT",
        target=b"/k",
        body=b"value=1",
    ),
    one(
        b"PUT /k HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nab",
        method="PUT",
        target=b"/k",
        body=b"ab",
    ),
    one(b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n", method="PUT"),
    one(
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\nA;ext=1\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
        method="POST",
        body=b"abc0123456789",
    ),
    one(
        b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n",
        method="POST",
    ),
]

BAD = [
    (b"GET /\r\n\r\n", 400),
    (b"GET / HTTP/1.1 x\r\n\r\n", 400),
    (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"G ET / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"G\x80T / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    (b"GET / HTTQ/1.1\r\n" + HOST + b"\r\n", 400),
    (b"GET foo HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"GET /a\x01 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"GET /%zz HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"GET /% HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"GET / HTTP/1.1\nHost: x\n\n", 400),
    (b"GET / HTTP/1.1\r\nHost: x\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + b"no colon\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + b"bad name: x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + b": x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + b" folded: x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + b"X: \x00\r\n\r\n", 400),
    (b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n", 400),
    (b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\n", 400),
    (b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 1_0\r\n\r\n", 400),
    (b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: \r\n\r\n", 400),
    (b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 2\r\n\r\n", 400),
    (b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    (
        b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    (b"PUT / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    (b"PUT / HTTP/1.1\r\n" + HOST + b"Expect: 200-maybe\r\n\r\n", 417),
    (b"\x16\x03\x01\x02\x00\x01\x00", 400),
]

CHUNKED = b"PUT / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
BAD_CHUNKS = [
    b"x\r\n",
    b"-1\r\n",
    b"+1\r\n",
    b"0x1\r\n",
    b"1_0\r\n",
    b"\r\n",
    b" 1\r\na\r\n",
    b"1\na\r\n",
    b"1\r\nab\r\n",
    b"1\r\na\n",
    b"1;\x00\r\na\r\n",
    b"0\r\nno colon\r\n\r\n",
    b"f" * 16 + b"\r\n",
    b"1" + b";" * 5000,
]


@pytest.mark.parametrize(("data", "expected"), GOOD)
def test_good_request(data, expected):
    assert parse([data]) == [expected]
    assert parse([bytes([b]) for b in data]) == [expected]
    for cut in range(1, len(data)):
        assert parse([data[:cut], data[cut:]]) == [expected]


@pytest.mark.parametrize(("data", "expected"), GOOD)
def test_garbage_behind_a_good_request_is_refused_after_it(data, expected):
    wanted = [expected] if not expected[3] else [expected, (400, "")]
    assert parse([data + b"\x00garbage"]) == wanted


@pytest.mark.parametrize(("data", "status"), BAD)
def test_bad_request(data, status):
    assert [item[0] for item in parse([data])] == [status]
    assert [item[0] for item in parse([bytes([b]) for b in data])] == [status]


@pytest.mark.parametrize("body", BAD_CHUNKS)
def test_bad_chunk(body):
    assert parse([CHUNKED + body]) == [(400, "")]
    assert parse([CHUNKED, *(bytes([b]) for b in body)]) == [(400, "")]


def test_pipelined_requests_come_out_in_order():
    data = b"".join(item[0] for item in GOOD if item[1][3])
    expected = [item[1] for item in GOOD if item[1][3]]
    assert parse([data]) == expected
    assert parse([bytes([b]) for b in data]) == expected


@pytest.mark.parametrize(
    ("data", "limits", "expected"),
    [
        (b"GET /" + b"a" * 5000, {}, [(431, "")]),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 5000 + b"\r\n\r\n", {}, [(431, "")]),
        (b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", {}, [("too large", "PUT")]),
        (CHUNKED + b"3e9\r\n", {}, [("too large", "PUT")]),
        (CHUNKED + b"1\r\na\r\n1\r\nb\r\n", {"body_limit": 1}, [("too large", "PUT")]),
    ],
)
def test_limits(data, limits, expected):
    assert parse([data], **limits) == expected


def test_repeated_fields_are_joined_but_for_credentials():
    parser = new_parser()
    parser.feed(b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\nx: b\r\n")
    parser.feed(b"Authorization: Basic YQ==\r\nauthorization: Basic Yg==\r\n\r\n")
    request = parser.next()
    assert (request.get("X"), request.get("Authorization")) == ("a, b", "Basic YQ==")


def test_a_repeated_header_block_is_parsed_once_and_still_right():
    heads = {}
    for target in (b"/a", b"/b"):
        parser = RequestParser(lambda _request: 10, 4096, heads)
        parser.feed(b"PUT " + target + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nz")
        request = parser.next()
        assert (request.target, request.body, request.get("Host")) == (target, b"z", "x")
    assert len(heads) == 1


def test_the_cache_of_header_blocks_is_bounded():
    heads = {}
    parser = RequestParser(lambda _request: 10, 4096, heads)
    for i in range(2000):
        parser.feed(b"GET / HTTP/1.1\r\nHost: %d\r\n\r\n" % i)
        assert parser.next() is not None
    assert len(heads) <= 512


def test_expect_asks_for_100_only_while_the_body_is_missing():
    head = b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    parser = new_parser()
    parser.feed(head)
    assert parser.next() is None
    assert parser.want_continue
    parser.feed(b"a")
    assert parser.next() is None
    assert not parser.want_continue
    parser = new_parser()
    parser.feed(head + b"ab")
    assert parser.next().body == b"ab"
    assert not parser.want_continue


def test_path_and_query_are_split_and_kept_raw():
    parser = new_parser()
    parser.feed(b"GET http://h:1/a%2Fb%20\xff?x=%20&y?z HTTP/1.1\r\nHost: h\r\n\r\n")
    request = parser.next()
    assert request.path == "/a%2Fb%20\udcff"
    assert request.query == "x=%20&y?z"


METHODS = st.sampled_from([b"GET", b"PUT", b"POST", b"DELETE"])
NAMES = st.from_regex(rb"\A[A-Za-z][A-Za-z0-9-]{0,10}\Z")
VALUES = st.from_regex(rb"\A[!-~]([ -~]{0,20}[!-~])?\Z")


FRAMING = {
    b"content-length",
    b"transfer-encoding",
    b"expect",
    b"host",
    b"connection",
    b"upgrade",
}


@st.composite
def wire_requests(draw):
    """A valid request as bytes."""
    fields = draw(st.lists(st.tuples(NAMES, VALUES), max_size=4))
    fields = [(n, v) for n, v in fields if n.lower() not in FRAMING]
    pieces = draw(st.lists(st.binary(min_size=1, max_size=30), max_size=4))
    body = b"".join(pieces)
    lines = [b"Host: x"] + [n + b": " + v for n, v in fields]
    if draw(st.booleans()):
        lines.append(b"Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"
    elif body:
        lines.append(b"Content-Length: %d" % len(body))
    head = draw(METHODS) + b" /" + draw(st.from_regex(rb"\A[a-z0-9/?=&]{0,20}\Z")) + b" HTTP/1.1"
    return b"\r\n".join([head, *lines, b"", b""]) + body


def cut(data, cuts):
    edges = sorted({0, len(data), *(c % (len(data) + 1) for c in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(st.lists(wire_requests(), min_size=1, max_size=3), st.lists(st.integers(0, 5000)))
def test_any_cutting_gives_the_same_requests(requests, cuts):
    data = b"".join(requests)
    assert parse(cut(data, cuts)) == parse([data])
    assert len(parse([data])) == len(requests)


@given(wire_requests())
def test_agrees_with_h11(data):
    parser = new_parser()
    parser.feed(data)
    ours = parser.next()
    oracle = h11.Connection(h11.SERVER)
    oracle.receive_data(data)
    event = oracle.next_event()
    body = b""
    while not isinstance(piece := oracle.next_event(), h11.EndOfMessage):
        body += bytes(piece.data)
    assert (ours.method.encode(), ours.target, ours.body) == (event.method, event.target, body)
    theirs: dict[bytes, bytes] = {}
    for name, value in event.headers:
        key = bytes(name)
        theirs[key] = theirs[key] + b", " + bytes(value) if key in theirs else bytes(value)
    assert ours.headers == theirs


@given(wire_requests(), st.integers(0, 400), st.binary(max_size=3), st.lists(st.integers(0, 500)))
def test_damaged_requests_never_escape_as_other_errors(data, at, junk, cuts):
    at %= len(data)
    damaged = data[:at] + junk + data[at + 1 :]
    assert parse(cut(damaged, cuts)) == parse([damaged])


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=3))
def test_noise_never_escapes_as_other_errors(data, cuts):
    parse(cut(data, cuts))
