"""Snapshots: the bytes of a real etcd 2.3.8, round trips, damage, depth."""

from __future__ import annotations

import json
import re

import pytest

from coreos_py.base.gotime import parse_ns
from coreos_py.store.snapshot import CHUNK_CHARS, BadSnapshot
from coreos_py.store.store import Store
from tests.unit.store.v2 import DATA, NOW_NS, T, read_transcript, request, times_of

UTC = (DATA / "etcd-2.3.8-utc.snapshot.json").read_bytes()
NEWFOUNDLAND = (DATA / "etcd-2.3.8-newfoundland.snapshot.json").read_bytes()
"""Two documents that a real server wrote after the requests of etcd-2.3.8-utc.jsonl; the second
under a local time of UTC-2:30."""

STATS = re.compile(rb'"Stats":\{[^}]*\}')


def test_a_real_document_survives_unchanged():
    store = Store()
    store.recover(UTC)
    assert store.index == 24
    assert store.save() == UTC


def test_replaying_the_requests_gives_the_real_document():
    """Everything but the counters, which also count the server's own reads."""
    events = json.loads(UTC)["WatcherHub"]["EventHistory"]["Queue"]["Events"]
    store = Store()
    for event in events[:3]:
        node = event["node"]
        write = store.create if event["action"] == "create" else store.set
        write(node["key"], value=node["value"], **T)
    for method, key, form, status, body in read_transcript("etcd-2.3.8-utc.jsonl"):
        if method == "SYNC":
            assert len(store.delete_expired(parse_ns("2026-12-31T00:00:00Z"))) == 1
            continue
        expire_ns, now_ns = times_of(form, body)
        got = request(store, method, key, form, expire_ns=expire_ns, now_ns=now_ns or NOW_NS)
        assert got == (status, body)
    # The real server's clock was past the expiry by less than a second, ours by days.
    ours = re.sub(rb',"ttl":-\d+', b"", store.save())
    assert STATS.sub(b"", ours) == STATS.sub(b"", UTC)


def test_local_times_are_read_as_the_same_moments():
    store = Store()
    store.recover(NEWFOUNDLAND)
    times = re.findall(rb'"ExpireTime":"(2[^"]*)"', NEWFOUNDLAND)
    assert len(times) == 2
    assert all(time.endswith(b"-02:30") for time in times)
    again = re.findall(rb'"ExpireTime":"(2[^"]*)"', store.save())
    assert all(time.endswith(b"Z") for time in again)
    assert [parse_ns(t.decode()) for t in again] == [parse_ns(t.decode()) for t in times]


def test_a_full_ring_keeps_etcd_s_positions():
    store = Store()
    for number in range(1234):
        store.set(f"/1/k{number % 5}", value=str(number), **T)
    queue = json.loads(store.save())["WatcherHub"]["EventHistory"]["Queue"]
    assert (queue["Size"], queue["Front"], queue["Back"], queue["Capacity"]) == (
        1000,
        234,
        234,
        1000,
    )
    assert len(queue["Events"]) == 1000
    assert queue["Events"][234]["node"]["modifiedIndex"] == 235
    assert queue["Events"][233]["node"]["modifiedIndex"] == 1234
    other = Store()
    other.recover(store.save())
    for each in (store, other):
        each.set("/1/next", value="v", **T)
    assert other.save() == store.save()


def test_an_empty_store_has_a_thousand_empty_slots():
    document = json.loads(Store().save())
    history = document["WatcherHub"]["EventHistory"]
    assert history["Queue"]["Events"] == [None] * 1000
    assert (history["StartIndex"], history["LastIndex"], document["CurrentIndex"]) == (0, 0, 0)
    assert document["CurrentVersion"] == 2
    assert list(document) == ["Root", "WatcherHub", "CurrentIndex", "Stats", "CurrentVersion"]
    assert document["Root"]["Children"]["1"]["Children"] == {}


def test_what_comes_back_after_a_recovery():
    store = Store()
    store.set("/1/t", value="v", expire_ns=NOW_NS + 10, **T)
    store.set("/1/d", is_dir=True, expire_ns=NOW_NS + 20, **T)
    store.set("/1/r", value="v", **T)
    store.set("/1/r", refresh=True, expire_ns=NOW_NS + 30, **T)
    store.get("/1/t", **T)
    other = Store()
    other.set("/1/stale", value="v", **T)
    other.recover(store.save())
    assert other.save() == store.save()
    assert other.json_stats() == store.json_stats()
    assert other.watch("/1/r", since_index=4).take() == []
    (event,) = other.watch("/1/t", since_index=1).take()
    assert event.to_line() == store.watch("/1/t", since_index=1).take()[0].to_line()
    assert [e.node.key for e in other.delete_expired(NOW_NS + 99)] == ["/1/t", "/1/d", "/1/r"]


def test_invalid_bytes_become_replacement_characters_for_good():
    store = Store()
    store.set("/1/k", value="a\udcff\udcfeb", **T)
    assert rb'"Value":"a\ufffd\ufffdb"' in store.save()
    store.recover(store.save())
    assert store.get("/1/k", **T).node.value == "a\ufffd\ufffdb"


