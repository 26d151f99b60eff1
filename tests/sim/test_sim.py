"""Whole clusters from seeds: the clean code survives them, every mutant does not."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.sim import shrink
from tests.sim.mutants import MUTANTS
from tests.sim.mutation import options_for
from tests.sim.world import World
from tests.support.transcript import run_file
from tests.unit.raft.scripted import Cluster

ROOT = Path(__file__).parents[2]
STORIES = sorted((ROOT / "tests" / "data" / "raft").glob("*.txt"))
CHUNK = 500
CHUNKS = 20
FRESH = 40
TRIES = 400

SIM_MUTANTS = [name for name, mutant in MUTANTS.items() if not mutant.stories]
STORY_MUTANTS = [name for name, mutant in MUTANTS.items() if mutant.stories]


def survive(seed: int) -> None:
    try:
        World(seed).run()
    except Exception as error:
        error.add_note(f"seed {seed}: python -m tests.sim --seed {seed} --trace")
        raise


@pytest.mark.timeout(600)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_fixed_seeds(chunk):
    """Ten thousand clusters in all, on every processor there is."""
    count = os.cpu_count() or 1
    begin, end = chunk * CHUNK, (chunk + 1) * CHUNK
    borders = [begin + (end - begin) * part // count for part in range(count + 1)]
    searches = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.sim", "--seeds", f"{first}:{last}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for first, last in pairwise(borders)
    ]
    outputs = [search.communicate()[0] for search in searches]
    assert [search.returncode for search in searches] == [0] * count, "".join(outputs)


def test_fresh_seeds(seed):
    print(f"fresh seeds {seed}:{seed + FRESH}")
    for number in range(seed, seed + FRESH):
        survive(number)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_soak(seed, request):
    if "soak" not in request.config.getoption("-m"):
        pytest.skip("half an hour; run with -m soak")
    simulated_s, number = 0.0, seed
    while simulated_s < 200 * 3600:
        survive(number)
        simulated_s += options_for(number, None).duration_us / 1e6
        number += 1


@pytest.mark.parametrize("name", SIM_MUTANTS)
def test_the_simulator_notices(name):
    mutant = MUTANTS[name]
    for seed in range(TRIES):
        try:
            with mutant.apply():
                World(seed, options=options_for(seed, mutant)).run()
        except Exception:  # noqa: BLE001 - any way to fail will do
            return
    pytest.fail(f"{name} survived {TRIES} seeds")


@pytest.mark.parametrize("name", STORY_MUTANTS)
def test_the_stories_notice(name):
    with MUTANTS[name].apply():
        for story in STORIES:
            try:
                run_file(story, Cluster().execute)
            except Exception:  # noqa: BLE001 - any way to fail will do
                return
    pytest.fail(f"{name} changes none of the {len(STORIES)} stories")


def test_mutants_leave_no_trace():
    for mutant in MUTANTS.values():
        with mutant.apply():
            pass
    for story in STORIES:
        run_file(story, Cluster().execute)


def run_seeds(seeds: str, *, hash_seed: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "tests.sim", "--seeds", seeds, "--results"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_a_seed_is_the_same_run_under_any_hash_seed():
    once, again = (run_seeds("0:25", hash_seed=number) for number in ("1", "4242"))
    assert len(once.splitlines()) == 25
    assert once == again


def test_a_trace_tells_the_story():
    lines: list[str] = []
    World(3, trace=lines.append).run()
    assert {line.split()[1] for line in lines} >= {"start", "got", "role", "calm"}


def test_shrinking_keeps_the_failure():
    mutant = MUTANTS["acknowledges_before_fsync"]
    options = options_for(1, mutant)
    with mutant.apply(), pytest.raises(AssertionError) as caught:
        World(1, options=options).run()
    (line,) = shrink.shrink(1, options, caught.value, mutant=mutant)
    assert line.startswith("still fails with Options(")
    assert "churn_every_us=0" in line
