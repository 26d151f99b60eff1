"""The v2 API's primitives on etcd 3's flat keys: each one a plan of calls that ends in a Result.

Pure: a plan is a generator that yields an Rpc and is sent its reply; who drives it does the I/O.
The key of the v2 path /a/b is /a/b; directories are what the slashes of keys imply, so an empty one
does not exist. Indexes are revisions. A key whose last name begins with "_" is hidden, as in v2.
"""

from __future__ import annotations

from coreos_py.base.errors import (
    DIR_NOT_EMPTY,
    KEY_NOT_FOUND,
    NODE_EXIST,
    NOT_FILE,
    ROOT_RONLY,
    TEST_FAILED,
    StoreError,
)
from coreos_py.etcdclient.model import Node, Result
from coreos_py.etcdclient.v3wire import Rpc, b64, number, unb64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from typing import Any

    Message = dict[str, Any]
    Plan = Generator[Rpc, Message, Result]

TXN = "/kv/txn"
RANGE = "/kv/range"
# A directory is read in pieces of so many keys, all at one revision.
PAGE_KEYS = 1000


def clean(key: str) -> str:
    """The key of a v2 path."""
    parts: list[str] = []
    for part in key.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def below(key: str) -> tuple[str, str]:
    """The first key below a directory, and the end of the range."""
    prefix = key if key == "/" else f"{key}/"
    return prefix, f"{prefix[:-1]}0"  # "0" follows "/"


def get(path: str, *, recursive: bool = False, quorum: bool = False) -> Plan:
    """Read a key, with the time it has left, or list a directory, sorted."""
    key = clean(path)
    first, end = below(key)
    options = {} if quorum else {"serializable": True}
    children = {**_range(first, end), **options, "limit": PAGE_KEYS}
    reads = [{"request_range": {**_range(key), **options}}, {"request_range": children}]
    reply = yield Rpc(TXN, {"success": reads})
    own, page = [item.get("response_range", {}) for item in reply.get("responses", [{}, {}])]
    index = _revision(reply)
    if own.get("kvs"):
        kv = own["kvs"][0]
        ttl_s = 0
        if number(kv.get("lease")):
            left = yield Rpc("/kv/lease/timetolive", {"ID": kv["lease"]})
            ttl_s = max(number(left.get("TTL")), 0)
        return _result("get", _node(kv, ttl_s=ttl_s), None, reply)
    kvs: list[Message] = list(page.get("kvs", ()))
    while page.get("more"):
        following = unb64(kvs[-1].get("key")) + "\0"
        body = {**_range(following, end), **options, "limit": PAGE_KEYS, "revision": index}
        page = yield Rpc(RANGE, body)
        kvs += page.get("kvs", ())
    if not kvs and key != "/":
        raise StoreError(KEY_NOT_FOUND, key, index)
    return _result("get", _directory(key, kvs, recursive=recursive), None, reply)


def put(
    path: str,
    value: str = "",
    *,
    prev_exist: bool | None = None,
    prev_value: str = "",
    prev_index: int = 0,
    lease: int = 0,
    ttl_s: int = 0,
    keep_value: bool = False,
) -> Plan:
    """Every kind of PUT, on `lease` or for good. `ttl_s` is what the Result shall show."""
    key = _writable(path)
    write: Message = {"key": b64(key), "prev_kv": True}
    write |= {"ignore_value": True} if keep_value else {"value": b64(value)}
    if lease:
        write["lease"] = str(lease)
    compares = [_is_absent(*below(key)), *_expected(key, prev_value, prev_index)]
    action = "compareAndSwap" if len(compares) > 1 else "set"
    if prev_exist is not None:
        compares.append(_exists(key) if prev_exist else _is_absent(key))
        action = "update" if prev_exist else "create"
    only_set = len(compares) == 1
    reply = yield Rpc(TXN, _txn(compares, {"request_put": write}, key), repeatable=only_set)
    if not reply.get("succeeded"):
        wrong = NODE_EXIST if prev_exist is False else NOT_FILE
        raise _refusal(reply, key, prev_value, prev_index, for_directory=wrong)
    before = _response(reply, "response_put").get("prev_kv")
    index = str(_revision(reply))
    if keep_value and before is not None:
        value = unb64(before.get("value"))
    kv = {"key": b64(key), "value": b64(value), "mod_revision": index}
    kv["create_revision"] = before["create_revision"] if before else index
    return _result(action, _node(kv, ttl_s=ttl_s), before, reply)


def delete(
    path: str,
    *,
    prev_value: str = "",
    prev_index: int = 0,
    is_dir: bool = False,
    recursive: bool = False,
) -> Plan:
    """Delete a key, possibly only if it is as expected, or a directory."""
    key = _writable(path)
    if recursive:
        return (yield from _delete_tree(key))
    compares = _expected(key, prev_value, prev_index)
    action = "compareAndDelete" if compares else "delete"
    if is_dir:
        compares.append(_is_absent(*below(key)))
    elif not compares:
        compares.append(_exists(key))
    removal = {"request_delete_range": {"key": b64(key), "prev_kv": True}}
    reply = yield Rpc(TXN, _txn(compares, removal, key), repeatable=action == "delete")
    if not reply.get("succeeded"):
        wrong = DIR_NOT_EMPTY if is_dir else NOT_FILE
        raise _refusal(reply, key, prev_value, prev_index, for_directory=wrong)
    gone = _response(reply, "response_delete_range").get("prev_kvs")
    if not gone:
        raise StoreError(KEY_NOT_FOUND, key, _revision(reply))
    return _result(action, _gone(key, reply), gone[0], reply)


def grant(ttl_s: int) -> Rpc:
    """Ask for a lease."""
    return Rpc("/lease/grant", {"TTL": ttl_s})


