"""A database for every test of a module, empty again after each."""

from __future__ import annotations

import pytest

from tests.support import rollerdb


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
