"""The cases that CoreRoller 1.0.6's own tests assert, as far as no transcript has them."""

from __future__ import annotations

import pytest

from coreos_py.roller.call import Config
from coreos_py.roller.db import activity, fleet, instances
from coreos_py.roller.records import COREOS_APP, Instance, Standing, Status
from tests.support import rollerdb
from tests.support.rest_bed import RestBed
from tests.support.rollerdb import LOOSE, OTHER_APP

MILLISECOND_US = 1000
NOBODY = "11111111-1111-4111-8111-111111111111"
UNREGISTERED = "error-instanceRegistrationFailed"
PERIOD = "error-maxUpdatesPerPeriodLimitReached"
CONCURRENT = "error-maxConcurrentUpdatesLimitReached"
TIMED_OUT = "error-maxTimedOutUpdatesLimitReached"


def serve(tx, **changes):
    """An application that is not CoreOS, as in most of those tests, at version 12.1.0."""
    policy = LOOSE._replace(max_updates_per_period=2, **changes)
    return rollerdb.Server(tx, policy=policy, compat=True, app_id=OTHER_APP, version="12.1.0")


# -- updates


def test_more_are_let_through_when_the_limit_grows(tx):
    server = serve(tx)
    server.set_policy(server.group().policy._replace(max_updates_per_period=1))
    assert [server.check(name, "12.0.0") for name in "ab"] == ["12.1.0", PERIOD]
    server.set_policy(server.group().policy._replace(max_updates_per_period=2))
    assert server.check("b", "12.0.0") == "12.1.0"


def test_a_place_is_free_when_one_has_ended(tx):
    server = serve(tx, period_interval="100 milliseconds")
    assert [server.check(name, "12.0.0") for name in "abc"] == ["12.1.0", "12.1.0", PERIOD]
    server.now_us += 100 * MILLISECOND_US
    assert server.check("c", "12.0.0") == CONCURRENT
    server.event("a", 3, 2, version="12.0.0")
    assert server.check("c", "12.0.0") == "12.1.0"


def test_those_that_take_too_long_stop_the_others(tx):
    server = serve(tx, period_interval="100 milliseconds", update_timeout="200 milliseconds")
    assert [server.check(name, "12.0.0") for name in "ab"] == ["12.1.0", "12.1.0"]
    server.now_us += 100 * MILLISECOND_US
    assert server.check("c", "12.0.0") == CONCURRENT
    server.now_us += 101 * MILLISECOND_US
    assert server.check("c", "12.0.0") == TIMED_OUT


def test_a_rollout_and_its_numbers(tx):
    server = serve(tx, safe_mode=True)
    server.set_policy(server.group().policy._replace(max_updates_per_period=4))

    def numbers():
        found = fleet.by_status(tx, server.group_id, server.now_us)
        named = {Status(status).name: count for status, count in found.items()}
        return server.group().rollout_in_progress, named

    for name in "abc":
        server.send(name, "1.0.0", "<ping/>")
    assert numbers() == (False, {"UNDEFINED": 3})
    for name in "abc":
        server.check(name, "12.0.0")
    assert numbers() == (True, {"UPDATE_GRANTED": 1, "ON_HOLD": 2})
    server.event("a", 13, 1)
    assert numbers() == (True, {"DOWNLOADING": 1, "ON_HOLD": 2})
    server.event("a", 3, 2)
    for name in "bc":
        server.check(name, "12.0.0")
    assert numbers() == (True, {"COMPLETE": 1, "UPDATE_GRANTED": 2})
    server.event("b", 3, 2)
    server.event("c", 3, 0)
    assert numbers() == (True, {"COMPLETE": 2, "ERROR": 1})
    assert server.group().policy.updates_enabled  # it was not the first one that failed
    assert server.check("c", "12.0.0") == "12.1.0"
    server.event("c", 3, 2)
    assert numbers() == (False, {"COMPLETE": 3})
    told = instances.history(tx, "a", OTHER_APP, server.group_id)
    assert [(Status(item.status).name, item.version) for item in told] == [
        *(("COMPLETE", "12.1.0"), ("DOWNLOADING", "12.1.0"), ("UPDATE_GRANTED", "12.1.0")),
    ]


