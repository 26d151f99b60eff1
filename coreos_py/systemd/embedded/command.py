"""Command lines of Exec*= settings: prefixes, words, `;` lists, environment substitution. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.systemd.embedded.specifiers import expand
from coreos_py.systemd.embedded.words import Word, next_word, split_words

if TYPE_CHECKING:
    from collections.abc import Mapping

_SEPARATOR = re.compile(r"\s*;(?:\s+|$)")
_LITERAL = re.compile(r"\s*\\;(?:\s+|$)")
_CURLY = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Command(NamedTuple):
    """One command: `path` is what to execute, `argv` its words before substitution.

    `may_fail` is the "-" prefix; `literal` the ":" prefix (no environment substitution).
    The privilege prefixes "+", "!" and "!!" mean nothing to an unprivileged supervisor.
    """

    path: str
    argv: tuple[str, ...]
    may_fail: bool = False
    literal: bool = False


def parse_commands(line: str, specifiers: Mapping[str, str]) -> list[Command]:
    """Commands of one setting's logical line; ValueError says what is wrong with it."""
    commands = []
    at = 0
    while (first := next_word(line, at)) is not None:
        command, at = _parse_one(line, first, dict(specifiers))
        commands.append(command)
    return commands


def substitute(command: Command, environment: Mapping[str, str]) -> list[str]:
    """The argument vector after `$VAR` and `${VAR}` are replaced."""
    if command.literal:
        return list(command.argv)
    argv = [command.argv[0]]
    for word in command.argv[1:]:
        name = word[1:]
        if word.startswith("$") and _VARIABLE.fullmatch(name):
            argv.extend(_value_words(environment.get(name, "")))
        else:
            argv.append(_CURLY.sub(lambda found: _replacement(found, environment), word))
    return argv


def _replacement(found: re.Match[str], environment: Mapping[str, str]) -> str:
    return "$" if found[1] is None else environment.get(found[1], "")


def _value_words(value: str) -> list[str]:
    try:
        return split_words(value)
    except ValueError:
        return value.split()


def _parse_one(line: str, first: Word, specifiers: dict[str, str]) -> tuple[Command, int]:
    prefixes, path = _split_prefixes(first.text)
    path = expand(path, specifiers)
    at = first.end
    words: list[str] = []
    while True:
        if separator := _SEPARATOR.match(line, at):
            at = separator.end()
            break
        if literal := _LITERAL.match(line, at):
            words.append(";")
            at = literal.end()
            continue
        word = next_word(line, at)
        if word is None:
            at = len(line)
            break
        words.append(expand(word.text, specifiers))
        at = word.end
    _check_path(path)
    if "@" in prefixes:
        if not words:
            raise ValueError(f"no argv[0] after the path in {line}")
        argv = words
    else:
        argv = [path, *words]
    return Command(path, tuple(argv), "-" in prefixes, ":" in prefixes), at


def _split_prefixes(word: str) -> tuple[str, str]:
    at = 0
    while at < len(word) and word[at] in "-@:+!|":
        at += 1
    return word[:at], word[at:]


def _check_path(path: str) -> None:
    if not path:
        raise ValueError("empty path in command line")
    if not path.startswith("/") and "/" in path:
        raise ValueError(f"neither an executable name nor an absolute path: {path}")
    if path.endswith("/"):
        raise ValueError(f"path is a directory: {path}")
    if "\0" in path:
        raise ValueError("NUL in path")
