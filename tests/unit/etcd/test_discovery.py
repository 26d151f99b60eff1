"""Discovery: the decisions as tables, and whole conversations with a service over a real store."""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreos_py.base.errors import StoreError
from coreos_py.etcd import discovery, discovery_client, replies
from coreos_py.etcd.discovery import JoinFailed, Listing, Refused, Registration, Roster
from coreos_py.etcd.discovery_client import Discovery, parse_discovery_proxy, parse_token
from coreos_py.http.client import TimedOut, TransportError
from coreos_py.http.reply import Reply
from coreos_py.store.store import Store

# -- decisions ------


def R(number, created_index, value=""):
    return Registration(number, value or f"n{number}=http://h{number}:1", created_index)


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("3", 3), ("+5", 5), ("007", 7), ("999999999", 999999999)]
)
def test_size(text, size):
    assert discovery.parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "-0", "abc", " 3", "3 ", "3.0", "٣", "1_0", "9" * 19]
)
def test_bad_size(text):
    with pytest.raises(discovery.BadSize, match="discovery: size key is bad"):
        discovery.parse_size(text)


def test_listing():
    found = discovery.listing(2, [R("c", 9), R("_config", 1), R("a", 7), R("b", 8)], etcd_index=9)
    assert found == Listing((R("a", 7), R("b", 8), R("c", 9)), 2, 9)
    assert found.chosen == (R("a", 7), R("b", 8))


# Registered ids in order, size, own id, and whether there is room for it.
ROOM = [
    ("", 1, "a", True),
    ("b", 1, "a", False),
    ("a", 1, "a", True),
    ("ab", 1, "a", True),
    ("ba", 1, "a", False),
    ("b", 2, "a", True),
    ("bc", 2, "a", False),
    ("bca", 3, "a", True),
    ("bcda", 3, "a", False),
    ("bcd", 3, "0", False),
    ("bc", 3, "0", True),
]


@pytest.mark.parametrize(("ids", "size", "own", "room"), ROOM)
def test_room(ids, size, own, room):
    found = Listing(tuple(R(number, at) for at, number in enumerate(ids)), size, 0)
    if room:
        discovery.check_room(found, own)
    else:
        with pytest.raises(discovery.ClusterFull, match="discovery: cluster is full") as caught:
            discovery.check_room(found, own)
        assert caught.value.listing is found


def test_roster():
    roster = Roster(Listing((R("b", 2), R("a", 3)), 3, 3), "a")
    assert roster.lines == ["found peer b in the cluster", "found self a in the cluster"]
    assert roster.missing == 1
    roster.learn("set", R("b", 2, "b=http://new:1"))
    assert (roster.lines, roster.missing) == ([], 1)
    roster.learn("delete", R("b", 2))
    assert (roster.lines, roster.missing) == ([], 2)
    roster.learn("expire", R("x", 2))
    roster.learn("create", R("d", 6))
    roster.learn("create", R("c", 5))
    assert (roster.lines, roster.missing) == (["found peer c in the cluster"], 0)
    assert roster.members == (R("a", 3), R("c", 5), R("d", 6))


def test_roster_counts_the_first_only():
    roster = Roster(Listing((R("a", 1), R("b", 2), R("c", 3)), 2, 3), "a")
    assert (roster.missing, roster.members) == (0, (R("a", 1), R("b", 2)))


CLUSTERS = [
    (["a=http://x:1", "b=http://y:1"], 2, {"a": ("http://x:1",), "b": ("http://y:1",)}),
    (["a=http://x:1,a=http://x:2"], 1, {"a": ("http://x:1", "http://x:2")}),
    (["a=http://x:1", "a=http://y:1"], 2, discovery.DuplicateName),
    (["a=http://x:1,b=http://y:1"], 1, discovery.DuplicateName),
    (["a=ftp://x:1"], 1, discovery.InvalidURL),
    (["nonsense"], 1, discovery.InvalidURL),
    ([""], 1, discovery.DuplicateName),
]


@pytest.mark.parametrize(("values", "size", "expected"), CLUSTERS)
def test_cluster(values, size, expected):
    members = [R(str(at), at, value or " ") for at, value in enumerate(values)]
    members = [member._replace(value=member.value.strip()) for member in members]
    if isinstance(expected, dict):
        assert discovery.to_urls_map(members, size=size) == expected
    else:
        with pytest.raises(expected, match=r"found duplicate name|invalid URL"):
            discovery.to_urls_map(members, size=size)


def test_retries():
    waits = [discovery.retry_s(attempt) for attempt in range(1, 20)]
    assert waits[:5] == [2, 4, 8, 16, 32]
    assert waits[-1] == waits[-2] == 4096


