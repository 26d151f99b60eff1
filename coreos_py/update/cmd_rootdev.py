"""rootdev: the block device that a path is on, as seismograph's rootdev finds it in sysfs."""

from __future__ import annotations

import sys

from coreos_py.cli.grammar import PFLAG
from coreos_py.cli.program import Call, Program
from coreos_py.cli.settings import BOOL, Setting
from coreos_py.update.disk import DiskError, rootdev

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.grammar import FlagError


class Rootdev(Program):
    """rootdev, whose usage errors exit with 1."""

    def on_flag_error(self, call: Call, err: FlagError) -> int:
        print(f"rootdev: {err}", file=sys.stderr)
        print(self.help_text(call), file=sys.stderr)
        return 1


PROGRAM = Rootdev(
    "rootdev",
    PFLAG,
    settings=(
        Setting("d", BOOL, help="the whole disk instead of the partition"),
        Setting("s", BOOL, help="what is below a device-mapper device: its first slave"),
        Setting("c", BOOL, help="accepted; the kernel makes the nodes"),
        Setting("i", BOOL, help="accepted; a missing node is no error"),
    ),
    target="coreos_py.update.cmd_rootdev:show",
    args="[PATH]",
    help="print the block device that a path is on",
    about="Without PATH, that of the root directory.",
)


def main(argv: list[str]) -> int:
    """Run rootdev."""
    return PROGRAM.run(argv)


def show(call: Call) -> int:
    """Print the device."""
    if len(call.args) > 1:
        print(f"Too many free arguments: {len(call.args) - 1}", file=sys.stderr)
        print(PROGRAM.help_text(call), file=sys.stderr)
        return 1
    path = call.args[0] if call.args else "/"
    try:
        print(rootdev(path, first_slave=call.settings["s"], strip=call.settings["d"]))
    except DiskError as err:
        print(f"rootdev: {err}", file=sys.stderr)
        return 1
    return 0
