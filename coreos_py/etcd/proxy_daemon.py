"""The life of an etcd that is no member: finds the members, stays up to date, serves clients.

Mirrors startProxy of etcd 2.3.8's etcdmain/etcd.go and the loop of its proxy/director.go.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from typing import TYPE_CHECKING

from coreos_py.base.atomic import fsync_dir, write_all
from coreos_py.base.errors import CoreosError
from coreos_py.base.golog import NOTICE
from coreos_py.etcd import datadir, discovery_client, proxy, remote, srv_bootstrap, urls
from coreos_py.etcd.process import client_context, listener_context, notify_ready, tune_gc
from coreos_py.etcd.proxy import Director, go_list
from coreos_py.etcd.proxy_forward import ProxyAPI, Rules
from coreos_py.http.aclient import AsyncHTTPClient
from coreos_py.http.server import HTTPServer, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from coreos_py.base.tls import ContextSource
    from coreos_py.etcd.config import Config
    from coreos_py.etcd.process import Process

DIRECTORY = "proxy"
CLUSTER_FILE = "cluster"
FILE_MODE = 0o600
FETCH_TIMEOUT_S = 10.0
IDLE_CONNECTIONS_MAX = 128
BODY_BYTES_MAX = 32 << 20
ENDLESS = 1 << 62

log = logging.getLogger("etcdmain")
proxy_log = logging.getLogger("proxy")


async def run(config: Config, process: Process) -> int:
    """Serve as a proxy until told to stop; the exit status. CoreosError if it cannot start."""
    loop = asyncio.get_running_loop()
    starting = loop.create_task(_start(config, process))
    await asyncio.wait((starting, process.status), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        return await process.status
    api, refreshing = starting.result()
    notify_ready()
    tune_gc()
    status = await process.status
    process.stop_listening()
    refreshing.cancel()
    api.close()
    await process.drain()
    return status


async def _start(config: Config, process: Process) -> tuple[ProxyAPI, asyncio.Task[None]]:
    flags = config.proxy
    context = client_context(config.peer_tls)
    directory = os.path.join(config.data_dir, DIRECTORY)
    file = os.path.join(directory, CLUSTER_FILE)
    datadir.make_writable(directory, "access proxy")
    peer_urls = await _peer_urls(config, file)
    director = Director()
    members = Members(file, peer_urls, client=_client(config, context, body_max=BODY_BYTES_MAX))
    refresher = Refresher(
        members, director, interval_ms=flags.refresh_interval_ms, shuffle=random.Random().shuffle
    )
    await refresher.refresh()
    rules = Rules(
        flags.mode == "readonly",
        config.cors,
        flags.failure_wait_ms / 1000,
        flags.read_timeout_ms / 1000 or None,
    )
    api = ProxyAPI(director, _client(config, context, body_max=ENDLESS), rules)
    limits = Limits(body_max=BODY_BYTES_MAX, idle_timeout_s=None, body_timeout_s=None)
    listen_urls = config.listen_client_urls
    secure = listener_context(listen_urls, config.client_tls)
    sockets = process.bind(
        "client requests", listen_urls, config.client_tls, side="client", announce=False
    )
    process.listen(HTTPServer(api.handle, limits=limits), listen_urls, sockets, context=secure)
    for url in listen_urls:
        log.info("proxy: listening for client requests on %s", url)
    return api, asyncio.get_running_loop().create_task(refresher.run())


class Members:
    """What the members tell about each other, remembered in the cluster file."""

    def __init__(self, file: str, peer_urls: tuple[str, ...], *, client: AsyncHTTPClient) -> None:
        self._file = file
        self._peer_urls = peer_urls
        self._saved: tuple[str, ...] | None = None
        self._client = client
        self._client_urls: list[str] = []

    async def client_urls(self) -> list[str]:
        """The members' client URLs; none if no member can be asked."""
        cluster = await remote.fetch_cluster(
            self._peer_urls, client=self._client, timeout_s=FETCH_TIMEOUT_S, log_errors=True
        )
        if cluster is None:
            text = "proxy: could not retrieve cluster information from the given urls"
            log.warning("%s", text)
            return []
        if cluster.members:
            self._client_urls = cluster.client_urls()
            self._remember(tuple(cluster.peer_urls()))
        return self._client_urls

    def _remember(self, peer_urls: tuple[str, ...]) -> None:
        if peer_urls != self._saved:
            try:
                save_cluster_file(self._file, peer_urls)
            except OSError as error:
                log.warning("proxy: error on writing urls %s", error)
                return
            self._saved = peer_urls
        if peer_urls != self._peer_urls:
            log.log(
                NOTICE,
                "proxy: updated peer urls in cluster file from %s to %s",
                go_list(self._peer_urls),
                go_list(peer_urls),
            )
        self._peer_urls = peer_urls


