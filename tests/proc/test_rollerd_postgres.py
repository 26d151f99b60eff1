"""rollerd on PostgreSQL: the same answers, and patience while it is away."""

from __future__ import annotations

import itertools
import threading
from contextlib import closing

import pytest

from coreos_py.roller.db.driver import connect
from tests.support import postgres
from tests.support.procs import eventually
from tests.support.roller_load import roll
from tests.support.rollerd import COREOS, STABLE, Machine, Rollerd

pytestmark = [
    pytest.mark.proc,
    pytest.mark.skipif(postgres.PROGRAMS is None, reason="PostgreSQL is not installed"),
]

EVENTS = {1: (13, 1), 2: (14, 1), 3: (3, 1), 4: (3, 2)}
GROUP = f"/api/apps/{COREOS}/groups/{STABLE}"


def test_a_rollout_and_a_database_that_goes_away(tmp_path):
    with postgres.Server() as database:
        server = Rollerd(tmp_path, f"-db={database.url()}")
        try:
            server.start()
            server.wait_ready()
            server.open_group()
            server.add_package("2.0.0")
            outcome = roll(server.port, range(60), version="2.0.0", connections=20)
            assert not outcome.refused
            assert len(outcome.answered) == 5 * 60
            stats = server.must("GET", GROUP)["instances_stats"]
            assert (stats["total"], stats["complete"]) == (60, 60)
            events = server.must("GET", f"{GROUP}/instances/{7:032x}/events")
            told = [(item["type"], item["result"]) for item in reversed(events)]
            assert told == [(13, 1), (14, 1), (3, 1), (3, 2)]
            assert not server.database.exists()

            hint = server.ask("GET", "/db/backup")
            assert hint.status == 501
            assert f"pg_dump --host=127.0.0.1 --port={database.port} " in hint.body.decode()
            assert "standing" in database.dump(hint.body.decode().partition(": ")[2])

            database.stop()
            assert server.omaha(Machine(1).check()).status == 503
            assert server.ask("GET", "/health").status == 503
            database.start()
            eventually(
                lambda: server.omaha(Machine(1).check()).status == 200, every_s=0.2, logs=[server]
            )
            assert server.ask("GET", "/health").status == 200
            assert server.must("GET", GROUP)["instances_stats"]["total"] == 60

            server.restart()
            server.wait_ready()
            assert server.must("GET", GROUP)["instances_stats"]["total"] == 60
            assert "Traceback" not in server.log_text(whole=True)
            assert server.stop() == 0
        finally:
            server.close()


def test_nothing_that_was_acknowledged_is_lost(tmp_path):
    """rollerd is killed in the middle of it, and later on PostgreSQL crashes."""
    with postgres.Server() as database:
        server = Rollerd(tmp_path, f"-db={database.url()}")
        numbers = itertools.count()
        trouble = threading.Event()  # until then there are more and more machines

        def machines():
            while not trouble.is_set():
                yield next(numbers)

        def kill(outcome):
            eventually(lambda: len(outcome.answered) > 150, every_s=0.001, logs=[server])
            server.kill9()
            trouble.set()

        def crash(outcome):
            eventually(lambda: len(outcome.answered) > 150, every_s=0.001, logs=[server])
            database.crash()
            eventually(lambda: outcome.refused, every_s=0.001, logs=[server])
            trouble.set()
            database.start()

        try:
            server.start()
            server.wait_ready()
            server.open_group()
            server.add_package("2.0.0")
            first = update(server, machines(), meanwhile=kill)
            assert first.lost
            assert not first.refused
            assert check(database.url(), first) == 1

            server.start()
            server.wait_ready()
            trouble.clear()
            second = update(server, machines(), meanwhile=crash)
            assert all(reply.startswith(b"HTTP/1.1 503 ") for reply in second.refused)
            check(database.url(), first, second)

            eventually(
                lambda: server.ask("GET", "/health").status == 200, every_s=0.2, logs=[server]
            )
            finished = first.acknowledged(4) | second.acknowledged(4)
            total = next(numbers)
            rest = [number for number in range(total) if number not in finished]
            assert not update(server, rest).refused
            stats = server.must("GET", GROUP)["instances_stats"]
            assert (stats["total"], stats["complete"]) == (total, total)
            assert "Traceback" not in server.log_text(whole=True)
        finally:
            server.close()


def update(server, machines, **more):
    return roll(server.port, machines, version="2.0.0", connections=20, **more)


def check(url, *outcomes):
    """Every event that was answered is there; how often one is, at most."""
    most = 0
    with closing(connect(url, read_only=True)) as database, database.transaction() as tx:
        for step, kind in EVENTS.items():
            rows = tx.all(
                "SELECT instance_id, COUNT(*) FROM event WHERE type = ? AND result = ?"
                " GROUP BY instance_id",
                *kind,
            )
            kept = {int(name, 16) for name, _ in rows}
            for outcome in outcomes:
                assert outcome.acknowledged(step) <= kept
            most = max(most, *(number for _, number in rows))
    return most
