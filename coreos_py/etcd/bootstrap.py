"""How a member comes to its raft node: founding a cluster, joining one, or restarting.

Mirrors NewServer of etcd 2.3.8's etcdserver/server.go and the start functions of its raft.go.
Whatever is refused is refused before anything is written.
"""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.base.errors import CoreosError
from coreos_py.etcd import datadir, discovery_client, membership, pb, remote, srv_bootstrap, urls
from coreos_py.etcd.disk import snapshot_loader
from coreos_py.etcd.membership import Cluster, Member, MembershipError
from coreos_py.etcd.snap import Snapshotter
from coreos_py.etcd.stand_alone import stand_alone
from coreos_py.etcd.version import downgrade, short
from coreos_py.etcd.wal import WAL, WalContents, exists
from coreos_py.raft.errors import RaftError
from coreos_py.raft.log import MemoryLog
from coreos_py.raft.node import Config as RaftConfig
from coreos_py.raft.node import RawNode
from coreos_py.raft.types import ConfChange, ConfChangeType, Snapshot
from coreos_py.store.snapshot import BadSnapshot
from coreos_py.store.store import Store

if TYPE_CHECKING:
    from coreos_py.etcd.config import Config
    from coreos_py.etcd.datadir import MemberDirs
    from coreos_py.http.aclient import AsyncHTTPClient

log = logging.getLogger("etcdserver")
raft_log = logging.getLogger("raft")
wal_log = logging.getLogger("wal")
snap_log = logging.getLogger("snap")


class Started(NamedTuple):
    """A member that is ready to run; `remotes` may help a newcomer to catch up."""

    id: int
    cluster: Cluster
    store: Store
    node: RawNode
    wal: WAL
    snapshotter: Snapshotter
    remotes: tuple[Member, ...] = ()
    applied: int = 0
    applied_term: int = 0


class _Opened(NamedTuple):
    """What a data directory holds; the log is locked and ready for writing."""

    store: Store
    snapshotter: Snapshotter
    snapshot: Snapshot | None
    wal: WAL
    contents: WalContents

    @property
    def promised_nothing(self) -> bool:
        """True if a founder's first save never ended: nobody has heard of this member yet."""
        return self.snapshot is None and not self.contents.hard_state.term


async def start(config: Config, client: AsyncHTTPClient) -> Started:
    """The member that this configuration and data directory describe; CoreosError if none."""
    dirs = datadir.prepare_member(config.data_dir, wal_dir=config.wal_dir, log=log.log)
    if exists(dirs.wal):
        opened = _open(config, dirs)
        if opened.promised_nothing and config.new_cluster and not config.force_new_cluster:
            log.warning("the member was never started completely, starting it anew")
            return await found(await _with_dns(config), dirs, client=client, begun=opened)
        if config.discovery:
            text = "discovery token ignored since a cluster has already been initialized. "
            log.warning('%sValid log found at "%s"', text, dirs.wal)
        return _restart(config, dirs, opened)
    config = await _with_dns(config)
    if config.new_cluster:
        return await found(config, dirs, client=client)
    return await join(config, dirs, client=client)


async def found(
    config: Config, dirs: MemberDirs, *, client: AsyncHTTPClient, begun: _Opened | None = None
) -> Started:
    """A founding member of the cluster that --initial-cluster describes.

    `begun` is what is left of an earlier start that was cut off.
    """
    urls_map = initial_cluster(config)
    own = _own_urls(config, urls_map)
    if not await remote.same_urls(config.advertise_peer_urls, own):
        wanted = urls.format_urls_map({config.name: config.advertise_peer_urls})
        given = ",".join(sorted(config.advertise_peer_urls))
        raise CoreosError(
            f"--initial-cluster must include {wanted} given --initial-advertise-peer-urls={given}"
        )
    _refuse_duplicates(urls_map)
    cluster = _founded(urls_map, config)
    member = cluster.by_name(config.name)
    assert member is not None
    others = cluster.peer_urls(without=config.name)
    if await remote.is_bootstrapped(others, member.id, client=client):
        raise CoreosError(f"member {member.id:x} has already been bootstrapped")
    if config.discovery:
        urls_map = await discovery_client.join(
            config.discovery,
            member.id,
            urls.format_urls_map(urls_map),
            proxy=config.discovery_proxy,
            again=begun is not None,
        )
        cluster = _discovered(urls_map, config, member)
    _describe(config, initial=urls_map)
    peers = []
    for founder in cluster.sorted():
        context = membership.member_json(founder).encode()
        change = ConfChange(0, ConfChangeType.ADD_NODE, founder.id, context)
        peers.append((founder.id, pb.encode_conf_change(change)))
    wal = None
    if begun is not None:
        wal = begun.wal
        _refuse_other(dirs, begun.contents, cluster=cluster, member=member)
    return _create(config, dirs, cluster=cluster, member=member, peers=peers, wal=wal)


