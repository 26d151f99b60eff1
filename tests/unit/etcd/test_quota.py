"""What a quota lets in."""

from __future__ import annotations

import pytest

from coreos_py.base.errors import QUOTA_EXCEEDED, StoreError
from coreos_py.etcd.pb import Request
from coreos_py.etcd.quota import COUNT_INTERVAL_S, FOREIGN_WRITES, TRUSTED_S, Quota, used_bytes
from coreos_py.store.store import Store


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def put(store: Store, quota: Quota, key: str, value: str) -> bool:
    """Write if it is let in."""
    path = f"/1/{key}"
    try:
        quota.admit(Request(1, "PUT", path, value))
    except StoreError:
        return False
    store.set(path, value=value, now_ns=0)
    return True


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def quota(store, clock):
    return Quota(store, 100, clock_s=clock)


def test_full_to_the_last_byte(store, quota):
    assert put(store, quota, "a", "x" * 46)  # and 4 of its key
    assert not put(store, quota, "b", "x" * 47)
    assert put(store, quota, "b", "\u00fc" * 23)
    assert used_bytes(store) == 100
    assert not put(store, quota, "c", "")
    with pytest.raises(StoreError, match="100 of 100 bytes are used, 4 more") as caught:
        quota.admit(Request(1, "POST", "/1/d"))
    assert (caught.value.code, caught.value.status) == (QUOTA_EXCEEDED, 403)
    assert put(store, quota, "a", "y" * 46)
    assert not put(store, quota, "a", "y" * 47)
    quota.admit(Request(1, "PUT", "/1/a", refresh=True))
    quota.admit(Request(1, "DELETE", "/1/a"))


def test_room_is_seen_at_the_next_count(store, quota, clock):
    assert put(store, quota, "a", "x" * 96)
    assert not put(store, quota, "b", "x")  # counted now
    store.delete("/1/a", now_ns=0)
    assert not put(store, quota, "b", "x")
    clock.now_s += COUNT_INTERVAL_S
    assert put(store, quota, "b", "x")


def test_what_others_have_written_counts(store, quota, clock):
    assert put(store, quota, "a", "x")
    for number in range(FOREIGN_WRITES + 1):
        store.set(f"/1/n{number % 9}", value="12345678901", now_ns=0)
    clock.now_s += COUNT_INTERVAL_S
    assert not put(store, quota, "b", "x" * 10)
    assert put(store, quota, "a", "y")


def test_a_few_writes_of_others_count_after_a_while(store, quota, clock):
    assert put(store, quota, "a", "x")
    store.set("/1/n", value="x" * 91, now_ns=0)
    assert used_bytes(store) == 100
    clock.now_s += TRUSTED_S
    assert not put(store, quota, "b", "")


def test_the_clusters_own_keys_do_not_count(store, quota):
    store.set("/0/members/1/attributes", value="x" * 1000, now_ns=0)
    store.set("/2/users/root", value="x" * 1000, now_ns=0)
    assert put(store, quota, "a", "x" * 96)
