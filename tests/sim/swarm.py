"""What one simulated world is like: drawn once per seed, so that every seed is a different test.

Half of the troubles are off in any given world; a trouble that is always on hides what the
others would find.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

MS = 1_000


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
    leader_dies_young: float
    pessimistic_hints: bool
    churn_every_us: int
    pause_every_us: int
    leader_sends_early: bool
    early_messages: bool
    codec: bool
    duration_us: int
    store: bool
    clock_jump_every_us: int
    fsync_fails: float
    disk_full_every_us: int
    garbled: float

    @property
    def election_us(self) -> int:
        """About how long a follower waits for a leader."""
        return self.tick_us * self.election_ticks * 3 // 2


def draw(seed: int) -> Options:
    """The world of this seed. Most times are in proportion to its tick or election timeout."""
    rng = random.Random(f"{seed}/swarm")
    pick = rng.choice

    def maybe(value, otherwise):
        return value if rng.random() < 0.5 else otherwise

    tick = pick([10, 10, 50]) * MS
    election_ticks = pick([3, 5, 10])
    election = tick * election_ticks * 3 // 2
    options = Options(
        nodes=pick([1, 3, 3, 3, 3, 3, 5, 5, 5, 5]),
        tick_us=tick,
        election_ticks=election_ticks,
        check_quorum=rng.random() < 0.5,
        loss=maybe(rng.random() * 0.3, 0.0),
        duplicate=maybe(rng.random() * 0.5, 0.0),
        delay_min_us=tick // pick([1000, 20, 5]),
        delay_mean_us=int(tick * pick([0.01, 0.1, 0.5, 1, 2])),
        fsync_us=int(tick * pick([0, 0.1, 0.5, 2, 10])),
        snapshot_count=pick([3, 10, 100, 1000]),
        catch_up_entries=pick([0, 1, 5, 50]),
        max_size_per_msg=pick([1, 1, 60, 1 << 20]),
        max_inflight=pick([1, 2, 8, 256]),
        load_us=int(tick * pick([0.5, 1, 2, 5, 20])),
        clients=pick([1, 2, 4]),
        keys=pick([1, 2, 5]),
        reads=pick([0.0, 0.3, 0.6, 0.6]),
        burst=pick([1, 4, 20]),
        crash_point=maybe(pick([0.01, 0.1, 0.3]), 0.0),
        restart_us=int(election * pick([0.05, 0.5, 2])),
        crash_every_us=maybe(election * pick([1, 3, 10]), 0),
        partition=maybe(pick(["one", "halves", "ring", "one-way", "leader-keeps-one"]), "none"),
        partition_every_us=int(election * pick([0.3, 1, 3])),
        clog=maybe(pick([0.03, 0.1, 0.3]), 0.0),
        leader_dies_young=maybe(pick([0.2, 0.8]), 0.0),
        pessimistic_hints=rng.random() < 0.5,
        churn_every_us=maybe(election * pick([1, 3, 10]), 0),
        pause_every_us=maybe(election * pick([3, 10]), 0),
        leader_sends_early=rng.random() < 0.5,
        early_messages=rng.random() < 0.5,
        codec=rng.random() < 0.25,
        duration_us=0,
        store=rng.random() < 0.25,
        clock_jump_every_us=maybe(election * pick([1, 5]), 0),
        fsync_fails=maybe(pick([0.003, 0.03]), 0.0),
        disk_full_every_us=maybe(election * pick([5, 15]), 0),
        garbled=maybe(pick([0.01, 0.1]), 0.0),
    )
    options.duration_us = election * pick([10, 20, 40])
    return options
