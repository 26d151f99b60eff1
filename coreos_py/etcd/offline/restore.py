"""A cluster's first data directories from one snapshot of another: keys stay, members change.

Every member of the new cluster is restored from the same file with the same founders and token,
and must come out with the same ids and the same store: nothing here may depend on anything else.
The snapshot's checksum goes into the ids, so that no member of the old cluster is ever met.
"""

from __future__ import annotations

from typing import NamedTuple

from coreos_py.base.crc import crc32c
from coreos_py.base.errors import CoreosError, StoreError
from coreos_py.etcd import membership, pb, urls
from coreos_py.etcd.membership import MEMBERS, REMOVED, VERSION_KEY, Cluster, MembershipError
from coreos_py.etcd.offline import datacopy
from coreos_py.etcd.offline.datacopy import Contents
from coreos_py.etcd.snap import read_snapshot
from coreos_py.etcd.version import LOCAL, downgrade
from coreos_py.raft.types import HardState, Snapshot
from coreos_py.store.snapshot import BadSnapshot
from coreos_py.store.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.etcd.datadir import MemberDirs

_NO_TIME_NS = 0  # the same on every member


class Loaded(NamedTuple):
    """A snapshot that was read and understood."""

    snapshot: Snapshot
    store: Store
    crc: int


class Plan(NamedTuple):
    """The cluster that is to be, and which of its members this is."""

    name: str
    initial_cluster: str
    token: str
    peer_urls: str


def load(path: str) -> Loaded:
    """A snapshot file and the store in it; CoreosError if it is not whole."""
    snapshot = read_snapshot(path)
    store = Store()
    try:
        store.recover(snapshot.data)
    except BadSnapshot as error:
        raise CoreosError(f"{path}: {error}") from None
    return Loaded(snapshot, store, crc32c(snapshot.data, 0))


def restore(loaded: Loaded, plan: Plan, dirs: MemberDirs) -> pb.Metadata:
    """Write the data directory of one member; its ids."""
    cluster = _found(plan, loaded.crc)
    member = cluster.by_name(plan.name)
    assert member is not None
    _replace_members(loaded.store, cluster)
    meta = loaded.snapshot.meta._replace(nodes=tuple(sorted(cluster.members)))
    metadata = pb.Metadata(member.id, cluster.id)
    state = HardState(meta.term, 0, meta.index)
    snapshot = Snapshot(loaded.store.save(), meta)
    datacopy.write(dirs, Contents(metadata, snapshot, state, []))
    return metadata


def _found(plan: Plan, crc: int) -> Cluster:
    try:
        urls_map = urls.parse_urls_map(plan.initial_cluster)
        own = urls.parse_urls(plan.peer_urls.split(","))
    except urls.BadURL as error:
        raise CoreosError(f"error setting up initial cluster: {error}") from None
    if plan.name not in urls_map:
        raise CoreosError(
            f'couldn\'t find local name "{plan.name}" in the initial cluster configuration'
        )
    if tuple(sorted(urls_map[plan.name])) != own:
        wanted = urls.format_urls_map({plan.name: own})
        raise CoreosError(
            f"--initial-cluster must include {wanted} "
            f"given --initial-advertise-peer-urls={','.join(own)}"
        )
    if urls.has_duplicate_url(urls_map):
        raise CoreosError(f"initial cluster {plan.initial_cluster} has duplicate url")
    try:
        return Cluster.founded(urls_map, f"{plan.token}\n{crc:08x}")
    except MembershipError as error:
        raise CoreosError(str(error)) from None


def _replace_members(store: Store, cluster: Cluster) -> None:
    for path in (MEMBERS, REMOVED):
        try:
            store.delete(path, recursive=True, now_ns=_NO_TIME_NS)
        except StoreError:
            continue  # no member was ever added, or none removed
    for member in cluster.sorted():
        cluster.add(member, store, now_ns=_NO_TIME_NS)
    version = store.peek(VERSION_KEY)
    if version is not None and downgrade(version.value):
        store.set(VERSION_KEY, value=str(LOCAL.minor_only()), now_ns=_NO_TIME_NS)


def members_of(loaded: Loaded) -> list[membership.Member]:
    """The members that the snapshot was taken among, by id."""
    try:
        found, _removed = membership.members_from_store(loaded.store)
    except ValueError as error:
        raise CoreosError(f"the members in the snapshot are damaged: {error}") from None
    return [found[number] for number in sorted(found)]
