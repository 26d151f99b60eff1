"""Progress: what a leader knows of a follower, as a table of transitions."""

from __future__ import annotations

import pytest

from coreos_py.raft.progress import PROBE, REPLICATE, SNAPSHOT, Progress


def progress(*, match=0, next_index=1, state=PROBE, window=3) -> Progress:
    p = Progress(match=match, next_index=next_index, window=window)
    p.state = state
    return p


@pytest.mark.parametrize(
    ("match", "next_index", "index", "news", "match_after", "next_after"),
    [
        (3, 5, 2, False, 3, 5),
        (3, 5, 3, False, 3, 5),
        (3, 5, 4, True, 4, 5),
        (3, 5, 5, True, 5, 6),
        (3, 3, 3, False, 3, 4),
    ],
)
def test_acknowledged(match, next_index, index, news, match_after, next_after):
    p = progress(match=match, next_index=next_index)
    p.paused = True
    assert p.acknowledged(index) is news
    assert (p.match, p.next) == (match_after, next_after)
    assert p.paused is not news


@pytest.mark.parametrize(
    ("state", "match", "next_index", "index", "hint", "taken", "next_after"),
    [
        # Streaming: a rejection of what is known to match is old.
        (REPLICATE, 5, 10, 5, 5, False, 10),
        (REPLICATE, 5, 10, 4, 4, False, 10),
        (REPLICATE, 5, 10, 9, 9, True, 6),
        # Probing: only a rejection of the last probe counts.
        (PROBE, 0, 10, 8, 8, False, 10),
        (PROBE, 0, 10, 10, 10, False, 10),
        (PROBE, 0, 10, 9, 9, True, 9),
        # The hint shortens the way, down to the first entry.
        (PROBE, 0, 10, 9, 2, True, 3),
        (PROBE, 0, 10, 9, 0, True, 1),
        (PROBE, 0, 2, 1, 0, True, 1),
        (PROBE, 0, 1, 0, 0, True, 1),
    ],
)
def test_rejected(state, match, next_index, index, hint, taken, next_after):
    p = progress(match=match, next_index=next_index, state=state)
    p.paused = True
    assert p.rejected(index, hint=hint) is taken
    assert p.next == next_after
    if state == PROBE:
        assert p.paused is not taken


def test_a_probe_sends_once_and_waits():
    p = progress(next_index=5)
    assert not p.is_blocked()
    p.sent(7)
    assert p.is_blocked()
    assert p.next == 5


def test_replicating_sends_until_the_window_is_full():
    p = progress(match=4)
    p.become_replicate()
    for index in (5, 6, 8):
        assert not p.is_blocked()
        p.sent(index)
    assert p.is_blocked()
    assert p.next == 9
    p.free_to(6)
    assert list(p.inflight) == [8]
    assert not p.is_blocked()
    p.free_to(7)
    assert list(p.inflight) == [8]
    p.free_to(100)
    assert not p.inflight


def test_becoming_a_probe_forgets_what_is_under_way():
    p = progress(match=4)
    p.become_replicate()
    p.sent(9)
    p.become_probe()
    assert (p.state, p.next, list(p.inflight), p.paused) == (PROBE, 5, [], False)


@pytest.mark.parametrize(("match", "snapshot", "next_after"), [(1, 10, 11), (12, 10, 13)])
def test_after_a_snapshot_the_probe_starts_behind_it(match, snapshot, next_after):
    p = progress(match=match, next_index=2)
    p.become_snapshot(snapshot)
    assert p.is_blocked()
    p.match = match
    p.become_probe()
    assert (p.state, p.next, p.snapshot_index) == (PROBE, next_after, 0)


def test_a_lost_snapshot_is_probed_from_what_matched():
    p = progress(match=1, next_index=2)
    p.become_snapshot(10)
    p.snapshot_index = 0
    p.become_probe()
    assert (p.state, p.next) == (PROBE, 2)


def test_nothing_is_sent_while_a_snapshot_is_under_way():
    p = progress(match=1, next_index=2, state=SNAPSHOT)
    assert p.is_blocked()
