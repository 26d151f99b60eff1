"""Transcript tests: a file of commands, each followed by what it printed.

    # free comment, kept as it is
    command key=value key=(1 2 3) bare
    optional body lines
    ----
    expected output, may be empty

A blank line ends a case; output that itself has blank lines stands between doubled `----` pairs.
`pytest --rewrite` puts the real output into the file instead of comparing.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

FENCE = "----"


class Command(NamedTuple):
    """One command of a transcript: its words, and the lines under it."""

    name: str
    bare: list[str]
    options: dict[str, str]
    body: list[str]

    def numbers(self, key: str) -> list[int]:
        """The integers of `key=5` or `key=(1 2 3)`; none if the key is missing."""
        return [int(word) for word in self.options.get(key, "").strip("()").split()]

    def number(self, key: str, *, default: int = 0) -> int:
        """The integer of `key=5`."""
        return int(self.options.get(key, default))

    def ids(self) -> list[int]:
        """The bare words as integers."""
        return [int(word) for word in self.bare]


class Case(NamedTuple):
    line: int
    head: list[str]
    command: Command | None
    expected: list[str]


Handler = Callable[[Command], str]


def run_file(path: Path, execute: Handler, *, rewrite: bool = False) -> None:
    """Run every command of a file through `execute`; compare, or rewrite the file."""
    text = path.read_text(encoding="utf-8")
    pieces: list[str] = []
    failures: list[str] = []
    for case in parse(text):
        if case.command is None:
            pieces.append("\n".join(case.head))
            continue
        actual = execute(case.command).rstrip("\n").split("\n")
        if actual == [""]:
            actual = []
        pieces.append("\n".join([*case.head, *_fenced(actual)]))
        if actual != case.expected:
            failures.append(_difference(path, case, actual))
    if rewrite:
        result = "\n\n".join(pieces) + "\n"
        if result != text:
            path.write_text(result, encoding="utf-8")
    elif failures:
        raise AssertionError("\n\n".join(failures))


def parse(text: str) -> Iterator[Case]:
    """The cases of a transcript, and comment blocks between them as cases without a command."""
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        start, head = at, []
        while at < len(lines) and lines[at] != FENCE and lines[at].strip():
            head.append(lines[at])
            at += 1
        words = [line for line in head if not line.startswith("#")]
        if not words:
            yield Case(start + 1, head, None, [])
            continue
        if at == len(lines) or lines[at] != FENCE:
            raise ValueError(f"line {start + 1}: command without a {FENCE} line")
        expected, at = _read_expected(lines, at + 1)
        yield Case(start + 1, head, _parse_command(words), expected)


def _read_expected(lines: list[str], at: int) -> tuple[list[str], int]:
    expected: list[str] = []
    if at < len(lines) and lines[at] == FENCE:
        at += 1
        while lines[at : at + 2] != [FENCE, FENCE]:
            if at >= len(lines):
                raise ValueError(f"output without its closing {FENCE} pair")
            expected.append(lines[at])
            at += 1
        return expected, at + 2
    while at < len(lines) and lines[at]:
        expected.append(lines[at])
        at += 1
    return expected, at


def _fenced(output: list[str]) -> list[str]:
    if "" in output or FENCE in output:
        return [FENCE, FENCE, *output, FENCE, FENCE]
    return [FENCE, *output]


def _parse_command(lines: list[str]) -> Command:
    first = lines[0].replace("(", '"(').replace(")", ')"')
    name, *words = shlex.split(first)
    options = dict(word.split("=", 1) for word in words if "=" in word)
    return Command(name, [word for word in words if "=" not in word], options, lines[1:])


def _difference(path: Path, case: Case, actual: list[str]) -> str:
    command = next(line for line in case.head if not line.startswith("#"))
    return "\n".join(
        [
            f"{path.name}:{case.line}: {command}",
            *(f"  - {line}" for line in case.expected if line not in actual),
            *(f"  + {line}" for line in actual if line not in case.expected),
            "  expected:",
            *(f"    {line}" for line in case.expected),
            "  got:",
            *(f"    {line}" for line in actual),
        ]
    )
