"""Transactions and migrations, in both databases: all or nothing, and never backwards."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from coreos_py.roller.db import apps, groups, packages
from coreos_py.roller.db.driver import DatabaseError, Rejected, connect
from coreos_py.roller.db.migrate import Migration, migrate, steps
from coreos_py.roller.db.setup import prepare
from coreos_py.roller.records import App
from tests.support import rollerdb


@pytest.fixture(scope="module")
def database(both):
    return both


def _add(tx, name, *, then=""):
    apps.add(tx, App(f"id-{name}", name, "", None, 5))
    if then:
        tx.execute(then)


def _add_and_fail(tx, name):
    _add(tx, name)
    raise RuntimeError


def test_a_part_is_undone_alone(database):
    with rollerdb.undone(database) as tx:
        _add(tx, "kept")
        with pytest.raises(Rejected), database.savepoint(tx):
            _add(tx, "lost", then="INSERT INTO application (id) VALUES ('x')")
        with pytest.raises(RuntimeError), database.savepoint(tx):
            _add_and_fail(tx, "lost too")
        with database.savepoint(tx):
            _add(tx, "kept too")
        names = {app.name for app in apps.listing(tx)}
        assert names == {"CoreOS", "kept", "kept too"}


def test_a_transaction_is_all_or_nothing(place, database):
    with pytest.raises(RuntimeError), database.transaction() as tx:
        _add_and_fail(tx, "lost")
    reader = connect(place, read_only=True)
    with database.transaction() as tx:
        _add(tx, "there")
        with reader.transaction() as view:
            assert apps.named(view, "id-there") is None
    with reader.transaction() as view:
        assert apps.named(view, "id-there") is not None
        assert apps.named(view, "id-lost") is None
        with database.transaction() as tx:
            apps.delete(tx, "id-there")
        assert apps.named(view, "id-there") is not None
    reader.close()


def test_readers_do_not_write(place, database):
    reader = connect(place, read_only=True)
    with pytest.raises(DatabaseError), reader.transaction() as view:
        _add(view, "new")
    with reader.transaction() as view:
        assert apps.count(view) == 1
    reader.close()


@pytest.mark.parametrize("value", ["\ud800", 1 << 70])
def test_values_that_no_database_keeps(database, value):
    with rollerdb.undone(database) as tx:
        with pytest.raises(Rejected), database.savepoint(tx):
            tx.execute("UPDATE application SET created_us = ?, description = ?", value, value)
        assert apps.count(tx) == 1


def test_wrong_sql_is_the_databases_fault(database):
    with pytest.raises(DatabaseError), rollerdb.undone(database) as tx:
        tx.execute("SELECT nonsense FROM nowhere")
    with rollerdb.undone(database) as tx:
        assert apps.count(tx) == 1


# -- migrations

NEXT = Migration(1000, "next", ("CREATE TABLE next (id {serial}, word TEXT NOT NULL)",))
BROKEN = Migration(1000, "broken", ("CREATE TABLE half (id {serial})", "CREATE TABLE ("))


def _applied(tx):
    return [row[0] for row in tx.all("SELECT number FROM migration ORDER BY number")]


def test_steps_are_numbered():
    assert [step.number for step in steps()] == list(range(1, len(steps()) + 1))


@pytest.fixture
def empty(place, tmp_path):
    """A database with nothing in it."""
    found = connect(place if place.startswith("postgres") else str(tmp_path / "empty.db"))
    if found.dialect == "postgres":
        with found.transaction() as tx:
            tx.execute("CREATE SCHEMA other")
            tx.execute("SET search_path TO other")
    yield found
    if found.dialect == "postgres":
        with found.transaction() as tx:
            tx.execute("DROP SCHEMA other CASCADE")
    found.close()


def test_an_older_database_with_data(empty):
    """Filled by the program that knew the first step only, then opened by this one."""
    assert migrate(empty, 1, known=steps()[:1]) == [steps()[0]]
    with empty.transaction() as tx:
        tx.execute("INSERT INTO application VALUES ('a', 'old', 'd', NULL, 5)")
        tx.execute(
            "INSERT INTO package VALUES ('p', 'a', 4, '1.0.0', 'u', NULL, NULL, NULL, NULL, 5)"
        )
        tx.execute(
            "INSERT INTO groups (id, app_id, name, description, track, created_us,"
            " policy_updates_enabled, policy_safe_mode, policy_office_hours,"
            " policy_period_interval, policy_max_updates_per_period, policy_update_timeout,"
            " policy_canaries, update_percent, rollout, rollout_active, rollout_in_progress,"
            " pause_reason)"
            " VALUES ('g', 'a', 'G', '', 'g', 5, 1, 1, 0, '1 day', 3, '1 hour', 0, 100, '', 0, 0,"
            " '')"
        )
    assert migrate(empty, 2) == list(steps()[1:])
    with empty.transaction() as tx:
        assert apps.find(tx, "a") == App("a", "old", "d", None, 5)
        assert packages.by_version(tx, "a", "1.0.0").id == "p"
        assert groups.find(tx, "g").policy.max_updates_per_period == 3
        assert _applied(tx) == [step.number for step in steps()]
    assert migrate(empty, 3) == []


def test_a_newer_database_is_refused(empty):
    migrate(empty, 1)
    assert migrate(empty, 2, known=(*steps(), NEXT)) == [NEXT]
    with pytest.raises(DatabaseError) as caught:
        migrate(empty, 3)
    newest = steps()[-1].number
    assert str(caught.value) == (
        f"the database is of version 1000, this program knows up to {newest}"
    )


def test_a_start_that_was_cut_short_is_made_up_for(empty):
    """Migrated, and killed before there was an application; and applications may all go."""
    migrate(empty, 1)
    assert prepare(empty, 2)
    with empty.transaction() as tx:
        (app,) = apps.listing(tx)
        apps.delete(tx, app.id)
    assert not prepare(empty, 3)
    with empty.transaction() as tx:
        assert apps.listing(tx) == []


def test_two_that_start_at_once(place, tmp_path):
    """Both take all steps, as far as the other one has left any."""
    where = place if place.startswith("postgres") else str(tmp_path / "both.db")

    def start(_):
        with closing(connect(where)) as found:
            if found.dialect == "postgres":
                with found.transaction() as tx:
                    tx.execute("CREATE SCHEMA IF NOT EXISTS twice")
                    tx.execute("SET search_path TO twice")
            return prepare(found, 1)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(start, range(4))) == [False, False, False, True]


def test_a_first_start_waits_for_another_ones_write(tmp_path):
    """sqlite itself does not wait before it makes a file WAL."""
    where = str(tmp_path / "new.db")
    other = sqlite3.connect(where, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN IMMEDIATE")
    ending = threading.Timer(0.2, other.execute, ("COMMIT",))
    ending.start()
    connect(where).close()
    ending.join()
    other.close()


def test_a_database_of_another_program(empty):
    """CoreRoller's has tables of the same names; it is left as it is."""
    with empty.transaction() as tx:
        tx.execute("CREATE TABLE groups (id TEXT PRIMARY KEY)")
    with pytest.raises(DatabaseError, match=r"migration 1 \(initial\) failed: ") as caught:
        migrate(empty, 1)
    assert caught.value.hint == "rollerd needs a database of its own"
    with empty.transaction() as tx:
        assert tx.all("SELECT * FROM groups") == []
        assert _applied(tx) == []


def test_half_a_migration_is_none(empty):
    migrate(empty, 1)
    with pytest.raises(DatabaseError, match="migration 1000 \\(broken\\) failed: "):
        migrate(empty, 2, known=(*steps(), BROKEN))
    with empty.transaction() as tx:
        assert _applied(tx) == [step.number for step in steps()]
    assert migrate(empty, 3, known=(*steps(), BROKEN._replace(statements=BROKEN.statements[:1])))
