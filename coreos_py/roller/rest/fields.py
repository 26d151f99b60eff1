"""Bodies of requests: JSON read into fields as Go reads it into CoreRoller's structs.

Names match in any case, the last of two wins, unknown ones are passed over, and null leaves a field
as it was. A value of the wrong type is a BadBody that names the field. Pure. Mirrors the structs of
CoreRoller's api package, whose clients send whole objects back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from coreos_py.base import gojson, gotime
from coreos_py.base.errors import CoreosError

Kind: TypeAlias = Callable[[Any, str], Any]
Spec: TypeAlias = Mapping[str, Kind]

_INT64 = 1 << 63
_NAMES = {
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


class BadBody(CoreosError):
    """A body that cannot be what was asked for."""


def read(body: bytes, spec: Spec, *, strict: bool) -> dict[str, Any]:
    """The fields of `spec` that the body sets; `strict` refuses text after the object."""
    text = body.decode("utf-8", "replace").lstrip(" \t\r\n")
    if not text:
        raise BadBody("the body is empty, a JSON object is needed")
    try:
        value, end = _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        raise BadBody(f"not JSON: {gojson.syntax_error(error)}") from None
    except RecursionError:
        raise BadBody("not JSON: too many brackets in one another") from None
    except ValueError as error:
        raise BadBody(f"not JSON: {str(error).partition(':')[0]}") from None
    if strict and text[end:].strip(" \t\r\n"):
        raise BadBody("not JSON: there is text after the object")
    if value is None and not strict:
        return {}
    return _members(value, spec, "")


def _constant(name: str) -> float:
    raise ValueError(f"invalid number {name}")


def _number(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"number {digits} is out of range")
    return value


_DECODER = json.JSONDecoder(parse_constant=_constant, parse_float=_number)


def _members(value: Any, spec: Spec, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _mismatch(value, "an object", path)
    found: dict[str, Any] = {}
    for name, item in value.items():
        key = name if name in spec else name.lower()
        kind = spec.get(key)
        if kind is None or (item is None and kind is not loose_text):
            continue
        found[key] = kind(item, f"{path}.{key}" if path else key)
    return found


def _mismatch(value: Any, wanted: str, path: str) -> BadBody:
    where = f"field {path}" if path else "the body"
    return BadBody(f"{where} must be {wanted}, not {_NAMES[type(value)]}")


# -- kinds ------


def text(value: Any, path: str) -> str:
    """A string; half a surrogate pair becomes U+FFFD as in Go."""
    if not isinstance(value, str):
        raise _mismatch(value, "a string", path)
    if "\0" in value:
        raise BadBody(f"field {path} has a null character")
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def loose_text(value: Any, path: str) -> str | None:
    """A string or null; numbers and booleans are taken by their text."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return gojson.format_float(value)
    return text(value, path)


def boolean(value: Any, path: str) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise _mismatch(value, "a boolean", path)
    return value


def integer(value: Any, path: str) -> int:
    """A whole number in 64 bits, written without a point."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _mismatch(value, "a number", path)
    if isinstance(value, float) or not -_INT64 <= value < _INT64:
        raise BadBody(f"field {path} must be a whole number")
    return value


def real(value: Any, path: str) -> float:
    """Any number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _mismatch(value, "a number", path)
    try:
        return float(value)
    except OverflowError:
        raise BadBody(f"field {path} is too large") from None


def moment(value: Any, path: str) -> int:
    """A time as RFC 3339 writes it."""
    try:
        return gotime.parse_ns(text(value, path))
    except ValueError:
        raise BadBody(f"field {path} must be a time") from None


def texts(value: Any, path: str) -> list[str]:
    """An array of strings."""
    if not isinstance(value, list):
        raise _mismatch(value, "an array", path)
    return ["" if item is None else text(item, path) for item in value]


def one(spec: Spec) -> Kind:
    """An object."""
    return lambda value, path: _members(value, spec, path)


def many(spec: Spec) -> Kind:
    """An array of objects."""

    def kind(value: Any, path: str) -> list[dict[str, Any]]:
        if not isinstance(value, list):
            raise _mismatch(value, "an array", path)
        return [_members(item, spec, path) for item in value if item is not None]

    return kind


# -- CoreRoller's structs, and what ours have besides ------

ACTION: Spec = {
    "id": text,
    "event": text,
    "chromeos_version": text,
    "sha256": text,
    "needs_admin": boolean,
    "is_delta": boolean,
    "disable_payload_backoff": boolean,
    "metadata_signature_rsa": text,
    "metadata_size": text,
    "deadline": text,
    "created_ts": moment,
}
PACKAGE: Spec = {
    "id": text,
    "type": integer,
    "version": text,
    "url": text,
    "filename": loose_text,
    "description": loose_text,
    "size": loose_text,
    "hash": loose_text,
    "created_ts": moment,
    "channels_blacklist": texts,
    "application_id": text,
    "coreos_action": one(ACTION),
}
CHANNEL: Spec = {
    "id": text,
    "name": text,
    "color": text,
    "created_ts": moment,
    "application_id": text,
    "package_id": loose_text,
    "package": one(PACKAGE),
}
_VERSIONS: Spec = {"version": text, "instances": integer, "percentage": real}
_STATS: Spec = dict.fromkeys(
    (
        "total",
        "undefined",
        "update_granted",
        "error",
        "complete",
        "installed",
        "downloaded",
        "downloading",
        "onhold",
    ),
    integer,
)
GROUP: Spec = {
    "id": text,
    "name": text,
    "description": text,
    "created_ts": moment,
    "rollout_in_progress": boolean,
    "application_id": text,
    "channel_id": loose_text,
    "policy_updates_enabled": boolean,
    "policy_safe_mode": boolean,
    "policy_office_hours": boolean,
    "policy_timezone": loose_text,
    "policy_period_interval": text,
    "policy_max_updates_per_period": integer,
    "policy_update_timeout": text,
    "version_breakdown": many(_VERSIONS),
    "channel": one(CHANNEL),
    "instances_stats": one(_STATS),
    "track": text,
    "policy_canaries": integer,
    "update_percent": real,
    "oem_blacklist": text,
}
APP: Spec = {
    "id": text,
    "name": text,
    "description": text,
    "product_id": loose_text,
    "created_ts": moment,
    "groups": many(GROUP),
    "channels": many(CHANNEL),
    "packages": many(PACKAGE),
    "instances": one({"count": integer}),
}
PASSWORD: Spec = {"password": text}
SIGN_IN: Spec = {"user": text, "password": text, "token": text}
TOKEN: Spec = {"name": text, "role": text}
USER: Spec = {"name": text, "password": text, "role": text}
INSTANCE: Spec = {"alias": text}
PAUSE: Spec = {"reason": text}