U = "http://d:1/t"
END = [
    ("I", f"discovery token {U} was used, but failed to bootstrap the cluster."),
    ("I", "please generate a new discovery token and try to bootstrap again."),
]
ADVICE = [
    (
        discovery.ClusterFull(Listing((), 1, 1)),
        [("E", "failed to join discovery cluster (discovery: cluster is full)"), *END],
    ),
    (
        StoreError(100, "/t", 5),
        [("E", "failed to join discovery cluster (100: Key not found (/t) [5])"), *END],
    ),
    (
        discovery.DuplicateID(),
        [
            ("E", f'member "n" has previously registered with discovery service token ({U}).'),
            (
                "E",
                "But etcd could not find valid cluster configuration in the given data dir (/d).",
            ),
            ("I", "Please check the given data dir path if the previous bootstrap succeeded"),
            ("I", "or use a new discovery token if the previous bootstrap failed."),
        ],
    ),
    (
        discovery.DuplicateName(),
        [
            (
                "E",
                f"member with duplicated name has registered with discovery service token({U}).",
            ),
            ("E", "please check (cURL) the discovery token for more information."),
            (
                "E",
                "please do not reuse the discovery token and generate a new one to bootstrap "
                "the cluster.",
            ),
        ],
    ),
]


@pytest.mark.parametrize(("reason", "lines"), ADVICE)
def test_advice(reason, lines):
    error = JoinFailed(reason)
    assert discovery.advice(error, url=U, name="n", data_dir="/d") == lines


TOKENS = [
    ("http://h:1/v2/keys/a", "http://h:1", "/v2/keys/a"),
    ("https://discovery.example/0123abcd", "https://discovery.example", "/0123abcd"),
    ("http://h:1", "http://h:1", ""),
    ("http://h:1//a/./b/../c/?x=y", "http://h:1", "/a/c"),
    ("http://h:1/a%20b", "http://h:1", "/a b"),
    ("HTTP://[::1]:7/a", "http://[::1]:7", "/a"),
]


@pytest.mark.parametrize(("url", "service", "path"), TOKENS)
def test_token(url, service, path):
    token = parse_token(url)
    assert (token.service.text, token.path) == (service, path)


@pytest.mark.parametrize(
    "url", ["foo", "ftp://h/a", "http://", "http://h:x/a", "unix:///a", "://h"]
)
def test_no_token(url):
    with pytest.raises(Refused, match="discovery: invalid URL"):
        parse_token(url)


def test_discovery_proxy(caplog):
    caplog.set_level(logging.INFO)
    assert parse_discovery_proxy("") is None
    proxy = parse_discovery_proxy("p:3128")
    assert proxy is not None
    assert proxy.endpoint.authority == "p:3128"
    assert caplog.messages == ['using proxy "http://p:3128"']
    with pytest.raises(Refused, match="invalid proxy address"):
        parse_discovery_proxy("socks5://p:1")


# -- conversations ------


class Service:
    """A discovery service over the project's own store, as far as the client needs it.

    `faults` are raised or returned in place of the nth answers; `done` lets a write happen first.
    """

    def __init__(self, size="", *members):
        self.store = Store()
        self.requests = []
        self.faults = {}
        self.slept = []
        if size:
            self.put("_config/size", size)
        for number, value in members:
            self.put(number, value)

    def put(self, key, value):
        self.store.set(f"/1/t/{key}", value=value, now_ns=0)

    async def sleep(self, delay_s):
        self.slept.append(delay_s)

    async def request(self, method, endpoint, target, *, headers, body, timeout_s):
        await asyncio.sleep(0)
        number = len(self.requests)
        self.requests.append((method, target) + ((unquote(body.decode()),) if body else ()))
        fault = self.faults.get(number)
        if isinstance(fault, tuple):
            await self._answer(method, target, body)
            fault = fault[0]
        if isinstance(fault, Exception):
            raise fault
        return fault if fault is not None else await self._answer(method, target, body)

    async def _answer(self, method, target, body):
        parts = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        path = f"/1{unquote(parts.path)}"
        try:
            if method == "PUT":
                value = parse_qs(body.decode())["value"][0]
                event = self.store.create(path, value=value, now_ns=0)
            elif query.get("wait") == "true":
                event = await self._wait(path, query)
            else:
                event = self.store.get(path, recursive=False, sort=False, now_ns=0)
        except StoreError as error:
            response = replies.store_error(error)
            return Reply(response.status, {}, response.body)
        index = str(self.store.index).encode()
        return Reply(200, {b"x-etcd-index": index}, event.to_json())

    async def _wait(self, path, query):
        watcher = self.store.watch(
            path,
            recursive=query["recursive"] == "true",
            since_index=int(query["waitIndex"]),
        )
        found = asyncio.get_running_loop().create_future()
        watcher.on_event(lambda event: found.done() or found.set_result(event))
        async with asyncio.timeout(60):
            return await found


