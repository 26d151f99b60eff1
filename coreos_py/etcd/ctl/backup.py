"""etcdctl backup: copy a data directory, under new ids so that the copy never meets its cluster."""

from __future__ import annotations

import logging
import sys

from coreos_py.base.errors import CoreosError
from coreos_py.etcd import pb
from coreos_py.etcd.ctl.session import EXIT_BAD_ARGS, Fatal
from coreos_py.etcd.datadir import member_dirs
from coreos_py.etcd.offline import datacopy
from coreos_py.etcd.stand_alone import committed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.program import Call


def backup(call: Call) -> int:
    """Copy the newest snapshot and the log behind it; prints nothing."""
    flags = call.flags
    source = member_dirs(flags["data-dir"], wal_dir=flags["wal-dir"])
    target = member_dirs(flags["backup-dir"], wal_dir=flags["backup-wal-dir"])
    try:
        contents = datacopy.read(source, log=warn)
        metadata = pb.Metadata(datacopy.new_id(), datacopy.new_id())
        # Whoever starts from it has nobody else's word on what is committed; etcd 2.3.8 would
        # drop what this member had not heard of yet.
        state = committed(contents.hard_state, contents.entries)
        datacopy.write(target, contents._replace(metadata=metadata, hard_state=state))
    except CoreosError as err:
        raise Fatal(EXIT_BAD_ARGS, f"{err}\n") from None
    return 0


def warn(level: int, message: str) -> None:
    """Show what is more than information on stderr."""
    if level > logging.INFO:
        print(message, file=sys.stderr)
