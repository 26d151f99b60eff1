"""Parsing of /v2/keys requests: parameters, error codes, and the order in which errors win."""

from __future__ import annotations

import pytest

from coreos_py.base.errors import StoreError
from coreos_py.etcd import keys_request
from coreos_py.etcd.pb import Request

FORM = "application/x-www-form-urlencoded"
NOW = 1_700_000_000_000_000_000
S = 1_000_000_000


def parse(method, path="/v2/keys/foo", *, query=b"", body=b"", content_type=FORM):
    return keys_request.parse(
        method, path, query=query, content_type=content_type.encode(), body=body, now_ns=NOW
    )


ACCEPTED = [
    (("GET",), {}),
    (("PUT", {"body": b"value=bar"}), {"val": "bar"}),
    (("PUT", {"body": b"value=a+b%26c%ff"}), {"val": "a b&c\udcff"}),
    (("PUT", {"body": b"value=a=b"}), {"val": "a=b"}),
    (("PUT", {"body": b"value"}), {"val": ""}),
    (("PUT", {"body": b"value=b", "query": b"value=q"}), {"val": "b"}),
    (("PUT", {"body": b"value=1&value=2"}), {"val": "1"}),
    (("PUT", {"body": b"value=x", "content_type": "application/json"}), {"val": ""}),
    (("PUT", {"body": b"value=x", "content_type": "multipart/form-data"}), {"val": ""}),
    (("PUT", {"body": b"value=x", "content_type": ""}), {"val": ""}),
    (("PUT", {"body": b"value=x", "content_type": FORM + "; charset=utf-8"}), {"val": "x"}),
    (("PUT", {"body": b"value=x", "content_type": FORM.title()}), {"val": "x"}),
    (("PUT", {"body": b"value=x", "content_type": FORM + ";"}), {"val": "x"}),
    (("PUT", {"query": b"value=x", "content_type": ""}), {"val": "x"}),
    (("DELETE", {"body": b"prevValue=zzz"}), {}),
    (("GET", {"body": b"recursive=true"}), {}),
    (("GET", {"query": b"recursive=true&sorted=1"}), {"recursive": True, "sorted": True}),
    (
        ("GET", {"query": b"wait=t&waitIndex=7&stream=T"}),
        {"wait": True, "since": 7, "stream": True},
    ),
    (("GET", {"query": b"quorum=TRUE&wait=False"}), {"quorum": True}),
    (("GET", {"query": b"unknown=1&recursive=0"}), {}),
    (("PUT", {"query": b"dir=true"}), {"dir": True}),
    (("PUT", {"query": b"prevExist=false"}), {"prev_exist": False}),
    (("PUT", {"query": b"prevIndex=0&prevValue=x"}), {"prev_value": "x"}),
    (("PUT", {"query": b"prevIndex=18446744073709551615"}), {"prev_index": (1 << 64) - 1}),
    (("PUT", {"query": b"prevIndex=000000000000000000000000000012"}), {"prev_index": 12}),
    (("PUT", {"query": b"ttl="}), {}),
    (("PUT", {"query": b"ttl=0"}), {"expiration": NOW}),
    (("PUT", {"query": b"ttl=5"}), {"expiration": NOW + 5 * S}),
    (("PUT", {"query": b"refresh=true&ttl=5"}), {"refresh": True, "expiration": NOW + 5 * S}),
    (
        ("PUT", {"query": b"refresh=true&ttl=5&value="}),
        {"refresh": True, "expiration": NOW + 5 * S},
    ),
    (("PUT", {"query": b"refresh=false"}), {"refresh": False}),
]


@pytest.mark.parametrize(("call", "want"), ACCEPTED)
def test_accepted(call, want):
    method, *rest = call
    got = parse(method, **(rest[0] if rest else {}))
    assert got == Request(method=method, path="/1/foo")._replace(**want)


@pytest.mark.parametrize(
    ("query", "body", "quiet"),
    [
        (b"noValueOnSuccess=true", b"value=x", True),
        (b"", b"value=x&noValueOnSuccess=1", True),
        (b"noValueOnSuccess=false", b"value=x", False),
        (b"noValueOnSuccess=junk", b"value=x", False),
        (b"prevExist=true", b"value=x", False),
    ],
)
def test_no_value_on_success(query, body, quiet):
    got = keys_request.parse(
        "PUT",
        "/v2/keys/foo",
        query=query,
        content_type=FORM.encode(),
        body=body,
        now_ns=NOW,
        request_id=7,
    )
    assert isinstance(got, keys_request.QuietRequest) is quiet
    assert (got.id, got.val) == (7, "x")


def test_huge_ttl_wraps_like_int64():
    # etcd 2.3.8: ttl=99999999999 ends in the past and so means "no TTL" to the store.
    assert parse("PUT", query=b"ttl=99999999999").expiration < NOW
    assert -(1 << 63) <= parse("PUT", query=b"ttl=18446744073709551615").expiration < 1 << 63


