"""Request/reply pairs seen on a real etcd 2.3.8, byte for byte where the store decides them."""

from __future__ import annotations

import pytest

from coreos_py.base.errors import StoreError
from coreos_py.base.gotime import SECOND_NS, format_ns
from coreos_py.store.store import Store
from tests.unit.store.v2 import NOW_NS, fresh_member, request

FOO = '"key":"/foo"'
BAR = '{"key":"/foo","value":"bar","modifiedIndex":4,"createdIndex":4}'
BAZ = '{"key":"/foo","value":"baz","modifiedIndex":5,"createdIndex":5}'


def error(code, message, cause, index):
    return f'{{"errorCode":{code},"message":"{message}","cause":"{cause}","index":{index}}}'


PAIRS = [
    ("GET", "/", {}, 200, '{"action":"get","node":{"dir":true}}'),
    ("GET", "/nope", {}, 404, error(100, "Key not found", "/nope", 3)),
    ("PUT", "/foo", {"value": "bar"}, 201, f'{{"action":"set","node":{BAR}}}'),
    ("PUT", "/foo", {"value": "baz"}, 200, f'{{"action":"set","node":{BAZ},"prevNode":{BAR}}}'),
    ("GET", "/foo", {}, 200, f'{{"action":"get","node":{BAZ}}}'),
    (
        "PUT",
        "/foo",
        {"value": "x", "prevExist": "false"},
        412,
        error(105, "Key already exists", "/foo", 5),
    ),
    (
        "PUT",
        "/foo",
        {"value": "x", "prevExist": "true"},
        200,
        f'{{"action":"update","node":{{{FOO},"value":"x","modifiedIndex":6,"createdIndex":5}},'
        f'"prevNode":{BAZ}}}',
    ),
    (
        "PUT",
        "/foo",
        {"value": "y", "prevValue": "no"},
        412,
        error(101, "Compare failed", "[no != x]", 6),
    ),
    (
        "PUT",
        "/foo",
        {"value": "y", "prevIndex": "1", "prevValue": "q"},
        412,
        error(101, "Compare failed", "[q != x] [1 != 6]", 6),
    ),
    (
        "PUT",
        "/foo",
        {"value": "y", "prevIndex": "1"},
        412,
        error(101, "Compare failed", "[1 != 6]", 6),
    ),
    (
        "DELETE",
        "/foo",
        {"prevValue": "x"},
        200,
        f'{{"action":"compareAndDelete","node":{{{FOO},"modifiedIndex":7,"createdIndex":5}},'
        f'"prevNode":{{{FOO},"value":"x","modifiedIndex":6,"createdIndex":5}}}}',
    ),
    (
        "POST",
        "/queue",
        {"value": "j1"},
        201,
        '{"action":"create","node":{"key":"/queue/00000000000000000008","value":"j1",'
        '"modifiedIndex":8,"createdIndex":8}}',
    ),
    (
        "POST",
        "/",
        {"value": "q"},
        201,
        '{"action":"create","node":{"key":"/00000000000000000009","value":"q",'
        '"modifiedIndex":9,"createdIndex":9}}',
    ),
    (
        "PUT",
        "/dir",
        {"dir": "true"},
        201,
        '{"action":"set","node":{"key":"/dir","dir":true,"modifiedIndex":10,"createdIndex":10}}',
    ),
    ("PUT", "/dir", {"dir": "true"}, 403, error(102, "Not a file", "/dir", 10)),
    (
        "PUT",
        "/dir",
        {"dir": "true", "prevExist": "true"},
        200,
        '{"action":"update","node":{"key":"/dir","dir":true,"modifiedIndex":11,"createdIndex":10},'
        '"prevNode":{"key":"/dir","dir":true,"modifiedIndex":10,"createdIndex":10}}',
    ),
    (
        "GET",
        "/dir",
        {},
        200,
        '{"action":"get","node":{"key":"/dir","dir":true,"modifiedIndex":10,"createdIndex":10}}',
    ),
    (
        "PUT",
        "/dir/_h",
        {"value": "h"},
        201,
        '{"action":"set","node":{"key":"/dir/_h","value":"h","modifiedIndex":12,'
        '"createdIndex":12}}',
    ),
    (
        "GET",
        "/dir",
        {"recursive": "true"},
        200,
        '{"action":"get","node":{"key":"/dir","dir":true,"modifiedIndex":10,"createdIndex":10}}',
    ),
    (
        "GET",
        "/dir/_h",
        {},
        200,
        '{"action":"get","node":{"key":"/dir/_h","value":"h","modifiedIndex":12,'
        '"createdIndex":12}}',
    ),
    ("DELETE", "/dir", {}, 403, error(102, "Not a file", "/dir", 12)),
    ("DELETE", "/dir", {"dir": "true"}, 403, error(108, "Directory not empty", "/dir", 12)),
    (
        "DELETE",
        "/dir",
        {"recursive": "true", "prevIndex": "2"},
        403,
        error(102, "Not a file", "/dir", 12),
    ),
    (
        "DELETE",
        "/dir",
        {"recursive": "true"},
        200,
        '{"action":"delete","node":{"key":"/dir","dir":true,"modifiedIndex":13,"createdIndex":10},'
        '"prevNode":{"key":"/dir","dir":true,"modifiedIndex":10,"createdIndex":10}}',
    ),
    (
        "PUT",
        "/a b/c/d",
        {"value": "sp ace &"},
        201,
        '{"action":"set","node":{"key":"/a b/c/d","value":"sp ace \\u0026","modifiedIndex":14,'
        '"createdIndex":14}}',
    ),
    ("PUT", "/a b/c/d/e", {}, 400, error(104, "Not a directory", "/a b/c/d", 14)),
    (
        "PUT",
        "/a b/c/d",
        {"dir": "true"},
        200,
        '{"action":"set","node":{"key":"/a b/c/d","dir":true,"modifiedIndex":15,'
        '"createdIndex":15},"prevNode":{"key":"/a b/c/d","value":"sp ace \\u0026",'
        '"modifiedIndex":14,"createdIndex":14}}',
    ),
    ("PUT", "/", {"value": "f"}, 400, error(107, "Root is read only", "/", 15)),
    (
        "PUT",
        "/d2",
        {"dir": "true", "prevValue": "x"},
        404,
        error(100, "Key not found", "/d2", 15),
    ),
    ("GET", "/x/y/z", {}, 404, error(100, "Key not found", "/x", 15)),
]


