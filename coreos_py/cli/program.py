"""A command line as data: a program, its settings, its commands, and the run through them.

    GET = Command("get", "coreos_py.etcd.ctl.kv:get", args="<key>", help="print a key's value",
                  settings=(Setting("quorum", BOOL, help="ask the leader"),))
    PROGRAM = Program("etcdctl", CODEGANGSTA, settings=GLOBALS, commands=(GET,), version="2.3.8",
                      help="client for etcd's keys")

    def main(argv): return PROGRAM.run(argv)

    # coreos_py/etcd/ctl/kv.py, imported only when `get` runs
    def get(call: Call) -> int:
        call.settings["timeout"]; call.flags["quorum"]; call.args; call.dash; return 0

A program without commands names its own `target`. Where upstream's texts or exit codes differ
from the dialect's usual ones, subclass Program and override an `on_...` method. The hot path of
every CLI: imports base only; help comes from cli/helptext.py, loaded (with click) when asked for.
"""

from __future__ import annotations

import os
import sys

from coreos_py.cli import grammar
from coreos_py.cli.grammar import CODEGANGSTA, GO, HELP, PFLAG, FlagError, Parsed
from coreos_py.cli.settings import Setting, Values, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Command:
    """One command of a program; `target` is "module:function", loaded when it runs."""

    __slots__ = (
        "about",
        "aliases",
        "args",
        "commands",
        "help",
        "hidden",
        "name",
        "settings",
        "target",
    )

    def __init__(
        self,
        name: str,
        target: str = "",
        *,
        args: str = "",
        help: str = "",
        about: str = "",
        settings: tuple[Setting, ...] = (),
        commands: tuple[Command, ...] = (),
        aliases: tuple[str, ...] = (),
        hidden: bool = False,
    ) -> None:
        self.name = name
        self.target = target
        self.args = args  # the positionals, as help shows them: "<key> [value]"
        self.help = help  # one line
        self.about = about  # paragraphs for the command's own help
        self.settings = settings
        self.commands = commands
        self.aliases = aliases
        self.hidden = hidden


class Call:
    """One run of a program: what was asked for, with every setting decided."""

    __slots__ = ("args", "dash", "flags", "path", "program", "settings")

    def __init__(self, program: Program, settings: Values) -> None:
        self.program = program
        self.settings = settings  # the program's settings
        self.flags = settings  # the command's own flags; the program's when it has no commands
        self.path: tuple[Command, ...] = ()  # the command, after the ones it belongs to
        self.args: list[str] = []
        self.dash = -1  # how many args preceded `--`; -1 without one


