"""fleetctl: the client for fleetd. Thin: the commands are in coreos_py/fleet/ctl."""

from __future__ import annotations

import sys

from coreos_py.fleet.ctl.program import PROGRAM
from coreos_py.fleet.ctl.session import Fatal


def main(argv: list[str]) -> int:
    """Run one command; the exit code is fleetctl 1.0.0's, but never 0 for a wrong command line."""
    try:
        return PROGRAM.run(argv)
    except Fatal as err:
        sys.stdout.flush()
        sys.stderr.write(f"{err}\n")
        return err.exit_code
