"""Words of a unit-file value: continuation lines, quotes, escapes. Pure.

The rules are those of systemd.syntax(7) and of the "COMMAND LINES" part of systemd.service(5).
"""

from __future__ import annotations

from typing import NamedTuple

BLANKS = " \t\n\r"

_SIMPLE = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
    "'": "'",
    "s": " ",
}
_HEX = frozenset("0123456789abcdefABCDEF")
_OCTAL = frozenset("01234567")


class Word(NamedTuple):
    """One word; `end` is where scanning goes on, `raw` the text it was cut from."""

    text: str
    end: int
    raw: str


def logical_line(value: str) -> str:
    """Join the lines of a continued value with blanks, dropping comment lines between them."""
    if "\n" not in value:
        return value.removesuffix("\\").strip()
    first, *rest = value.split("\n")
    lines = [first, *(line for line in rest if not line.lstrip().startswith(("#", ";")))]
    return " ".join(line.removesuffix("\\") for line in lines).strip()


def split_words(text: str) -> list[str]:
    """Cut text into unquoted, unescaped words; ValueError on an open quote."""
    words = []
    at = 0
    while (word := next_word(text, at)) is not None:
        words.append(word.text)
        at = word.end
    return words


def next_word(text: str, start: int) -> Word | None:
    """The next word at or after `start`, None when only blanks are left."""
    at = start
    while at < len(text) and text[at] in BLANKS:
        at += 1
    if at >= len(text):
        return None
    begin = at
    parts: list[str] = []
    quote = ""
    while at < len(text):
        char = text[at]
        if char == "\\":
            piece, at = _unescape(text, at)
            parts.append(piece)
            continue
        if quote:
            if char == quote:
                quote = ""
            else:
                parts.append(char)
        elif char in "'\"":
            quote = char
        elif char in BLANKS:
            break
        else:
            parts.append(char)
        at += 1
    if quote:
        raise ValueError(f"unbalanced {quote} quote")
    return Word("".join(parts), at, text[begin:at])


def _unescape(text: str, at: int) -> tuple[str, int]:
    """Decode the escape at a backslash; an unknown one stands for itself, as in systemd."""
    kind = text[at + 1 : at + 2]
    if kind in _SIMPLE and kind:
        return _SIMPLE[kind], at + 2
    if kind and kind in "xuU":
        width = {"x": 2, "u": 4, "U": 8}[kind]
        digits = text[at + 2 : at + 2 + width]
        if len(digits) == width and _HEX.issuperset(digits):
            end = at + 2 + len(digits)
            return _character(int(digits, 16), text[at:end], is_byte=kind == "x"), end
    octal = text[at + 1 : at + 4]
    if len(octal) == 3 and _OCTAL.issuperset(octal) and int(octal, 8) <= 255:
        return _character(int(octal, 8), text[at : at + 4], is_byte=True), at + 4
    return "\\" + kind, at + 1 + len(kind)


def _character(code: int, raw: str, *, is_byte: bool) -> str:
    if code == 0 or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        return raw
    if is_byte and code >= 0x80:
        return bytes([code]).decode("utf-8", "surrogateescape")
    return chr(code)
