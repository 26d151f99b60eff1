"""The REST API as its two kinds of clients see it: CoreRoller's, and those that accept JSON."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from pathlib import Path

import pytest

from coreos_py.roller import auth
from coreos_py.roller.call import Config
from coreos_py.roller.db import activity, instances, samples
from coreos_py.roller.records import ActivityClass, Instance, Severity, Standing, Status
from coreos_py.roller.rest import fields
from coreos_py.roller.rest.charts import thinned
from coreos_py.roller.rest.table import ROUTES
from tests.support.rest_bed import COREOS, JSON, PASSWORDS, STABLE, START_US, RestBed

MINUTE_US = 60_000_000
APP = f"/api/apps/{COREOS}"
GROUP = f"{APP}/groups/{STABLE}"


@pytest.fixture
def bed(tmp_path):
    found = RestBed(tmp_path)
    yield found
    found.close()


def add_instances(bed: RestBed, *standings: Standing) -> None:
    with bed.transaction() as tx:
        for number, standing in enumerate(standings):
            ip = f"10.0.0.{number + 1}"
            instances.put(tx, None, Instance(standing.instance_id, ip, START_US + number))
            instances.save(tx, None, standing, START_US + number)


def standing(name: str, version: str, status: Status | None = None, **more) -> Standing:
    return Standing(name, COREOS, STABLE, version, START_US, START_US, status, **more)


def publish(bed: RestBed, version: str) -> None:
    """Make Stable's channel point to a package of this version."""
    package = bed.json("POST", f"{APP}/packages", {"version": version, "url": "http://h/"})
    channel = bed.json("GET", GROUP)["channel_id"]
    bed.json("PUT", f"{APP}/channels/{channel}", {"package_id": package["id"]})


# -- both kinds of clients ------


def test_an_empty_list_is_404_for_coreroller_clients_and_an_array_for_ours(bed):
    plain = bed.ask("GET", f"{APP}/packages", token=bed.viewer)
    assert (plain.status, plain.body) == (404, b"Not Found\n")
    assert plain.headers["Content-Type"] == "text/plain; charset=utf-8"
    ours = bed.ask("GET", f"{APP}/packages", token=bed.viewer, headers=JSON)
    assert (ours.status, ours.body) == (200, b"[]\n")
    assert ours.headers["Content-Type"] == "application/json"
    assert ours.headers["X-Total-Count"] == "0"


def test_a_list_of_what_is_not_there_is_404_for_all(bed):
    for path in ("groups", "channels", "packages", "instances"):
        for headers in ({}, JSON):
            url = f"/api/apps/{STABLE}/{path}"
            assert bed.ask("GET", url, token=bed.viewer, headers=headers).status == 404


def test_a_refusal_has_its_reason_for_our_clients_only(bed):
    body = {"name": "CoreOS"}
    plain = bed.ask("POST", "/api/apps", body, token=bed.admin)
    assert (plain.status, plain.body) == (400, b"Bad Request\n")
    ours = bed.ask("POST", "/api/apps", body, token=bed.admin, headers=JSON)
    assert (ours.status, ours.json) == (
        400,
        {"error": 'there is an application "CoreOS" already'},
    )


def test_fields_left_out_are_zero_for_coreroller_and_as_they_were_for_ours(bed):
    channel = bed.json("POST", f"{APP}/channels", {"name": "edge", "color": "#123456"})
    path = f"{APP}/channels/{channel['id']}"
    assert bed.json("PUT", path, {"name": "new"})["color"] == "#123456"
    plain = bed.ask("PUT", path, {"name": "newer"}, token=bed.admin)
    assert plain.json["color"] == ""
    group = bed.json("POST", f"{APP}/groups", {"name": "New group"})
    assert group["policy_updates_enabled"] is True
    assert group["track"] == "new group"
    body = {
        "name": "other",
        "policy_period_interval": "1 minutes",
        "policy_max_updates_per_period": 1,
        "policy_update_timeout": "1 minutes",
    }
    plain = bed.ask("POST", f"{APP}/groups", body, token=bed.admin)
    assert plain.json["policy_updates_enabled"] is False
    assert "track" not in plain.json


