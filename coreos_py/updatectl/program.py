"""updatectl's command line: where updateservicectl 2.1.0 says what, and its exit codes.

A command may have both commands of its own and something to do itself (`rollout`, `package create`
and `package upload`); flags given before the inner command's name count for it too, as upstream's
shared variables have it. Mirrors cmd.go and help.go.
"""

from __future__ import annotations

import sys

from coreos_py.cli import grammar
from coreos_py.cli.grammar import GO
from coreos_py.cli.program import load
from coreos_py.cli.settings import resolve
from coreos_py.cli.skeleton import SkeletonProgram
from coreos_py.updatectl.session import ERROR_NO_COMMAND, ERROR_USAGE
from coreos_py.updatectl.table import COMMANDS, NEEDS, SETTINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.grammar import FlagError, Parsed
    from coreos_py.cli.program import Call, Command, Program

VERSION = "2.1.0+git"  # of the program whose behaviour this is; scripts compare it
UPSTREAM_NAME = "updateservicectl"


class UpdatectlProgram(SkeletonProgram):
    """What updateservicectl 2.1.0 prints where, when the words are wrong."""

    help_word = "--help"
    unknown_code = ERROR_NO_COMMAND

    def _command(self, call: Call, commands: tuple[Command, ...], parsed: Parsed) -> int:
        """The innermost command that the words name; a word too many is its argument."""
        if call.settings["help"]:
            print(self.help_text(call))
            return 0
        name = call.args[0] if call.args else ""
        command = self.find(commands, name)
        if command is None:
            if name in ("help", "h"):
                return self._help_for(call, commands, call.args[1:])
            return self.on_unknown_command(call, name)
        words = call.args[1:]
        given: dict[str, tuple[str, object]] = {}
        while command is not None:
            call.path = (*call.path, command)
            inner = grammar.parse(command.settings, words, dialect=GO)
            given |= inner.flags
            call.args, call.dash, words = inner.args, inner.dash, inner.args[1:]
            deeper = self.find(command.commands, inner.args[0]) if inner.args else None
            if deeper is None:
                break
            command = deeper
        if call.args[:1] == ["help"] and not command.target:
            return self.on_help(call)
        call.flags = resolve(command.settings, flags=given)
        code = ERROR_USAGE if self._lacks(call, command) else load(command.target)(call)
        if code == ERROR_USAGE:
            print(self.help_text(call))
        return code

    def _lacks(self, call: Call, command: Command) -> bool:
        """Whether there is nothing to run, or not enough to run it with.

        Says what is missing, unless called by the name of upstream's program, which does not.
        """
        needed = NEEDS.get(command.target, ())
        missing = [f"--{name}" for name in needed if not call.flags.given(name)]
        if missing and self.name != UPSTREAM_NAME:
            words = " ".join((self.name, *(part.name for part in call.path)))
            print(f"{words}: needs {' and '.join(missing)}", file=sys.stderr)
        return bool(missing) or not command.target

    def on_flag_error(self, call: Call, err: FlagError) -> int:
        """Of the program: all on stderr; of a command: its help on stdout."""
        print(err, file=sys.stderr)
        if call.path:
            print(self.help_text(call))
        else:
            print(self.usage(), file=sys.stderr)
        return ERROR_USAGE

    def on_unknown_topic(self, call: Call, name: str) -> int:
        """Also a word too many after a command that has none of its own."""
        print(f"Unrecognized command: {name}")
        return ERROR_NO_COMMAND

    def help_text(self, call: Call) -> str:
        """With upstream's last line also below the program's own help."""
        text = super().help_text(call)
        if not call.path:
            text += f'\n\nRun "{self.name} <command> --help" for more details on a command.'
        return text


def called(name: str) -> Program:
    """The program under one of its names."""
    return UpdatectlProgram(
        name,
        GO,
        settings=SETTINGS,
        commands=COMMANDS,
        version=VERSION,
        help="client for the update server",
        about="Manages what rollerd, or another server with CoreUpdate's admin API, gives out.",
    )


PROGRAM = called("updatectl")
