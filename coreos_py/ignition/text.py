"""A config as JSON again: the cache between stages, and what `convert` prints. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from coreos_py.ignition import checks, schema
from coreos_py.ignition.decode import Obj

if TYPE_CHECKING:
    from coreos_py.ignition.schema import Version

_LATEST = {2: schema.of(schema.VERSIONS_2[-1]), 3: schema.of(schema.VERSIONS_3[-1])}


def dump(config: Obj, version: Version) -> str:
    """The config, as one of the oldest version from `version` on that has all of its fields."""
    data = to_data(config, major=version[0])
    newest = schema.VERSIONS_3 if version[0] == 3 else schema.VERSIONS_2
    if version == schema.EXPERIMENTAL:
        newest = (version, *newest)
    elif version[0] == 3 and _has_special_bits(data):
        version = max(version, schema.SPECIAL_BITS_FROM)
    fitting = (v for v in newest if v >= version and _covers(schema.of(v), "Config", data))
    found = next(fitting, newest[-1])
    data.setdefault("ignition", {})["version"] = schema.name_of(found)
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def to_data(obj: Obj, *, major: int) -> dict[str, Any]:
    """What is set in a structure: what is optional and there, and the rest unless it is zero."""
    fields = _LATEST[major][obj.kind]
    found: dict[str, Any] = {}
    for name, value in obj.fields.items():
        if isinstance(value, list):
            value = [to_data(v, major=major) if isinstance(v, Obj) else v for v in value]
        elif isinstance(value, Obj):
            value = to_data(value, major=major)
        is_scalar = not isinstance(value, (list, dict))
        if value or (fields[name].is_optional and is_scalar and value is not None):
            found[name] = value
    return found


def _has_special_bits(data: dict[str, Any]) -> bool:
    storage = data.get("storage", {})
    nodes = (*storage.get("files", ()), *storage.get("directories", ()))
    return any((node.get("mode") or 0) & checks.SPECIAL_BITS for node in nodes)


def _covers(fields: schema.Schema, kind: str, data: dict[str, Any]) -> bool:
    for name, value in data.items():
        field = fields.get(kind, {}).get(name)
        if field is None:
            return False
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict) and not _covers(fields, field.kind, item):
                return False
    return True
