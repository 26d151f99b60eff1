"""/v2/auth without a cluster: what is proposed, and what becomes of failures.

The replies themselves are compared with etcd 2.3.8's in tests/proc/test_etcd_auth.py.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from coreos_py.base.errors import DIR_NOT_EMPTY, RAFT_INTERNAL, StoreError
from coreos_py.etcd.apply import Applier
from coreos_py.etcd.auth.api import AuthAPI
from coreos_py.etcd.membership import Cluster
from coreos_py.http.message import Request
from tests.unit.etcd.auth.world import NOW_NS, Client, World, basic

ROOT = basic("root:rootpw")


class LoneServer:
    """Applies what is proposed at once, and remembers it."""

    def __init__(self, store):
        self.store = store
        self.cluster = Cluster(0xABC)
        self.cluster.version = "2.3.0"
        self.proposed = []
        self.failure = None
        self._applier = Applier(store, self.cluster, notice=print)
        self._last_id = 0

    def next_id(self):
        self._last_id += 1
        return self._last_id

    async def propose_and_wait(self, request):
        assert request.id == self._last_id
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        self.proposed.append(request)
        self._applier.apply(request, now_ns=NOW_NS)


class Site:
    """The API with auth off."""

    def __init__(self):
        world = World()
        world.drop("enabled")
        world.store.delete("/2", recursive=True, now_ns=NOW_NS)
        self.world = world
        self.server = LoneServer(world.store)
        self.api = AuthAPI(self.server, world.gate, world.passwords)

    async def send(self, method, path, body="", *, header=None):
        headers = {} if header is None else {b"authorization": header}
        request = Request(method, f"/v2/auth/{path}".encode(), headers, 1)
        request.body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        client = Client(self.api.handle(request, f"/v2/auth/{path}", extra=b""), request)
        for _ in range(60):
            await asyncio.sleep(0)
        assert client.response is not None
        return client.response

    def taken(self):
        """(method, path, value, directory) of the proposals since the last call."""
        taken = [(r.method, r.path, r.val, r.dir, r.prev_exist) for r in self.server.proposed]
        self.server.proposed.clear()
        return taken


TREE = [
    ("PUT", "/2", "", True, False),
    ("PUT", "/2/users/", "", True, False),
    ("PUT", "/2/roles/", "", True, False),
    ("PUT", "/2/enabled", "false", False, False),
]
BOB = '{"user":"bob","password":"hash of pw","roles":null}'
GUEST = '{"role":"guest","permissions":{"kv":{"read":["/*"],"write":["/*"]}}}'


def test_the_entries_are_etcds():
    async def run():
        site = Site()
        await site.send("PUT", "users/bob", {"user": "bob", "password": "pw"})
        assert site.taken() == [*TREE, ("PUT", "/2/users/bob", BOB, False, False)]
        await site.send("PUT", "users/bob", {"user": "bob", "grant": ["b", "a"]})
        grown = BOB.replace("null", '["a","b"]')
        assert site.taken() == [("PUT", "/2/users/bob", grown, False, True)]
        await site.send("DELETE", "users/bob")
        assert site.taken() == [("DELETE", "/2/users/bob", "", False, True)]
        await site.send("PUT", "roles/r", '{"role":"r","grant":{}}')
        text = (
            '{"role":"r","permissions":{"kv":{"read":null,"write":null}},'
            '"grant":{"kv":{"read":null,"write":null}}}'
        )
        assert site.taken() == [("PUT", "/2/roles/r", text, False, False)]
        await site.send("PUT", "users/root", {"user": "root", "password": "pw"})
        root = '{"user":"root","password":"hash of pw","roles":["root"]}'
        assert site.taken() == [("PUT", "/2/users/root", root, False, False)]
        assert (await site.send("PUT", "enable")).status == 200
        assert site.taken() == [
            ("PUT", "/2/roles/guest", GUEST, False, False),
            ("PUT", "/2/enabled", "true", False, True),
        ]

    asyncio.run(run())


def test_an_existing_tree_is_only_looked_at_once():
    async def run():
        site = Site()
        await site.send("DELETE", "users/bob")
        other = AuthAPI(site.server, site.world.gate, site.world.passwords)
        site.taken()
        site.api = other  # the process was started again
        await site.send("DELETE", "users/bob")
        await site.send("DELETE", "users/bob")
        gone = ("DELETE", "/2/users/bob", "", False, True)
        assert site.taken() == [*TREE, gone, gone]
        assert site.server.store.index == 2 + 5

    asyncio.run(run())


def test_refused_requests_propose_nothing():
    async def run():
        site = Site()
        for method, path, body in (
            ("PUT", "users/bob", {"user": "bob"}),
            ("PUT", "users/bob", {"user": "carl", "password": "x"}),
            ("PUT", "roles/root", {"role": "root"}),
            ("DELETE", "roles/root", ""),
            ("PUT", "enable", ""),
            ("DELETE", "enable", ""),
            ("GET", "users", ""),
        ):
            await site.send(method, path, body)
        assert site.taken() == []

    asyncio.run(run())


@pytest.mark.parametrize(("method", "path"), [("GET", "enable"), ("DELETE", "users/bob")])
def test_statistics_count_the_looks_at_the_switch_that_upstream_takes(method, path):
    async def run():
        site = Site()
        await site.send("PUT", "users/bob", {"user": "bob", "password": "pw"})
        before = gets(site)
        await site.send(method, path)
        return gets(site) - before

    def gets(site):
        stats = json.loads(site.server.store.json_stats())
        return stats["getsSuccess"] + stats["getsFail"]

    # etcd 2.3.8: GET enable looks once; a deletion at the gate and again for root's sake.
    assert asyncio.run(run()) == {"GET": 1, "DELETE": 2}[method]


FAILURES = [
    (
        StoreError(RAFT_INTERNAL, "etcdserver: request timed out"),
        500,
        {"message": "Internal Server Error"},
    ),
    (
        StoreError(DIR_NOT_EMPTY, "/2/users/bob", 7),
        403,
        {"errorCode": 108, "message": "Directory not empty", "cause": "/2/users/bob", "index": 7},
    ),
]


@pytest.mark.parametrize(("failure", "status", "body"), FAILURES)
def test_failures_of_the_cluster(failure, status, body):
    async def run():
        site = Site()
        await site.send("PUT", "users/root", {"user": "root", "password": "pw"})
        site.server.failure = failure
        for method, path, text in (
            ("PUT", "users/bob", {"user": "bob", "password": "x"}),
            ("DELETE", "users/bob", ""),
            ("PUT", "roles/r", {"role": "r"}),
            ("DELETE", "roles/r", ""),
            ("PUT", "enable", ""),
        ):
            response = await site.send(method, path, text)
            assert (response.status, json.loads(response.body)) == (status, body), path

    asyncio.run(run())


def test_a_password_with_a_nul_is_refused():
    async def run():
        site = Site()
        await site.send("PUT", "users/bob", {"user": "bob", "password": "pw"})
        for name in ("bob", "carl"):
            asked = {"user": name, "password": "se\0cret"}
            response = await site.send("PUT", f"users/{name}", asked)
            assert response.status == 400
            text = f"auth: Cannot use a password with a NUL byte for user {name}"
            assert json.loads(response.body) == {"message": text}

    asyncio.run(run())


@pytest.mark.parametrize("version", [None, "2.0.0", "3.0.0"])
def test_a_cluster_that_cannot(version):
    async def run():
        site = Site()
        site.server.cluster.version = version
        for path in ("enable", "users", "users/bob", "roles/a/b"):
            response = await site.send("GET", path)
            assert response.status == 500
            text = "Not capable of accessing auth feature during rolling upgrades."
            assert json.loads(response.body) == {"message": text}
        assert (await site.send("GET", "elsewhere")).status == 404

    asyncio.run(run())


def test_damaged_records_are_a_500_for_those_who_ask_for_them(caplog):
    async def run():
        site = Site()
        site.world.set("users/bad", "nonsense")
        site.world.set("roles/bad", "[]")
        site.world.set("users/has", '{"user":"has","roles":["bad"]}')
        for path in ("users", "users/bad", "users/has", "roles", "roles/bad"):
            assert (await site.send("GET", path)).status == 500, path
        assert (await site.send("GET", "roles/root")).status == 200

    asyncio.run(run())
    assert "got unexpected response error" in caplog.text


def test_root_changes_its_password_with_auth_on():
    async def run():
        site = Site()
        await site.send("PUT", "users/root", {"user": "root", "password": "rootpw"})
        await site.send("PUT", "enable")
        assert (await site.send("GET", "users")).status == 401
        assert (await site.send("GET", "enable")).status == 200
        change = {"user": "root", "password": "new"}
        assert (await site.send("PUT", "users/root", change, header=ROOT)).status == 200
        assert (await site.send("GET", "users", header=ROOT)).status == 401
        assert (await site.send("GET", "users", header=basic("root:new"))).status == 200
        assert (await site.send("DELETE", "users/root", header=basic("root:new"))).status == 403

    asyncio.run(run())
