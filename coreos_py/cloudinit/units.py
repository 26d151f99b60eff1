"""The unit manager as a cloud-config needs it: enable, reload, run a command and wait for its job.

Mirrors what system/systemd.go of coreos-cloudinit 1.13.0 asks of systemd.
"""

from __future__ import annotations

import asyncio
import os
from typing import Protocol

from coreos_py.cloudinit.plan import COMMANDS
from coreos_py.systemd import dbus_jobs

_SYSTEMD_SOCKET = "/run/systemd/private"


class Units(Protocol):
    """Where units are enabled and started. Calls block and raise CoreosError."""

    def enable(self, name: str, *, runtime: bool) -> None:
        """Make the unit start by what its [Install] section says."""

    def reload(self) -> None:
        """Read unit files again."""

    def run(self, name: str, command: str) -> str:
        """Queue a job for one of plan.COMMANDS and wait for its result."""

    def run_script(self, unit: str, description: str, argv: list[str]) -> str:
        """The same for a unit that is made for one command."""


class Systemd:
    """The real one; `address` names another bus than the system's."""

    def __init__(self, *, address: str = "") -> None:
        self._address = address

    def enable(self, name: str, *, runtime: bool) -> None:
        asyncio.run(dbus_jobs.enable(name, runtime=runtime, address=self._address))

    def reload(self) -> None:
        asyncio.run(dbus_jobs.reload(address=self._address))

    def run(self, name: str, command: str) -> str:
        return asyncio.run(dbus_jobs.run(COMMANDS[command], name, address=self._address))

    def run_script(self, unit: str, description: str, argv: list[str]) -> str:
        return asyncio.run(
            dbus_jobs.run_transient(unit, description=description, argv=argv, address=self._address)
        )


def here(state_dir: str) -> Units:
    """systemd where it runs, else a manager of our own that keeps its state in `state_dir`.

    The usual sign of a running systemd is /run/systemd/system, but a run may have made that itself.
    """
    if os.path.exists(_SYSTEMD_SOCKET) or os.environ.get("DBUS_SYSTEM_BUS_ADDRESS"):
        return Systemd()
    from coreos_py.cloudinit.embedded_units import Embedded

    return Embedded(state_dir)
