"""Who hears of what, and when: live watchers, replay, streams, hidden keys, slow readers."""

from __future__ import annotations

import json

import pytest

from coreos_py.base.errors import StoreError
from coreos_py.store.event import Event
from coreos_py.store.store import Store
from coreos_py.store.watch import BUFFER_EVENTS, Watcher
from tests.unit.store.v2 import NOW_NS, T


def seen(watcher):
    """What waits at a watcher, as "action key@index"."""
    return [f"{e.action} {e.node.key}@{e.etcd_index}" for e in watcher.take()]


def with_keys(*keys):
    store = Store()
    for key in keys:
        store.set(key, value="old", **T)
    return store


# (keys before, watched, recursive, operation, arguments, heard by a stream)
LIVE = [
    ("/1/a", "/1/a", False, "set", {"value": "v"}, ["set /1/a@2"]),
    ("", "/1/a", False, "create", {"value": "v"}, ["create /1/a@1"]),
    ("", "/1/a", False, "set", {"is_dir": True}, ["set /1/a@1"]),
    ("/1/a", "/1/a", False, "update", {"value": "v"}, ["update /1/a@2"]),
    (
        "/1/a",
        "/1/a",
        False,
        "compare_and_swap",
        {"prev_index": 1},
        ["compareAndSwap /1/a@2"],
    ),
    # A stream on the removed key itself hears of the removal twice: etcd 2.3.8 does that.
    ("/1/a", "/1/a", False, "delete", {}, ["delete /1/a@2"] * 2),
    ("/1/a", "/1/a", True, "delete", {}, ["delete /1/a@2"] * 2),
    (
        "/1/a",
        "/1/a",
        False,
        "compare_and_delete",
        {"prev_index": 1},
        ["compareAndDelete /1/a@2"] * 2,
    ),
    ("/1/d/x/y", "/1/d", True, "delete", {"recursive": True}, ["delete /1/d@2"] * 2),
    ("/1/d/x/y", "/1/d", False, "delete", {"recursive": True}, ["delete /1/d@2"] * 2),
    ("/1/d/x/y", "/1/d/x", True, "delete", {"recursive": True}, ["delete /1/d@2"]),
    ("/1/d/x/y", "/1/d/x", False, "delete", {"recursive": True}, ["delete /1/d@2"]),
    ("/1/d/x/y", "/1/d/x/y", False, "delete", {"recursive": True}, ["delete /1/d@2"]),
    ("/1/d/x/y", "/1", True, "delete", {"recursive": True}, ["delete /1/d@2"]),
    ("/1/d/x/y", "/", True, "delete", {"recursive": True}, ["delete /1/d@2"]),
    ("/1/d/x/y", "/1", False, "delete", {"recursive": True}, []),
    ("/1/d/x/y", "/1/d/missing", True, "delete", {"recursive": True}, []),
    # Children are heard of by recursive watchers only.
    ("/1/d/x", "/1/d", False, "set:/1/d/x", {"value": "v"}, []),
    ("/1/d/x", "/1/d", True, "set:/1/d/x", {"value": "v"}, ["set /1/d/x@2"]),
    ("/1/d/x", "/", True, "set:/1/d/x", {"value": "v"}, ["set /1/d/x@2"]),
    ("/1/d/x", "/1/d", True, "set:/1/dd", {"value": "v"}, []),
    # Hidden keys: kept from those above, not from those at or inside the hidden part.
    ("", "/1/h", True, "set:/1/h/_s/k", {"value": "v"}, []),
    ("", "/1/h", True, "set:/1/h/k/_s", {"value": "v"}, []),
    ("", "/", True, "set:/1/_s", {"value": "v"}, []),
    ("", "/1/h/_s", True, "set:/1/h/_s/k", {"value": "v"}, ["set /1/h/_s/k@1"]),
    ("", "/1/h/_s", False, "set:/1/h/_s", {"value": "v"}, ["set /1/h/_s@1"]),
    ("", "/1/h/_s", True, "set:/1/h/_s/_t", {"value": "v"}, []),
    ("/1/h/_s/k", "/1/h/_s/k", False, "delete:/1/h", {"recursive": True}, ["delete /1/h@2"]),
    ("", "/1/h", True, "set:/1/h/a_b", {"value": "v"}, ["set /1/h/a_b@1"]),
]