@pytest.mark.parametrize("version", ["12.1.0", "1010.5.0+2016-05-27-1832"])
def test_who_is_up_to_date(tx, version):
    assert serve(tx).check("a", version) == "noupdate"


# -- instances


@pytest.mark.parametrize(
    ("version", "app_id", "track"),
    [
        ("", "", ""),
        ("aaa1.0.0", "", ""),
        ("1.0.0", "", NOBODY),
        ("1.0.0", "", "invalidGroupID"),
        ("1.0.0", NOBODY, ""),
        ("1.0.0", "invalidAppID", ""),
        ("1.0.0", COREOS_APP, ""),
    ],
)
def test_what_cannot_be_registered(tx, version, app_id, track):
    server = serve(tx)
    assert server.check("a", version, app_id=app_id, track=track) == UNREGISTERED
    assert instances.find(tx, "a") is None


def test_who_comes_again_with_something_new(tx):
    server = serve(tx)
    server.check("a", "1.0.0", app_id=f"{{{OTHER_APP}}}", track="{g-main}")
    server.check("a", "1.0.2")
    assert server.standing("a").version == "1.0.2"
    assert server.check("a", "1.0.2", app_id=COREOS_APP) == UNREGISTERED
    assert len(instances.standings(tx, "a")) == 1


# -- events


def test_events_that_cannot_be(tx):
    server = serve(tx)
    server.send("a", "1.0.0", "<ping/>")
    server.event("a", 13, 1)  # nothing is under way
    assert server.standing("a").status is None
    server.event("nobody", 3, 2)
    assert instances.find(tx, "nobody") is None
    server.check("a", "1.0.0")
    before = server.standing("a")
    for kind, result in ((1000, 1), (3, 1000)):
        server.event("a", kind, result)
    assert server.standing("a") == before


# -- REST

GROUP = {
    "policy_period_interval": "15 minutes",
    "policy_max_updates_per_period": 2,
    "policy_update_timeout": "60 minutes",
}
PACKAGE = {"type": 4, "url": "http://sample.url/pkg", "version": "12.1.0"}


class Site:
    """Two applications with a package and a channel each."""

    def __init__(self, directory):
        self.bed = RestBed(directory, Config(compat=True))
        self.apps, self.packages, self.channels = [], [], []
        for name in ("one", "two"):
            app = self.made("POST", "/api/apps", {"name": name})["id"]
            package = self.made("POST", f"/api/apps/{app}/packages", PACKAGE)["id"]
            channel = self.made(
                "POST", f"/api/apps/{app}/channels", {"name": name, "package_id": package}
            )["id"]
            self.apps.append(app)
            self.packages.append(package)
            self.channels.append(channel)
        self.root = f"/api/apps/{self.apps[0]}"

    def ask(self, method, path, body=None):
        return self.bed.ask(method, path, body, token=self.bed.admin)

    def made(self, method, path, body=None):
        answer = self.ask(method, path, body)
        assert answer.status == 200, answer
        self.bed.now_us += 1_000_000
        return answer.json


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    found = Site(tmp_path_factory.mktemp("site"))
    yield found
    found.bed.close()


