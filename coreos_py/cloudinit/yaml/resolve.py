"""A scalar's type as go-yaml v1 guesses it: YAML 1.1 without base 60 and time stamps. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from coreos_py.cloudinit import gotext
from coreos_py.cloudinit.yaml.nodes import Node, YamlError

_LONG = "tag:yaml.org,2002:"
STR = _LONG + "str"
BOOL = _LONG + "bool"
INT = _LONG + "int"
FLOAT = _LONG + "float"
NULL = _LONG + "null"
BINARY = _LONG + "binary"
MERGE = _LONG + "merge"
_RESOLVABLE = ("", STR, BOOL, INT, FLOAT, NULL)

INT64_MAX = (1 << 63) - 1
INT64_MIN = -(1 << 63)

Scalar = str | bool | int | float | None


class Resolved(NamedTuple):
    """A scalar's tag and value."""

    tag: str
    value: Scalar


def _spellings(*words: str) -> tuple[str, ...]:
    return tuple(form for word in words for form in (word, word.capitalize(), word.upper()))


_KNOWN = {
    **{word: Resolved(BOOL, True) for word in _spellings("y", "yes", "true", "on")},
    **{word: Resolved(BOOL, False) for word in _spellings("n", "no", "false", "off")},
    **{word: Resolved(NULL, None) for word in ("", "~", "null", "Null", "NULL")},
    **{word: Resolved(FLOAT, float("nan")) for word in (".nan", ".NaN", ".NAN")},
    **{
        sign + word: Resolved(FLOAT, float("inf"))
        for sign in ("", "+")
        for word in (".inf", ".Inf", ".INF")
    },
    **{word: Resolved(FLOAT, float("-inf")) for word in ("-.inf", "-.Inf", "-.INF")},
}
_DIGITS = {16: "0123456789abcdef", 10: "0123456789", 8: "01234567", 2: "01"}
_FLOAT = re.compile(
    r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?inf(?:inity)?|nan", re.IGNORECASE
)
_HEX_FLOAT = re.compile(r"[-+]?0x(?:[0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)p[-+]?[0-9]+", re.IGNORECASE)


def scalar(node: Node) -> Resolved:
    """What a scalar node stands for; YamlError when its tag does not suit it."""
    if not node.tag and not node.is_plain:
        return Resolved(STR, node.value)
    found = _resolve(node.tag, node.value)
    if found.tag == BINARY:
        return Resolved(BINARY, _binary(node.value))
    return found


def _resolve(tag: str, text: str) -> Resolved:
    if tag not in _RESOLVABLE:
        return Resolved(tag, text)
    if tag == STR:
        return Resolved(STR, text)
    found = _guess(text)
    if tag not in ("", found.tag):
        raise YamlError(f"cannot decode {short(found.tag)} `{text}` as a {short(tag)}")
    return found


def _guess(text: str) -> Resolved:
    if text in _KNOWN:
        return _KNOWN[text]
    first = text[0]
    if first == ".":
        number = parse_float(text)
        return Resolved(STR, text) if number is None else Resolved(FLOAT, number)
    if first in "+-0123456789":
        plain = text.replace("_", "")
        whole = parse_int(plain)
        if whole is not None:
            return Resolved(INT, whole)
        number = parse_float(plain)
        if number is not None:
            return Resolved(FLOAT, number)
    return Resolved(STR, text)


def parse_int(text: str) -> int | None:
    """Go's ParseInt with base 0: prefixes 0x, 0o, 0b, and 0 for octal; None when it is none."""
    body = text[1:] if text[:1] in ("-", "+") else text
    base = 10
    lower = body.lower()
    for prefix, other in (("0x", 16), ("0o", 8), ("0b", 2)):
        if lower.startswith(prefix) and len(lower) > 2:
            base, body = other, lower[2:]
            break
    else:
        if len(body) > 1 and body[0] == "0":
            base, body = 8, body[1:]
    if not body or body.lower().strip(_DIGITS[base]):
        return None
    value = int(body, base) if len(body) <= 64 else INT64_MAX + 1
    if text[:1] == "-":
        value = -value
    return value if INT64_MIN <= value <= INT64_MAX else None


def parse_float(text: str) -> float | None:
    """Go's ParseFloat; None for what is none, and for what is too large."""
    if _HEX_FLOAT.fullmatch(text):
        try:
            return float.fromhex(text)
        except OverflowError:
            return None
    if not _FLOAT.fullmatch(text):
        return None
    value = float(text)
    if value in (float("inf"), float("-inf")) and "inf" not in text.lower():
        return None
    return value


def _binary(text: str) -> str:
    try:
        data = gotext.base64_bytes(text.encode("utf-8", "surrogateescape"))
    except ValueError:
        raise YamlError("!!binary value contains invalid base64 data") from None
    return data.decode("utf-8", "surrogateescape")


def is_merge(node: Node) -> bool:
    """True for the key `<<`."""
    return node.kind == "scalar" and node.value == "<<" and (node.is_plain or node.tag == MERGE)


def short(tag: str) -> str:
    """`!!int` for the long form."""
    return f"!!{tag.removeprefix(_LONG)}" if tag.startswith(_LONG) else tag
