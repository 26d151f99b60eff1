"""The two databases behind one face: transactions, and the SQL both of them speak.

Placeholders are `?`, rows are tuples, and SQL is never made of values. A connection is used by one
thread at a time; who writes is one thread in one rollerd.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Protocol

from coreos_py.base.errors import CoreosError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

Row = tuple[Any, ...]
POSTGRES = ("postgres://", "postgresql://")


class DatabaseError(CoreosError):
    """The database refused or is gone; one line."""


class Tx(Protocol):
    """A transaction under way."""

    def execute(self, sql: str, *params: object) -> int:
        """Run a statement; the number of rows it changed."""

    def one(self, sql: str, *params: object) -> Row | None:
        """The first row of a query."""

    def all(self, sql: str, *params: object) -> list[Row]:
        """All rows of a query."""


class Connection(Protocol):
    """One connection; methods are as in worker.Connection. DatabaseError for all its faults."""

    dialect: str  # "sqlite" or "postgres"

    @property
    def tx(self) -> Tx:
        """What runs statements, between begin() and commit()."""

    def begin(self) -> None:
        """Start a transaction."""

    def commit(self) -> None:
        """Durable when this returns."""

    def rollback(self) -> None:
        """Undo the transaction, if there is one."""

    def savepoint(self) -> None:
        """Start a part of the transaction that can be undone alone; parts do not nest."""

    def release(self) -> None:
        """The part belongs to the transaction."""

    def rollback_to_savepoint(self) -> None:
        """Undo the part."""

    def close(self) -> None:
        """Let go of the connection, and of what was not committed."""


@contextmanager
def transaction(connection: Connection) -> Iterator[Tx]:
    """BEGIN; COMMIT at the end, ROLLBACK with an exception."""
    connection.begin()
    try:
        yield connection.tx
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def connect(url: str, *, read_only: bool = False) -> Connection:
    """Open `postgres://…`, or else the sqlite file of this path; DatabaseError."""
    if url.startswith(POSTGRES):
        from coreos_py.roller.db.postgres import Postgres

        return Postgres(url, read_only=read_only)
    from coreos_py.roller.db.sqlite import Sqlite

    return Sqlite(url, read_only=read_only)
