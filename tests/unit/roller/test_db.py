"""What rollerd keeps, in both databases: the same functions, the same answers."""

from __future__ import annotations

import pytest

from coreos_py.roller.db import (
    activity,
    apps,
    channels,
    events,
    fleet,
    groups,
    instances,
    packages,
    people,
    samples,
)
from coreos_py.roller.db.driver import connect
from coreos_py.roller.db.setup import prepare
from coreos_py.roller.records import (
    COREOS_APP,
    DAY_US,
    SEEN_US,
    ActivityClass,
    App,
    Channel,
    EventEntry,
    Group,
    Instance,
    Invalid,
    Package,
    Policy,
    Session,
    Severity,
    Standing,
    Status,
    Token,
    User,
)
from tests.support import rollerdb

HARD = "'; DROP TABLE instance; -- \" ? $1 % _ \\ \n\t ü 𝄞"


@pytest.fixture(scope="module")
def database(both):
    return both


def _app(tx, name="app"):
    app = App(f"id-{name}", name, HARD, None, 5)
    apps.add(tx, app)
    return app


def test_a_new_database_has_coreos(tx):
    assert [app.id for app in apps.listing(tx)] == [COREOS_APP]
    names = [group.name for group in groups.listing(tx, COREOS_APP)]
    assert sorted(names) == ["Alpha", "Beta", "Stable"]
    assert [channel.name for channel in channels.listing(tx, COREOS_APP)] == [
        "alpha",
        "beta",
        "stable",
    ]
    assert packages.listing(tx, COREOS_APP) == []


def test_opening_again_changes_nothing(place, database):
    again = connect(place)
    assert not prepare(again, 99)
    with rollerdb.undone(again) as tx:
        assert apps.count(tx) == 1
    again.close()


def test_apps(tx):
    app = _app(tx)
    product = app._replace(id="id-2", name="two", product_id="{product}", created_us=6)
    apps.add(tx, product)
    assert apps.find(tx, app.id) == app
    assert apps.named(tx, "{ID-APP}") == app
    assert apps.named(tx, "{product}") == product
    assert apps.named(tx, "id-none") is None
    assert [found.id for found in apps.listing(tx, limit=2)] == ["id-2", "id-app"]
    changed = app._replace(name=HARD, description="")
    assert apps.update(tx, changed)
    assert apps.find(tx, app.id) == changed
    assert not apps.update(tx, app._replace(id="id-none", name="none"))
    with pytest.raises(Invalid, match="already"):
        apps.update(tx, changed._replace(name="two"))
    with pytest.raises(Invalid, match="product id"):
        apps.add(tx, App("id-3", "three", "", "{product}", 7))
    assert apps.delete(tx, app.id)
    assert not apps.delete(tx, app.id)


def test_packages(tx):
    app = _app(tx)
    plain = Package("p1", app.id, 4, "1.10.0", HARD, None, None, None, None, 5)
    full = rollerdb.package("1.9.0", app_id=app.id)
    for package in (plain, full):
        packages.add(tx, package)
        assert packages.find(tx, package.id) == package
    assert [found.version for found in packages.listing(tx, app.id)] == ["1.10.0", "1.9.0"]
    assert [found.version for found in packages.listing(tx, app.id, limit=1, offset=1)] == ["1.9.0"]
    assert packages.by_version(tx, app.id, "1.9.0") == full
    assert packages.count(tx, app.id) == 2
    with pytest.raises(Invalid, match=r"1\.9\.0"):
        packages.add(tx, plain._replace(id="p3", version="1.9.0"))
    delta = full.action._replace(is_delta=True, disable_payload_backoff=False, deadline="now")
    packages.update(tx, full._replace(action=delta, size="7"))
    assert packages.find(tx, full.id).action == delta
    packages.update(tx, full._replace(action=None))
    assert packages.find(tx, full.id).action == delta
    assert not packages.update(tx, plain._replace(id="none", version="3.0.0"))
    assert packages.delete(tx, plain.id)
    assert not packages.delete(tx, plain.id)


def test_blacklists(tx):
    app, other = _app(tx), _app(tx, "other")
    package = rollerdb.package("1.0.0", app_id=app.id)
    packages.add(tx, package)
    channel = Channel("c1", app.id, "one", "#000", None, 5)
    channels.add(tx, channel)
    channels.add(tx, Channel("c2", other.id, "two", "#000", None, 5))
    packages.update(tx, package._replace(blacklist=("c1", "c1")))
    assert packages.find(tx, package.id).blacklist == ("c1",)
    with pytest.raises(Invalid, match="not for this channel"):
        channels.update(tx, channel._replace(package_id=package.id), 6)
    with pytest.raises(Invalid, match="no channel c2"):
        packages.update(tx, package._replace(blacklist=("c2",)))
    packages.update(tx, package)
    assert channels.update(tx, channel._replace(package_id=package.id), 6)
    with pytest.raises(Invalid, match="points to"):
        packages.update(tx, package._replace(blacklist=("c1",)))


