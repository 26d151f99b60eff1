"""etcdctl repair: say what is damaged in a data directory, and cut it off if told to. Ours."""

from __future__ import annotations

from coreos_py.base.errors import CoreosError
from coreos_py.etcd.ctl.session import EXIT_BAD_ARGS, Fatal
from coreos_py.etcd.datadir import member_dirs
from coreos_py.etcd.offline import repair as offline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from coreos_py.cli.program import Call
    from coreos_py.etcd.offline.repair import Damage

EXIT_DAMAGED = 3


def repair(call: Call) -> int:
    """0 when nothing is wrong (any more), 3 when something is and --yes was not given."""
    flags = call.flags
    if not flags["data-dir"]:
        raise Fatal(EXIT_BAD_ARGS, "no data directory provided (use --data-dir)\n")
    dirs = member_dirs(flags["data-dir"], wal_dir=flags["wal-dir"])
    try:
        damage = offline.examine(dirs)
        if damage.is_none:
            print(f"{flags['data-dir']}: nothing is damaged")
            return 0
        for line in _describe(damage):
            print(line, flush=True)
        if not flags["yes"]:
            print("Nothing was changed; --yes does all of this.")
            return EXIT_DAMAGED
        offline.repair(dirs, damage)
    except CoreosError as err:
        raise Fatal(EXIT_BAD_ARGS, f"{err}\n") from None
    print("Done; what is left was read again and is whole.")
    return 0


def _describe(damage: Damage) -> Iterator[str]:
    for path, reason in damage.snapshots:
        yield f"{path}: {reason}: to be renamed to .broken"
    cut = damage.cut
    if cut is not None:
        yield (
            f"{cut.path}: damaged at offset {cut.size}: {cut.reason}: the last {cut.lost} bytes"
            " to be cut off, the file as it is kept as .broken"
        )
    for path in damage.aside:
        yield f"{path}: to be renamed to .broken"
    if damage.rebuild:
        yield f"A new log to be begun behind the snapshot, because {damage.rebuild}."
    at = damage.snapshot.index if damage.snapshot is not None else 0
    yield f"What stays: the snapshot at index {at}, the log up to index {damage.last}."
    if damage.rebuild or damage.aside or (cut is not None and not cut.torn):
        yield (
            "Entries that were acknowledged may be lost. If the cluster has other members, remove"
            " this one and add it again with an empty data directory instead."
        )