def _refuse_other(
    dirs: MemberDirs, contents: WalContents, *, cluster: Cluster, member: Member
) -> None:
    """What was begun must be the member that the flags describe."""
    metadata = pb.decode_metadata(contents.metadata)
    if (metadata.node_id, metadata.cluster_id) != (member.id, cluster.id):
        raise CoreosError(
            f"{dirs.wal}: begun as member {metadata.node_id:x} of cluster"
            f" {metadata.cluster_id:x}, but the flags describe member {member.id:x}"
            f" of cluster {cluster.id:x}",
            hint="nothing is in it yet: remove it, or give the flags of the first start",
        )


async def join(config: Config, dirs: MemberDirs, *, client: AsyncHTTPClient) -> Started:
    """A member that somebody has added to a running cluster."""
    if config.discovery:
        raise CoreosError("discovery URL should not be set when joining existing initial cluster")
    urls_map = initial_cluster(config)
    _own_urls(config, urls_map)
    _refuse_duplicates(urls_map)
    local = _founded(urls_map, config)
    others = local.peer_urls(without=config.name)
    existing = await remote.fetch_cluster(others, client=client, timeout_s=10.0, log_errors=True)
    if existing is None:
        raise CoreosError(
            "cannot fetch cluster info from peer urls: "
            "could not retrieve cluster information from the given urls"
        )
    try:
        cluster = membership.assign_ids(local, existing)
    except MembershipError as error:
        raise CoreosError(f"error validating peerURLs {describe(existing)}: {error}") from None
    member = cluster.by_name(config.name)
    assert member is not None
    if not await remote.is_compatible(cluster, member.id, client=client):
        # The spelling is etcd 2.3.8's.
        raise CoreosError("incomptible with current running cluster")
    _describe(config, initial=None)
    started = _create(config, dirs, cluster=cluster, member=member, peers=[])
    return started._replace(remotes=tuple(m for m in existing.sorted() if m.id != member.id))


def _open(config: Config, dirs: MemberDirs) -> _Opened:
    """Read what a member that was here before has left."""
    datadir.create_member(dirs)
    snapshotter = Snapshotter(dirs.snap, log=snap_log.log)
    snapshotter.remove_leftovers()
    snapshot = snapshotter.load()
    store = Store(history_capacity=config.event_history)
    at = (0, 0)
    if snapshot is not None:
        try:
            store.recover(snapshot.data)
        except BadSnapshot as error:
            raise CoreosError(
                f"{dirs.snap}: recovered store from snapshot error: {error}"
            ) from None
        at = (snapshot.meta.index, snapshot.meta.term)
        log.info("recovered store from snapshot at index %d", at[0])
        snapshot = Snapshot(b"", snapshot.meta)  # the store has the data, the disk has it too
    _describe(config, initial=None)
    wal = WAL.open(dirs.wal, at=at, log=wal_log.log)
    return _Opened(store, snapshotter, snapshot, wal, wal.read_all())


def _restart(config: Config, dirs: MemberDirs, opened: _Opened) -> Started:
    """A member that was here before."""
    store, snapshotter, snapshot, wal, contents = opened
    metadata = pb.decode_metadata(contents.metadata)
    hard_state, entries = contents.hard_state, contents.entries
    if config.force_new_cluster:
        voters = snapshot.meta.nodes if snapshot is not None else ()
        alone = stand_alone(metadata.node_id, voters, hard_state=hard_state, entries=entries)
        unsure = sum(entry.index > hard_state.commit for entry in entries)
        if unsure:
            log.info("keeping %d WAL entries that were not known to be committed", unsure)
        wal.save(alone.hard_state, alone.appended, sync=True)
        hard_state, entries = alone.hard_state, alone.kept + alone.appended
    word = "forcing restart of" if config.force_new_cluster else "restarting"
    log.info(
        "%s member %x in cluster %x at commit index %d",
        word,
        metadata.node_id,
        metadata.cluster_id,
        hard_state.commit,
    )
    try:
        storage = MemoryLog(snapshot=snapshot, entries=entries, hard_state=hard_state)
        node = _raw_node(config, metadata.node_id, storage)
    except RaftError as error:
        raise CoreosError(f"{dirs.wal}: {error}") from None
    if snapshot is not None:
        storage.supply_snapshot(snapshot_loader(dirs.snap, snapshot.meta))
    cluster = Cluster(metadata.cluster_id)
    try:
        cluster.recover(store)
    except ValueError as error:
        raise CoreosError(
            f"{dirs.snap}: the members in the snapshot are damaged: {error}"
        ) from None
    problem = downgrade(cluster.version)
    if problem:
        raise CoreosError(problem)
    for known in cluster.sorted():
        peer_urls = " ".join(known.peer_urls)
        text = "added member %x [%s] to cluster %x from store"
        log.info(text, known.id, peer_urls, cluster.id)
    if cluster.version is not None:
        log.info("set the cluster version to %s from store", short(cluster.version))
    if not config.force_new_cluster:
        _hasten(config, node)
    return Started(
        metadata.node_id,
        cluster,
        store,
        node,
        wal,
        snapshotter,
        applied=snapshot.meta.index if snapshot is not None else 0,
        applied_term=snapshot.meta.term if snapshot is not None else 0,
    )


