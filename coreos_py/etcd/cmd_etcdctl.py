"""etcdctl: the v2 command-line client. Thin: the commands are in coreos_py/etcd/ctl."""

from __future__ import annotations

import sys

from coreos_py.etcd.ctl.program import PROGRAM
from coreos_py.etcd.ctl.session import Fatal, close_clients


def main(argv: list[str]) -> int:
    """Run one command; the exit code is etcdctl 2.3.8's."""
    try:
        return PROGRAM.run(argv)
    except Fatal as err:
        sys.stdout.flush()
        sys.stderr.write(str(err))
        sys.stderr.flush()
        return err.exit_code
    finally:
        close_clients()
