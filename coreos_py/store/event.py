"""What happened to one key, and its JSON on the wire.

An Event is complete when it is made and never changes, so any number of watchers may share it;
its wire line is built once and kept. Mirrors etcd 2.3 store/event.go and node_extern.go.
"""

from __future__ import annotations

from coreos_py.base.gojson import quote
from coreos_py.base.gotime import format_ns
from coreos_py.store.node import File, NodeView, ttl_s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

GET = "get"
CREATE = "create"
SET = "set"
UPDATE = "update"
DELETE = "delete"
COMPARE_AND_SWAP = "compareAndSwap"
COMPARE_AND_DELETE = "compareAndDelete"
EXPIRE = "expire"

LINE_KEPT_BYTES = 4096
"""A longer line is dropped again as soon as the next event is stored."""


class Event:
    """One reply or notification; `etcd_index` is the store index it belongs to."""

    __slots__ = ("_line", "_prefix", "action", "etcd_index", "node", "now_ns", "prev_node")

    refresh: ClassVar[bool] = False

    def __init__(
        self,
        action: str,
        node: File | NodeView,
        prev_node: File | NodeView | None,
        etcd_index: int,
        now_ns: int,
    ) -> None:
        self.action = action
        self.node = node
        self.prev_node = prev_node
        self.etcd_index = etcd_index
        self.now_ns = now_ns
        self._line: bytes | None = None
        self._prefix: str

    @property
    def prev_now_ns(self) -> int:
        """The time at which prev_node's ttl was taken."""
        return self.now_ns

    @property
    def is_created(self) -> bool:
        """Whether the reply's status is 201."""
        return self.action == CREATE or (self.action == SET and self.prev_node is None)

    def to_json(self, prefix: str = "/1") -> bytes:
        """The event as etcd's JSON, keys without `prefix`."""
        return self.to_line(prefix)[:-1]

    def to_line(self, prefix: str = "/1") -> bytes:
        """to_json and a newline, as every reply and watch sends it; built once."""
        line = self._line
        if line is not None and self._prefix == prefix:
            return line
        text = self._render(prefix)
        self._prefix = prefix
        self._line = line = f"{text}}}\n".encode()
        return line

    def to_record(self) -> str:
        """The event as a snapshot stores it: internal keys, and the refresh mark."""
        text = self._render("")
        return f'{text},"refresh":true}}' if self.refresh else f"{text}}}"

    def drop_long_line(self) -> None:
        """Forget the built line unless it is small."""
        if self._line is not None and len(self._line) > LINE_KEPT_BYTES:
            self._line = None

    def _render(self, prefix: str) -> str:
        """The JSON object without its closing brace."""
        node, prev = self.node, self.prev_node
        key = quote(node.key.removeprefix(prefix))
        if type(node) is File:
            shown = _render_file(node, key, self.now_ns)
        else:
            shown = _render_any(node, prefix, self.now_ns)
        if prev is None:
            return f'{{"action":"{self.action}","node":{shown}'
        if type(prev) is File:
            before = _render_file(prev, key, self.prev_now_ns)
        else:
            before = _render_any(prev, prefix, self.prev_now_ns)
        return f'{{"action":"{self.action}","node":{shown},"prevNode":{before}'


class RefreshEvent(Event):
    """A write that only moved a TTL: kept in the history, never delivered."""

    __slots__ = ()

    refresh: ClassVar[bool] = True


def _render_file(node: File, key: str, now_ns: int) -> str:
    """A file whose key is quoted already."""
    expiry = _render_expiry(node.expire_ns, now_ns) if node.expire_ns else ""
    return (
        f'{{"key":{key},"value":{quote(node.value)},{expiry}'
        f'"modifiedIndex":{node.modified_index},"createdIndex":{node.created_index}}}'
    )


def _render_expiry(expire_ns: int, now_ns: int) -> str:
    ttl = ttl_s(expire_ns, now_ns)
    if ttl:
        return f'"expiration":"{format_ns(expire_ns)}","ttl":{ttl},'
    return f'"expiration":"{format_ns(expire_ns)}",'


def _render_any(node: File | NodeView, prefix: str, now_ns: int) -> str:
    """A node with its listing. No recursion: keys may be thousands of levels deep."""
    if not node.nodes:
        return "".join(_render_ends(node, prefix, now_ns))
    head, tail = _render_ends(node, prefix, now_ns)
    out = [head]
    stack = [(iter(node.nodes), tail)]
    comma = ""
    while stack:
        children, tail = stack[-1]
        for child in children:
            if type(child) is File:
                key = quote(child.key.removeprefix(prefix))
                out.append(comma + _render_file(child, key, now_ns))
                comma = ","
                continue
            head, inner_tail = _render_ends(child, prefix, now_ns)
            if child.nodes:
                out.append(comma + head)
                stack.append((iter(child.nodes), inner_tail))
                comma = ""
                break
            out.append(f"{comma}{head}{inner_tail}")
            comma = ","
        else:
            stack.pop()
            out.append(tail)
            comma = ","
    return "".join(out)


def _render_ends(node: File | NodeView, prefix: str, now_ns: int) -> tuple[str, str]:
    """A node's JSON in two pieces, between which its listing belongs."""
    members = []
    key = node.key.removeprefix(prefix)
    if key:
        members.append(f'"key":{quote(key)}')
    if node.value is not None:
        members.append(f'"value":{quote(node.value)}')
    if node.is_dir:
        members.append('"dir":true')
    if node.expire_ns:
        members.append(_render_expiry(node.expire_ns, now_ns)[:-1])
    indexes = []
    if node.modified_index:
        indexes.append(f'"modifiedIndex":{node.modified_index}')
    if node.created_index:
        indexes.append(f'"createdIndex":{node.created_index}')
    if not node.nodes:
        return f"{{{','.join(members + indexes)}", "}"
    head = f'{{{",".join([*members, ""])}"nodes":['
    return head, f"{','.join([']', *indexes])}}}"
