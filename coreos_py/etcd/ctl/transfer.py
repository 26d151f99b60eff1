"""etcdctl export and import: all keys out of a cluster or a snapshot, and into a cluster."""

from __future__ import annotations

import sys
import threading
from collections import deque
from time import localtime, strftime, time_ns

from coreos_py.base.errors import NODE_EXIST, NOT_FILE, CoreosError, StoreError
from coreos_py.etcd.ctl.session import (
    EXIT_BAD_ARGS,
    EXIT_SERVER_ERROR,
    Fatal,
    fail,
    new_client,
    synced_client,
)
from coreos_py.etcd.offline import keydump
from coreos_py.etcd.offline.keydump import Item
from coreos_py.etcdclient import calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from coreos_py.cli.program import Call
    from coreos_py.etcdclient.model import Node
    from coreos_py.etcdclient.sync_client import Etcd

TTL_MIN_S = 300  # of a key from a snapshot, as etcdctl 2.3.8 has it
CLIENTS_MAX = 256


def export(call: Call) -> int:
    """Print what is at and below a key, or in a snapshot, one line per key."""
    flags = call.flags
    top = call.args[0] if call.args else "/"
    if flags["snap"]:
        now_ns = time_ns()
        items, index = _in_snapshot(flags["snap"], now_ns)
        below = "/" + top.strip("/")
        if below != "/":
            items = [i for i in items if i.key == below or i.key.startswith(f"{below}/")]
    else:
        client = synced_client(call)
        items, index = [], 0
        for key in (top, *flags["hidden"]):
            try:
                result = client.result(calls.get(key, recursive=True, sort=True, quorum=True))
            except CoreosError as err:
                fail(EXIT_SERVER_ERROR, err)
            index = index or result.etcd_index
            items += _below(result.node)
    for line in keydump.write(items, index=index):
        print(line)
    return 0


def import_(call: Call) -> int:
    """Write every key of an export or a snapshot over what is there."""
    flags = call.flags
    path, count = flags["snap"], flags["c"]
    if not 0 < count <= CLIENTS_MAX:
        raise Fatal(EXIT_BAD_ARGS, f"-c must be from 1 to {CLIENTS_MAX}, not {count}\n")
    items, is_export = _read_items(path, flags["hidden"])
    first = synced_client(call)
    print(f"starting to import snapshot {path} with {count} clients", flush=True)
    clients = [first]
    for _ in range(1, count):
        client = new_client(call)
        client.use(first.endpoints)
        clients.append(client)
    try:
        for item in items:
            if item.is_dir:
                _make_dir(first, item)
        _copy(clients, [item for item in items if not item.is_dir], as_upstream=not is_export)
    except CoreosError as err:
        fail(EXIT_SERVER_ERROR, f"failed to copy key: {err}")
    print(f"finished importing {sum(not item.is_dir for item in items)} keys")
    return 0


def _read_items(path: str, hidden: list[str]) -> tuple[list[Item], bool]:
    """What to write, and whether it comes from an export instead of a snapshot."""
    if not path:
        raise Fatal(EXIT_BAD_ARGS, "no snapshot file provided (use --snap)\n")
    data = _read_file(path)
    try:
        if keydump.is_export(data):
            return keydump.read(data, path), True
        items = keydump.items_of(keydump.open_snapshot(data, path), now_ns=time_ns())
    except CoreosError as err:
        raise Fatal(EXIT_BAD_ARGS, f"{err}\n") from None
    found = []
    for item in keydump.select(items, hidden=hidden):
        if item.is_dir:
            _log(f"entering dir: {item.key}")  # etcdctl 2.3.8 makes none of their own
        else:
            found.append(item)
    return found, False


def _log(text: str) -> None:
    """A line as etcdctl 2.3.8 writes it while it imports."""
    now_ns = time_ns()
    stamp = strftime("%Y-%m-%d %H:%M:%S", localtime(now_ns // 10**9))
    sys.stderr.write(f"{stamp}.{now_ns // 1000 % 10**6:06d} I | {text}\n")


def _read_file(path: str) -> bytes:
    try:
        if path == "-":
            return sys.stdin.buffer.read()
        with open(path, "rb") as file:
            return file.read()
    except OSError as err:
        reason = (err.strerror or str(err)).lower()
        problem = f"cannot read snapshot file {path}: {reason}\n"
        raise Fatal(EXIT_BAD_ARGS, problem) from None


def _in_snapshot(path: str, now_ns: int) -> tuple[list[Item], int]:
    try:
        store = keydump.open_snapshot(_read_file(path), path)
    except CoreosError as err:
        if isinstance(err, Fatal):
            raise
        raise Fatal(EXIT_BAD_ARGS, f"{err}\n") from None
    return keydump.items_of(store, now_ns=now_ns), store.index


def _below(node: Node) -> Iterator[Item]:
    if node.key not in ("", "/"):
        yield Item(node.key, node.value, node.dir, max(node.ttl, 0))
    for child in node.nodes:
        yield from _below(child)


def _make_dir(client: Etcd, item: Item) -> None:
    """A directory with its TTL, also if it is there already."""
    try:
        client.result(calls.put(item.key, is_dir=True, prev_exist=False, ttl_s=item.ttl_s))
    except StoreError as err:
        if err.code not in (NODE_EXIST, NOT_FILE):
            raise
        if item.ttl_s:
            client.result(calls.put(item.key, is_dir=True, prev_exist=True, ttl_s=item.ttl_s))


def _copy(clients: list[Etcd], items: list[Item], *, as_upstream: bool) -> None:
    """Write the items through all clients at once; the first failure ends it and is raised."""
    waiting = deque(items)
    failures: list[CoreosError] = []

    def work(client: Etcd) -> None:
        while not failures:
            try:
                item = waiting.popleft()
            except IndexError:
                return
            ttl_s = item.ttl_s
            if as_upstream:
                _log(f"copying key: {item.key}")
            if as_upstream and 0 < ttl_s < TTL_MIN_S:
                _log(f"extending key {item.key}'s ttl to {TTL_MIN_S} seconds")
                ttl_s = TTL_MIN_S
            try:
                client.result(calls.put(item.key, item.value, ttl_s=ttl_s))
            except CoreosError as err:
                failures.append(err)

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
