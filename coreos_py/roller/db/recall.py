"""What a transaction has read of the tables that seldom change, so that it asks once. Pure.

A transaction answers hundreds of machines of the same few groups, and nobody else writes meanwhile:
rows stay what they were until this transaction itself changes one of these tables.
"""

from __future__ import annotations

import functools
import re

from coreos_py.roller.db.driver import Row

_LASTING = frozenset(
    {
        *("application", "groups", "channel", "package", "coreos_action"),
        "package_channel_blacklist",
    }
)
# Writing to these changes none of those, not even by way of a foreign key.
_PASSING = frozenset(
    {
        *("instance", "standing", "tally", "event", "activity", "instance_status_history"),
        *("sample", "session", "token"),
    }
)
_READ = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)")
_WRITTEN = re.compile(r"(?:INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)")


class Recall:
    """The rows by query."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, tuple[object, ...]], list[Row]] = {}

    def find(self, sql: str, params: tuple[object, ...]) -> list[Row] | None:
        """What this query answered; None if it has to be asked."""
        rows = self._rows.get((sql, params))
        return None if rows is None else rows.copy()

    def keep(self, sql: str, params: tuple[object, ...], rows: list[Row]) -> None:
        """Note an answer, if it is one that stays."""
        if _is_lasting(sql):
            self._rows[sql, params] = rows.copy()

    def wrote(self, sql: str) -> None:
        """A statement that may have changed something."""
        if self._rows and not _is_passing(sql):
            self._rows.clear()

    def forget(self) -> None:
        """Another transaction begins, or a part of this one was undone."""
        self._rows.clear()


@functools.cache
def _is_lasting(sql: str) -> bool:
    tables = _READ.findall(sql)
    return bool(tables) and _LASTING.issuperset(tables)


@functools.cache
def _is_passing(sql: str) -> bool:
    found = _WRITTEN.match(sql)
    return found is not None and found[1] in _PASSING
