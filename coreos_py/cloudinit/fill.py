"""A YAML document into the shape of the schema, with every rule of go-yaml v1 for what fits. Pure.

Records are dicts that hold every key of the schema, zero values included. What does not fit is left
out without a word: to tell is the validator's business.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from coreos_py.cloudinit import schema
from coreos_py.cloudinit.schema import Field
from coreos_py.cloudinit.yaml import nodes, resolve
from coreos_py.cloudinit.yaml.decode import Decoder, keep, underscored
from coreos_py.cloudinit.yaml.nodes import Node

if TYPE_CHECKING:
    from coreos_py.cloudinit.yaml.nodes import Document

    Record = dict[str, Any]

_ZEROS: dict[str, Any] = {
    schema.STRING: "",
    schema.INT: 0,
    schema.FLOAT: 0.0,
    schema.BOOL: False,
}
_ELEMENTS = {
    schema.STRINGS: Field("", schema.STRING),
    schema.STRUCTS: Field("", schema.STRUCT),
}


def empty(field: Field) -> Any:
    """The zero value of a key."""
    if field.kind == schema.STRUCT:
        return {item.name: empty(item) for item in field.fields}
    if field.kind in (schema.STRINGS, schema.STRUCTS):
        return []
    return _ZEROS[field.kind]


def fill(document: Document, into: Record | None = None) -> Record:
    """The cloud-config in a document; added to another one as repeated keys are. YamlError."""
    record: Record = empty(schema.CLOUD_CONFIG) if into is None else into
    if document.root is not None:
        decoder = Decoder(document, key=underscored)
        record = _value(decoder, document.root, schema.CLOUD_CONFIG, record)[0]
    return record


def _value(decoder: Decoder, node: Node, field: Field, old: Any) -> tuple[Any, bool]:
    """The key's value after this node, and whether the node was of use."""
    with decoder.target(node) as target:
        if target.kind == nodes.SCALAR:
            return _scalar(target, field, old)
        if target.kind == nodes.MAPPING and field.kind == schema.STRUCT:
            _mapping(decoder, target, field, old)
            return old, True
        if target.kind == nodes.SEQUENCE and field.kind in _ELEMENTS:
            return old + _elements(decoder, target, field), True
        return old, False


def _elements(decoder: Decoder, node: Node, field: Field) -> list[Any]:
    element = _ELEMENTS[field.kind]._replace(fields=field.fields)
    found = (_value(decoder, child, element, empty(element)) for child in node.children)
    return [value for value, is_good in found if is_good]


def _mapping(decoder: Decoder, node: Node, field: Field, record: Record) -> None:
    for key_node, value_node in node.pairs():
        if resolve.is_merge(key_node):
            for part in decoder.merged(value_node):
                with decoder.target(part) as mapping:
                    _mapping(decoder, mapping, field, record)
            continue
        below = _key(decoder, key_node, field)
        if below is not None:
            record[below.name] = _value(decoder, value_node, below, record[below.name])[0]


def _key(decoder: Decoder, node: Node, field: Field) -> Field | None:
    """The key that a mapping's node names; an alias stands for its text as it is."""
    change = decoder.key
    if node.kind == nodes.ALIAS:
        node, change = Node(nodes.ALIAS, change(node.value)), keep
    with decoder.target(node) as target:
        if target.kind != nodes.SCALAR:
            return None
        value = change(target.value)
        found = resolve.scalar(Node(nodes.SCALAR, value, tag=target.tag, is_plain=target.is_plain))
        if found.value is None:
            return None
        return field.field(str(found.value) if found.tag == resolve.BINARY else value)


def _scalar(node: Node, field: Field, old: Any) -> tuple[Any, bool]:
    found = resolve.scalar(node)
    if found.value is None:
        return empty(field), True
    value: Any = None
    if field.kind == schema.STRING:
        value = found.value if found.tag == resolve.BINARY else node.value
    elif field.kind == schema.BOOL:
        value = found.value if isinstance(found.value, bool) else None
    elif field.kind in (schema.INT, schema.FLOAT):
        value = _number(found.value, field.kind)
    return (old, False) if value is None else (value, True)


def _number(value: resolve.Scalar, kind: str) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if kind == schema.FLOAT:
        return float(value)
    if isinstance(value, int):
        return value
    if math.isnan(value) or value >= resolve.INT64_MAX:
        return None
    # A float64 below the range becomes the smallest int64 on amd64.
    return resolve.INT64_MIN if value < resolve.INT64_MIN else int(value)
