"""The command lines behind the rows of the table, as data.

A command's module offers its cli.program.Program as PROGRAM; help, completion and man pages are
read from it. The suite's own verbs are click commands instead.
"""

from __future__ import annotations

import importlib

from coreos_py.cli.program import Command, Program
from coreos_py.cli.settings import Setting
from coreos_py.commands import OWN, Row


def of(row: Row) -> Program | None:
    """The program behind a row; None for the suite's own verbs."""
    if row.kind == OWN:
        return None
    module = importlib.import_module(row.target.partition(":")[0])
    program = getattr(module, "PROGRAM", None)
    return program if isinstance(program, Program) else None


def words(program: Program) -> dict[str, list[str]]:
    """What may follow: "etcdctl member" to its commands and flags, for every level."""
    found: dict[str, list[str]] = {}
    _add(found, program.name, program.commands, _flags(program.settings))
    return found


def _add(
    found: dict[str, list[str]], path: str, commands: tuple[Command, ...], flags: list[str]
) -> None:
    shown = [command for command in commands if not command.hidden]
    names = [name for command in shown for name in (command.name, *command.aliases)]
    found[path] = names + flags
    for command in shown:
        _add(found, f"{path} {command.name}", command.commands, _flags(command.settings))


def _flags(settings: tuple[Setting, ...]) -> list[str]:
    names = [name for item in settings if not item.hidden for name in item.names()]
    return [f"--{name}" if len(name) > 1 else f"-{name}" for name in (*names, "help")]
