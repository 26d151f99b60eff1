"""rollerd's database as one sqlite file: WAL, and on disk before an answer goes out."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import contextmanager
from urllib.parse import quote

from coreos_py.roller.db.driver import DatabaseError, Rejected, Row, Tx

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

BUSY_TIMEOUT_MS = 10_000
RETRY_S = 0.01
CACHE_KIB = 32 * 1024
STATEMENTS = 512


class Sqlite:
    """A connection to one file, which is its own Tx; readers see what was committed."""

    dialect = "sqlite"

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        self._begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
        try:
            if not read_only:
                _create_private(path)
            self._connection = sqlite3.connect(
                f"file:{quote(path)}?mode={'ro' if read_only else 'rwc'}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=STATEMENTS,
                timeout=BUSY_TIMEOUT_MS / 1000,
            )
            self._cursor = self._connection.cursor()
            self._prepare(read_only=read_only)
        except (sqlite3.Error, OSError) as err:
            raise DatabaseError(f"cannot open the database {path}: {_text(err)}") from None

    def _prepare(self, *, read_only: bool) -> None:
        run = self._connection.execute
        run(f"PRAGMA cache_size = -{CACHE_KIB}")
        run("PRAGMA foreign_keys = ON")
        if read_only:
            run("PRAGMA query_only = ON")
            return
        mode = self._to_wal()
        if mode not in ("wal", "memory"):
            raise OSError(f"journal mode is {mode}, not WAL")
        run("PRAGMA synchronous = FULL")

    def _to_wal(self) -> str:
        """The journal mode; of two that change it at once sqlite refuses one, without waiting."""
        give_up_s = time.monotonic() + BUSY_TIMEOUT_MS / 1000
        while True:
            try:
                return str(self._connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
            except sqlite3.OperationalError as err:
                if err.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_s:
                    raise
            time.sleep(RETRY_S)

    def execute(self, sql: str, *params: object) -> int:
        return self._run(sql, params).rowcount

    def send(self, sql: str, *params: object) -> None:
        self._run(sql, params)

    def one(self, sql: str, *params: object) -> Row | None:
        cursor = self._run(sql, params)
        row: Row | None = cursor.fetchone()
        if row is not None:
            cursor.fetchall()  # a statement that is not at its end keeps its snapshot
        return row

    def all(self, sql: str, *params: object) -> list[Row]:
        return self._run(sql, params).fetchall()

    def _run(self, sql: str, params: tuple[object, ...]) -> sqlite3.Cursor:
        try:
            return self._cursor.execute(sql, params)
        except (sqlite3.IntegrityError, sqlite3.DataError, OverflowError, UnicodeError) as err:
            raise Rejected(f"sqlite: {err}") from err
        except sqlite3.Error as err:
            raise DatabaseError(f"sqlite: {err}") from err

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        self._run(self._begin, ())
        try:
            yield self
            self._run("COMMIT", ())
        except BaseException:
            if self._connection.in_transaction:
                self._run("ROLLBACK", ())
            raise

    @contextmanager
    def savepoint(self, tx: Tx) -> Iterator[None]:
        tx.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:  # a full disk ends the whole of it
                tx.execute("ROLLBACK TO part")
                tx.execute("RELEASE part")
            raise
        tx.execute("RELEASE part")

    def close(self) -> None:
        self._connection.close()


def _create_private(path: str) -> None:
    """Passwords' hashes are inside: a new file is its owner's alone."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _text(err: Exception) -> str:
    return err.strerror or str(err) if isinstance(err, OSError) else str(err)
