"""The discovery service's decisions, as tables."""

from __future__ import annotations

import pytest

from coreos_py.discovery import page, routes, standing
from coreos_py.discovery.hosturl import BadURL, host_only
from coreos_py.discovery.limiter import CLIENTS_MAX, Limiter, client_of
from coreos_py.discovery.metrics import Metrics
from coreos_py.discovery.routes import BadSize, Route
from coreos_py.discovery.standing import Member, Standing
from coreos_py.etcdclient.model import Node
from coreos_py.http import accesslog

T = "0123456789abcdef0123456789abcdef"

ROUTES = [
    ("GET", "/new", Route(routes.NEW)),
    ("DELETE", "/new", Route(routes.NEW)),
    ("HEAD", "/new", Route(routes.NEW)),
    ("GET", "/new/", Route(routes.NOT_FOUND)),
    ("GET", "/", Route(routes.HOME)),
    ("PUT", "/health", Route(routes.HEALTH)),
    ("POST", "/robots.txt", Route(routes.ROBOTS)),
    ("GET", "/metrics", Route(routes.METRICS)),
    ("GET", "/metrics/", Route(routes.NOT_FOUND)),
    ("GET", f"/{T}", Route(routes.TOKEN, T)),
    ("PUT", f"/{T}/", Route(routes.TOKEN, T)),
    ("DELETE", f"/{T}", Route(routes.NOT_ALLOWED)),
    ("HEAD", f"/{T}", Route(routes.NOT_ALLOWED)),
    ("POST", f"/{T}/m", Route(routes.NOT_ALLOWED)),
    ("DELETE", f"/{T}/m", Route(routes.MEMBER, T, "m")),
    ("GET", f"/{T}/_config", Route(routes.MEMBER, T, "_config")),
    ("GET", f"/{T}/_config/size", Route(routes.SIZE, T)),
    ("PUT", f"/{T}/_config/size", Route(routes.NOT_ALLOWED)),
    ("GET", f"/{T}/m%20x", Route(routes.MEMBER, T, "m x")),
    ("GET", f"/{T}/m%2Fx", Route(routes.NOT_FOUND)),
    ("GET", f"/{T}/m/", Route(routes.NOT_FOUND)),
    ("GET", f"/{T}/a/b", Route(routes.NOT_FOUND)),
    ("GET", f"/{T[:-1]}", Route(routes.NOT_FOUND)),
    ("GET", f"/{T}0", Route(routes.NOT_FOUND)),
    ("GET", f"/{T.upper()}", Route(routes.NOT_FOUND)),
    ("GET", f"/{T}\n", Route(routes.NOT_FOUND)),
    ("GET", f"/{T}/../x", Route(routes.REDIRECT, location="/x")),
    (
        "GET",
        f"/{T}/%2e%2e/%2e%2e/v2/keys/secret",
        Route(routes.REDIRECT, location="/v2/keys/secret"),
    ),
    ("GET", "//robots.txt", Route(routes.REDIRECT, location="/robots.txt")),
    ("GET", "/v2/keys/", Route(routes.NOT_FOUND)),
]


@pytest.mark.parametrize(("method", "path", "expected"), ROUTES)
def test_routes(method, path, expected):
    assert routes.route(method, path) == expected


def test_the_key_of_a_route():
    assert Route(routes.TOKEN, T).key == f"/{T}"
    assert Route(routes.MEMBER, T, "m").key == f"/{T}/m"
    assert Route(routes.SIZE, T).key == f"/{T}/_config/size"


