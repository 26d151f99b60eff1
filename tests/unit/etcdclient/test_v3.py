"""etcd 3's JSON gateway without a server: what is sent, what replies mean, where calls go."""

from __future__ import annotations

import json

import pytest

from coreos_py.base.errors import StoreError
from coreos_py.etcdclient import v3map
from coreos_py.etcdclient.errors import ClusterUnavailable, InvalidJSON
from coreos_py.etcdclient.v3talk import Leases, Talk
from coreos_py.etcdclient.v3watch import Watch
from coreos_py.etcdclient.v3wire import GatewayError, Lines, NoGateway, Rpc, b64, read_reply, unb64
from coreos_py.http.client import TimedOut, TransportError
from coreos_py.http.reply import Reply


def reply(data, status=200):
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    return Reply(status, {}, body)


# -- the wire


@pytest.mark.parametrize("text", ["", "a", "/a/b", "ü☃", "\udcff", "x" * 100])
def test_bytes(text):
    assert unb64(b64(text)) == text


def test_standard_base64_with_padding():
    assert b64("/a?>~") == "L2E/Pn4="
    assert unb64(None) == ""
    with pytest.raises(InvalidJSON):
        unb64("a")


V1 = {"error": "etcdserver: requested lease not found", "code": 5}
V1 = {**V1, "message": V1["error"]}
V2 = {"code": 5, "message": "etcdserver: requested lease not found", "details": []}
STREAMED_V1 = {
    "error": {
        "grpc_code": 14,
        "http_code": 503,
        "message": "etcdserver: no leader",
        "http_status": "Service Unavailable",
    }
}
STREAMED_V2 = {"error": {"code": 14, "message": "etcdserver: no leader", "details": []}}


@pytest.mark.parametrize(
    ("data", "status", "code", "message"),
    [
        (V1, 404, 5, "etcdserver: requested lease not found"),
        (V2, 404, 5, "etcdserver: requested lease not found"),
        ({"error": "x", "code": 3}, 400, 3, "x"),
        ({"error": "context deadline exceeded", "code": 2}, 500, 2, "context deadline exceeded"),
        ({}, 500, 2, "no reason given"),
    ],
)
def test_errors_of_both_gateways(data, status, code, message):
    with pytest.raises(GatewayError) as caught:
        read_reply(reply(data, status))
    assert (caught.value.code, caught.value.message) == (code, message)


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (7, "etcdserver: permission denied", 110),
        (3, "etcdserver: user name is empty", 110),
        (16, "etcdserver: invalid auth token", 110),
        (3, "etcdserver: authentication failed, invalid user ID or password", 110),
        (8, "etcdserver: mvcc: database space exceeded", 111),
        (8, "etcdserver: too many requests", None),
        (14, "etcdserver: no leader", None),
    ],
)
def test_what_the_users_of_v2_know(code, message, expected):
    error = GatewayError(code, message)
    found = error.translated()
    if expected is None:
        assert found is error
    else:
        assert isinstance(found, StoreError)
        assert (found.code, found.cause) == (expected, message)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"404 page not found\n", NoGateway),
        (b"Not Found", NoGateway),
        (b'{"code":5,"message":"Not Found","details":[]}', NoGateway),
        (b"[]", InvalidJSON),
    ],
)
def test_no_gateway(body, error):
    with pytest.raises(error):
        read_reply(reply(body, 404))


def test_lines_come_in_any_pieces():
    text = b'{"result":{"created":true}}\n{"result":{"events":[]}}\n\n{"result":{}}\n'
    for size in range(1, len(text)):
        lines, found = Lines(), []
        for start in range(0, len(text), size):
            found += lines.feed(text[start : start + size])
        lines.end()
        assert found == [{"created": True}, {"events": []}, {}]


@pytest.mark.parametrize("last", [STREAMED_V1, STREAMED_V2])
def test_the_last_line_may_lack_its_end(last):
    lines = Lines()
    text = json.dumps(last).encode()
    assert lines.feed(text) == []
    with pytest.raises(GatewayError) as caught:
        lines.end()
    assert (caught.value.code, caught.value.elsewhere) == (14, True)
    with pytest.raises(InvalidJSON):
        Lines().feed(b"nonsense\n")


# -- the primitives


def play(plan, *replies):
    """The calls of a plan, and what it ends in."""
    calls = [next(plan)]
    for at, data in enumerate(replies, 1):
        try:
            call = plan.send(data)
        except StopIteration as end:
            assert at == len(replies)
            return calls, end.value
        calls.append(call)
    raise AssertionError(f"{calls[-1]} was not answered")