def converse(service, own="a", value="na=http://ha:1", *, path="/t", events=()):
    """The outcome of joining (of looking on, without a value); `events` happen meanwhile."""

    async def main():
        token = parse_token(f"http://service:1{path}")
        it = Discovery(token, own, client=service, sleep=service.sleep)
        task = asyncio.ensure_future(it.join(value) if value else it.cluster())
        for event in events:
            for _ in range(30):
                await asyncio.sleep(0)
            event()
        async with asyncio.timeout(60):
            return await task

    return asyncio.run(main())


READ = "?quorum=false&recursive=false&sorted=false"
SIZE = ("GET", f"/t/_config/size{READ}")
LIST = ("GET", f"/t{READ}")
OWN = {"na": ("http://ha:1",)}


def test_alone(caplog):
    caplog.set_level(logging.INFO)
    service = Service("1")
    assert converse(service) == OWN
    assert service.requests == [
        SIZE,
        LIST,
        ("PUT", "/t/a?prevExist=false", "value=na=http://ha:1"),
        ("GET", "/t/a?recursive=false&wait=true&waitIndex=2"),
        SIZE,
        LIST,
    ]
    assert caplog.messages == ["found self a in the cluster", "found 1 needed peer(s)"]


def test_three(caplog):
    caplog.set_level(logging.INFO)
    service = Service("3", ("b", "nb=http://hb:1"))
    late = [lambda: service.put("c", "nc=http://hc:1,nc=http://hc:2")]
    assert converse(service, events=late) == {
        **OWN,
        "nb": ("http://hb:1",),
        "nc": ("http://hc:1", "http://hc:2"),
    }
    assert service.requests[-1] == ("GET", "/t?recursive=true&wait=true&waitIndex=4")
    assert caplog.messages == [
        "found peer b in the cluster",
        "found self a in the cluster",
        "found 2 peer(s), waiting for 1 more",
        "found peer c in the cluster",
        "found 3 needed peer(s)",
    ]


def test_full_before_we_register():
    service = Service("1", ("b", "nb=http://hb:1"))
    with pytest.raises(discovery.ClusterFull):
        converse(service)
    assert service.requests == [SIZE, LIST]


def test_full_because_others_were_faster():
    service = Service("1")
    answer = service._answer

    async def slow_put(method, target, body):
        if method == "PUT":
            service.put("b", "nb=http://hb:1")
        return await answer(method, target, body)

    service._answer = slow_put
    with pytest.raises(discovery.ClusterFull):
        converse(service)
    assert [request[0] for request in service.requests] == [
        "GET",
        "GET",
        "PUT",
        "GET",
        "GET",
        "GET",
    ]


NOT_FOUND = r"100: Key not found \(/t/_config\) \[2\]"
REFUSALS = [
    (Service, ("1", ("a", "na=http://ha:1")), discovery.DuplicateID, "found duplicate id"),
    (Service, ("2", ("b", "na=http://hb:1")), discovery.DuplicateName, "found duplicate name"),
    (Service, ("2", ("b", "nb=hb")), discovery.InvalidURL, "invalid URL"),
    (Service, ("x",), discovery.BadSize, "size key is bad"),
    (Service, ("0",), discovery.BadSize, "size key is bad"),
    (Service, ("", ("_config/size/x", "1")), discovery.BadSize, "size key is bad"),
    (Service, (), StoreError, r"100: Key not found \(/t\) \[0\]"),
    (Service, ("", ("_other", "x"), ("_more", "x")), StoreError, NOT_FOUND),
]


@pytest.mark.parametrize(("kind", "arguments", "error", "text"), REFUSALS)
def test_refusal(kind, arguments, error, text):
    with pytest.raises(error, match=text):
        converse(kind(*arguments))


def test_trouble_is_waited_out(caplog):
    caplog.set_level(logging.INFO)
    service = Service("2")
    full = Reply(503, {}, b"")
    service.faults = {
        0: TransportError("dial tcp 127.0.0.1:1: connect: connection refused"),
        2: TimedOut("i/o timeout"),
        9: full,
    }
    late = [lambda: None, lambda: service.put("b", "nb=http://hb:1")]
    assert converse(service, events=late) == {**OWN, "nb": ("http://hb:1",)}
    assert service.slept == [2, 4, 8]
    assert caplog.messages[:4] == [
        "error #0: dial tcp 127.0.0.1:1: connect: connection refused",
        "cluster status check: error connecting to http://service:1, retrying in 2s",
        "error #0: i/o timeout",
        "cluster status check: error connecting to http://service:1, retrying in 4s",
    ]
    assert "error #0: client: etcd member http://service:1 has no leader" in caplog.messages
    assert (
        "waiting for other nodes: error connecting to http://service:1, retrying in 8s"
        in caplog.messages
    )