def _delete_tree(key: str) -> Plan:
    first, end = below(key)
    removals = [
        {"request_delete_range": {"key": b64(key), "prev_kv": True}},
        {"request_delete_range": {"key": b64(first), "range_end": b64(end)}},
    ]
    reply = yield Rpc(TXN, {"success": removals})
    own, tree = [item.get("response_delete_range", {}) for item in reply["responses"]]
    if not own.get("deleted") and not tree.get("deleted"):
        raise StoreError(KEY_NOT_FOUND, key, _revision(reply))
    before = (own.get("prev_kvs") or [None])[0]
    return _result("delete", _gone(key, reply, is_dir=before is None), before, reply)


# -- requests


def _range(key: str, end: str = "") -> Message:
    return {"key": b64(key), "range_end": b64(end)} if end else {"key": b64(key)}


def _txn(compares: list[Message], operation: Message, key: str) -> Message:
    """Do it if all compares hold; else look at what is there instead."""
    look = {**_range(*below(key)), "limit": 1, "keys_only": True}
    failure = [{"request_range": _range(key)}, {"request_range": look}]
    return {"compare": compares, "success": [operation], "failure": failure}


def _exists(key: str) -> Message:
    return {**_range(key), "target": "CREATE", "result": "GREATER", "create_revision": 0}


def _is_absent(key: str, end: str = "") -> Message:
    return {**_range(key, end), "target": "CREATE", "result": "EQUAL", "create_revision": 0}


def _expected(key: str, value: str, index: int) -> list[Message]:
    compares: list[Message] = []
    if value:
        compares.append({"key": b64(key), "target": "VALUE", "value": b64(value)})
    if index:
        compares.append({"key": b64(key), "target": "MOD", "mod_revision": index})
    return compares


def _writable(path: str) -> str:
    key = clean(path)
    if key == "/":
        raise StoreError(ROOT_RONLY, "/")
    return key


# -- replies


def _refusal(
    reply: Message, key: str, prev_value: str, prev_index: int, *, for_directory: int
) -> StoreError:
    own, children = [item.get("response_range", {}) for item in reply["responses"]]
    index = _revision(reply)
    if children.get("kvs"):
        return StoreError(for_directory, key, index)
    if not own.get("kvs"):
        return StoreError(KEY_NOT_FOUND, key, index)
    if not prev_value and not prev_index:
        return StoreError(NODE_EXIST, key, index)
    (kv,) = own["kvs"]
    found_value, found_index = unb64(kv.get("value")), number(kv.get("mod_revision"))
    differing = []
    if prev_value and prev_value != found_value:
        differing.append(f"[{prev_value} != {found_value}]")
    if prev_index and prev_index != found_index:
        differing.append(f"[{prev_index} != {found_index}]")
    return StoreError(TEST_FAILED, " ".join(differing), index)


def _response(reply: Message, name: str) -> Message:
    found: Message = reply["responses"][0].get(name, {})
    return found


def _revision(reply: Message) -> int:
    return number(reply.get("header", {}).get("revision"))


def _result(action: str, node: Node, before: Message | None, reply: Message) -> Result:
    return Result(
        action,
        node,
        None if before is None else _node(before),
        etcd_index=_revision(reply),
        raft_term=number(reply.get("header", {}).get("raft_term")),
    )


def _node(kv: Message, *, ttl_s: int = 0) -> Node:
    data = {
        "key": unb64(kv.get("key")),
        "value": unb64(kv.get("value")),
        "createdIndex": number(kv.get("create_revision")),
        "modifiedIndex": number(kv.get("mod_revision")),
    }
    return Node({**data, "ttl": ttl_s} if ttl_s else data)


def _gone(key: str, reply: Message, *, is_dir: bool = False) -> Node:
    return Node({"key": key, "modifiedIndex": _revision(reply), "dir": is_dir})


class _Directory:
    """What is below a directory, while it is gathered."""

    __slots__ = ("entries", "index")

    def __init__(self, index: int) -> None:
        self.index = index
        self.entries: dict[str, _Directory | Message] = {}

    def directory(self, name: str, created: int) -> _Directory | None:
        """The directory in this one; None when a key has its name."""
        found = self.entries.setdefault(name, _Directory(created))
        if not isinstance(found, _Directory):
            return None
        found.index = min(found.index, created)
        return found

    def to_json(self, key: str, *, depth: int) -> Message:
        data: Message = {"key": key, "dir": True}
        if self.index:
            data["createdIndex"] = data["modifiedIndex"] = self.index
        if depth:
            data["nodes"] = [
                entry.to_json(f"{key.rstrip('/')}/{name}", depth=depth - 1)
                if isinstance(entry, _Directory)
                else entry
                for name, entry in sorted(self.entries.items())
            ]
        return data


def _directory(key: str, kvs: Iterable[Message], *, recursive: bool) -> Node:
    """The tree of these keys. Where a key is also a directory the key is shown."""
    start = len(below(key)[0])
    # A directory was created with the oldest key in it, as far as can be told.
    top = _Directory(min((number(kv.get("create_revision")) for kv in kvs), default=0))
    for kv in kvs:
        full = unb64(kv.get("key"))
        *parents, name = full[start:].split("/")
        if any(part.startswith("_") or not part for part in parents) or name.startswith("_"):
            continue
        created = number(kv.get("create_revision"))
        place: _Directory | None = top
        for part in parents:
            place = place.directory(part, created) if place is not None else None
        # A key that ends with a slash says that there is a directory, and no more.
        if place is not None and name:
            place.entries[name] = {
                "key": full,
                "value": unb64(kv.get("value")),
                "createdIndex": created,
                "modifiedIndex": number(kv.get("mod_revision")),
            }
    return Node(top.to_json(key, depth=-1 if recursive else 1))
