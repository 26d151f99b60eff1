"""Which store operation a committed request is, and what writes to the cluster's tree mean."""

from __future__ import annotations

import pytest

from coreos_py.base.errors import StoreError
from coreos_py.etcd.apply import Applier
from coreos_py.etcd.membership import Cluster, Member, attributes_key
from coreos_py.etcd.pb import Request
from coreos_py.store.store import Store

NOW = 1_700_000_000_000_000_000


class Bench:
    def __init__(self):
        self.store = Store()
        self.cluster = Cluster(1, [Member(0xAB, ("http://h:1",))])
        self.notices = []
        self._applier = Applier(self.store, self.cluster, notice=self.notices.append)

    def __call__(self, method, path, val="", **more):
        return self._applier.apply(Request(1, method, path, val, **more), now_ns=NOW)


@pytest.fixture
def apply():
    bench = Bench()
    bench("PUT", "/1/file", "old")
    bench("PUT", "/1/dir/file", "x")
    return bench


# method, fields, action
ACTIONS = [
    ("PUT", {"path": "/1/file", "val": "v"}, "set"),
    ("PUT", {"path": "/1/new", "dir": True}, "set"),
    ("PUT", {"path": "/1/file", "prev_exist": True}, "update"),
    ("PUT", {"path": "/1/file", "prev_exist": True, "prev_value": "old"}, "compareAndSwap"),
    ("PUT", {"path": "/1/file", "prev_exist": True, "prev_index": 1}, "compareAndSwap"),
    ("PUT", {"path": "/1/file", "prev_value": "old"}, "compareAndSwap"),
    ("PUT", {"path": "/1/file", "prev_index": 1}, "compareAndSwap"),
    ("PUT", {"path": "/1/new", "prev_exist": False}, "create"),
    ("PUT", {"path": "/1/new", "prev_exist": False, "prev_value": "z"}, "create"),
    ("POST", {"path": "/1/dir"}, "create"),
    ("DELETE", {"path": "/1/file"}, "delete"),
    ("DELETE", {"path": "/1/dir", "recursive": True}, "delete"),
    ("DELETE", {"path": "/1/file", "prev_value": "old"}, "compareAndDelete"),
    ("DELETE", {"path": "/1/file", "prev_index": 1, "dir": True}, "compareAndDelete"),
    ("QGET", {"path": "/1/dir"}, "get"),
]


@pytest.mark.parametrize(("method", "fields", "action"), ACTIONS)
def test_actions(apply, method, fields, action):
    before = apply.store.index
    event = apply(method, **fields)
    assert event.action == action
    assert apply.store.index == before + (method != "QGET")


def test_refresh_keeps_the_value(apply):
    event = apply("PUT", "/1/file", refresh=True, expiration=NOW + 10**9)
    assert (event.node.value, event.node.expire_ns) == ("old", NOW + 10**9)


def test_failures_are_numbered_and_take_no_index(apply):
    before = apply.store.index
    with pytest.raises(StoreError) as caught:
        apply("PUT", "/1/file", prev_value="other")
    assert caught.value.code == 101
    assert apply.store.index == before


def test_unknown_methods_fail(apply):
    with pytest.raises(StoreError, match="unknown method"):
        apply("BREW", "/1/file")


def test_sync_expires_by_the_time_in_the_entry(apply):
    apply("PUT", "/1/ttl", "x", expiration=NOW + 5)
    assert apply("SYNC", "", time=NOW + 4) is None
    assert apply("QGET", "/1/ttl").node.value == "x"
    apply("SYNC", "", time=NOW + 5)
    with pytest.raises(StoreError):
        apply("QGET", "/1/ttl")


def test_members_publish_themselves(apply):
    apply("PUT", attributes_key(0xAB), '{"name":"n","clientURLs":["http://c:1"]}')
    assert apply.cluster.members[0xAB].name == "n"
    assert apply.cluster.members[0xAB].client_urls == ("http://c:1",)


def test_a_removed_member_publishes_nothing(apply):
    before = apply.store.index
    assert apply("PUT", attributes_key(0xCD), '{"name":"n"}') is None
    assert apply.store.index == before
    assert apply.notices == ["skipped updating attributes of removed member cd"]


def test_cluster_version(apply):
    apply("PUT", "/0/version", "2.2.0")
    apply("PUT", "/0/version", "2.3.0")
    assert apply.cluster.version == "2.3.0"
    assert apply.notices == [
        "set the initial cluster version to 2.2",
        "updated the cluster version from 2.2 to 2.3",
    ]
