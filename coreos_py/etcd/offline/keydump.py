"""Keys as a stream of lines, and out of snapshots: what etcdctl export writes and import reads.

The first line says what follows, every other line is one key or directory in JSON, and the last one
counts them, so that a stream that was cut off is noticed before anything is written. Snapshots are
etcd 0.4's (the store's bare JSON) and etcd 2's .snap files.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from coreos_py.base.crc import crc32c
from coreos_py.base.errors import CoreosError, WireError
from coreos_py.etcd import pb
from coreos_py.store.snapshot import BadSnapshot
from coreos_py.store.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FORMAT = "etcd-export"
VERSION = 1
SECOND_NS = 1_000_000_000


class Item(NamedTuple):
    """One key, or a directory (whose value is empty). `ttl_s` is what is left of its time."""

    key: str
    value: str
    is_dir: bool
    ttl_s: int


def write(items: Iterable[Item], *, index: int) -> Iterator[str]:
    """The lines of an export, without their ends."""
    yield json.dumps({"format": FORMAT, "version": VERSION, "etcdIndex": index})
    count = 0
    for item in items:
        line: dict[str, object] = {"key": item.key}
        line |= {"dir": True} if item.is_dir else {"value": item.value}
        if item.ttl_s:
            line["ttl"] = item.ttl_s
        yield json.dumps(line)
        count += 1
    yield json.dumps({"count": count})


def is_export(data: bytes) -> bool:
    """Whether a file begins as an export does."""
    return data.startswith(b'{"format": "etcd-export"')


def read(data: bytes, name: str) -> list[Item]:
    """The items of an export; CoreosError if anything in it is not as it was written."""
    lines = data.decode("utf-8", "surrogateescape").splitlines()
    documents = [_document(line, name, number) for number, line in enumerate(lines, 1)]
    if documents[0].get("version") != VERSION:
        raise CoreosError(f"{name}: version {documents[0].get('version')!r} is not known here")
    items = [_item(document, f"{name}:{i}") for i, document in enumerate(documents[1:-1], 2)]
    if documents[-1] != {"count": len(items)}:
        raise CoreosError(f"{name}: the export is not complete")
    return items


def _document(line: str, name: str, number: int) -> dict[str, object]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise CoreosError(f"{name}:{number}: not a line of an export")
    return found


def _item(document: dict[str, object], where: str) -> Item:
    key, value = document.get("key"), document.get("value", "")
    is_dir, ttl_s = document.get("dir", False), document.get("ttl", 0)
    whole = isinstance(ttl_s, int) and not isinstance(ttl_s, bool) and ttl_s >= 0
    if not (isinstance(key, str) and key.startswith("/") and isinstance(value, str) and whole):
        raise CoreosError(f"{where}: not a key of an export")
    assert isinstance(ttl_s, int)
    return Item(key, value, is_dir is True, ttl_s)


def open_snapshot(data: bytes, name: str) -> Store:
    """The store in a snapshot of etcd 2 or 0.4; CoreosError if it is neither."""
    document = data
    if not data.lstrip().startswith(b"{"):
        try:
            outer = pb.decode_snap_file(data)
            if not outer.data:
                raise WireError("no data")
            if crc32c(outer.data, 0) != outer.crc:
                raise CoreosError(f"{name}: damaged at offset 0: crc mismatch")
            document = pb.decode_snapshot(outer.data).data
        except WireError:
            raise CoreosError(f"{name}: neither an export nor a snapshot") from None
    store = Store(())
    try:
        store.recover(document)
    except BadSnapshot as error:
        raise CoreosError(f"{name}: {error}") from None
    return store


def items_of(store: Store, *, now_ns: int) -> list[Item]:
    """Everything a snapshot's clients could see or know, parents first; expired keys are left out.

    In etcd 2 the clients' keys are below /1, in 0.4 at the top.
    """
    nodes = store.all_nodes()
    tops = {node.key for node in nodes if node.is_dir and node.key in ("/0", "/1")}
    prefix = "/1" if len(tops) == 2 else ""
    items = []
    for node in nodes:
        if not node.key.startswith(f"{prefix}/") or node.key == "/":
            continue
        ttl_s = -(-(node.expire_ns - now_ns) // SECOND_NS) if node.expire_ns else 0
        if ttl_s < 0 or (node.expire_ns and not ttl_s):
            continue
        value = "" if node.is_dir else getattr(node, "value", "")
        items.append(Item(node.key[len(prefix) :], value, node.is_dir, ttl_s))
    return items


def select(items: Iterable[Item], *, hidden: Iterable[str]) -> list[Item]:
    """What is not hidden, and what is at or below the hidden keys that were asked for."""
    wanted = tuple("/" + key.strip("/") for key in hidden)
    return [
        item
        for item in items
        if "/_" not in item.key
        or any(item.key == key or item.key.startswith(f"{key}/") for key in wanted)
    ]
