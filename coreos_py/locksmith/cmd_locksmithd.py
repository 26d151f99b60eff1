"""locksmithd: reboots this machine after an update, when it may. The daemon is in daemon.py."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from coreos_py.base import golog
from coreos_py.cli.grammar import GO
from coreos_py.cli.program import Call, Program
from coreos_py.cli.settings import STRING, Setting
from coreos_py.locksmith import connect
from coreos_py.locksmith.daemon import Daemon, configure
from coreos_py.locksmith.rebooter import OFF, REBOOT

_WINDOW = "LOCKSMITHD_REBOOT_WINDOW_"
_ABOUT = """\
Settings come from flags, then from the environment, where the packaged unit puts what update.conf
says.
"""

PROGRAM = Program(
    "locksmithd",
    GO,
    settings=(
        *connect.settings("LOCKSMITHD_"),
        Setting(
            "reboot-strategy",
            STRING,
            REBOOT,
            env="REBOOT_STRATEGY",
            help="how to reboot: etcd-lock, reboot, best-effort or off",
            metavar="STRATEGY",
        ),
        Setting(
            "reboot-window-start",
            STRING,
            env=f"{_WINDOW}START",
            help="when reboots are allowed from, every day or on one of the week",
            metavar='"[DAY] HH:MM"',
        ),
        Setting(
            "reboot-window-length",
            STRING,
            env=f"{_WINDOW}LENGTH",
            help="for how long they are allowed",
            metavar="DURATION",
        ),
    ),
    target="coreos_py.locksmith.cmd_locksmithd:serve",
    version=connect.VERSION,
    help="reboots machines after updates, so many at once",
    about=_ABOUT,
)

log = logging.getLogger("daemon")


def main(argv: list[str]) -> int:
    """Run locksmithd."""
    for name in ("START", "LENGTH"):  # the old names, without a prefix
        if (
            not os.environ.get(f"{_WINDOW}{name}")
            and (old := f"REBOOT_WINDOW_{name}") in os.environ
        ):
            os.environ[f"{_WINDOW}{name}"] = os.environ[old]
    return PROGRAM.run(argv)


def serve(call: Call) -> int:
    """Run the daemon until the machine goes down or it is told to stop."""
    under_init = os.getppid() == 1 and "JOURNAL_STREAM" in os.environ
    formatter = golog.JournalFormatter() if under_init else golog.EtcdFormatter()
    level = logging.DEBUG if call.settings["debug"] else logging.INFO
    golog.setup(formatter, level=level)
    if call.settings["reboot-strategy"] == OFF:
        log.log(golog.NOTICE, 'Reboot strategy is "off" - locksmithd is exiting.')
        return 0
    config = configure(call.settings)
    if config is None:
        return 1
    code = asyncio.run(Daemon(config).run())
    sys.stderr.flush()
    return code
