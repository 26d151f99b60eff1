"""Forgets what is old: events, and instances' changes of status.

Neither policy nor counters nor the charts of a rollout read these: they have tallies and samples
of their own.
"""

from __future__ import annotations

from coreos_py.roller.db.driver import Tx

ROWS_MAX = 500  # of each table at a time


def prune(tx: Tx, before_us: int) -> bool:
    """Remove the oldest rows of before then; whether there may be more."""
    events = tx.execute(
        "DELETE FROM event WHERE id IN"
        " (SELECT id FROM event WHERE created_us < ? ORDER BY created_us LIMIT ?)",
        before_us,
        ROWS_MAX,
    )
    changes = tx.execute(
        "DELETE FROM instance_status_history WHERE created_us < ? AND id IN"
        " (SELECT id FROM instance_status_history ORDER BY id LIMIT ?)",
        before_us,
        ROWS_MAX,
    )
    return max(events, changes) >= ROWS_MAX
