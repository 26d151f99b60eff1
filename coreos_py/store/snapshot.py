"""The store as the JSON document that etcd 2.3.8 writes into its .snap files, and back.

Same store, same bytes: children in byte order, times in UTC. Neither direction recurses per key
level, because clients choose how deep their keys go. Mirrors Save and Recovery of etcd 2.3
store/store.go.
"""

from __future__ import annotations

from coreos_py.base.gojson import quote
from coreos_py.base.gotime import SECOND_NS, ZERO, ZERO_NS, format_ns, parse_ns
from coreos_py.store.deepjson import loads
from coreos_py.store.event import Event
from coreos_py.store.history import CAPACITY, History
from coreos_py.store.node import Directory, File, NodeView, sort_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = 2
CHUNK_CHARS = 65536
_MAX_INDEX = (1 << 64) - 1


class BadSnapshot(ValueError):
    """The document is not a store; the message says where."""


class Loaded:
    """What a snapshot document holds."""

    __slots__ = ("events", "index", "nodes", "ring_offset", "stats")

    def __init__(self) -> None:
        self.nodes: dict[str, File | Directory] = {}
        self.events: list[Event] = []
        self.ring_offset = 0
        self.index = 0
        self.stats: dict[str, object] = {}


class RecoveredEvent(Event):
    """An event read back; node and prevNode may have taken their ttl at different times."""

    __slots__ = ("_prev_now_ns", "_refresh")

    def __init__(
        self,
        action: str,
        node: File | NodeView,
        prev_node: File | NodeView | None,
        *,
        times_ns: tuple[int, int],
        refresh: bool,
    ) -> None:
        super().__init__(action, node, prev_node, node.modified_index, times_ns[0])
        self._prev_now_ns = times_ns[1]
        self._refresh = refresh

    @property
    def prev_now_ns(self) -> int:
        return self._prev_now_ns

    @property
    def refresh(self) -> bool:  # type: ignore[override]  # a constant of the class elsewhere
        return self._refresh


class Frozen:
    """The store as it was at one moment; Files are shared with it, directories are copied."""

    __slots__ = ("events", "history", "index", "nodes", "stats_json")

    def __init__(
        self, nodes: dict[str, File | Directory], history: History, *, index: int, stats_json: str
    ) -> None:
        self.nodes = nodes.copy()
        for node in nodes.values():
            if type(node) is Directory:
                self.nodes[node.key] = _copy_directory(node)
        self.history = history
        self.events = list(history.events)
        self.index = index
        self.stats_json = stats_json

    def chunks(self) -> Iterator[bytes]:
        """The document in pieces of roughly CHUNK_CHARS."""
        out: list[str] = []
        size = 0
        for part in self._parts():
            out.append(part)
            size += len(part)
            if size >= CHUNK_CHARS:
                yield "".join(out).encode()
                out.clear()
                size = 0
        yield "".join(out).encode()

    def _parts(self) -> Iterator[str]:
        root = self.nodes["/"]
        assert type(root) is Directory
        yield '{"Root":'
        yield from self._tree(root)
        yield ',"WatcherHub":{"EventHistory":'
        yield from self._ring()
        yield f'}},"CurrentIndex":{self.index},"Stats":{self.stats_json},'
        yield f'"CurrentVersion":{VERSION}}}'

    def _tree(self, root: Directory) -> Iterator[str]:
        nodes = self.nodes
        yield _open_directory(root, '"/"')
        stack = [(iter(sort_keys(root.children)), 2)]
        comma = ""
        while stack:
            keys, name_at = stack[-1]
            for key in keys:
                node = nodes[key]
                quoted = quote(key)
                name = f'{comma}"{quoted[name_at:]}:'
                comma = ","
                if type(node) is File:
                    expiry = format_ns(node.expire_ns) if node.expire_ns else ZERO
                    yield (
                        f'{name}{{"Path":{quoted},"CreatedIndex":{node.created_index},'
                        f'"ModifiedIndex":{node.modified_index},"ExpireTime":"{expiry}",'
                        f'"Value":{quote(node.value)},"Children":null}}'
                    )
                    continue
                assert type(node) is Directory
                yield name + _open_directory(node, quoted)
                stack.append((iter(sort_keys(node.children)), len(quoted)))
                comma = ""
                break
            else:
                stack.pop()
                comma = ","
                yield "}}"

    def _ring(self) -> Iterator[str]:
        events = self.events
        size = len(events)
        capacity = self.history.capacity
        last = events[-1].etcd_index if size else 0
        back = (last + self.history.ring_offset) % capacity if size else 0
        front = (back - size) % capacity
        slots = ["null"] * capacity
        for position, event in enumerate(events, front):
            slots[position % capacity] = event.to_record()
        yield f'{{"Queue":{{"Events":[{",".join(slots)}],"Size":{size},"Front":{front},'
        yield f'"Back":{back},"Capacity":{capacity}}},'
        yield f'"StartIndex":{events[0].etcd_index if size else 0},"LastIndex":{last}}}'


def _copy_directory(node: Directory) -> Directory:
    copy = Directory(node.key, node.created_index, expire_ns=node.expire_ns)
    copy.modified_index = node.modified_index
    copy.children = node.children.copy()
    return copy


def _open_directory(node: Directory, quoted: str) -> str:
    expiry = format_ns(node.expire_ns) if node.expire_ns else ZERO
    return (
        f'{{"Path":{quoted},"CreatedIndex":{node.created_index},'
        f'"ModifiedIndex":{node.modified_index},"ExpireTime":"{expiry}","Value":"","Children":{{'
    )


