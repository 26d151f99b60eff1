"""What was found wrong with a config, and where: entries, and the two ways they are shown.

Pure. Programs for configs of version 3 print one line with the JSON path; those for 1 and 2 print
two lines of the source with a mark below.
"""

from __future__ import annotations

from typing import NamedTuple

ERROR = "error"
WARNING = "warning"
INFO = "info"
DEPRECATED = "deprecated"

Path = tuple[str | int, ...]


class Entry(NamedTuple):
    """One finding. `offset` is the place in the text, -1 if there is none."""

    kind: str
    message: str
    path: Path | None = None
    offset: int = -1


class Report:
    """All findings about one config, in the order they were made."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, kind: str, message: str, *, path: Path | None = None, offset: int = -1) -> None:
        """Note one, once."""
        entry = Entry(kind, message, path, offset)
        if entry not in self.entries:
            self.entries.append(entry)

    @property
    def fatal(self) -> bool:
        """Whether the config must not be used."""
        return any(entry.kind == ERROR for entry in self.entries)

    def lines(self, text: str) -> list[str]:
        """As for a config of version 3: one line each."""
        return [_line(entry, text) for entry in self.entries]

    def excerpts(self, text: str) -> list[str]:
        """As for a config of version 1 or 2: the place, the source, the message."""
        found = []
        for entry in self.entries:
            if entry.offset < 0:
                found.append(f"{entry.kind}: {entry.message}")
                continue
            line, column = position(text, entry.offset)
            found.append(f"{entry.kind} at line {line}, column {column}")
            rows = text.split("\n")
            if line > 1:
                found.append(f"{line - 1:5d}: {rows[line - 2]}")
            found.append(f"{line:5d}: {rows[line - 1][: column - 1]}")
            found.append(" " * (6 + column) + "^")
            found.append(entry.message)
        return found


def position(text: str, offset: int) -> tuple[int, int]:
    """Line and column of an offset, both from 1."""
    start = text.rfind("\n", 0, offset) + 1
    return text.count("\n", 0, offset) + 1, offset - start + 1


def show_path(path: Path) -> str:
    """$.storage.files.0.path"""
    return ".".join(["$", *(str(part) for part in path)])


def _line(entry: Entry, text: str) -> str:
    place = ""
    if entry.path is not None:
        place = f" at {show_path(entry.path)}"
    if entry.offset >= 0:
        line, column = position(text, entry.offset)
        place += f"{',' if place else ' at'} line {line} col {column}"
    return f"{entry.kind}{place}: {entry.message}"
