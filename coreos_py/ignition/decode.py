"""From JSON to a config of some version, the way Go's decoder does it.

Pure. A key matches in any case; null leaves a field as it is; the first value of a wrong type is
remembered and reading goes on. A key that is spelled differently, or not at all in the schema, is
noted as unused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from coreos_py.ignition import jsontext
from coreos_py.ignition.jsontext import Node

if TYPE_CHECKING:
    from coreos_py.ignition.schema import Field, Schema

_ZERO = {"str": "", "int": 0, "bool": False}
_GO_SCALAR = {"str": "string", "int": "int", "bool": "bool"}
_WANTED = {"str": jsontext.STRING, "int": jsontext.NUMBER, "bool": jsontext.BOOL}
_INT64 = 1 << 63

Path = tuple[str | int, ...]


class Obj:
    """One structure: its fields, all of them present, and where it was in the text."""

    __slots__ = ("fields", "kind", "node", "nodes", "unused")

    def __init__(self, kind: str, fields: dict[str, Any], node: Node | None) -> None:
        self.kind = kind
        self.fields = fields
        self.node = node
        self.nodes: dict[str, Node] = {}
        self.unused: list[Unused] = []

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def get(self, name: str) -> Any:
        """A field, None also where this version has none such."""
        return self.fields.get(name)


class Unused(NamedTuple):
    """A key that is in no schema; `near` is the field it was read as, if only its case is wrong."""

    path: Path
    key: str
    start: int
    end: int
    near: str


class Mismatch(NamedTuple):
    """A place whose JSON has another shape than what was read from it: null for a structure."""

    path: Path
    offset: int


class Decoded(NamedTuple):
    """A config, and what was odd about its text. `problem` is the first value of a wrong type."""

    config: Obj
    problem: tuple[str, int] | None
    unused: list[Unused]
    mismatches: list[Mismatch]


def decode(node: Node, schema: Schema, *, names_fields: bool) -> Decoded:
    """Read a whole config. `names_fields`: complaints about types say in which field."""
    reader = _Reader(schema, names_fields=names_fields)
    config = reader.structure("Config", node, path=(), where=("", ()))
    return Decoded(config, reader.problem, reader.unused, reader.mismatches)


def empty(schema: Schema, kind: str) -> Obj:
    """A structure in which nothing is set."""
    return Obj(kind, {field.name: _zero(field, schema) for field in schema[kind].values()}, None)


def _zero(field: Field, schema: Schema) -> Any:
    if field.is_list:
        return []
    if field.is_optional:
        return None
    return _ZERO[field.kind] if field.kind in _ZERO else empty(schema, field.kind)


class _Reader:
    def __init__(self, schema: Schema, *, names_fields: bool) -> None:
        self._schema = schema
        self._names_fields = names_fields
        self.problem: tuple[str, int] | None = None
        self.unused: list[Unused] = []
        self.mismatches: list[Mismatch] = []

    def structure(
        self, kind: str, node: Node, *, path: Path, where: tuple[str, tuple[str, ...]]
    ) -> Obj:
        obj = empty(self._schema, kind)
        if node.kind == jsontext.NULL:
            self.mismatches.append(Mismatch(path, node.start))
            return obj
        if node.kind != jsontext.OBJECT:
            self._wrong(node, where, f"types.{kind}")
            return obj
        obj.node = node
        fields = self._schema[kind]
        folded = {name.lower(): field for name, field in fields.items()}
        for member in node.members:
            field = fields.get(member.key) or folded.get(member.key.lower())
            if member.key not in fields:
                near = field.name if field is not None else ""
                unused = Unused(
                    (*path, member.key), member.key, member.key_start, member.key_end, near
                )
                obj.unused.append(unused)
                self.unused.append(unused)
            if field is None:
                continue
            inner = (kind, (*where[1], field.name))
            value = self._field(field, member.node, path=(*path, field.name), where=inner)
            if value is not None:
                obj.fields[field.name] = value
                obj.nodes[field.name] = member.node
        return obj

    def _field(
        self, field: Field, node: Node, *, path: Path, where: tuple[str, tuple[str, ...]]
    ) -> Any:
        if node.kind == jsontext.NULL:
            if not field.is_list and not field.is_optional and field.kind not in _ZERO:
                self.mismatches.append(Mismatch(path, node.start))
            return None
        if not field.is_list:
            return self._value(field, node, path=path, where=where)
        if node.kind != jsontext.ARRAY:
            name = field.go_name
            go = _GO_SCALAR.get(name) or f"types.{name}"
            named = "types.HTTPHeaders" if name == "HTTPHeader" else f"[]{go}"
            self._wrong(node, where, named)
            return None
        found = []
        for at, item in enumerate(node.items):
            value = self._value(field, item, path=(*path, at), where=where)
            if value is None:
                value = _ZERO.get(field.kind)
            found.append(value)
        return found

    def _value(
        self, field: Field, node: Node, *, path: Path, where: tuple[str, tuple[str, ...]]
    ) -> Any:
        if field.kind not in _ZERO:
            return self.structure(field.kind, node, path=path, where=where)
        if node.kind == jsontext.NULL:
            return None
        go = f"types.{field.go_name}" if field.go_name != field.kind else _GO_SCALAR[field.kind]
        if node.kind != _WANTED[field.kind]:
            self._wrong(node, where, go)
            return None
        if field.kind != "int":
            return node.value
        text = str(node.value)
        if not text.lstrip("-").isdigit() or not -_INT64 <= int(text) < _INT64:
            self._wrong(node, where, go, shown=f"number {text}")
            return None
        return int(text)

    def _wrong(
        self, node: Node, where: tuple[str, tuple[str, ...]], go: str, *, shown: str = ""
    ) -> None:
        if self.problem is not None:
            return
        struct, names = where
        place = (
            f"Go struct field {struct}.{'.'.join(names)}"
            if names and self._names_fields
            else "Go value"
        )
        text = f"json: cannot unmarshal {shown or node.kind} into {place} of type {go}"
        self.problem = (text, node.start + 1 if node.kind in ("object", "array") else node.end)
