"""Help from the settings table, laid out by click's formatter under upstream's headings.

Loaded only when somebody asks for help, or for a man page.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from click.formatting import HelpFormatter

from coreos_py.cli.grammar import PFLAG

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coreos_py.cli.program import Command, Program
    from coreos_py.cli.settings import Setting

_WIDTH_MIN = 60
_WIDTH_MAX = 100
_COLUMN_MAX = 30


def render(program: Program, path: tuple[Command, ...]) -> str:
    """The whole help of a program (empty path) or of one command; no final newline."""
    out = _formatter()
    command = path[-1] if path else None
    name = " ".join([program.name, *(part.name for part in path)])
    _section(out, "NAME", [f"{name} - {command.help if command else program.help}"])
    _section(out, "USAGE", [_usage(program, name, command)])
    if not path and program.version:
        _section(out, "VERSION", [program.version])
    about = command.about if command else program.about
    if about:
        _section(out, "DESCRIPTION", about.strip().split("\n"))
    _commands(out, command.commands if command else program.commands)
    if command is not None:
        _options(out, "OPTIONS", command.settings)
        if program.dialect == PFLAG:
            _options(out, "GLOBAL OPTIONS", program.settings)
    else:
        heading = "GLOBAL OPTIONS" if program.commands and program.dialect != PFLAG else "OPTIONS"
        _options(out, heading, program.settings)
    return out.getvalue().rstrip("\n")


def flag_syntax(setting: Setting) -> str:
    """A flag with its spellings and value: `--output VALUE, -o VALUE`."""
    spellings = [f"{'--' if len(name) > 1 else '-'}{name}" for name in setting.names()]
    value = "" if setting.kind.is_bool else f" {setting.metavar}"
    return ", ".join(spellings) + value


def flag_help(setting: Setting) -> str:
    """What the flag is for, its default and its environment variable."""
    text = setting.help
    if setting.deprecated:
        text = f"Deprecated: {setting.deprecated}"
    extra = []
    if setting.default and not (setting.kind.is_bool and setting.default == "false"):
        extra.append(f"default {setting.default}")
    if setting.env:
        extra.append(f"env {setting.env}")
    return f"{text} ({', '.join(extra)})" if extra else text


def _formatter() -> HelpFormatter:
    width = max(_WIDTH_MIN, min(_WIDTH_MAX, shutil.get_terminal_size((80, 24)).columns))
    return HelpFormatter(indent_increment=3, width=width, max_width=_WIDTH_MAX)


def _usage(program: Program, name: str, command: Command | None) -> str:
    if command is None:
        if not program.commands:
            return f"{name} [flags]{' ' + program.args if program.args else ''}"
        return f"{name} [global options] command [command options] [arguments...]"
    if command.commands and not command.target:
        return f"{name} command [command options] [arguments...]"
    options = " [command options]" if command.settings else ""
    return f"{name}{options}{' ' + command.args if command.args else ''}"


def _section(out: HelpFormatter, heading: str, lines: Iterable[str]) -> None:
    out.write(f"{heading}:\n")
    for line in lines:
        out.write(f"   {line}\n" if line.strip() else "\n")
    out.write("\n")


def _commands(out: HelpFormatter, commands: tuple[Command, ...]) -> None:
    rows = [(", ".join((c.name, *c.aliases)), c.help) for c in commands if not c.hidden]
    if rows:
        out.write("COMMANDS:\n")
        _rows(out, [*rows, ("help, h", "list the commands, or help for one of them")])


def _options(out: HelpFormatter, heading: str, table: Iterable[Setting]) -> None:
    groups: dict[str, list[tuple[str, str]]] = {}
    for setting in table:
        if not setting.hidden:
            row = (flag_syntax(setting), flag_help(setting))
            groups.setdefault(setting.group, []).append(row)
    for group, rows in groups.items():
        title = f"{group.upper()} {heading}" if group else heading
        out.write(f"{title}:\n")
        _rows(out, rows)


def _rows(out: HelpFormatter, rows: list[tuple[str, str]]) -> None:
    out.indent()
    out.write_dl(rows, col_max=_COLUMN_MAX)
    out.dedent()
    out.write("\n")
