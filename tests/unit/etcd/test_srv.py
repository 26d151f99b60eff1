"""SRV records: the message reader, the resolver, and what is made of the answers."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreos_py.base.errors import CoreosError
from coreos_py.etcd import dns, dns_wire, srv, srv_bootstrap
from coreos_py.etcd.dns import LookupFailed, Resolver, parse_resolv_conf, system_resolver
from coreos_py.etcd.dns_wire import SRV, DNSError
from tests.support.dns_server import DNSServer, encode_name, encode_reply, encode_srv
from tests.support.procs import free_ports

NAME = "_etcd-server._tcp.example.com"
QUERY = dns_wire.encode_query(7, NAME)

# -- the wire ------


def test_query():
    assert QUERY == (
        b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
        b"\x0c_etcd-server\x04_tcp\x07example\x03com\x00\x00\x21\x00\x01"
    )
    assert dns_wire.encode_query(7, NAME + ".") == QUERY


@pytest.mark.parametrize(
    "name",
    ["", ".", "a..b", ".a", "a" * 64, ".".join(["a" * 63] * 4), "a b", "a/b", "bücher.de", "a\0b"],
)
def test_no_domain_name(name):
    with pytest.raises(DNSError, match="invalid domain name"):
        dns_wire.encode_name(name)


def _cname(owner, target):
    data = encode_name(target)
    return encode_name(owner) + struct.pack("!HHIH", 5, 1, 60, len(data)) + data


def _other(kind=1, family=1, data=b"\x7f\0\0\1"):
    return b"\xc0\x0c" + struct.pack("!HHIH", kind, family, 60, len(data)) + data


ONE = SRV(1, 2, 2380, "a.example.com")
# Answer records and the SRV records that are found among them.
ANSWERS = [
    ([], []),
    ([encode_srv((1, 2, 2380, "a.example.com"))], [ONE]),
    ([encode_srv((1, 2, 2380, "A.Example.COM."))], [ONE]),
    ([encode_srv((0, 0, 0, "."))], [SRV(0, 0, 0, "")]),
    ([_other(), encode_srv((1, 2, 2380, "a.example.com"))], [ONE]),
    ([_other(33, 3, b"\0" * 7)], []),
    ([encode_srv((1, 2, 2380, "a.example.com"), owner=encode_name("evil.example"))], []),
    (
        [
            _cname(NAME, "x.example"),
            _cname("x.example", "y.example"),
            encode_srv((1, 2, 2380, "a.example.com"), owner=encode_name("Y.example")),
        ],
        [ONE],
    ),
    ([_cname(NAME, NAME), encode_srv((1, 2, 2380, "a.example.com"))], [ONE]),
]


@pytest.mark.parametrize(("records", "found"), ANSWERS)
def test_answer(records, found):
    answer = dns_wire.parse_answer(encode_reply(QUERY, records), 7, NAME)
    assert answer is not None
    assert (answer.code, answer.truncated, answer.records) == (0, False, found)


def test_compressed_target():
    target = b"\x01a\xc0\x1e"  # a. + the question's example.com
    data = struct.pack("!HHH", 1, 2, 2380) + target
    record = b"\xc0\x0c" + struct.pack("!HHIH", 33, 1, 60, len(data)) + data
    answer = dns_wire.parse_answer(encode_reply(QUERY, [record]), 7, NAME)
    assert answer is not None
    assert answer.records == [ONE]


OTHERS = {
    "another number": encode_reply(b"\0\x08" + QUERY[2:], []),
    "a question": QUERY,
    "another name": encode_reply(dns_wire.encode_query(7, "_x._tcp.example.com"), []),
    "another type": encode_reply(QUERY[:-4] + b"\0\x01\0\x01", []),
    "another class": encode_reply(QUERY[:-4] + b"\0\x21\0\x03", []),
    "a status reply": encode_reply(QUERY, [], flags=0x9180),
}


@pytest.mark.parametrize("case", OTHERS)
def test_not_our_answer(case):
    assert dns_wire.parse_answer(OTHERS[case], 7, NAME) is None


def test_refusals_and_truncation():
    refused = dns_wire.parse_answer(encode_reply(QUERY, [], flags=0x8185), 7, NAME)
    assert refused is not None
    assert (refused.code, refused.truncated) == (5, False)
    bare = dns_wire.parse_answer(struct.pack("!HHHHHH", 7, 0x8181, 0, 0, 0, 0), 7, NAME)
    assert bare is not None
    assert bare.code == 1
    cut = encode_reply(QUERY, [b"\xff" * 9], flags=0x8380)
    truncated = dns_wire.parse_answer(cut, 7, NAME)
    assert truncated is not None
    assert truncated.truncated


GOOD = encode_reply(QUERY, [encode_srv((1, 2, 2380, "a.example.com"))])
DAMAGED = {
    "empty": b"",
    "header cut": GOOD[:11],
    "no question": struct.pack("!HHHHHH", 7, 0x8180, 0, 1, 0, 0),
    "name points at itself": encode_reply(QUERY, [b"\xc0\x2f" + b"\0" * 10]),
    "name points forward": encode_reply(QUERY, [b"\xc0\xff" + b"\0" * 10]),
    "label type": encode_reply(QUERY, [b"\x80" + b"\0" * 10]),
    "record longer than the message": encode_reply(
        QUERY, [b"\xc0\x0c" + struct.pack("!HHIH", 33, 1, 60, 999) + b"\0" * 7]
    ),
    "SRV too short": encode_reply(QUERY, [_other(33, 1, b"\0" * 6)]),
    "target longer than its record": encode_reply(
        QUERY, [_other(33, 1, b"\0" * 6 + b"\x05abc"), b"de\0"]
    ),
    "target shorter than its record": encode_reply(QUERY, [_other(33, 1, b"\0" * 8)]),
    "a slash in a label": encode_reply(QUERY, [encode_srv((0, 0, 1, "a/b"))]),
    "fewer records than announced": GOOD[:7] + b"\x02" + GOOD[8:],
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged(case):
    with pytest.raises(DNSError):
        dns_wire.parse_answer(DAMAGED[case], 7, NAME)


@pytest.mark.parametrize("size", range(len(GOOD)))
def test_cut_anywhere(size):
    with pytest.raises(DNSError):
        dns_wire.parse_answer(GOOD[:size], 7, NAME)


@given(st.binary(max_size=600))
def test_any_bytes_after_the_question(tail):
    for count in (1, 9, 65535):
        data = struct.pack("!HHHHHH", 7, 0x8180, 1, count, 0, 0) + QUERY[12:] + tail
        try:
            answer = dns_wire.parse_answer(data, 7, NAME)
        except DNSError:
            continue
        assert answer is not None
        assert len(answer.records) * 7 <= len(tail)


@given(st.binary(max_size=300))
def test_any_bytes(data):
    try:
        answer = dns_wire.parse_answer(data, 7, NAME)
    except DNSError:
        return
    assert answer is None or not answer.records or NAME[:5].encode() in data.lower()


@given(st.data())
def test_one_byte_changed(data):
    where = data.draw(st.integers(0, len(GOOD) - 1))
    byte = data.draw(st.integers(0, 255))
    with contextlib.suppress(DNSError):
        dns_wire.parse_answer(GOOD[:where] + bytes([byte]) + GOOD[where + 1 :], 7, NAME)


# -- resolv.conf ------

CONFS = [
    ("", {"servers": (("127.0.0.1", 53), ("::1", 53)), "search": (), "ndots": 1}),
    ("nameserver 10.0.0.1\n", {"servers": (("10.0.0.1", 53),)}),
    (
        "# x\n; y\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver 10.0.0.3\n"
        "nameserver 10.0.0.4\n",
        {"servers": (("10.0.0.1", 53), ("fe80::1%eth0", 53), ("10.0.0.3", 53))},
    ),
    (
        "nameserver [127.0.0.1]:5353\nnameserver [::1]\nnameserver [::1]x\nnameserver name\n"
        "nameserver [::1]:0\nnameserver\n",
        {"servers": (("127.0.0.1", 5353), ("::1", 53))},
    ),
    ("search a.b c.\ndomain d e\n", {"search": ("d",)}),
    ("domain d\nsearch a.b c.\n", {"search": ("a.b", "c.")}),
    ("options ndots:3 timeout:2 attempts:4\n", {"ndots": 3, "timeout_s": 2, "attempts": 4}),
    ("options ndots:99 timeout:0 attempts:-1\n", {"ndots": 15, "timeout_s": 1, "attempts": 2}),
    ("options timeout:999 attempts:999\n", {"timeout_s": 30, "attempts": 5}),
]


@pytest.mark.parametrize(("text", "expected"), CONFS)
def test_resolv_conf(text, expected):
    found = parse_resolv_conf(text)
    assert {key: getattr(found, key) for key in expected} == expected


def test_resolv_conf_elsewhere(tmp_path):
    (tmp_path / "conf").write_text("nameserver 10.9.9.9\n")
    environ = {dns.VARIABLE: str(tmp_path / "conf")}
    assert system_resolver(environ).servers == (("10.9.9.9", 53),)
    environ = {dns.VARIABLE: str(tmp_path / "none")}
    with pytest.raises(CoreosError, match=r"COREOS_RESOLV_CONF: .*none: No such file"):
        system_resolver(environ)


@pytest.mark.parametrize(
    ("name", "ndots", "expected"),
    [
        ("a.b", 1, ["a.b.", "a.b.x.y.", "a.b.z."]),
        ("a.b", 2, ["a.b.x.y.", "a.b.z.", "a.b."]),
        ("a.b.", 9, ["a.b."]),
    ],
)
def test_candidates(name, ndots, expected):
    resolver = Resolver((), search=("x.y", "z.", "."), ndots=ndots)
    assert resolver.candidates(name) == expected


# -- asking ------

RECORDS = {
    "_etcd-server._tcp.example.com": [(10, 5, 2381, "c"), (10, 9, 2382, "b"), (0, 0, 2380, "a.")]
}


def _resolver(*servers, timeout_s=30.0, **kwargs):
    where = tuple(("127.0.0.1", server.port) for server in servers)
    return Resolver(where, timeout_s=timeout_s, **kwargs)


@pytest.mark.parametrize("truncate", [False, True], ids=["udp", "tcp"])
def test_lookup(truncate):
    with DNSServer(RECORDS, truncate=truncate) as server:
        found = _resolver(server).lookup_srv("etcd-server", "example.com")
    assert [(record.target, record.port) for record in found] == [
        ("a", 2380),
        ("b", 2382),
        ("c", 2381),
    ]


def test_many_records_need_tcp():
    many = [(0, 0, port, f"host-{port}.example.com") for port in range(1, 1501)]
    with DNSServer({"_s._tcp.x": many}, truncate=True) as server:
        found = _resolver(server).lookup_srv("s", "x")
    assert len(found) == 1500


def test_search_list():
    with DNSServer(RECORDS) as server:
        found = _resolver(server, search=("com",)).lookup_srv("etcd-server", "example")
    assert len(found) == 3
    assert server.asked == ["_etcd-server._tcp.example", "_etcd-server._tcp.example.com"]


FAILURES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {}, "no such host"),
    ({"_s._tcp.x": []}, {}, "no such host"),
    ({}, {"code": 2}, "server misbehaving"),
    ({}, {"code": 5}, "server misbehaving"),
    ({}, {"silent": True}, "i/o timeout"),
]


@pytest.mark.parametrize(("records", "manners", "reason"), FAILURES)
def test_lookup_fails(records, manners, reason):
    timeout_s = 0.3 if manners.get("silent") else 30
    with DNSServer(records, **manners) as server, pytest.raises(LookupFailed) as caught:
        _resolver(server, timeout_s=timeout_s, attempts=1, search=("com",)).lookup_srv("s", "x")
    assert str(caught.value) == f"lookup _s._tcp.x on 127.0.0.1:{server.port}: {reason}"


def test_nobody_listens():
    (port,) = free_ports(1)
    with pytest.raises(LookupFailed, match=f"on 127.0.0.1:{port}: connection refused"):
        Resolver((("127.0.0.1", port),), timeout_s=30).lookup_srv("s", "x")


def test_the_next_server_is_asked():
    broken, dead = DNSServer({}, code=2), DNSServer({}, silent=True)
    with broken, dead, DNSServer(RECORDS) as server:
        resolver = _resolver(broken, dead, server, timeout_s=2)
        assert len(resolver.lookup_srv("etcd-server", "example.com")) == 3


def test_a_bad_domain_is_named():
    with DNSServer({}) as server, pytest.raises(LookupFailed) as caught:
        _resolver(server).lookup_srv("s", "a b")
    assert str(caught.value) == "lookup _s._tcp.a b: invalid domain name"
    assert server.asked == []


# -- clients ------


def test_client_endpoints():
    records = {
        "_etcd-client-ssl._tcp.example.com": [(0, 0, 2379, "s.example.com")],
        "_etcd-client._tcp.example.com": [(0, 0, 2379, "p.example.com."), (0, 0, 0, ".")],
    }
    with DNSServer(records) as server:
        found = srv.client_endpoints("example.com", _resolver(server))
    assert found == ["https://s.example.com:2379", "http://p.example.com:2379"]


def test_one_client_service_is_enough():
    with DNSServer({"_etcd-client._tcp.x": [(0, 0, 1, "p")]}) as server:
        assert srv.client_endpoints("x", _resolver(server)) == ["http://p:1"]


def test_no_client_service():
    with DNSServer({}) as server, pytest.raises(CoreosError) as caught:
        srv.client_endpoints("x", _resolver(server))
    where = f"on 127.0.0.1:{server.port}: no such host"
    assert str(caught.value) == (
        f"dns lookup errors: lookup _etcd-client-ssl._tcp.x {where} and "
        f"lookup _etcd-client._tcp.x {where}"
    )


# -- founding members ------

PLACES = {"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3", "10.0.0.1": "10.0.0.1"}


def _resolve(host, port):
    if host not in PLACES:
        raise OSError(host)
    return PLACES[host], port


SSL, PLAIN = "_etcd-server-ssl._tcp.x", "_etcd-server._tcp.x"
A, B, C = ((0, 0, 2380, host) for host in "abc")
# Records, own peer URLs, and the cluster they make.
CLUSTERS = [
    ({PLAIN: [A, B, C]}, ["http://b:2380"], "0=http://a:2380,me=http://b:2380,1=http://c:2380"),
    ({PLAIN: [A, B]}, ["http://10.0.0.1:2380"], "me=http://a:2380,0=http://b:2380"),
    ({PLAIN: [A, B]}, ["http://a:2381"], "0=http://a:2380,1=http://b:2380"),
    ({SSL: [A, B]}, ["https://a:2380"], "me=https://a:2380,0=https://b:2380"),
    ({SSL: [A], PLAIN: [B]}, ["http://b:2380"], "0=https://a:2380,me=http://b:2380"),
    ({PLAIN: [A, (0, 0, 2380, "lost")]}, ["http://a:2380"], "me=http://a:2380"),
    ({PLAIN: [(0, 0, 0, ".")]}, ["http://a:2380"], ""),
]


@pytest.mark.parametrize(("records", "own", "expected"), CLUSTERS)
def test_initial_cluster(records, own, expected):
    with DNSServer(records) as server:
        found = srv_bootstrap.initial_cluster(
            "x", _resolver(server), name="me", peer_urls=own, resolve=_resolve
        )
    assert found == expected


def test_no_founding_member(caplog):
    with DNSServer({}) as server, pytest.raises(CoreosError) as caught:
        srv_bootstrap.initial_cluster(
            "x", _resolver(server), name="me", peer_urls=["http://a:1"], resolve=_resolve
        )
    where = f"on 127.0.0.1:{server.port}: no such host"
    assert str(caught.value) == f"lookup _etcd-server._tcp.x {where}"
    assert [record.getMessage() for record in caplog.records] == [
        f"error querying DNS SRV records for _etcd-server-ssl lookup {SSL} {where}",
        f"error querying DNS SRV records for _etcd-server lookup {PLAIN} {where}",
        "SRV discovery failed: too many errors querying DNS SRV records",
    ]


def test_own_url_must_resolve():
    with DNSServer({}) as server, pytest.raises(CoreosError, match="lookup lost: no such host"):
        srv_bootstrap.initial_cluster(
            "x", _resolver(server), name="me", peer_urls=["http://lost:1"], resolve=_resolve
        )
    assert server.asked == []


def test_addresses():
    assert srv_bootstrap.first_address("localhost", 7) == ("127.0.0.1", 7)
    assert srv_bootstrap.first_address("127.0.0.9", 7) == ("127.0.0.9", 7)
    for host in ("", "a" * 300):
        with pytest.raises(OSError, match=r"no host"):
            srv_bootstrap.first_address(host, 7)
