"""The whole surface of a real rollerd: looking changes nothing, and browsers' sessions."""

from __future__ import annotations

import re
import sqlite3
import ssl
from contextlib import closing

import pytest

from coreos_py.omaha.coreupdate import BASE_PATH
from coreos_py.roller.coreupdate import table as coreupdate
from coreos_py.roller.rest import table as rest
from tests.support import certs
from tests.support.procs import http_request
from tests.support.rollerd import COREOS, JSON, PASSWORD, STABLE, STABLE_CHANNEL, Machine, Rollerd

pytestmark = pytest.mark.proc

OTHER_PATHS = (
    "/",
    "/v1/update",
    "/v1/update/?x=1",
    "/omaha/",
    "/metrics",
    "/health",
    "/packages/update.gz",
    "/coreos/update.gz",
    "/api",
    "/api/nosuch",
)
NAMES = {
    ":app": COREOS,
    ":group": STABLE,
    ":channel": STABLE_CHANNEL,
    ":user": "admin",
    ":version": "2.0.0",
    ":label": "stable",
    ":instance": f"{1:032x}",
}


@pytest.fixture
def server(tmp_path):
    found = Rollerd(tmp_path)
    found.start()
    found.wait_ready()
    yield found
    found.close()


def dump(server) -> list[str]:
    """The database, without what rollerd counts every few minutes on its own."""
    with closing(sqlite3.connect(server.database)) as connection:
        return [line for line in connection.iterdump() if 'INTO "sample"' not in line]


def test_get_and_head_change_nothing_anywhere(server):
    server.add_package("2.0.0")
    server.omaha(Machine(1).check())
    routes = [route.path for route in rest.ROUTES if route.path != "/api/stream"]
    routes += [f"{BASE_PATH}{route.path}" for route in coreupdate.ROUTES]
    paths = {re.sub(":[a-z]+", lambda name: NAMES.get(name[0], "1"), path) for path in routes}
    before = dump(server)
    for path in sorted(paths | set(OTHER_PATHS)):
        for method in ("GET", "HEAD"):
            reply = server.ask(method, path, Machine(2).check() if "update/" in path else None)
            assert reply.status in (200, 400, 401, 404, 405), (method, path, reply)
    assert dump(server) == before
    assert "Error" not in server.log_text()


def test_a_browser_s_session_is_for_this_server_s_pages(server):
    body = {"user": "admin", "password": PASSWORD}
    reply = server.ask("POST", "/api/session", body, user=None)
    assert reply.status == 204
    cookie = reply.headers["set-cookie"]
    assert re.fullmatch(
        r"rollerd_session=[\w-]{43}; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict", cookie
    )
    here = {"Cookie": cookie.partition(";")[0], "Origin": server.url}
    assert server.stop() == 0
    server.start()
    server.wait_ready()
    app = f"/api/apps/{COREOS}"
    for headers, status in (
        ({**here, "Origin": "http://evil.example"}, 403),
        ({**here, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**here, "Content-Type": "text/plain"}, 415),
        ({"Cookie": here["Cookie"]}, 403),
        (here, 200),
    ):
        reply = server.ask("PUT", app, {"description": "by me"}, user=None, headers=headers)
        assert reply.status == status, headers
    assert server.ask("DELETE", "/api/session", user=None, headers=here).status == 204
    assert server.ask("GET", app, user=None, headers=here).status == 401


def test_a_body_too_large_is_refused_in_its_sender_s_language(server):
    body = b'{"name": "' + b"x" * (1 << 20) + b'"}'
    reply = server.ask("POST", "/api/apps", body)
    assert (reply.status, reply.json()) == (413, {"error": "the body is too large"})
    reply = server.ask("POST", "/api/apps", body, headers={"Accept": "*/*"})
    assert (reply.status, reply.body) == (413, b"413 Request Entity Too Large\n")


def test_over_tls_the_cookie_stays_there(tmp_path):
    files = certs.make_certs(tmp_path)
    server = Rollerd(tmp_path, f"-cert={files.server_cert}", f"-key={files.server_key}")
    server.start()
    server.wait_ready()
    reply = http_request(
        "POST",
        server.url.replace("http:", "https:") + "/api/session",
        body=f'{{"user": "admin", "password": "{PASSWORD}"}}',
        headers={"Accept": JSON, "Content-Type": JSON},
        tls=ssl.create_default_context(cafile=files.ca),
    )
    assert reply.headers["set-cookie"].endswith("; Secure")
    server.close()
