"""update_engine: the daemon that fetches, verifies and installs new versions of the system."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import signal
from typing import TYPE_CHECKING, Any

from coreos_py.base import golog, sdnotify
from coreos_py.base.errors import CoreosError
from coreos_py.cli.grammar import GO
from coreos_py.cli.program import Call
from coreos_py.cli.settings import BOOL, STRING, UINT, Setting
from coreos_py.update import api
from coreos_py.update.engine import Engine, Places
from coreos_py.update.gflags import Gflags
from coreos_py.update.logs import GlogFormatter
from coreos_py.update.policy import POLICY
from coreos_py.update.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.cli.settings import Values

log = logging.getLogger(__name__)

VERSION = "0.4.10"  # of the program whose behaviour this is
_ON_AN_IMAGE = "To try it on an image"

PROGRAM = Gflags(
    "update_engine",
    GO,
    settings=(
        Setting("foreground", BOOL, help="accepted; it always stays there"),
        Setting("logtostderr", BOOL, help="accepted; it always does"),
        Setting("version", BOOL, help="print the version and exit"),
        Setting("dbus_policy", BOOL, help="print what the system bus has to allow, and exit"),
        Setting(
            "root",
            STRING,
            help="find configuration, state, kernels and key below this directory",
            metavar="DIR",
            group=_ON_AN_IMAGE,
        ),
        Setting(
            "disk",
            STRING,
            help="update this disk or image of one, not the disk that /usr is on",
            metavar="FILE",
            group=_ON_AN_IMAGE,
        ),
        Setting(
            "slot",
            UINT,
            "3",
            help="the partition of that disk that counts as the running one: 3 or 4",
            group=_ON_AN_IMAGE,
        ),
    ),
    target="coreos_py.update.cmd_update_engine:serve",
    version=VERSION,
    help="fetches, verifies and installs new versions of the system",
    about="""\
It asks the server named in update.conf(5) for a new version, writes it to the slot that is not
running, and makes that one the slot to boot next, once. update_engine_client(1) asks it what it
does. It has to own com.coreos.update1 on the system bus.""",
)


def main(argv: list[str]) -> int:
    """Run update_engine."""
    return PROGRAM.run(argv)


def serve(call: Call) -> int:
    """Run the daemon until it is told to stop."""
    if call.settings["dbus_policy"]:
        print(POLICY, end="")
        return 0
    golog.setup(GlogFormatter())
    try:
        return asyncio.run(_serve(call.settings))
    except CoreosError as err:
        log.critical("%s", err)
        return 1


async def _serve(settings: Values) -> int:
    log.info("Update Engine starting")
    connection = await api.open_bus()
    try:
        bus = api.Api(connection)
        engine = Engine(
            Places(root=settings["root"].rstrip("/")),
            _slots(settings),
            rng=random.SystemRandom(),
            on_status=bus.announce,
        )
        await bus.serve(engine)
        sdnotify.notify(sdnotify.READY)
        return await _until_stopped(engine, connection.lost)
    finally:
        await connection.close()


async def _until_stopped(engine: Engine, lost: asyncio.Future[None]) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    life = asyncio.create_task(engine.run())
    waiting = asyncio.create_task(stopped.wait())
    ends: list[asyncio.Future[Any]] = [life, waiting, lost]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    sdnotify.notify(sdnotify.STOPPING)
    engine.stop()
    failed = life.exception() if life.done() else None
    for task in (life, waiting):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
    if failed is not None:
        raise failed
    if not stopped.is_set():
        log.critical("the connection to the system bus is lost")
        return 1
    log.info("Update Engine ending")
    return 0


def _slots(settings: Values) -> Callable[[], Slots]:
    disk = settings["disk"]
    return (lambda: Slots(disk, settings["slot"])) if disk else Slots.of_machine
