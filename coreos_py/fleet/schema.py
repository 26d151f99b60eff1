"""The JSON of the HTTP API v1: records to text, request bodies to records, page tokens.

Fields in alphabetical order, empty ones left out, as fleet 1.0.0's generated schema does. Pure.
"""

from __future__ import annotations

import base64
import json
import re
from typing import NamedTuple

from coreos_py.base import gojson
from coreos_py.fleet.model import field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from coreos_py.base.unitfile import Option
    from coreos_py.fleet.job import Machine, UnitState

_BASE64_URL = re.compile(rb"[A-Za-z0-9_-]*")
_PAD = ord("=")
_METADATA_PATH = re.compile(r"/([^/]+)/metadata/([A-Za-z0-9_.-]+)", re.DOTALL)
_TOKEN_BYTES = 4


class BadRequest(ValueError):
    """A request that fleet 1.0.0 answers with 400; str() is the message."""


class UnitBody(NamedTuple):
    """The body of PUT /units/NAME."""

    name: str
    desired_state: str
    options: tuple[Option, ...]


class MetadataOp(NamedTuple):
    """One step of PATCH /machines; an empty value removes the key."""

    machine_id: str
    key: str
    value: str


# -- pages


class PageToken(NamedTuple):
    """Which page of how many items."""

    limit: int
    page: int

    def encode(self) -> str:
        """The text of nextPageToken."""
        data = self.limit.to_bytes(2, "little") + self.page.to_bytes(2, "little")
        return base64.urlsafe_b64encode(data).decode()


def decode_token(text: str) -> PageToken:
    """Read a token, or raise BadRequest in Go's words."""
    raw = text.encode("utf-8", "surrogateescape").translate(None, b"\r\n")
    bad = _bad_base64(raw)
    if bad >= 0:
        raise BadRequest(f"illegal base64 data at input byte {bad}")
    data = base64.urlsafe_b64decode(raw)
    if len(data) < _TOKEN_BYTES:
        raise BadRequest("unexpected EOF" if data else "EOF")
    return PageToken(int.from_bytes(data[:2], "little"), int.from_bytes(data[2:4], "little"))


def _bad_base64(raw: bytes) -> int:
    """Return where Go's decoder gives up, -1 when it does not."""
    matched = _BASE64_URL.match(raw)
    digits = matched.end() if matched else 0
    in_group = digits % 4
    if digits == len(raw):
        return digits - in_group if in_group else -1
    if raw[digits] != _PAD or in_group < 2:
        return digits
    end = digits + 4 - in_group
    if raw[digits:end] == b"==="[: 4 - in_group]:
        return end if end < len(raw) else -1
    return len(raw) if digits + 1 == len(raw) else digits


def find_token(values: Sequence[str], *, limit: int) -> PageToken:
    """Return the token of a query's nextPageToken values, the first page when there is none."""
    if not values:
        return PageToken(limit, 1)
    if len(values) > 1:
        raise BadRequest("too many values for page token")
    token = decode_token(values[0])
    if token.limit != limit:
        raise BadRequest(f"token limit must be {limit}")
    if token.page == 0:
        raise BadRequest("token page must be greater than zero")
    return token


def page(items: Sequence[str], token: PageToken, *, key: str) -> str:
    """Cut one page out of the encoded items and wrap it."""
    shown = items[(token.page - 1) * token.limit : token.page * token.limit]
    return page_of(shown, token, total=len(items), key=key)


def page_of(shown: Sequence[str], token: PageToken, *, total: int, key: str) -> str:
    """Wrap the encoded items of one page; a page that ends at the total has a following one."""
    parts = [f'"{key}":[{",".join(shown)}]'] if shown else []
    if (token.page - 1) * token.limit < total and token.page * token.limit <= total:
        following = PageToken(token.limit, (token.page + 1) & 0xFFFF)
        parts.append(f'"nextPageToken":"{following.encode()}"')
    return "{" + ",".join(sorted(parts)) + "}"


# -- entities


def machine(found: Machine) -> str:
    """A Machine entity."""
    return _entity(
        id=found.id, metadata=dict(sorted(found.metadata.items())), primaryIP=found.public_ip
    )


def unit(
    name: str,
    options: Iterable[Option],
    *,
    desired_state: str,
    current_state: str = "",
    machine_id: str = "",
) -> str:
    """A Unit entity."""
    return _entity(
        currentState=current_state,
        desiredState=desired_state,
        machineID=machine_id,
        name=name,
        options=[
            {k: v for k, v in (("name", key), ("section", section), ("value", value)) if v}
            for section, key, value in options
        ],
    )


