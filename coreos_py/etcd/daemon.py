"""The life of the etcd process: listeners, server, readiness, signals, exit status.

Mirrors startEtcd and Main of etcd 2.3.8's etcdmain/etcd.go.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import platform
import resource
import signal
import sys
from typing import TYPE_CHECKING

from coreos_py.base import sdnotify, tls
from coreos_py.base.errors import ConfigError, CoreosError
from coreos_py.base.golog import NOTICE
from coreos_py.etcd import bootstrap, datadir, housekeeping, replies, urls, version
from coreos_py.etcd.client_api import ClientAPI
from coreos_py.etcd.peer_api import SNAPSHOT_BYTES_MAX, STREAM_BACKLOG_BYTES_MAX, PeerAPI
from coreos_py.etcd.server import Server
from coreos_py.etcd.transport import Transport
from coreos_py.http.aclient import AsyncHTTPClient
from coreos_py.http.listen import ListenError, bind_tcp, listen
from coreos_py.http.server import HTTPServer, Limits

if TYPE_CHECKING:
    import socket
    import ssl

    from coreos_py.etcd.config import Config, TLSFiles
    from coreos_py.http.exchange import Pending
    from coreos_py.http.listen import Listener
    from coreos_py.http.message import Request, Response

RESERVED_DESCRIPTORS = 150
DRAIN_S = 1.0
GC_THRESHOLDS = (50_000, 20, 50)
WRITE_TIMEOUT_S = 5.0

log = logging.getLogger("etcdmain")
os_log = logging.getLogger("osutil")

_SIGNAL_NAMES = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupt"}


def run(config: Config) -> int:
    """Serve until told to stop; the exit status. CoreosError if the member cannot start."""
    log.info("etcd Version: %s", version.SERVER)
    log.info("Git SHA: %s", version.GIT_SHA)
    log.info("Python Version: %s", platform.python_version())
    log.info("OS/Arch: %s/%s", sys.platform, platform.machine())
    kind = datadir.identify(config.data_dir, log=log.log)
    if kind is datadir.DirKind.PROXY:
        raise CoreosError(
            f"{config.data_dir} belongs to a proxy, which is not available in this version"
        )
    if kind is datadir.DirKind.MEMBER:
        text = "the server is already initialized as %s before, starting as etcd %s..."
        log.log(NOTICE, text, kind, kind)
    return asyncio.run(_main(config))


async def _main(config: Config) -> int:
    life = Life(config)
    try:
        return await life.run()
    finally:
        life.close()


class Life:
    """One run of the process, from its sockets to its exit status."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._status: asyncio.Future[int] = self._loop.create_future()
        self._signal = 0
        self._sockets: list[socket.socket] = []
        self._listeners: list[Listener] = []
        self._servers: list[HTTPServer] = []
        self._peers: PeerAPI | None = None
        self._server: Server | None = None

    async def run(self) -> int:
        """Start, serve, and stop."""
        config = self._config
        for number in _SIGNAL_NAMES:
            self._loop.add_signal_handler(number, self._on_signal, number)
        bootstrap.initial_cluster(config)  # refuse a malformed one before anything is opened
        peer_tls = _listener_tls(config.listen_peer_urls, config.peer_tls)
        client_tls = _listener_tls(config.listen_client_urls, config.client_tls)
        peer_sockets = self._bind("peers", config.listen_peer_urls, config.peer_tls)
        client_sockets = self._bind("client requests", config.listen_client_urls, config.client_tls)
        limit = _descriptor_limit()
        self._listen(
            HTTPServer(self._handle_peer, limits=_peer_limits()),
            config.listen_peer_urls,
            peer_sockets,
            context=peer_tls,
        )
        starting = self._loop.create_task(self._start())
        await asyncio.wait((starting, self._status), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            return await self._status
        api = ClientAPI(starting.result(), cors=config.cors)
        limits = Limits(body_max=api.body_max, idle_timeout_s=None, body_timeout_s=None)
        self._listen(
            HTTPServer(api.handle, limits=limits, oversize=api.oversize),
            config.listen_client_urls,
            client_sockets,
            context=client_tls,
            connections_max=limit,
        )
        _notify_ready()
        _tune_gc()
        status = await self._status
        await self._stop()
        return status

    def close(self) -> None:
        """Give every socket back, and end by the signal that ended us."""
        for listener in self._listeners:
            listener.close()
        for sock in self._sockets:
            sock.close()
        if self._signal and os.getpid() != 1:
            signal.signal(self._signal, signal.SIG_DFL)
            os.kill(os.getpid(), self._signal)

    async def _start(self) -> Server:
        config = self._config
        client = AsyncHTTPClient(
            tls=_client_context(config.peer_tls), connect_timeout_s=config.dial_timeout_s
        )
        started = await bootstrap.start(config, client)
        server = Server(config, started, loop=self._loop, exit_with=self._exit_with)
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
        self._peers = PeerAPI(server, transport)
        self._server = server
        server.run(transport)
        for chore in (
            housekeeping.publish(server),
            housekeeping.monitor_versions(server, client),
            housekeeping.purge_files(server),
            housekeeping.watch_descriptors(server),
        ):
            server.start_task(self._loop.create_task(chore))
        if config.cors:
            log.info("cors = %s", ",".join(config.cors))
        return server

    async def _stop(self) -> None:
        for listener in self._listeners:
            listener.close()
        if self._server is not None:
            self._server.stop()
        for http in self._servers:
            await http.drain(DRAIN_S)

    def _handle_peer(self, request: Request) -> Response | Pending:
        if self._peers is None:  # so that peers who ask do not have to wait for our bootstrap
            return replies.text_error(503, "member is starting")
        return self._peers.handle(request)

    def _bind(
        self, what: str, listen_urls: tuple[str, ...], files: TLSFiles
    ) -> list[socket.socket]:
        found = []
        for url in listen_urls:
            where = urls.address(url)
            if where.scheme == "http" and files:
                side = "peer" if what == "peers" else "client"
                log.warning(
                    "The scheme of %s url %s is http while %s key/cert files are presented. "
                    "Ignored %s key/cert files.",
                    *(side, url, side, side),
                )
            try:
                sock = bind_tcp(where.host, int(where.port or 0))
            except ListenError as error:
                raise CoreosError(str(error)) from None
            self._sockets.append(sock)
            found.append(sock)
            log.info("listening for %s on %s", what, url)
        return found

    def _listen(
        self,
        http: HTTPServer,
        listen_urls: tuple[str, ...],
        sockets: list[socket.socket],
        *,
        context: ssl.SSLContext | None,
        connections_max: int | None = None,
    ) -> None:
        self._servers.append(http)
        for url, sock in zip(listen_urls, sockets, strict=True):
            secure = context if url.startswith("https:") else None
            self._sockets.remove(sock)
            self._listeners += listen(http, [sock], tls=secure, connections_max=connections_max)

    def _exit_with(self, status: int) -> None:
        if not self._status.done():
            self._status.set_result(status)

    def _on_signal(self, number: signal.Signals) -> None:
        os_log.log(NOTICE, "received %s signal, shutting down...", _SIGNAL_NAMES[number])
        if not self._status.done():
            self._signal = number
            self._status.set_result(0)


def _listener_tls(listen_urls: tuple[str, ...], files: TLSFiles) -> ssl.SSLContext | None:
    secure = [url for url in listen_urls if url.startswith("https:")]
    if not secure:
        return None
    if not (files.cert and files.key):
        raise CoreosError(
            f"cannot listen on TLS for {secure[0]}: KeyFile and CertFile are not presented"
        )
    return tls.server_context(
        files.cert, files.key, ca_file=files.trusted_ca, require_client_cert=files.client_auth
    )


def _client_context(files: TLSFiles) -> ssl.SSLContext | None:
    if not files and not files.trusted_ca:
        return None
    return tls.client_context(ca_file=files.trusted_ca, cert_file=files.cert, key_file=files.key)


def _peer_limits() -> Limits:
    return Limits(
        body_max=SNAPSHOT_BYTES_MAX,
        stream_backlog_max=STREAM_BACKLOG_BYTES_MAX,
        write_timeout_s=WRITE_TIMEOUT_S,
    )


def _descriptor_limit() -> int:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit <= RESERVED_DESCRIPTORS:
        raise ConfigError(
            f"file descriptor limit[{limit}] of etcd process is too low, and should be set "
            f"higher than {RESERVED_DESCRIPTORS} to ensure internal usage"
        )
    return limit - RESERVED_DESCRIPTORS


def _notify_ready() -> None:
    try:
        told = sdnotify.notify(sdnotify.READY)
    except OSError as error:
        log.error("failed to notify systemd for readiness: %s", error)
        return
    if not told and sdnotify.booted():
        log.error("failed to notify systemd for readiness: No socket")
        log.error("forgot to set Type=notify in systemd service file?")


def _tune_gc() -> None:
    """What exists by now stays; requests leave no cycles worth looking for often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
