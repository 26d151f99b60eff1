"""What the syncer asks, and what it makes of the answers."""

from __future__ import annotations

import pytest

from coreos_py.base.errors import WireError
from coreos_py.omaha import request
from coreos_py.omaha.response import AppReply, Offer, Package, write
from coreos_py.roller import syncplan
from coreos_py.roller.coreupdate import views
from coreos_py.roller.records import COREOS_APP
from coreos_py.roller.syncplan import Followed, Refused

ITEM = Followed(
    "c", COREOS_APP, COREOS_APP, "stable", "1.0.0", "11111111-2222-5333-8444-555555555555"
)
SHA = "EqYfThc/s6EcBdZHH3Ryj3YjG0pfzZZnzvOvh6OuTcI="


def answer(version="2.0.0", **fields):
    offer = Offer(version, ("http://u/p/",), (Package("a.gz", "c2hhMQ==", 8),), {"sha256": SHA})
    reply = AppReply(COREOS_APP, update_status="ok", offer=offer)._replace(**fields)
    return write((reply,), server="x", compact=True)


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://u", "http://u/v1/update/"),
        ("http://u/", "http://u/v1/update/"),
        ("http://u/v1/update", "http://u/v1/update/"),
        ("http://u/v1/update/", "http://u/v1/update/"),
        ("https://u/prefix", "https://u/prefix/v1/update/"),
        ("http://u/omaha/", "http://u/omaha/"),
    ],
)
def test_where_a_server_is_asked(url, asked):
    assert syncplan.endpoint(url) == asked


def test_it_asks_as_one_machine_that_runs_what_the_channel_has():
    (app,) = request.parse(syncplan.question(ITEM)).apps
    assert (app.app_id, app.version, app.track) == (f"{{{COREOS_APP}}}", "1.0.0", "stable")
    assert app.machine_id == "11111111222253338444555555555555"
    assert app.has_update_check
    assert [(e.type, e.result, e.previous_version) for e in app.events] == [(3, 2, "")]


def test_an_offer_and_the_package_made_of_it():
    found = syncplan.read(answer(), ITEM)
    assert found == syncplan.Offer("2.0.0", "http://u/p/a.gz", 8, "c2hhMQ==", SHA)
    package = syncplan.package(found, ITEM, package_id="p", action_id="a", now_us=5)
    assert (package.url, package.filename, views.url(package)) == (
        "http://u/p/",
        "a.gz",
        "http://u/p/a.gz",
    )
    assert (package.app_id, package.version, package.size) == (COREOS_APP, "2.0.0", "8")
    assert package.action is not None
    assert package.action.sha256 == SHA
    assert syncplan.hosted_name(found, ITEM) == "coreos-amd64-2.0.0.gz"
    assert syncplan.hosted_name(found, ITEM._replace(app_id="web")) == "web-2.0.0.gz"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (answer(offer=None, update_status="noupdate"), None),
        (answer("1.0.0"), None),  # not newer, whatever the server thinks
        (answer("0.9.0"), None),
        (
            answer(offer=None, update_status="", status="error-unknownApplicationOrGroup"),
            Refused("error-unknownApplicationOrGroup", is_unknown=True),
        ),
        (
            answer(offer=None, update_status="", status="error-instanceRegistrationFailed"),
            Refused("error-instanceRegistrationFailed", is_unknown=True),
        ),
        (
            answer(offer=None, update_status="", status="error-updatesDisabled"),
            Refused("error-updatesDisabled", is_unknown=False),
        ),
    ],
)
def test_answers_without_an_offer(data, found):
    assert syncplan.read(data, ITEM) == found


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html></html>",
        b"not XML",
        answer("two"),
        answer(offer=None, update_status="error-hash"),
        answer().replace(SHA.encode(), b"short"),
    ],
)
def test_answers_that_make_no_sense(data):
    with pytest.raises(WireError):
        syncplan.read(data, ITEM)


def test_it_tells_the_whole_story():
    told = [request.parse(data).apps[0] for data in syncplan.story(ITEM, "2.0.0")]
    assert [(app.version, app.events[0].type, app.events[0].result) for app in told] == [
        ("1.0.0", 13, 1),
        ("1.0.0", 14, 1),
        ("1.0.0", 3, 1),
        ("2.0.0", 3, 2),
    ]
    assert told[-1].events[0].previous_version == "1.0.0"
    failed = request.parse(syncplan.failure(ITEM, 10)).apps[0].events[0]
    assert (failed.type, failed.result, failed.error_code) == (3, 0, 10)
