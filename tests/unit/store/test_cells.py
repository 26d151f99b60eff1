"""Every operation on every kind of target, against the replies of a real etcd 2.3.8.

etcd-2.3.8-cells.jsonl was recorded from one server: for each operation and each target (file,
directory, empty directory, hidden directory, missing, missing parent, below a file, file with a
TTL, the root) it prepares the target, runs the operation and reads the result back.
"""

from __future__ import annotations

import re

import pytest

from coreos_py.base.errors import StoreError
from coreos_py.store.store import Store
from tests.unit.store.v2 import NOW_NS, fresh_member, read_transcript, request, times_of


def test_every_cell_answers_what_etcd_answers():
    store = fresh_member()
    now_ns = NOW_NS
    for number, (method, key, form, status, body) in enumerate(
        read_transcript("etcd-2.3.8-cells.jsonl")
    ):
        expire_ns, moment_ns = times_of(form, body)
        now_ns = moment_ns or now_ns + 1
        if "ttl" in form and not expire_ns:
            expire_ns = now_ns + 1  # refused, so the time does not matter
        got = request(store, method, key, form, expire_ns=expire_ns, now_ns=now_ns)
        assert got == (status, body), f"row {number}: {method} {key} {form}"


def test_the_recording_covers_every_operation_and_target():
    rows = read_transcript("etcd-2.3.8-cells.jsonl")
    targets = {re.sub(r"^/c\d+", "", key) for _, key, *_ in rows}
    assert targets >= {"/file", "/dir", "/empty", "/_hid", "/no", "/no/such", "/file/sub", "/ttl"}
    assert "/" in targets
    codes = {int(m.group(1)) for r in rows if (m := re.match(r'\{"errorCode":(\d+)', r[4]))}
    assert codes == {100, 101, 102, 104, 105, 107, 108}
    actions = {m.group(1) for r in rows if (m := re.match(r'\{"action":"(\w+)"', r[4]))}
    expected = "get set create update delete compareAndSwap compareAndDelete"
    assert actions == set(expected.split())


ROOTS = ("/", "/0", "/1")


@pytest.mark.parametrize("path", ROOTS)
@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("set", {"value": "v"}),
        ("set", {"is_dir": True}),
        ("create", {"value": "v"}),
        ("create", {"is_dir": True}),
        ("update", {}),
        ("update", {"value": "v"}),
        ("update", {"expire_ns": NOW_NS}),
        ("compare_and_swap", {"prev_index": 1, "value": "v"}),
        ("delete", {}),
        ("delete", {"recursive": True}),
    ],
)
def test_roots_are_read_only(path, operation, arguments):
    store = fresh_member()
    before = store.save()
    with pytest.raises(StoreError) as caught:
        getattr(store, operation)(path, **arguments, now_ns=NOW_NS)
    assert (caught.value.code, caught.value.cause, caught.value.index) == (107, "/", 3)
    assert _without_stats(store.save()) == _without_stats(before)


@pytest.mark.parametrize("path", ROOTS)
def test_compare_and_delete_of_a_root_calls_it_a_directory(path):
    with pytest.raises(StoreError) as caught:
        Store().compare_and_delete(path, prev_index=1, now_ns=NOW_NS)
    assert (caught.value.code, caught.value.cause) == (102, path)


def test_a_namespace_named_by_nobody_is_an_ordinary_directory():
    store = Store(namespaces=("/1",))
    store.set("/0/x", value="v", now_ns=NOW_NS)
    assert store.delete("/0", recursive=True, now_ns=NOW_NS).node.key == "/0"


@pytest.mark.parametrize(
    ("unclean", "clean"),
    [
        ("/1//a", "/1/a"),
        ("/1/a/", "/1/a"),
        ("/1/./a", "/1/a"),
        ("/1/b/../a", "/1/a"),
        ("1/a", "/1/a"),
        ("/../../1/a", "/1/a"),
        ("/1/..a", "/1/..a"),
    ],
)
def test_paths_are_cleaned(unclean, clean):
    store = Store()
    assert store.set(unclean, value="1", now_ns=NOW_NS).node.key == clean
    assert store.get(unclean, now_ns=NOW_NS).node.key == clean
    assert store.set(unclean, value="2", now_ns=NOW_NS).prev_node is not None
    assert store.compare_and_swap(unclean, prev_value="2", now_ns=NOW_NS).node.key == clean
    watcher = store.watch(unclean)
    assert store.delete(unclean, now_ns=NOW_NS).node.key == clean
    assert [event.node.key for event in watcher.take()] == [clean]


def _without_stats(document):
    return re.sub(rb'"Stats":\{.*?\}', b"", document)