def test_a_change_by_a_coreroller_client_leaves_alone_what_it_does_not_know(bed):
    values = {
        "track": "lts",
        "policy_canaries": 3,
        "update_percent": 12.5,
        "oem_blacklist": "ec2,azure",
    }
    assert values.items() <= bed.json("PUT", GROUP, values).items()
    plain = json.loads(bed.ask("GET", GROUP, token=bed.viewer).body)
    assert bed.ask("PUT", GROUP, plain, token=bed.admin).status == 200
    assert values.items() <= bed.json("GET", GROUP).items()


def test_excluded_oems_are_names_with_commas_between(bed):
    changed = bed.json("PUT", GROUP, {"oem_blacklist": " ec2, azure,,ec2 "})
    assert changed["oem_blacklist"] == "ec2,azure"
    assert bed.json("PUT", GROUP, {"description": "other"})["oem_blacklist"] == "ec2,azure"
    assert bed.json("PUT", GROUP, {"oem_blacklist": ""})["oem_blacklist"] == ""
    made = bed.json("POST", f"{APP}/groups", {"name": "bare metal", "oem_blacklist": "ec2"})
    assert made["oem_blacklist"] == "ec2"
    clone = bed.ask("POST", f"/api/apps?clone_from={COREOS}", {"name": "c"}, token=bed.admin)
    copies = bed.json("GET", f"/api/apps/{clone.json['id']}/groups")
    assert [item["oem_blacklist"] for item in copies if item["name"] == "bare metal"] == ["ec2"]


def test_an_object_can_be_sent_back_as_it_came(bed):
    publish(bed, "1.0.0")
    add_instances(bed, standing("m1", "0.9.0"))
    for path in (APP, GROUP, bed.json("GET", f"{APP}/packages")[0]["id"]):
        path = path if path.startswith("/") else f"{APP}/packages/{path}"
        before = bed.json("GET", path)
        assert bed.json("PUT", path, before) == before


def test_paths_of_another_application_lead_nowhere_unless_coreroller_shall_be_copied(tmp_path):
    for compat, status in ((False, 404), (True, 200)):
        (tmp_path / str(compat)).mkdir()
        bed = RestBed(tmp_path / str(compat), Config(compat=compat))
        other = bed.json("POST", "/api/apps", {"name": "other"})["id"]
        path = f"/api/apps/{other}/groups/{STABLE}"
        assert bed.ask("GET", path, token=bed.viewer).status == status
        bed.close()


def test_an_unknown_method_or_path_is_coreroller_s_404(bed):
    for method, path in (("GET", "/api/nosuch"), ("PATCH", APP), ("POST", APP)):
        answer = bed.ask(method, path, token=bed.admin)
        assert (answer.status, answer.body) == (404, b"404 page not found\n")
    ours = bed.ask("PATCH", APP, token=bed.admin, headers=JSON)
    assert (ours.status, ours.headers["Allow"]) == (405, "DELETE, GET, HEAD, PUT, OPTIONS")
    assert bed.ask("OPTIONS", "/api/apps", token=bed.viewer).status == 200


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("page=2&perpage=1", 200),
        ("page=0", 200),
        ("page=x&perpage=-1", 200),
        ("page=9", 404),
        ("perpage=99999999999999999999999", 400),
        ("perpage=" + "9" * 9999, 400),
        ("perpage=18446744073709551615", 400),
        ("page=18446744073709551615&perpage=2", 400),
    ],
)
def test_pages_are_counted_as_coreroller_counts_them(bed, query, status):
    answer = bed.ask("GET", f"{APP}/groups?{query}", token=bed.viewer)
    assert answer.status == status


# -- applications, channels, packages ------