def kv(key, value="v", mod=5, **more):
    number = {"create_revision": "3", "mod_revision": str(mod), "version": "1"}
    return {"key": b64(key), "value": b64(value), **number, **more}


def ranges(*found, revision=9):
    responses = [{"response_range": {"kvs": list(kvs)} if kvs else {}} for kvs in found]
    return {"header": {"revision": str(revision)}, "succeeded": True, "responses": responses}


def test_a_key_with_time_left():
    leased = kv("/a", lease="7587848390000000001")
    calls, result = play(v3map.get("a", quorum=True), ranges([leased], []), {"TTL": "12"})
    assert [call.path for call in calls] == ["/kv/txn", "/kv/lease/timetolive"]
    first, second = [item["request_range"] for item in calls[0].body["success"]]
    assert first == {"key": b64("/a")}
    assert (second["key"], second["range_end"]) == (b64("/a/"), b64("/a0"))
    assert calls[1].body == {"ID": "7587848390000000001"}
    assert (result.node.value, result.node.ttl, result.etcd_index) == ("v", 12, 9)


def test_reading_from_the_member_at_hand():
    (call,), _ = play(v3map.get("/a"), ranges([kv("/a")], []))
    assert all(item["request_range"]["serializable"] for item in call.body["success"])


def test_a_directory_in_pages():
    page = ranges([], [kv("/d/a")])
    page["responses"][1]["response_range"]["more"] = True
    calls, result = play(v3map.get("/d"), page, {"kvs": [kv("/d/b")]})
    assert calls[1].path == "/kv/range"
    assert (calls[1].body["key"], calls[1].body["revision"]) == (b64("/d/a\0"), 9)
    assert [node.key for node in result.node.nodes] == ["/d/a", "/d/b"]


def tree(*keys):
    _, result = play(v3map.get("/", recursive=True), ranges([], [kv(key) for key in keys]))

    def names(node):
        return {child.key: names(child) if child.dir else "." for child in node.nodes}

    return names(result.node)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([], {}),
        (["/a"], {"/a": "."}),
        # Bytes sort "-" before "/"; names sort as names do.
        (["/a-b/c", "/a/b"], {"/a": {"/a/b": "."}, "/a-b": {"/a-b/c": "."}}),
        (["/_hidden", "/a/_b/c", "/a/d"], {"/a": {"/a/d": "."}}),
        # A key that is a directory as well is shown as a key.
        (["/a", "/a/b"], {"/a": "."}),
        # Others mark directories so; names of nothing are nobody's.
        (["/m/", "/n//o"], {"/m": {}}),
    ],
)
def test_directories_are_what_the_slashes_say(keys, expected):
    assert tree(*keys) == expected


@pytest.mark.parametrize(
    ("options", "targets", "action", "repeatable"),
    [
        ({}, [], "set", True),
        ({"prev_exist": True}, [("CREATE", "GREATER")], "update", False),
        ({"prev_exist": False}, [("CREATE", "EQUAL")], "create", False),
        ({"prev_value": "x"}, [("VALUE", None)], "compareAndSwap", False),
        ({"prev_index": 7}, [("MOD", None)], "compareAndSwap", False),
        (
            {"prev_index": 7, "prev_value": "x"},
            [("VALUE", None), ("MOD", None)],
            "compareAndSwap",
            False,
        ),
    ],
)
def test_writes(options, targets, action, repeatable):
    done = {"header": {"revision": "8"}, "succeeded": True, "responses": [{"response_put": {}}]}
    plan = v3map.put("/k", "new", lease=1 << 62, ttl_s=5, **options)
    (call,), result = play(plan, done)
    is_no_directory, *compares = call.body["compare"]
    assert (is_no_directory["key"], is_no_directory["range_end"]) == (b64("/k/"), b64("/k0"))
    assert [(c["target"], c.get("result")) for c in compares] == targets
    (put,) = [item["request_put"] for item in call.body["success"]]
    assert put == {
        "key": b64("/k"),
        "value": b64("new"),
        "prev_kv": True,
        "lease": "4611686018427387904",
    }
    assert (result.action, result.node.ttl, result.node.modified_index) == (action, 5, 8)
    assert call.repeatable is repeatable


def refused(own, below, revision=9):
    return {**ranges(own, below, revision=revision), "succeeded": False}


