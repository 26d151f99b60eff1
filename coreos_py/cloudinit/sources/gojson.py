"""JSON read into typed fields as Go does it: names without case, null as nothing. Pure."""

from __future__ import annotations

import json
from typing import Any

from coreos_py.base import gojson
from coreos_py.cloudinit.metadata import MetadataError

_KINDS = {str: "string", bool: "bool", int: "number", float: "number", list: "array"}


class Object:
    """A JSON object; a field of another type than asked for is a MetadataError."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self._pairs = pairs

    def _get(self, name: str, kind: type, go_type: str) -> Any:
        found = None
        for key, value in self._pairs:
            if key == name or key.lower() == name.lower():
                found = value if value is not None else found
        if found is not None and (not isinstance(found, kind) or _is_odd_bool(found, kind)):
            raise MetadataError(_mismatch(found, f"struct field {name} of type {go_type}"))
        return found

    def text(self, name: str) -> str:
        """A string, "" when it is missing."""
        return self._get(name, str, "string") or ""

    def number(self, name: str) -> int:
        """An integer, 0 when it is missing."""
        return self._get(name, int, "int") or 0

    def flag(self, name: str) -> bool:
        """A bool, false when it is missing."""
        return self._get(name, bool, "bool") or False

    def object(self, name: str, *, go_type: str = "struct") -> Object:
        """An object, an empty one when it is missing."""
        return self._get(name, Object, go_type) or Object([])

    def optional(self, name: str) -> Object | None:
        """An object, None when it is missing."""
        found: Object | None = self._get(name, Object, "struct")
        return found

    def objects(self, name: str) -> list[Object]:
        """A list of objects."""
        found = self._get(name, list, "[]struct") or []
        return [_checked(item, Object, "struct") or Object([]) for item in found]

    def texts(self, name: str) -> list[str] | None:
        """A list of strings, None when it is missing."""
        found = self._get(name, list, "[]string")
        return None if found is None else [_checked(item, str, "string") or "" for item in found]

    def strings(self) -> dict[str, str]:
        """All of the object as a map of strings."""
        return {key: _checked(value, str, "string") or "" for key, value in self._pairs}


def _checked(value: Any, kind: type, go_type: str) -> Any:
    if value is not None and not isinstance(value, kind):
        raise MetadataError(_mismatch(value, f"value of type {go_type}"))
    return value


def _is_odd_bool(value: object, kind: type) -> bool:
    return kind is int and isinstance(value, bool)


def _mismatch(value: object, target: str) -> str:
    return f"json: cannot unmarshal {_KINDS.get(type(value), 'object')} into Go {target}"


def parse(data: bytes) -> Object:
    """The object in a document; MetadataError."""
    return _checked(_load(data), Object, "struct") or Object([])


def parse_list(data: bytes) -> list[Object]:
    """The list of objects in a document; MetadataError."""
    found = _checked(_load(data), list, "[]struct") or []
    return [_checked(item, Object, "struct") or Object([]) for item in found]


def _load(data: bytes) -> Any:
    try:
        return json.loads(
            data.decode("utf-8", "replace"), object_pairs_hook=Object, parse_constant=_refuse
        )
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno}"
        raise MetadataError(f"{gojson.syntax_error(error)} ({at})") from None
    except RecursionError:
        raise MetadataError("exceeded max depth") from None


def _refuse(text: str) -> object:
    raise MetadataError(f"{text} is not JSON")