def test_a_clone_has_groups_and_channels_but_no_packages(bed):
    publish(bed, "1.0.0")
    bed.json("POST", f"{GROUP}/pause", {"reason": "holidays"})
    clone = bed.json("POST", f"/api/apps?clone_from={COREOS.upper()}", {"name": "clone"})
    assert [item["name"] for item in clone["channels"]] == ["alpha", "beta", "stable"]
    assert {item["package_id"] for item in clone["channels"]} == {None}
    stable = next(item for item in clone["groups"] if item["name"] == "Stable")
    assert stable["channel"]["name"] == "stable"
    assert stable["policy_updates_enabled"] is True
    assert stable["pause_reason"] == ""
    assert clone["packages"] == []


def test_a_clone_of_nothing_is_refused_unless_the_client_is_coreroller_s(bed):
    path = f"/api/apps?clone_from={STABLE}"
    assert bed.ask("POST", path, {"name": "a"}, token=bed.admin, headers=JSON).status == 400
    assert bed.ask("POST", path, {"name": "a"}, token=bed.admin).status == 200


def test_a_refused_package_leaves_nothing_behind(bed):
    before = bed.dump()
    body = {"version": "1.0.0", "url": "http://h/", "channels_blacklist": [STABLE]}
    answer = bed.ask("POST", f"{APP}/packages", body, token=bed.admin, headers=JSON)
    assert (answer.status, answer.json["error"]) == (
        400,
        f"the application has no channel {STABLE}",
    )
    assert bed.dump() == before


def test_a_channel_takes_no_package_that_machines_could_not_download(bed):
    package = bed.json("POST", f"{APP}/packages", {"version": "1.0.0"})
    body = {"name": "edge", "package_id": package["id"]}
    answer = bed.ask("POST", f"{APP}/channels", body, token=bed.admin, headers=JSON)
    assert answer.json["error"] == "package 1.0.0 has no file yet, nor the URL of one"


def test_packages_are_listed_by_version_the_newest_first(bed):
    for version in ("1.2.0", "1.10.0", "1.9.0-rc.1", "1.9.0"):
        bed.json("POST", f"{APP}/packages", {"version": version, "url": "http://h/"})
    found = [item["version"] for item in bed.json("GET", f"{APP}/packages")]
    assert found == ["1.10.0", "1.9.0", "1.9.0-rc.1", "1.2.0"]


def test_an_action_takes_more_than_its_digest_from_our_clients_only(bed):
    action = {"sha256": "s", "is_delta": True, "deadline": "now"}
    body = {"type": 1, "version": "1.0.0", "url": "http://h/", "coreos_action": action}
    ours = bed.json("POST", f"{APP}/packages", body)["coreos_action"]
    assert (ours["sha256"], ours["is_delta"], ours["deadline"]) == ("s", True, "now")
    plain = bed.ask("POST", f"{APP}/packages", {**body, "version": "2.0.0"}, token=bed.admin)
    found = plain.json["coreos_action"]
    assert (found["sha256"], found["is_delta"], found["deadline"]) == ("s", False, "")


# -- groups ------


def test_pause_and_resume_say_why_and_tell_the_activity(bed):
    paused = bed.json("POST", f"{GROUP}/pause", {"reason": "holidays"})
    assert (paused["policy_updates_enabled"], paused["pause_reason"]) == (False, "holidays")
    assert bed.json("POST", f"{GROUP}/pause")["pause_reason"] == "holidays"
    resumed = bed.json("POST", f"{GROUP}/resume")
    assert (resumed["policy_updates_enabled"], resumed["pause_reason"]) == (True, "")
    bed.json("POST", f"{GROUP}/resume")
    entries = bed.json("GET", f"/api/activity?group={STABLE}")
    kinds = [(entry["class"], entry["note"]) for entry in entries]
    assert sorted(kinds) == [(ActivityClass.PAUSED, "holidays"), (ActivityClass.RESUMED, "")]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("policy_period_interval", "soon", "policy_period_interval 'soon' is not like 15 minutes"),
        ("policy_period_interval", "0 minutes", "policy_period_interval '0 minutes' is not like"),
        ("policy_update_timeout", "", "policy_update_timeout must have 1 to 20 characters, not 0"),
        ("policy_max_updates_per_period", 0, "policy_max_updates_per_period must be at least 1"),
        ("policy_max_updates_per_period", 1 << 31, "policy_max_updates_per_period must be at"),
        ("policy_office_hours", True, "office hours need a time zone, '' is none"),
        ("policy_canaries", -1, "policy_canaries must be at least 0"),
        ("update_percent", 100.5, "update_percent must be between 0 and 100"),
        ("name", "", "name must have 1 to 50 characters, not 0"),
        ("name", "Beta", 'there is a group "Beta" already'),
        ("track", "beta", 'there is a group with track "beta" already'),
        ("channel_id", STABLE, f"the application has no channel {STABLE}"),
        ("channel_id", "x", "field channel_id: 'x' is no uuid"),
    ],
)
def test_a_policy_that_cannot_work_is_refused_with_the_reason(bed, field, value, reason):
    before = bed.dump()
    answer = bed.ask("PUT", GROUP, {field: value}, token=bed.admin, headers=JSON)
    assert answer.status == 400
    assert answer.json["error"].startswith(reason)
    assert bed.dump() == before