@pytest.mark.parametrize(("keys", "path", "recursive", "operation", "arguments", "heard"), LIVE)
def test_a_stream_hears(keys, path, recursive, operation, arguments, heard):
    store = with_keys(*keys.split())
    name, _, target = operation.partition(":")
    target = target or ("/1/d" if keys.startswith("/1/d/") else "/1/a")
    once = store.watch(path, recursive=recursive)
    stream = store.watch(path, recursive=recursive, stream=True)
    getattr(store, name)(target, **arguments, **T)
    assert seen(stream) == heard
    assert seen(once) == heard[:1]
    assert store.watcher_count == 1 + (not heard)
    stream.remove()
    once.remove()
    assert store.watcher_count == 0


def test_expiry_is_told_like_a_removal():
    store = Store()
    store.set("/1/d/k", value="v", **T)
    store.update("/1/d", expire_ns=NOW_NS, **T)
    at, below, above = (
        store.watch(path, recursive=True, stream=True) for path in ("/1/d", "/1/d/k", "/1")
    )
    (event,) = store.delete_expired(NOW_NS)
    assert event.to_json().decode() == (
        '{"action":"expire","node":{"key":"/d","modifiedIndex":3,"createdIndex":1},"prevNode":'
        '{"key":"/d","dir":true,"expiration":"2026-07-25T02:53:20Z","modifiedIndex":1,'
        '"createdIndex":1}}'
    )
    assert seen(at) == ["expire /1/d@3"] * 2
    assert seen(below) == seen(above) == ["expire /1/d@3"]


def test_a_refresh_is_told_to_nobody_but_takes_an_index():
    store = with_keys("/1/a")
    watcher = store.watch("/1/a", stream=True)
    for operation in (store.set, store.update, store.compare_and_swap):
        operation("/1/a", refresh=True, expire_ns=NOW_NS, **T)
    assert seen(watcher) == []
    assert seen(store.watch("/1/a", since_index=2)) == []
    store.set("/1/a", value="v", **T)
    assert seen(watcher) == ["set /1/a@5"]
    assert seen(store.watch("/1/a", since_index=2)) == ["set /1/a@5"]


def test_a_failed_operation_is_told_to_nobody():
    store = with_keys("/1/a")
    watcher = store.watch("/", recursive=True, stream=True)
    for refused in (
        lambda: store.create("/1/a", **T),
        lambda: store.compare_and_swap("/1/a", prev_value="x", **T),
        lambda: store.delete("/1/nope", **T),
        lambda: store.set("/1/a/b", **T),
    ):
        with pytest.raises(StoreError):
            refused()
    assert (seen(watcher), store.index) == ([], 1)


# (since_index, recursive, watched path, heard) after the writes of the test below
REPLAY = [
    (1, False, "/1/a", ["set /1/a@1"]),
    (2, False, "/1/a", ["set /1/a@5"]),
    (5, False, "/1/a", ["set /1/a@5"]),
    (6, False, "/1/a", []),
    (1, False, "/1/d", ["delete /1/d@4"]),
    (1, True, "/1/d", ["set /1/d/x@2"]),
    (3, True, "/1/d", ["delete /1/d@4"]),
    (1, True, "/1/h", ["set /1/h/_s@3"]),  # replay shows hidden keys
    (1, False, "/1/d/x/deeper", ["delete /1/d@4"]),
    (1, False, "/1/double", ["delete /1/d@4"]),  # text prefix, not path prefix
    (1, True, "/", ["set /1/a@1"]),
    (4, True, "/1/a", ["set /1/a@5"]),  # the watched key itself, not the first event scanned
    (99, False, "/1/a", []),
]


@pytest.mark.parametrize(("since", "recursive", "path", "heard"), REPLAY)
@pytest.mark.parametrize("stream", [False, True])
def test_replay(since, recursive, path, heard, stream):
    store = with_keys("/1/a", "/1/d/x", "/1/h/_s")
    store.delete("/1/d", recursive=True, **T)
    store.set("/1/a", value="new", **T)
    watcher = store.watch(path, recursive=recursive, stream=stream, since_index=since)
    assert seen(watcher) == heard
    assert watcher.start_index == 5
    assert store.watcher_count == (not heard)
    target = f"{path}/later" if path in ("/", "/1/h") else path
    for _ in range(2):
        store.set(target, value="later", **T)
    # One old event and then nothing for ever, even on a stream: etcd 2.3.8 does that.
    expected = [] if heard else [f"set {path}@6", f"set {path}@7"][: 1 + stream]
    assert seen(watcher) == (expected if since != 99 else [])


def test_a_future_index_waits_for_that_index():
    store = Store()
    watcher = store.watch("/1/a", stream=True, since_index=3)
    for _ in range(4):
        store.set("/1/a", value="v", **T)
    assert seen(watcher) == ["set /1/a@3", "set /1/a@4"]


