"""Records of the etcd v2 API as clients see them, and their making from JSON.

Pure and light: on every CLI's hot path. Numbers absent on the wire are 0, as in Go's client.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Node:
    """A key or directory. `expiration` is the RFC 3339 text, "" for none; `ttl` is in seconds."""

    __slots__ = (
        "created_index",
        "dir",
        "expiration",
        "key",
        "modified_index",
        "nodes",
        "ttl",
        "value",
    )

    def __init__(self, data: dict[str, Any]) -> None:
        get = data.get
        self.key: str = get("key", "")
        self.value: str = get("value", "")
        self.dir: bool = get("dir", False)
        self.nodes: tuple[Node, ...] = tuple([Node(item) for item in get("nodes") or ()])
        self.created_index: int = get("createdIndex", 0)
        self.modified_index: int = get("modifiedIndex", 0)
        self.ttl: int = get("ttl", 0)
        self.expiration: str = get("expiration") or ""

    def __repr__(self) -> str:
        what = "dir" if self.dir else f"value={self.value!r}"
        return f"Node({self.key!r}, {what}, modified_index={self.modified_index})"


class Result:
    """A successful reply or a watch event; the indexes come from the reply's headers."""

    __slots__ = ("action", "etcd_index", "node", "prev_node", "raft_index", "raft_term")

    def __init__(
        self,
        action: str,
        node: Node,
        prev_node: Node | None,
        *,
        etcd_index: int = 0,
        raft_index: int = 0,
        raft_term: int = 0,
    ) -> None:
        self.action = action
        self.node = node
        self.prev_node = prev_node
        self.etcd_index = etcd_index
        self.raft_index = raft_index
        self.raft_term = raft_term

    def __repr__(self) -> str:
        return f"Result({self.action!r}, {self.node!r}, etcd_index={self.etcd_index})"


class Member:
    """One member of the cluster; a member that never started has no name and no client URLs."""

    __slots__ = ("client_urls", "id", "name", "peer_urls")

    def __init__(self, data: dict[str, Any]) -> None:
        self.id: str = data.get("id", "")
        self.name: str = data.get("name", "")
        self.peer_urls: tuple[str, ...] = tuple(data.get("peerURLs") or ())
        self.client_urls: tuple[str, ...] = tuple(data.get("clientURLs") or ())

    def __repr__(self) -> str:
        return f"Member({self.id!r}, {self.name!r})"
