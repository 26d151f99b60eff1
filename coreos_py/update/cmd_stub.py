"""update_engine_stub: a machine without slots, booted from the network, tells the server it is up.

Mirrors update_engine 0.4.10's shell script of that name: one event, and nothing is installed.
"""

from __future__ import annotations

import asyncio
import os
import sys

from coreos_py.cli.grammar import GO
from coreos_py.cli.program import Call, Program
from coreos_py.cli.settings import STRING, Setting
from coreos_py.omaha import request
from coreos_py.update import config as configuration
from coreos_py.update import transfer
from coreos_py.update.transfer import Patience, TransferError

_GROUP = "alpha"  # where nobody says another one
_OEM = "diskless"

PROGRAM = Program(
    "update_engine_stub",
    GO,
    settings=(
        Setting("root", STRING, help="find the configuration below this directory", metavar="DIR"),
    ),
    target="coreos_py.update.cmd_stub:check_in",
    help="tells the update server that a machine without slots is up",
)


def main(argv: list[str]) -> int:
    """Run update_engine_stub."""
    return PROGRAM.run(argv)


def check_in(call: Call) -> int:
    """Send the event and show the answer."""
    root = call.settings["root"].rstrip("/")

    def read(path: str) -> str | None:
        prefix = "" if path.startswith("/proc/") else root
        try:
            with open(f"{prefix}{path}", encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return None

    config = configuration.load(read, aleph_version="", architecture=os.uname().machine)
    client = config.client
    if not any("GROUP" in configuration.parse(read(path) or "") for path in configuration.FILES):
        client = client._replace(track=_GROUP)
    client = client._replace(oem=client.oem or _OEM)
    if config.is_disabled:
        return 0
    body = request.check_in(client)
    print(f"Request: {body.decode()}")
    try:
        answer = asyncio.run(transfer.post(config.server, body, patience=Patience()))
    except TransferError as err:
        print(f"update_engine_stub: {err}", file=sys.stderr)
        return 1
    sys.stdout.write(answer.decode("utf-8", "replace"))
    return 0
