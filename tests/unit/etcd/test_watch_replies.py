"""Progress of idle watches: when they hear of it, what, and when no longer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from coreos_py.base.errors import INVALID_FIELD, StoreError
from coreos_py.etcd import keys_request
from coreos_py.etcd.watch_replies import (
    CROWD_MIN,
    PROGRESS_TICK_S,
    Progress,
    ReplayReply,
    WatchReply,
)
from coreos_py.http.message import Request
from coreos_py.store.store import Store
from tests.unit.etcd.auth.world import Client

if TYPE_CHECKING:
    from collections.abc import Callable

NOW_NS = 1_700_000_000_000_000_000


class Clock:
    """Time that passes by itself while timers are waited for."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay_s, callback):
        self.timers.append((self.now_s + delay_s, callback))

    def run(self, seconds):
        until = self.now_s + seconds
        while self.timers and self.timers[0][0] <= until:
            self.now_s, callback = self.timers.pop(0)
            callback()
        self.now_s = until


class Far(Client):
    """The client of a watch; what it cannot take stays with the server."""

    backlog_bytes = 0

    def __init__(self, reply):
        self.wakers = []
        super().__init__(reply, Request("GET", b"/", {}, 1))
        self.stream_began = len(self.stream)

    def backlog(self):
        return self.backlog_bytes

    def on_drain(self, callback):
        if self.backlog_bytes:
            self.wakers.append(callback)
        else:
            callback()

    @property
    def lines(self):
        pieces = self.stream[self.stream_began :].split(b"\r\n")[1::2]
        return [json.loads(piece) for piece in pieces if piece]


class World:
    def __init__(self, *, history=1000):
        self.clock = Clock()
        self.store = Store(history_capacity=history)
        self.progress = Progress(
            self.store, call_later=self.clock.call_later, now=lambda: self.clock.now_s
        )

    def write(self, key, count=1):
        for _ in range(count):
            self.store.set(f"/1{key}", value="v", now_ns=NOW_NS)

    def watch(self, key="/q", *, stream=False, since=0, interval_s=30):
        watcher = self.store.watch(f"/1{key}", stream=stream, since_index=since, strict=True)
        reply = WatchReply(watcher, b"", stream=stream)
        self.progress.follow(reply, watcher, interval_s=interval_s)
        return Far(reply)


def told(key, index):
    node = {"key": key, "dir": True, "modifiedIndex": index, "createdIndex": index}
    return {"action": "progress", "node": node}


def test_a_poll_ends_with_where_to_go_on():
    w = World()
    client = w.watch(interval_s=30)
    w.write("/other", 7)
    w.clock.run(29.5)
    assert not client.ended
    w.clock.run(1)
    assert client.ended
    assert client.lines == [told("/q", 7)]
    assert w.store.watcher_count == 0
    w.clock.run(1)
    assert w.clock.timers == []


def test_a_stream_hears_again_and_again():
    w = World()
    client = w.watch(stream=True, interval_s=10)
    for _ in range(3):
        w.write("/other", 2)
        w.clock.run(10.5)
    w.write("/q")
    assert not client.ended
    assert client.lines[:3] == [told("/q", 2), told("/q", 4), told("/q", 6)]
    assert client.lines[3]["action"] == "set"
    client.leave()
    w.clock.run(11)
    assert w.clock.timers == []


def test_watches_that_end_by_themselves_do_not_pile_up():
    w = World()
    idle = [w.watch("/idle", interval_s=3600) for _ in range(10)]
    for _ in range(2000):
        client = w.watch(interval_s=3600)
        w.write("/q")
        assert client.ended
    assert len(w.progress._followed) <= 2 * CROWD_MIN
    w.clock.run(3601)
    assert all(client.ended for client in idle)


def test_a_busy_store_is_told_of_before_its_history_moves_on():
    w = World(history=100)
    client = w.watch(stream=True, interval_s=3600)
    for _ in range(40):
        w.write("/other", 20)
        w.clock.run(PROGRESS_TICK_S)
        last = client.lines[-1]["node"]["modifiedIndex"] if client.lines else 0
        assert w.store.index - last < 60  # whoever goes on from there misses nothing
        assert w.store.oldest_index <= last + 1
    assert len(client.lines) < 40


def test_an_event_comes_first():
    w = World()
    client = w.watch(interval_s=5)
    w.clock.run(4.9)
    w.write("/q")
    w.clock.run(60)
    assert [line["action"] for line in client.lines] == ["set"]


def test_one_that_waits_for_a_later_index_is_not_sent_back():
    w = World()
    w.write("/other", 3)
    client = w.watch(since=50, interval_s=5)
    w.clock.run(6)
    assert client.lines == [told("/q", 49)]


def test_watches_come_at_different_times():
    w = World()
    first = w.watch(interval_s=20)
    w.clock.run(15)
    second = w.watch(interval_s=3)
    w.clock.run(3.5)
    assert (first.ended, second.ended) == (False, True)
    w.clock.run(2)
    assert first.ended


def test_the_root_has_no_key():
    w = World()
    client = w.watch("", interval_s=5)
    w.clock.run(6)
    assert client.lines == [
        {"action": "progress", "node": {"dir": True, "modifiedIndex": 0, "createdIndex": 0}}
    ]


def test_a_replay_that_is_still_being_sent_comes_before_progress():
    w = World()
    w.write("/q", 3)
    events, watcher = w.store.replay("/1/q", since_index=1)
    for event in events:
        event.to_line()
    reply = ReplayReply(watcher, b"", events)
    w.progress.follow(reply, watcher, interval_s=5)
    far = Far.__new__(Far)
    far.backlog_bytes = 1 << 20
    far.__init__(reply)
    w.clock.run(6)
    assert all(line["action"] == "set" for line in far.lines)
    far.backlog_bytes = 0
    while far.wakers:
        far.wakers.pop(0)()
    w.clock.run(6)
    assert [line["action"] for line in far.lines] == ["set", "set", "set", "progress"]


def test_a_snapshot_from_the_leader_ends_who_must_miss_nothing():
    w = World()
    followed = w.watch(stream=True)
    plain = Far(WatchReply(w.store.watch("/1/q", stream=True), b"", stream=True))
    _, watcher = w.store.replay("/1/q", since_index=1)
    replayed = Far(ReplayReply(watcher, b"", []))
    leader = Store()
    leader.set("/1/q", value="missed", now_ns=NOW_NS)
    w.store.recover(leader.save())
    assert (followed.ended, plain.ended, replayed.ended) == (True, False, True)
    w.write("/q")
    assert (len(followed.lines), len(plain.lines)) == (0, 1)
    assert w.store.watcher_count == 1


@pytest.mark.parametrize(
    ("query", "want"),
    [
        (b"wait=true", (False, 0)),
        (b"wait=true&replay=true", (True, 0)),
        (b"replay=0&progress=5", (False, 5)),
        (b"progress=86400", (False, 86400)),
        (b"progress", None),
        (b"progress=", None),
        (b"progress=0", None),
        (b"progress=-1", None),
        (b"progress=1s", None),
        (b"progress=86401", None),
        (b"replay=yes", None),
    ],
)
def test_wishes(query, want):
    if want is not None:
        assert keys_request.watch_wishes(query) == want
        return
    with pytest.raises(StoreError) as caught:
        keys_request.watch_wishes(query)
    assert caught.value.code == INVALID_FIELD
