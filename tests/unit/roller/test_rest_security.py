"""Point by point: looking changes nothing, nobody writes who may not, nothing secret comes out."""

from __future__ import annotations

import json
import re
from base64 import b64encode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coreos_py.http.message import Request
from coreos_py.roller import auth
from coreos_py.roller.call import Config, LookFirst
from coreos_py.roller.db import instances
from coreos_py.roller.records import Instance, Standing
from coreos_py.roller.rest import fields
from coreos_py.roller.rest.gate import Needs
from coreos_py.roller.rest.table import ROUTES
from tests.support.rest_bed import COREOS, JSON, PASSWORDS, STABLE, START_US, RestBed

OURS = [route for route in ROUTES if route.action is not None]
WRITES = [route for route in OURS if route.method != "GET"]
OTHER = "00000000-0000-4000-8000-0000000fffff"
NASTY = "x' OR 1=1; DROP TABLE users;-- \"$1 ?%_\\ <script>alert(1)</script>\n\u2028\U0001f600"
IDS = {
    ":app": COREOS,
    ":group": STABLE,
    ":channel": "e06064ad-4414-4904-9a6e-fd465593d1b2",
    ":instance": "m1",
    ":user": "viewer",
}
BODIES = {
    "/api/session": {"user": "admin", "password": PASSWORDS["admin"]},
    "/api/password": {"password": "another password"},
    "/api/users": {"name": "eve", "password": "eves password", "role": "admin"},
    "/api/tokens": {"name": "t", "role": "admin"},
}


@pytest.fixture(scope="module")
def bed(tmp_path_factory):
    """One for all tests here that leave the database as they found it, or do not care."""
    found = RestBed(tmp_path_factory.mktemp("rest"))
    package = found.json("POST", f"/api/apps/{COREOS}/packages", {"version": "1.0.0"})
    token = found.json("POST", "/api/tokens", {"name": "spare", "role": "viewer"})
    IDS.update({":package": package["id"], ":token": token["id"]})
    with found.transaction() as tx:
        instances.put(tx, None, Instance("m1", "10.0.0.1", START_US))
        standing = Standing("m1", COREOS, STABLE, "0.9.0", START_US, START_US)
        instances.save(tx, None, standing, START_US)
    yield found
    found.close()


@pytest.fixture
def own(tmp_path):
    """One that a test may spoil."""
    found = RestBed(tmp_path)
    yield found
    found.close()


def path_of(route) -> str:
    return re.sub(":[a-z]+", lambda match: IDS[match[0]], route.path)


def body_of(route) -> object:
    return BODIES.get(route.path, {"name": "renamed", "alias": "renamed"})


def name_of(route) -> str:
    return f"{route.method} {route.path}"


# -- looking changes nothing ------


@pytest.mark.parametrize("path", sorted({route.path for route in OURS}))
def test_get_and_head_change_nothing(bed, path):
    route = min((route for route in OURS if route.path == path), key=lambda item: item.method)
    before = bed.dump()
    for method in ("GET", "HEAD"):
        for headers in ({}, JSON):
            answer = bed.ask(
                method, path_of(route), body_of(route), token=bed.admin, headers=headers
            )
            is_there = headers and route.method == "GET"
            assert answer.status in ((200,) if is_there else (200, 404, 405)), answer
    assert bed.dump() == before


# -- who may not, does not ------


