"""locksmithd's course, step by step: what happens in, what to do out, and when to ask again."""

from __future__ import annotations

import pytest

from coreos_py.locksmith import rebooter, window
from coreos_py.locksmith.rebooter import NEED_REBOOT, Action, Rebooter

S = 10**9
MINUTE = 60 * S
HOUR = 60 * MINUTE
IDLE = "UPDATE_STATUS_IDLE"
ALWAYS = None


def utc(now_ns):
    """1970-01-01 was a Thursday."""
    day = now_ns // (24 * HOUR)

    def at(days, hour, minute):
        return (day + days) * 24 * HOUR + hour * HOUR + minute * MINUTE

    return window.Now(now_ns, (day + 4) % 7, at)


def made(strategy, when=ALWAYS):
    return Rebooter(strategy, when and window.parse(*when), calendar=utc)


def shown(actions):
    """Actions in short: verbs with their text."""
    return [f"{a.verb} {a.text}".strip() for a in actions]


def started(strategy, operation=IDLE):
    return [
        f'log locksmithd starting currentOperation="{operation}" strategy="{strategy}"',
        "state running",
    ]


GO = ["reboot", "log Reboot sent. Going to sleep.", "state rebooting"]


def test_reboot_at_once():
    course = made("reboot")
    assert shown(course.start(IDLE, 0)) == started("reboot")
    assert course.deadline_ns is None
    assert course.status("UPDATE_STATUS_DOWNLOADING", S) == []
    assert shown(course.status(NEED_REBOOT, 2 * S)) == ["state reboot-planned", "broadcast"]
    assert course.status(NEED_REBOOT, 3 * S) == []
    assert shown(course.broadcast_to(0, 4 * S)) == GO
    # It did not happen.
    assert course.deadline_ns == 4 * S + 7 * 24 * HOUR
    assert course.tick(course.deadline_ns) == [
        Action("log", "Tried to reboot but did not!", level="C"),
        Action("exit", "1"),
    ]


def test_an_update_that_was_there_before():
    course = made("reboot")
    actions = shown(course.start(NEED_REBOOT, 0))
    assert actions == [*started("reboot", NEED_REBOOT), "state reboot-planned", "broadcast"]


def test_logins_are_given_five_minutes():
    course = made("reboot")
    course.start(NEED_REBOOT, 0)
    text = "Logins detected, delaying reboot for 5 minutes."
    assert course.broadcast_to(2, S) == [Action("log", text, level="N")]
    assert course.tick(5 * MINUTE) == []
    assert shown(course.tick(S + 5 * MINUTE)) == GO


def test_the_old_lock_is_given_back_after_five_seconds():
    course = made("etcd-lock")
    course.start(IDLE, 0)
    assert course.deadline_ns == 5 * S
    assert shown(course.tick(5 * S)) == ["unlock"]
    unlocked = "log Unlocked existing lock for this machine"
    assert shown(course.unlocked("", 6 * S, was_held=True)) == [unlocked]
    assert course.deadline_ns is None
    assert shown(course.status(NEED_REBOOT, HOUR)) == ["state reboot-planned", "unlock"]
    assert shown(course.unlocked("", HOUR)) == ["lock"]
    assert shown(course.locked("", HOUR)) == ["broadcast"]
    assert shown(course.broadcast_to(0, HOUR)) == GO


def test_the_old_lock_is_tried_again_and_again():
    course = made("etcd-lock")
    course.start(IDLE, 0)
    now, waits = 0, []
    for _ in range(8):
        before, now = now, course.deadline_ns
        waits.append((now - before) // S)
        assert shown(course.tick(now)) == ["unlock"]
        (action,) = course.unlocked("no etcd", now)
        assert action.level == "E"
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300]
    assert action.text == "Unlocking old locks failed: no etcd. Retrying in 5m0s."
    # Its end comes before the reboot.
    course.tick(course.deadline_ns)
    assert course.status(NEED_REBOOT, now) == []
    assert shown(course.unlocked("still none", now)) == ["state reboot-planned", "unlock"]


def test_no_way_to_the_lock_when_it_is_needed():
    course = made("etcd-lock")
    course.start(IDLE, 0)
    course.tick(5 * S)
    (action,) = course.no_lock("Error initializing etcd client: x", 6 * S)
    assert action.text == (
        "Unlocking old locks failed: error setting up lock: Error initializing etcd client: x."
        " Retrying in 10s."
    )
    course.status(NEED_REBOOT, 7 * S)
    assert course.no_lock("Error initializing etcd client: x", 8 * S) == [
        Action("log", "Failed to set up lock: Error initializing etcd client: x", level="E"),
        Action("exit", "1"),
    ]


