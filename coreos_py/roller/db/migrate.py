"""Brings a database up to date: numbered steps, each in a transaction of its own.

A step is a module of migrations/ with STATEMENTS; `{serial}` in them is a growing number as
primary key. A database that knows a step more than this program is refused.
"""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from coreos_py.roller.db.driver import Database, DatabaseError, Tx

_SERIAL = {
    "sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "postgres": "BIGSERIAL PRIMARY KEY",
}
_APPLIED = """CREATE TABLE IF NOT EXISTS migration (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_us BIGINT NOT NULL
)"""
_NAMES = ("m0001_initial", "m0002_samples", "m0003_coreupdate")


class Migration(NamedTuple):
    """One step."""

    number: int
    name: str
    statements: tuple[str, ...]


def steps() -> tuple[Migration, ...]:
    """All there are, in order."""
    return tuple(_load(name) for name in _NAMES)


def _load(name: str) -> Migration:
    module = import_module(f"coreos_py.roller.db.migrations.{name}")
    return Migration(int(name[1:5]), name[6:], module.STATEMENTS)


def migrate(
    database: Database, now_us: int, *, known: tuple[Migration, ...] | None = None
) -> list[Migration]:
    """Apply what is missing, return that; DatabaseError if the database is a newer program's."""
    known = steps() if known is None else known
    with database.transaction() as tx:
        tx.execute(_APPLIED)
        applied = [row[0] for row in tx.all("SELECT number FROM migration ORDER BY number")]
    newest = known[-1].number
    if applied and applied[-1] > newest:
        raise DatabaseError(
            f"the database is of version {applied[-1]}, this program knows up to {newest}",
            hint="use the newer rollerd, or a copy of the database from before its first start",
        )
    missing = [step for step in known if step.number not in applied]
    return [step for step in missing if _apply(database, step, now_us)]


def is_applied(tx: Tx, number: int) -> bool:
    """Whether a step has been taken."""
    return tx.one("SELECT 1 FROM migration WHERE number = ?", number) is not None


def note(tx: Tx, number: int, name: str, now_us: int) -> None:
    """Write down that a step has been taken."""
    tx.execute(
        "INSERT INTO migration (number, name, applied_us) VALUES (?, ?, ?)", number, name, now_us
    )


def _apply(database: Database, step: Migration, now_us: int) -> bool:
    """False if another rollerd that starts at this moment was faster."""
    serial = _SERIAL[database.dialect]
    try:
        with database.transaction() as tx:
            if is_applied(tx, step.number):
                return False
            for statement in step.statements:
                tx.execute(statement.replace("{serial}", serial))
            note(tx, step.number, step.name, now_us)
    except DatabaseError as err:
        text = f"migration {step.number} ({step.name}) failed: {err}"
        hint = "" if step.number > 1 else "rollerd needs a database of its own"
        raise DatabaseError(text, hint=hint) from err
    return True
