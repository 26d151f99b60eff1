"""The tree of a YAML document before anybody gives its scalars a type, and the error of all layers.

Pure. Mirrors the nodes of go-yaml v1, the fork in coreos-cloudinit 1.13.0 (vendor/.../yaml).
"""

from __future__ import annotations

from typing import NamedTuple

SCALAR = "scalar"
SEQUENCE = "sequence"
MAPPING = "mapping"
ALIAS = "alias"


class YamlError(Exception):
    """The text is no YAML; `line` counts from 0 as libyaml's does, 0 also when it is unknown."""

    def __init__(self, message: str, *, line: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.line = line

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"YAML error: {where}{self.message}"


class Node:
    """One node: `value` is a scalar's text or an alias' name, `children` alternate in mappings."""

    __slots__ = ("children", "is_plain", "kind", "tag", "value")

    def __init__(
        self, kind: str, value: str = "", *, tag: str = "", is_plain: bool = False
    ) -> None:
        self.kind = kind
        self.value = value
        self.tag = tag
        self.is_plain = is_plain  # libyaml's plain_implicit: untagged and without quotes
        self.children: list[Node] = []

    def pairs(self) -> list[tuple[Node, Node]]:
        """A mapping's keys and values."""
        return list(zip(self.children[::2], self.children[1::2], strict=True))


class Document(NamedTuple):
    """The first document of a text; `root` is None for an empty text."""

    root: Node | None
    anchors: dict[str, Node]
