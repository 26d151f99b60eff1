"""locksmithctl's command line: global settings, commands, and the texts of locksmithctl 0.6.2.

Global flags stand before the command, as in 0.6.2. An endpoint from the environment replaces the
default ones; in 0.6.2 it is only added to them.
"""

from __future__ import annotations

import sys

from coreos_py.cli.grammar import GO
from coreos_py.cli.program import Command
from coreos_py.cli.settings import BOOL, DURATION, Setting
from coreos_py.cli.skeleton import SkeletonProgram
from coreos_py.locksmith import connect
from coreos_py.locksmith.connect import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.grammar import FlagError
    from coreos_py.cli.program import Call

_HOLDERS = "coreos_py.locksmith.ctl.holders"
_REBOOT = "coreos_py.locksmith.ctl.reboot"

SETTINGS = connect.settings("LOCKSMITHCTL_")

COMMANDS = (
    Command(
        "lock",
        f"{_HOLDERS}:lock",
        args="[MACHINE-ID]",
        help="take the reboot lock for a machine",
        about="Without an ID, for this machine. locksmithd does it by itself before a reboot.",
    ),
    Command(
        "reboot",
        f"{_REBOOT}:reboot",
        help="take the reboot lock for this machine, and reboot it",
        about="A lock that this machine has already will do. Nobody gives it back afterwards "
        "unless locksmithd runs: unlock does.",
    ),
    Command(
        "release",
        f"{_HOLDERS}:release",
        args="MACHINE-ID",
        help="give the lock of a dead machine back",
        about="Only if the machine has had it for long enough, and no fleet in the same etcd takes "
        "it for alive. Where nobody knows for how long, or the time noted is yet to come, its age "
        "counts from the first try.",
        settings=(
            Setting("after", DURATION, "15m", help="what is long enough", metavar="DURATION"),
        ),
    ),
    Command(
        "send-need-reboot",
        f"{_REBOOT}:send_need_reboot",
        help="send the D-Bus signal that follows an update",
        about="Makes locksmithd act as after an update, to try it out.",
    ),
    Command(
        "set-max",
        f"{_HOLDERS}:set_max",
        args="N",
        help="allow N machines to hold the lock at once",
        about="Machines that hold it keep it, so that fewer than none may be available.",
    ),
    Command(
        "status",
        f"{_HOLDERS}:status",
        help="show how many locks are free, and who holds one",
        about="With --long also for how long, as far as that is known, and whether fleet takes "
        "the machine for alive.",
        settings=(Setting("long", BOOL, aliases=("l",), help="tell more about the holders"),),
    ),
    Command(
        "unlock",
        f"{_HOLDERS}:unlock",
        args="[MACHINE-ID]",
        help="give the reboot lock of a machine back",
        about="Without an ID, this machine's. It is not asked whether the machine is alive: "
        "release does that.",
    ),
)


class LocksmithctlProgram(SkeletonProgram):
    """What locksmithctl 0.6.2 prints where, when the words are wrong."""

    def on_flag_error(self, call: Call, err: FlagError) -> int:
        """Global flags: error and flags on stderr; a command's, which has none: also on stdout."""
        if not call.path:
            print(err, file=sys.stderr)
            print(self.usage(), file=sys.stderr)
            return err.exit_code
        print(f"{err}\nUsage:", file=sys.stderr)
        print(err)
        return err.exit_code

    def on_no_command(self, call: Call) -> int:
        """The help, and no complaint."""
        print(self.help_text(call))
        return 0

    def on_command_help(self, call: Call) -> int:
        """An error whose help is empty, as the commands have no flags in 0.6.2."""
        print("Usage:", file=sys.stderr)
        print("flag: help requested")
        return 2

    def on_unknown_topic(self, call: Call, name: str) -> int:
        """Only the first word after `help` counts."""
        if call.path:
            return self.on_help(call)
        print(f"Unrecognized command: {name}")
        return 1


PROGRAM = LocksmithctlProgram(
    "locksmithctl",
    GO,
    settings=SETTINGS,
    commands=COMMANDS,
    version=VERSION,
    help="client for the reboot lock",
    about="Looks at the lock that lets only so many machines of a cluster reboot at once.",
)
