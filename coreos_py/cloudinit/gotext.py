"""Values as Go prints and reads them, for files and messages of coreos-cloudinit. Pure."""

from __future__ import annotations

import binascii
import math

from coreos_py.base.gostring import quote as quote

_ALPHABET = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_PAD = ord("=")


def value(item: object) -> str:
    """`%v` of a scalar."""
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, float):
        return float_text(item)
    return "<nil>" if item is None else str(item)


def float_text(number: float) -> str:
    """`%v` of a float64: the shortest digits, with an exponent below 1e-4 and from 1e+06 on."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    if number == 0:
        return "-0" if math.copysign(1, number) < 0 else "0"
    mantissa, _, exponent_text = f"{abs(number)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    exponent = int(exponent_text or 0) + len(digits) - len(fraction) - 1
    digits = digits.rstrip("0")
    sign = "-" if number < 0 else ""
    if exponent < -4 or exponent >= 6:
        tail = f".{digits[1:]}" if digits[1:] else ""
        return f"{sign}{digits[0]}{tail}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    digits = digits.ljust(exponent + 1, "0")
    tail = f".{digits[exponent + 1 :]}" if digits[exponent + 1 :] else ""
    return f"{sign}{digits[: exponent + 1]}{tail}"


def base64_bytes(data: bytes) -> bytes:
    """Standard base64 with padding, line breaks anywhere; ValueError in Go's words."""
    bad = _base64_error(data)
    if bad is not None:
        raise ValueError(f"illegal base64 data at input byte {bad}")
    return binascii.a2b_base64(data)


def _base64_error(data: bytes) -> int | None:
    """Where Go 1.19's decoder gives up."""
    at = 0
    while True:
        held = 0
        while held < 4:
            if at == len(data):
                return None if held == 0 else at - held
            octet = data[at]
            at += 1
            if octet in _ALPHABET:
                held += 1
            elif octet == _PAD:
                return _padding_error(data, at, held)
            elif octet not in b"\r\n":
                return at - 1


def _padding_error(data: bytes, at: int, held: int) -> int | None:
    """What is wrong after the first `=`, which `at` has passed."""
    if held < 2:
        return at - 1
    if held == 2:
        at = _after_breaks(data, at)
        if at == len(data):
            return at
        if data[at] != _PAD:
            return at - 1
        at += 1
    at = _after_breaks(data, at)
    return at if at < len(data) else None


def _after_breaks(data: bytes, at: int) -> int:
    while at < len(data) and data[at] in b"\r\n":
        at += 1
    return at
