"""`python -m tests.bench.rollerd [MACHINES [CONNECTIONS]]`: how many machines one rollerd serves.

Every machine goes through a whole update on the real process; the load generator takes its share of
the same processors. Afterwards every event must be in the database once.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
import tempfile
from pathlib import Path

from tests.support.roller_load import Outcome, roll
from tests.support.rollerd import Rollerd

MACHINES, CONNECTIONS = 20_000, 200
STEPS = 5
EVENTS = ((13, 1), (14, 1), (3, 1), (3, 2))


def measure(machines: int, connections: int) -> dict[str, object]:
    """One run; what it measured."""
    with tempfile.TemporaryDirectory() as directory:
        server = Rollerd(Path(directory))
        server.start()
        try:
            server.wait_ready()
            server.open_group()
            server.add_package("2.0.0")
            outcome = roll(server.port, range(machines), version="2.0.0", connections=connections)
            check(server, outcome, machines)
            result = figures(server, outcome)
            assert server.stop() == 0
            return result
        finally:
            server.close()


def check(server: Rollerd, outcome: Outcome, machines: int) -> None:
    """Every request was answered and every event is there once."""
    assert not outcome.refused, outcome.refused[0]
    assert len(outcome.answered) == STEPS * machines
    with contextlib.closing(sqlite3.connect(server.database)) as database:
        for kind, result in EVENTS:
            rows = database.execute(
                "SELECT COUNT(*), COUNT(DISTINCT instance_id) FROM event"
                " WHERE type = ? AND result = ?",
                (kind, result),
            )
            assert rows.fetchone() == (machines, machines), (kind, result)


def figures(server: Rollerd, outcome: Outcome) -> dict[str, object]:
    """What to print."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{server.pid}/status").read_text().splitlines()
    )
    return {
        "requests": len(outcome.answered),
        "requests_per_s": round(outcome.rate),
        "p50_ms": round(outcome.percentile_ms(0.5), 1),
        "p99_ms": round(outcome.percentile_ms(0.99), 1),
        "rss_max_mib": int(status["VmHWM"].split()[0]) // 1024,
        "cpu_ms_per_request": round(server.cpu_seconds() * 1000 / len(outcome.answered), 3),
        "database_mib": round(server.database.stat().st_size / (1 << 20), 1),
    }


def main(argv: list[str]) -> None:
    """Measure and print one line of JSON."""
    machines, connections = (*(int(word) for word in argv), MACHINES, CONNECTIONS)[:2]
    if len(argv) == 1:
        connections = CONNECTIONS
    print(json.dumps(measure(machines, connections)))


if __name__ == "__main__":
    main(sys.argv[1:])