def _create(
    config: Config,
    dirs: MemberDirs,
    *,
    cluster: Cluster,
    member: Member,
    peers: list[tuple[int, bytes]],
    wal: WAL | None = None,
) -> Started:
    datadir.create_member(dirs)
    if wal is None:
        metadata = pb.encode_metadata(pb.Metadata(member.id, cluster.id))
        wal = WAL.create(dirs.wal, metadata, log=wal_log.log)
    log.info("starting member %x in cluster %x", member.id, cluster.id)
    node = _raw_node(config, member.id, MemoryLog())
    if peers:
        node.bootstrap(peers)
    _hasten(config, node)
    snapshotter = Snapshotter(dirs.snap, log=snap_log.log)
    store = Store(history_capacity=config.event_history)
    return Started(member.id, cluster, store, node, wal, snapshotter)


def _raw_node(config: Config, number: int, storage: MemoryLog) -> RawNode:
    raft_config = RaftConfig(number, config.election_ticks, 1)
    node = RawNode(raft_config, storage, rng=random.Random())
    raft_log.info(
        "newRaft %x [peers: [%s], term: %d, commit: %d, applied: %d, lastindex: %d, lastterm: %d]",
        number,
        ",".join(f"{peer:x}" for peer in storage.snapshot_meta.nodes),
        node.term,
        node.committed,
        node.applied,
        storage.last_index,
        storage.last_term,
    )
    return node


def _hasten(config: Config, node: RawNode) -> None:
    """Let the first election come soon, but leave a living leader one heartbeat to speak up."""
    for _ in range(config.election_ticks - 1):
        node.tick()


def initial_cluster(config: Config) -> urls.URLsMap:
    """--initial-cluster as a map, only ourselves before discovery; CoreosError if it is none."""
    if config.discovery:
        return {config.name: config.advertise_peer_urls}
    try:
        return urls.parse_urls_map(config.initial_cluster)
    except urls.BadURL as error:
        raise CoreosError(f"error setting up initial cluster: {error}") from None


async def _with_dns(config: Config) -> Config:
    """The configuration with --initial-cluster as DNS has it, if that is to be asked."""
    if not config.discovery_srv:
        return config
    try:
        text = await srv_bootstrap.discover(config)
        if config.name not in urls.parse_urls_map(text):
            raise CoreosError(f'cannot find local etcd member "{config.name}" in SRV records')
    except (CoreosError, urls.BadURL) as error:
        raise CoreosError(f"error setting up initial cluster: {error}") from None
    return config._replace(initial_cluster=text, initial_cluster_is_default=False)


def _discovered(urls_map: urls.URLsMap, config: Config, own: Member) -> Cluster:
    """The cluster a discovery service has put together, with us in it."""
    shown = urls.format_urls_map(urls_map)
    if urls.has_duplicate_url(urls_map):
        raise CoreosError(f"discovery cluster {shown} has duplicate url")
    cluster = _founded(urls_map, config)
    if cluster.members.get(own.id) != own:
        raise CoreosError(f"discovery cluster {shown} has another member {own.id:x} than this one")
    return cluster


def _own_urls(config: Config, urls_map: urls.URLsMap) -> tuple[str, ...]:
    own = urls_map.get(config.name)
    if own is None:
        raise CoreosError(
            f'couldn\'t find local name "{config.name}" in the initial cluster configuration'
        )
    return own


def _refuse_duplicates(urls_map: urls.URLsMap) -> None:
    if urls.has_duplicate_url(urls_map):
        raise CoreosError(f"initial cluster {urls.format_urls_map(urls_map)} has duplicate url")


def _founded(urls_map: urls.URLsMap, config: Config) -> Cluster:
    try:
        return Cluster.founded(urls_map, config.token)
    except MembershipError as error:
        raise CoreosError(str(error)) from None


def describe(cluster: Cluster) -> str:
    """A cluster in one line, for error messages."""
    members = " ".join(
        f"{{{member.id:x} {member.name or '-'} [{' '.join(member.peer_urls)}]}}"
        for member in cluster.sorted()
    )
    return f"{{ClusterID:{cluster.id:x} Members:[{members}]}}"


def _describe(config: Config, *, initial: urls.URLsMap | None) -> None:
    log.info("name = %s", config.name)
    if config.force_new_cluster:
        log.info("force new cluster")
    log.info("data dir = %s", config.data_dir)
    log.info("member dir = %s", config.member_dir)
    if config.wal_dir:
        log.info("dedicated WAL dir = %s", config.wal_dir)
    log.info("heartbeat = %dms", config.heartbeat_ms)
    log.info("election = %dms", config.election_ticks * config.heartbeat_ms)
    log.info("snapshot count = %d", config.snapshot_count)
    if config.discovery:
        log.info("discovery URL= %s", config.discovery)
        if config.discovery_proxy:
            log.info("discovery proxy = %s", config.discovery_proxy)
    log.info("advertise client URLs = %s", ",".join(config.advertise_client_urls))
    if initial is not None:
        log.info("initial advertise peer URLs = %s", ",".join(config.advertise_peer_urls))
        log.info("initial cluster = %s", urls.format_urls_map(initial))
