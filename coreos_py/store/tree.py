"""The tree of nodes, with an index of all full keys.

A node is found by one look-up of its full key; only a miss walks the components, to name the
first one that is missing or that is a file. Mirrors the tree half of etcd 2.3 store/node.go and
store/store.go.
"""

from __future__ import annotations

from coreos_py.base.errors import KEY_NOT_FOUND, NOT_DIR, StoreError
from coreos_py.store.node import Directory, File, NodeView, clean, sort_keys, view_directory


class Tree:
    """All nodes by full key. "/" always exists."""

    __slots__ = ("nodes",)

    def __init__(self) -> None:
        self.nodes: dict[str, File | Directory] = {"/": Directory("/", 0)}

    def find(self, path: str, *, index: int) -> File | Directory:
        """The node at `path`; errors carry `index`."""
        node = self.nodes.get(path)
        if node is not None:
            return node
        path = clean(path)
        node = self.nodes.get(path)
        if node is not None:
            return node
        end = 0
        while (end := path.find("/", end + 1)) > 0:
            node = self.nodes.get(path[:end])
            if node is None:
                raise StoreError(KEY_NOT_FOUND, path[:end], index)
            if type(node) is File:
                raise StoreError(NOT_DIR, node.key, index)
        raise StoreError(KEY_NOT_FOUND, path, index)

    def put(self, node: File | Directory) -> None:
        """Add a node, or put it in the place of the one with its key; the parent must exist."""
        if node.key not in self.nodes:
            self.parent(node.key).children[node.key] = None
        self.nodes[node.key] = node

    def parent(self, key: str) -> Directory:
        """The directory that holds an existing key."""
        node = self.nodes[parent_key(key)]
        assert type(node) is Directory
        return node

    def make_parents(self, key: str, *, index: int) -> None:
        """Make the directories above `key` that are missing, as of the write after `index`."""
        missing: list[str] = []
        above = parent_key(key)
        while (node := self.nodes.get(above)) is None:
            missing.append(above)
            above = parent_key(above)
        if type(node) is File:
            raise StoreError(NOT_DIR, node.key, index)
        for directory in reversed(missing):
            self.put(Directory(directory, index + 1))

    def remove(self, node: File | Directory) -> list[str]:
        """Take the node out with everything below it; the keys removed, children first."""
        del self.parent(node.key).children[node.key]
        nodes = self.nodes
        keys = [node.key]
        for key in keys:
            gone = nodes.pop(key)
            if type(gone) is Directory:
                keys.extend(gone.children)
        keys.reverse()
        return keys

    def view(self, top: Directory, *, recursive: bool, sort: bool) -> NodeView:
        """The directory with its listing: one level, or all; hidden children are left out."""
        nodes = self.nodes
        top_view = view_directory(top)
        stack = [(top, top_view)]
        while stack:
            directory, view = stack.pop()
            hidden = "/_" if directory.key == "/" else f"{directory.key}/_"
            keys = sort_keys(directory.children) if sort else directory.children
            listing: list[File | NodeView] = []
            for key in keys:
                if key.startswith(hidden):
                    continue
                node = nodes[key]
                if type(node) is not Directory:
                    assert type(node) is File
                    listing.append(node)
                    continue
                below = view_directory(node)
                listing.append(below)
                if recursive:
                    stack.append((node, below))
            view.nodes = listing
        return top_view


def parent_key(key: str) -> str:
    """The key of the directory that holds `key`."""
    return key[: key.rfind("/")] or "/"
