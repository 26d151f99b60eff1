"""Who belongs to the cluster: members, removed ids, cluster version, and how changes are applied.

Pure: works on a store handed to it and returns what happened. Mirrors cluster.go and member.go of
etcd 2.3.8's etcdserver. Every member runs the same code on the same log, so nothing here may
depend on anything but its arguments.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.base import gojson
from coreos_py.base.errors import KEY_NOT_FOUND, CoreosError, StoreError
from coreos_py.raft.types import ConfChange, ConfChangeType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from coreos_py.store.store import Store

MEMBERS = "/0/members"
REMOVED = "/0/removed_members"
VERSION_KEY = "/0/version"

ID_REMOVED = "etcdserver: ID removed"
ID_EXISTS = "etcdserver: ID exists"
ID_NOT_FOUND = "etcdserver: ID not found"
PEER_URL_EXISTS = "etcdserver: peerURL exists"

_HEX = frozenset("0123456789abcdefABCDEF")


class MembershipError(CoreosError):
    """A change the cluster refuses; the message is one of the constants above."""


class Member(NamedTuple):
    """One member; `name` and `client_urls` are empty until it has started once."""

    id: int
    peer_urls: tuple[str, ...] = ()
    name: str = ""
    client_urls: tuple[str, ...] = ()


def parse_id(text: str) -> int:
    """The id in a hex word; ValueError if it is not a 64-bit one."""
    if not text or not _HEX.issuperset(text):
        raise ValueError(f"{text!r} is not an id")
    number = int(text, 16)
    if number >> 64:
        raise ValueError(f"{text!r} is out of range")
    return number


def member_id(peer_urls: Iterable[str], token: str, *, now_s: int | None = None) -> int:
    """Id of a founding member (token) or, with `now_s`, of one added later."""
    text = "".join(sorted(peer_urls)) + token
    if now_s is not None:
        text += str(now_s)
    return _hash_id(text.encode("utf-8", "surrogateescape"))


def cluster_id(member_ids: Iterable[int]) -> int:
    """Id of a cluster founded by these members."""
    return _hash_id(b"".join(number.to_bytes(8, "big") for number in sorted(member_ids)))


def member_json(member: Member) -> str:
    """A member as it stands in conf-change entries and on the peer port: decimal id."""
    body: dict[str, Any] = {"id": member.id, "peerURLs": list(member.peer_urls)}
    if member.name:
        body["name"] = member.name
    if member.client_urls:
        body["clientURLs"] = list(member.client_urls)
    return gojson.dumps(body)


def parse_member(data: Mapping[str, Any]) -> Member:
    """A member from its decoded JSON; ValueError if it has no usable shape."""
    number = data.get("id", 0)
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError(f"member id {number!r} is not a number")
    return Member(number, _strings(data, "peerURLs"), *_attributes(data))


def attributes_json(name: str, client_urls: Iterable[str]) -> str:
    """What a member publishes about itself."""
    body: dict[str, Any] = {}
    urls = list(client_urls)
    if name:
        body["name"] = name
    if urls:
        body["clientURLs"] = urls
    return gojson.dumps(body)


def member_key(number: int) -> str:
    """Directory of a member in the store."""
    return f"{MEMBERS}/{number:x}"


def attributes_key(number: int) -> str:
    """Where a member publishes its name and client URLs."""
    return f"{MEMBERS}/{number:x}/attributes"


class Cluster:
    """The membership this server knows; kept equal to the `/0` tree of its store."""

    def __init__(self, number: int = 0, members: Iterable[Member] = ()) -> None:
        self.id = number
        self.members: dict[int, Member] = {member.id: member for member in members}
        self.removed: set[int] = set()
        self.version: str | None = None

    @classmethod
    def founded(cls, urls_map: Mapping[str, tuple[str, ...]], token: str) -> Cluster:
        """The cluster that --initial-cluster describes, with the ids its founders compute."""
        members: dict[int, Member] = {}
        for name in sorted(urls_map):
            number = member_id(urls_map[name], token)
            if number in members:
                raise MembershipError(f"member exists with identical ID {number:x}")
            members[number] = Member(number, tuple(sorted(urls_map[name])), name)
        return cls(cluster_id(members), members.values())

    def sorted(self) -> list[Member]:
        """Members by ascending id."""
        return [self.members[number] for number in sorted(self.members)]

    def by_name(self, name: str) -> Member | None:
        """The member of that name; the lowest id if several claim it."""
        return next((member for member in self.sorted() if member.name == name), None)

    def client_urls(self) -> list[str]:
        """Every published client URL, sorted."""
        return sorted(url for member in self.members.values() for url in member.client_urls)

    def peer_urls(self, *, without: str = "") -> list[str]:
        """Every peer URL, sorted, except those of the member called `without`."""
        return sorted(
            url
            for member in self.members.values()
            if not without or member.name != without
            for url in member.peer_urls
        )

    def recover(self, store: Store) -> None:
        """Read members, removed ids and version back from the store."""
        self.members, self.removed = members_from_store(store)
        try:
            event = store.get(VERSION_KEY, recursive=False, sort=False, now_ns=0)
        except StoreError as err:
            if err.code != KEY_NOT_FOUND:
                raise
            self.version = None
        else:
            self.version = event.node.value

    def check(self, change: ConfChange, store: Store) -> Member | None:
        """The member a conf change is about (None for a removal); MembershipError if refused.

        Decides by the store, not by `members`: the store is what a snapshot carries.
        """
        members, removed = members_from_store(store)
        if change.node_id in removed:
            raise MembershipError(ID_REMOVED)
        known = change.node_id in members
        if change.type == ConfChangeType.ADD_NODE and known:
            raise MembershipError(ID_EXISTS)
        if change.type != ConfChangeType.ADD_NODE and not known:
            raise MembershipError(ID_NOT_FOUND)
        if change.type == ConfChangeType.REMOVE_NODE:
            return None
        member = parse_member(json.loads(change.context))
        taken = {
            url
            for other in members.values()
            if other.id != change.node_id
            for url in other.peer_urls
        }
        if not taken.isdisjoint(member.peer_urls):
            raise MembershipError(PEER_URL_EXISTS)
        return member

    def add(self, member: Member, store: Store, *, now_ns: int) -> None:
        """Record a member that check() let pass."""
        store.create(
            member_key(member.id) + "/raftAttributes",
            is_dir=False,
            value=_raft_attributes(member.peer_urls),
            unique=False,
            now_ns=now_ns,
        )
        self.members[member.id] = member

    def remove(self, number: int, store: Store, *, now_ns: int) -> None:
        """Forget a member for good; its id can never come back."""
        store.delete(member_key(number), is_dir=True, recursive=True, now_ns=now_ns)
        self.members.pop(number, None)
        store.create(f"{REMOVED}/{number:x}", is_dir=False, value="", unique=False, now_ns=now_ns)
        self.removed.add(number)

    def update_peer_urls(
        self, number: int, peer_urls: tuple[str, ...], *, store: Store, now_ns: int
    ) -> None:
        """Give a member new peer URLs."""
        store.update(
            member_key(number) + "/raftAttributes",
            value=_raft_attributes(peer_urls),
            now_ns=now_ns,
        )
        self.members[number] = self.members[number]._replace(peer_urls=peer_urls)

    def update_attributes(self, number: int, text: str) -> bool:
        """Take over what a member published; False if it is not a member (any more)."""
        member = self.members.get(number)
        if member is None:
            return False
        name, client_urls = _attributes(json.loads(text))
        self.members[number] = member._replace(name=name, client_urls=client_urls)
        return True

    def may_add(self) -> bool:
        """--strict-reconfig-check: would a quorum be started after one more member joins?"""
        started = sum(1 for member in self.members.values() if member.name)
        total = len(self.members) + 1
        return (started == 1 and total == 2) or started >= total // 2 + 1

    def may_remove(self, number: int) -> bool:
        """--strict-reconfig-check: would a quorum of the rest be started?"""
        rest = [member for member in self.members.values() if member.id != number]
        return sum(1 for member in rest if member.name) >= len(rest) // 2 + 1


def members_from_store(store: Store) -> tuple[dict[int, Member], set[int]]:
    """Members and removed ids as the store has them."""
    members: dict[int, Member] = {}
    listed = _children(store, MEMBERS)
    if not listed:
        return members, set()
    for node in listed:
        number = parse_id(node.key.rpartition("/")[2])
        found = {child.key.rpartition("/")[2]: child.value for child in node.nodes or ()}
        raft = json.loads(found.get("raftAttributes") or "{}")
        name, client_urls = _attributes(json.loads(found.get("attributes") or "{}"))
        members[number] = Member(number, _strings(raft, "peerURLs"), name, client_urls)
    removed = {parse_id(node.key.rpartition("/")[2]) for node in _children(store, REMOVED)}
    return members, removed


def assign_ids(local: Cluster, existing: Cluster) -> Cluster:
    """The configured cluster with the ids of the running one; MembershipError if they differ."""
    if len(local.members) != len(existing.members):
        raise MembershipError("member count is unequal")
    mine = sorted(local.members.values(), key=lambda member: member.peer_urls[:1])
    theirs = sorted(existing.members.values(), key=lambda member: member.peer_urls[:1])
    matched = []
    for ours, other in zip(mine, theirs, strict=True):
        if sorted(ours.peer_urls) != sorted(other.peer_urls):
            raise MembershipError("unmatched member while checking PeerURLs")
        matched.append(ours._replace(id=other.id))
    return Cluster(existing.id, matched)


def _children(store: Store, path: str) -> list[Any]:
    try:
        event = store.get(path, recursive=True, sort=True, now_ns=0)
    except StoreError as err:
        if err.code == KEY_NOT_FOUND:
            return []
        raise
    return list(event.node.nodes or ())


def _raft_attributes(peer_urls: Iterable[str]) -> str:
    return gojson.dumps({"peerURLs": list(peer_urls)})


def _attributes(data: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    name = data.get("name") or ""
    if not isinstance(name, str):
        raise ValueError(f"member name {name!r} is not a string")
    return name, _strings(data, "clientURLs")


def _strings(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = data.get(key) or ()
    if not isinstance(found, (list, tuple)) or not all(isinstance(url, str) for url in found):
        raise ValueError(f"{key} {found!r} is not a list of strings")
    return tuple(found)


def _hash_id(data: bytes) -> int:
    return int.from_bytes(hashlib.sha1(data, usedforsecurity=False).digest()[:8], "big")