def test_channels(tx):
    app, other = _app(tx), _app(tx, "other")
    package = rollerdb.package("1.0.0", app_id=app.id)
    packages.add(tx, package)
    channel = Channel("c1", app.id, "one", HARD, None, 5)
    channels.add(tx, channel)
    assert channels.find(tx, "c1") == channels.by_name(tx, app.id, "one") == channel
    with pytest.raises(Invalid, match="already"):
        channels.add(tx, channel._replace(id="c2"))
    with pytest.raises(Invalid, match="no package"):
        channels.add(tx, Channel("c3", other.id, "one", "", package.id, 5))
    channels.update(tx, channel._replace(package_id=package.id), 7)
    (entry,) = activity.listing(tx, activity.Query(0, 9, app_id=app.id))
    assert entry[:5] == (7, ActivityClass.CHANNEL_PACKAGE_UPDATED, Severity.INFO, "1.0.0", "app")
    assert entry.channel_name == "one"
    packages.delete(tx, package.id)
    assert channels.find(tx, "c1").package_id is None
    assert not channels.update(tx, channel._replace(id="none"), 8)
    assert channels.delete(tx, "c1")
    assert not channels.delete(tx, "c1")


def _group(app, name="Group", **fields):
    group = Group(f"g-{name}", app.id, None, name, HARD, name.lower(), 5, Policy())
    return group._replace(**fields)


def test_groups(tx):
    app = _app(tx)
    group = _group(app, policy=Policy(timezone="Europe/Berlin", canaries=2, update_percent=12.5))
    groups.add(tx, group)
    assert groups.find(tx, group.id) == group
    assert groups.by_track(tx, app.id, "group") == group
    for other in (group._replace(id="x"), group._replace(id="x", name="x")):
        with pytest.raises(Invalid, match="already"):
            groups.add(tx, other)
    with pytest.raises(Invalid, match="no channel"):
        groups.update(tx, group._replace(channel_id="none"), 6)
    changed = group._replace(name="New", policy=group.policy._replace(rollout_active=True))
    assert groups.update(tx, changed, 6)
    assert groups.find(tx, group.id) == changed
    assert not groups.update(tx, group._replace(id="none"), 6)
    assert groups.delete(tx, group.id)
    assert not groups.delete(tx, group.id)


def test_pausing_says_why_and_resuming_forgets_it(tx):
    app = _app(tx)
    group = _group(app)
    groups.add(tx, group)
    groups.pause(tx, group, HARD, 6)
    paused = groups.find(tx, group.id)
    assert (paused.policy.updates_enabled, paused.pause_reason) == (False, HARD)
    groups.resume(tx, paused, 7)
    assert groups.find(tx, group.id) == group
    groups.resume(tx, group, 8)
    groups.update(tx, group._replace(policy=Policy(updates_enabled=False)), 9)
    assert groups.find(tx, group.id).pause_reason == groups.BY_ADMIN
    told = activity.listing(tx, activity.Query(0, 10, group_id=group.id))
    assert [(entry.kind, entry.note) for entry in reversed(told)] == [
        (ActivityClass.PAUSED, HARD),
        (ActivityClass.RESUMED, ""),
        (ActivityClass.PAUSED, groups.BY_ADMIN),
    ]


def _member(tx, app, group, name, **fields):
    instances.put(tx, None, Instance(name, "10.0.0.1", 5, alias=f"alias of {name}"))
    standing = Standing(name, app.id, group.id, "1.0.0", 5, 5)._replace(**fields)
    instances.save(tx, None, standing, 5)
    return standing


def test_instances_and_their_history(tx):
    app = _app(tx)
    group = _group(app)
    groups.add(tx, group)
    before = _member(tx, app, group, HARD)
    assert instances.standing(tx, HARD, app.id) == before
    assert instances.history(tx, HARD, app.id, group.id) == []
    for number, status in enumerate(
        (Status.UPDATE_GRANTED, Status.DOWNLOADING, Status.DOWNLOADING)
    ):
        after = before._replace(status=status, granted_version="2.0.0", in_progress=True)
        instances.save(tx, before, after, 10 + number)
        before = after
    told = instances.history(tx, HARD, app.id, group.id)
    assert told == [(7, "2.0.0", 11), (2, "2.0.0", 10)]
    assert instances.history(tx, HARD, app.id, group.id, limit=1) == told[:1]
    machine = instances.find(tx, HARD)
    instances.put(tx, machine, machine._replace(ip="::1", boot_id="b"))
    assert instances.find(tx, HARD) == machine._replace(ip="::1", boot_id="b")
    assert instances.rename(tx, HARD, "new")
    assert not instances.rename(tx, "nobody", "new")
    assert instances.standings(tx, HARD) == [before]


