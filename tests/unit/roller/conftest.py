"""A database for every test of a module, empty again after each; or both kinds of it."""

from __future__ import annotations

import pytest

from coreos_py.roller.db.driver import connect
from coreos_py.roller.db.setup import prepare
from tests.support import postgres, rollerdb


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A prepared sqlite file."""
    found = rollerdb.fresh(tmp_path_factory.mktemp("roller"))
    yield found
    found.close()


@pytest.fixture
def tx(database):
    """A transaction that is undone."""
    with rollerdb.undone(database) as found:
        yield found


@pytest.fixture(scope="session")
def postgres_url():
    """A PostgreSQL server for all who ask for it."""
    if postgres.PROGRAMS is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres.Server() as server:
        yield server.url()


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def place(request, tmp_path_factory):
    """Where a database can be opened."""
    if request.param == "sqlite":
        return str(tmp_path_factory.mktemp("db") / "rollerd.db")
    return request.getfixturevalue("postgres_url")


@pytest.fixture(scope="session")
def both(place):
    """A prepared database, one of each kind."""
    found = connect(place)
    prepare(found, 1)  # which a server may be already, for the tests of another file
    yield found
    found.close()
