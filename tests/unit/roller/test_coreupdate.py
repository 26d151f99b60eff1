"""CoreUpdate's API: its records on our tables, its quirks, and who may use it."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

import pytest

from coreos_py.base.errors import WireError
from coreos_py.roller.coreupdate import table
from coreos_py.roller.coreupdate.form import OneFile, boundary
from coreos_py.roller.db import events, instances, samples
from coreos_py.roller.policy import Verdict
from coreos_py.roller.records import EventEntry, Instance, Standing, Status
from tests.support.coreupdate_bed import BASE, KEY, USER, CoreUpdateBed
from tests.support.rest_bed import COREOS, STABLE, START_US

SECOND_US = 1_000_000
START_S = START_US // SECOND_US


@pytest.fixture
def bed(tmp_path):
    found = CoreUpdateBed(tmp_path)
    yield found
    found.close()


def web(bed, *, percent=None):
    """An application with a package, a channel and a group."""
    bed.call("POST", "apps", {"id": "web", "label": "Web"})
    sums = {"sha1Sum": "c2hhMQ==", "sha256Sum": "c2hhMjU2", "size": "5"}
    bed.call("POST", "apps/web/packages/2.0.0", {"url": "http://h/p/web.gz", **sums})
    # As updateservicectl sends it: the channel's name where the application belongs.
    body = {"appId": "web", "label": "main", "version": "2.0.0"}
    bed.call("POST", "apps/main/channels", body)
    group = {"channelId": "main", "id": "g", "label": "G"}
    if percent is not None:
        group["updatePercent"] = percent
    return bed.call("POST", "apps/web/groups", group)


# -- who may


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("apps", ""),
        ("apps?alt=json&x=a%20b", ""),
        ("apps/a%20b%2Fc", "apps/a b/c"),  # hawk-go signs the path as it reads
        ("apps/a%20b%2Fc", ""),
    ],
)
def test_signatures(bed, path, plain):
    assert bed.signed("GET", path, plain=plain).status in (200, 404)


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [
        ("rollerd.example", "rollerd.example", "80"),
        ("rollerd.example", "rollerd.example", "443"),  # TLS ends before us
        ("Rollerd.example:8000", "Rollerd.example", "8000"),
        ("[::1]:8000", "::1", "8000"),
        ("inner:1", "rollerd.example", "8000"),  # what the public URL says
    ],
)
def test_hosts_that_clients_sign(bed, host, name, port):
    assert bed.signed("GET", "apps", host=host, signs={"host": name, "port": port}).status == 200


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": "other"}, "hawk: invalid MAC"),
        ({"user": "eve"}, "hawk: invalid MAC"),
        ({"method": "POST"}, "hawk: invalid MAC"),
        ({"target": "/"}, "hawk: invalid MAC"),
        ({"host": "other"}, "hawk: invalid MAC"),
        ({"port": "1"}, "hawk: invalid MAC"),
        ({"now_s": START_S + 61}, "hawk: timestamp skew too high"),
        ({"now_s": START_S - 1}, "hawk: signed before this server was started"),
        ({"user": ""}, "hawk: invalid id, missing or empty"),
    ],
)
def test_signatures_that_are_wrong(bed, changes, reason):
    answer = bed.signed("GET", "apps", signs=changes)
    assert (answer.status, answer.json["error"]["message"]) == (401, reason)
    assert answer.headers["WWW-Authenticate"] == "Hawk"


def test_a_request_counts_once(bed):
    assert bed.signed("GET", "apps", signs={"nonce": "same"}).status == 200
    again = bed.signed("GET", "apps", signs={"nonce": "same"})
    assert (again.status, again.json["error"]["message"]) == (
        401,
        "hawk: request nonce is being replayed",
    )
    bed.now_us += 61 * SECOND_US
    late = bed.signed("GET", "apps", signs={"nonce": "same", "now_s": START_S})
    assert late.json["error"]["message"] == "hawk: timestamp skew too high"
    # Long after, when none of the old ones could be right, it is forgotten.
    bed.now_us += 200 * SECOND_US
    assert bed.signed("GET", "apps", signs={"nonce": "same"}).status == 200


def test_a_nonce_that_was_refused_is_not_used_up(bed):
    assert bed.signed("GET", "apps", signs={"nonce": "n", "key": "other"}).status == 401
    assert bed.signed("GET", "apps", signs={"nonce": "n"}).status == 200


def test_a_signed_body_is_compared(bed):
    def send(body, hashed):
        text = b"hawk.1.payload\napplication/json\n" + hashed + b"\n"
        digest = b64encode(sha256(text).digest()).decode()
        line = signed_with_hash(bed, digest)
        headers = {"Authorization": line, "Content-Type": "application/json; charset=utf-8"}
        return bed.ask("POST", f"{BASE}apps", body, headers=headers).status

    assert send(b'{"id":"a"}', b'{"id":"b"}') == 401
    assert send(b'{"id":"a"}', b'{"id":"a"}') == 200


def signed_with_hash(bed, digest):
    from coreos_py.http import hawk

    items = hawk.Artifacts(id=USER, ts=START_S, nonce=f"h{digest[:4]}", hash=digest)
    text = hawk.normalized(
        items, method="POST", target=f"{BASE}apps", host="rollerd.example", port="8000"
    )
    return (
        f'Hawk id="{USER}", mac="{hawk.mac(KEY, text)}", ts="{START_S}",'
        f' nonce="{items.nonce}", hash="{digest}"'
    )


def test_tokens_and_roles_of_the_rest_api(bed):
    assert bed.ask("GET", f"{BASE}apps", token=bed.viewer).status == 200
    refused = bed.ask("POST", f"{BASE}apps", {"id": "x"}, token=bed.viewer)
    assert (refused.status, refused.json["error"]["code"]) == (403, 403)
    assert bed.ask("POST", f"{BASE}apps", {"id": "x"}, token=bed.admin).status == 200
    assert bed.ask("GET", f"{BASE}admin/user", token=bed.viewer).status == 403


@pytest.mark.parametrize("route", table.ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_nobody_gets_in_without_a_name(bed, route):
    path = BASE + re.sub(r":\w+", "1", route.path)
    before = bed.dump()
    answer = bed.ask(route.method, path, {"id": "x"})
    is_public = route.path.startswith(("public/", "util/"))
    assert answer.status == (200 if is_public else 401)
    assert bed.dump() == before


def test_reading_changes_nothing(bed):
    web(bed)
    before = bed.dump()
    for route in table.ROUTES:
        if route.method == "GET":
            path = re.sub(r":(start|end)", "0", route.path).replace(":app", "web")
            bed.signed("GET", re.sub(r":\w+", "g", path))
    assert bed.dump() == before


def test_methods_and_paths_that_are_none(bed):
    assert bed.call("GET", "nosuch", status=404) == "no such method"
    assert bed.call("GET", "apps//groups", status=404) == "no such method"
    answer = bed.signed("PUT", "apps")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, POST")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "the body is not JSON"),
        (b"[]", "json: cannot unmarshal array into Go value of type update.App"),
        (b'{"id":5}', "json: cannot unmarshal number into Go struct field App.id of type string"),
        (b'{"id":"a\\u0000"}', "the body has a null character"),
        (b'{"label":"%s"}' % (b"x" * 51), "name must have 1 to 50 characters, not 51"),
        (b"[" * 100_000, "the body is not JSON"),
    ],
)
def test_bodies_that_make_no_sense(bed, body, reason):
    assert bed.call("POST", "apps", body, status=400) == reason


# -- applications, channels, packages


def test_applications(bed):
    assert bed.call("GET", "apps") == {
        "items": [{"description": "The operating system", "id": COREOS, "label": "CoreOS"}]
    }
    assert bed.call("POST", "apps", {"id": "web", "label": "W", "description": "D"}) == {
        "description": "D",
        "id": "web",
        "label": "W",
    }
    assert bed.call("POST", "apps", {"id": "web"}, status=409) == "there is an app web already"
    assert "already" in bed.call("POST", "apps", {"id": "x", "label": "W"}, status=409)
    assert bed.call("POST", "apps", {"id": "bare"}) == {"id": "bare", "label": "bare"}
    bed.call("PATCH", "apps/web", {"label": "W2", "description": "D2"})
    assert bed.call("GET", "apps/web")["label"] == "W2"
    assert bed.call("GET", "apps/%7Bweb%7D")["id"] == "web"  # as machines write it
    assert bed.call("DELETE", "apps/web")["label"] == "W2"
    assert bed.call("GET", "apps/web", status=404) == "no such app"


def test_an_application_with_a_uuid_keeps_it(bed):
    uuid = "11111111-2222-4333-8444-555555555555"
    bed.call("POST", "apps", {"id": uuid, "label": "U"})
    assert bed.call("GET", f"apps/{uuid}")["id"] == uuid


def test_packages(bed):
    bed.call("POST", "apps", {"id": "web"})
    body = {
        "url": "http://h/p/u.gz",
        "sha1Sum": "c2hhMQ==",
        "sha256Sum": "c2hhMjU2",
        "size": "5",
        "metadataSignatureRsa": "rsa",
        "metadataSize": "7",
        "releaseNotes": "notes",
    }
    made = bed.call("POST", "apps/web/packages/1.0.0", body)
    assert made == {
        **body,
        "appId": "web",
        "dateCreated": "2027-01-15T08:00:00Z",
        "version": "1.0.0",
    }
    assert list(made) == sorted(made)
    assert "already" in bed.call("POST", "apps/web/packages/1.0.0", body, status=409)
    assert "not like 1.2.3" in bed.call("POST", "apps/web/packages/one", body, status=400)
    bed.call("POST", "apps/web/packages/1.10.0", body)
    bed.call("POST", "apps/web/packages/1.9.0", body)

    def versions(query=""):
        found = bed.call("GET", f"apps/web/packages{query}")
        return [item["version"] for item in found.get("items", [])], found.get("total", 0)

    assert versions() == (["1.10.0", "1.9.0", "1.0.0"], 3)
    assert versions("?limit=1&skip=1") == (["1.9.0"], 3)
    assert versions("?version=1.0.0") == (["1.0.0"], 1)
    assert "must be a number" in bed.call("GET", "apps/web/packages?limit=x", status=400)
    assert bed.call("DELETE", "apps/web/packages/1.9.0")["version"] == "1.9.0"
    assert bed.call("DELETE", "apps/web/packages/1.9.0", status=404) == "no such package"
    # The same package in the other API, with base and name apart.
    bed.api = bed.rest
    app = next(app for app in bed.json("GET", "/api/apps") if app["name"] == "web")
    package = app["packages"][0]
    assert (package["url"], package["filename"]) == ("http://h/p/", "u.gz")
    assert package["coreos_action"]["sha256"] == "c2hhMjU2"


def test_channels(bed):
    web(bed)
    channel = {"appId": "web", "dateCreated": "2027-01-15T08:00:00Z", "label": "main"}
    assert bed.call("GET", "apps/web/channels") == {"items": [{**channel, "version": "2.0.0"}]}
    changed = bed.call("PATCH", "apps/web/channels/main", {"version": "2.0.0", "publish": True})
    assert changed == {**channel, "publish": True, "version": "2.0.0"}
    assert bed.ask("GET", f"{BASE}public/channels").json == {"items": [changed]}
    missing = bed.call("PATCH", "apps/web/channels/main", {"version": "9.0.0"}, status=404)
    assert missing == "no package of version 9.0.0"
    # Whoever does not say that it is published takes it back: Go leaves out what is false.
    bed.call("PATCH", "apps/web/channels/main", {"version": "2.0.0"})
    assert bed.ask("GET", f"{BASE}public/channels").json == {}
    assert bed.call("DELETE", "apps/web/channels/main")["label"] == "main"
    assert bed.call("DELETE", "apps/web/channels/main", status=404) == "no such channel"
    assert "channelId" not in bed.call("GET", "apps/web/groups/g")


def test_public_packages_need_no_name(bed):
    web(bed)
    assert bed.ask("GET", f"{BASE}public/packages").json == {}
    bed.call("PATCH", "apps/web/channels/main", {"publish": True})
    (item,) = bed.ask("GET", f"{BASE}public/packages").json["items"]
    assert (item["AppId"], [p["version"] for p in item["packages"]]) == ("web", ["2.0.0"])


# -- groups


def test_groups(bed):
    whole = {
        "appId": "web",
        "channelId": "main",
        "id": "g",
        "label": "G",
        "updatePercent": 100,
    }
    assert web(bed) == whole
    assert bed.call("GET", "apps/web/groups/g") == whole
    assert bed.call("GET", "apps/web/groups") == {"items": [whole]}
    assert "already" in bed.call("POST", "apps/web/groups", {"id": "g"}, status=409)
    assert bed.call("POST", "apps/web/groups", {"id": "h", "channelId": "x"}, status=404)
    changed = bed.call("PATCH", "apps/web/groups/g", {**whole, "updatesPaused": True})
    assert changed == {**whole, "updatesPaused": True}
    assert bed.call("GET", "apps/web/groups/g/status")["pauseReason"] == "by bob"
    assert bed.call("PATCH", "apps/web/groups/g", whole) == whole
    blacklisted = bed.call("PATCH", "apps/web/groups/g", {**whole, "oemBlacklist": " a,b,,a "})
    assert blacklisted["oemBlacklist"] == "a,b"
    assert bed.call("PATCH", "apps/web/groups/g", whole) == whole
    assert bed.call("DELETE", "apps/web/groups/g")["id"] == "g"
    assert bed.call("GET", "apps/web/groups/g", status=404) == "no such group"


def test_our_own_groups_by_track_and_by_id(bed):
    one = bed.call("GET", f"apps/{COREOS}/groups/stable")
    assert one == bed.call("GET", f"apps/{COREOS}/groups/{STABLE}")
    assert (one["id"], one["channelId"], one["label"]) == ("stable", "stable", "Stable")


def test_a_percentage(bed):
    web(bed)
    answer = bed.call(
        "POST", "apps/web/groups/g", {"appId": "web", "id": "g", "updatePercent": 33.3}
    )
    assert answer == {"appId": "web", "id": "g", "updatePercent": 33.3}
    assert bed.call("POST", "apps/web/groups/g", {"updatePercent": 101}, status=400)
    # 0 is left out, there and back.
    assert bed.call("POST", "apps/web/groups/g", {}) == {"appId": "web", "id": "g"}
    assert "updatePercent" not in bed.call("GET", "apps/web/groups/g")


def test_a_rollout_grows_with_time(bed):
    web(bed, percent=0)
    frames = [{"duration": "60", "percent": 50}, {"percent": 100}]
    assert bed.call("POST", "apps/web/groups/g/rollout/active", {"active": True}, status=400)
    body = {"appId": "web", "groupId": "g", "rollout": frames}
    assert bed.call("POST", "apps/web/groups/g/rollout", body) == body
    assert bed.call("GET", "apps/web/groups/g/rollout") == body

    def percent():
        found = bed.call("GET", "apps/web/groups/g")
        return found.get("updatePercent", 0), found.get("rolloutActive", False)

    assert percent() == (0, False)
    assert bed.call("POST", "apps/web/groups/g/rollout/active", {"active": True})["active"]
    assert percent() == (50, True)
    # What a client sends back whole does not freeze it.
    bed.call("PATCH", "apps/web/groups/g", bed.call("GET", "apps/web/groups/g"))
    bed.now_us += 60 * SECOND_US
    assert percent() == (100, True)
    bed.now_us -= 30 * SECOND_US
    assert "active" not in bed.call("POST", "apps/web/groups/g/rollout/active", {})
    assert percent() == (50, False)
    bed.call("POST", "apps/web/groups/g/rollout/active", {"active": True})
    bed.call("POST", "apps/web/groups/g", {"updatePercent": 10})
    assert percent() == (10, False)


def test_a_client_that_adds_up_floats(bed):
    web(bed)
    frames = [{"duration": "1", "percent": 100.00000000001516}, {"percent": 100}]
    bed.call("POST", "apps/web/groups/g/rollout", {"rollout": frames})
    frames[0]["percent"] = 101
    assert "between 0 and 100" in bed.call(
        "POST", "apps/web/groups/g/rollout", {"rollout": frames}, status=400
    )


def check_in(bed, name, version, *, oem="", at_s=0, status=None, event=None):
    """An instance of the group that was here."""
    with bed.transaction() as tx:
        group_id, app_id = tx.one("SELECT id, app_id FROM groups WHERE track = 'g'")
        now_us = bed.now_us + at_s * SECOND_US
        instances.put(tx, None, Instance(name, "10.0.0.1", now_us, oem=oem))
        standing = Standing(name, app_id, group_id, version, now_us, now_us, status)
        instances.save(tx, None, standing, now_us)
        if event is not None:
            entry = EventEntry(*event, 0, None, now_us)
            events.add(tx, events.Origin(name, app_id, group_id, version), entry)


def test_instances(bed):
    web(bed)
    check_in(bed, "m1", "1.0.0", oem="ec2", event=(13, 1))
    check_in(bed, "m2", "2.0.0", at_s=5)
    one = {
        "appId": "web",
        "clientId": "m1",
        "errorCode": "0",
        "eventResult": "1",
        "eventType": "13",
        "groupId": "g",
        "lastSeen": "2027-01-15T08:00:00Z",
        "oem": "ec2",
        "version": "1.0.0",
    }
    two = {
        "appId": "web",
        "clientId": "m2",
        "groupId": "g",
        "lastSeen": "2027-01-15T08:00:05Z",
        "version": "2.0.0",
    }
    for query, found in [
        ("", [two, one]),
        ("appId=web&groupId=g", [two, one]),
        ("groupId=g", [two, one]),
        ("oem=ec2", [one]),
        ("version=2.0.0", [two]),
        ("clientId=m1", [one]),
        ("limit=1", [two]),
        ("limit=1&skip=1", [one]),
        (f"dateStart={START_S + 1}", [two]),
        (f"dateStart=0&dateEnd={START_S}", [one]),
        (f"appId={COREOS}", []),
    ]:
        assert bed.call("GET", f"clientupdates?{query}").get("items", []) == found, query
    assert bed.call("GET", "clientupdatecount?oem=ec2") == {"count": 1}
    assert bed.call("GET", "clientupdates?groupId=no", status=404) == "no such group"
    row = {"appId": "web", "count": 1, "groupId": "g"}
    assert bed.call("GET", "appversions")["items"] == [
        {**row, "version": "1.0.0"},
        {**row, "version": "2.0.0"},
    ]
    (told,) = bed.call("GET", "client/history?clientId=m1")["items"]
    assert told == {
        "dateTime": str(START_S),
        "eventResult": "1",
        "eventType": "13",
        "groupId": "g",
        "version": "1.0.0",
    }


def test_counts_over_time(bed):
    web(bed)
    check_in(bed, "m1", "1.0.0", event=(13, 1))
    check_in(bed, "m2", "1.0.0", at_s=1, event=(13, 1))
    check_in(bed, "m3", "2.0.0", at_s=61, event=(3, 2))
    bed.now_us += 100 * SECOND_US

    def rollup(what, resolution):
        path = f"apps/web/groups/g/requests/{what}/{START_S}/0?resolution={resolution}"
        return bed.call("GET", path)["items"]

    minute = START_S // 60 * 60
    assert rollup("events", 60) == [
        {
            "result": "1",
            "type": "13",
            "values": [{"count": "2", "timestamp": str(minute)}],
            "version": "1.0.0",
        },
        {
            "result": "2",
            "type": "3",
            "values": [{"count": "1", "timestamp": str(minute + 60)}],
            "version": "2.0.0",
        },
    ]
    day = str(START_S // 86_400 * 86_400)
    assert rollup("versions", 86_400) == [
        {"values": [{"count": "2", "timestamp": day}], "version": "1.0.0"},
        {"values": [{"count": "1", "timestamp": day}], "version": "2.0.0"},
    ]
    with bed.transaction() as tx:
        samples.take(tx, bed.now_us)
    assert rollup("versions", 86_400)[0]["values"] == [{"count": "2", "timestamp": day}]
    path = "apps/web/groups/g/requests/versions"
    assert "resolution" in bed.call("GET", f"{path}/0/0?resolution=7", status=400)
    assert "before the start" in bed.call("GET", f"{path}/9/5", status=400)
    assert "start must be a number" in bed.call("GET", f"{path}/-1/5", status=400)


def test_how_far_a_group_is(bed):
    web(bed)
    check_in(bed, "m1", "2.0.0")
    check_in(bed, "m2", "1.0.0", status=Status.ON_HOLD)
    check_in(bed, "m3", "1.0.0")
    assert bed.call("GET", "apps/web/groups/g/status") == {
        "appId": "web",
        "channelId": "main",
        "done": 1,
        "id": "g",
        "label": "G",
        "onHold": 1,
        "total": 3,
        "version": "2.0.0",
        "waiting": 1,
    }


# -- users, upstreams


def test_users_and_their_keys(bed):
    made = bed.call("POST", "admin/user", {"userName": "al@example.com"})
    assert made["user"] == "al@example.com"
    assert re.fullmatch(r"[A-Za-z0-9_-]{40}", made["token"])
    first = {"user": made["user"], "key": made["token"]}
    assert bed.signed("GET", "apps", signs=first).status == 200
    assert bed.call("GET", "admin/user") == {"users": [{"user": "al@example.com"}, {"user": USER}]}
    assert bed.call("GET", "admin/user/al%40example.com") == {"user": "al@example.com"}
    other = bed.call("PUT", "admin/user/al@example.com/token/new", {})["token"]
    assert bed.signed("GET", "apps", signs=first).status == 401
    assert bed.signed("GET", "apps", signs={"user": made["user"], "key": other}).status == 200
    assert "already" in bed.call("POST", "admin/user", {"userName": USER}, status=409)
    for name in ("", 'a"b', "a b", "é", "x" * 65):
        assert "a user's name" in bed.call("POST", "admin/user", {"userName": name}, status=400)
    assert bed.call("DELETE", "admin/user/al@example.com") == {"user": "al@example.com"}
    assert bed.signed("GET", "apps", signs={"user": made["user"], "key": other}).status == 401
    assert bed.call("DELETE", "admin/user/al@example.com", status=404) == "no such user"


def test_upstreams(bed):
    made = bed.call("POST", "upstream", {"url": "http://u/", "label": "l"})
    assert (made["url"], made["label"]) == ("http://u", "l")
    changed = bed.call("PUT", f"upstream/{made['id']}", {"id": made["id"], "url": "https://v/p"})
    assert changed == {"id": made["id"], "url": "https://v/p"}
    assert bed.call("GET", "upstream") == {"items": [changed]}
    for url in ("", "u", "ftp://u", "http://u:p@h", "http://h/?q", "http://h h", "http://"):
        assert "url must be like" in bed.call("POST", "upstream", {"url": url}, status=400), url
    assert bed.call("DELETE", f"upstream/{made['id']}") == changed
    assert bed.call("DELETE", f"upstream/{made['id']}", status=404) == "no such upstream"


def test_the_group_that_an_oem_is_left_out_of():
    assert str(Verdict.EXCLUDED) == "the group leaves this OEM out"


# -- forms

FORM = (
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="a \\"b\\".gz"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n%s\r\n--B--\r\n"
)


@pytest.mark.parametrize("content", [b"", b"x", b"\r\n--", b"\r\n--A\r\n\r\n--" * 5, bytes(3000)])
def test_a_forms_file_however_it_is_cut(content):
    whole = FORM % content
    for step in (1, 2, 3, 7, 64, len(whole)):
        reader = OneFile("B")
        found = b"".join(reader.feed(whole[at : at + step]) for at in range(0, len(whole), step))
        assert (found, reader.filename, reader.is_complete) == (content, 'a "b".gz', True)


@pytest.mark.parametrize(
    "data",
    [FORM.replace(b"--B\r\nC", b"--C\r\nC"), FORM.replace(b"filename", b"name"), b"x" * 9000],
)
def test_forms_that_are_none(data):
    with pytest.raises(WireError):
        OneFile("B").feed(data)


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("multipart/form-data; boundary=abc", "abc"),
        ('Multipart/Form-Data ; charset=x; boundary="a b"', "a b"),
        ("multipart/form-data", ""),
        ("application/json; boundary=abc", ""),
        ("multipart/form-data; boundary=" + "x" * 71, ""),
    ],
)
def test_boundaries(text, mark):
    assert boundary(text) == mark
