"""Walks over a document that decoders share: aliases, merge keys, and a bound on both. Pure."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from coreos_py.cloudinit import gotext
from coreos_py.cloudinit.yaml import nodes, resolve
from coreos_py.cloudinit.yaml.nodes import YamlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coreos_py.cloudinit.yaml.nodes import Document, Node

# A few lines of aliases of aliases can stand for more than fits into any memory.
ALIASED_NODES_MAX = 100_000
ALIAS_DEPTH_MAX = 20

_WANT_MAP = "map merge requires map or sequence of maps as the value"


class Decoder:
    """Follows a document's aliases; decoding one alias inside itself is an error."""

    def __init__(self, document: Document, *, key: Callable[[str], str]) -> None:
        """`key` is what becomes of the text of a mapping's key."""
        self._anchors = document.anchors
        self._inside: list[str] = []
        self._aliased = 0
        self.key = key

    @contextmanager
    def target(self, node: Node) -> Iterator[Node]:
        """The node itself, or what its alias refers to, for the length of a `with`."""
        if node.kind != nodes.ALIAS:
            self._aliased += bool(self._inside)
            if self._aliased > ALIASED_NODES_MAX:
                raise YamlError("document contains excessive aliasing")
            yield node
            return
        found = self._anchors.get(node.value)
        if found is None:
            raise YamlError(f"Unknown anchor '{node.value}' referenced")
        if node.value in self._inside:
            raise YamlError(f"Anchor '{node.value}' value contains itself")
        if len(self._inside) == ALIAS_DEPTH_MAX:
            raise YamlError("document contains excessive aliasing")
        self._inside.append(node.value)
        yield found
        self._inside.pop()

    def merged(self, node: Node) -> list[Node]:
        """The mappings that a merge key's value names, the one that wins last."""
        if node.kind == nodes.SEQUENCE:
            parts = node.children[::-1]
        elif node.kind in (nodes.MAPPING, nodes.ALIAS):
            parts = [node]
        else:
            raise YamlError(_WANT_MAP)
        for part in parts:
            found = self._anchors.get(part.value, part) if part.kind == nodes.ALIAS else part
            if found.kind not in (nodes.MAPPING, nodes.ALIAS):
                raise YamlError(_WANT_MAP)
        return parts


def keep(text: str) -> str:
    """Keys as they are written."""
    return text


def underscored(text: str) -> str:
    """Keys as coreos-cloudinit compares them."""
    return text.replace("-", "_")


# The weak decoder: a document as Go's `interface{}` would hold it.

if TYPE_CHECKING:
    from typing import TypeAlias

    Weak: TypeAlias = "resolve.Scalar | list[Weak] | WeakMap"


class WeakMap:
    """A mapping whose keys 1, 1.0 and true are three, as in Go."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, resolve.Scalar], Weak] = {}

    def put(self, key: resolve.Scalar, value: Weak) -> None:
        self._found[type(key).__name__, key] = value

    def items(self) -> list[tuple[resolve.Scalar, Weak]]:
        """Keys and values in the order in which keys were first seen."""
        return [(key, value) for (_, key), value in self._found.items()]


def weak(document: Document) -> WeakMap:
    """The whole document; an empty mapping when it is something else at the top."""
    found = WeakMap()
    if document.root is not None:
        decoder = Decoder(document, key=keep)
        with decoder.target(document.root) as node:
            if node.kind == nodes.MAPPING:
                _weak_mapping(decoder, node, found)
            elif node.kind == nodes.SCALAR:
                resolve.scalar(node)
    return found


def _weak(decoder: Decoder, node: Node) -> Weak:
    value: Weak = None
    with decoder.target(node) as part:
        if part.kind == nodes.SCALAR:
            value = resolve.scalar(part).value
        elif part.kind == nodes.SEQUENCE:
            value = [_weak(decoder, child) for child in part.children]
        else:
            value = WeakMap()
            _weak_mapping(decoder, part, value)
    return value


def _weak_mapping(decoder: Decoder, node: Node, into: WeakMap) -> None:
    for key_node, value_node in node.pairs():
        if resolve.is_merge(key_node):
            for part in decoder.merged(value_node):
                with decoder.target(part) as mapping:
                    _weak_mapping(decoder, mapping, into)
            continue
        key = _weak(decoder, key_node)
        if isinstance(key, list | WeakMap):
            raise YamlError(f"invalid map key: {_go_syntax(key)}")
        into.put(key, _weak(decoder, value_node))


def _go_syntax(value: Weak) -> str:
    """Go's %#v."""
    if isinstance(value, WeakMap):
        pairs = sorted(f"{_go_syntax(key)}:{_go_syntax(item)}" for key, item in value.items())
        return f"map[interface {{}}]interface {{}}{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[]interface {{}}{{{', '.join(map(_go_syntax, value))}}}"
    if isinstance(value, str):
        return gotext.quote(value)
    return "interface {}(nil)" if value is None else gotext.value(value)