@pytest.mark.parametrize("route", WRITES, ids=name_of)
def test_nobody_writes_who_may_not(bed, route):
    session = {"Cookie": bed.sessions["admin"]}
    here = {**session, "Sec-Fetch-Site": "same-origin"}
    cases: list[tuple[int, dict[str, str]]] = [
        (401, {}),
        (401, {"Authorization": "Bearer wrong"}),
        (401, {"Cookie": f"{auth.COOKIE}=wrong", "Sec-Fetch-Site": "same-origin"}),
        (403, {"Authorization": f"Bearer {bed.viewer}"}),
        (403, {"Cookie": bed.sessions["viewer"], "Sec-Fetch-Site": "same-origin"}),
        (403, {**session, "Sec-Fetch-Site": "cross-site"}),
        (403, {**session, "Sec-Fetch-Site": "same-site"}),
        (403, {**session, "Origin": "http://evil.example"}),
        (403, {**session, "Origin": "null"}),
        (403, session),
        (403, {"Authorization": f"Bearer {bed.admin}", "Origin": "http://evil.example"}),
        (415, {**here, "Content-Type": "text/plain"}),
        (415, {**here, "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}),
        (415, {**here, "Content-Type": "multipart/form-data; boundary=x"}),
    ]
    before = bed.dump()
    for status, headers in cases:
        may_anybody = route.needs is Needs.NOTHING and status in (401, 403)
        may_himself = route.needs is Needs.SIGN_IN and headers.get("Cookie", "").endswith("viewer")
        if may_himself or (may_anybody and "Sec-Fetch-Site" not in headers):
            continue
        if may_anybody and headers["Sec-Fetch-Site"] == "same-origin":
            continue
        sent = {"Content-Type": "application/json", **headers}
        answer = bed.ask(route.method, path_of(route), body_of(route), headers=sent)
        assert answer.status == status, (headers, answer)
        assert bed.dump() == before, headers


@pytest.mark.parametrize("route", OURS, ids=name_of)
def test_who_is_not_known_learns_nothing(bed, route):
    if route.needs is Needs.NOTHING:
        return
    for path in (path_of(route), path_of(route).replace(COREOS, OTHER), "/api/nosuch"):
        answer = bed.ask(route.method, path)
        assert (answer.status, answer.body) == (401, b"Unauthorized\n")


def test_anonymous_clients_may_read_but_not_all_and_never_write(tmp_path):
    bed = RestBed(tmp_path, Config(anonymous_read=True))
    config = bed.ask("GET", "/api/config", headers=JSON).json
    assert (config["user"], config["role"]) == (None, "viewer")
    for route in OURS:
        if "group" in route.path or "app" in route.path:
            expected = {Needs.READ: (200, 404)}.get(route.needs, (401,))
            path = re.sub(":[a-z]+", lambda match: IDS.get(match[0], OTHER), route.path)
            assert bed.ask(route.method, path, {}, headers=JSON).status in expected, route
    for path in ("/api/users", "/api/tokens"):
        assert bed.ask("GET", path).status == 401
    bed.close()


def test_only_programs_are_asked_for_a_password(bed):
    assert "WWW-Authenticate" in bed.ask("GET", "/api/apps").headers
    for headers in ({"User-Agent": "Mozilla/5.0 (X11)"}, {"Sec-Fetch-Mode": "cors"}):
        assert "WWW-Authenticate" not in bed.ask("GET", "/api/apps", headers=headers).headers


def test_coreroller_s_own_pages_are_served_as_it_served_them(tmp_path):
    bed = RestBed(tmp_path, Config(compat=True))
    jquery = {"User-Agent": "Mozilla/5.0", "Accept": "application/json, text/javascript, */*"}
    answer = bed.ask("GET", "/api/apps", headers=jquery)
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="rollerd"'
    answer = bed.ask("GET", f"/api/apps/{COREOS}/packages", token=bed.viewer, headers=jquery)
    assert (answer.status, answer.body) == (404, b"Not Found\n")
    bed.close()


def test_a_guesser_is_stopped_and_the_others_are_not(tmp_path):
    bed = RestBed(tmp_path)
    wrong = {"user": "admin", "password": "wrong"}
    statuses = [
        bed.ask("POST", "/api/session", wrong, headers=JSON, peer="198.51.100.7").status
        for _ in range(12)
    ]
    assert statuses == [401] * 10 + [429] * 2
    right = {"user": "admin", "password": PASSWORDS["admin"]}
    stopped = bed.ask("POST", "/api/session", right, headers=JSON, peer="198.51.100.7")
    assert (stopped.status, stopped.headers["Retry-After"]) == (429, "60")
    assert bed.ask("POST", "/api/session", right, headers=JSON).status == 204
    assert bed.ask("GET", "/api/apps", token=bed.viewer, peer="198.51.100.7").status == 200
    bed.now_us += 60_000_000
    again = bed.ask("POST", "/api/session", right, headers=JSON, peer="198.51.100.7")
    assert again.status == 204
    bed.close()


def test_a_password_is_checked_where_no_machine_waits(bed):
    def found(method: str, path: str, authorization: str = "") -> object:
        headers = {b"authorization": authorization.encode()}
        return bed.api.route(Request(method, path.encode(), headers, 1))

    basic = "Basic " + b64encode(b"admin:x").decode()
    assert isinstance(found("POST", "/api/session"), LookFirst)
    assert isinstance(found("PUT", f"/api/apps/{COREOS}", basic), LookFirst)
    assert not isinstance(found("PUT", f"/api/apps/{COREOS}", f"Bearer {bed.admin}"), LookFirst)
    assert not isinstance(found("GET", "/api/apps", basic), LookFirst)


# -- nothing secret comes out ------


def test_no_answer_has_a_secret(bed):
    with bed.transaction() as tx:
        hashes = [row[0] for row in tx.all("SELECT hash FROM token")]
        hashes += [row[0] for row in tx.all("SELECT secret FROM users")]
        hashes += [row[0] for row in tx.all("SELECT id FROM session")]
    secrets = [*hashes, *PASSWORDS.values(), bed.admin, bed.viewer, "scrypt$"]
    for route in OURS:
        if route.method == "GET":
            for headers in ({}, JSON):
                answer = bed.ask("GET", path_of(route), token=bed.admin, headers=headers)
                text = answer.body.decode() + repr(answer.headers)
                assert not [secret for secret in secrets if secret in text], route


def test_every_answer_forbids_keeping_and_guessing_at_it(bed):
    for path, token in (("/api/apps", bed.viewer), ("/api/apps", ""), ("/api/config", "")):
        answer = bed.ask("GET", path, token=token)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


# -- texts stay texts ------


def test_sql_and_markup_in_every_field_come_back_as_they_went(tmp_path):
    bed = RestBed(tmp_path)
    app = bed.json("POST", "/api/apps", {"name": NASTY[:50], "description": NASTY})
    assert (app["name"], app["description"]) == (NASTY[:50], NASTY)
    path = f"/api/apps/{app['id']}"
    values = {"version": "1.0.0", "description": NASTY, "filename": NASTY, "hash": NASTY[:64]}
    package = bed.json("POST", f"{path}/packages", {**values, "coreos_action": {"deadline": NASTY}})
    assert values.items() <= package.items()
    assert package["coreos_action"]["deadline"] == NASTY
    channel = bed.json("POST", f"{path}/channels", {"name": NASTY[:25], "color": NASTY[:25]})
    assert (channel["name"], channel["color"]) == (NASTY[:25], NASTY[:25])
    values = {"name": NASTY[:50], "description": NASTY, "track": NASTY}
    group = bed.json("POST", f"{path}/groups", values)
    assert values.items() <= group.items()
    paused = bed.json("POST", f"{path}/groups/{group['id']}/pause", {"reason": NASTY})
    assert paused["pause_reason"] == NASTY
    assert bed.json("POST", "/api/tokens", {"name": NASTY, "role": "viewer"})["name"] == NASTY
    query = "search=%27%20OR%201%3D1--&version=%27&status=%27"
    assert bed.json("GET", f"{path}/instances?{query}") == []
    assert bed.json("GET", "/api/activity?instance=%27%20OR%201%3D1--") == []
    names = [item["name"] for item in bed.json("GET", "/api/users")]
    assert names == ["admin", "viewer"]
    assert "<script>" not in bed.ask("GET", path, token=bed.viewer).body.decode()
    bed.close()


@pytest.mark.parametrize(
    "part",
    [
        "..",
        "%2e%2e",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%00",
        "a%00b",
        "%ff",
        "%2f",
        "\udcff",
        "{",
        "x" * 5000,
        "%27%3b--",
    ],
)
def test_no_part_of_a_path_leads_anywhere_else(bed, part):
    before = bed.dump()
    for route in OURS:
        if ":" in route.path:
            for name in re.findall(":[a-z]+", route.path):
                path = route.path.replace(name, part)
                path = re.sub(":[a-z]+", lambda match: IDS[match[0]], path)
                answer = bed.ask(route.method, path, body_of(route), token=bed.admin, headers=JSON)
                # an instance may be called anything, and lists of nothing are empty
                is_list = answer.status == 200 and answer.json == []
                assert answer.status in (400, 404, 405) or is_list, (route, answer)
    assert bed.dump() == before


# -- bodies that are bombs, or nonsense ------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"name":' * 50_000,
        b'{"name":"' + b"a" * (1 << 20),
        b'{"type":' + b"9" * 100_000 + b"}",
        b"null",
        b'"name"',
        b"{} {}",
    ],
    ids=lambda body: repr(body[:12]),
)
def test_a_body_that_is_none_is_refused_with_a_reason(bed, body):
    before = bed.dump()
    for route in WRITES:
        # what needs no body takes none, and changes nothing for the better or worse
        if route.method == "DELETE" or route.path.endswith(("/resume", "/pause")):
            continue
        answer = bed.ask(route.method, path_of(route), body, token=bed.admin, headers=JSON)
        assert answer.status in (400, 403), (route, answer)
        assert answer.json["error"]
    assert bed.dump() == before


