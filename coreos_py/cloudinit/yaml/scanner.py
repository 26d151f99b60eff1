"""From text to YAML tokens, with the rules and the words of libyaml 0.1 as go-yaml v1 has them.

PyYAML's scanner is another one: it refuses tabs between tokens, allows `a:b` inside brackets and
words its errors differently, and people compare what `-validate` prints. Pure.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.cloudinit.yaml.nodes import YamlError

if TYPE_CHECKING:
    from collections.abc import Callable

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

_BREAKS = "\r\n\x85\u2028\u2029"
_BLANKZ = " \t\0" + _BREAKS
_SIMPLE_KEY_MAX = 1024

_NAME = re.compile(r"[0-9A-Za-z_-]*")
_REST_OF_LINE = re.compile(f"[^\0{_BREAKS}]*")
_BLANKS = re.compile(r"[ \t]*")
_SPACES = re.compile(r" *")
_PLAIN_BLOCK = re.compile(f"[^{_BLANKZ}:]*")
_PLAIN_FLOW = re.compile(rf"[^{_BLANKZ}:,?\[\]{{}}]*")
_SINGLE = re.compile(f"[^{_BLANKZ}']*")
_DOUBLE = re.compile(rf'[^{_BLANKZ}"\\]*')
_URI = re.compile(r"[0-9A-Za-z_\-;/?:@&=+$,.!~*'()\[\]]*")
_HEX = re.compile(r"[0-9A-Fa-f]*")

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
_FLOW_STARTS = {"[": FLOW_SEQUENCE_START, "{": FLOW_MAPPING_START}
_FLOW_ENDS = {"]": FLOW_SEQUENCE_END, "}": FLOW_MAPPING_END}


class Token(NamedTuple):
    """`line` is where it starts; `value` depends on the kind, as does `extra`."""

    kind: str
    line: int
    value: str = ""
    extra: str = ""
    is_plain: bool = False


class _Mark(NamedTuple):
    at: int
    line: int
    column: int


class _SimpleKey(NamedTuple):
    """Where a key may have begun that only its colon will show to be one."""

    mark: _Mark
    token_number: int
    is_required: bool


class Scanner:
    """Tokens one at a time: `peek` and `take`."""

    def __init__(self, text: str) -> None:
        self._text = text + "\0\0\0\0"
        self.at = 0
        self._line = 0
        self._line_at = 0
        self._flow_level = 0
        self._indent = -1
        self._indents: list[int] = []
        self._simple_keys: list[_SimpleKey | None] = [None]
        self._key_allowed = True
        self._tokens: deque[Token] = deque()
        self._taken = 0

    # -- the parser's side

    def peek(self) -> Token:
        """The next token."""
        while self._needs_more():
            self._fetch()
        return self._tokens[0]

    def take(self) -> Token:
        """The next token, which is then gone."""
        token = self.peek()
        self._tokens.popleft()
        self._taken += 1
        return token

    def _needs_more(self) -> bool:
        if not self._tokens:
            return True
        self._drop_stale_keys()
        return any(key and key.token_number == self._taken for key in self._simple_keys)

    # -- marks and moves

    @property
    def _column(self) -> int:
        return self.at - self._line_at

    def _mark(self) -> _Mark:
        return _Mark(self.at, self._line, self._column)

    def _fail(self, problem: str, context: _Mark | None = None) -> YamlError:
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
        if char not in _BREAKS:
            return ""
        self.at += 2 if self._text.startswith("\r\n", self.at) else 1
        self._line += 1
        self._line_at = self.at
        return char if char in "\u2028\u2029" else "\n"

    def _is_document_indicator(self) -> bool:
        return (
            self._column == 0
            and self._text[self.at : self.at + 3] in ("---", "...")
            and self._text[self.at + 3] in _BLANKZ
        )

    # -- simple keys and indentation

    def _drop_stale_keys(self) -> None:
        for level, key in enumerate(self._simple_keys):
            if key is None:
                continue
            if key.mark.line < self._line or key.mark.at + _SIMPLE_KEY_MAX < self.at:
                if key.is_required:
                    raise self._fail("could not find expected ':'", key.mark)
                self._simple_keys[level] = None

    def _save_simple_key(self) -> None:
        if not self._key_allowed:
            return
        required = not self._flow_level and self._indent == self._column
        number = self._taken + len(self._tokens)
        self._remove_simple_key()
        self._simple_keys[-1] = _SimpleKey(self._mark(), number, required)

    def _remove_simple_key(self) -> None:
        key = self._simple_keys[-1]
        if key is not None and key.is_required:
            raise self._fail("could not find expected ':'", key.mark)
        self._simple_keys[-1] = None

    def _roll_indent(self, column: int, kind: str, mark: _Mark, number: int | None = None) -> None:
        if self._flow_level or self._indent >= column:
            return
        self._indents.append(self._indent)
        self._indent = column
        at = len(self._tokens) if number is None else number - self._taken
        self._tokens.insert(at, Token(kind, mark.line))

    def _unroll_indent(self, column: int) -> None:
        if self._flow_level:
            return
        while self._indent > column:
            self._tokens.append(Token(BLOCK_END, self._line))
            self._indent = self._indents.pop()

    # -- fetching

    def _fetch(self) -> None:
        self._to_next_token()
        self._drop_stale_keys()
        self._unroll_indent(self._column)
        char = self._text[self.at]
        follower = self._text[self.at + 1]
        if char == "\0":
            self._fetch_stream_end()
        elif char == "%" and self._column == 0:
            self._fetch_directive()
        elif self._is_document_indicator():
            self._reset_for_document()
            self._indicator(self._text[self.at : self.at + 3])
        elif char in _FLOW_STARTS:
            self._save_simple_key()
            self._simple_keys.append(None)
            self._flow_level += 1
            self._key_allowed = True
            self._indicator(char)
        elif char in _FLOW_ENDS:
            self._fetch_flow_end(char)
        elif char == ",":
            self._remove_simple_key()
            self._key_allowed = True
            self._indicator(FLOW_ENTRY)
        elif char == "-" and follower in _BLANKZ:
            self._fetch_block_entry()
        elif char == "?" and (self._flow_level or follower in _BLANKZ):
            self._fetch_key()
        elif char == ":" and (self._flow_level or follower in _BLANKZ):
            self._fetch_value()
        else:
            self._fetch_content(char, follower)

    def _fetch_content(self, char: str, follower: str) -> None:
        if char in "*&":
            self._fetch_keyable(self._anchor)
        elif char == "!":
            self._fetch_keyable(self._tag)
        elif char in "|>" and not self._flow_level:
            self._remove_simple_key()
            self._key_allowed = True
            self._tokens.append(self._block_scalar())
        elif char == "'":
            self._fetch_keyable(self._single_quoted)
        elif char == '"':
            self._fetch_keyable(self._double_quoted)
        elif (
            char not in _BLANKZ + "-?:,[]{}#&*!|>'\"%@`"
            or (char == "-" and follower not in " \t")
            or (not self._flow_level and char in "?:" and follower not in _BLANKZ)
        ):
            self._fetch_keyable(self._plain)
        else:
            raise self._fail("found character that cannot start any token")

    def _fetch_keyable(self, scan: Callable[[], Token]) -> None:
        self._save_simple_key()
        self._key_allowed = False
        self._tokens.append(scan())

    def _indicator(self, kind: str) -> None:
        self._tokens.append(Token(kind, self._line))
        self.at += len(kind)

    def _to_next_token(self) -> None:
        while True:
            blanks = _BLANKS if self._flow_level or not self._key_allowed else _SPACES
            self._run(blanks)
            if self._text[self.at] == "#":
                self._run(_REST_OF_LINE)
            if not self._break():
                return
            if not self._flow_level:
                self._key_allowed = True

    def _reset_for_document(self) -> None:
        self._unroll_indent(-1)
        self._remove_simple_key()
        self._key_allowed = False

    def _fetch_stream_end(self) -> None:
        if self._column:
            self._line += 1
            self._line_at = self.at
        self._reset_for_document()
        self._tokens.append(Token(STREAM_END, self._line))

    def _fetch_flow_end(self, char: str) -> None:
        self._remove_simple_key()
        if self._flow_level:
            self._flow_level -= 1
            self._simple_keys.pop()
        self._key_allowed = False
        self._indicator(char)

    def _fetch_block_entry(self) -> None:
        if not self._flow_level:
            if not self._key_allowed:
                raise self._fail("block sequence entries are not allowed in this context")
            self._roll_indent(self._column, BLOCK_SEQUENCE_START, self._mark())
        self._remove_simple_key()
        self._key_allowed = True
        self._indicator(BLOCK_ENTRY)

    def _fetch_key(self) -> None:
        if not self._flow_level:
            if not self._key_allowed:
                raise self._fail("mapping keys are not allowed in this context")
            self._roll_indent(self._column, BLOCK_MAPPING_START, self._mark())
        self._remove_simple_key()
        self._key_allowed = not self._flow_level
        self._indicator(KEY)

    def _fetch_value(self) -> None:
        key = self._simple_keys[-1]
        if key is not None:
            self._tokens.insert(key.token_number - self._taken, Token(KEY, key.mark.line))
            self._roll_indent(key.mark.column, BLOCK_MAPPING_START, key.mark, key.token_number)
            self._simple_keys[-1] = None
            self._key_allowed = False
        else:
            if not self._flow_level:
                if not self._key_allowed:
                    raise self._fail("mapping values are not allowed in this context")
                self._roll_indent(self._column, BLOCK_MAPPING_START, self._mark())
            self._key_allowed = not self._flow_level
        self._indicator(VALUE)

    # -- directives, anchors, tags

    def _fetch_directive(self) -> None:
        self._reset_for_document()
        start = self._mark()
        self.at += 1
        name = self._run(_NAME)
        if not name:
            raise self._fail("could not find expected directive name", start)
        if self._text[self.at] not in _BLANKZ:
            raise self._fail("found unexpected non-alphabetical character", start)
        if name == "YAML":
            token = Token(DIRECTIVE_VERSION, start.line, *self._version(start))
        elif name == "TAG":
            token = Token(DIRECTIVE_TAG, start.line, *self._tag_directive(start))
        else:
            raise self._fail("found uknown directive name", start)
        self._end_of_line(start)
        self._tokens.append(token)

    def _end_of_line(self, start: _Mark) -> None:
        self._run(_BLANKS)
        if self._text[self.at] == "#":
            self._run(_REST_OF_LINE)
        if self._text[self.at] not in "\0" + _BREAKS:
            raise self._fail("did not find expected comment or line break", start)
        self._break()

    def _version(self, start: _Mark) -> tuple[str, str]:
        self._run(_BLANKS)
        major = self._version_number(start)
        if self._text[self.at] != ".":
            raise self._fail("did not find expected digit or '.' character", start)
        self.at += 1
        return major, self._version_number(start)

    def _version_number(self, start: _Mark) -> str:
        begin = self.at
        while self._text[self.at] in "0123456789":
            if self.at - begin == 2:
                raise self._fail("found extremely long version number", start)
            self.at += 1
        if begin == self.at:
            raise self._fail("did not find expected version number", start)
        return self._text[begin : self.at]

    def _tag_directive(self, start: _Mark) -> tuple[str, str]:
        self._run(_BLANKS)
        handle = self._tag_handle(start)
        if not handle.endswith("!"):
            raise self._tag_error(start)
        if self._text[self.at] not in " \t":
            raise self._fail("did not find expected whitespace", start)
        self._run(_BLANKS)
        prefix = self._tag_uri("", start)
        if self._text[self.at] not in _BLANKZ:
            raise self._fail("did not find expected whitespace or line break", start)
        return handle, prefix

    def _anchor(self) -> Token:
        start = self._mark()
        kind = self._text[self.at]
        self.at += 1
        name = self._run(_NAME)
        if not name or self._text[self.at] not in _BLANKZ + "?:,]}%@`":
            raise self._fail("did not find expected alphabetic or numeric character", start)
        return Token(kind, start.line, name)

    def _tag(self) -> Token:
        start = self._mark()
        handle = ""
        if self._text[self.at + 1] == "<":
            self.at += 2
            suffix = self._tag_uri("", start)
            if self._text[self.at] != ">":
                raise self._fail("did not find the expected '>'", start)
            self.at += 1
        else:
            handle = self._tag_handle(start)
            if len(handle) > 1 and handle.endswith("!"):
                suffix = self._tag_uri("", start)
            else:
                suffix = self._tag_uri(handle[1:], start)
                handle = "!"
        if self._text[self.at] not in _BLANKZ:
            raise self._fail("did not find expected whitespace or line break", start)
        return Token(TAG, start.line, handle, suffix)

    def _tag_handle(self, start: _Mark) -> str:
        if self._text[self.at] != "!":
            raise self._tag_error(start)
        begin = self.at
        self.at += 1
        self._run(_NAME)
        if self._text[self.at] == "!":
            self.at += 1
        return self._text[begin : self.at]

    def _tag_uri(self, head: str, start: _Mark) -> str:
        uri = head + self._run(_URI)
        while self._text[self.at] == "%":
            uri += self._uri_escape(start) + self._run(_URI)
        if not uri:
            raise self._tag_error(start)
        return uri

    def _uri_escape(self, start: _Mark) -> str:
        octets = bytearray()
        while self._text[self.at] == "%":
            digits = self._text[self.at + 1 : self.at + 3]
            if len(_HEX.match(digits).group()) != 2:  # type: ignore[union-attr]  # matches ""
                raise self._tag_error(start)
            octets.append(int(digits, 16))
            self.at += 3
        try:
            return octets.decode()
        except UnicodeDecodeError:
            raise self._tag_error(start) from None

    def _tag_error(self, start: _Mark) -> YamlError:
        return self._fail("did not find URI escaped octet", start)  # go-yaml v1 has only this one

    # -- scalars

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
            pieces.append(self._run(_REST_OF_LINE))
            leading_break = self._break()
            indent, trailing = self._block_breaks(indent, start)
        if chomping != "-":
            pieces.append(leading_break)
        if chomping == "+":
            pieces.append(trailing)
        return Token(SCALAR, start.line, "".join(pieces))

    def _block_header(self, start: _Mark) -> tuple[str, int]:
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

    def _block_breaks(self, indent: int, start: _Mark) -> tuple[int, str]:
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

    def _quoted(self, quote: str, run: Callable[[_Mark], str]) -> Token:
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

    def _single_quoted_run(self, _start: _Mark) -> str:
        """Up to a blank or the end quote."""
        pieces = [self._run(_SINGLE)]
        while self._text.startswith("''", self.at):
            self.at += 2
            pieces += ("'", self._run(_SINGLE))
        return "".join(pieces)

    def _double_quoted_run(self, start: _Mark) -> str:
        """Up to a blank, the end quote or an escaped line break."""
        pieces = [self._run(_DOUBLE)]
        while self._text[self.at] == "\\" and self._text[self.at + 1] not in _BREAKS:
            pieces.append(self._escape(start))
            pieces.append(self._run(_DOUBLE))
        return "".join(pieces)

    def _escape(self, start: _Mark) -> str:
        char = self._text[self.at + 1]
        if char in _ESCAPES:
            self.at += 2
            return _ESCAPES[char]
        if char not in _ESCAPE_DIGITS:
            raise self._fail("found unknown escape character", start)
        self.at += 2
        count = _ESCAPE_DIGITS[char]
        found = _HEX.match(self._text, self.at, self.at + count)
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
            blanks = self._run(_BLANKS)
            leading = self._break()
            if not leading:
                return blanks
        else:
            leading = ""
        trailing: list[str] = []
        while True:
            self._run(_BLANKS)
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
            if self._text[self.at] not in " \t" + _BREAKS:
                break
            waiting, crossed_line = self._plain_blanks(indent, start, crossed_line=crossed_line)
            if not self._flow_level and self._column < indent:
                break
        if crossed_line:
            self._key_allowed = True
        return Token(SCALAR, start.line, "".join(pieces), is_plain=True)

    def _plain_run(self, start: _Mark) -> str:
        if not self._flow_level:
            pieces = [self._run(_PLAIN_BLOCK)]
            while self._text[self.at] == ":" and self._text[self.at + 1] not in _BLANKZ:
                self.at += 1
                pieces += (":", self._run(_PLAIN_BLOCK))
            return "".join(pieces)
        run = self._run(_PLAIN_FLOW)
        if self._text[self.at] == ":" and self._text[self.at + 1] not in _BLANKZ:
            raise self._fail("found unexpected ':'", start)
        return run

    def _plain_blanks(self, indent: int, start: _Mark, *, crossed_line: bool) -> tuple[str, bool]:
        """What blanks and breaks between words count as, and whether a line ended."""
        blanks = self._run(_BLANKS)
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
