"""What CoreUpdate's API adds to the tables, in both databases."""

from __future__ import annotations

import pytest

from coreos_py.roller.db import coreupdate, events, groups, instances
from coreos_py.roller.db.coreupdate import Chosen, HawkUser, Publication, Upstream
from coreos_py.roller.records import EventEntry, Instance, Invalid, Standing
from tests.support import rollerdb
from tests.support.rollerdb import LOOSE, OTHER_APP


@pytest.fixture
def tx(both):
    with rollerdb.undone(both) as found:
        yield found


def test_users(tx):
    bob = HawkUser("bob", "key", 5)
    coreupdate.add_user(tx, bob)
    coreupdate.add_user(tx, HawkUser("al", "other", 6))
    with pytest.raises(Invalid, match="already"):
        coreupdate.add_user(tx, bob)
    assert coreupdate.user(tx, "bob") == bob
    assert coreupdate.user(tx, "Bob") is None
    assert coreupdate.set_key(tx, "bob", "new")
    assert not coreupdate.set_key(tx, "eve", "new")
    assert [(user.name, user.key) for user in coreupdate.users(tx)] == [
        ("al", "other"),
        ("bob", "new"),
    ]
    assert coreupdate.delete_user(tx, "bob")
    assert not coreupdate.delete_user(tx, "bob")


def test_upstreams_and_their_channels(tx):
    rollerdb.fill(tx, policy=LOOSE, app_id=OTHER_APP, version="1.0.0")
    one = Upstream("u1", "http://u", "l", 5)
    coreupdate.add_upstream(tx, one)
    coreupdate.add_upstream(tx, Upstream("u0", "http://v", "", 6))
    assert [item.id for item in coreupdate.upstreams(tx)] == ["u1", "u0"]
    assert coreupdate.update_upstream(tx, one._replace(label="m"))
    assert coreupdate.upstream(tx, "u1") == one._replace(label="m")
    assert coreupdate.publication(tx, "c-main") == Publication()
    coreupdate.publish(tx, "c-main", Publication(publish=True, upstream_id="u1"))
    assert coreupdate.published(tx) == ["c-main"]
    assert coreupdate.delete_upstream(tx, "u1")
    assert coreupdate.publication(tx, "c-main") == Publication(publish=True)
    assert not coreupdate.delete_upstream(tx, "u1")


def test_instances_of_all_applications(tx):
    group_id = rollerdb.fill(tx, policy=LOOSE, app_id=OTHER_APP, version="1.0.0")
    for at, (name, version, oem) in enumerate([("m1", "1.0.0", "ec2"), ("m2", "2.0.0", "")]):
        instances.put(tx, None, Instance(name, "10.0.0.1", at, oem=oem))
        standing = Standing(name, OTHER_APP, group_id, version, at, 10 + at)
        instances.save(tx, None, standing, at)
    entry = EventEntry(13, 1, 0, None, 15)
    events.add(tx, events.Origin("m1", OTHER_APP, group_id, "1.0.0"), entry)

    def names(**chosen):
        found = coreupdate.clients(tx, Chosen(**chosen), limit=10, offset=0)
        assert coreupdate.count_clients(tx, Chosen(**chosen)) == len(found)
        return [client.instance_id for client in found]

    assert names() == ["m2", "m1"]
    assert names(app_id=OTHER_APP, group_id=group_id, oem="ec2") == ["m1"]
    assert names(start_us=11) == ["m2"]
    assert names(end_us=10, version="1.0.0", instance_id="m1") == ["m1"]
    assert [c.instance_id for c in coreupdate.clients(tx, Chosen(), limit=1, offset=1)] == ["m1"]
    assert coreupdate.versions(tx, Chosen()) == [
        (OTHER_APP, "main", "1.0.0", 1),
        (OTHER_APP, "main", "2.0.0", 1),
    ]
    assert coreupdate.history(tx, "m1", limit=5) == [(15, 13, 1, 0, "main", "1.0.0")]
    assert coreupdate.last_event(tx, "m1", OTHER_APP) == (13, 1, 0)
    assert coreupdate.last_event(tx, "m2", OTHER_APP) is None


def test_excluded_oems_are_the_groups(tx):
    group_id = rollerdb.fill(tx, policy=LOOSE, app_id=OTHER_APP, version="1.0.0")
    found = groups.find(tx, group_id)
    assert found is not None
    found = found._replace(oem_blacklist="a,b")
    groups.update(tx, found, 4)
    assert groups.find(tx, group_id) == found
    groups.update(tx, found._replace(name="Other"), 5)
    assert groups.find(tx, group_id) == found._replace(name="Other")


def test_a_machine_of_an_excluded_oem_gets_nothing(tx):
    server = rollerdb.Server(tx, app_id=OTHER_APP)
    groups.update(tx, server.group()._replace(oem_blacklist="ec2,azure"), 1)

    def check(oem):
        body = (
            f'<request protocol="3.0"><app appid="{OTHER_APP}" version="1.0.0" track="main"'
            f' machineid="m-{oem}" oem="{oem}"><updatecheck/></app></request>'
        )
        return b'status="noupdate"' in server.post(body.encode()).body

    assert [check(oem) for oem in ("ec2", "azure", "ec", "", "gce")] == [
        True,
        True,
        False,
        False,
        False,
    ]
