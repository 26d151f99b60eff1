"""updatectl, also updateservicectl: the client for the update server's admin API.

Thin: the table is in updatectl/program.py, the commands beside it.
"""

from __future__ import annotations

import os

from coreos_py.base.errors import ConfigError
from coreos_py.updatectl.program import PROGRAM, UPSTREAM_NAME, called
from coreos_py.updatectl.session import Fatal, close_clients, log

__all__ = ["PROGRAM", "main"]


def main(argv: list[str]) -> int:
    """Run one command; the exit code is updateservicectl 2.1.0's."""
    is_upstream = os.path.basename(argv[0]) == UPSTREAM_NAME
    program = called(UPSTREAM_NAME) if is_upstream else PROGRAM
    try:
        return program.run(argv)
    except (Fatal, ConfigError) as err:
        log(str(err))
        return err.exit_code
    finally:
        close_clients()
