"""coreos-setgoodroot: the slot that is running came up; boot it from now on."""

from __future__ import annotations

from coreos_py.cli.grammar import GO
from coreos_py.cli.program import Call, Program
from coreos_py.update.disk import whole_disk
from coreos_py.update.slots import Slots

PROGRAM = Program(
    "coreos-setgoodroot",
    GO,
    target="coreos_py.update.cmd_setgoodroot:mark",
    args="[DEVICE]",
    help="mark the running slot as good",
    about="""\
Repairs the partition table where it is damaged, marks the slot that /usr is mounted from as
successful with no tries left, and gives it the highest priority. DEVICE is the slot's partition,
if it is another one.""",
)


def main(argv: list[str]) -> int:
    """Run coreos-setgoodroot."""
    return PROGRAM.run(argv)


def mark(call: Call) -> int:
    """Mark it."""
    slots = Slots(*whole_disk(call.args[0])) if call.args else Slots.of_machine()
    slots.mark_good()
    return 0
