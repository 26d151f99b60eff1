"""The Google-style discovery document of the API v1, built from its tables.

Describes the same resources as fleet 1.0.0's, so that generated clients find what they look for.
"""

from __future__ import annotations

import json
from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Json = dict[str, object]

_STATES = ["inactive", "loaded", "launched"]
_TEXT: Json = {"type": "string"}


@cache
def document() -> bytes:
    """Return the document as JSON."""
    return json.dumps(_document(), indent=2).encode() + b"\n"


def _document() -> Json:
    return {
        "kind": "discovery#restDescription",
        "discoveryVersion": "v1",
        "id": "fleet:v1",
        "name": "schema",
        "version": "v1",
        "title": "fleet API",
        "description": "",
        "documentationLink": "http://github.com/coreos/fleet",
        "protocol": "rest",
        "icons": {"x16": "", "x32": ""},
        "labels": [],
        "baseUrl": "$ENDPOINT/fleet/v1/",
        "basePath": "/fleet/v1/",
        "rootUrl": "$ENDPOINT/",
        "servicePath": "fleet/v1/",
        "batchPath": "batch",
        "parameters": {},
        "auth": {},
        "schemas": {str(entity["id"]): entity for entity in _schemas()},
        "resources": {
            "Machines": {"methods": {"List": _list("Machine", "machines")}},
            "Units": {
                "methods": {
                    "List": _list("Unit", "units"),
                    "Get": _item("Unit.Get", "one unit", "GET", "units", response="Unit"),
                    "Delete": _item("Unit.Delete", "destroy a unit", "DELETE", "units"),
                    "Set": _item(
                        "Unit.Set", "create or change a unit", "PUT", "units", body="Unit"
                    ),
                }
            },
            "UnitState": {
                "methods": {
                    "Get": _item(
                        "UnitState.Get", "one unit's state", "GET", "state", response="UnitState"
                    ),
                    "List": _list("UnitState", "state", filters=("unitName", "machineID")),
                }
            },
        },
    }


def _schemas() -> Iterable[Json]:
    enum: Json = {"type": "string", "enum": _STATES}
    metadata: Json = {"type": "object", "properties": {}, "additionalProperties": _TEXT}
    yield _entity("Machine", id=_TEXT, primaryIP=_TEXT, metadata=metadata)
    yield _page("MachinePage", "machines", "Machine")
    yield _entity("UnitOption", section=_TEXT, name=_TEXT, value=_TEXT)
    yield _entity(
        "Unit",
        name=_TEXT,
        options=_array("UnitOption"),
        desiredState=enum,
        currentState=enum,
        machineID={"type": "string", "required": True},
    )
    yield _page("UnitPage", "units", "Unit")
    yield _entity(
        "UnitState",
        name=_TEXT,
        hash=_TEXT,
        machineID=_TEXT,
        systemdLoadState=_TEXT,
        systemdActiveState=_TEXT,
        systemdSubState=_TEXT,
    )
    yield _page("UnitStatePage", "states", "UnitState")


def _entity(entity_id: str, /, **properties: Json) -> Json:
    return {"id": entity_id, "type": "object", "properties": properties}


def _page(name: str, items: str, of: str) -> Json:
    return _entity(name, **{items: _array(of), "nextPageToken": _TEXT})


def _array(of: str) -> Json:
    return {"type": "array", "items": {"$ref": of}}


def _list(entity: str, path: str, *, filters: tuple[str, ...] = ()) -> Json:
    query: Json = {"type": "string", "location": "query"}
    return {
        "id": f"fleet.{entity}.List",
        "description": f"One page of {entity} entities.",
        "httpMethod": "GET",
        "path": path,
        "parameters": dict.fromkeys(("nextPageToken", *filters), query),
        "response": {"$ref": f"{entity}Page"},
    }


def _item(
    method_id: str, what: str, verb: str, path: str, *, response: str = "", body: str = ""
) -> Json:
    found: Json = {
        "id": f"fleet.{method_id}",
        "description": f"{what.capitalize()}.",
        "httpMethod": verb,
        "path": f"{path}/{{unitName}}",
        "parameters": {"unitName": {"type": "string", "location": "path", "required": True}},
        "parameterOrder": ["unitName"],
    }
    if response:
        found["response"] = {"$ref": response}
    if body:
        found["request"] = {"$ref": body}
    return found
