"""What expires, in which order, at which index."""

from __future__ import annotations

import pytest

from coreos_py.store.store import Store
from coreos_py.store.ttl import SLACK, ExpiryQueue
from tests.unit.store.v2 import NOW_NS, T


def expired(store, cutoff_ns):
    return [f"{e.node.key}@{e.etcd_index}" for e in store.delete_expired(cutoff_ns)]


def test_oldest_first_with_one_index_each_and_the_cutoff_included():
    store = Store()
    for key, after in (("c", 3), ("a", 1), ("b", 2), ("d", 4)):
        store.set(f"/1/{key}", value="v", expire_ns=NOW_NS + after, **T)
    store.set("/1/keep", value="v", **T)
    assert expired(store, NOW_NS) == []
    assert expired(store, NOW_NS + 3) == ["/1/a@6", "/1/b@7", "/1/c@8"]
    assert expired(store, NOW_NS + 3) == []
    assert expired(store, NOW_NS + 99) == ["/1/d@9"]
    assert store.stats.expire_count == 4
    assert store.index == 9


def test_a_directory_takes_its_children_along_in_one_event():
    store = Store()
    store.set("/1/d", is_dir=True, expire_ns=NOW_NS + 5, **T)
    store.set("/1/d/early", value="v", expire_ns=NOW_NS + 1, **T)
    store.set("/1/d/late", value="v", expire_ns=NOW_NS + 9, **T)
    store.set("/1/d/sub/deep", value="v", **T)
    assert expired(store, NOW_NS + 9) == ["/1/d/early@5", "/1/d@6"]
    assert store.get("/1", **T).node.nodes == []


def test_equal_times_go_in_key_order_whatever_the_order_of_writing():
    for keys in ("abc", "cba", "bca"):
        store = Store()
        for key in keys:
            store.set(f"/1/{key}", value="v", expire_ns=NOW_NS, **T)
        assert expired(store, NOW_NS) == ["/1/a@4", "/1/b@5", "/1/c@6"]


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.set("/1/k", value="v", **T),
        lambda s: s.set("/1/k", value="v", expire_ns=NOW_NS + 50, **T),
        lambda s: s.set("/1/k", refresh=True, expire_ns=NOW_NS + 50, **T),
        lambda s: s.update("/1/k", value="v", **T),
        lambda s: s.update("/1/k", refresh=True, expire_ns=NOW_NS + 50, **T),
        lambda s: s.compare_and_swap("/1/k", prev_index=1, value="v", **T),
        lambda s: s.set("/1/k", is_dir=True, **T),
        lambda s: s.delete("/1/k", **T),
        lambda s: s.compare_and_delete("/1/k", prev_index=1, **T),
    ],
)
def test_a_later_write_voids_the_old_time(change):
    store = Store()
    store.set("/1/k", value="v", expire_ns=NOW_NS + 1, **T)
    change(store)
    assert expired(store, NOW_NS + 1) == []


def test_a_directory_may_lose_its_time_again():
    store = Store()
    store.set("/1/d", is_dir=True, expire_ns=NOW_NS + 1, **T)
    store.update("/1/d", **T)
    assert expired(store, NOW_NS + 1) == []
    store.update("/1/d", expire_ns=NOW_NS + 2, **T)
    assert expired(store, NOW_NS + 2) == ["/1/d@4"]


def test_endless_refreshing_does_not_grow_the_queue():
    store = Store()
    store.set("/1/k", value="v", **T)
    for number in range(20 * SLACK):
        store.update("/1/k", refresh=True, expire_ns=NOW_NS + 10**12 + number, **T)
    assert len(store._expiries) <= 2 * SLACK
    assert expired(store, NOW_NS + 10**12 + 20 * SLACK) == [f"/1/k@{20 * SLACK + 2}"]


def test_sweeping_keeps_every_live_entry():
    queue = ExpiryQueue()
    live = {(time_ns, f"/1/{time_ns}") for time_ns in range(3 * SLACK)}
    for entry in sorted(live, reverse=True):
        queue.push(*entry, lambda *entry: entry in live)
    got = iter(lambda: queue.pop_due(10**9), None)
    assert list(got) == sorted(live)
