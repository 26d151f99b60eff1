"""Requests as etcd 2.3's client writes them, and replies as it reads them."""

from __future__ import annotations

import pytest

from coreos_py.base.errors import StoreError
from coreos_py.etcdclient import calls
from coreos_py.etcdclient.cluster import Endpoints, failure, redirected, shuffle_in_place
from coreos_py.etcdclient.errors import (
    ClusterUnavailable,
    EmptyBody,
    InvalidJSON,
    MembersError,
    NoEndpoints,
    UnexpectedStatus,
)
from coreos_py.http.client import TransportError
from coreos_py.http.reply import Reply
from coreos_py.http.url import parse_endpoint

NONE = "quorum=false&recursive=false&sorted=false"
CALLS = [
    (calls.get("/foo"), "GET", f"/v2/keys/foo?{NONE}", None),
    (calls.get("foo"), "GET", f"/v2/keys/foo?{NONE}", None),
    (calls.get("/"), "GET", f"/v2/keys/?{NONE}", None),
    (calls.get(""), "GET", f"/v2/keys?{NONE}", None),
    (calls.get("//a/./b/../c//"), "GET", f"/v2/keys/a/c/?{NONE}", None),
    (calls.get("../../x"), "GET", f"/v2/keys/x?{NONE}", None),
    (calls.get("a b/ü?#%"), "GET", f"/v2/keys/a%20b/%C3%BC%3F%23%25?{NONE}", None),
    (
        calls.get("/d", recursive=True, sort=True, quorum=True),
        "GET",
        "/v2/keys/d?quorum=true&recursive=true&sorted=true",
        None,
    ),
    (
        calls.wait("/w", wait_index=7, progress_s=30),
        "GET",
        "/v2/keys/w?progress=30&recursive=false&wait=true&waitIndex=7",
        None,
    ),
    (calls.wait("/w"), "GET", "/v2/keys/w?recursive=false&wait=true&waitIndex=0", None),
    (
        calls.wait("/w", wait_index=7, recursive=True),
        "GET",
        "/v2/keys/w?recursive=true&wait=true&waitIndex=7",
        None,
    ),
    (calls.put("/k", "v"), "PUT", "/v2/keys/k", b"value=v"),
    (calls.put("/k", "a b&ü\n"), "PUT", "/v2/keys/k", b"value=a+b%26%C3%BC%0A"),
    (calls.put("/k", ""), "PUT", "/v2/keys/k", b"value="),
    (calls.put("/k", "v", ttl_s=5), "PUT", "/v2/keys/k", b"ttl=5&value=v"),
    (calls.put("/k", "v", clear_ttl=True), "PUT", "/v2/keys/k", b"ttl=&value=v"),
    (calls.put("/k", "v", prev_exist=False), "PUT", "/v2/keys/k?prevExist=false", b"value=v"),
    (
        calls.put("/k", "v", prev_exist=True, prev_value="o", prev_index=3),
        "PUT",
        "/v2/keys/k?prevExist=true&prevIndex=3&prevValue=o",
        b"value=v",
    ),
    (
        calls.put("/d", is_dir=True, prev_exist=False, ttl_s=9),
        "PUT",
        "/v2/keys/d?dir=true&prevExist=false",
        b"ttl=9",
    ),
    (
        calls.put("/k", prev_exist=True, ttl_s=9, refresh=True),
        "PUT",
        "/v2/keys/k?prevExist=true",
        b"refresh=true&ttl=9&value=",
    ),
    (calls.create_in_order("/q", "v", ttl_s=1), "POST", "/v2/keys/q", b"ttl=1&value=v"),
    (calls.delete("/k"), "DELETE", "/v2/keys/k", None),
    (
        calls.delete("/k", prev_value="v", prev_index=2, is_dir=True, recursive=True),
        "DELETE",
        "/v2/keys/k?dir=true&prevIndex=2&prevValue=v&recursive=true",
        None,
    ),
    (calls.members(), "GET", "/v2/members", None),
    (calls.leader(), "GET", "/v2/members/leader", None),
    (calls.add_member(["http://p:1"]), "POST", "/v2/members", b'{"peerURLs":["http://p:1"]}'),
    (calls.update_member("a/b", []), "PUT", "/v2/members/a/b", b'{"peerURLs":[]}'),
    (calls.remove_member("abc"), "DELETE", "/v2/members/abc", None),
]


@pytest.mark.parametrize(("call", "method", "target", "body"), CALLS)
def test_call(call, method, target, body):
    assert (call.method, call.target, call.body) == (method, target, body)


def test_headers_of_calls():
    form = (("Content-Type", "application/x-www-form-urlencoded"),)
    assert calls.put("/k").headers == form
    assert calls.add_member([]).headers == (("Content-Type", "application/json"),)
    assert calls.basic_auth("root", "pä:") == ("Authorization", "Basic cm9vdDpww6Q6")


def reply(status, body, **headers):
    fields = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Reply(status, fields, body)


