"""Random sessions: the store and the naive model must answer alike, step by step."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from coreos_py.base.errors import StoreError
from coreos_py.base.gotime import SECOND_NS, format_ns
from coreos_py.store.event import Event
from coreos_py.store.store import Store
from tests.unit.store.model import Model, Refused
from tests.unit.store.v2 import NOW_NS

NAMES = ("/a", "/b", "/a/b", "/a/c", "/a/b/c", "/a/_h", "/a/_h/x", "/_h", "/ab", "/a b/é<")
PATHS = st.sampled_from(["/1" + name for name in NAMES] + ["/1", "/", "/0/m", "/2/auth/x"])
VALUES = st.sampled_from(["", "x", "y", "\udcff<\u2028"])
TTLS = st.sampled_from([None, None, None, 0, 1, 2, 5, -2 * 10**9])
CAPACITY = 12


def verdict(call: Any) -> Any:
    """What the call returns, or (code, cause, index) of its refusal."""
    try:
        return call()
    except StoreError as error:
        return error.code, error.cause, error.index
    except Refused as refused:
        return refused.args


class Session(RuleBasedStateMachine):
    """Writes, reads, time, watches and recoveries in any order."""

    def __init__(self):
        super().__init__()
        self.store = Store(history_capacity=CAPACITY)
        self.model = Model(CAPACITY)
        self.now_ns = NOW_NS
        self.watching: list[tuple[Any, Any, list[int]]] = []

    def expiry(self, ttl_s):
        return 0 if ttl_s is None else self.now_ns + ttl_s * SECOND_NS

    def both(self, ours, naive):
        """Run both; they must refuse alike or tell the same event."""
        expected, got = verdict(naive), verdict(ours)
        if isinstance(got, Event) and isinstance(expected, dict):
            self.same_event(got, expected)
        else:
            assert got == expected

    def same_event(self, event, expected):
        assert event.etcd_index == expected["index"]
        assert event.refresh == expected["refresh"]
        members: dict[str, Any] = {"action": expected["action"]}
        members["node"] = self.extern(expected["key"], expected["node"])
        if expected["prev"] is not None:
            members["prevNode"] = self.extern(expected["key"], expected["prev"])
        assert json.loads(event.to_line("/1")) == members
        prev = expected["prev"]
        created = expected["action"] == "create" or (expected["action"] == "set" and prev is None)
        assert event.is_created == created

    def extern(self, key, node):
        members: dict[str, Any] = {}
        if key.removeprefix("/1"):
            members["key"] = key.removeprefix("/1")
        if node["dir"]:
            members["dir"] = True
        elif node["value"] is not None:
            members["value"] = node["value"].replace("\udcff", "\ufffd")
        if node["expire"]:
            members["expiration"] = format_ns(node["expire"])
            left = -((self.now_ns - node["expire"]) // SECOND_NS)
            if left:
                members["ttl"] = left
        if node["modified"]:
            members["modifiedIndex"] = node["modified"]
        if node["created"]:
            members["createdIndex"] = node["created"]
        return members

    @rule(path=PATHS, value=VALUES, is_dir=st.booleans(), ttl=TTLS, refresh=st.booleans())
    def set(self, path, value, is_dir, ttl, refresh):
        expire = self.expiry(ttl)
        self.both(
            lambda: self.store.set(
                path,
                value=value,
                is_dir=is_dir,
                expire_ns=expire,
                refresh=refresh,
                now_ns=self.now_ns,
            ),
            lambda: self.model.set(path, value, is_dir, expire, refresh),
        )

    @rule(path=PATHS, value=VALUES, ttl=TTLS)
    def set_plainly(self, path, value, ttl):
        self.set(path, value, False, ttl, False)

    @rule(path=PATHS, value=VALUES, is_dir=st.booleans(), ttl=TTLS, unique=st.booleans())
    def create(self, path, value, is_dir, ttl, unique):
        expire = self.expiry(ttl)
        self.both(
            lambda: self.store.create(
                path,
                value=value,
                is_dir=is_dir,
                unique=unique,
                expire_ns=expire,
                now_ns=self.now_ns,
            ),
            lambda: self.model.create(path, value, is_dir, expire, unique),
        )

    @rule(path=PATHS, value=VALUES, ttl=TTLS, refresh=st.booleans())
    def update(self, path, value, ttl, refresh):
        expire = self.expiry(ttl)
        self.both(
            lambda: self.store.update(
                path, value=value, expire_ns=expire, refresh=refresh, now_ns=self.now_ns
            ),
            lambda: self.model.update(path, value, expire, refresh),
        )

    @rule(path=PATHS, prev=VALUES, back=st.integers(-1, 4), value=VALUES, refresh=st.booleans())
    def compare_and_swap(self, path, prev, back, value, refresh):
        prev_index = max(0, self.model.index - back) if back >= 0 else 0
        self.both(
            lambda: self.store.compare_and_swap(
                path,
                prev_value=prev,
                prev_index=prev_index,
                value=value,
                refresh=refresh,
                now_ns=self.now_ns,
            ),
            lambda: self.model.compare_and_swap(path, prev, prev_index, value, 0, refresh),
        )

    @rule(path=PATHS, prev=VALUES, back=st.integers(-1, 4))
    def compare_and_delete(self, path, prev, back):
        prev_index = max(0, self.model.index - back) if back >= 0 else 0
        self.both(
            lambda: self.store.compare_and_delete(
                path, prev_value=prev, prev_index=prev_index, now_ns=self.now_ns
            ),
            lambda: self.model.compare_and_delete(path, prev, prev_index),
        )

    @rule(path=PATHS, is_dir=st.booleans(), recursive=st.booleans())
    def delete(self, path, is_dir, recursive):
        self.both(
            lambda: self.store.delete(path, is_dir=is_dir, recursive=recursive, now_ns=self.now_ns),
            lambda: self.model.delete(path, is_dir, recursive),
        )

    @rule(seconds=st.integers(0, 3))
    def pass_time(self, seconds):
        self.now_ns += seconds * SECOND_NS
        events = self.store.delete_expired(self.now_ns)
        expected = self.model.expire(self.now_ns)
        assert len(events) == len(expected)
        for event, naive in zip(events, expected, strict=True):
            self.same_event(event, naive)

    @precondition(lambda self: len(self.watching) < 8)
    @rule(
        path=PATHS,
        recursive=st.booleans(),
        stream=st.booleans(),
        back=st.sampled_from([None, -2, 0, 1, 3, 8, 20]),
        direct=st.booleans(),
    )
    def watch(self, path, recursive, stream, back, direct):
        since = 0 if back is None else max(1, self.model.index - back)
        heard: list[int] = []
        naive = verdict(lambda: self.model.watch(path, recursive, stream, since))
        watcher = verdict(
            lambda: self.store.watch(
                path,
                recursive=recursive,
                stream=stream,
                since_index=since,
                notify=(lambda event: heard.append(event.etcd_index)) if direct else None,
            )
        )
        if not isinstance(naive, dict):
            assert watcher == naive
            return
        assert watcher.start_index == self.model.index
        self.watching.append((watcher, naive, heard))

    @precondition(lambda self: self.watching)
    @rule(data=st.data())
    def unwatch(self, data):
        number = data.draw(st.integers(0, len(self.watching) - 1))
        watcher, naive, _ = self.watching.pop(number)
        watcher.remove()
        self.model.watchers = [each for each in self.model.watchers if each is not naive]

    @rule()
    def recover(self):
        document = self.store.save()
        self.store.recover(document)
        assert self.store.save() == document.replace(rb"\ufffd", "\ufffd".encode())
        for node in self.model.nodes.values():
            node["value"] = node["value"].replace("\udcff", "\ufffd")

    @invariant()
    def watchers_heard_the_same(self):
        for watcher, naive, heard in self.watching:
            heard.extend(event.etcd_index for event in watcher.take())
            assert heard == naive["heard"], naive
        assert self.store.watcher_count == len(self.model.watchers)

    @invariant()
    def trees_are_the_same(self):
        assert self.store.index == self.model.index
        for path in ("/", "/1/a/_h", "/1/_h", "/1/a"):
            assert verdict(lambda path=path: self.read(path)) == verdict(
                lambda path=path: self.listing(path)
            )

    def read(self, path):
        event = self.store.get(path, recursive=True, sort=True, now_ns=self.now_ns)
        return json.loads(event.to_line(""))["node"]

    def listing(self, path):
        node = self.model.get(path)
        members = self.extern(path, node)
        members["key"] = path
        base = path.rstrip("/") + "/"
        children = sorted(key for key in self.model.below(path) if "/" not in key[len(base) :])
        shown = [self.listing(key) for key in children if not key.startswith(base + "_")]
        if shown:
            members["nodes"] = shown
        return members


TestSession = Session.TestCase
TestSession.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
