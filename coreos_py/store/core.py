"""What the operations of the store are made of: its state, and the changes that make one event.

Pure, like the store. Every change here takes one index and leaves one event in the history, after
whoever calls has decided that it may happen. Mirrors the internals of etcd 2.3 store/store.go.
"""

from __future__ import annotations

from coreos_py.base.errors import NODE_EXIST, NOT_FILE, ROOT_RONLY, TEST_FAILED, StoreError
from coreos_py.store import event as ev
from coreos_py.store.event import Event, RefreshEvent
from coreos_py.store.history import CAPACITY, History
from coreos_py.store.node import Directory, File, NodeView, clean, view_directory
from coreos_py.store.stats import Stats
from coreos_py.store.tree import Tree
from coreos_py.store.ttl import ExpiryQueue
from coreos_py.store.watch import WatchHub

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_EXPIRE_NS = 946_684_800_000_000_000
"""2000-01-01: set and create take an earlier expiry for "permanent"."""


class Core:
    """Tree, history, watchers and counters, and how they change together."""

    __slots__ = (
        "_expiries",
        "_history",
        "_hub",
        "_nodes",
        "_read_only",
        "_tree",
        "index",
        "stats",
    )

    def __init__(
        self, namespaces: Sequence[str] = ("/0", "/1"), *, history_capacity: int = CAPACITY
    ) -> None:
        self._read_only = ("/", *namespaces)
        self._history = History(history_capacity)
        self._hub = WatchHub()
        self._expiries = ExpiryQueue()
        self.index = 0
        self.stats = Stats()
        self._adopt(Tree())

    def _adopt(self, tree: Tree) -> None:
        self._tree = tree
        self._nodes = tree.nodes
        for key in self._read_only:
            if key not in tree.nodes:
                tree.put(Directory(key, 0))

    def _set_slowly(
        self,
        path: str,
        value: str,
        *,
        is_dir: bool,
        expire_ns: int,
        refresh: bool,
        now_ns: int,
    ) -> Event:
        try:
            path = clean(path)
            old = self._nodes.get(path)
            if refresh and old is None:
                old = self._tree.find(path, index=self.index)
            if refresh and type(old) is File:
                value = old.value
            event = self._place(
                ev.SET,
                path,
                value,
                is_dir=is_dir,
                expire_ns=expire_ns,
                replace=True,
                refresh=refresh,
                now_ns=now_ns,
            )
        except StoreError:
            self.stats.sets_fail += 1
            raise
        self.stats.sets_success += 1
        self._publish(event)
        return event

    def _place(
        self,
        action: str,
        path: str,
        value: str,
        *,
        is_dir: bool,
        expire_ns: int,
        now_ns: int,
        replace: bool = False,
        refresh: bool = False,
    ) -> Event:
        """Put a new node at a clean path, with its parents; the event is not published yet."""
        old = self._nodes.get(path)
        if old is not None:
            self._refuse_root(old)
            if not replace:
                raise StoreError(NODE_EXIST, path, self.index)
            if type(old) is Directory:
                raise StoreError(NOT_FILE, path, self.index)
        else:
            self._tree.make_parents(path, index=self.index)
        self.index = index = self.index + 1
        if expire_ns < MIN_EXPIRE_NS:
            expire_ns = 0
        shown: File | NodeView
        if is_dir:
            directory = Directory(path, index, expire_ns=expire_ns)
            self._tree.put(directory)
            shown = view_directory(directory)
        else:
            shown = File(path, value, expire_ns, index, index)
            self._tree.put(shown)
        if expire_ns:
            self._expiries.push(expire_ns, path, self._expires_at)
        prev = old if type(old) is File else None
        kind = RefreshEvent if refresh else Event
        return kind(action, shown, prev, index, now_ns)

    def _rewrite(
        self, action: str, old: File, value: str, *, expire_ns: int, refresh: bool, now_ns: int
    ) -> Event:
        """Give a file a new value and TTL; it keeps its creation index."""
        self.index = index = self.index + 1
        if refresh:
            value = old.value
        node = File(old.key, value, expire_ns, index, old.created_index)
        self._nodes[old.key] = node
        if expire_ns:
            self._expiries.push(expire_ns, old.key, self._expires_at)
        event = (RefreshEvent if refresh else Event)(action, node, old, index, now_ns)
        self._publish(event)
        return event

    def _update_directory(
        self, node: Directory, expire_ns: int, *, refresh: bool, now_ns: int
    ) -> Event:
        self.index = index = self.index + 1
        prev = view_directory(node)
        node.expire_ns = expire_ns
        if expire_ns:
            self._expiries.push(expire_ns, node.key, self._expires_at)
        view = view_directory(node)
        # etcd 2.3.8 shows the new index here but leaves the directory's own index alone.
        view.modified_index = index
        event = (RefreshEvent if refresh else Event)(ev.UPDATE, view, prev, index, now_ns)
        self._publish(event)
        return event

    def _remove(
        self, action: str, node: File | Directory, *, shows_dir: bool, now_ns: int
    ) -> Event:
        self.index = index = self.index + 1
        prev = node if type(node) is File else view_directory(_as_directory(node))
        view = NodeView(node.key, index, node.created_index, is_dir=shows_dir)
        removed = self._tree.remove(node)
        event = Event(action, view, prev, index, now_ns)
        self._publish(event, removed)
        return event

    def _publish(self, event: Event, removed: Sequence[str] = ()) -> None:
        self._history.append(event)
        if self._hub.groups and not event.refresh:
            self._hub.notify(event, removed)

    def _find_file(self, path: str) -> File:
        node = self._tree.find(path, index=self.index)
        if type(node) is File:
            return node
        raise StoreError(NOT_FILE, node.key, self.index)

    def _refuse_root(self, node: File | Directory) -> None:
        if node.key in self._read_only:
            raise StoreError(ROOT_RONLY, "/", self.index)

    def _compare(self, node: File, prev_value: str, prev_index: int) -> None:
        """Refuse with a cause that shows the parts which differ."""
        differing = []
        if prev_value and node.value != prev_value:
            differing.append(f"[{prev_value} != {node.value}]")
        if prev_index and node.modified_index != prev_index:
            differing.append(f"[{prev_index} != {node.modified_index}]")
        if differing:
            raise StoreError(TEST_FAILED, " ".join(differing), self.index)

    def _expires_at(self, expire_ns: int, key: str) -> bool:
        node = self._nodes.get(key)
        return node is not None and node.expire_ns == expire_ns


def _as_directory(node: File | Directory) -> Directory:
    assert type(node) is Directory
    return node