def test_read_result():
    body = (
        b'{"action":"set","node":{"key":"/d","dir":true,"nodes":[{"key":"/d/k","value":"v",'
        b'"expiration":"2026-01-02T03:04:05Z","ttl":7,"modifiedIndex":5,"createdIndex":4}],'
        b'"modifiedIndex":3,"createdIndex":2},"prevNode":{"key":"/d","value":"old"}}\n'
    )
    result = calls.read_result(reply(201, body, x_etcd_index="9", x_raft_index="12"))
    assert (result.action, result.etcd_index, result.raft_index, result.raft_term) == (
        "set",
        9,
        12,
        0,
    )
    node = result.node
    assert (node.key, node.dir, node.value, node.modified_index, node.created_index) == (
        "/d",
        True,
        "",
        3,
        2,
    )
    (child,) = node.nodes
    assert (child.key, child.value, child.ttl, child.expiration) == (
        "/d/k",
        "v",
        7,
        "2026-01-02T03:04:05Z",
    )
    assert result.prev_node is not None
    assert result.prev_node.value == "old"


ERRORS = [
    (404, b'{"errorCode":100,"message":"Key not found","cause":"/foo","index":45}',
     "100: Key not found (/foo) [45]"),
    (400, b'{"errorCode":209,"message":"Invalid field","cause":"x","index":0}',
     "209: Invalid field (x) [0]"),
    (400, b'{"errorCode":999,"message":"Odd","cause":"/x","index":1}', "999: Odd (/x) [1]"),
    (404, b'{"errorCode":100,"message":"Other words","index":1}', "100: Other words () [1]"),
    (400, b'{}', "0:  () [0]"),
    (400, b'{"errorCode":"x","message":7,"cause":null,"index":"y"}', "0:  () [0]"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "text"), ERRORS)
def test_store_errors(status, body, text):
    with pytest.raises(StoreError) as err:
        calls.read_result(reply(status, body))
    assert str(err.value) == text


@pytest.mark.parametrize("body", [b"x", b"[]", b"null", b"\xff", b'{"a"'])
@pytest.mark.parametrize("status", [200, 404])
def test_what_is_not_json(status, body):
    with pytest.raises(InvalidJSON):
        calls.read_result(reply(status, body))


def test_empty_body():
    with pytest.raises(EmptyBody):
        calls.read_result(reply(200, b""))


def test_members():
    body = b'{"members":[{"id":"a","name":"n","peerURLs":["p"],"clientURLs":null},{"id":"b"}]}'
    first, second = calls.read_members(reply(200, body))
    assert (first.id, first.name, first.peer_urls, first.client_urls) == ("a", "n", ("p",), ())
    assert (second.id, second.name) == ("b", "")
    assert calls.read_members(reply(200, b'{"members":null}')) == []
    with pytest.raises(UnexpectedStatus, match="unexpected status code 401"):
        calls.read_members(reply(401, b""))
    with pytest.raises(MembersError, match=r"^taken$"):
        calls.read_member(reply(409, b'{"message":"taken"}'), status=201)
    with pytest.raises(UnexpectedStatus, match="503"):
        calls.read_member(reply(503, b'{"message":"During election"}'), status=200)
    calls.check_removed(reply(410, b""))
    calls.check_updated(reply(204, b""))
    with pytest.raises(MembersError, match=r"^gone$"):
        calls.check_updated(reply(404, b'{"message":"gone"}'))


def keep_order(_items):
    """A shuffle that does not."""


def test_endpoints_are_tried_from_the_pinned_one_on():
    endpoints = Endpoints(["http://a:1", "http://b:1", "http://c:1"], shuffle=keep_order)
    a, b, c = endpoints.order()
    assert [a.text, b.text, c.text] == ["http://a:1", "http://b:1", "http://c:1"]
    endpoints.pin(b)
    assert endpoints.order() == [b, c, a]
    endpoints.replace(["http://c:1", "http://a:1", "http://b:1"])  # the same set: nothing changes
    assert endpoints.order() == [b, c, a]
    endpoints.replace(["http://d:1"])
    assert [e.text for e in endpoints.order()] == ["http://d:1"]
    with pytest.raises(NoEndpoints):
        endpoints.replace([])


def test_shuffle_keeps_all_and_reaches_every_order():
    seen = set()
    for _ in range(300):
        items = [parse_endpoint(f"http://{name}:1") for name in "abc"]
        shuffle_in_place(items)
        seen.add("".join(item.host for item in items))
    assert seen == {"abc", "acb", "bac", "bca", "cab", "cba"}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, None),
        (404, None),
        (500, "client: etcd member http://a:1 has no leader"),
        (503, "client: etcd member http://a:1 has no leader"),
        (502, "client: etcd member http://a:1 returns server error [Bad Gateway]"),
        (599, "client: etcd member http://a:1 returns server error []"),
    ],
)
def test_which_statuses_are_failures(status, expected):
    assert failure(parse_endpoint("http://a:1"), status) == expected


def test_redirects():
    here = parse_endpoint("http://a:1")
    assert redirected(here, reply(307, b"", location="/x?y")) == (here, "/x?y")
    there, target = redirected(here, reply(307, b"", location="https://b:2/x?y"))
    assert (there.text, target) == ("https://b:2", "/x?y")
    for location in ("", "nowhere", "http://"):
        with pytest.raises(TransportError, match=r"^Location header not "):
            redirected(here, reply(307, b"", location=location))


def test_detail_numbers_the_endpoints():
    error = ClusterUnavailable(["refused", "no leader"])
    assert str(error) == "client: etcd cluster is unavailable or misconfigured"
    assert error.detail() == "error #0: refused\nerror #1: no leader\n"
