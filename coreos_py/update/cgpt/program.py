"""cgpt's command line: the commands of seismograph's cgpt, its options, its texts on errors."""

from __future__ import annotations

import sys

from coreos_py.cli.grammar import NO_ARGUMENT, PFLAG, UNDEFINED
from coreos_py.cli.program import Command, Program
from coreos_py.cli.settings import BOOL, STRING, Kind, Setting, parse_uint
from coreos_py.update import gpt
from coreos_py.update.cgpt import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.grammar import FlagError
    from coreos_py.cli.program import Call

ABOUT = """\
DRIVE is a disk, an image of one, or a partition of one; the partition's number need not be given
then. Both copies of the table are read and written. The name of a command may be shortened.

A partition's type may be given by one of these names:
"""


class OutOfRange(ValueError):
    """A number that is one, but not of those."""


def _number(low: int, high: int) -> Kind:
    def parse(text: str) -> int:
        value = parse_uint(text)
        if not low <= value <= high:
            raise OutOfRange(f"must be between {low} and {high}")
        return value

    return Kind(f"{low} to {high}", parse, metavar="N")


NUMBER = Kind("number", parse_uint, metavar="N")
BIT = _number(0, 1)
NIBBLE = _number(0, 15)
TOP = _number(1, 15)
TYPE = Kind("type", types.by_name, metavar="TYPE")
GUID = Kind("guid", gpt.guid_bytes, metavar="GUID")

_PARTITION = Setting("i", NUMBER, help="number of the partition")
_COMMANDS = "coreos_py.update.cgpt.commands"

