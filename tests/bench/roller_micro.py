"""What one Omaha request costs rollerd among many instances: one JSON line per case.

Run: python tests/bench/roller_micro.py [INSTANCES]

CPU time of the handler alone, from the XML it is given to the XML it answers, in a sqlite
transaction that stays open; the process around it is measured by tests.bench.rollerd.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from coreos_py.roller.db.driver import Tx
from coreos_py.roller.records import Policy
from tests.support import rollerdb

INSTANCES = 20_000
SAMPLES = 1000


def mean_us(run: Callable[[str], object], machines: list[str]) -> float:
    """Microseconds of CPU per machine."""
    start = time.process_time()
    for machine in machines:
        run(machine)
    return round((time.process_time() - start) / len(machines) * 1e6, 1)


def measure(tx: Tx, instances: int, most: int) -> Iterator[tuple[str, float]]:
    """One group whose policy lets `most` update at a time."""
    policy = Policy(safe_mode=False, max_updates_per_period=most)
    server = rollerdb.Server(tx, policy=policy)
    everybody = [f"{number:032x}" for number in range(instances)]
    some, last = everybody[:SAMPLES], everybody[-SAMPLES:]
    yield "first check", mean_us(server.check, everybody)
    yield "check again, granted or waiting", mean_us(server.check, some)
    yield "check of the last ones", mean_us(server.check, last)
    yield "ping", mean_us(lambda name: server.send(name, "1.0.0", "<ping/>"), some)
    yield "event", mean_us(lambda name: server.event(name, 13, 1), some)
    yield "check, up to date", mean_us(lambda name: server.check(name, "2.0.0"), some)


def main() -> None:
    instances = int(sys.argv[1]) if len(sys.argv) > 1 else INSTANCES
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(rollerdb.fresh(Path(directory))) as database,
    ):
        for most in (5, instances // 20, instances - 1, 10 * instances):
            with rollerdb.undone(database) as tx:
                for name, value in measure(tx, instances, most):
                    line = {"instances": instances, "max": most, "name": name, "us": value}
                    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
