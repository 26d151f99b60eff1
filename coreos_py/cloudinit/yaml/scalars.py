"""Scalars in their five styles. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from coreos_py.cloudinit.yaml.cursor import (
    BLANKS,
    BLANKZ,
    BREAKS,
    HEX,
    REST_OF_LINE,
    SCALAR,
    Cursor,
    Mark,
    Token,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_PLAIN_BLOCK = re.compile(f"[^{BLANKZ}:]*")
_PLAIN_FLOW = re.compile(rf"[^{BLANKZ}:,?\[\]{{}}]*")
_SINGLE = re.compile(f"[^{BLANKZ}']*")
_DOUBLE = re.compile(rf'[^{BLANKZ}"\\]*')

_ESCAPES = {
    "0": "\0",
    "a": "\x07",
    "b": "\x08",
    "t": "\t",
    "\t": "\t",
    "n": "\n",
    "v": "\x0b",
    "f": "\x0c",
    "r": "\r",
    "e": "\x1b",
    " ": " ",
    '"': '"',
    "'": "'",
    "\\": "\\",
    "N": "\x85",
    "_": "\xa0",
    "L": "\u2028",
    "P": "\u2029",
}
_ESCAPE_DIGITS = {"x": 2, "u": 4, "U": 8}


class Scalars(Cursor):
    """Reads scalars, for which it has to know where they stand."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._flow_level = 0
        self._indent = -1
        self._key_allowed = True

    def _block_scalar(self) -> Token:
        start = self._mark()
        is_literal = self._text[self.at] == "|"
        self.at += 1
        chomping, increment = self._block_header(start)
        self._end_of_line(start)
        indent = max(self._indent, 0) + increment if increment else 0
        indent, trailing = self._block_breaks(indent, start)
        pieces: list[str] = []
        leading_break = ""
        after_blank = False
        while self._column == indent and self._text[self.at] != "\0":
            begins_blank = self._text[self.at] in " \t"
            if not is_literal and leading_break == "\n" and not (after_blank or begins_blank):
                pieces.append("" if trailing else " ")
            else:
                pieces.append(leading_break)
            pieces.append(trailing)
            after_blank = begins_blank
            pieces.append(self._run(REST_OF_LINE))
            leading_break = self._break()
            indent, trailing = self._block_breaks(indent, start)
        if chomping != "-":
            pieces.append(leading_break)
        if chomping == "+":
            pieces.append(trailing)
        return Token(SCALAR, start.line, "".join(pieces))

    def _block_header(self, start: Mark) -> tuple[str, int]:
        """The chomping indicator and the indentation one, in either order."""
        chomping = ""
        increment = 0
        for _ in range(2):
            char = self._text[self.at]
            if char in "+-" and not chomping:
                chomping = char
            elif char in "0123456789" and not increment:
                if char == "0":
                    raise self._fail("found an intendation indicator equal to 0", start)
                increment = int(char)
            else:
                break
            self.at += 1
        return chomping, increment

    def _block_breaks(self, indent: int, start: Mark) -> tuple[int, str]:
        """Indentation and empty lines, consumed; the indentation, found here if it was 0."""
        breaks: list[str] = []
        deepest = 0
        while True:
            while (not indent or self._column < indent) and self._text[self.at] == " ":
                self.at += 1
            deepest = max(deepest, self._column)
            if (not indent or self._column < indent) and self._text[self.at] == "\t":
                text = "found a tab character where an intendation space is expected"
                raise self._fail(text, start)
            found = self._break()
            if not found:
                break
            breaks.append(found)
        return indent or max(deepest, self._indent + 1, 1), "".join(breaks)

    def _single_quoted(self) -> Token:
        return self._quoted("'", self._single_quoted_run)

    def _double_quoted(self) -> Token:
        return self._quoted('"', self._double_quoted_run)

    def _quoted(self, quote: str, run: Callable[[Mark], str]) -> Token:
        start = self._mark()
        self.at += 1
        pieces: list[str] = []
        while True:
            if self._is_document_indicator():
                raise self._fail("found unexpected document indicator", start)
            if self._text[self.at] == "\0":
                raise self._fail("found unexpected end of stream", start)
            pieces.append(run(start))
            if self._text[self.at] == quote:
                break
            is_escaped_break = self._text[self.at] == "\\"
            if is_escaped_break:
                self.at += 1
                self._break()
            pieces.append(self._folded_blanks(starts_line=is_escaped_break))
        self.at += 1
        return Token(SCALAR, start.line, "".join(pieces))

    def _single_quoted_run(self, _start: Mark) -> str:
        """Up to a blank or the end quote."""
        pieces = [self._run(_SINGLE)]
        while self._text.startswith("''", self.at):
            self.at += 2
            pieces += ("'", self._run(_SINGLE))
        return "".join(pieces)

    def _double_quoted_run(self, start: Mark) -> str:
        """Up to a blank, the end quote or an escaped line break."""
        pieces = [self._run(_DOUBLE)]
        while self._text[self.at] == "\\" and self._text[self.at + 1] not in BREAKS:
            pieces.append(self._escape(start))
            pieces.append(self._run(_DOUBLE))
        return "".join(pieces)

    def _escape(self, start: Mark) -> str:
        char = self._text[self.at + 1]
        if char in _ESCAPES:
            self.at += 2
            return _ESCAPES[char]
        if char not in _ESCAPE_DIGITS:
            raise self._fail("found unknown escape character", start)
        self.at += 2
        count = _ESCAPE_DIGITS[char]
        found = HEX.match(self._text, self.at, self.at + count)
        if found is None or len(found.group()) < count:
            raise self._fail("did not find expected hexdecimal number", start)
        code = int(found.group(), 16)
        if 0xD800 <= code <= 0xDFFF or code > 0x10FFFF:
            raise self._fail("found invalid Unicode character escape code", start)
        self.at += count
        return chr(code)

    def _folded_blanks(self, *, starts_line: bool) -> str:
        """Blanks and line breaks inside a quoted scalar, as they count."""
        if not starts_line:
            blanks = self._run(BLANKS)
            leading = self._break()
            if not leading:
                return blanks
        else:
            leading = ""
        trailing: list[str] = []
        while True:
            self._run(BLANKS)
            found = self._break()
            if not found:
                break
            trailing.append(found)
        return _fold(leading, "".join(trailing)) if not starts_line else "".join(trailing)

    def _plain(self) -> Token:
        start = self._mark()
        indent = self._indent + 1
        pieces: list[str] = []
        waiting = ""  # blanks or folded breaks that count only if text follows
        crossed_line = False
        while not self._is_document_indicator() and self._text[self.at] != "#":
            run = self._plain_run(start)
            if run:
                pieces += (waiting, run)
                waiting = ""
                crossed_line = False
            if self._text[self.at] not in " \t" + BREAKS:
                break
            waiting, crossed_line = self._plain_blanks(indent, start, crossed_line=crossed_line)
            if not self._flow_level and self._column < indent:
                break
        if crossed_line:
            self._key_allowed = True
        return Token(SCALAR, start.line, "".join(pieces), is_plain=True)

    def _plain_run(self, start: Mark) -> str:
        if not self._flow_level:
            pieces = [self._run(_PLAIN_BLOCK)]
            while self._text[self.at] == ":" and self._text[self.at + 1] not in BLANKZ:
                self.at += 1
                pieces += (":", self._run(_PLAIN_BLOCK))
            return "".join(pieces)
        run = self._run(_PLAIN_FLOW)
        if self._text[self.at] == ":" and self._text[self.at + 1] not in BLANKZ:
            raise self._fail("found unexpected ':'", start)
        return run

    def _plain_blanks(self, indent: int, start: Mark, *, crossed_line: bool) -> tuple[str, bool]:
        """What blanks and breaks between words count as, and whether a line ended."""
        blanks = self._run(BLANKS)
        leading = self._break()
        if not leading:
            return blanks, crossed_line
        trailing: list[str] = []
        while True:
            while self._text[self.at] in " \t":
                if self._text[self.at] == "\t" and self._column < indent:
                    raise self._fail("found a tab character that violate intendation", start)
                self.at += 1
            found = self._break()
            if not found:
                break
            trailing.append(found)
        return _fold(leading, "".join(trailing)), True


def _fold(leading: str, trailing: str) -> str:
    """One line break is a blank, more lose their first; the Unicode ones stay."""
    if leading == "\n":
        return trailing or " "
    return leading + trailing
