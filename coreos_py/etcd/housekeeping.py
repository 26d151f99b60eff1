"""What a member does beside serving: publish itself, agree on the cluster version, purge old files.

Mirrors publish, monitorVersions and purgeFile of etcd 2.3.8's etcdserver/server.go.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
from typing import TYPE_CHECKING

from coreos_py.base.errors import CoreosError, StoreError
from coreos_py.etcd import membership, pb, remote, version

if TYPE_CHECKING:
    from coreos_py.etcd.server import Server
    from coreos_py.http.aclient import AsyncHTTPClient

VERSION_INTERVAL_S = 4.0
PURGE_INTERVAL_S = 30.0
FD_INTERVAL_S = 5.0
REMOVED_DELAY_S = 1.0
LINGER_S = 60.0
LINGER_INTERVAL_S = 0.25

log = logging.getLogger("etcdserver")
purge_log = logging.getLogger("fileutil")


async def publish(server: Server) -> None:
    """Tell the cluster this member's name and client URLs, until it has heard."""
    config = server.config
    urls = config.advertise_client_urls
    value = membership.attributes_json(config.name, urls)
    path = membership.attributes_key(server.id)
    while True:
        try:
            await server.propose_and_wait(pb.Request(server.next_id(), "PUT", path, value))
        except StoreError as error:
            log.error("publish error: %s", error.cause)
            continue
        shown = f"{{Name:{config.name} ClientURLs:[{' '.join(urls)}]}}"
        log.info("published %s to cluster %x", shown, server.cluster.id)
        return


async def monitor_versions(server: Server, client: AsyncHTTPClient) -> None:
    """As leader, raise the cluster version to what every member can do."""
    while True:
        try:
            async with asyncio.timeout(VERSION_INTERVAL_S):
                await server.version_wanted.wait()
        except TimeoutError:
            pass
        server.version_wanted.clear()
        if server.leader != server.id:
            continue
        versions = await remote.get_versions(server.cluster, server.id, client=client)
        decided = remote.decide_cluster_version(versions)
        current = server.cluster.version
        if current is None:
            wanted = version.MIN_CLUSTER if decided is None else str(decided.minor_only())
            log.info("setting up the initial cluster version to %s", version.short(wanted))
        elif decided is not None and version.parse(current) < decided.minor_only():
            wanted = str(decided.minor_only())
            log.info(
                "updating the cluster version from %s to %s",
                version.short(current),
                version.short(wanted),
            )
        else:
            continue
        request = pb.Request(server.next_id(), "PUT", membership.VERSION_KEY, wanted)
        try:
            await server.propose_and_wait(request)
        except StoreError as error:
            log.error("error updating cluster version (%s)", error.cause)


async def purge_files(server: Server) -> None:
    """Remove log and snapshot files beyond the configured numbers."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(PURGE_INTERVAL_S)
        try:
            removed = await loop.run_in_executor(None, server.purge)
        except CoreosError as error:
            log.critical("failed to purge files %s", error)
            server.exit_with(1)
            return
        for path in removed:
            purge_log.info("purged file %s successfully", path)


async def leave(server: Server, client: AsyncHTTPClient) -> None:
    """End this member, which was removed, once another one knows that it may do without.

    The last of two needs the vote of the first for ever if it never hears of the removal; until
    then this member sends what it has as leader, or votes. etcd 2.3.8 stays for a second only.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + LINGER_S
    await asyncio.sleep(REMOVED_DELAY_S)
    while not await remote.is_dispensable(server.cluster, server.id, client=client):
        if loop.time() > deadline_s:
            log.warning("no other member could be told of the removal of %x", server.id)
            break
        await asyncio.sleep(LINGER_INTERVAL_S)
    server.removed()


async def watch_descriptors(server: Server) -> None:
    """Warn before file descriptors run out."""
    while not server.stopping:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        used = len(os.listdir("/proc/self/fd"))
        if used >= limit // 5 * 4:
            log.warning(
                "80%% of the file descriptor limit is used [used = %d, limit = %d]", used, limit
            )
        await asyncio.sleep(FD_INTERVAL_S)
