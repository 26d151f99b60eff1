"""The counters of /v2/stats/store, including the refusals that etcd 2.3.8 books as successes.

The expectations were read off a real server after the same requests.
"""

from __future__ import annotations

import json

import pytest

from coreos_py.base.errors import StoreError
from coreos_py.store.stats import FIELDS
from coreos_py.store.store import Store
from tests.unit.store.v2 import NOW_NS

CASES = [
    ("get", "/1/f", {}, "getsSuccess"),
    ("get", "/1/d", {}, "getsSuccess"),
    ("get", "/1/no", {}, "getsFail"),
    ("set", "/1/f", {}, "setsSuccess"),
    ("set", "/1/new", {}, "setsSuccess"),
    ("set", "/1/d", {}, "setsFail"),
    ("set", "/1", {}, "setsFail"),
    ("set", "/1/f/x", {}, "setsFail"),
    ("set", "/1/no", {"refresh": True}, "setsFail"),
    ("create", "/1/new", {}, "createSuccess"),
    ("create", "/1/d", {"unique": True}, "createSuccess"),
    ("create", "/1/f", {}, "createFail"),
    ("create", "/1/f/x", {}, "createFail setsFail"),
    ("create", "/1", {}, "createFail"),
    ("update", "/1/f", {}, "updateSuccess"),
    ("update", "/1/no", {}, "updateFail"),
    ("update", "/1/d", {"value": "v"}, "updateSuccess"),
    ("update", "/1", {}, "updateSuccess"),
    ("compare_and_swap", "/1/f", {"prev_index": 1}, "compareAndSwapSuccess"),
    ("compare_and_swap", "/1/f", {"prev_index": 9}, "compareAndSwapFail"),
    ("compare_and_swap", "/1/d", {"prev_index": 1}, "compareAndSwapFail"),
    ("compare_and_swap", "/1/no", {"prev_index": 1}, "compareAndSwapFail"),
    ("compare_and_swap", "/1", {"prev_index": 1}, "compareAndSwapSuccess"),
    ("compare_and_delete", "/1/f", {"prev_index": 1}, "compareAndDeleteSuccess"),
    ("compare_and_delete", "/1/f", {"prev_index": 9}, "compareAndDeleteSuccess"),
    ("compare_and_delete", "/1/d", {"prev_index": 1}, "compareAndDeleteSuccess"),
    ("compare_and_delete", "/1/no", {"prev_index": 1}, "compareAndDeleteFail"),
    ("delete", "/1/f", {}, "deleteSuccess"),
    ("delete", "/1/d", {}, "deleteFail"),
    ("delete", "/1/no", {}, "deleteFail"),
    ("delete", "/1", {}, "deleteSuccess"),
]


@pytest.mark.parametrize(("operation", "path", "arguments", "counted"), CASES)
def test_each_outcome_is_counted_where_etcd_counts_it(operation, path, arguments, counted):
    store = Store()
    store.set("/1/f", value="v", now_ns=NOW_NS)
    store.create("/1/d/kid", value="v", now_ns=NOW_NS)
    before = json.loads(store.json_stats())
    try:
        getattr(store, operation)(path, **arguments, now_ns=NOW_NS)
        failed = False
    except StoreError:
        failed = True
    after = json.loads(store.json_stats())
    assert [name for name in after if after[name] != before[name]] == sorted(
        counted.split(), key=list(after).index
    )
    assert sum(after.values()) - sum(before.values()) == len(counted.split())
    if counted.endswith("Fail"):
        assert failed


def test_the_wire_order():
    store = Store()
    store.watch("/1/a")
    names = list(json.loads(store.json_stats()))
    assert names == [name for name, _ in FIELDS] + ["watchers"]
    assert json.loads(store.json_stats())["watchers"] == 1