def test_a_lock_that_is_not_free_is_waited_for():
    course = made("etcd-lock")
    course.start(NEED_REBOOT, 0)
    course.unlocked("", 0)
    now, waits = 0, []
    for _ in range(7):
        (action,) = course.locked("semaphore is at 0", now)
        assert action.level == "W"
        waits.append(action.text)
        now = course.deadline_ns
        assert shown(course.tick(now)) == ["lock"]
    assert waits == [
        f"Failed to acquire lock: semaphore is at 0. Retrying in {wait}."
        for wait in ("10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s")
    ]
    assert shown(course.locked("", now)) == ["broadcast"]


def test_a_window_is_waited_for():
    course = made("reboot", ("Thu 14:00", "1h30m"))
    course.start(IDLE, 0)
    assert shown(course.status(NEED_REBOOT, HOUR)) == ["log Waiting for 13h0m0s to reboot."]
    assert course.tick(13 * HOUR) == []
    assert shown(course.tick(14 * HOUR)) == ["state reboot-planned", "broadcast"]
    inside = made("reboot", ("Thu 14:00", "1h30m"))
    inside.start(IDLE, 0)
    at_its_end = 15 * HOUR + 30 * MINUTE
    assert shown(inside.status(NEED_REBOOT, at_its_end)) == ["state reboot-planned", "broadcast"]


def test_a_late_lock_waits_for_the_next_window():
    course = made("etcd-lock", ("14:00", "1m"))
    course.start(NEED_REBOOT, 14 * HOUR)
    course.unlocked("", 14 * HOUR)
    for seconds in (0, 10, 30):
        course.locked("semaphore is at 0", 14 * HOUR + seconds * S)
        if seconds < 30:
            assert shown(course.tick(course.deadline_ns)) == ["lock"]
    assert course.deadline_ns == 14 * HOUR + 70 * S
    # 14:01:10 is too late for today.
    assert shown(course.tick(course.deadline_ns)) == ["log Waiting for 23h58m50s to reboot."]
    assert shown(course.tick(38 * HOUR)) == ["lock"]


def test_best_effort_decides_when_it_must():
    course = made("best-effort")
    course.start(IDLE, 0)
    assert shown(course.tick(5 * S)) == ["choose"]
    assert course.chosen(has_etcd=False, now_ns=5 * S) == []
    assert shown(course.tick(course.deadline_ns)) == ["choose"]
    assert shown(course.chosen(has_etcd=True, now_ns=20 * S)) == ["unlock"]
    course.unlocked("", 20 * S, was_held=True)
    assert shown(course.status(NEED_REBOOT, HOUR)) == ["state reboot-planned", "choose"]
    assert shown(course.chosen(has_etcd=True, now_ns=HOUR)) == ["unlock"]
    alone = made("best-effort")
    assert shown(alone.start(NEED_REBOOT, 0))[-1] == "choose"
    assert shown(alone.chosen(has_etcd=False, now_ns=0)) == ["broadcast"]


@pytest.mark.parametrize("strategy", ["off", "nosuch", "Reboot"])
def test_an_unknown_strategy_fails_when_it_is_needed(strategy):
    course = made(strategy)
    assert shown(course.start(IDLE, 0)) == started(strategy)
    assert course.deadline_ns is None
    assert course.status(NEED_REBOOT, 0) == [
        Action("state", "reboot-planned"),
        Action("log", f"unknown strategy: {strategy}", level="E"),
        Action("exit", "1"),
    ]


def test_asked_questions_are_known():
    course = made("etcd-lock")
    course.start(NEED_REBOOT, 0)
    assert course.waits_for == rebooter.UNLOCK
    course.unlocked("", 0)
    assert course.waits_for == rebooter.LOCK
    course.locked("", 0)
    assert course.waits_for == rebooter.BROADCAST


@pytest.mark.parametrize(
    ("start", "now", "begins"),
    [
        ("14:00", 13 * HOUR, 14 * HOUR),
        ("14:00", 14 * HOUR, 38 * HOUR),
        ("Fri 00:30", 0, 24 * HOUR + 30 * MINUTE),
        ("Wed 00:30", 0, 6 * 24 * HOUR + 30 * MINUTE),
        ("Thu 00:30", HOUR, 7 * 24 * HOUR + 30 * MINUTE),
    ],
)
def test_next_window(start, now, begins):
    found = window.next_ns(window.parse(start, "1h"), utc(now))
    assert found == (begins, begins + HOUR)
