"""Drives a Store the way etcd's HTTP layer does, for transcripts recorded from a real server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from coreos_py.base.errors import StoreError
from coreos_py.base.gojson import quote
from coreos_py.base.gotime import SECOND_NS, parse_ns
from coreos_py.store.store import Store

DATA = Path(__file__).parents[2] / "data" / "store"
NOW_NS = 1_784_948_000_000_000_000  # 2026-07-25, for tests to which any time is good
T: dict[str, Any] = {"now_ns": NOW_NS}


def read_transcript(name):
    """Rows of (method, key, form, status, body)."""
    with (DATA / name).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def fresh_member():
    """A store after the three writes that a new one-member cluster makes by itself."""
    store = Store()
    store.create("/0/members/1/raftAttributes", value="{}", now_ns=NOW_NS)
    store.set("/0/members/1/attributes", value="{}", now_ns=NOW_NS)
    store.set("/0/version", value="2.3.0", now_ns=NOW_NS)
    return store


def times_of(form, body):
    """(expire_ns, now_ns) of a recorded write, worked out from the recorded reply."""
    node = re.search(r'"node":\{(.*?)\},"prevNode"|"node":\{(.*?)\}', body)
    found = re.search(r'"expiration":"([^"]*)"', node.group(1) or node.group(2)) if node else None
    if "ttl" not in form or found is None:
        return 0, None
    expire_ns = parse_ns(found.group(1))
    return expire_ns, expire_ns - int(form["ttl"]) * SECOND_NS


def request(store, method, key, form, *, expire_ns=0, now_ns=NOW_NS):
    """(status, body) of one keys request with valid parameters."""
    path = "/1" if key == "/" else f"/1{key}"
    try:
        event = _event(store, method, path, form, expire_ns, now_ns)
    except StoreError as error:
        cause = error.cause.removeprefix("/1")
        cause = f'"cause":{quote(cause)},' if cause else ""
        body = f'"errorCode":{error.code},"message":"{error.text}",{cause}"index":{error.index}'
        return error.status, f"{{{body}}}\n"
    return 201 if event.is_created else 200, event.to_line("/1").decode()


def _event(store, method, path, form, expire_ns, now_ns):
    value, is_dir = form.get("value", ""), form.get("dir") == "true"
    recursive = form.get("recursive") == "true"
    compared = {}
    if "prevValue" in form:
        compared["prev_value"] = form["prevValue"]
    if int(form.get("prevIndex", 0)):
        compared["prev_index"] = int(form["prevIndex"])
    if method == "GET":
        return store.get(
            path, recursive=recursive, sort=form.get("sorted") == "true", now_ns=now_ns
        )
    if method == "DELETE":
        if compared:
            return store.compare_and_delete(path, **compared, now_ns=now_ns)
        return store.delete(path, is_dir=is_dir, recursive=recursive, now_ns=now_ns)
    timed = {"expire_ns": expire_ns, "now_ns": now_ns}
    if method == "POST" or form.get("prevExist") == "false":
        return store.create(path, value=value, is_dir=is_dir, unique=method == "POST", **timed)
    timed["refresh"] = form.get("refresh") == "true"
    if compared:
        return store.compare_and_swap(path, **compared, value=value, **timed)
    if form.get("prevExist") == "true":
        return store.update(path, value=value, **timed)
    return store.set(path, value=value, is_dir=is_dir, **timed)
