"""Reproduce a seed, or search many: `python -m tests.sim --seed N [--trace]`, `--seeds A:B`.

--mutant NAME breaks the code first; --shrink finds the least trouble in which a seed still fails.
Exit status 1 if anything was found.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext

from tests.sim import shrink, swarm
from tests.sim.mutants import MUTANTS
from tests.sim.mutation import options_for
from tests.sim.world import World


def main() -> int:
    args = _arguments()
    mutant = MUTANTS[args.mutant] if args.mutant else None
    seeds = [args.seed] if args.seed is not None else range(*map(int, args.seeds.split(":")))
    started = time.process_time()
    events, simulated_s, failed = 0, 0.0, 0
    for seed in seeds:
        options = options_for(seed, mutant)
        world = World(seed, options=options, trace=print if args.trace else None)
        try:
            with mutant.apply() if mutant else nullcontext():
                result = world.run()
        except Exception as error:  # noqa: BLE001 - whatever a broken node raises is a finding
            failed += 1
            print(f"seed {seed}: {type(error).__name__}: {error}")
            if args.shrink:
                print("\n".join(shrink.shrink(seed, options, error, mutant=mutant)))
            continue
        events += result.events
        simulated_s += result.simulated_s
        if args.results:
            print(*result)
    spent_s = max(time.process_time() - started, 1e-9)
    print(
        f"{len(seeds)} seeds, {failed} failed, {events} events in {spent_s:.1f} s"
        f" ({events / spent_s:.0f}/s), {simulated_s:.0f} simulated seconds",
        file=sys.stderr,
    )
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", default="0:100", metavar="A:B")
    parser.add_argument("--trace", action="store_true", help="print every message and fault")
    parser.add_argument("--results", action="store_true", help="print what each run was")
    parser.add_argument("--mutant", choices=sorted(MUTANTS))
    parser.add_argument("--shrink", action="store_true")
    args = parser.parse_args()
    if args.seed is not None:
        print(swarm.draw(args.seed))
    return args


if __name__ == "__main__":
    sys.exit(main())
