"""`python -m tests.bench.rollerd [--postgres] [MACHINES [CONNECTIONS]]`: how many it serves.

Every machine goes through a whole update on the real process; the load generator takes its share of
the same processors. Afterwards every event must be in the database once. With `--postgres` that is
a PostgreSQL server of its own, here as well, whose commits are on the disk as sqlite's are.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from pathlib import Path

from coreos_py.roller.db.driver import connect
from tests.support import postgres
from tests.support.roller_load import Outcome, roll
from tests.support.rollerd import Rollerd

MACHINES, CONNECTIONS = 20_000, 200
STEPS = 5
EVENTS = ((13, 1), (14, 1), (3, 1), (3, 2))
POSTGRES = "--postgres"


def measure(machines: int, connections: int, *, url: str = "") -> dict[str, object]:
    """One run; what it measured."""
    with tempfile.TemporaryDirectory() as directory:
        server = Rollerd(Path(directory), *([f"-db={url}"] if url else []))
        server.start()
        try:
            server.wait_ready()
            server.open_group()
            server.add_package("2.0.0")
            outcome = roll(server.port, range(machines), version="2.0.0", connections=connections)
            result = check(url or str(server.database), outcome, machines)
            result = figures(server, outcome) | result
            assert server.stop() == 0
            return result
        finally:
            server.close()


def check(database: str, outcome: Outcome, machines: int) -> dict[str, object]:
    """Every request was answered and every event is there once; how much room that takes."""
    assert not outcome.refused, outcome.refused[0]
    assert len(outcome.answered) == STEPS * machines
    with (
        contextlib.closing(connect(database, read_only=True)) as reader,
        reader.transaction() as tx,
    ):
        for kind, result in EVENTS:
            found = tx.one(
                "SELECT COUNT(*), COUNT(DISTINCT instance_id) FROM event"
                " WHERE type = ? AND result = ?",
                kind,
                result,
            )
            assert found == (machines, machines), (kind, result, found)
        if reader.dialect == "sqlite":
            size = Path(database).stat().st_size
        else:
            ((size,),) = tx.all("SELECT pg_database_size(current_database())")
    return {"database_mib": round(size / (1 << 20), 1)}


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
    }


def main(argv: list[str]) -> None:
    """Measure and print one line of JSON."""
    numbers = [int(word) for word in argv if word != POSTGRES]
    machines, connections = (*numbers, *(MACHINES, CONNECTIONS)[len(numbers) :])
    with contextlib.ExitStack() as stack:
        url = ""
        if POSTGRES in argv:
            url = stack.enter_context(postgres.Server(is_durable=True)).url()
        print(json.dumps(measure(machines, connections, url=url)))


if __name__ == "__main__":
    main(sys.argv[1:])