def test_pairs_in_one_session():
    store = fresh_member()
    for method, key, form, status, body in PAIRS:
        assert request(store, method, key, form) == (status, body + "\n"), (method, key, form)


def test_ttl_is_shown_between_value_and_index_and_cleared_by_a_plain_write():
    store = fresh_member()
    expire_ns = NOW_NS + 100 * SECOND_NS
    timed = (
        f'{{"key":"/foo","value":"y","expiration":"{format_ns(expire_ns)}","ttl":100,'
        '"modifiedIndex":4,"createdIndex":4}'
    )
    got = request(store, "PUT", "/foo", {"value": "y"}, expire_ns=expire_ns)
    assert got == (201, f'{{"action":"set","node":{timed}}}\n')
    got = request(store, "PUT", "/foo", {"value": "y"})
    plain = '{"key":"/foo","value":"y","modifiedIndex":5,"createdIndex":5}'
    assert got == (200, f'{{"action":"set","node":{plain},"prevNode":{timed}}}\n')
    assert store.delete_expired(expire_ns) == []


def test_ttl_zero_shows_an_expiration_and_no_ttl():
    store = fresh_member()
    status, body = request(store, "PUT", "/ttl0", {"value": "y"}, expire_ns=NOW_NS)
    assert status == 201
    assert f'"expiration":"{format_ns(NOW_NS)}","modifiedIndex"' in body
    later = store.get("/1/ttl0", now_ns=NOW_NS + 2 * SECOND_NS + 1).to_json()
    assert b'"ttl":-2,' in later
    (event,) = store.delete_expired(NOW_NS)
    assert event.action == "expire"
    with pytest.raises(StoreError):
        store.get("/1/ttl0", now_ns=NOW_NS)


