"""The life of the etcd process: listeners, server, readiness, signals, exit status.

Mirrors startEtcd and Main of etcd 2.3.8's etcdmain/etcd.go.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import sys
from typing import TYPE_CHECKING

from coreos_py.base.errors import CoreosError
from coreos_py.base.golog import NOTICE
from coreos_py.etcd import bootstrap, datadir, proxy_daemon, replies, version
from coreos_py.etcd.client_api import BODY_BYTES_MAX, ClientAPI
from coreos_py.etcd.discovery import ClusterFull, JoinFailed
from coreos_py.etcd.member import start_member
from coreos_py.etcd.peer_api import SNAPSHOT_BYTES_MAX, STREAM_BACKLOG_BYTES_MAX, PeerAPI
from coreos_py.etcd.process import (
    Process,
    connections_limit,
    listener_context,
    notify_ready,
    tune_gc,
)
from coreos_py.http.server import HTTPServer, Limits

if TYPE_CHECKING:
    from coreos_py.etcd.config import Config
    from coreos_py.etcd.server import Server
    from coreos_py.http.exchange import Pending
    from coreos_py.http.message import Request, Response

WRITE_TIMEOUT_S = 5.0

log = logging.getLogger("etcdmain")


def run(config: Config) -> int:
    """Serve until told to stop; the exit status. CoreosError if the process cannot start."""
    log.info("etcd Version: %s", version.SERVER)
    log.info("Git SHA: %s", version.GIT_SHA)
    log.info("Python Version: %s", platform.python_version())
    log.info("OS/Arch: %s/%s", sys.platform, platform.machine())
    kind = datadir.identify(config.data_dir, log=log.log)
    if kind is not datadir.DirKind.EMPTY:
        text = "the server is already initialized as %s before, starting as etcd %s..."
        log.log(NOTICE, text, kind, kind)
    return asyncio.run(_main(config, kind))


async def _main(config: Config, kind: datadir.DirKind) -> int:
    process = Process()
    try:
        process.handle_signals()
        if kind is datadir.DirKind.EMPTY:
            status = None if config.is_proxy else await _try_member(config, process)
            return await proxy_daemon.run(config, process) if status is None else status
        if kind is datadir.DirKind.PROXY:
            return await proxy_daemon.run(config, process)
        return await _member(config, process)
    finally:
        process.close()


async def _member(config: Config, process: Process) -> int:
    try:
        return await Life(config, process).run()
    except CoreosError:
        await process.give_up()
        raise


async def _try_member(config: Config, process: Process) -> int | None:
    """None if there is no place for us in the cluster, and a proxy is to do instead."""
    try:
        return await _member(config, process)
    except JoinFailed as error:
        if config.discovery_fallback != "proxy" or not isinstance(error.reason, ClusterFull):
            raise
        log.log(NOTICE, "discovery cluster full, falling back to proxy")
        return None


class Life:
    """One run as a member, from its sockets to its exit status."""

    def __init__(self, config: Config, process: Process) -> None:
        self._config = config
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._peers: PeerAPI | None = None
        self._server: Server | None = None

    async def run(self) -> int:
        """Start, serve, and stop."""
        config, process = self._config, self._process
        bootstrap.initial_cluster(config)  # refuse a malformed one before anything is opened
        peer_tls = listener_context(config.listen_peer_urls, config.peer_tls)
        client_tls = listener_context(config.listen_client_urls, config.client_tls)
        peer_sockets = process.bind("peers", config.listen_peer_urls, config.peer_tls, side="peer")
        client_sockets = process.bind(
            "client requests", config.listen_client_urls, config.client_tls, side="client"
        )
        limit = connections_limit()
        process.listen(
            HTTPServer(self._handle_peer, limits=_peer_limits()),
            config.listen_peer_urls,
            peer_sockets,
            context=peer_tls,
        )
        starting = self._loop.create_task(self._start())
        await asyncio.wait((starting, process.status), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            return await process.status
        api = ClientAPI(starting.result(), cors=config.cors)
        limits = Limits(body_max=BODY_BYTES_MAX, idle_timeout_s=None, body_timeout_s=None)
        process.listen(
            HTTPServer(api.handle, limits=limits, oversize=api.oversize),
            config.listen_client_urls,
            client_sockets,
            context=client_tls,
            connections_max=limit,
        )
        notify_ready()
        tune_gc()
        status = await process.status
        process.stop_listening()
        if self._server is not None:
            self._server.stop()
        await process.drain()
        return status

    async def _start(self) -> Server:
        server, transport = await start_member(self._config, exit_with=self._process.exit_with)
        self._peers = PeerAPI(server, transport)
        self._server = server
        return server

    def _handle_peer(self, request: Request) -> Response | Pending:
        if self._peers is None:  # so that peers who ask do not have to wait for our bootstrap
            return replies.text_error(503, "member is starting")
        return self._peers.handle(request)


def _peer_limits() -> Limits:
    return Limits(
        body_max=SNAPSHOT_BYTES_MAX,
        stream_backlog_max=STREAM_BACKLOG_BYTES_MAX,
        write_timeout_s=WRITE_TIMEOUT_S,
    )