def test_chunks_show_the_moment_of_the_call():
    store = Store()
    for number in range(2000):
        store.set(f"/1/d/k{number:04}", value="v" * 100, **T)
    store.set("/1/e", is_dir=True, **T)
    before = store.save()
    chunks = store.save_chunks()
    store.delete("/1/d", recursive=True, **T)
    store.update("/1/e", expire_ns=NOW_NS, **T)
    store.set("/1/e/new", value="v", **T)
    pieces = list(chunks)
    assert b"".join(pieces) == before
    assert len(pieces) > 3
    assert max(map(len, pieces)) < 20 * CHUNK_CHARS


@pytest.mark.parametrize("depth", [900, 3000])
def test_depth_does_not_matter(depth):
    """Deeper than any recursion limit: listing, saving, reading back, removing."""
    store = Store()
    path = "/1" + "/a" * depth
    store.set(path, value="deep", **T)
    watcher = store.watch(path)
    assert store.get("/1", recursive=True, sort=True, **T).to_json().count(b'"nodes":') == depth
    other = Store()
    other.recover(store.save())
    assert other.save() == store.save()
    assert other.get(path, **T).node.value == "deep"
    store.delete("/1/a", recursive=True, **T)
    assert [event.action for event in watcher.take()] == ["delete"]


def test_children_named_like_the_fields():
    store = Store()
    for name in ("Path", "Children", "Value", "ExpireTime", "CreatedIndex", "Events", "node"):
        store.set(f"/1/d/{name}", value=name, **T)
        store.set(f"/1/{name}/Path", value=name, **T)
    other = Store()
    other.recover(store.save())
    assert other.save() == store.save()


def test_an_older_document_may_lack_what_does_not_matter():
    store = Store()
    store.recover(
        b'{"Root":{"Path":"/","CreatedIndex":0,"ModifiedIndex":0,"Children":{}},'
        b'"CurrentIndex":7,"Stats":{}}'
    )
    assert store.index == 7
    assert store.get("/1", **T).node.is_dir
    assert store.set("/1/a", value="v", **T).etcd_index == 8


def test_gaps_in_an_old_history_are_stepped_over():
    document = json.loads(UTC)
    history = document["WatcherHub"]["EventHistory"]
    events = history["Queue"]["Events"]
    history["Queue"]["Events"] = [*events[:3], *events[9:24], *[None] * 982]
    history["Queue"].update(Size=18, Back=18)
    store = Store()
    store.recover(json.dumps(document).encode())
    (event,) = store.watch("/1", recursive=True, since_index=11).take()
    assert event.etcd_index == 11
    (event,) = store.watch("/1", recursive=True, since_index=5).take()
    assert event.etcd_index == 11  # 10 is a refresh


def damaged(path, value):
    document = json.loads(UTC)
    *steps, last = path.split(".")
    target = document
    for step in steps:
        target = target[int(step)] if isinstance(target, list) else target[step]
    target[int(last) if isinstance(target, list) else last] = value
    return json.dumps(document).encode()


QUEUE = "WatcherHub.EventHistory.Queue"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{",
        b'"x"',
        b"{}",
        b"\xff\xfe",
        UTC[:-1],
        UTC[: len(UTC) // 2],
        damaged("Root", None),
        damaged("Root.Path", "/x"),
        damaged("Root.Children", None),
        damaged("Root.Children.1.Path", "/0"),
        damaged("Root.Children.1", "text"),
        damaged("Root.Children.1.CreatedIndex", "1"),
        damaged("Root.Children.1.CreatedIndex", -1),
        damaged("Root.Children.1.Children.foo.ExpireTime", "yesterday"),
        damaged("Root.Children.1.Children.foo.ExpireTime", 5),
        damaged("Root.Children.1.Children.foo.Value", 5),
        damaged("Root.Children.1.Children.foo.Children", []),
        damaged("CurrentIndex", -1),
        damaged("CurrentIndex", 1 << 64),
        damaged("CurrentIndex", "24"),
        damaged("WatcherHub.EventHistory.Queue", None),
        damaged(QUEUE + ".Events", {}),
        damaged(QUEUE + ".Size", 1001),
        damaged(QUEUE + ".Size", -1),
        damaged(QUEUE + ".Size", 25),
        damaged(QUEUE + ".Front", "0"),
        damaged(QUEUE + ".Capacity", 10),
        damaged(QUEUE + ".Events.3", None),
        damaged(QUEUE + ".Events.3", 5),
        damaged(QUEUE + ".Events.3.node", None),
        damaged(QUEUE + ".Events.3.node.key", 5),
        damaged(QUEUE + ".Events.3.node.modifiedIndex", 2),
        damaged(QUEUE + ".Events.3.node.ttl", "5"),
        damaged(QUEUE + ".Events.3.node.expiration", "5"),
        damaged(QUEUE + ".Events.3.node.expiration", 5),
        damaged(QUEUE + ".Events.3.action", 'x"'),
        damaged(QUEUE + ".Events.3.action", None),
    ],
)
def test_damage_is_refused_and_changes_nothing(document):
    store = Store()
    store.set("/1/a", value="v", expire_ns=NOW_NS + 1, **T)
    before = store.save()
    with pytest.raises(BadSnapshot, match=r"^store snapshot: "):
        store.recover(document)
    assert store.save() == before
    assert len(store.delete_expired(NOW_NS + 1)) == 1
