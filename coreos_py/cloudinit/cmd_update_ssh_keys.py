"""update-ssh-keys: CoreOS' helper that keeps authorised keys in named sets. Thin."""

from __future__ import annotations

from coreos_py.cli.grammar import GO
from coreos_py.cli.program import Program
from coreos_py.cli.settings import BOOL, STRING, Setting

PROGRAM = Program(
    "update-ssh-keys",
    GO,
    settings=(
        Setting("u", STRING, metavar="USER", help="whose keys; $USER by default, core for root"),
        Setting("a", STRING, metavar="NAME", help="make the files or standard input the set NAME"),
        Setting("A", STRING, metavar="NAME", help="the same, also when the set is disabled"),
        Setting("n", BOOL, help="with -a and -A: leave a set alone that exists"),
        Setting("d", STRING, metavar="NAME", help="delete a set"),
        Setting("D", STRING, metavar="NAME", help="disable a set: later -a do nothing"),
        Setting("l", BOOL, help="list the sets with the fingerprints of their keys"),
    ),
    target="coreos_py.cloudinit.update_ssh_keys:run",
    args="[FILE...]",
    help="authorised keys in named sets",
)


def main(argv: list[str]) -> int:
    """Run the program; the exit code is that of CoreOS' script."""
    return PROGRAM.run(argv)
