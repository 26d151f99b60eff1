"""JSON text exactly as Go's encoding/json (1.19) prints it.

Strings follow Go's HTML-safe escaping: `<`, `>`, `&`, U+2028 and U+2029 are escaped, control
characters are written as \\u00XX except \\n, \\r and \\t, and DEL stays raw. A byte that was not
UTF-8 (a surrogate left by `surrogateescape`) becomes the six characters \\ufffd.
Text only; no I/O. Mirrors encoding/json encode.go.
"""

from __future__ import annotations

try:
    from _json import encode_basestring as _encode_basestring  # json itself takes 3 ms to import
except ImportError:
    from json.encoder import encode_basestring as _encode_basestring

TYPE_CHECKING = False
if TYPE_CHECKING:
    import json
    from collections.abc import Callable, Mapping

_c_quote: Callable[[str], str] = _encode_basestring


class _Escapes(dict[int, str]):
    """str.translate table: the fixed escapes, and \\ufffd for every surrogate."""

    def __missing__(self, code: int) -> str:
        if 0xD800 <= code <= 0xDFFF:
            return "\\ufffd"
        raise LookupError(code)


_ESCAPES = _Escapes(
    {code: f"\\u{code:04x}" for code in (*range(0x20), *b"<>&", 0x2028, 0x2029)}
    | {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t", ord('"'): '\\"', ord("\\"): "\\\\"}
)


def quote(text: str) -> str:
    """The JSON string literal of `text`, quotes included."""
    # The C encoder agrees with Go except for the characters tested here.
    if (
        "<" in text
        or ">" in text
        or "&" in text
        or "\b" in text
        or "\f" in text
        or not (text.isascii() or _is_plain(text))
    ):
        return f'"{text.translate(_ESCAPES)}"'
    return _c_quote(text)


def _is_plain(text: str) -> bool:
    if "\u2028" in text or "\u2029" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def dumps(value: object, *, sort_keys: bool = False) -> str:
    """Compact JSON of plain Python data; Go marshals maps with `sort_keys`, structs without."""
    if isinstance(value, str):
        return quote(value)
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return format_float(value)
    if isinstance(value, (list, tuple)):
        return f"[{','.join([dumps(item, sort_keys=sort_keys) for item in value])}]"
    if isinstance(value, dict):
        return _dumps_dict(value, sort_keys=sort_keys)
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


def _dumps_dict(value: Mapping[str, object], *, sort_keys: bool) -> str:
    keys = sorted(value) if sort_keys else value
    members = [f"{quote(key)}:{dumps(value[key], sort_keys=sort_keys)}" for key in keys]
    return f"{{{','.join(members)}}}"


def format_float(value: float) -> str:
    """A float64 as Go prints it: plain digits from 1e-6 up to 1e21, an exponent outside."""
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(f"JSON has no number for {value!r}")
    if value == 0:
        return "-0" if str(value)[0] == "-" else "0"
    digits, exponent = _shortest_digits(value)
    sign = "-" if value < 0 else ""
    if 1e-6 <= abs(value) < 1e21:
        return sign + _plain(digits, exponent)
    mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{sign}{mantissa}e{exponent - 1:+d}"


def _shortest_digits(value: float) -> tuple[str, int]:
    """Shortest decimal digits d1d2... and the exponent e of 0.d1d2... x 10^e."""
    mantissa, _, power = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    exponent = len(whole) + int(power or 0)
    digits = whole + fraction
    stripped = digits.lstrip("0")
    exponent -= len(digits) - len(stripped)
    return stripped.rstrip("0"), exponent


def _plain(digits: str, exponent: int) -> str:
    if exponent <= 0:
        return f"0.{'0' * -exponent}{digits}"
    if exponent >= len(digits):
        return digits + "0" * (exponent - len(digits))
    return f"{digits[:exponent]}.{digits[exponent:]}"


_BEGINNING = "looking for beginning of"
_EXPECTED = {
    "Expecting value": f"{_BEGINNING} value",
    "Expecting property name enclosed in double quotes": f"{_BEGINNING} object key string",
    "Expecting ':' delimiter": "after object key",
    "Extra data": "after top-level value",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
}


def syntax_error(error: json.JSONDecodeError) -> str:
    """What Go's decoder says about the text that Python's refused."""
    text, at = error.doc, error.pos
    if error.msg.startswith("Unterminated string") or not text[at:].strip():
        return "unexpected end of JSON input"
    where = _EXPECTED.get(error.msg, "")
    if error.msg == "Expecting ',' delimiter":
        where = "after object key:value pair" if _in_object(text[:at]) else "after array element"
    for word in ("true", "false", "null"):
        if error.msg == "Expecting value" and text[at] == word[0]:
            same = next((n for n in range(len(word)) if text[at + n : at + n + 1] != word[n]), 0)
            where = f"in literal {word} (expecting '{word[same]}')"
            at += same
    if error.msg == "Invalid \\escape" and text[at] == "\\":
        at += 1
    char = (text[at : at + 1] or " ").encode("utf-8", "surrogatepass")[:1].decode("latin-1")
    shown = {"'": "\\'", "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char, char)
    return f"invalid character '{shown}' {where}"


def _in_object(text: str) -> bool:
    """Whether the innermost bracket that is open at the end of `text` is a brace."""
    opened: list[str] = []
    quoted = escaped = False
    for char in text:
        if quoted:
            quoted = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            quoted = True
        elif char in "{[":
            opened.append(char)
        elif char in "}]":
            opened.pop()
    return opened[-1:] == ["{"]