def test_the_rollout_is_told_in_numbers(bed):
    publish(bed, "2.0.0")
    granted = {"granted_us": START_US, "granted_version": "2.0.0"}
    add_instances(
        bed,
        standing("done", "2.0.0", Status.COMPLETE, **granted),
        standing("busy", "1.0.0", Status.DOWNLOADING, in_progress=True, **granted),
        standing("failed", "1.0.0", Status.ERROR, **granted),
        standing("held", "1.0.0", Status.ON_HOLD),
        standing("new", "1.0.0"),
    )
    with bed.transaction() as tx:
        activity.add(
            tx,
            ActivityClass.ROLLOUT_STARTED,
            Severity.INFO,
            version="2.0.0",
            app_id=COREOS,
            group_id=STABLE,
            now_us=START_US,
        )
    bed.json("PUT", GROUP, {"policy_canaries": 2})
    assert bed.json("GET", f"{GROUP}/rollout") == {
        "version": "2.0.0",
        "total": 5,
        "granted": 3,
        "in_progress": 1,
        "done": 1,
        "failed": 1,
        "on_hold": 1,
        "waiting": 1,
        "paused": False,
        "reason": "",
        "started_ts": "2027-01-15T08:00:00Z",
        "canaries": {"wanted": 2, "done": 1},
    }


def test_charts_have_nebraska_s_shapes(bed):
    add_instances(bed, standing("a", "1.0.0", Status.COMPLETE), standing("b", "0.9.0"))
    with bed.transaction() as tx:
        samples.take(tx, START_US)
    bed.now_us += 10 * MINUTE_US
    versions = bed.json("GET", f"{GROUP}/version_timeline?duration=1h")
    assert versions == {
        "2027-01-15T08:00:00Z": {"0.9.0": 1, "1.0.0": 1},
        "2027-01-15T08:10:00Z": {"0.9.0": 1, "1.0.0": 1},
    }
    statuses = bed.json("GET", f"{GROUP}/status_timeline")
    assert statuses["2027-01-15T08:10:00Z"] == {"1": {"0.9.0": 1}, "4": {"1.0.0": 1}}
    assert bed.json("GET", f"{GROUP}/version_breakdown") == [
        {"version": "1.0.0", "instances": 1, "percentage": 50},
        {"version": "0.9.0", "instances": 1, "percentage": 50},
    ]
    answer = bed.ask("GET", f"{GROUP}/status_timeline?duration=2h", token=bed.viewer, headers=JSON)
    assert answer.json["error"] == "duration must be one of 1d, 1h, 7d, 30d, not '2h'"


def test_a_chart_keeps_the_last_samples_of_every_step():
    found = [samples.Sample(at, "v", 1, at) for at in (0, 5, 9, 10, 19, 31)]
    assert [item.at_us for item in thinned(found, 10)] == [9, 19, 31]
    both = [samples.Sample(5, "v", 1, 1), samples.Sample(5, "w", 1, 2)]
    assert thinned(both, 10) == both


# -- instances ------


