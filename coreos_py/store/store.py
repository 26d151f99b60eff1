"""The v2 key space: one tree, one index, one history, and the watchers.

Deterministic: time comes in as `now_ns`, nothing else comes in. Every successful write takes one
index and leaves one event in the history; a failed operation changes nothing but a counter.
Paths are internal ("/1/foo"); values and keys are text decoded from UTF-8 with surrogateescape.
Mirrors etcd 2.3 store/store.go.
"""

from __future__ import annotations

from coreos_py.base.errors import (
    DIR_NOT_EMPTY,
    NOT_DIR,
    NOT_FILE,
    StoreError,
)
from coreos_py.store import event as ev
from coreos_py.store.core import MIN_EXPIRE_NS, Core
from coreos_py.store.event import Event
from coreos_py.store.history import History
from coreos_py.store.node import Directory, File, clean
from coreos_py.store.snapshot import Frozen, load
from coreos_py.store.tree import Tree
from coreos_py.store.ttl import ExpiryQueue
from coreos_py.store.watch import Watcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Store(Core):
    """The key space. Operations raise StoreError and nothing else; none blocks."""

    __slots__ = ()

    # Reading

    def get(self, path: str, *, recursive: bool = False, sort: bool = False, now_ns: int) -> Event:
        """The node, with its listing if it is a directory."""
        if recursive:
            self.stats.recursive_gets += 1
        node = self._nodes.get(path)
        if type(node) is File:
            self.stats.gets_success += 1
            return Event(ev.GET, node, None, self.index, now_ns)
        try:
            node = self._tree.find(path, index=self.index)
        except StoreError:
            self.stats.gets_fail += 1
            raise
        self.stats.gets_success += 1
        if type(node) is Directory:
            view = self._tree.view(node, recursive=recursive, sort=sort)
            return Event(ev.GET, view, None, self.index, now_ns)
        assert type(node) is File
        return Event(ev.GET, node, None, self.index, now_ns)

    def peek(self, path: str) -> File | None:
        """The file at a clean path, None if there is none; not counted as a read."""
        node = self._nodes.get(path)
        return node if type(node) is File else None

    def nodes(self) -> Iterable[File | Directory]:
        """Everything there is, hidden or not, in no order; not while the store changes."""
        return self._nodes.values()

    def all_nodes(self) -> list[File | Directory]:
        """Everything there is, hidden or not, parents before what is in them."""
        return [self._nodes[key] for key in sorted(self._nodes)]

    def watch(
        self,
        path: str,
        *,
        recursive: bool = False,
        stream: bool = False,
        since_index: int = 0,
        strict: bool = False,
        notify: Callable[[Event], None] | None = None,
    ) -> Watcher:
        """Wait for events at `path`; an event that the history has is waiting at once.

        `notify` is given to Watcher.on_event, so it may be called before this returns.
        """
        path = clean(path)
        since_index = since_index or self.index + 1
        found = self._history.scan(
            path, recursive=recursive, since_index=since_index, index=self.index
        )
        watcher = Watcher(
            self._hub,
            path,
            recursive=recursive,
            stream=stream,
            since_index=since_index,
            start_index=self.index,
            strict=strict,
        )
        if found is None:
            self._hub.add(watcher)
        else:
            # etcd 2.3.8 never registers such a watcher, so even a stream ends with this event.
            watcher.pending.append(found)
        if notify is not None:
            watcher.on_event(notify)
        return watcher

    def replay(
        self, path: str, *, recursive: bool = False, since_index: int
    ) -> tuple[list[Event], Watcher]:
        """What a stream would have shown from an index on, and the stream that goes on from here.

        Ours: etcd 2.3.8 ends a stream after the first event of its history.
        """
        path = clean(path)
        index = self.index
        events = self._history.replay(
            path, recursive=recursive, since_index=since_index, index=index
        )
        watcher = Watcher(
            self._hub,
            path,
            recursive=recursive,
            stream=True,
            since_index=max(since_index, index + 1),
            start_index=index,
            strict=True,
        )
        self._hub.add(watcher)
        return events, watcher

    @property
    def history_capacity(self) -> int:
        """How many events the history has room for."""
        return self._history.capacity

    @property
    def oldest_index(self) -> int:
        """Index of the oldest event that the history has, 0 when it has none."""
        return self._history.start_index

    @property
    def watcher_count(self) -> int:
        """How many watchers are waiting."""
        return self._hub.count

    def json_stats(self) -> bytes:
        """The body of /v2/stats/store."""
        return self.stats.to_json(watchers=self._hub.count).encode()

    # Writing

    def set(
        self,
        path: str,
        *,
        value: str = "",
        is_dir: bool = False,
        expire_ns: int = 0,
        refresh: bool = False,
        now_ns: int,
    ) -> Event:
        """Create or replace a file, or make a directory; `refresh` keeps the old value."""
        nodes = self._nodes
        old = nodes.get(path)
        parent = nodes.get(path[: path.rfind("/")]) if old is None else None
        prev = old if type(old) is File else None
        adds = type(parent) is Directory and clean(path) is path
        if is_dir or refresh or (prev is None and not adds):
            return self._set_slowly(
                path, value, is_dir=is_dir, expire_ns=expire_ns, refresh=refresh, now_ns=now_ns
            )
        self.index = index = self.index + 1
        key = path if prev is None else prev.key
        if type(parent) is Directory:
            parent.children[key] = None
        if expire_ns:
            if expire_ns < MIN_EXPIRE_NS:
                expire_ns = 0
            else:
                self._expiries.push(expire_ns, key, self._expires_at)
        nodes[key] = node = File(key, value, expire_ns, index, index)
        self.stats.sets_success += 1
        event = Event(ev.SET, node, prev, index, now_ns)
        self._history.append(event)
        if self._hub.groups:
            self._hub.notify(event)
        return event

    def create(
        self,
        path: str,
        *,
        value: str = "",
        is_dir: bool = False,
        unique: bool = False,
        expire_ns: int = 0,
        now_ns: int,
    ) -> Event:
        """Make a node that must not exist; `unique` makes it below `path`, named by the index."""
        if unique:
            path = f"{path}/{self.index + 1:020d}"
        try:
            event = self._place(
                ev.CREATE, clean(path), value, is_dir=is_dir, expire_ns=expire_ns, now_ns=now_ns
            )
        except StoreError as error:
            # etcd 2.3.8 also counts a failed set when a file is in the way.
            self.stats.sets_fail += error.code == NOT_DIR
            self.stats.create_fail += 1
            raise
        self.stats.create_success += 1
        self._publish(event)
        return event

    def update(
        self,
        path: str,
        *,
        value: str = "",
        expire_ns: int = 0,
        refresh: bool = False,
        now_ns: int,
    ) -> Event:
        """Change value and TTL of a file that exists, or only the TTL of a directory."""
        try:
            node = self._tree.find(path, index=self.index)
        except StoreError:
            self.stats.update_fail += 1
            raise
        # Counted before the checks below: etcd 2.3.8 books their refusals as successes.
        self.stats.update_success += 1
        self._refuse_root(node)
        if type(node) is Directory:
            if value:
                raise StoreError(NOT_FILE, node.key, self.index)
            return self._update_directory(node, expire_ns, refresh=refresh, now_ns=now_ns)
        assert type(node) is File
        return self._rewrite(
            ev.UPDATE, node, value, expire_ns=expire_ns, refresh=refresh, now_ns=now_ns
        )

    def compare_and_swap(
        self,
        path: str,
        *,
        prev_value: str = "",
        prev_index: int = 0,
        value: str = "",
        expire_ns: int = 0,
        refresh: bool = False,
        now_ns: int,
    ) -> Event:
        """Replace the value of a file that has the given value and index ("" and 0: any)."""
        node = self._nodes.get(clean(path))
        if node is not None and node.key in self._read_only:
            # etcd 2.3.8 books this refusal as a success.
            self.stats.compare_and_swap_success += 1
            self._refuse_root(node)
        try:
            node = self._find_file(path)
            self._compare(node, prev_value, prev_index)
        except StoreError:
            self.stats.compare_and_swap_fail += 1
            raise
        self.stats.compare_and_swap_success += 1
        return self._rewrite(
            ev.COMPARE_AND_SWAP, node, value, expire_ns=expire_ns, refresh=refresh, now_ns=now_ns
        )

    def delete(
        self, path: str, *, is_dir: bool = False, recursive: bool = False, now_ns: int
    ) -> Event:
        """Remove a file; `is_dir` also an empty directory, `recursive` any directory."""
        try:
            node = self._tree.find(path, index=self.index)
            if type(node) is Directory and node.key not in self._read_only:
                if not (is_dir or recursive):
                    raise StoreError(NOT_FILE, node.key, self.index)
                if node.children and not recursive:
                    raise StoreError(DIR_NOT_EMPTY, node.key, self.index)
        except StoreError:
            self.stats.delete_fail += 1
            raise
        # Counted before the check below: etcd 2.3.8 books this refusal as a success.
        self.stats.delete_success += 1
        self._refuse_root(node)
        return self._remove(ev.DELETE, node, shows_dir=node.is_dir, now_ns=now_ns)

    def compare_and_delete(
        self, path: str, *, prev_value: str = "", prev_index: int = 0, now_ns: int
    ) -> Event:
        """Remove a file that has the given value and index ("" and 0: any)."""
        try:
            self._tree.find(path, index=self.index)
        except StoreError:
            self.stats.compare_and_delete_fail += 1
            raise
        # Counted before the checks below: etcd 2.3.8 books their refusals as successes.
        self.stats.compare_and_delete_success += 1
        node = self._find_file(path)
        self._compare(node, prev_value, prev_index)
        return self._remove(ev.COMPARE_AND_DELETE, node, shows_dir=False, now_ns=now_ns)

    def delete_expired(self, cutoff_ns: int) -> list[Event]:
        """Remove every node whose time is not after the cutoff, oldest first; one event each."""
        events: list[Event] = []
        while (due := self._expiries.pop_due(cutoff_ns)) is not None:
            expire_ns, key = due
            node = self._nodes.get(key)
            if node is None or node.expire_ns != expire_ns:
                continue
            self.stats.expire_count += 1
            events.append(self._remove(ev.EXPIRE, node, shows_dir=False, now_ns=cutoff_ns))
        return events

    # Snapshots

    def freeze(self) -> Frozen:
        """A copy of this moment that shares every File; its chunks() may be taken at leisure."""
        stats = self.stats.to_json(watchers=0)
        return Frozen(self._nodes, self._history, index=self.index, stats_json=stats)

    def save(self) -> bytes:
        """The snapshot document, as etcd 2.3.8 reads and writes it."""
        return b"".join(self.save_chunks())

    def save_chunks(self) -> Iterator[bytes]:
        """save() in pieces, all of this moment, however late they are taken."""
        return self.freeze().chunks()

    def recover(self, data: bytes) -> None:
        """Become what a snapshot says; BadSnapshot leaves the store as it was.

        Watchers stay, as in etcd 2.3.8, though they miss what happened in between; strict ones end.
        """
        loaded = load(data)
        history = History(self._history.capacity)
        history.events.extend(loaded.events)
        history.ring_offset = loaded.ring_offset
        tree = Tree()
        tree.nodes = loaded.nodes
        self._adopt(tree)
        self._history = history
        self.index = loaded.index
        self.stats.load(loaded.stats)
        self._expiries = ExpiryQueue()
        for node in loaded.nodes.values():
            if node.expire_ns:
                self._expiries.push(node.expire_ns, node.key, self._expires_at)
        self._hub.end_strict()