def test_an_index_that_left_the_history_is_refused():
    store = Store(history_capacity=10)
    for _ in range(25):
        store.set("/1/a", value="v", **T)
    for since in (1, 15):
        with pytest.raises(StoreError) as caught:
            store.watch("/1/a", since_index=since)
        assert (caught.value.code, caught.value.index, caught.value.status) == (401, 25, 400)
        assert caught.value.cause == f"the requested history has been cleared [16/{since}]"
    assert seen(store.watch("/1/a", since_index=16)) == ["set /1/a@16"]
    assert store.watcher_count == 0


def test_the_history_holds_exactly_1000_events_of_the_whole_store():
    store = Store()
    store.set("/1/first", value="v", **T)
    for number in range(999):
        store.set(f"/0/internal{number % 7}", value="v", **T)
    assert seen(store.watch("/1/first", since_index=1)) == ["set /1/first@1"]
    store.set("/2/auth", value="v", **T)
    with pytest.raises(StoreError, match=r"\[2/1\]"):
        store.watch("/1/first", since_index=1)


def test_a_reader_that_stops_gets_a_hundred_events_and_the_end():
    store = Store()
    stream = store.watch("/1/a", stream=True)
    for _ in range(BUFFER_EVENTS):
        store.set("/1/a", value="v", **T)
    assert (stream.closed, store.watcher_count) == (False, 1)
    store.set("/1/a", value="v", **T)
    assert (stream.closed, store.watcher_count) == (True, 0)
    store.set("/1/a", value="v", **T)
    got: list[Event] = []
    ended: list[int] = []
    stream.on_event(got.append, on_close=lambda: ended.append(len(got)))
    assert [event.etcd_index for event in got] == list(range(1, BUFFER_EVENTS + 1))
    assert ended == [BUFFER_EVENTS]


def test_pause_and_resume_keep_the_order():
    store = Store()
    got = []
    stream = store.watch("/1/a", stream=True, notify=lambda event: got.append(event.etcd_index))
    store.set("/1/a", value="v", **T)
    stream.pause()
    for _ in range(3):
        store.set("/1/a", value="v", **T)
    assert got == [1]
    stream.resume()
    store.set("/1/a", value="v", **T)
    assert got == [1, 2, 3, 4, 5]
    assert not stream.closed


def test_a_callback_may_pause_its_own_watcher():
    store = Store()
    got = []

    def one_then_pause(event):
        got.append(event.etcd_index)
        stream.pause()

    stream = store.watch("/1/a", stream=True)
    stream.on_event(one_then_pause)
    for _ in range(3):
        store.set("/1/a", value="v", **T)
    assert got == [1]
    stream.resume()
    assert got == [1, 2]
    stream.resume()
    assert got == [1, 2, 3]


def test_a_removed_watcher_hears_nothing_even_of_the_event_being_delivered():
    store = with_keys("/1/a")
    got = []
    watchers: list[Watcher] = []

    def remove_all(event):
        got.append(event.etcd_index)
        for watcher in watchers:
            watcher.remove()

    watchers.extend(store.watch("/1/a", notify=remove_all, stream=n > 2) for n in range(5))
    store.delete("/1/a", **T)
    assert (got, store.watcher_count) == ([2], 0)
    for watcher in watchers:
        watcher.remove()


def test_a_callback_sees_the_finished_store_and_may_use_it():
    store = with_keys("/1/d/x")
    log = []

    def rewatch(event):
        log.append((event.etcd_index, store.index))
        with pytest.raises(StoreError):
            store.get("/1/d", **T)
        again = store.watch("/1/d/x", since_index=event.etcd_index)
        log.append(seen(again))
        store.watch("/1/d/x", stream=True, notify=lambda e: log.append(e.action))
        store.set("/1/d/x", value="back", **T)

    store.watch("/1/d/x", notify=rewatch)
    store.delete("/1/d", recursive=True, **T)
    assert log == [(2, 2), ["delete /1/d@2"], "set"]
    assert store.watcher_count == 1


def test_a_thousand_watchers_share_one_line():
    store = with_keys("/1/a")
    lines = []
    for _ in range(1000):
        store.watch("/1/a", notify=lambda event: lines.append(event.to_line("/1")))
    store.set("/1/a", value="x" * 100_000, **T)
    assert (len(lines), store.watcher_count) == (1000, 0)
    assert all(line is lines[0] for line in lines)
    assert json.loads(lines[0])["node"]["value"] == "x" * 100_000


def test_watchers_outlive_a_recovery():
    store = with_keys("/1/a")
    document = store.save()
    watcher = store.watch("/1/a")
    store.recover(document)
    assert store.watcher_count == 1
    store.set("/1/a", value="v", **T)
    assert seen(watcher) == ["set /1/a@2"]