class _Branch(Directory):
    """A directory being read: its children are still nodes under their last name."""

    __slots__ = ("named",)

    def __init__(self, key: str, named: dict[str, object]) -> None:
        super().__init__(key, 0)
        self.named = named

    def settle(self) -> Directory:
        """The directory without the reading state."""
        return _copy_directory(self)


def load(data: bytes) -> Loaded:
    """Read a snapshot document whole; BadSnapshot if anything in it cannot be right."""
    try:
        return _load(loads(data.decode("utf-8", "replace"), _as_node))
    except KeyError as error:
        raise BadSnapshot(f"store snapshot: member {error} is missing") from error
    except (ValueError, TypeError) as error:
        raise BadSnapshot(f"store snapshot: {error}") from error


def _load(document: object) -> Loaded:
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    loaded = Loaded()
    loaded.index = _index(document.get("CurrentIndex", 0))
    stats = document.get("Stats")
    loaded.stats = stats if isinstance(stats, dict) else {}
    _load_tree(document.get("Root"), loaded)
    hub = document.get("WatcherHub")
    history = hub.get("EventHistory") if isinstance(hub, dict) else None
    if isinstance(history, dict):
        _load_ring(history, loaded)
    return loaded


def _as_node(members: dict[str, object]) -> object:
    """Turn every NODE object into a node as soon as it is read, so that its dict is freed."""
    key = members.get("Path")
    # A directory may have children named "Path"; those are nodes by now, not text.
    if type(key) is not str:
        return members
    node: File | Directory
    children = members.get("Children")
    created, modified = _index(members["CreatedIndex"]), _index(members["ModifiedIndex"])
    expire_ns = _expiry(members.get("ExpireTime", ZERO))
    if isinstance(children, dict):
        node = _Branch(key, children)
        node.expire_ns = expire_ns
        node.modified_index = modified
        node.created_index = created
        return node
    value = members.get("Value", "")
    if not isinstance(value, str) or children is not None:
        raise ValueError(f"node {key!r} is neither file nor directory")
    return File(key, value, expire_ns, modified, created)


def _index(value: object) -> int:
    if isinstance(value, int) and 0 <= value <= _MAX_INDEX:
        return value
    raise ValueError(f"not an index: {value!r}")


def _expiry(value: object) -> int:
    if value == ZERO:
        return 0
    if not isinstance(value, str):
        raise ValueError(f"not a time: {value!r}")
    expire_ns = parse_ns(value)
    return 0 if expire_ns == ZERO_NS else expire_ns


def _load_tree(root: object, loaded: Loaded) -> None:
    if not isinstance(root, _Branch) or root.key != "/":
        raise ValueError("Root is not the directory /")
    nodes = loaded.nodes
    branches = [root]
    while branches:
        branch = branches.pop()
        base = "" if branch.key == "/" else branch.key
        for name, node in branch.named.items():
            if not isinstance(node, (File, _Branch)) or node.key != f"{base}/{name}":
                raise ValueError(f"child {name!r} of {branch.key!r} is damaged")
            branch.children[node.key] = None
            if isinstance(node, _Branch):
                branches.append(node)
            else:
                nodes[node.key] = node
        nodes[branch.key] = branch.settle()


def _load_ring(history: dict[str, object], loaded: Loaded) -> None:
    queue = history.get("Queue")
    if not isinstance(queue, dict):
        raise ValueError("the event history has no Queue")
    slots = queue.get("Events") or []
    front, size = queue.get("Front", 0), queue.get("Size", 0)
    capacity = queue.get("Capacity", CAPACITY)
    numbers = isinstance(front, int) and isinstance(size, int) and isinstance(capacity, int)
    if not (isinstance(slots, list) and numbers and 0 <= size <= len(slots) <= capacity):
        raise ValueError("the event history is damaged")
    last = 0
    for position in range(front, front + size):
        record = slots[position % capacity] if position % capacity < len(slots) else None
        event = _load_event(record)
        if event.etcd_index <= last:
            raise ValueError(f"event {event.etcd_index} is out of order")
        last = event.etcd_index
        loaded.events.append(event)
    if size:
        loaded.ring_offset = (front + size - last) % capacity


def _load_event(record: object) -> RecoveredEvent:
    if not isinstance(record, dict):
        raise ValueError("an event is missing in the history")
    node, now_ns = _load_extern(record["node"])
    prev: File | NodeView | None = None
    prev_now_ns = now_ns
    if record.get("prevNode") is not None:
        prev, prev_now_ns = _load_extern(record["prevNode"])
    action = record["action"]
    if not isinstance(action, str) or not action.isalpha():
        raise ValueError(f"not an action: {action!r}")
    refresh = record.get("refresh", False) is True
    return RecoveredEvent(action, node, prev, times_ns=(now_ns, prev_now_ns), refresh=refresh)


def _load_extern(members: object) -> tuple[File | NodeView, int]:
    """A node in its wire shape, and a time at which its ttl was what the wire says."""
    if not isinstance(members, dict):
        raise ValueError("an event of the history lacks its node")
    key, value, ttl = members.get("key", ""), members.get("value"), members.get("ttl", 0)
    if not isinstance(key, str) or not isinstance(ttl, int):
        raise ValueError(f"node {key!r} is damaged in the history")
    modified = _index(members.get("modifiedIndex", 0))
    created = _index(members.get("createdIndex", 0))
    expire_ns = _expiry(members.get("expiration", ZERO))
    now_ns = expire_ns - ttl * SECOND_NS
    is_dir = members.get("dir") is True
    if isinstance(value, str) and not is_dir:
        return File(key, value, expire_ns, modified, created), now_ns
    return NodeView(key, modified, created, is_dir=is_dir, expire_ns=expire_ns), now_ns