def test_instances_are_filtered_searched_sorted_and_paged(bed):
    add_instances(
        bed,
        standing("m-b", "1.0.0", Status.ON_HOLD),
        standing("m-a", "1.0.0"),
        standing("x%y", "2.0.0", Status.COMPLETE),
    )
    bed.json("PUT", "/api/instances/m-a", {"alias": "The First"}, status=204)

    def ids(query: str) -> list[str]:
        return [item["id"] for item in bed.json("GET", f"{GROUP}/instances?{query}")]

    assert ids("sort=id") == ["m-a", "m-b", "x%y"]
    assert ids("sort=id&order=desc&perpage=2") == ["x%y", "m-b"]
    assert ids("status=8") == ["m-b"]
    assert ids("status=1") == ["m-a"]
    assert ids("version=2.0.0") == ["x%y"]
    assert ids("search=first") == ["m-a"]
    assert ids("search=%25") == ["x%y"]
    assert ids("search=10.0.0.2") == ["m-a"]
    answer = bed.ask("GET", f"{APP}/instances?perpage=1", token=bed.viewer, headers=JSON)
    assert answer.headers["X-Total-Count"] == "3"
    refused = bed.ask("GET", f"{APP}/instances?sort=size", token=bed.viewer, headers=JSON)
    assert refused.status == 400


def test_an_instance_unseen_for_a_day_is_not_listed_but_found(bed):
    add_instances(bed, standing("m1", "1.0.0"))
    bed.now_us += 24 * 60 * MINUTE_US + 1
    assert bed.json("GET", f"{GROUP}/instances") == []
    found = bed.json("GET", f"{GROUP}/instances/m1")
    assert found["application"]["version"] == "1.0.0"
    assert bed.json("GET", f"{APP}/groups")[0]["instances_stats"]["total"] == 0


def test_an_instance_s_history_is_for_its_group_only(bed):
    add_instances(bed, standing("m/1", "1.0.0", Status.UPDATE_GRANTED, granted_version="2.0.0"))
    path = f"{GROUP}/instances/m%2F1/status_history"
    assert bed.json("GET", path) == [
        {"status": 2, "version": "2.0.0", "created_ts": "2027-01-15T08:00:00Z"}
    ]
    beta = bed.json("GET", f"{APP}/groups")[0]["id"]
    assert bed.json("GET", path.replace(STABLE, beta)) == []


# -- users, tokens, sessions ------


def test_a_session_is_a_cookie_that_ends(bed):
    headers = {**JSON, "Cookie": bed.sessions["admin"]}
    assert bed.ask("GET", "/api/config", headers=headers).json["user"] == "admin"
    bed.now_us += auth.SESSION_S * 1_000_000
    assert bed.ask("GET", "/api/config", headers=headers).json["user"] is None
    assert bed.ask("GET", "/api/apps", headers=headers).status == 401


def test_signing_out_ends_the_session(bed):
    headers = {**JSON, "Cookie": bed.sessions["admin"], "Sec-Fetch-Site": "same-origin"}
    answer = bed.ask("DELETE", "/api/session", headers=headers)
    assert answer.status == 204
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert bed.ask("GET", "/api/apps", headers=headers).status == 401


def test_a_session_by_token_ends_with_the_token(bed):
    made = bed.json("POST", "/api/tokens", {"name": "wall display", "role": "viewer"})
    answer = bed.ask("POST", "/api/session", {"token": made["token"]}, headers=JSON)
    headers = {**JSON, "Cookie": answer.headers["Set-Cookie"].partition(";")[0]}
    config = bed.ask("GET", "/api/config", headers=headers).json
    assert (config["user"], config["role"]) == ("wall display", "viewer")
    bed.json("DELETE", f"/api/tokens/{made['id']}", status=204)
    assert bed.ask("GET", "/api/apps", headers=headers).status == 401


def test_a_token_works_in_place_of_a_password(bed):
    basic = {"Authorization": _basic("anybody", bed.viewer)}
    assert bed.ask("GET", "/api/apps", headers=basic).status == 200


