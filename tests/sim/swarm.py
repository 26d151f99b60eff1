"""What one simulated world is like: drawn once per seed, so that every seed is a different test.

Half of the troubles are off in any given world; a trouble that is always on hides what the
others would find.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

MS = 1_000
SECOND = 1_000_000


@dataclass(slots=True)
class Options:
    """Times in microseconds of the world, probabilities as 0..1."""

    nodes: int
    tick_us: int
    election_ticks: int
    check_quorum: bool
    loss: float
    duplicate: float
    delay_min_us: int
    delay_mean_us: int
    fsync_us: int
    snapshot_count: int
    catch_up_entries: int
    max_size_per_msg: int
    max_inflight: int
    load_us: int
    clients: int
    keys: int
    reads: float
    burst: int
    crash_point: float
    restart_us: int
    crash_every_us: int
    partition: str
    partition_every_us: int
    clog: float
    churn_every_us: int
    pause_every_us: int
    leader_sends_early: bool
    early_messages: bool
    codec: bool
    duration_us: int


def draw(seed: int) -> Options:
    """The world of this seed."""
    rng = random.Random(f"{seed}/swarm")
    pick = rng.choice

    def maybe(value, otherwise):
        return value if rng.random() < 0.5 else otherwise

    tick_us = pick([10, 20, 50, 100]) * MS
    return Options(
        nodes=pick([1, 3, 3, 3, 3, 5, 5]),
        tick_us=tick_us,
        election_ticks=pick([5, 10, 10]),
        check_quorum=rng.random() < 0.7,
        loss=maybe(rng.random() * 0.3, 0.0),
        duplicate=maybe(rng.random() * 0.5, 0.0),
        delay_min_us=pick([0, 100, 1 * MS]),
        delay_mean_us=pick([100, 1 * MS, 10 * MS, tick_us, 2 * tick_us]),
        fsync_us=pick([0, 1 * MS, 5 * MS, 20 * MS, 200 * MS]),
        snapshot_count=pick([3, 10, 100, 1000]),
        catch_up_entries=pick([0, 1, 5, 50]),
        max_size_per_msg=pick([1, 60, 200, 1 << 20]),
        max_inflight=pick([1, 2, 8, 256]),
        load_us=pick([5, 20, 50, 200]) * MS,
        clients=pick([1, 2, 4]),
        keys=pick([1, 2, 5]),
        reads=pick([0.0, 0.3, 0.6]),
        burst=pick([1, 1, 4, 20]),
        crash_point=maybe(pick([0.002, 0.02, 0.1]), 0.0),
        restart_us=pick([1, 20, 300, 3000]) * MS,
        crash_every_us=maybe(pick([300, 1000, 4000]) * MS, 0),
        partition=maybe(pick(["one", "halves", "ring", "one-way", "leader-keeps-one"]), "none"),
        partition_every_us=pick([500, 2000, 5000]) * MS,
        clog=maybe(pick([0.01, 0.03, 0.3]), 0.0),
        churn_every_us=maybe(pick([500, 2000]) * MS, 0),
        pause_every_us=maybe(pick([1000, 4000]) * MS, 0),
        leader_sends_early=rng.random() < 0.5,
        early_messages=rng.random() < 0.5,
        codec=rng.random() < 0.25,
        duration_us=10 * SECOND,
    )
