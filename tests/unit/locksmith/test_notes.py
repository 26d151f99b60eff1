"""Since when a holder is known to hold the lock, whoever changed it in between."""

from __future__ import annotations

import pytest

from coreos_py.base.errors import KEY_NOT_FOUND, NODE_EXIST, TEST_FAILED, StoreError, Unavailable
from coreos_py.etcdclient.model import Node
from coreos_py.locksmith import notes
from coreos_py.locksmith.lock import Lock, unlock_if_held
from coreos_py.locksmith.semaphore import HolderMissing

KEY = "/coreos.com/updateengine/rebootlock/semaphore"
NOTES = "/coreos.com/updateengine/rebootlock/x-holders"
MINUTE = 60 * 10**9


class MemoryKeys:
    """An etcd as the lock sees it."""

    def __init__(self):
        self.index = 0
        self.nodes: dict[str, tuple[str, int]] = {}
        self.machines: list[str] | None = None
        self.is_read_only = False
        self.before_swap = []

    def read(self, key):
        if key not in self.nodes:
            raise StoreError(KEY_NOT_FOUND, key, self.index)
        value, index = self.nodes[key]
        return Node({"key": key, "value": value, "modifiedIndex": index})

    def read_tree(self, key):
        if self.machines is None:
            raise StoreError(KEY_NOT_FOUND, key, self.index)
        nodes = [
            {"key": f"{key}/{name}", "dir": True, "nodes": [{"key": f"{key}/{name}/{what}"}]}
            for name, _, what in (machine.partition(" ") for machine in self.machines)
        ]
        return Node({"key": key, "dir": True, "nodes": nodes})

    def create(self, key, value):
        if key in self.nodes:
            raise StoreError(NODE_EXIST, key, self.index)
        return self._put(key, value)

    def swap(self, key, value, *, index):
        if self.before_swap:
            self.before_swap.pop()()
        if self.nodes[key][1] != index:
            raise StoreError(TEST_FAILED, key, self.index)
        return self._put(key, value)

    def write(self, key, value):
        if self.is_read_only:
            raise Unavailable("no")
        self._put(key, value)

    def _put(self, key, value):
        self.index += 1
        self.nodes[key] = (value, self.index)
        return self.index

    def other_program(self, value):
        """A change by a locksmith 0.6.2, which writes no notes."""
        self._put(KEY, value)


class World:
    def __init__(self):
        self.keys = MemoryKeys()
        self.now_ns = 1_000 * MINUTE
        self.lock = Lock(self.keys, clock_ns=lambda: self.now_ns)

    def ages(self):
        """Holder -> minutes, None when unknown."""
        _, holders = self.lock.holders()
        return {
            holder.id: (self.now_ns - holder.since_ns) // MINUTE if holder.since_ns else None
            for holder in holders
        }

    def later(self, minutes):
        self.now_ns += minutes * MINUTE


@pytest.fixture
def world():
    return World()


def test_our_changes_carry_the_times(world):
    world.lock.set_limit(3)
    world.lock.lock("a")
    world.later(5)
    world.lock.lock("b")
    world.later(2)
    assert world.ages() == {"a": 7, "b": 2}
    world.lock.unlock("a")
    assert world.ages() == {"b": 2}
    assert unlock_if_held(world.lock, "b")
    assert not unlock_if_held(world.lock, "b")
    assert world.ages() == {}


def test_a_change_of_another_program_makes_them_unknown(world):
    world.lock.set_limit(3)
    world.lock.lock("a")
    world.later(60)
    # The other program gives a's lock back and takes it again: ours cannot know.
    world.keys.other_program('{"semaphore":2,"max":3,"holders":["a"]}')
    assert world.ages() == {"a": None}
    world.lock.lock("b")
    world.later(1)
    assert world.ages() == {"a": 1, "b": 1}


def test_notes_that_cannot_be_written_hold_nothing_up(world):
    world.keys.is_read_only = True
    world.lock.lock("a")
    assert world.lock.read().holders == ("a",)
    assert world.ages() == {"a": None}


def test_release_takes_the_dead_only(world):
    world.lock.set_limit(2)
    world.lock.lock("a")
    world.later(10)
    assert "long enough" in world.lock.release("a", after_ns=15 * MINUTE)
    world.later(10)
    world.keys.machines = ["a object", "b object"]
    assert "alive" in world.lock.release("a", after_ns=15 * MINUTE)
    assert [holder.in_fleet for holder in world.lock.holders()[1]] == [True]
    # Metadata outlives a machine; its presence does not.
    world.keys.machines = ["a metadata", "b object"]
    assert [holder.in_fleet for holder in world.lock.holders()[1]] == [False]
    assert world.lock.release("a", after_ns=15 * MINUTE) == ""
    assert world.lock.read().holders == ()
    with pytest.raises(HolderMissing):
        world.lock.release("a", after_ns=0)


def test_release_counts_from_its_first_try_when_nobody_knows(world):
    world.keys.other_program('{"semaphore":0,"max":1,"holders":["a"]}')
    assert "from now on" in world.lock.release("a", after_ns=15 * MINUTE)
    world.later(14)
    assert "long enough" in world.lock.release("a", after_ns=15 * MINUTE)
    world.later(2)
    assert world.lock.release("a", after_ns=15 * MINUTE) == ""


def test_release_counts_from_its_first_try_when_the_clock_was_set_back(world):
    world.lock.lock("a")
    world.later(-60)
    assert "from now on" in world.lock.release("a", after_ns=15 * MINUTE)
    world.later(14)
    assert "long enough" in world.lock.release("a", after_ns=15 * MINUTE)
    world.later(2)
    assert world.lock.release("a", after_ns=15 * MINUTE) == ""


def test_release_loses_to_every_change(world):
    world.lock.lock("a")
    world.later(60)

    def came_back():
        world.keys.other_program('{"semaphore":0,"max":1,"holders":["a"]}')

    world.keys.before_swap.append(came_back)
    with pytest.raises(StoreError) as caught:
        world.lock.release("a", after_ns=15 * MINUTE)
    assert caught.value.code == TEST_FAILED
    assert world.lock.read().holders == ("a",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no",
        "null",
        "[]",
        "{}",
        '{"index":1}',
        '{"index":1,"since":[]}',
        '{"index":1,"since":{"a":1}}',
        '{"index":"1","since":{}}',
        '{"index":1,"since":{"a":"yesterday"}}',
    ],
)
def test_bad_notes_say_nothing(text):
    assert notes.parse(text).at(1) == {}


def test_notes_keep_what_they_say():
    some = notes.Notes(7, {"a": 10**18, "ü": 10**18 + 5})
    again = notes.parse(some.to_json())
    assert (again.index, again.since) == (7, some.since)
    assert again.at(8) == {}
    assert notes.key_of(KEY) == NOTES