REFUSED = [
    ("PUT", {"body": b"value=%zz"}, 210, 'invalid URL escape "%zz"'),
    ("PUT", {"body": b"a=%41%4"}, 210, 'invalid URL escape "%4"'),
    ("GET", {"query": b"x=1;y=2"}, 210, "invalid semicolon separator in query"),
    ("PUT", {"body": b"value=a;b"}, 210, "invalid semicolon separator in query"),
    ("PUT", {"query": b"v=%zz&w=1;2"}, 210, "invalid semicolon separator in query"),
    ("PUT", {"body": b"v=%zz;", "query": b"%"}, 210, "invalid semicolon separator in query"),
    (
        "PUT",
        {"body": b"x", "content_type": "foo bar"},
        210,
        "mime: expected slash after first token",
    ),
    ("PUT", {"body": b"x", "content_type": "a/"}, 210, "mime: expected token after slash"),
    (
        "PUT",
        {"body": b"x", "content_type": "a/b c"},
        210,
        "mime: unexpected content after media subtype",
    ),
    ("PUT", {"body": b"x", "content_type": ";"}, 210, "mime: no media type"),
    (
        "PUT",
        {"body": b"x", "content_type": FORM + ";charset"},
        210,
        "mime: invalid media parameter",
    ),
    ("PUT", {"body": b"v" * (keys_request.MAX_FORM_BYTES + 1)}, 210, "http: POST too large"),
    ("GET", {"query": b"prevIndex=x"}, 203, 'invalid value for "prevIndex"'),
    ("GET", {"query": b"prevIndex="}, 203, 'invalid value for "prevIndex"'),
    ("GET", {"query": b"prevIndex=-1"}, 203, 'invalid value for "prevIndex"'),
    ("GET", {"query": b"prevIndex=18446744073709551616"}, 203, 'invalid value for "prevIndex"'),
    ("GET", {"query": "prevIndex=\u0661".encode()}, 203, 'invalid value for "prevIndex"'),
    ("GET", {"query": b"waitIndex=1_0"}, 203, 'invalid value for "waitIndex"'),
    ("GET", {"query": b"recursive="}, 209, 'invalid value for "recursive"'),
    ("GET", {"query": b"sorted=yes"}, 209, 'invalid value for "sorted"'),
    ("GET", {"query": b"wait=2"}, 209, 'invalid value for "wait"'),
    ("GET", {"query": b"dir=on"}, 209, 'invalid value for "dir"'),
    ("GET", {"query": b"quorum=tRUE"}, 209, 'invalid value for "quorum"'),
    ("GET", {"query": b"stream=x"}, 209, 'invalid value for "stream"'),
    ("HEAD", {"query": b"wait=true"}, 209, '"wait" can only be used with GET requests'),
    ("PUT", {"query": b"prevValue="}, 201, '"prevValue" cannot be empty'),
    ("PUT", {"query": b"ttl=abc"}, 202, 'invalid value for "ttl"'),
    ("PUT", {"query": b"ttl=-1"}, 202, 'invalid value for "ttl"'),
    ("PUT", {"query": b"prevExist="}, 209, "invalid value for prevExist"),
    ("PUT", {"query": b"refresh=x"}, 209, "invalid value for refresh"),
    ("PUT", {"query": b"refresh=true"}, 212, "No TTL value set"),
    ("PUT", {"query": b"refresh=true&value=x"}, 211, "A value was provided on a refresh"),
    # the earlier check wins
    ("PUT", {"query": b"waitIndex=x&prevIndex=x"}, 203, 'invalid value for "prevIndex"'),
    ("PUT", {"query": b"wait=true&prevValue="}, 209, '"wait" can only be used with GET requests'),
    ("PUT", {"query": b"noValueOnSuccess=&prevValue="}, 201, '"prevValue" cannot be empty'),
    ("PUT", {"query": b"noValueOnSuccess=&ttl=x"}, 202, 'invalid value for "ttl"'),
    ("PUT", {"query": b"ttl=x&prevExist=x"}, 202, 'invalid value for "ttl"'),
    ("PUT", {"query": b"dir=x&recursive=x"}, 209, 'invalid value for "recursive"'),
]


@pytest.mark.parametrize(("method", "what", "code", "cause"), REFUSED)
def test_refused(method, what, code, cause):
    with pytest.raises(StoreError) as caught:
        parse(method, **what)
    assert (caught.value.code, caught.value.cause, caught.value.index) == (code, cause, 0)


@pytest.mark.parametrize(
    ("path", "want"),
    [("/v2/keys", "/1"), ("/v2/keys/", "/1"), ("/v2/keys/a/", "/1/a"), ("/v2/keys/a b", "/1/a b")],
)
def test_store_path(path, want):
    assert parse("GET", path).path == want


@pytest.mark.parametrize(
    ("path", "want"),
    [
        ("/v2/keys/a", "/v2/keys/a"),
        ("//dbl//slash/", "/dbl/slash/"),
        ("/a/../b", "/b"),
        ("/a/./b/", "/a/b/"),
        ("/../..", "/"),
        ("/..a/.b", "/..a/.b"),
        ("", "/"),
        ("/a/..", "/"),
        ("/a/../", "/"),
    ],
)
def test_clean_path(path, want):
    assert keys_request.clean_path(path) == want
    assert keys_request.is_clean(path) is (path == want)


def test_unescape_path():
    assert keys_request.unescape_path(b"/a%20b/c%2Fd%ff") == "/a b/c/d\udcff"
