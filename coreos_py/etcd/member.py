"""A member that runs: recovered or founded, connected to its peers, with its chores begun.

Opens no listening socket: who calls decides where, and whether, its APIs are served.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.etcd import bootstrap, housekeeping, version
from coreos_py.etcd.process import client_context
from coreos_py.etcd.server import Server
from coreos_py.etcd.transport import Transport
from coreos_py.http.aclient import AsyncHTTPClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.etcd.config import Config

log = logging.getLogger("etcdmain")


class Running(NamedTuple):
    """A member and its way to the others."""

    server: Server
    transport: Transport


async def start_member(config: Config, *, exit_with: Callable[[int], None]) -> Running:
    """Start the member of this configuration; CoreosError if there is none to be had.

    `exit_with` is called when the member cannot go on, with the status to exit with.
    """
    loop = asyncio.get_running_loop()
    client = AsyncHTTPClient(
        tls=client_context(config.peer_tls), connect_timeout_s=config.dial_timeout_s
    )
    started = await bootstrap.start(config, client)
    server = Server(config, started, loop=loop, exit_with=exit_with)
    transport = Transport(
        server,
        number=server.id,
        cluster_id=server.cluster.id,
        peer_urls=config.advertise_peer_urls,
        client=client,
        dial_timeout_s=config.dial_timeout_s,
    )
    for remote in started.remotes:
        transport.add_remote(remote.id, remote.peer_urls)
    for member in server.cluster.sorted():
        if member.id != server.id:
            transport.add_peer(member.id, member.peer_urls)
    known = server.cluster.version
    shown = version.short(known) if known else "to_be_decided"
    text = "starting server... [version: %s, cluster version: %s]"
    housekeeping.log.info(text, version.SERVER, shown)
    server.run(transport)
    for chore in (
        housekeeping.publish(server),
        housekeeping.monitor_versions(server, client),
        housekeeping.purge_files(server),
        housekeeping.watch_descriptors(server),
    ):
        server.start_task(loop.create_task(chore))
    if config.cors:
        log.info("cors = %s", ",".join(config.cors))
    return Running(server, transport)
