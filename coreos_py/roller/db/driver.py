"""The two databases behind one face: transactions, and the SQL both of them speak.

Placeholders are `?`, rows are tuples, and SQL is never made of values. A connection is used by one
thread at a time; who writes is one thread in one rollerd.
"""

from __future__ import annotations

from typing import Any, Protocol

from coreos_py.base.errors import CoreosError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager

Row = tuple[Any, ...]
POSTGRES = ("postgres://", "postgresql://")


class DatabaseError(CoreosError):
    """The database cannot be used, now or at all; one line."""


class Late(DatabaseError):
    """Something that was sent before has failed, the cause says how: nothing has happened of the
    transaction.
    """


class Rejected(CoreosError):
    """The database did not take these values: a constraint, or what it cannot hold."""


class Tx(Protocol):
    """A transaction under way."""

    def execute(self, sql: str, *params: object) -> int:
        """Run a statement; the number of rows it changed."""

    def send(self, sql: str, *params: object) -> None:
        """Run a statement whose answer nobody needs; what is wrong with it may be said later.

        Values that the database does not take are Rejected here, or the transaction ends Late.
        """

    def one(self, sql: str, *params: object) -> Row | None:
        """The first row of a query."""

    def all(self, sql: str, *params: object) -> list[Row]:
        """All rows of a query."""


class Database(Protocol):
    """One connection."""

    dialect: str  # "sqlite" or "postgres"

    def transaction(self) -> AbstractContextManager[Tx]:
        """BEGIN; COMMIT at the end, durable when this is left; ROLLBACK with an exception."""

    def savepoint(self, tx: Tx) -> AbstractContextManager[None]:
        """A part of a transaction that an exception undoes alone; parts do not nest."""

    def close(self) -> None:
        """Let go of the connection, and of what was not committed."""


def connect(url: str, *, read_only: bool = False) -> Database:
    """Open `postgres://…`, or else the sqlite file of this path; DatabaseError."""
    if url.startswith(POSTGRES):
        from coreos_py.roller.db.postgres import Postgres

        return Postgres(url, read_only=read_only)
    from coreos_py.roller.db.sqlite import Sqlite

    return Sqlite(url, read_only=read_only)