SPECS = {
    "/api/apps": fields.APP,
    "/api/apps/:app/groups": fields.GROUP,
    "/api/apps/:app/channels": fields.CHANNEL,
    "/api/apps/:app/packages": fields.PACKAGE,
    "/api/tokens": fields.TOKEN,
    "/api/users": fields.USER,
}
LONG = "x" * 70_000
WRONG: tuple[object, ...] = (0, -1, 1.5, 1 << 70, True, "\0", LONG, [], [[]], {}, {"x": {}}, [None])


@pytest.mark.parametrize("path", SPECS)
def test_a_wrong_type_in_any_field_is_never_a_fault(tmp_path, path):
    bed = RestBed(tmp_path)
    url = path.replace(":app", COREOS)
    for name in SPECS[path]:
        for wrong in WRONG:
            for headers in ({}, JSON):
                answer = bed.ask("POST", url, {name: wrong}, token=bed.admin, headers=headers)
                assert answer.status in (200, 400), (name, wrong, answer)
                if answer.status == 400 and headers:
                    assert answer.json["error"]
    bed.close()


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
FIELD_NAMES = sorted({name for spec in (*SPECS.values(), fields.ACTION) for name in spec})
BODY = st.one_of(
    st.dictionaries(st.sampled_from(FIELD_NAMES), ANY_JSON, max_size=6).map(json.dumps),
    ANY_JSON.map(json.dumps),
    st.text(max_size=40),
)
QUERY = st.lists(
    st.tuples(
        st.sampled_from(
            "page perpage status version search sort order duration limit severity start end app"
            " group clone_from".split()
        ),
        st.sampled_from(
            ["", "1", "-1", "0", "id", "desc", "7d", "%00", "%ff", "\udcff", COREOS]
            + ["9" * count for count in (9, 10, 18, 19, 20, 30, 5000)]
        )
        | st.text("abc%&=+'", max_size=6),
    ).map("=".join),
    max_size=4,
).map("&".join)
PART = st.sampled_from([COREOS, STABLE, OTHER, "m1", "x", "%2e%2e", "%F0", "\udcf0", "admin"])


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.sampled_from(OURS),
    st.lists(PART, min_size=4, max_size=4),
    QUERY,
    BODY,
    st.booleans(),
)
def test_whatever_is_asked_is_no_fault(own, route, parts, query, body, is_json):
    """RestBed runs handlers without a net: a fault of theirs ends the test."""
    found = iter(parts)
    path = re.sub(":[a-z]+", lambda _: next(found), route.path)
    headers = JSON if is_json else {}
    basic = {"Authorization": "Basic " + b64encode(f"x:{own.admin}".encode()).decode()}
    answer = own.ask(route.method, f"{path}?{query}", body, headers={**headers, **basic})
    assert answer.status in (200, 204, 400, 401, 403, 404, 429), answer
    if answer.status == 200 and answer.body:
        assert answer.json is not None
    if answer.status >= 400 and is_json:
        assert answer.json["error"]
