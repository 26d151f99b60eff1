"""The validator: every complaint about a user-data, with its line. Pure.

Mirrors config/validate of coreos-cloudinit 1.13.0. Two of its crashes are reports here: null and a
list for a key whose values follow a rule are only of a wrong type. Entries come in the order of
their lines, upstream's in a random one.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.cloudinit import gotext, schema, userdata
from coreos_py.cloudinit.encoding import EncodingError, decode_content
from coreos_py.cloudinit.fill import fill
from coreos_py.cloudinit.gourl import is_request_uri
from coreos_py.cloudinit.lines import Lines
from coreos_py.cloudinit.yaml.decode import WeakMap, underscored, weak
from coreos_py.cloudinit.yaml.nodes import YamlError
from coreos_py.cloudinit.yaml.parser import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coreos_py.cloudinit.schema import Field
    from coreos_py.cloudinit.yaml.decode import Weak

ERROR = "error"
WARNING = "warning"
INFO = "info"

_INVALID = "invalid"
_MAP = "map"
_SLICE = "slice"
_GO_TYPES = {
    _INVALID: "invalid",
    _MAP: "map[interface {}]interface {}",
    _SLICE: "[]interface {}",
}
_COMPATIBLE = {
    schema.STRING: (schema.STRING, schema.INT, schema.FLOAT, schema.BOOL),
    schema.STRUCT: (_MAP,),
    schema.FLOAT: (schema.FLOAT, schema.INT),
    schema.INT: (schema.INT,),
    schema.BOOL: (schema.BOOL,),
    schema.STRINGS: (_SLICE,),
    schema.STRUCTS: (_SLICE,),
}
_NO_HEADER = 'must be "#cloud-config" or begin with "#!"'


class Entry(NamedTuple):
    """One complaint; line 0 means that the place was not found."""

    line: int
    kind: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.kind}: {self.message}"


class ValidatorError(Exception):
    """The user-data cannot even be judged."""


class _Place(NamedTuple):
    """A value of the config, with its name and line, and what is below it."""

    name: str
    line: int
    kind: str
    value: object
    children: tuple[_Place, ...] = ()

    def child(self, name: str) -> _Place:
        found = (item for item in self.children if item.name == name)
        return next(found, _NOWHERE)

    def text(self) -> str:
        """Go's String() of the value, which names the type of what is no string."""
        if self.kind == schema.STRING:
            return str(self.value)
        return f"<{_GO_TYPES.get(self.kind, self.kind)} Value>"


_NOWHERE = _Place("", 0, _INVALID, None)


def validate(data: bytes) -> list[Entry]:
    """All entries for a user-data; ValidatorError."""
    if not data or data.startswith(b"#!") or userdata.is_ignition(data):
        return []
    if userdata.is_cloud_config(data):
        return _cloud_config(data)
    if userdata.is_multipart(data):
        return _multipart(data)
    return [Entry(1, ERROR, _NO_HEADER)]


def _multipart(data: bytes) -> list[Entry]:
    """The entries of every part, with lines of the whole where the part is there as it is."""
    try:
        parts = userdata.parts(data)
    except ValueError as error:
        return [Entry(1, ERROR, str(error))]
    found = []
    for part in parts:
        if part.kind == userdata.UNKNOWN:
            found.append(Entry(1 + part.lines_before, ERROR, f"{part.name}: {_NO_HEADER}"))
        elif part.kind == userdata.CLOUD_CONFIG:
            for entry in _cloud_config(part.data):
                line = entry.line + part.lines_before if entry.line else 0
                found.append(entry._replace(line=line))
    return found


def _cloud_config(data: bytes) -> list[Entry]:
    try:
        document = parse(data)
        tree = weak(document)
    except YamlError as error:
        # Upstream goes on with nothing, and finds that nothing is no mapping.
        return [Entry(error.line or 1, ERROR, error.message), *_structure(_NOWHERE)]
    try:
        record = fill(document)
    except YamlError as error:
        raise ValidatorError(str(error)) from None
    lines = Lines(data.decode("utf-8", "surrogateescape"))
    top = _coerced(_place("", tree, lines, 0, 0), record)
    checks = (_discovery, _encodings, _structure, _values, _targets, _misplaced)
    entries = [entry for check in checks for entry in check(top)]
    return sorted(entries, key=lambda entry: entry.line)


# -- from the document to places


