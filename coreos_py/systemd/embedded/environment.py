"""Environment blocks: assignments of Environment=, and the files of EnvironmentFile=. Pure."""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def parse_assignment(word: str) -> tuple[str, str] | None:
    """(name, value) of "NAME=value", None when the word is not an assignment."""
    name, equals, value = word.partition("=")
    if not equals or not _NAME.fullmatch(name) or "\0" in value:
        return None
    return name, value


def parse_file(text: str) -> dict[str, str]:
    """Assignments of an environment file; lines that are none are skipped, as systemd does."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        char = text[at]
        if char in " \t\r\n":
            at += 1
        elif char in "#;":
            at = _line_end(text, at, continued=True)
        else:
            at = _assignment(text, at, found)
    return found


def _assignment(text: str, at: int, found: dict[str, str]) -> int:
    end = _line_end(text, at, continued=False)
    equals = text.find("=", at, end)
    if equals < 0:
        return end
    name = text[at:equals].strip()
    value, end = _value(text, equals + 1)
    if _NAME.fullmatch(name) and "\0" not in value:
        found[name] = value
    return end


def _value(text: str, at: int) -> tuple[str, int]:
    """Read one value up to its line end: quoted strings first, then at most one bare rest."""
    parts: list[str] = []
    while at < len(text) and text[at] not in "\r\n":
        if text[at] in " \t":
            at += 1
        elif text[at] in "'\"":
            at = _quoted(text, at, parts)
        else:
            return _bare(text, at, parts)
    return "".join(parts), at


def _quoted(text: str, at: int, parts: list[str]) -> int:
    quote = text[at]
    at += 1
    while at < len(text) and text[at] != quote:
        if text[at] == "\\" and quote == '"' and at + 1 < len(text):
            at += 1
            parts.append(_escaped_in_quotes(text[at]))
        else:
            parts.append(text[at])
        at += 1
    return at + 1


def _bare(text: str, at: int, parts: list[str]) -> tuple[str, int]:
    keep = len(parts)
    while at < len(text) and text[at] not in "\r\n":
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
            if text[at] not in "\r\n":
                parts.append(text[at])
                keep = len(parts)
        else:
            parts.append(text[at])
            if text[at] not in " \t":
                keep = len(parts)
        at += 1
    return "".join(parts[:keep]), at


def _escaped_in_quotes(char: str) -> str:
    if char == "\n":
        return ""
    return char if char in '"\\`$' else "\\" + char


def _line_end(text: str, at: int, *, continued: bool) -> int:
    while at < len(text) and text[at] != "\n":
        at += 2 if continued and text[at] == "\\" else 1
    return min(at, len(text))
