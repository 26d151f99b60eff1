"""The command line that CoreOS's small Go clients share: locksmithctl and updateservicectl.

They grew out of one skeleton: `help` is a command, `-h` is a flag that Go's flag package answers,
and an unknown command is told on stdout.
"""

from __future__ import annotations

import sys

from coreos_py.cli.program import Program
from coreos_py.cli.settings import BOOL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.program import Call


class SkeletonProgram(Program):
    """Where such a client prints what; the subclass says the words and the exit codes."""

    help_word = "help"  # what the hints tell people to type
    unknown_code = 2  # the exit code after an unknown command

    def on_help(self, call: Call) -> int:
        """`help` prints help; `-h` the flags on stderr, and after a command it is an error."""
        if call.args and call.args[0] in ("help", "h"):
            print(self.help_text(call))
            return 0
        if not call.path:
            print(self.usage(), file=sys.stderr)
            return 0
        return self.on_command_help(call)

    def on_command_help(self, call: Call) -> int:
        """`-h` after a command: its help, and the exit code of wrong use."""
        print(self.help_text(call))
        return 2

    def on_unknown_command(self, call: Call, name: str) -> int:
        """On stdout; no word at all is an unknown one too."""
        shown = name.replace("\\", "\\\\").replace('"', '\\"')
        print(f'{self.name}: unknown subcommand: "{shown}"')
        print(f"Run '{self.name} {self.help_word}' for usage.")
        return self.unknown_code

    def help_text(self, call: Call) -> str:
        """With the clients' last line below the help of a command."""
        text = super().help_text(call)
        if call.path:
            text += f'\n\nFor help on global options run "{self.name} {self.help_word}"'
        return text

    def usage(self) -> str:
        """The program's flags as Go's flag package lists them."""
        lines = [f"Usage of {self.name}:"]
        for item in self.settings:
            value, default = " string", f' (default "{item.default}")' if item.default else ""
            if item.kind is BOOL:
                value, default = "", ""
            elif item.kind.many:
                value, default = " value", f" (default {item.default})"
            lines += [f"  -{item.name}{value}", f"    \t{item.help}{default}"]
        return "\n".join(lines)
