"""A place in a text that libyaml would be at, and the tokens that are found there. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from coreos_py.cloudinit.yaml.nodes import YamlError

STREAM_END = "stream end"
DIRECTIVE_VERSION = "%YAML"
DIRECTIVE_TAG = "%TAG"
DOCUMENT_START = "---"
DOCUMENT_END = "..."
BLOCK_SEQUENCE_START = "block sequence start"
BLOCK_MAPPING_START = "block mapping start"
BLOCK_END = "block end"
FLOW_SEQUENCE_START = "["
FLOW_SEQUENCE_END = "]"
FLOW_MAPPING_START = "{"
FLOW_MAPPING_END = "}"
FLOW_ENTRY = ","
BLOCK_ENTRY = "-"
KEY = "?"
VALUE = ":"
ALIAS = "*"
ANCHOR = "&"
TAG = "!"
SCALAR = "scalar"

BREAKS = "\r\n\x85\u2028\u2029"
BLANKZ = " \t\0" + BREAKS

BLANKS = re.compile(r"[ \t]*")
NAME = re.compile(r"[0-9A-Za-z_-]*")
HEX = re.compile(r"[0-9A-Fa-f]*")
REST_OF_LINE = re.compile(f"[^\0{BREAKS}]*")


class Token(NamedTuple):
    """`line` is where it starts; `value` depends on the kind, as does `extra`."""

    kind: str
    line: int
    value: str = ""
    extra: str = ""
    is_plain: bool = False


class Mark(NamedTuple):
    """Where something began."""

    at: int
    line: int
    column: int


class Cursor:
    """Reads on in a text; several zeros end it."""

    def __init__(self, text: str) -> None:
        self._text = text + "\0\0\0\0"
        self.at = 0
        self._line = 0
        self._line_at = 0

    @property
    def _column(self) -> int:
        return self.at - self._line_at

    def _mark(self) -> Mark:
        return Mark(self.at, self._line, self._column)

    def _fail(self, problem: str, context: Mark | None = None) -> YamlError:
        return YamlError(problem, line=self._line or (context.line if context else 0))

    def _run(self, pattern: re.Pattern[str]) -> str:
        """What the pattern matches here, consumed; patterns match no line break."""
        found = pattern.match(self._text, self.at)
        assert found is not None
        self.at = found.end()
        return found.group()

    def _break(self) -> str:
        """One line break, consumed, as it counts in a scalar; "" where there is none."""
        char = self._text[self.at]
        if char not in BREAKS:
            return ""
        self.at += 2 if self._text.startswith("\r\n", self.at) else 1
        self._line += 1
        self._line_at = self.at
        return char if char in "\u2028\u2029" else "\n"

    def _is_document_indicator(self) -> bool:
        return (
            self._column == 0
            and self._text[self.at : self.at + 3] in ("---", "...")
            and self._text[self.at + 3] in BLANKZ
        )

    def _end_of_line(self, start: Mark) -> None:
        self._run(BLANKS)
        if self._text[self.at] == "#":
            self._run(REST_OF_LINE)
        if self._text[self.at] not in "\0" + BREAKS:
            raise self._fail("did not find expected comment or line break", start)
        self._break()