def refused(site):
    """Requests that CoreRoller does not carry out, and the status of its answer."""
    root, foreign = site.root, site.packages[1]
    strange = f"/api/apps/{NOBODY}"
    return {
        "name taken": ("POST", "/api/apps", {"name": "one"}, 400),
        "no name": ("POST", "/api/apps", {}, 400),
        "app id no uuid": ("PUT", "/api/apps/invalidAppID", {"name": "x"}, 400),
        "no such app": ("GET", strange, None, 404),
        "channel, no such app": ("POST", f"{strange}/channels", {"name": "x"}, 400),
        "channel, app no uuid": ("POST", "/api/apps/invalidAppID/channels", {"name": "x"}, 400),
        **{
            f"channel, package {package}": (
                *("POST", f"{root}/channels", {"name": "x", "package_id": package}, 400),
            )
            for package in ("invalidPackageID", NOBODY, foreign)
        },
        "channel moved to another app's package": (
            *("PUT", f"{root}/channels/{site.channels[0]}"),
            *({"name": "one", "package_id": foreign}, 400),
        ),
        "channel id no uuid": ("GET", f"{root}/channels/invalidChannelID", None, 400),
        "delete, channel id no uuid": ("DELETE", f"{root}/channels/invalidChannelID", None, 400),
        "no such channel": ("GET", f"{root}/channels/{NOBODY}", None, 404),
        "channels of no app": ("GET", f"{strange}/channels", None, 404),
        **{
            f"package without {name}": (
                *("POST", f"{root}/packages"),
                *({key: value for key, value in PACKAGE.items() if key != name}, 400),
            )
            for name in PACKAGE
        },
        "package's version": (
            *("POST", f"{root}/packages", {**PACKAGE, "version": "aaa12.1.0"}, 400),
        ),
        **{
            f"package, blacklist {channel}": (
                *("POST", f"{root}/packages"),
                *({**PACKAGE, "version": "9.9.9", "channels_blacklist": [channel]}, 400),
            )
            for channel in (NOBODY, "invalidChannelID")
        },
        "package shall avoid the channel that offers it": (
            *("PUT", f"{root}/packages/{site.packages[0]}"),
            *({**PACKAGE, "channels_blacklist": [site.channels[0]]}, 400),
        ),
        "delete, package id no uuid": ("DELETE", f"{root}/packages/invalidPackageID", None, 400),
        "package id no uuid": ("GET", f"{root}/packages/invalidPackageID", None, 400),
        "no such package": ("GET", f"{root}/packages/{NOBODY}", None, 404),
        "packages of no app": ("GET", f"{strange}/packages", None, 404),
        "group with another app's channel": (
            *("POST", f"{root}/groups", {**GROUP, "name": "x", "channel_id": site.channels[1]}),
            400,
        ),
        "no such group": ("GET", f"{root}/groups/{NOBODY}", None, 404),
    }


def test_requests_that_are_refused(site):
    before = site.bed.dump()
    for name, (method, path, body, status) in refused(site).items():
        answer = site.ask(method, path, body)
        assert (name, answer.status) == (name, status)
    assert site.bed.dump() == before


def test_applications(site):
    app = site.made("POST", "/api/apps", {"name": "a", "description": "d"})["id"]
    site.made("PUT", f"/api/apps/{app}", {"name": "b"})
    found = site.made("GET", f"/api/apps/{app}")
    assert (found["name"], found["description"]) == ("b", "")
    for name in ("g1", "g2"):
        site.made("POST", f"{site.root}/groups", {**GROUP, "name": name})
    clone = site.made("POST", f"/api/apps?clone_from={site.apps[0]}", {"name": "clone"})["id"]
    one, two = (site.made("GET", f"/api/apps/{item}") for item in (site.apps[0], clone))
    for key in ("groups", "channels"):
        assert len(one[key]) == len(two[key]) > 0
    site.made("POST", "/api/apps?clone_from=", {"name": "no clone"})
    assert [item["name"] for item in site.made("GET", "/api/apps")][:2] == ["no clone", "clone"]


def test_groups(site):
    body = {**GROUP, "name": "first", "channel_id": site.channels[0], "description": "d"}
    group = site.made("POST", f"{site.root}/groups", {**body, "policy_updates_enabled": True})
    path = f"{site.root}/groups/{group['id']}"
    found = site.made("GET", path)
    assert found["channel"]["package"]["version"] == "12.1.0"
    assert {key: found[key] for key in body} == body
    site.made("PUT", path, {**body, "name": "second", "application_id": site.apps[1]})
    found = site.made("GET", path)
    assert (found["name"], found["application_id"]) == ("second", site.apps[0])
    third = site.made("POST", f"{site.root}/groups", {**GROUP, "name": "third"})
    names = [item["name"] for item in site.made("GET", f"{site.root}/groups")]
    assert names[:2] == ["third", "second"]
    for item in (group, third):
        assert site.ask("DELETE", f"{site.root}/groups/{item['id']}").status == 204
    assert site.ask("GET", path).status == 404