def _place(name: str, value: Weak, lines: Lines, line: int, at: int) -> _Place:
    """`line` is the value's own, for people; `at` is where the search for its children begins."""
    if isinstance(value, WeakMap):
        children = []
        for key, item in value.items():
            child = _key_text(key)
            found = lines.key(child, at)
            children.append(_place(child, item, lines, lines.shown(found), found))
        return _Place(name, line, _MAP, value, tuple(children))
    if isinstance(value, list):
        children = []
        for number, item in enumerate(value):
            at = lines.element(at)
            children.append(_place(f"{name}[{number}]", item, lines, lines.shown(at), at))
            at = min(at + 1, lines.end)
        return _Place(name, line, _SLICE, value, tuple(children))
    return _Place(name, line, _kind(value), value)


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return schema.BOOL
    if isinstance(value, int):
        return schema.INT
    if isinstance(value, float):
        return schema.FLOAT
    return _INVALID if value is None else schema.STRING


def _key_text(key: object) -> str:
    """`%s` of a key; upstream forgot that not every key is a string."""
    if isinstance(key, str):
        return key
    return "%!s(<nil>)" if key is None else f"%!s({_kind(key)}={gotext.value(key)})"


def _coerced(place: _Place, strong: object) -> _Place:
    """Scalars as they were written, where the schema reads them so: 0644, not 420."""
    place = place._replace(name=underscored(place.name))
    if place.children:
        children = tuple(_coerced(child, _below(strong, child.name)) for child in place.children)
        return place._replace(children=children)
    if strong is None or isinstance(strong, dict | list):
        return place
    kind = _kind(strong)
    if place.kind in _COMPATIBLE[kind]:
        return place._replace(kind=kind, value=strong)
    return place


def _below(strong: object, name: str) -> object:
    if isinstance(strong, dict):
        return strong.get(underscored(name))
    if isinstance(strong, list):
        number = int(name.rpartition("[")[2].rstrip("]")) if name.endswith("]") else len(strong)
        return strong[number] if number < len(strong) else None
    return None


# -- the rules, in upstream's order


def _discovery(top: _Place) -> Iterator[Entry]:
    place = top.child("coreos").child("etcd").child("discovery")
    if place.kind != _INVALID and not is_request_uri(place.text()):
        yield Entry(place.line, WARNING, "discovery URL is not valid")


def _encodings(top: _Place) -> Iterator[Entry]:
    for file in top.child("write_files").children:
        encoding = file.child("encoding")
        if encoding.kind == _INVALID:
            continue
        content = file.child("content")
        try:
            decode_content(content.text().encode("utf-8", "surrogateescape"), encoding.text())
        except EncodingError:
            text = f"content cannot be decoded as {gotext.quote(encoding.text())}"
            yield Entry(content.line, ERROR, text)


def _structure(top: _Place) -> Iterator[Entry]:
    return _types(top, schema.CLOUD_CONFIG)


def _types(place: _Place, field: Field) -> Iterator[Entry]:
    if place.kind not in _COMPATIBLE[field.kind]:
        text = f"incorrect type for {gotext.quote(place.name)} (want {field.kind})"
        yield Entry(place.line, WARNING, text)
        return
    for child in place.children:
        below = _field(field, child)
        if below is None:
            text = f"unrecognized key {gotext.quote(child.name)}"
            yield Entry(child.line, WARNING, text)
            continue
        if below.deprecated:
            text = f"deprecated key {gotext.quote(child.name)} ({below.deprecated})"
            yield Entry(child.line, WARNING, text)
        yield from _types(child, below)


def _field(field: Field, child: _Place) -> Field | None:
    """What the schema says about a child; the elements of a list share one answer."""
    if field.kind == schema.STRUCTS:
        return schema.Field("", schema.STRUCT, fields=field.fields)
    if field.kind == schema.STRINGS:
        return schema.Field("")
    return field.field(child.name)


def _values(top: _Place) -> Iterator[Entry]:
    return _rules(top, schema.CLOUD_CONFIG)


def _rules(place: _Place, field: Field) -> Iterator[Entry]:
    if field.valid is not None and place.kind not in (_INVALID, _MAP, _SLICE):
        text = gotext.value(place.value)
        if place.value and not field.valid.pattern.fullmatch(text):
            yield Entry(place.line, ERROR, f"invalid value {text}")
    for child in place.children:
        below = _field(field, child)
        if below is not None:
            yield from _rules(child, below)


def _targets(top: _Place) -> Iterator[Entry]:
    for file in top.child("write_files").children:
        path = file.child("path")
        if path.kind != _INVALID and _directory(path.text()).startswith("/usr"):
            text = "file cannot be written to a read-only filesystem"
            yield Entry(path.line, ERROR, text)


def _directory(path: str) -> str:
    """Go's path.Dir, where it matters here."""
    directory = posixpath.normpath(path[: path.rfind("/") + 1] or ".")
    return directory[1:] if directory.startswith("//") else directory


def _misplaced(top: _Place) -> Iterator[Entry]:
    place = top.child("coreos").child("write_files")
    if place.kind != _INVALID:
        yield Entry(place.line, INFO, "write_files doesn't belong under coreos")