@pytest.mark.parametrize(
    ("plan", "own", "below", "code", "cause"),
    [
        (v3map.put("/k", "v"), [], [kv("/k/x")], 102, "/k"),
        (v3map.put("/k", "v", prev_exist=False), [kv("/k")], [], 105, "/k"),
        (v3map.put("/k", "v", prev_exist=False), [], [kv("/k/x")], 105, "/k"),
        (v3map.put("/k", "v", prev_exist=True), [], [], 100, "/k"),
        (v3map.put("/k", "v", prev_index=4), [kv("/k")], [], 101, "[4 != 5]"),
        (v3map.put("/k", "v", prev_value="a"), [kv("/k")], [], 101, "[a != v]"),
        (
            v3map.put("/k", "v", prev_value="a", prev_index=4),
            [kv("/k")],
            [],
            101,
            "[a != v] [4 != 5]",
        ),
        (v3map.delete("/k"), [], [], 100, "/k"),
        (v3map.delete("/k"), [], [kv("/k/x")], 102, "/k"),
        (v3map.delete("/k", is_dir=True), [], [kv("/k/x")], 108, "/k"),
        (v3map.delete("/k", prev_value="a"), [kv("/k")], [], 101, "[a != v]"),
    ],
)
def test_refusals(plan, own, below, code, cause):
    next(plan)
    with pytest.raises(StoreError) as caught:
        plan.send(refused(own, below))
    assert (caught.value.code, caught.value.cause, caught.value.index) == (code, cause, 9)


@pytest.mark.parametrize("write", [v3map.put, v3map.delete])
def test_the_root_is_read_only(write):
    with pytest.raises(StoreError) as caught:
        next(write("/a/.."))
    assert caught.value.code == 107


# -- watches


def line(data):
    return json.dumps({"result": data}).encode() + b"\n"


def header(revision):
    return {"header": {"revision": str(revision)}}


def put_event(key, mod, version="1"):
    return {"kv": {**kv(key, mod=mod), "version": version}}


def drained(watch):
    found = []
    while (event := watch.take()) is not None:
        found.append((event.action, event.node.key, event.node.modified_index))
    return found


def test_a_watch_goes_on_where_it_was():
    watch = Watch("/d", recursive=True)
    first = watch.request().body["create_request"]
    assert (first["key"], first["range_end"]) == (b64("/d/"), b64("/d0"))
    assert "start_revision" not in first
    assert not watch.feed(line({**header(10), "created": True}))
    assert watch.began_at == 10
    deleted = {"type": "DELETE", "kv": {"key": b64("/d/b"), "mod_revision": "12"}}
    expired = {**deleted, "prev_kv": kv("/d/b", lease="7")}
    events = [put_event("/d/a", 11), put_event("/d/a", 12, "2"), deleted, expired]
    assert watch.feed(line({**header(20), "events": events}))
    assert drained(watch) == [
        ("create", "/d/a", 11),
        ("set", "/d/a", 12),
        ("delete", "/d/b", 12),
        ("expire", "/d/b", 12),
    ]
    assert watch.goes_on_at == 13
    # The header is ahead of the events; a report of progress is not.
    assert watch.request().body["create_request"]["start_revision"] == "13"
    watch.feed(line({**header(25), "created": True}))
    assert watch.request().body["create_request"]["start_revision"] == "13"
    watch.feed(line(header(30)))
    assert watch.request().body["create_request"]["start_revision"] == "31"


def test_a_new_watch_does_not_lose_what_comes_while_it_is_broken():
    watch = Watch("/a")
    assert "range_end" not in watch.request().body["create_request"]
    watch.feed(line({**header(10), "created": True}))
    assert watch.request().body["create_request"]["start_revision"] == "11"


def test_ends_of_a_watch():
    watch = Watch("/a", start=3)
    watch.feed(line({**header(40), "created": True}))
    with pytest.raises(StoreError) as caught:
        watch.feed(line({**header(2), "canceled": True, "compact_revision": "38"}))
    assert (caught.value.code, caught.value.index) == (401, 40)
    assert caught.value.cause == "the requested history has been cleared [38/3]"
    reason = "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
    with pytest.raises(GatewayError) as refused_:
        Watch("/a").feed(line({"created": True, "canceled": True, "cancel_reason": reason}))
    assert refused_.value.code == 7
    assert refused_.value.message == "etcdserver: permission denied"


# -- where calls go


def talk(urls=("http://a:1", "http://b:1"), **options):
    return Talk(urls, shuffle=lambda _items: None, **options)


def drive(steps, answers):
    """Where a call went, and what it ended in; an answer may be an error of the transport."""
    went, queue = [], list(answers)
    try:
        attempt = next(steps)
        while True:
            authorization = dict(attempt.headers).get("Authorization", "")
            went.append((attempt.endpoint.text, attempt.target, authorization))
            answer = queue.pop(0)
            thrown = isinstance(answer, Exception)
            attempt = steps.throw(answer) if thrown else steps.send(answer)
    except StopIteration as end:
        assert queue == []
        return went, end.value