FORM = "application/x-www-form-urlencoded"
SIZES = [
    # method, query, content type, body, the size or the problem
    ("GET", "", "", b"", 3),
    ("GET", "size=", "", b"", 3),
    ("GET", "size=5", "", b"", 5),
    ("GET", "size=%31", "", b"", 1),
    ("GET", "size=5&size=7", "", b"", 5),
    ("PUT", "size=5", FORM, b"size=7", 7),
    ("POST", "size=5", f"{FORM}; charset=utf-8", b"size=7", 7),
    ("POST", "size=5", FORM, b"size=", 3),
    ("POST", "size=5", FORM, b"size=%zz", 5),
    ("DELETE", "size=5", FORM, b"size=7", 5),
    ("GET", "size", "", b"", 3),
    ("GET", "size=%zz", "", b"", 3),
    ("GET", "size=%zz&size=5", "", b"", 5),
    ("GET", "%zz=1&size=5", "", b"", 5),
    ("GET", "size=5;x", "", b"", 3),
    ("GET", "&&size=5&", "", b"", 5),
    ("GET", "size=5", FORM, b"size=7", 5),
    ("PUT", "size=5", "text/plain", b"size=7", 5),
    ("GET", "size=1000", "", b"", 1000),
    ("GET", "size=%2b4", "", b"", 4),
    ("GET", "size=abc", "", b"", 'strconv.Atoi: parsing "abc": invalid syntax'),
    ("GET", "size=+4", "", b"", 'strconv.Atoi: parsing " 4": invalid syntax'),
    ("GET", "size=-", "", b"", 'strconv.Atoi: parsing "-": invalid syntax'),
    ("GET", "size=1_0", "", b"", 'strconv.Atoi: parsing "1_0": invalid syntax'),
    ("GET", 'size="', "", b"", 'strconv.Atoi: parsing "\\"": invalid syntax'),
    ("GET", f"size={9**21}", "", b"", f'strconv.Atoi: parsing "{9**21}": value out of range'),
    ("GET", "size=0", "", b"", "size must be at least 1, not 0"),
    ("GET", "size=-1", "", b"", "size must be at least 1, not -1"),
]


@pytest.mark.parametrize(("method", "query", "kind", "body", "expected"), SIZES)
def test_sizes(method, query, kind, body, expected):
    try:
        found = routes.requested_size(method, query, content_type=kind, body=body)
    except BadSize as error:
        found = str(error)
    assert found == expected


def test_a_size_beyond_the_limit():
    with pytest.raises(BadSize, match="size must be at most 9, not 10"):
        routes.requested_size("GET", "size=10", content_type="", body=b"", size_max=9)


URLS = [
    ("http://a:1", "http://a:1"),
    (" https://d.example/ ", "https://d.example"),
    ("http://[::1]:80", "http://[::1]:80"),
    ("http://a/b", "Expected url without path (/b)"),
    ("nohost", "Expected url without path (nohost)"),
    ("http://a?x", "Expected url without query (?x)"),
    ("http://a#f", "Expected url without fragment (f)"),
    ("http://", "Expected hostname (none given)"),
    ("", "Expected hostname (none given)"),
    ("http://a:b", 'Invalid url given: parse "http://a:b": invalid port ":b" after host'),
]


@pytest.mark.parametrize(("text", "expected"), URLS)
def test_urls_of_hosts_only(text, expected):
    try:
        found = host_only(text)
    except BadURL as error:
        found = str(error)
    assert found == expected


