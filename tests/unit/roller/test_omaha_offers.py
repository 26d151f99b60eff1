"""What is on offer, attribute by attribute, as update_engine puts it together."""

from __future__ import annotations

import pytest

from coreos_py.roller.db import packages
from tests.support import rollerdb


def offered(server, **fields):
    """The `<updatecheck>` for a package with these fields."""
    package = packages.by_version(server.tx, server.app_id, "2.0.0")
    assert package is not None
    packages.update(server.tx, package._replace(**fields))
    return server.send("m1", "1.0.0", "<updatecheck/>").first("updatecheck")


@pytest.mark.parametrize(
    ("url", "codebase"),
    [
        ("http://h/p/", "http://h/p/"),
        ("http://h/p", "http://h/p/"),
        ("http://h", "http://h/"),
        ("http://h/get?file=", "http://h/get?file="),
        ("/packages/", "http://rollerd:8000/packages/"),
    ],
)
def test_codebase_and_name_make_the_address(tx, url, codebase):
    """update_engine writes one behind the other, with nothing between."""
    found = offered(rollerdb.Server(tx), url=url)
    assert found.first("urls", "url").get("codebase") == codebase


def test_coreroller_s_codebase_is_what_was_entered(tx):
    found = offered(rollerdb.Server(tx, compat=True), url="http://h/p")
    assert found.first("urls", "url").get("codebase") == "http://h/p"


def test_each_hash_is_where_clients_look_for_it(tx):
    """SHA-1 in the package, SHA-256 in the action, both of the whole payload, in base64."""
    found = offered(rollerdb.Server(tx))
    package = found.first("manifest", "packages", "package")
    action = found.first("manifest", "actions", "action")
    assert (package.get("hash"), package.get("size")) == ("aGFzaA==", "5")
    assert (action.get("event"), action.get("sha256")) == ("postinstall", "c2hhMjU2")
