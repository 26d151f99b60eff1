"""rollerd on PostgreSQL: the same answers, and patience while it is away."""

from __future__ import annotations

import pytest

from tests.support import postgres
from tests.support.procs import eventually
from tests.support.roller_load import roll
from tests.support.rollerd import COREOS, STABLE, Machine, Rollerd

pytestmark = [
    pytest.mark.proc,
    pytest.mark.skipif(postgres.PROGRAMS is None, reason="PostgreSQL is not installed"),
]

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