def test_packages(site):
    root = f"/api/apps/{site.made('POST', '/api/apps', {'name': 'p'})['id']}"
    paths = {
        version: site.made("POST", f"{root}/packages", {**PACKAGE, "version": version})["id"]
        for version in ("1010.5.0+2016-05-27-1832", "12.1.0", "14.1.0", "1010.6.0-blabla")
    }
    found = [item["version"] for item in site.made("GET", f"{root}/packages")]
    assert found == ["1010.6.0-blabla", "1010.5.0+2016-05-27-1832", "14.1.0", "12.1.0"]
    one, two = (
        site.made("POST", f"{root}/channels", {"name": name})["id"] for name in ("one", "two")
    )
    path = f"{root}/packages/{paths['12.1.0']}"
    for wanted in ([one], [two, one], [two], None):
        site.made("PUT", path, {**PACKAGE, "channels_blacklist": wanted})
        assert sorted(site.made("GET", path)["channels_blacklist"] or []) == sorted(wanted or [])
    system = f"/api/apps/{COREOS_APP}/packages"
    body = {**PACKAGE, "type": 1, "version": "2016.6.6", "filename": "update.gz"}
    found = site.made("POST", system, body)
    assert found["coreos_action"] is None
    for sha256 in ("sha256:one", "sha256:two"):
        more = {**body, "coreos_action": {"sha256": sha256}}
        action = site.made("PUT", f"{system}/{found['id']}", more)["coreos_action"]
        wanted = {"event": "postinstall", "sha256": sha256, "disable_payload_backoff": True}
        wanted |= {"needs_admin": False, "is_delta": False}
        assert {key: action[key] for key in wanted} == wanted


def test_instances_and_the_activity(site):
    group = site.made("POST", f"{site.root}/groups", {**GROUP, "name": "i"})["id"]
    other = site.made("POST", f"{site.root}/groups", {**GROUP, "name": "i2"})["id"]
    rows = (("m1", group, "1.0.0"), ("m2", group, "1.0.1"), ("m3", other, "1.0.2"))
    with site.bed.transaction() as tx:
        for name, group_id, version in rows:
            instances.put(tx, None, Instance(name, "10.0.0.1", 1, *[""] * 6))
            now_us = site.bed.now_us
            found = Standing(name, site.apps[0], group_id, version, now_us, now_us)
            instances.save(tx, None, found._replace(status=Status.COMPLETE), now_us)
    for query, count in (
        ("", 2),
        ("?version=1.0.0", 1),
        ("?page=1&perpage=1", 1),
        ("?status=4", 2),
    ):
        found = site.made("GET", f"{site.root}/groups/{group}/instances{query}")
        assert len(found) == count, query
    assert len(site.made("GET", f"{site.root}/groups/{other}/instances")) == 1

    entries = (("", 1), (group, 3), (group, 1), (other, 3))  # the group, the severity
    with site.bed.transaction() as tx:
        for number, (group_id, severity) in enumerate(entries):
            activity.add(
                *(tx, 2, severity),
                version="1.0.0",
                app_id=site.apps[0],
                group_id=group_id or None,
                instance_id=f"m{number}",
                now_us=site.bed.now_us,
            )
    site.bed.now_us += 10_000
    path = f"/api/activity?app={site.apps[0]}&version=1.0.0"
    for query, count in (
        *(("", 4), (f"&group={group}", 2), ("&severity=3", 2), ("&instance=m3", 1)),
        (f"&group={group}&severity=1", 1),
    ):
        assert len(site.made("GET", path + query)) == count, query
