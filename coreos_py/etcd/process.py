"""What every etcd process has, member or proxy: signals, sockets, readiness, an exit status.

Knows nothing of raft or of proxying. Mirrors the listeners of etcd 2.3.8's etcdmain/etcd.go and
its pkg/osutil.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
from typing import TYPE_CHECKING

from coreos_py.base import sdnotify, tls
from coreos_py.base.errors import ConfigError, CoreosError
from coreos_py.base.golog import NOTICE
from coreos_py.etcd import urls
from coreos_py.http.listen import ListenError, bind_tcp, listen

if TYPE_CHECKING:
    import socket

    from coreos_py.base.tls import ContextSource
    from coreos_py.etcd.config import TLSFiles
    from coreos_py.http.listen import Listener
    from coreos_py.http.server import HTTPServer

RESERVED_DESCRIPTORS = 150
DRAIN_S = 1.0
GC_THRESHOLDS = (50_000, 20, 50)

log = logging.getLogger("etcdmain")
os_log = logging.getLogger("osutil")

_SIGNAL_NAMES = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupt"}


class Process:
    """One run: opens sockets, waits for its end, gives everything back."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._signal = 0
        self._sockets: list[socket.socket] = []
        self._places: list[str] = []
        self._listeners: list[Listener] = []
        self._servers: list[HTTPServer] = []
        self.status: asyncio.Future[int] = self._loop.create_future()

    def handle_signals(self) -> None:
        """End at SIGTERM and SIGINT."""
        for number in _SIGNAL_NAMES:
            self._loop.add_signal_handler(number, self._on_signal, number)

    def exit_with(self, status: int) -> None:
        """End, unless the end has come already."""
        if not self.status.done():
            self.status.set_result(status)

    def bind(
        self,
        what: str,
        listen_urls: tuple[str, ...],
        files: TLSFiles,
        *,
        side: str,
        announce: bool = True,
    ) -> list[socket.socket]:
        """Open the sockets of these URLs; CoreosError if one cannot be had. `side`: for warnings"""
        found = []
        for url in listen_urls:
            where = urls.address(url)
            if where.scheme == "http" and files:
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
            if announce:
                log.info("listening for %s on %s", what, url)
                self._places.append(f"{what} on {url}")
        return found

    def listen(
        self,
        http: HTTPServer,
        listen_urls: tuple[str, ...],
        sockets: list[socket.socket],
        *,
        context: ContextSource | None,
        connections_max: int | None = None,
    ) -> None:
        """Serve on sockets that bind() opened."""
        self._servers.append(http)
        for url, sock in zip(listen_urls, sockets, strict=True):
            secure = context if url.startswith("https:") else None
            self._sockets.remove(sock)
            self._listeners += listen(http, [sock], tls=secure, connections_max=connections_max)

    def stop_listening(self) -> None:
        """Accept nothing more; connections stay."""
        for listener in self._listeners:
            listener.close()
        for sock in self._sockets:
            sock.close()

    async def drain(self) -> None:
        """Let the replies that are in the making finish."""
        for http in self._servers:
            await http.drain(DRAIN_S)

    async def give_up(self) -> None:
        """Close what was opened by a start that has failed, and say so."""
        self.stop_listening()
        for place in reversed(self._places):
            log.info("stopping listening for %s", place)
        self._places.clear()
        await self.drain()

    def close(self) -> None:
        """Give every socket back, and end by the signal that ended us."""
        self.stop_listening()
        if self._signal and os.getpid() != 1:
            signal.signal(self._signal, signal.SIG_DFL)
            os.kill(os.getpid(), self._signal)

    def _on_signal(self, number: signal.Signals) -> None:
        os_log.log(NOTICE, "received %s signal, shutting down...", _SIGNAL_NAMES[number])
        if not self.status.done():
            self._signal = number
            self.status.set_result(0)


def listener_context(listen_urls: tuple[str, ...], files: TLSFiles) -> ContextSource | None:
    """For the https URLs among these; None if there are none. Follows its files' changes."""
    secure = [url for url in listen_urls if url.startswith("https:")]
    if not secure:
        return None
    if not (files.cert and files.key):
        raise CoreosError(
            f"cannot listen on TLS for {secure[0]}: KeyFile and CertFile are not presented"
        )
    return _reloading(
        files,
        lambda: tls.server_context(
            files.cert, files.key, ca_file=files.trusted_ca, require_client_cert=files.client_auth
        ),
    )


def client_context(files: TLSFiles) -> ContextSource | None:
    """For connections to other members; None: the defaults will do. Follows its files' changes."""
    if not files and not files.trusted_ca:
        return None
    return _reloading(
        files,
        lambda: tls.client_context(
            ca_file=files.trusted_ca, cert_file=files.cert, key_file=files.key
        ),
    )


def _reloading(files: TLSFiles, make: ContextSource) -> ContextSource:
    return tls.ReloadingContext(
        make, (files.cert, files.key, files.trusted_ca), complain=log.error, notice=log.info
    )


def connections_limit() -> int:
    """How many connections the descriptors leave room for; ConfigError if too few."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit <= RESERVED_DESCRIPTORS:
        raise ConfigError(
            f"file descriptor limit[{limit}] of etcd process is too low, and should be set "
            f"higher than {RESERVED_DESCRIPTORS} to ensure internal usage"
        )
    return limit - RESERVED_DESCRIPTORS


def notify_ready() -> None:
    """Tell the service manager that we serve; a missing socket is only logged."""
    try:
        told = sdnotify.notify(sdnotify.READY)
    except OSError as error:
        log.error("failed to notify systemd for readiness: %s", error)
        return
    if not told and sdnotify.booted():
        log.error("failed to notify systemd for readiness: No socket")
        log.error("forgot to set Type=notify in systemd service file?")


def tune_gc() -> None:
    """What exists by now stays; requests leave no cycles worth looking for often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
