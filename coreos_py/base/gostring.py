"""Strings and characters as Go quotes them. Pure.

Text comes from UTF-8 with surrogateescape: a lone surrogate stands for a byte that is none.
"""

from __future__ import annotations

_SHORT = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
}


def quote(text: str) -> str:
    """`%q` of a string."""
    return '"' + "".join(['\\"' if char == '"' else _escaped(char) for char in text]) + '"'


def quote_rune(char: str) -> str:
    """`%q` of a character; one that is no character is U+FFFD."""
    if "\ud800" <= char <= "\udfff":
        char = "\ufffd"
    return "'" + ("\\'" if char == "'" else _escaped(char)) + "'"


def _escaped(char: str) -> str:
    known = _SHORT.get(char)
    if known is not None:
        return known
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