class Refresher:
    """Keeps the director up to date."""

    def __init__(
        self,
        members: Members,
        director: Director,
        *,
        interval_ms: int,
        shuffle: Callable[[list[proxy.Upstream]], None],
    ) -> None:
        self._members = members
        self._director = director
        self._interval_ms = interval_ms
        self._shuffle = shuffle
        self._told = False

    async def refresh(self) -> None:
        """Ask the members once."""
        found = await self._members.client_urls()
        for problem in self._director.replace(found, shuffle=self._shuffle):
            proxy_log.info("upstream URL invalid: %s", problem)
        urls_found = [upstream.url for upstream in self._director.available()]
        if urls_found and not self._told:
            self._told = True
            proxy_log.info("endpoints found %s", proxy.go_quoted_list(urls_found))

    async def run(self) -> None:
        """Ask them again and again."""
        while True:
            found = bool(self._director.available())
            await asyncio.sleep(proxy.refresh_delay_ms(self._interval_ms, found=found) / 1000)
            await self.refresh()


async def _peer_urls(config: Config, file: str) -> tuple[str, ...]:
    """Where members can be asked: the cluster file knows best, then discovery or the flags."""
    known = load_cluster_file(file)
    if known is not None:
        ways = (("discovery token", config.discovery), ("DNS SRV discovery", config.discovery_srv))
        for what in (what for what, value in ways if value):
            log.warning(
                "%s ignored since the proxy has already been initialized. "
                'Valid cluster file found at "%s"',
                what,
                file,
            )
        log.info('proxy: using peer urls %s from cluster file "%s"', go_list(known), file)
        return known
    urls_map = await _discover(config)
    found = tuple(sorted(url for listed in urls_map.values() for url in listed))
    # The trailing space is etcd 2.3.8's.
    log.info("proxy: using peer urls %s ", go_list(found))
    return found


async def _discover(config: Config) -> urls.URLsMap:
    if config.discovery:
        return await discovery_client.cluster(config.discovery, proxy=config.discovery_proxy)
    try:
        text = config.initial_cluster
        if config.discovery_srv:
            text = await srv_bootstrap.discover(config)
        return urls.parse_urls_map(text)
    except (CoreosError, urls.BadURL) as error:
        raise CoreosError(f"error setting up initial cluster: {error}") from None


def load_cluster_file(path: str) -> tuple[str, ...] | None:
    """The peer URLs in a cluster file, None if there is none; CoreosError if it is damaged."""
    try:
        with open(path, "rb") as file:
            return proxy.parse_cluster_file(file.read())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CoreosError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise CoreosError(
            f"{path}: {error}", hint="remove it to find the cluster by the flags again"
        ) from None


def save_cluster_file(path: str, peer_urls: Iterable[str]) -> None:
    """Replace the cluster file; OSError if that fails, the old one stays then."""
    backup = f"{path}.bak"
    fd = os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    try:
        write_all(fd, proxy.format_cluster_file(peer_urls))
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(backup, path)
    fsync_dir(os.path.dirname(path))


def _client(config: Config, context: ContextSource | None, *, body_max: int) -> AsyncHTTPClient:
    flags = config.proxy
    return AsyncHTTPClient(
        tls=context,
        connect_timeout_s=flags.dial_timeout_ms / 1000 or None,
        write_timeout_s=flags.write_timeout_ms / 1000 or None,
        idle_max=IDLE_CONNECTIONS_MAX,
        body_max=body_max,
    )
