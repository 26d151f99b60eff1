"""Write man/NAME.N from man/NAME.N.in and the settings tables of the programs.

    build/test-venv/bin/python packaging/mkman.py

A source is mdoc with lines of the form @WHAT ARGUMENT@:

    @OPTIONS etcd@             the flags of a program
    @COMMANDS etcdctl@         its commands with theirs
    @ENVIRONMENT etcd@         the variables that its flags are also read from
    @KEYS module:TABLE@        the keys of a configuration file, with their variables
    @SECTION module:TABLE@     the keys of a section of a cloud-config, with theirs
    @VERBS coreos@             the suite's own verbs
    @ROUTES GROUPS@            a part of rollerd's REST API

The output is committed; a test regenerates and compares.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import click

from coreos_py.cli.program import Command, Program
from coreos_py.cli.settings import Setting
from coreos_py.cloudinit.schema import Field
from coreos_py.cmd_coreos import coreos
from coreos_py.commands import TABLE
from coreos_py.roller.rest import table as rest_table
from coreos_py.roller.rest.gate import Needs
from coreos_py.roller.rest.table import Route
from coreos_py.suite import programs

_SENTENCE_END = re.compile(r"(?<=[.!?]) +(?=[A-Z`])")
_MACRO = re.compile(r"^@([A-Z]+) (\S+)@$")


def main() -> None:
    """Write every page whose text changes."""
    for source in sorted((ROOT / "man").glob("*.in")):
        page = source.with_suffix("")
        text = render(source.read_text())
        if not page.exists() or page.read_text() != text:
            page.write_text(text)
            print(f"wrote man/{page.name}")


def render(source: str) -> str:
    """A page from its source."""
    out: list[str] = []
    for line in source.splitlines():
        match = _MACRO.match(line)
        if match:
            out += _MACROS[match[1]](match[2])
        else:
            out.append(line)
    return "\n".join(out) + "\n"


def program(name: str) -> Program:
    """The program behind a row of the table."""
    found = programs.of(TABLE[name])
    if found is None:
        raise SystemExit(f"mkman.py: {name} has no PROGRAM")
    return found


def table(where: str) -> tuple[Setting, ...]:
    """The settings at "module:NAME"."""
    module, _, name = where.partition(":")
    settings: tuple[Setting, ...] = getattr(importlib.import_module(module), name)
    return settings


def fields(where: str) -> tuple[Field, ...]:
    """The fields at "module:NAME"."""
    module, _, name = where.partition(":")
    found: tuple[Field, ...] = getattr(importlib.import_module(module), name)
    return found


def options(settings: Iterable[Setting]) -> Iterator[str]:
    """Tagged lists of flags, one per group."""
    groups: dict[str, list[Setting]] = {}
    for setting in settings:
        if not setting.hidden:
            groups.setdefault(setting.group, []).append(setting)
    for group, members in groups.items():
        if group:
            yield f".Ss {group}"
        yield ".Bl -tag -width Ds"
        for setting in members:
            yield f".It {' , '.join(_flag(name) for name in setting.names())}{_value(setting)}"
            yield from _meaning(setting)
        yield ".El"


def _flag(name: str) -> str:
    return f"Fl Fl {name}" if len(name) > 1 else f"Fl {name}"


def _value(setting: Setting) -> str:
    return "" if setting.kind.is_bool else f" Ar {_word(setting.metavar)}"


def _meaning(setting: Setting) -> Iterator[str]:
    if setting.deprecated:
        yield f"Deprecated: {_sentence(setting.deprecated)}"
    else:
        yield _sentence(setting.help)
    if setting.default and not (setting.kind.is_bool and setting.default == "false"):
        yield f"The default is {_text(setting.default)}."


def commands(items: Iterable[Command], prefix: str = "") -> Iterator[str]:
    """A tagged list of commands, sub-commands by their whole name."""
    yield ".Bl -tag -width Ds"
    yield from _commands(items, prefix)
    yield ".El"


def _commands(items: Iterable[Command], prefix: str) -> Iterator[str]:
    for command in items:
        if command.hidden:
            continue
        name = f"{prefix}{command.name}"
        if command.commands and not command.target:
            yield from _commands(command.commands, f"{name} ")
            continue
        arguments = f" Ar {_word(command.args)}" if command.args else ""
        yield f".It Ic {name}{arguments}"
        yield _sentence(command.help)
        if command.about:
            yield from _paragraphs(command.about)
        if any(not setting.hidden for setting in command.settings):
            yield from options(command.settings)
        yield from _commands(command.commands, f"{name} ")


def environment(settings: Iterable[Setting]) -> Iterator[str]:
    """A tagged list of variables."""
    yield ".Bl -tag -width Ds"
    for setting in settings:
        if setting.env and not setting.hidden:
            yield f".It Ev {setting.env}"
            yield f"Same as {_text('--' + setting.name)}."
    yield ".El"


def keys(settings: Iterable[Setting]) -> Iterator[str]:
    """A tagged list of the keys of a configuration file."""
    yield ".Bl -tag -width Ds"
    for setting in settings:
        if setting.key and not setting.hidden:
            yield f".It Cm {setting.key} No = Ar {_word(setting.metavar or 'true|false')}"
            yield from _meaning(setting)
            if setting.env:
                yield f"Variable: {setting.env}."
    yield ".El"


def section(fields: Iterable[Field]) -> Iterator[str]:
    """The keys of a section in the order of their variables."""
    yield ".Bl -column -offset indent coreos_ssh_import_github_users ETCD_INITIAL_ADVERTISE"
    for field in fields:
        notes = [field.env] if field.env != field.name.upper() else []
        notes += [field.kind] if field.kind != "string" else []
        notes += ["deprecated"] if field.deprecated else []
        yield f".It {field.name.replace('_', '-')} Ta {', '.join(notes)}".rstrip()
    yield ".El"


def verbs(group: click.Group, prefix: str = "") -> Iterator[str]:
    """A tagged list of click commands, sub-commands by their whole name."""
    yield ".Bl -tag -width Ds"
    yield from _verbs(group, prefix)
    yield ".El"


def _verbs(group: click.Group, prefix: str) -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        if isinstance(command, click.Group):
            yield from _verbs(command, f"{prefix}{name} ")
            continue
        arguments = "".join(
            f" Ar {_word(item.make_metavar(context))}"
            for item in command.params
            if isinstance(item, click.Argument)
        )
        yield f".It Ic {prefix}{name}{arguments}"
        yield from _paragraphs(command.help or "")
        shown = [
            item for item in command.params if isinstance(item, click.Option) and not item.hidden
        ]
        if shown:
            yield ".Bl -tag -width Ds"
            for item in shown:
                flags = " , ".join(_flag(name.lstrip("-")) for name in item.opts)
                value = "" if item.is_flag else f" Ar {_word(item.make_metavar(context))}"
                yield f".It {flags}{value}"
                yield _sentence(item.help or "")
            yield ".El"


def routes(part: str) -> Iterator[str]:
    """A tagged list of requests, and who may make them."""
    found: tuple[Route, ...] = getattr(rest_table, part)
    yield ".Bl -tag -width Ds"
    for route in found:
        yield f".It Li {route.method} {_word(route.path)}"
        who = "" if route.needs is Needs.READ else f" ({route.needs.value})"
        yield _sentence(route.does + who)
    yield ".El"


def _paragraphs(text: str) -> Iterator[str]:
    """Blocks of text between blank lines; one that starts with a prompt is an example."""
    for at, block in enumerate(text.strip().split("\n\n")):
        if block.strip().startswith("$ "):
            yield ".Bd -literal"
            yield from (_text(line.strip()) for line in block.strip().splitlines())
            yield ".Ed"
        else:
            if at:
                yield ".Pp"
            yield _sentence(" ".join(block.split()))


def _sentence(text: str) -> str:
    """Lines of one sentence each: capital first, full stop last, nothing that troff would take."""
    text = text.strip() or "no description"
    first = text.split()[0]
    if first.isalpha() and first.islower():
        text = text[0].upper() + text[1:]
    if text[-1] not in ".!?:":
        text += "."
    return "\n".join(_text(line) for line in _SENTENCE_END.split(text))


def _text(text: str) -> str:
    text = text.replace("\\", "\\e")
    return f"\\&{text}" if text[0] in ".'" else text


def _word(text: str) -> str:
    """An argument of a macro, quoted so that brackets and bars stay letters."""
    quoted = text.replace("\\", "\\e").replace('"', '""')
    return f'"{quoted}"'


_MACROS: dict[str, Callable[[str], Iterable[str]]] = {
    "OPTIONS": lambda name: options(program(name).settings),
    "COMMANDS": lambda name: commands(program(name).commands),
    "ENVIRONMENT": lambda name: environment(program(name).settings),
    "KEYS": lambda where: keys(table(where)),
    "SECTION": lambda where: section(fields(where)),
    "VERBS": lambda _name: verbs(coreos),
    "ROUTES": routes,
}

if __name__ == "__main__":
    main()