def test_so_many_a_minute_and_then_one_by_one():
    limiter = Limiter(3)
    assert [limiter.wait_s("a", 100.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert limiter.wait_s("a", 100.0) == pytest.approx(20.0)
    assert limiter.wait_s("b", 100.0) == 0.0
    assert limiter.wait_s("a", 110.0) == pytest.approx(10.0)
    assert limiter.wait_s("a", 120.0) == 0.0
    assert limiter.wait_s("a", 120.0) == pytest.approx(20.0)
    assert [limiter.wait_s("a", 1000.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert limiter.wait_s("a", 1000.0) > 0


def test_no_limit_keeps_nothing():
    limiter = Limiter(0)
    assert {limiter.wait_s("a", 0.0) for _ in range(1000)} == {0.0}
    assert limiter._empty_until == {}


def test_memory_of_clients_is_bounded():
    limiter = Limiter(1)
    for at in range(CLIENTS_MAX + 50):
        assert limiter.wait_s(str(at), 0.0) == 0.0
    assert len(limiter._empty_until) <= CLIENTS_MAX
    assert limiter.wait_s(str(CLIENTS_MAX + 49), 0.0) > 0  # the newest are remembered


CLIENTS = [
    ("10.0.0.1:99", "", "10.0.0.1"),
    ("[::1]:99", "", "::/64"),
    ("[2001:db8:1:2:3:4:5:6]:1", "", "2001:db8:1:2::/64"),
    ("[::ffff:10.0.0.1]:1", "", "10.0.0.1"),
    ("[fe80::1%eth0]:1", "", "fe80::/64"),
    ("10.0.0.1:99", "8.8.8.8, 9.9.9.9", "9.9.9.9"),
    ("", "", ""),
]


@pytest.mark.parametrize(("peer", "forwarded", "expected"), CLIENTS)
def test_clients(peer, forwarded, expected):
    assert client_of(peer, forwarded_for=forwarded) == expected


def node(key, value="", index=0, nodes=()):
    return Node(
        {
            "key": key,
            "value": value,
            "createdIndex": index,
            "nodes": [
                {"key": k, "value": v, "createdIndex": i, "dir": v is None} for k, v, i in nodes
            ],
        }
    )


def test_the_order_of_registration_counts():
    found = standing.read(
        node("/x/_config/size", "2"),
        node("/x", nodes=[("/x/b", "b=2", 9), ("/x/a", "a=1", 7), ("/x/c", "c=3", 8)]),
    )
    assert [member.id for member in found.members] == ["a", "c", "b"]
    assert [member.id for member in found.chosen] == ["a", "c"]
    assert found.full
    assert (found.place("b"), found.place("nobody")) == (2, -1)


def test_a_size_that_is_no_number():
    with pytest.raises(ValueError, match="many"):
        standing.read(node("/x/_config/size", "many"), node("/x"))


AGAIN = [
    # size, registered, who asks, with what, welcome
    (3, ["a"], "a", "a=1", True),
    (3, ["a", "b"], "b", "b=1", True),
    (3, ["a"], "a", "a=2", False),  # another member under this ID
    (3, ["a"], "b", "b=1", False),  # was never there
    (2, ["a", "b"], "a", "a=1", False),  # the cluster exists: this one has lost its data
    (1, ["a"], "a", "a=1", False),
    (0, [], "a", "a=1", False),
]


@pytest.mark.parametrize(("size", "ids", "member", "value", "welcome"), AGAIN)
def test_who_may_register_again(size, ids, member, value, welcome):
    members = tuple(Member(name, f"{name}=1", at) for at, name in enumerate(ids))
    assert Standing(size, members).may_register_again(member, value) is welcome


def test_the_page_escapes_what_others_wrote():
    evil = Member("<i>", '"><script>alert(1)</script>=http://a&b', 1)
    text = page.render("http://d/x", Standing(2, (evil,)))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "1 of 2 members have registered" in text
    assert 'http-equiv="refresh"' in text


def test_the_page_of_a_full_token():
    members = tuple(
        Member(f"id{at}", f"m{at}=http://h{at}:1,m{at}=http://h{at}:2", at) for at in range(3)
    )
    text = page.render("http://d/x", Standing(2, members))
    assert "complete: all 2 members have registered" in text
    assert "http-equiv" not in text
    assert "http://h0:1 http://h0:2" in text
    assert text.count("too late") == 1


def test_metrics_page():
    metrics = Metrics()
    metrics.count("new", 200, "GET")
    metrics.count("new", 200, "GET")
    metrics.count("token", 412, 'P"T')
    lines = metrics.text().splitlines()
    assert 'endpoint_new_requests_total{code="200",method="GET"} 2' in lines
    assert 'endpoint_token_requests_total{code="412",method="P\\"T"} 1' in lines
    assert "# TYPE endpoint_health_requests_total counter" in lines


def test_access_log_line():
    when = accesslog.stamp(2026, 11, 2, "03:11:26", offset_s=-5400)
    assert when == "02/Nov/2026:03:11:26 -0130"
    text = accesslog.line(
        "[::1]:4", when, method="GET", target='/a"\x1b\udcff', version="1.1", status=200, size=5
    )
    assert text == f'::1 - - [{when}] "GET /a\\"\\x1b\\xff HTTP/1.1" 200 5'