def test_a_new_password_ends_the_other_sessions(bed):
    body = {"user": "admin", "password": PASSWORDS["admin"]}
    second = bed.ask("POST", "/api/session", body, headers=JSON).headers["Set-Cookie"]
    mine = {**JSON, "Cookie": bed.sessions["admin"], "Sec-Fetch-Site": "same-origin"}
    change = {"password": "a new password"}
    assert bed.ask("PUT", "/api/password", change, headers=mine).status == 204
    assert bed.ask("GET", "/api/apps", headers=mine).status == 200
    other = {"Cookie": second.partition(";")[0]}
    assert bed.ask("GET", "/api/apps", headers=other).status == 401
    old = {"Authorization": _basic("admin", PASSWORDS["admin"])}
    assert bed.ask("GET", "/api/apps", headers=old).status == 401
    new = {"Authorization": _basic("admin", "a new password")}
    assert bed.ask("GET", "/api/apps", headers=new).status == 200


@pytest.mark.parametrize(
    ("compat", "password", "status"),
    [(False, "short", 400), (True, "short", 204), (True, "", 400), (False, "x" * 1025, 400)],
)
def test_how_long_a_password_must_be(tmp_path, compat, password, status):
    bed = RestBed(tmp_path, Config(compat=compat))
    headers = {"Authorization": _basic("viewer", PASSWORDS["viewer"])}
    answer = bed.ask("PUT", "/api/password", {"password": password}, headers=headers)
    assert answer.status == status
    bed.close()


def test_users_come_and_go_but_the_last_admin_stays(bed):
    body = {"name": "eve", "password": "eves password", "role": "admin"}
    assert bed.json("POST", "/api/users", body)["role"] == "admin"
    assert bed.ask("POST", "/api/users", body, token=bed.admin).status == 400
    assert bed.json("PUT", "/api/users/eve", {"role": "viewer"})["role"] == "viewer"
    for method, change in (("PUT", {"role": "viewer"}), ("DELETE", None)):
        answer = bed.ask(method, "/api/users/admin", change, token=bed.admin, headers=JSON)
        assert (answer.status, answer.json) == (400, {"error": "admin is the last admin"})
    bed.json("DELETE", "/api/users/eve", status=204)
    assert [item["name"] for item in bed.json("GET", "/api/users")] == ["admin", "viewer"]


def test_when_a_token_was_used_is_noted_with_the_next_write(bed):
    bed.now_us += MINUTE_US
    bed.ask("GET", "/api/apps", token=bed.viewer)
    used = {item["name"]: item["last_used_ts"] for item in bed.json("GET", "/api/tokens")}
    assert used["viewer"] == "2027-01-15T08:01:00Z"
    assert not any("2027-01-15" in line for line in bed.dump())
    bed.json("PUT", "/api/apps/" + COREOS, {})
    with bed.transaction() as tx:
        rows = tx.all("SELECT name, last_used_us FROM token ORDER BY name")
    assert rows == [("admin", bed.now_us), ("viewer", bed.now_us)]


def test_every_route_says_what_it_does_and_writes_are_for_admins():
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
    for route in ROUTES:
        assert re.fullmatch(r"[a-z].*[a-z]", route.does)
        if route.method != "GET" and route.path not in ("/api/session", "/api/password"):
            assert route.needs.value == "admin", route


READ_ONLY = {"id", "created_ts", "application_id", "groups", "channels", "packages", "instances"}
READ_ONLY |= {"rollout_in_progress", "version_breakdown", "channel", "package", "instances_stats"}


def test_the_manual_names_every_route_and_every_field_that_can_be_set():
    page = (Path(__file__).parents[3] / "man/rollerd-api.7").read_text()
    for route in ROUTES:
        assert f'.It Li {route.method} "{route.path}"\n' in page
    for spec in (fields.APP, fields.PACKAGE, fields.CHANNEL, fields.GROUP, fields.USER):
        for name in spec.keys() - READ_ONLY:
            assert re.search(rf"\.(Ql|It Li) (.*, )?{name}\b", page), name


def _basic(name: str, password: str) -> str:
    return "Basic " + b64encode(f"{name}:{password}".encode()).decode()
