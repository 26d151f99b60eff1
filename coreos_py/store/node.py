"""The nodes of the key space.

A File never changes: a write puts a new File in its place. So events, history and snapshots
share Files with the tree without copying. A Directory changes in place and never leaves the
store; what leaves is a NodeView of it. Mirrors etcd 2.3 store/node.go.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import ClassVar

SECOND_NS = 1_000_000_000


class File:
    """One key with a value; `expire_ns` is unix nanoseconds, 0 = permanent."""

    __slots__ = ("created_index", "expire_ns", "key", "modified_index", "value")

    is_dir: ClassVar[bool] = False
    nodes: ClassVar[Sequence[File | NodeView]] = ()

    def __init__(
        self, key: str, value: str, expire_ns: int, modified_index: int, created_index: int
    ) -> None:
        self.key = key
        self.value = value
        self.expire_ns = expire_ns
        self.modified_index = modified_index
        self.created_index = created_index


class Directory:
    """One directory; `children` holds the full keys of its children in insertion order."""

    __slots__ = ("children", "created_index", "expire_ns", "key", "modified_index")

    is_dir: ClassVar[bool] = True
    value: ClassVar[str] = ""

    def __init__(self, key: str, index: int, *, expire_ns: int = 0) -> None:
        self.key = key
        self.expire_ns = expire_ns
        self.modified_index = index
        self.created_index = index
        self.children: dict[str, None] = {}


class NodeView:
    """A node as an event shows it, when it is not simply a File: a directory or a removed key."""

    __slots__ = (
        "created_index",
        "expire_ns",
        "is_dir",
        "key",
        "modified_index",
        "nodes",
        "value",
    )

    def __init__(
        self,
        key: str,
        modified_index: int,
        created_index: int,
        *,
        is_dir: bool = False,
        value: str | None = None,
        expire_ns: int = 0,
    ) -> None:
        self.key = key
        self.value = value
        self.is_dir = is_dir
        self.expire_ns = expire_ns
        self.nodes: Sequence[File | NodeView] = ()
        self.modified_index = modified_index
        self.created_index = created_index


def view_directory(node: Directory) -> NodeView:
    """The directory itself, without its children."""
    return NodeView(
        node.key, node.modified_index, node.created_index, is_dir=True, expire_ns=node.expire_ns
    )


def ttl_s(expire_ns: int, now_ns: int) -> int:
    """Whole seconds left, rounded up; negative once the time has passed."""
    return -((now_ns - expire_ns) // SECOND_NS)


def sort_keys(keys: Iterable[str]) -> list[str]:
    """Keys in byte order, as Go compares strings."""
    ordered = sorted(keys)
    # Code point order is UTF-8 byte order, except for the stand-ins of invalid bytes.
    if not all(map(str.isascii, ordered)):
        ordered.sort(key=_key_bytes)
    return ordered


def _key_bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def clean(path: str) -> str:
    """The path made absolute, with empty, `.` and `..` components resolved."""
    if path[:1] == "/" and "//" not in path and "/." not in path and path[-1] != "/":
        return path
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)
