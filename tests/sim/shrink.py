"""Find less trouble in which a seed still fails: faults off one by one, then a shorter story."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from tests.sim.mutation import Mutant
from tests.sim.swarm import Options
from tests.sim.world import World

CALMER: dict[str, Any] = {
    "loss": 0.0,
    "duplicate": 0.0,
    "crash_point": 0.0,
    "crash_every_us": 0,
    "partition": "none",
    "clog": 0.0,
    "leader_dies_young": 0.0,
    "churn_every_us": 0,
    "pause_every_us": 0,
    "pessimistic_hints": False,
    "fsync_us": 0,
    "clients": 1,
    "burst": 1,
    "reads": 0.0,
    "codec": False,
    "store": False,
    "clock_jump_every_us": 0,
    "fsync_fails": 0.0,
    "disk_full_every_us": 0,
    "garbled": 0.0,
    "early_messages": False,
    "leader_sends_early": False,
}


def shrink(seed: int, options: Options, error: Exception, *, mutant: Mutant | None) -> list[str]:
    """Lines that tell which options were needed and how long it took to fail."""
    for name, value in CALMER.items():
        calmer = replace(options, **{name: value})
        if calmer != options and _fails_alike(seed, calmer, error, mutant):
            options = calmer
    while options.duration_us > 10_000:
        shorter = replace(options, duration_us=options.duration_us // 2)
        if not _fails_alike(seed, shorter, error, mutant):
            break
        options = shorter
    return [f"still fails with {options}"]


def _fails_alike(seed: int, options: Options, error: Exception, mutant: Mutant | None) -> bool:
    try:
        with mutant.apply() if mutant else nullcontext():
            World(seed, options=options).run()
    except Exception as other:  # noqa: BLE001 - compared below
        return type(other) is type(error)
    return False