def test_who_is_not_seen_does_not_count(tx):
    app = _app(tx)
    group = _group(app)
    groups.add(tx, group)
    for number in range(4):
        _member(tx, app, group, f"m{number}", last_check_us=number)
    now_us = SEEN_US + 1
    assert sum(item.running for item in instances.tallies(tx, group.id).values()) == 4
    assert instances.retire(tx, now_us) == 2
    assert instances.retire(tx, now_us) == 0
    assert sum(item.running for item in instances.tallies(tx, group.id).values()) == 2
    assert apps.instances(tx, app.id, now_us) == 2
    assert fleet.by_version(tx, group.id, now_us) == {"1.0.0": 2}


def test_numbers_of_a_group(tx):
    app = _app(tx)
    group = _group(app)
    groups.add(tx, group)
    now_us = 1000
    table = (  # granted at, granted, in progress, runs
        (990, "2.0.0", True, "1.0.0"),
        (900, "2.0.0", True, "1.0.0"),
        (100, "2.0.0", True, "1.0.0"),
        (995, "2.0.0", False, "2.0.0"),
        (50, "2.0.0", False, "1.0.0"),
        (60, "1.5.0", True, "1.0.0"),
        (None, None, False, "2.0.0"),
    )
    for number, (granted_us, version, in_progress, runs) in enumerate(table):
        _member(tx, app, group, f"m{number}", granted_us=granted_us, granted_version=version,
                in_progress=in_progress, version=runs)  # fmt: skip

    def stats(cap):
        return instances.stats(
            tx, group.id, "2.0.0", now_us=now_us, period_us=20, timeout_us=200, cap=cap
        )

    expected = {
        "total": 7,
        "granted": 5,
        "attempted": 2,
        "succeeded": 1,
        "granted_in_period": 2,
        "in_progress": 2,
        "timed_out": 2,
    }
    assert stats(2)._asdict() == expected
    assert stats(2).failed == 1
    assert stats(1)[4:] == (1, 1, 1)
    assert all(0 < count < 10 for count in stats(10)[4:])
    late = instances.overdue(tx, group.id, now_us - 200)
    assert [item.instance_id for item in late] == ["m5", "m2"]


def test_lists_of_instances(tx):
    app = _app(tx)
    group, other = _group(app), _group(app, "Other")
    groups.add(tx, group)
    groups.add(tx, other)
    for number, status in enumerate((None, Status.ERROR, Status.COMPLETE)):
        _member(tx, app, group, f"m_{number}", status=status, last_check_us=10 - number)
    _member(tx, app, other, "M%3")

    def names(**fields):
        return [m.instance.id for m in fleet.listing(tx, fleet.Query(app.id, **fields))]

    assert names(group_id=group.id) == ["m_0", "m_1", "m_2"]
    assert names(sort="last_check") == ["M%3", "m_2", "m_1", "m_0"]
    assert names(sort="status", descending=True, group_id=group.id) == ["m_2", "m_1", "m_0"]
    assert names(status=3) == ["m_1"]
    assert names(status=1, group_id=group.id) == ["m_0"]
    assert names(seen_after_us=8, sort="id") == ["m_0", "m_1"]
    assert names(search="m%") == ["M%3"]
    assert names(search="ALIAS OF M_1") == ["m_1"]
    assert names(search=HARD) == []
    assert names(limit=1, offset=1, sort="id", group_id=group.id) == ["m_1"]
    assert fleet.count(tx, fleet.Query(app.id, group_id=group.id)) == 3
    for sort in fleet.SORTS:
        assert sorted(names(sort=sort)) == ["M%3", "m_0", "m_1", "m_2"]
    assert fleet.by_status(tx, group.id, 10) == {1: 1, 3: 1, 4: 1}


def test_events_are_kept_in_order(tx):
    app = _app(tx)
    for number in range(3):
        entry = EventEntry(3, 0, (1 << 31) + 5, HARD, number, "")
        events.add(tx, events.Origin("m", app.id, "g", "1.0.0"), entry)
    found = events.of_instance(tx, "m", app.id)
    assert [entry.created_us for entry in found] == [2, 1, 0]
    assert found[0] == EventEntry(3, 0, (1 << 31) + 5, HARD, 2, "")
    assert events.count(tx) == 3
    counts = events.counts_over_time(tx, "g", start_us=0, end_us=9, step_us=2)
    assert counts == [(0, "1.0.0", 3, 0, 2), (2, "1.0.0", 3, 0, 1)]


