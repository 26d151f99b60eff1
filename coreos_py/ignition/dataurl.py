"""RFC 2397 `data:` URLs. Pure."""

from __future__ import annotations

import base64
import binascii
import re

_TOKEN = r"[A-Za-z0-9!#$&.+^_-]+"
_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}")
_PARAMETER = re.compile(rf"{_TOKEN}=(?:\"[^\"]*\"|[^\",;=]*)")
_UNRESERVED = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'();/?:@&=+$,"
)


class BadDataURL(ValueError):
    """The text is no data URL."""


def decode(url: str) -> bytes:
    """The data in the URL; BadDataURL if it is none."""
    if not url.startswith("data:"):
        raise BadDataURL("missing data prefix")
    head, comma, body = url[5:].partition(",")
    kind, *parameters = head.split(";")
    if kind and not comma and "/" not in kind:
        raise BadDataURL("missing media type slash")
    if kind and not _TYPE.fullmatch(kind):
        slashed = kind.startswith("/")
        raise BadDataURL(
            "invalid character after data prefix" if slashed else "invalid character for media type"
        )
    is_base64 = bool(parameters) and parameters[-1] == "base64"
    for parameter in parameters[: len(parameters) - is_base64]:
        if not _PARAMETER.fullmatch(parameter):
            raise BadDataURL(f"expected base64, got {parameter}")
    if not comma:
        raise BadDataURL("missing comma before data")
    return _base64(body) if is_base64 else _percent(body)


def encode(data: bytes) -> str:
    """A data URL that holds these bytes."""
    return "data:;base64," + base64.b64encode(data).decode("ascii")


def _base64(body: str) -> bytes:
    try:
        return base64.b64decode(body.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        if all(_is_base64(char) for char in body):
            text = f"illegal base64 data at input byte {len(body) // 4 * 4}"
            raise BadDataURL(text) from None
        raise BadDataURL("invalid data character") from None


def _is_base64(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char in "+/=")


def _percent(body: str) -> bytes:
    out = bytearray()
    at = 0
    while at < len(body):
        char = body[at]
        if char == "%":
            digits = body[at + 1 : at + 3]
            if len(digits) < 2:
                raise BadDataURL("rfc2396: unexpected end of unescape sequence")
            for digit in digits:
                if digit not in "0123456789abcdefABCDEF":
                    raise BadDataURL("rfc2396: invalid char 0x25 in unescape sequence")
            out.append(int(digits, 16))
            at += 3
        elif char in _UNRESERVED:
            out.append(ord(char))
            at += 1
        else:
            raise BadDataURL("invalid data character")
    return bytes(out)