GET = Rpc("/kv/range", {"key": "QQ=="})
CAS = Rpc("/kv/txn", {}, repeatable=False)
OK = reply({"header": {}})
REFUSED = TransportError("dial tcp a:1: connect: connection refused")
NO_LEADER = reply({"error": "etcdserver: no leader", "code": 14}, 503)
TIMED_OUT = reply({"error": "etcdserver: request timed out", "code": 14}, 503)
DEADLINE = reply({"error": "context deadline exceeded", "code": 2}, 500)


@pytest.mark.parametrize(
    "first", [REFUSED, TimedOut("i/o timeout"), NO_LEADER, TIMED_OUT, DEADLINE, reply(b"no", 502)]
)
def test_a_call_that_may_be_repeated_goes_elsewhere(first):
    some = talk()
    went, _ = drive(some.call(GET), [first, OK])
    assert [url for url, *_ in went] == ["http://a:1", "http://b:1"]
    # Who answered last is asked first.
    assert drive(some.call(GET), [OK])[0][0][0] == "http://b:1"


@pytest.mark.parametrize("first", [REFUSED, NO_LEADER])
def test_a_conditional_write_that_did_nothing_goes_elsewhere(first):
    assert len(drive(talk().call(CAS), [first, OK])[0]) == 2


@pytest.mark.parametrize("first", [TimedOut("i/o timeout"), TransportError("EOF"), TIMED_OUT])
def test_a_conditional_write_of_unknown_outcome_does_not(first):
    some = talk()
    with pytest.raises(ClusterUnavailable) as caught:
        drive(some.call(CAS), [first])
    assert len(caught.value.errors) == 1
    # The next call begins elsewhere.
    assert drive(some.call(CAS), [OK])[0][0][0] == "http://b:1"


def test_an_answer_is_an_answer():
    with pytest.raises(GatewayError):
        drive(talk().call(CAS), [reply({"error": "etcdserver: key is not provided", "code": 3})])


def test_older_servers_have_other_prefixes():
    some = talk(["http://a:1"])
    gone = reply(b"404 page not found\n", 404)
    went, _ = drive(some.call(GET), [gone, gone, OK])
    assert [target for _, target, _ in went] == [
        "/v3/kv/range",
        "/v3beta/kv/range",
        "/v3alpha/kv/range",
    ]
    assert drive(some.call(GET), [OK])[0][0][1] == "/v3alpha/kv/range"
    with pytest.raises(ClusterUnavailable) as caught:
        drive(talk(["http://a:1"]).call(GET), [gone, gone, gone])
    assert "no JSON gateway" in caught.value.errors[0]


LOGIN_NEEDED = reply({"error": "etcdserver: user name is empty", "code": 3}, 400)
TOKEN_GONE = reply({"error": "etcdserver: invalid auth token", "code": 16}, 401)


def test_logging_in_when_asked_to():
    some = talk(username="u", password="p")
    went, _ = drive(some.call(GET), [LOGIN_NEEDED, reply({"token": "t1"}), OK])
    assert [(target, token) for _, target, token in went] == [
        ("/v3/kv/range", ""),
        ("/v3/auth/authenticate", ""),
        ("/v3/kv/range", "t1"),
    ]
    went, _ = drive(some.call(CAS), [TOKEN_GONE, reply({"token": "t2"}), OK])
    assert [token for *_, token in went] == ["t1", "", "t2"]
    with pytest.raises(GatewayError, match="invalid auth token"):
        drive(some.call(GET), [TOKEN_GONE, reply({"token": "t3"}), TOKEN_GONE])
    with pytest.raises(GatewayError, match="user name is empty"):
        drive(talk().call(GET), [LOGIN_NEEDED])


# -- leases


def test_keys_written_together_share_a_lease():
    leases = Leases()
    assert leases.find(30, 100.0) == 0
    assert leases.request(30).body == {"TTL": 31}
    assert leases.granted(30, {"ID": "7587848390000000001"}, asked_s=100.0) == 7587848390000000001
    assert leases.find(30, 100.9) == 7587848390000000001
    assert leases.find(31, 100.9) == 0
    # A key written now would not live for its TTL on it.
    assert leases.find(30, 101.0) == 0
    leases.granted(30, {"ID": "5"}, asked_s=102.0)
    leases.forget(30)
    assert leases.find(30, 102.0) == 0
    assert leases.request(3600).body == {"TTL": 3656}
