"""JSON with positions, and the complaints of Go's decoder about text that is none.

Pure. The standard library's parser keeps no offsets, and says other things than the ones that
users of Ignition find when they search for them. Follows RFC 8259 and the scanner of Go's
encoding/json.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from coreos_py.base.gostring import quote_rune

OBJECT = "object"
ARRAY = "array"
STRING = "string"
NUMBER = "number"
BOOL = "bool"
NULL = "null"

DEPTH_MAX = 200
_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_HEX4 = re.compile(r"[0-9a-fA-F]{4}")
_ESCAPES = {
    '"': '"',
    "\\": "\\",
    "/": "/",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
}
_WORDS = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}


class Node:
    """One value, from offset `start` to before `end`. An object is a list of Members."""

    __slots__ = ("end", "kind", "start", "value")

    def __init__(self, kind: str, value: object, start: int, end: int) -> None:
        self.kind = kind
        self.value = value
        self.start = start
        self.end = end

    @property
    def members(self) -> list[Member]:
        """The members of an object, in the order of the text; none of anything else."""
        return self.value if self.kind == OBJECT else []  # type: ignore[return-value]

    @property
    def items(self) -> list[Node]:
        """The elements of an array; none of anything else."""
        return self.value if self.kind == ARRAY else []  # type: ignore[return-value]


class Member(NamedTuple):
    """One key of an object, the offsets of the key and after it, and its value."""

    key: str
    key_start: int
    key_end: int
    node: Node


class BadJSON(ValueError):
    """The text is no JSON; `offset` is where that shows."""

    def __init__(self, text: str, offset: int) -> None:
        super().__init__(text)
        self.offset = offset


def parse(text: str) -> Node:
    """The value the text holds; BadJSON if it holds none, or something after it."""
    reader = _Reader(text)
    node = reader.value(0)
    reader.blank()
    if reader.at < len(text):
        raise reader.bad("after top-level value")
    return node


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self.at = 0

    def bad(self, where: str, *, at: int | None = None) -> BadJSON:
        at = self.at if at is None else at
        if at >= len(self._text):
            return BadJSON("unexpected end of JSON input", at)
        return BadJSON(f"invalid character {_quoted(self._text[at])} {where}", at + 1)

    def blank(self) -> None:
        found = _SPACE.match(self._text, self.at)
        assert found is not None
        self.at = found.end()

    def value(self, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise BadJSON("exceeded max depth", self.at)
        self.blank()
        start = self.at
        char = self._text[start : start + 1]
        if char == "{":
            return self._object(depth)
        if char == "[":
            return self._array(depth)
        if char == '"':
            return Node(STRING, self._string(), start, self.at)
        if char in _WORDS:
            return self._word(char)
        if char == "-" or ("0" <= char <= "9" and char):
            return self._number()
        raise self.bad("looking for beginning of value")

    def _object(self, depth: int) -> Node:
        start = self.at
        members: list[Member] = []
        self.at += 1
        self.blank()
        if self._text[self.at : self.at + 1] == "}":
            self.at += 1
            return Node(OBJECT, members, start, self.at)
        while True:
            self.blank()
            if self._text[self.at : self.at + 1] != '"':
                raise self.bad("looking for beginning of object key string")
            key_start = self.at
            key = self._string()
            key_end = self.at
            self.blank()
            if self._text[self.at : self.at + 1] != ":":
                raise self.bad("after object key")
            self.at += 1
            members.append(Member(key, key_start, key_end, self.value(depth + 1)))
            self.blank()
            char = self._text[self.at : self.at + 1]
            if char not in (",", "}") or not char:
                raise self.bad("after object key:value pair")
            self.at += 1
            if char == "}":
                return Node(OBJECT, members, start, self.at)

    def _array(self, depth: int) -> Node:
        start = self.at
        items: list[Node] = []
        self.at += 1
        self.blank()
        if self._text[self.at : self.at + 1] == "]":
            self.at += 1
            return Node(ARRAY, items, start, self.at)
        while True:
            items.append(self.value(depth + 1))
            self.blank()
            char = self._text[self.at : self.at + 1]
            if char not in (",", "]") or not char:
                raise self.bad("after array element")
            self.at += 1
            if char == "]":
                return Node(ARRAY, items, start, self.at)

    def _string(self) -> str:
        parts = []
        self.at += 1
        while True:
            found = _PLAIN.match(self._text, self.at)
            assert found is not None
            parts.append(found[0])
            self.at = found.end()
            char = self._text[self.at : self.at + 1]
            if char == '"':
                self.at += 1
                return "".join(parts)
            if char != "\\":
                raise self.bad("in string literal")
            self.at += 1
            parts.append(self._escape())

    def _escape(self) -> str:
        char = self._text[self.at : self.at + 1]
        if char in _ESCAPES:
            self.at += 1
            return _ESCAPES[char]
        if char != "u":
            raise self.bad("in string escape code")
        code = self._hex()
        if 0xD800 <= code < 0xDC00 and self._text[self.at : self.at + 2] == "\\u":
            before = self.at
            self.at += 1
            low = self._hex()
            if 0xDC00 <= low < 0xE000:
                return chr(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00))
            self.at = before
        return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)

    def _hex(self) -> int:
        self.at += 1
        found = _HEX4.match(self._text, self.at)
        if found is None:
            for at in range(self.at, self.at + 4):
                if self._text[at : at + 1] not in tuple("0123456789abcdefABCDEF"):
                    raise self.bad("in \\u hexadecimal character escape", at=at)
            raise self.bad("in \\u hexadecimal character escape", at=len(self._text))
        self.at += 4
        return int(found[0], 16)

    def _word(self, first: str) -> Node:
        start = self.at
        word, value = _WORDS[first]
        for at, expected in enumerate(word):
            if self._text[start + at : start + at + 1] != expected:
                raise self.bad(f"in literal {word} (expecting {_quoted(expected)})", at=start + at)
        self.at += len(word)
        return Node(NULL if value is None else BOOL, value, start, self.at)

    def _number(self) -> Node:
        start = self.at
        found = _NUMBER.match(self._text, start)
        if found is None:  # a lone minus
            raise self.bad("in numeric literal", at=start + 1)
        self.at = end = found.end()
        rest = self._text[end : end + 1]
        has_exponent = "e" in found[0] or "E" in found[0]
        if rest == "." and "." not in found[0] and not has_exponent:
            raise self.bad("after decimal point in numeric literal", at=end + 1)
        if rest in ("e", "E") and rest and not has_exponent:
            sign = self._text[end + 1 : end + 2] in ("+", "-")
            raise self.bad("in exponent of numeric literal", at=end + 1 + sign)
        return Node(NUMBER, found[0], start, end)


def _quoted(char: str) -> str:
    """A character as Go's scanner names it, which sees bytes and takes each for a character."""
    return quote_rune(chr(char.encode("utf-8", "surrogatepass")[0]))