def unit_state(found: UnitState) -> str:
    """A UnitState entity."""
    return _entity(
        hash=found.hash,
        machineID=found.machine_id,
        name=found.name,
        systemdActiveState=found.active,
        systemdLoadState=found.load,
        systemdSubState=found.sub,
    )


def explanation(reasons: Mapping[str, str]) -> str:
    """The answer of x-explain: machines by ID, without a reason where the unit can run."""
    machines = [{"id": machine_id, "reason": reason} for machine_id, reason in reasons.items()]
    return gojson.dumps({"machines": machines})


def error(code: int, message: str = "") -> str:
    """An error entity."""
    return gojson.dumps({"error": {"code": code, "message": message}})


def _entity(**fields: object) -> str:
    return gojson.dumps({key: value for key, value in fields.items() if value})


# -- request bodies


def read_unit(body: bytes) -> UnitBody:
    """Read the body of PUT /units/NAME; BadRequest with the decoder's complaint."""
    return unit_body(decode(body))


def unit_body(found: Any) -> UnitBody:
    """Read a decoded Unit; BadRequest where it is not one."""
    if found is None:
        found = {}
    if not isinstance(found, dict):
        raise BadRequest(_mismatch(found, "schema.Unit"))
    try:
        options = tuple(
            (field(item, "section", str), field(item, "name", str), field(item, "value", str))
            for item in field(found, "options", list)
            if isinstance(item, dict) or _refuse("options")
        )
        return UnitBody(field(found, "name", str), field(found, "desiredState", str), options)
    except ValueError as err:
        raise BadRequest(f"json: {err}") from None


def read_metadata_ops(body: bytes) -> list[MetadataOp]:
    """Read the body of PATCH /machines, all of it checked before any of it counts."""
    found = decode(body)
    if found is None:
        return []
    if not isinstance(found, list):
        raise BadRequest(_mismatch(found, "[]api.machineMetadataOp"))
    return [_metadata_op(item) for item in found]


def _metadata_op(item: Any) -> MetadataOp:
    if not isinstance(item, dict):
        raise BadRequest(_mismatch(item, "api.machineMetadataOp"))
    try:
        operation, path = field(item, "op", str), field(item, "path", str)
        value = item.get("value")
        if not isinstance(value, str):  # the documentation shows text, fleet 1.0.0 takes an object
            value = field(field(item, "value", dict), "value", str)
    except ValueError as err:
        raise BadRequest(f"json: {err}") from None
    if operation not in ("add", "remove", "replace"):
        raise BadRequest("invalid op: expect add, remove, or replace")
    matched = _METADATA_PATH.fullmatch(path)
    if matched is None:
        raise BadRequest("machine metadata path invalid")
    if operation == "remove":
        value = ""
    elif not value:
        raise BadRequest("invalid value: add and replace require a value")
    return MetadataOp(matched[1], matched[2], value)


def _refuse(name: str) -> bool:
    raise ValueError(f"{name} holds something that is not an object")


def decode(body: bytes) -> Any:
    """Decode the first JSON value of the body, as Go's Decoder does; what follows is ignored."""
    text = body.decode("utf-8", "replace").lstrip(" \t\r\n")
    if not text:
        raise BadRequest("EOF")
    try:
        return json.JSONDecoder().raw_decode(text)[0]
    except RecursionError:
        raise BadRequest("exceeded max depth") from None
    except json.JSONDecodeError as err:
        raise BadRequest(_syntax(text, err)) from None


# What Python's decoder says at a bad character, in Go's words.
_SYNTAX = {
    "Expecting value": "looking for beginning of value",
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after element",
    "Expecting property name enclosed in double quotes": (
        "looking for beginning of object key string"
    ),
}


def _syntax(text: str, err: json.JSONDecodeError) -> str:
    rest = text[err.pos :]
    is_cut = rest and any(word.startswith(rest) for word in ("true", "false", "null"))
    if not rest or is_cut or err.msg.startswith("Unterminated"):
        return "unexpected EOF"
    what = _SYNTAX.get(err.msg, f"in JSON text: {err.msg}")
    return f"invalid character {_rune(rest[0])} {what}"


def _rune(char: str) -> str:
    return "'\\''" if char == "'" else f"'{gojson.quote(char)[1:-1]}'" if char != '"' else "'\"'"


def _mismatch(found: object, wanted: str) -> str:
    noun = {dict: "object", list: "array", str: "string", bool: "bool"}.get(type(found), "number")
    return f"json: cannot unmarshal {noun} into Go value of type {wanted}"
