"""locksmithctl: the client for the reboot lock. Thin: the commands are in locksmith/ctl."""

from __future__ import annotations

import sys

from coreos_py.base.errors import ConfigError
from coreos_py.locksmith.ctl.program import PROGRAM
from coreos_py.locksmith.ctl.session import Fatal, close_clients


def main(argv: list[str]) -> int:
    """Run one command; the exit code is locksmithctl 0.6.2's."""
    try:
        return PROGRAM.run(argv)
    except (Fatal, ConfigError) as err:
        sys.stdout.flush()
        sys.stderr.write(f"{err}\n")
        return err.exit_code
    finally:
        close_clients()
