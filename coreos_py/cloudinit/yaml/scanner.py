"""From text to YAML tokens, with the rules and the words of libyaml 0.1 as go-yaml v1 has them.

PyYAML's scanner is another one: it refuses tabs between tokens, allows `a:b` inside brackets and
words its errors differently, and people compare what `-validate` prints. Pure.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.cloudinit.yaml.cursor import (
    BLANKS,
    BLANKZ,
    BLOCK_END,
    BLOCK_ENTRY,
    BLOCK_MAPPING_START,
    BLOCK_SEQUENCE_START,
    DIRECTIVE_TAG,
    DIRECTIVE_VERSION,
    FLOW_ENTRY,
    FLOW_MAPPING_END,
    FLOW_MAPPING_START,
    FLOW_SEQUENCE_END,
    FLOW_SEQUENCE_START,
    KEY,
    NAME,
    REST_OF_LINE,
    STREAM_END,
    VALUE,
    Mark,
    Token,
)
from coreos_py.cloudinit.yaml.properties import Properties
from coreos_py.cloudinit.yaml.scalars import Scalars

if TYPE_CHECKING:
    from collections.abc import Callable

_SIMPLE_KEY_MAX = 1024
_SPACES = re.compile(r" *")
_FLOW_STARTS = {"[": FLOW_SEQUENCE_START, "{": FLOW_MAPPING_START}
_FLOW_ENDS = {"]": FLOW_SEQUENCE_END, "}": FLOW_MAPPING_END}


class _SimpleKey(NamedTuple):
    """Where a key may have begun that only its colon will show to be one."""

    mark: Mark
    token_number: int
    is_required: bool


class Scanner(Scalars, Properties):
    """Tokens one at a time: `peek` and `take`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._indents: list[int] = []
        self._simple_keys: list[_SimpleKey | None] = [None]
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

    def _roll_indent(self, column: int, kind: str, mark: Mark, number: int | None = None) -> None:
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
        elif char == "-" and follower in BLANKZ:
            self._fetch_block_entry()
        elif char == "?" and (self._flow_level or follower in BLANKZ):
            self._fetch_key()
        elif char == ":" and (self._flow_level or follower in BLANKZ):
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
            char not in BLANKZ + "-?:,[]{}#&*!|>'\"%@`"
            or (char == "-" and follower not in " \t")
            or (not self._flow_level and char in "?:" and follower not in BLANKZ)
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
            blanks = BLANKS if self._flow_level or not self._key_allowed else _SPACES
            self._run(blanks)
            if self._text[self.at] == "#":
                self._run(REST_OF_LINE)
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

    def _fetch_directive(self) -> None:
        self._reset_for_document()
        start = self._mark()
        self.at += 1
        name = self._run(NAME)
        if not name:
            raise self._fail("could not find expected directive name", start)
        if self._text[self.at] not in BLANKZ:
            raise self._fail("found unexpected non-alphabetical character", start)
        if name == "YAML":
            token = Token(DIRECTIVE_VERSION, start.line, *self._version(start))
        elif name == "TAG":
            token = Token(DIRECTIVE_TAG, start.line, *self._tag_directive(start))
        else:
            raise self._fail("found uknown directive name", start)
        self._end_of_line(start)
        self._tokens.append(token)
