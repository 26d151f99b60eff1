"""Ids, members in the store, and which configuration changes are let through."""

from __future__ import annotations

import pytest

from coreos_py.etcd import membership
from coreos_py.etcd.membership import Cluster, Member, MembershipError
from coreos_py.raft.types import ConfChange, ConfChangeType
from coreos_py.store.store import Store

ADD, REMOVE, UPDATE = ConfChangeType


def change(kind, member, urls=None):
    context = b""
    if urls is not None:
        context = membership.member_json(Member(member, urls)).encode()
    return ConfChange(1, kind, member, context)


def populated():
    store, cluster = Store(), Cluster(99)
    for number in (1, 2):
        cluster.add(Member(number, (f"http://h:{number}",), f"n{number}"), store, now_ns=0)
    return store, cluster


def test_ids_are_those_of_etcd_2_3_8():
    # Recorded: initial-cluster r=http://127.0.0.1:44041, token etcd-cluster.
    cluster = Cluster.founded({"r": ("http://127.0.0.1:44041",)}, "etcd-cluster")
    assert [f"{number:x}" for number in cluster.members] == ["34ad36f117550911"]
    assert f"{cluster.id:x}" == "bdb43dbcc6ef6906"


def test_ids_depend_on_sorted_urls_token_and_time():
    urls = ("http://b:1", "http://a:1")
    one = membership.member_id(urls, "t")
    assert one == membership.member_id(sorted(urls), "t")
    assert one != membership.member_id(urls, "u")
    assert one != membership.member_id(urls, "t", now_s=1)
    assert membership.cluster_id([2, 1]) == membership.cluster_id([1, 2])


def test_two_members_with_the_same_urls_are_refused():
    urls = {"a": ("http://h:1",), "b": ("http://h:1",)}
    with pytest.raises(MembershipError, match="member exists with identical ID"):
        Cluster.founded(urls, "t")


@pytest.mark.parametrize("text", ["", "zz", "-1", "0x1", "1_0", "1" * 17, " 1", "\u0661"])
def test_bad_ids(text):
    with pytest.raises(ValueError, match=r"is not an id|is out of range"):
        membership.parse_id(text)


def test_json_as_upstream_writes_it():
    member = Member(7, ("http://a:1",), "n<", ("http://c:1", "http://d:1"))
    assert membership.member_json(member) == (
        '{"id":7,"peerURLs":["http://a:1"],"name":"n\\u003c",'
        '"clientURLs":["http://c:1","http://d:1"]}'
    )
    assert membership.member_json(Member(7, ("u",))) == '{"id":7,"peerURLs":["u"]}'
    assert membership.attributes_json("", ()) == "{}"


def test_the_store_gives_back_what_was_put_in():
    store, cluster = populated()
    cluster.update_attributes(1, '{"name":"renamed","clientURLs":["http://c:1"]}')
    attributes = '{"name":"renamed","clientURLs":["http://c:1"]}'
    store.set(membership.attributes_key(1), value=attributes, now_ns=0)
    cluster.remove(2, store, now_ns=0)
    read = Cluster(99)
    read.recover(store)
    assert read.members == {1: Member(1, ("http://h:1",), "renamed", ("http://c:1",))}
    assert read.members == cluster.members
    assert read.removed == cluster.removed == {2}


def test_store_indexes_that_changes_take():
    store, cluster = populated()
    assert store.index == 2
    cluster.update_peer_urls(1, ("http://x:1",), store=store, now_ns=0)
    assert store.index == 3
    cluster.remove(1, store, now_ns=0)
    assert store.index == 5  # the deletion and the tombstone


REFUSED = [
    (ADD, 1, ("http://new:1",), membership.ID_EXISTS),
    (ADD, 3, ("http://h:1",), membership.PEER_URL_EXISTS),
    (ADD, 9, ("http://new:1",), membership.ID_REMOVED),
    (REMOVE, 3, None, membership.ID_NOT_FOUND),
    (REMOVE, 9, None, membership.ID_REMOVED),
    (UPDATE, 3, ("http://new:1",), membership.ID_NOT_FOUND),
    (UPDATE, 1, ("http://h:2",), membership.PEER_URL_EXISTS),
]


@pytest.mark.parametrize(("kind", "number", "urls", "text"), REFUSED)
def test_refused_changes(kind, number, urls, text):
    store, cluster = populated()
    cluster.add(Member(9, ("http://h:9",)), store, now_ns=0)
    cluster.remove(9, store, now_ns=0)
    with pytest.raises(MembershipError) as caught:
        cluster.check(change(kind, number, urls), store)
    assert str(caught.value) == text


def test_accepted_changes():
    store, cluster = populated()
    assert cluster.check(change(ADD, 3, ("http://h:3",)), store) == Member(3, ("http://h:3",))
    assert cluster.check(change(REMOVE, 2), store) is None
    # a member may keep one of its own URLs
    kept = cluster.check(change(UPDATE, 1, ("http://h:1", "http://h:4")), store)
    assert kept == Member(1, ("http://h:1", "http://h:4"))


def started(*names):
    return Cluster(1, [Member(i, (f"http://h:{i}",), name) for i, name in enumerate(names, 1)])


@pytest.mark.parametrize(
    ("names", "may"),
    [
        (("a",), True),  # growing one to two
        (("a", "b"), True),
        (("a", ""), False),
        (("a", "b", ""), False),
        (("a", "b", "c"), True),
    ],
)
def test_strict_check_before_adding(names, may):
    assert started(*names).may_add() is may


@pytest.mark.parametrize(
    ("names", "number", "may"),
    [(("a", "b", "c"), 3, True), (("a", "b", ""), 3, True), (("a", "b", ""), 2, False)],
)
def test_strict_check_before_removing(names, number, may):
    assert started(*names).may_remove(number) is may


def test_joining_takes_the_ids_of_the_running_cluster():
    local = Cluster.founded({"a": ("http://h:1",), "b": ("http://h:2",)}, "t")
    running = Cluster(5, [Member(10, ("http://h:1",), "a"), Member(20, ("http://h:2",))])
    joined = membership.assign_ids(local, running)
    assert joined.id == 5
    assert joined.by_name("b") == Member(20, ("http://h:2",), "b")
    with pytest.raises(MembershipError, match="member count is unequal"):
        membership.assign_ids(local, Cluster(5, [Member(10, ("http://h:1",))]))
    other = Cluster(5, [Member(10, ("http://h:1",)), Member(20, ("http://h:3",))])
    with pytest.raises(MembershipError, match="unmatched member while checking PeerURLs"):
        membership.assign_ids(local, other)