COMMANDS = (
    Command(
        "create",
        f"{_COMMANDS}:create",
        args="DRIVE",
        help="make an empty partition table",
        settings=(
            Setting("c", BOOL, help="make the image file where there is none; needs -s"),
            Setting("s", NUMBER, help="fewest sectors; an image is extended", metavar="SECTORS"),
            Setting("z", BOOL, help="overwrite both copies with zeros instead"),
            Setting("g", GUID, help="the disk's GUID (random)"),
        ),
    ),
    Command(
        "add",
        f"{_COMMANDS}:add",
        args="DRIVE",
        help="add a partition, change one, or remove one (type unused)",
        settings=(
            Setting("i", NUMBER, help="number of the partition (the next unused one)"),
            Setting("b", NUMBER, help="first sector", metavar="SECTOR"),
            Setting("s", NUMBER, help="size in sectors", metavar="SECTORS"),
            Setting("t", TYPE, help="type"),
            Setting("u", GUID, help="unique ID (random)"),
            Setting("l", STRING, help="label", metavar="LABEL"),
            Setting("B", BIT, help="a BIOS may boot it: 0 or 1"),
            Setting("S", BIT, help="successful: 0 or 1"),
            Setting("T", NIBBLE, help="tries left: 0 to 15"),
            Setting("P", NIBBLE, help="priority: 0 to 15"),
            Setting("A", NUMBER, help="all 64 attribute bits", metavar="BITS"),
        ),
    ),
    Command(
        "show",
        f"{_COMMANDS}:show",
        args="DRIVE",
        help="show the partition table",
        settings=(
            Setting("n", BOOL, help="numbers instead of names"),
            Setting("v", BOOL, help="also the headers"),
            Setting("q", BOOL, help="one line for each partition"),
            Setting("d", BOOL, help="also what is damaged"),
            Setting("i", NUMBER, help="only this partition; with one of the next, only that of it"),
            Setting("b", BOOL, help="first sector"),
            Setting("s", BOOL, help="size in sectors"),
            Setting("t", BOOL, help="type"),
            Setting("u", BOOL, help="unique ID"),
            Setting("l", BOOL, help="label"),
            Setting("S", BOOL, help="successful"),
            Setting("T", BOOL, help="tries left"),
            Setting("P", BOOL, help="priority"),
            Setting("A", BOOL, help="all attribute bits"),
        ),
    ),
    Command(
        "repair",
        f"{_COMMANDS}:repair",
        args="DRIVE",
        help="repair the damaged copy by the good one, and follow a disk that has grown",
        settings=(
            Setting("v", BOOL, help="say what was found"),
            Setting("g", GUID, help="also give the disk this GUID"),
        ),
    ),
    Command(
        "boot",
        f"{_COMMANDS}:boot",
        args="DRIVE",
        help="show or set the partition that SYSLINUX boots, in sector 0",
        settings=(
            _PARTITION,
            Setting("b", STRING, help="put this boot code into the sector", metavar="FILE"),
            Setting("p", BOOL, help="make a new sector"),
        ),
    ),
    Command(
        "next",
        f"{_COMMANDS}:next_",
        args="[DRIVE]",
        help="print the unique ID of the slot to boot, and use up one of its tries",
        about="Without DRIVE all disks are looked at.",
        settings=(
            Setting("g", BOOL, help="as GRUB's gptprio.next: fail where no slot may be booted"),
        ),
    ),
    Command(
        "find",
        f"{_COMMANDS}:find",
        args="[DRIVE...]",
        help="print the partitions of a type, unique ID or label",
        about="Without DRIVE all disks are looked at.",
        settings=(
            Setting("t", TYPE, help="type"),
            Setting("u", GUID, help="unique ID"),
            Setting("l", STRING, help="label", metavar="LABEL"),
            Setting("v", BOOL, help="also what the table says about them"),
            Setting("n", BOOL, help="the numbers only"),
            Setting("1", BOOL, help="fail unless there is exactly one"),
            Setting("M", STRING, help="they must hold this file's content", metavar="FILE"),
            Setting("O", NUMBER, "0", help="where in the partition that is", metavar="BYTES"),
        ),
    ),
    Command(
        "prioritize",
        f"{_COMMANDS}:prioritize",
        args="DRIVE",
        help="order the slots' priorities, one of them first",
        about="Slots of priority 0 keep it, unless named by -i.",
        settings=(
            _PARTITION,
            Setting("f", BOOL, help="also those that have the same priority now"),
            Setting("P", TOP, help="the highest priority to give"),
        ),
    ),
    Command(
        "legacy",
        f"{_COMMANDS}:legacy",
        args="DRIVE",
        help="hide the table from firmware that would repair it",
        settings=(Setting("e", BOOL, help="show it again"),),
    ),
    Command(
        "resize",
        f"{_COMMANDS}:resize",
        args="PARTITION",
        help="let a partition grow into the free space behind it",
        settings=(Setting("m", NUMBER, "2097152", help="do nothing for less", metavar="BYTES"),),
    ),
)


class Cgpt(Program):
    """cgpt, which says everything that is wrong as `ERROR: cgpt COMMAND: ...` and exits with 1."""

    def on_flag_error(self, call: Call, err: FlagError) -> int:
        command = call.path[-1] if call.path else None
        name = f"cgpt {command.name}" if command else "cgpt"
        print(f"ERROR: {name}: {self._problem(call, err)}", file=sys.stderr)
        print(self.help_text(call))
        return 1

    def _problem(self, call: Call, err: FlagError) -> str:
        if err.reason == UNDEFINED:
            return f"unrecognized option: -{err.flag}"
        if err.reason == NO_ARGUMENT:
            return f"missing argument to -{err.flag}"
        for setting in call.path[-1].settings if call.path else ():
            if setting.name == err.flag:
                try:
                    setting.kind.parse(err.value)
                except OutOfRange as problem:
                    return f"value for -{err.flag} {problem}"
                except ValueError:
                    break
        return f'invalid argument to -{err.flag}: "{err.value}"'

    def on_no_command(self, call: Call) -> int:
        print(self.help_text(call))
        return 1

    def on_unknown_command(self, call: Call, name: str) -> int:
        print(self.help_text(call))
        return 1


PROGRAM = Cgpt(
    "cgpt",
    PFLAG,
    commands=COMMANDS,
    help="show and change GUID partition tables and the bits that select a slot",
    about=ABOUT + "\n".join(f"  {name}" for name in types.NAMES),
)