@pytest.mark.parametrize(
    ("left_ns", "shown"),
    [
        (1, 1),
        (SECOND_NS, 1),
        (SECOND_NS + 1, 2),
        (0, 0),
        (-1, 0),
        (1 - SECOND_NS, 0),
        (-SECOND_NS, -1),
        (-SECOND_NS - 1, -1),
    ],
)
def test_ttl_is_rounded_up(left_ns, shown):
    store = Store()
    body = store.set("/1/k", expire_ns=NOW_NS + left_ns, now_ns=NOW_NS).to_json()
    assert (f'"ttl":{shown},' in body.decode()) == (shown != 0)
    assert (b'"ttl"' in body) == (shown != 0)


def test_refresh_keeps_the_value():
    store = fresh_member()
    first, second = NOW_NS + 50 * SECOND_NS, NOW_NS + 60 * SECOND_NS
    store.set("/1/foo", value="keep", now_ns=NOW_NS)
    event = store.set("/1/foo", refresh=True, expire_ns=first, now_ns=NOW_NS)
    assert (event.action, event.node.value, event.node.created_index) == ("set", "keep", 5)
    event = store.update("/1/foo", refresh=True, expire_ns=second, now_ns=NOW_NS)
    assert (event.action, event.node.value, event.node.created_index) == ("update", "keep", 5)
    event = store.compare_and_swap(
        "/1/foo", prev_value="keep", refresh=True, expire_ns=second, now_ns=NOW_NS
    )
    assert (event.action, event.node.value) == ("compareAndSwap", "keep")
    assert b"refresh" not in event.to_json()


def test_create_ignores_refresh_and_a_refreshed_missing_key_is_not_found():
    store = fresh_member()
    status, body = request(store, "PUT", "/no", {"refresh": "true", "prevExist": "false"})
    assert (status, body) == (
        201,
        '{"action":"create","node":{"key":"/no","value":"","modifiedIndex":4,"createdIndex":4}}\n',
    )
    with pytest.raises(StoreError, match=r"^100: Key not found \(/1/gone\) \[4\]$"):
        store.set("/1/gone", refresh=True, expire_ns=NOW_NS, now_ns=NOW_NS)


@pytest.mark.parametrize("expire_ns", [-1, 1, 946_684_799_999_999_999])
def test_an_expiry_before_2000_is_permanent_for_set_and_create_only(expire_ns):
    store = Store()
    for event in (
        store.create("/1/a", value="v", expire_ns=expire_ns, now_ns=NOW_NS),
        store.set("/1/b", value="v", expire_ns=expire_ns, now_ns=NOW_NS),
        store.set("/1/b", value="v", expire_ns=expire_ns, now_ns=NOW_NS),
        store.set("/1/d", is_dir=True, expire_ns=expire_ns, now_ns=NOW_NS),
    ):
        assert b"expiration" not in event.to_json()
    assert store.delete_expired(NOW_NS) == []
    # etcd 2.3.8 does not look at the year here, and the key goes with the next SYNC.
    store.update("/1/a", value="v", expire_ns=expire_ns, now_ns=NOW_NS)
    assert [event.node.key for event in store.delete_expired(NOW_NS)] == ["/1/a"]


def test_listing_is_sorted_by_whole_keys_at_every_level():
    store = Store()
    for key in ("b", "a/z", "a/y/2", "a/y/10", "a-b", "ab", "\udcff", "\U0001f600", "\ufffd"):
        store.set(f"/1/{key}", value="", now_ns=NOW_NS)
    event = store.get("/1", recursive=True, sort=True, now_ns=NOW_NS)
    names = [node.key[3:] for node in event.node.nodes]
    assert names == ["a", "a-b", "ab", "b", "\ufffd", "\U0001f600", "\udcff"]
    below = event.node.nodes[0].nodes
    assert [node.key for node in below] == ["/1/a/y", "/1/a/z"]
    assert [node.key for node in below[0].nodes] == ["/1/a/y/10", "/1/a/y/2"]


def test_a_plain_listing_shows_one_level():
    store = Store()
    store.set("/1/a/b/c", value="", now_ns=NOW_NS)
    body = store.get("/1/a", now_ns=NOW_NS).to_json().decode()
    assert body == (
        '{"action":"get","node":{"key":"/a","dir":true,"nodes":[{"key":"/a/b","dir":true,'
        '"modifiedIndex":1,"createdIndex":1}],"modifiedIndex":1,"createdIndex":1}}'
    )
