"""The mirror of the jobs: readings, events, and which of the two is newer."""

from __future__ import annotations

import pytest

from coreos_py.etcdclient.model import Node, Result
from coreos_py.fleet.mirror import Job, JobMirror

KEY = "/f/job"


def tree(index, **jobs):
    """A directory as a recursive reading gives it."""
    return Node(
        {
            "key": KEY,
            "dir": True,
            "nodes": [
                {
                    "key": f"{KEY}/{name}",
                    "dir": True,
                    "nodes": [
                        {"key": f"{KEY}/{name}/{key}", "value": value, "modifiedIndex": index}
                        for key, value in values.items()
                    ],
                }
                for name, values in jobs.items()
            ],
        }
    )


def event(action, key, index, value=""):
    return Result(action, Node({"key": key, "modifiedIndex": index, "value": value}), None)


def live(**jobs):
    mirror = JobMirror(KEY)
    mirror.read(tree(5, **jobs), index=5, now_s=0.0)
    assert mirror.start(index=4)
    return mirror


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([("set", "/a/target", "m2")], {"a": Job("o", "", "m2")}),
        ([("create", "/b/object", "p")], {"a": Job("o", "", "m1"), "b": Job("p")}),
        ([("set", "/a/target-state", "loaded")], {"a": Job("o", "loaded", "m1")}),
        ([("set", "/a/job-state", "m1")], {"a": Job("o", "", "m1", "m1")}),
        ([("set", "/a/job-state", "m1"), ("expire", "/a/job-state")], {"a": Job("o", "", "m1")}),
        ([("compareAndDelete", "/a/target")], {"a": Job("o")}),
        ([("delete", "/a/object")], {"a": Job(None, "", "m1")}),
        ([("delete", "/a/object"), ("delete", "/a/target")], {}),
        ([("delete", "/a")], {}),
        ([("delete", "")], {}),
        ([("set", "/a/unheard-of", "x")], {"a": Job("o", "", "m1")}),
        ([("set", "/a/deep/down", "x")], {"a": Job("o", "", "m1")}),
        ([("set", "/a", "")], {"a": Job("o", "", "m1")}),
    ],
)
def test_events_change_what_was_read(steps, expected):
    mirror = live(a={"object": "o", "target": "m1"})
    for number, (action, path, *value) in enumerate(steps, start=6):
        mirror.apply(event(action, KEY + path, number, *value))
    assert mirror.jobs == expected
    assert mirror.index == 5 + len(steps)


def test_the_removal_of_everything_above_counts():
    mirror = live(a={"object": "o"})
    mirror.apply(event("delete", "/f", 6))
    assert mirror.jobs == {}


def test_an_event_from_before_the_reading_changes_nothing():
    mirror = live(a={"object": "o"})
    mirror.apply(event("delete", f"{KEY}/a", 5))
    assert mirror.jobs == {"a": Job("o")}


def test_a_reading_older_than_the_stream_is_not_enough_to_begin():
    mirror = JobMirror(KEY)
    mirror.read(None, index=7, now_s=0.0)
    assert not mirror.start(index=8)
    assert not mirror.is_live
    mirror.read(None, index=8, now_s=0.0)
    assert mirror.start(index=8)


def test_the_reading_of_a_member_that_lags_behind_is_passed_over():
    mirror = live(a={"object": "o"})
    mirror.apply(event("set", f"{KEY}/a/target", 9, "m1"))
    assert mirror.read(tree(8, a={"object": "o"}), index=8, now_s=0.0) == {"a": Job("o", "", "m1")}
    mirror.stop()
    assert mirror.read(tree(8, a={"object": "o"}), index=8, now_s=0.0) == {"a": Job("o")}


def test_a_silent_stream_is_found_out():
    mirror = live(a={"object": "o"})
    mirror.read(tree(10, a={"object": "p"}), index=10, now_s=100)
    mirror.read(tree(11, a={"object": "q"}), index=12, now_s=101)
    assert not mirror.is_silent(101.9)
    assert mirror.is_silent(102)
    mirror.apply(event("set", f"{KEY}/a/object", 10, "p"))  # late, but it comes
    assert not mirror.is_silent(102)
    mirror.read(tree(11, a={"object": "q"}), index=13, now_s=103)
    mirror.apply(event("set", f"{KEY}/a/object", 11, "q"))
    mirror.read(tree(11, a={"object": "q"}), index=14, now_s=104)
    assert not mirror.is_silent(1000)
    # A write of one's own must come back.
    mirror.expect(15, 1000)
    assert mirror.is_silent(1002)
    mirror.stop()
    assert not mirror.is_silent(1002)