class Program:
    """A program's command line."""

    def __init__(
        self,
        name: str,
        dialect: str,
        *,
        settings: tuple[Setting, ...] = (),
        commands: tuple[Command, ...] = (),
        target: str = "",
        args: str = "",
        version: str = "",
        help: str = "",
        about: str = "",
    ) -> None:
        self.name = name
        self.dialect = dialect
        self.settings = settings
        self.commands = commands
        self.target = target
        self.args = args
        self.version = version
        self.help = help
        self.about = about

    # -- the run

    def run(self, argv: list[str]) -> int:
        """Parse, decide every setting, call the command; the exit code."""
        call = Call(self, Values(self.settings))
        try:
            parsed = self._globals(argv[1:])
            call.settings = call.flags = self.decide(parsed)
            call.args, call.dash = parsed.args, parsed.dash
            if "version" in call.settings and call.settings["version"] is True:
                return self.on_version(call)
            if not self.commands:
                return load(self.target)(call)
            return self._command(call, self.commands, parsed)
        except FlagError as err:
            return self.on_help(call) if err.reason == HELP else self.on_flag_error(call, err)

    def decide(self, parsed: Parsed) -> Values:
        """Where the program's settings come from: its flags and the environment by default."""
        return resolve(self.settings, flags=parsed.flags, env=os.environ)

    def _globals(self, words: list[str]) -> Parsed:
        if self.dialect != PFLAG or not self.commands:
            dialect = GO if self.commands else self.dialect
            return grammar.parse(self.settings, words, dialect=dialect)
        # pflag finds the program's flags before and after the command's name.
        at = self._first_positional(words)
        parsed = grammar.parse(self.settings, words[:at], dialect=PFLAG)
        parsed.args = words[at:]
        return parsed

    def _first_positional(self, words: list[str]) -> int:
        takes_value = {
            name for item in self.settings if not item.kind.is_bool for name in item.names()
        }
        at = 0
        while at < len(words) and words[at].startswith("-") and len(words[at]) > 1:
            at += 1 + (words[at].lstrip("-") in takes_value)
        return min(at, len(words))

    def _command(self, call: Call, commands: tuple[Command, ...], parsed: Parsed) -> int:
        """Find the command the next word names, at this level, and run it."""
        if not call.args:
            return self.on_no_command(call)
        name, words = call.args[0], call.args[1:]
        command = self.find(commands, name)
        if command is None:
            if name in ("help", "h"):
                return self._help_for(call, commands, words)
            return self.on_unknown_command(call, name)
        call.path = (*call.path, command)
        if command.commands:
            inner = grammar.parse(command.settings, words, dialect=GO)
            call.args = inner.args
            return self._command(call, command.commands, parsed)
        table = command.settings
        if self.dialect == PFLAG:
            table = (*table, *self.settings)
        inner = grammar.parse(table, words, dialect=self.dialect)
        call.args, call.dash = inner.args, inner.dash
        if self.dialect == PFLAG:
            parsed.flags |= inner.flags
            call.settings = self.decide(parsed)
        call.flags = resolve(command.settings, flags=inner.flags)
        return load(command.target)(call)

    def _help_for(self, call: Call, commands: tuple[Command, ...], words: list[str]) -> int:
        for word in words:
            command = self.find(commands, word)
            if command is None:
                return self.on_unknown_topic(call, word)
            call.path = (*call.path, command)
            commands = command.commands
        return self.on_help(call)

    def find(self, commands: tuple[Command, ...], name: str) -> Command | None:
        """The command called `name`; in pflag programs an unambiguous beginning will do."""
        for command in commands:
            if name == command.name or name in command.aliases:
                return command
        if self.dialect == PFLAG and name:
            near = [c for c in commands if c.name.startswith(name) and not c.hidden]
            if len(near) == 1:
                return near[0]
        return None

    # -- what upstream's programs do differently

    def on_flag_error(self, call: Call, err: FlagError) -> int:
        """The flags are wrong: say so where the dialect says it, and the exit code."""
        if self.dialect == CODEGANGSTA:  # etcdctl 2.3.8 exits with 0 here
            print("Incorrect Usage.\n")
            print(self.help_text(call))
            return 0
        prefix = "Error: " if self.dialect == PFLAG else ""
        print(f"{prefix}{err}", file=sys.stderr)
        print(self.usage_text(call))
        return err.exit_code

    def on_help(self, call: Call) -> int:
        print(self.help_text(call))
        return 0

    def on_version(self, call: Call) -> int:
        print(f"{self.name} version {self.version}")
        return 0

    def on_no_command(self, call: Call) -> int:
        return self.on_help(call)

    def on_unknown_command(self, call: Call, name: str) -> int:
        if self.dialect == CODEGANGSTA:  # etcdctl 2.3.8 exits with 0 here
            return self.on_unknown_topic(call, name)
        print(f'{self.name}: unknown command "{name}"', file=sys.stderr)
        print(f"Run '{self.name} help' for usage.", file=sys.stderr)
        return 1

    def on_unknown_topic(self, call: Call, name: str) -> int:
        print(f"No help topic for '{name}'")
        return 0

    def usage_text(self, call: Call) -> str:
        """What follows a flag error on stdout."""
        return self.help_text(call)

    def help_text(self, call: Call) -> str:
        """The help of the program, or of the command the call got to; no final newline."""
        from coreos_py.cli import helptext

        return helptext.render(self, call.path)


def load(target: str) -> Callable[[Call], int]:
    """The function behind "module:function"."""
    module_name, _, attribute = target.partition(":")
    __import__(module_name)
    entry: Callable[[Call], int] = getattr(sys.modules[module_name], attribute)
    return entry
