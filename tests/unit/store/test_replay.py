"""A replayed stream shows what a live one has shown: random lives of a store, seen both ways."""

from __future__ import annotations

import random

import pytest

from coreos_py.base.errors import StoreError
from coreos_py.store.store import Store

KEYS = ["/1", "/1/a", "/1/a/b", "/1/a/b/c", "/1/a/_h", "/1/a/_h/x", "/1/ab", "/1/_z", "/1/d/e"]


def step(store: Store, rng: random.Random, now_ns: int) -> None:
    key = rng.choice(KEYS[1:])
    try:
        match rng.randrange(6):
            case 0 | 1:
                store.set(key, value=str(now_ns), now_ns=now_ns)
            case 2:
                store.set(key, is_dir=True, now_ns=now_ns)
            case 3:
                store.delete(key, is_dir=True, recursive=True, now_ns=now_ns)
            case 4:
                store.create(key, unique=True, value="q", now_ns=now_ns)
            case 5:
                store.update(key, value="u", refresh=rng.random() < 0.3, now_ns=now_ns)
    except StoreError:
        return  # refused: no index, no event


def lines(events):
    return [(event.etcd_index, event.action, event.node.key) for event in events]


@pytest.mark.parametrize("number", range(60))
def test_replay_equals_live(seed, number):
    rng = random.Random(f"{seed}/{number}")
    store = Store()
    path, recursive = rng.choice(KEYS), rng.random() < 0.7
    for now in range(rng.randrange(20)):
        step(store, rng, now)
    begin = store.index + 1
    live: list = []
    store.watch(path, recursive=recursive, stream=True).on_event(live.append)
    present = True
    for now in range(100, 100 + rng.randrange(1, 60)):
        present = present and (path == "/1" or _exists(store, path))
        step(store, rng, now)
    middle = store.index
    events, watcher = store.replay(path, recursive=recursive, since_index=begin)
    later: list = []
    watcher.on_event(later.append)
    for now in range(200, 200 + rng.randrange(20)):
        step(store, rng, now)
    replayed = lines(events)
    seen = lines(event for event in live if event.etcd_index <= middle)
    # Live, the removal of a directory above is only heard of by watches of keys that were there.
    above = [line for line in replayed if line not in seen]
    assert [line for line in replayed if line in seen] == list(dict.fromkeys(seen))
    assert all(a == "delete" and path.startswith(f"{key}/") for _index, a, key in above)
    assert lines(later) == lines(event for event in live if event.etcd_index > middle)


def _exists(store: Store, path: str) -> bool:
    return any(node.key == path for node in store.all_nodes())


def test_an_index_to_come_starts_there():
    store = Store()
    store.set("/1/a", value="1", now_ns=0)
    events, watcher = store.replay("/1/a", since_index=3)
    seen: list = []
    watcher.on_event(seen.append)
    store.set("/1/a", value="2", now_ns=0)
    store.set("/1/a", value="3", now_ns=0)
    assert events == []
    assert lines(seen) == [(3, "set", "/1/a")]


def test_what_is_gone_is_refused():
    store = Store(history_capacity=2)
    for value in "123":
        store.set("/1/a", value=value, now_ns=0)
    assert store.oldest_index == 2
    with pytest.raises(StoreError, match=r"\[2/1\]"):
        store.replay("/1/a", since_index=1)
    assert store.watcher_count == 0
