"""fleetd: the daemon that keeps units running across machines."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

from coreos_py.base import golog, sdnotify, tls
from coreos_py.base.errors import CoreosError
from coreos_py.cli.grammar import GO
from coreos_py.cli.program import Call, Program
from coreos_py.cli.settings import BOOL, STRING, Setting
from coreos_py.fleet import config as configuration
from coreos_py.fleet import netinfo, sockets
from coreos_py.fleet.api import oversize
from coreos_py.fleet.api_reply import VERSION, failure
from coreos_py.fleet.server import Server, print_dump
from coreos_py.http.listen import listen
from coreos_py.http.server import HTTPServer, Limits

if TYPE_CHECKING:
    import ssl

    from coreos_py.fleet.config import Config
    from coreos_py.http.server import Pending, Request, Response
    from coreos_py.systemd.manager import UnitManager

log = logging.getLogger(__name__)

ABOUT = """\
Settings come from the environment (FLEET_ and the setting's name in capitals), then from the
configuration file; fleet.conf(5) lists them.
"""
UNAVAILABLE = "fleet server unable to communicate with etcd"
BODY_MAX = 4 << 20
_DRAIN_S = 0.5


class Fleetd(Program):
    """fleetd's command line: two flags, and `fleetd version`."""

    def on_version(self, call: Call) -> int:
        print(f"fleetd version {VERSION}")
        return 0

    def usage_text(self, call: Call) -> str:
        return ""


PROGRAM = Fleetd(
    "fleetd",
    GO,
    settings=(
        Setting("config", STRING, help=f"configuration file ({configuration.DEFAULT_PATH} if any)"),
        Setting("etcd-api", STRING, help="API of etcd to use, before etcd_api", metavar="v2|v3"),
        Setting("version", BOOL, help="print the version and exit"),
    ),
    target="coreos_py.fleet.cmd_fleetd:serve",
    version=VERSION,
    help="keeps units running across the machines of a cluster",
    about=ABOUT,
)


def main(argv: list[str]) -> int:
    """Run fleetd."""
    return PROGRAM.run(argv)


def serve(call: Call) -> int:
    """Run the daemon until it is told to stop."""
    if call.args == ["version"]:
        return PROGRAM.on_version(call)
    if call.args:
        text = "fleetd takes no arguments. Did you mean to invoke fleetctl instead?"
        print(text, file=sys.stderr)
        print(PROGRAM.help_text(call), file=sys.stderr)
        return 1
    golog.setup(golog.FleetFormatter())
    try:
        daemon = Daemon(call.settings["config"], etcd_api=call.settings["etcd-api"])
        return asyncio.run(daemon.run())
    except CoreosError as err:
        log.critical("%s", err)
        return 1


class Daemon:
    """The process: signals, listeners, and one Server after the other."""

    def __init__(self, config_path: str, *, etcd_api: str = "") -> None:
        self._config_path = config_path
        self._overrides = {"FLEET_ETCD_API": etcd_api} if etcd_api else {}
        self._server: Server | None = None
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._next: Config | None = None

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; the exit code."""
        log.info("Starting fleetd version %s", VERSION)
        config = self._load()
        self._take_signals()
        context = api_context(config)
        opened = sockets.open_all(config.api_listen, has_certificate=context is not None)
        http = HTTPServer(self._handle, limits=Limits(body_max=BODY_MAX), oversize=oversize)
        listeners = listen(http, opened.plain) + listen(http, opened.tls, tls=context)
        manager = make_manager(config)
        await manager.open()
        sdnotify.notify(sdnotify.READY)
        try:
            while not self._stop.is_set():
                address = config.public_ip or netinfo.default_address()
                self._server = server = Server(
                    config, manager, api_url=sockets.reachable_url(opened, address)
                )
                await self._live(server)
                if self._stop.is_set():
                    sdnotify.notify(sdnotify.STOPPING)
                    await (server.purge() if config.leave_on_stop else server.suspend())
                server.close()
                if self._next is not None:
                    config, self._next = self._next, None
                    self._reload.clear()
                    log.info("Restarting server components")
        finally:
            for listener in listeners:
                listener.close()
            await http.drain(_DRAIN_S)
            await manager.close()
        return 0

    async def _live(self, server: Server) -> None:
        """Run a server until it shall stop or be replaced."""
        life = asyncio.create_task(server.run())
        ends = [asyncio.create_task(event.wait()) for event in (self._stop, self._reload)]
        await asyncio.wait([life, *ends], return_when=asyncio.FIRST_COMPLETED)
        for task in (life, *ends):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await life

    def _handle(self, request: Request) -> Response | Pending:
        if self._server is None:
            return failure(503, UNAVAILABLE)
        return self._server.api.handle(request)

    def _load(self) -> Config:
        config = configuration.load(self._config_path, {**os.environ, **self._overrides})
        level = logging.DEBUG if config.verbosity > 0 else logging.INFO
        golog.setup(golog.FleetFormatter(), level=level)
        return config

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload)
        loop.add_signal_handler(signal.SIGUSR1, self._on_dump)

    def _on_stop(self, number: signal.Signals) -> None:
        log.info("Gracefully shutting down on %s", number.name)
        self._stop.set()

    def _on_reload(self) -> None:
        where = self._config_path or configuration.DEFAULT_PATH
        log.info("Reloading configuration from %s", where)
        try:
            self._next = self._load()
        except CoreosError as err:
            log.error("The old configuration stays in force: %s", err)
            return
        self._reload.set()

    def _on_dump(self) -> None:
        if self._server is not None:
            print_dump(self._server)


def api_context(config: Config) -> tls.ReloadingContext | None:
    """Return what TLS listeners of the API work with, None without a certificate."""
    files = (config.api_certfile, config.api_keyfile, config.api_cafile)
    if not any(files):
        return None

    def make() -> ssl.SSLContext:
        return tls.server_context(
            config.api_certfile,
            config.api_keyfile,
            ca_file=config.api_cafile,
            require_client_cert=bool(config.api_cafile),
        )

    return tls.ReloadingContext(make, files, complain=log.error, notice=log.info)


def make_manager(config: Config) -> UnitManager:
    """Return the unit manager that the configuration names."""
    if config.unit_manager == configuration.SYSTEMD:
        from coreos_py.systemd.dbus_manager import DBusManager

        return DBusManager(config.units_directory, user=config.systemd_user)
    from coreos_py.systemd.embedded.supervisor import EmbeddedManager

    units = config.units_directory.rstrip("/")
    state = os.path.dirname(units) if os.path.basename(units) == "units" else f"{units}.state"
    return EmbeddedManager(state, units_dir=units, machine_id=config.machine_id)