def test_activity_is_chosen_by_everything(tx):
    app = _app(tx)
    group = _group(app)
    groups.add(tx, group)
    for number, severity in enumerate(Severity):
        activity.add(tx, 4, severity, version=f"{number}.0.0", app_id=app.id, now_us=number,
                     group_id=group.id if number else None, instance_id=f"i{number}")  # fmt: skip

    def found(**fields):
        entries = activity.listing(tx, activity.Query(0, 9, app_id=app.id, **fields))
        return [entry.created_us for entry in entries]

    assert found() == [3, 2, 1, 0]
    assert found(group_id=group.id) == [3, 2, 1]
    assert found(severity=2) == [1]
    assert found(version="2.0.0") == [2]
    assert found(instance_id="i3") == [3]
    assert found(limit=1, offset=2) == [1]
    assert activity.count(tx, activity.Query(1, 2, app_id=app.id)) == 2
    assert activity.since(tx, 4, group.id, 3)
    assert not activity.since(tx, 4, group.id, 4)


def test_people(tx):
    boss, guest = User("boss", "s1", "admin", 1), User(HARD, "s2", "viewer", 2)
    for user in (boss, guest):
        people.add_user(tx, user)
    with pytest.raises(Invalid, match="already"):
        people.add_user(tx, boss)
    assert people.user(tx, HARD) == guest
    assert {user.name for user in people.users(tx)} == {"boss", HARD}
    token = Token("t1", "ci", "admin", "hash", "boss", 3, None)
    people.add_token(tx, token)
    people.touch_token(tx, "t1", 9)
    assert people.token_by_hash(tx, "hash") == token._replace(last_used_us=9)
    people.add_session(tx, Session("s1", "boss", "admin", 10, 20))
    assert people.session(tx, "s1", 19) is not None
    assert people.session(tx, "s1", 20) is None
    people.update_user(tx, boss._replace(role="viewer", secret="s3"))
    assert people.token(tx, "t1").role == people.session(tx, "s1", 11).role == "viewer"
    people.add_session(tx, Session("s2", "boss", "admin", 30, 40))
    assert people.session(tx, "s1", 11) is None
    assert people.delete_user(tx, "boss")
    assert people.tokens(tx) == []
    assert people.session(tx, "s2", 31) is None
    assert not people.delete_user(tx, "boss")


def test_samples(tx):
    app = _app(tx)
    group = _group(app)
    groups.add(tx, group)
    start_us = 40 * DAY_US
    for number in range(3):
        status = Status.COMPLETE if number else None
        _member(tx, app, group, f"m{number}", status=status, last_check_us=start_us)
    assert samples.take(tx, start_us) == 2
    assert samples.take(tx, start_us + samples.EVERY_US - 1) == 0
    assert samples.take(tx, start_us + samples.EVERY_US) == 2
    found = samples.between(tx, group.id, start_us, start_us + DAY_US)
    assert [item[1:] for item in found[:2]] == [("1.0.0", 1, 1), ("1.0.0", 4, 2)]
    assert len(found) == 4
    assert [item[1:] for item in samples.now(tx, group.id, start_us)] == [
        ("1.0.0", 1, 1),
        ("1.0.0", 4, 2),
    ]
    samples.take(tx, start_us + samples.KEPT_US + samples.EVERY_US)
    assert len(samples.between(tx, group.id, 0, start_us + DAY_US)) == 2


def test_an_application_goes_with_everything_of_it(tx):
    server = rollerdb.Server(tx, app_id=rollerdb.OTHER_APP)
    server.run("m1")
    samples.take(tx, server.now_us)
    assert apps.delete(tx, rollerdb.OTHER_APP)
    assert instances.standing(tx, "m1", rollerdb.OTHER_APP) is None
    assert instances.tallies(tx, server.group_id) == {}
    assert events.count(tx) == packages.count(tx, rollerdb.OTHER_APP) == 0
    assert samples.between(tx, server.group_id, 0, server.now_us + 1) == []
    assert activity.listing(tx, activity.Query(0, server.now_us)) == []


def test_a_group_leaves_its_instances_behind(tx):
    server = rollerdb.Server(tx)
    server.check("m1")
    groups.delete(tx, server.group_id)
    assert server.standing("m1").group_id is None
    assert server.check("m1") == "error-unknownApplicationOrGroup"
    assert server.check("m1", track="stable") == "noupdate"
    assert instances.tallies(tx, server.standing("m1").group_id)["1.0.0"].running == 1


def test_stories_are_the_same(tx):
    """A rollout from the first canary to the last machine."""
    server = rollerdb.Server(tx, policy=Policy(canaries=1, max_updates_per_period=3))
    for number in range(6):
        server.run(f"m{number}")
        server.now_us += 16 * rollerdb.MINUTE_US
    server.publish("3.0.0")
    assert server.check("m0", "2.0.0") == "3.0.0"
    server.event("m0", 3, 0, version="2.0.0", code=(1 << 28) + 5)
    assert server.group().pause_reason.startswith("canary failed: m0 error 268435461")