@pytest.mark.parametrize("happened", [False, True])
def test_a_registration_nobody_confirmed(happened):
    service = Service("1")
    fault = TransportError("unexpected EOF")
    service.faults = {2: (fault,) if happened else fault}
    assert converse(service) == OWN
    assert service.slept == [2]


@pytest.mark.parametrize("value", ["na=http://ha:1", "other=http://x:1"])
def test_a_start_that_goes_on_where_an_earlier_one_ended(value):
    async def main():
        service = Service("1", ("a", value))
        it = Discovery(parse_token("http://service:1/t"), "a", client=service)
        return await it.join("na=http://ha:1", again=True)

    if value == "na=http://ha:1":
        assert asyncio.run(main()) == OWN
    else:
        with pytest.raises(discovery.DuplicateID):
            asyncio.run(main())


def test_somebody_else_took_our_id_meanwhile():
    service = Service("2")
    service.faults = {2: TransportError("EOF")}
    service.sleep = lambda _delay_s: _later(lambda: service.put("a", "other=http://x:1"))
    with pytest.raises(discovery.DuplicateID):
        converse(service)


async def _later(call):
    call()


def test_a_watch_that_ends_empty_is_asked_again():
    service = Service("2")
    service.faults = {6: Reply(200, {}, b"")}
    assert len(converse(service, events=[lambda: service.put("b", "nb=http://hb:1")])) == 2
    assert service.requests[6] == service.requests[7]
    assert service.slept == []


def test_a_watch_that_comes_too_late_lists_again():
    service = Service("2")
    gone = replies.store_error(StoreError(401, "the requested history has been cleared", 2000))
    service.faults = {6: Reply(400, {}, gone.body)}
    late = [lambda: service.put("b", "nb=http://hb:1")]
    assert len(converse(service, events=late)) == 2
    assert service.requests[7:9] == [SIZE, LIST]


def test_a_member_that_leaves_again():
    service = Service("3", ("b", "nb=http://hb:1"))
    late = [
        lambda: service.store.delete("/1/t/b", is_dir=False, recursive=False, now_ns=0),
        lambda: service.put("c", "nc=http://hc:1"),
        lambda: service.put("d", "nd=http://hd:1"),
    ]
    assert sorted(converse(service, events=late)) == ["na", "nc", "nd"]


SHAPES = [
    b"404 page not found\n",
    b"<html>",
    b"",
    b"[]",
    b"null",
    b"5",
    b'{"node":5}',
    b'{"node":{"value":5}}',
    b'{"node":{"value":"1","createdIndex":"x"}}',
    b'{"node":{"nodes":5}}',
    b'{"node":{"nodes":[5]}}',
    b'{"node":{"value":{}}}',
    b"\xff\xfe",
]


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("body", SHAPES)
def test_no_discovery_service(status, body):
    service = Service()
    service.faults = {0: Reply(status, {}, body)}
    with pytest.raises((discovery.BadEndpoint, StoreError)) as caught:
        converse(service)
    assert isinstance(caught.value, discovery.BadEndpoint) or status == 404


@given(st.binary(max_size=80), st.integers(0, 5), st.sampled_from([200, 201, 301, 400, 404]))
def test_any_answer(body, at, status):
    service = Service("1")
    service.faults = {at: Reply(status, {}, body)}
    try:
        found = converse(service)
    except (Refused, StoreError):
        return
    assert found == OWN


def test_redirects():
    service = Service("1")
    moved = {b"location": b"http://elsewhere:2/t/_config/size?quorum=true"}
    service.faults = {0: Reply(301, moved, b"")}
    assert converse(service) == OWN
    assert service.requests[1] == ("GET", "/t/_config/size?quorum=true")


def test_redirects_without_end():
    service = Service("1")
    again = Reply(307, {b"location": b"/t/x"}, b"")
    service.faults = dict.fromkeys(range(11), again)
    assert converse(service) == OWN
    assert service.slept == [2]


def test_looking_on():
    full = Service("1", ("b", "nb=http://hb:1"), ("c", "nc=http://hc:1"))
    assert converse(full, "0", "") == {"nb": ("http://hb:1",)}
    assert [request[0] for request in full.requests] == ["GET", "GET"]
    filling = Service("2", ("b", "nb=http://hb:1"))
    late = [lambda: filling.put("c", "nc=http://hc:1")]
    assert sorted(converse(filling, "0", "", events=late)) == ["nb", "nc"]


def test_join_says_why():
    with pytest.raises(JoinFailed) as caught:
        asyncio.run(discovery_client.join("foo", 10, "a=http://a:1", proxy=""))
    assert str(caught.value).startswith("failed to join discovery cluster (discovery: invalid URL ")
