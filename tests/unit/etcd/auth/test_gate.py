"""The check before every request: what it asks for, what it remembers, when it forgets."""

from __future__ import annotations

import asyncio
import functools
import json

import pytest

from coreos_py.etcd.auth import gate
from coreos_py.etcd.auth.gate import parse_basic
from coreos_py.http.message import Response
from coreos_py.store.store import Store
from tests.unit.etcd.auth.world import Client, World, basic

BOB, ROOT = basic("bob:pw"), basic("root:rootpw")


def in_loop(test):
    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(test(*args, **kwargs))

    return run


def world():
    made = World()
    made.user("bob", "pw", "r")
    made.user("root", "rootpw")
    made.role("r", read=["/r/*", "/one"], write=["/w"])
    made.role("guest", read=["/free"])
    return made


@in_loop
async def test_the_switch_is_read_when_it_changes():
    w = World()
    assert w.gate.is_on()
    for value, on in (("false", False), ("true", True), ("nonsense", False), ("true", True)):
        w.set("enabled", value)
        assert w.gate.is_on() is on
    w.drop("enabled")
    assert not w.gate.is_on()


@in_loop
async def test_looking_at_the_switch_counts_as_a_read():
    w = World()
    before = w.store.stats.gets_success, w.store.stats.gets_fail
    w.gate.is_on()
    w.drop("enabled")
    w.gate.is_on()
    w.gate.is_on()
    assert (w.store.stats.gets_success, w.store.stats.gets_fail) == (before[0] + 1, before[1] + 2)


@in_loop
async def test_looking_at_users_and_roles_counts_as_a_read():
    """Seen of etcd 2.3.8: one for the switch, the user and each role, however often we look."""
    w = world()
    stats = w.store.stats
    for header, ok, fail in (
        (ROOT, 2, 0),
        (ROOT, 2, 0),
        (BOB, 3, 0),
        (BOB, 3, 0),
        (None, 2, 0),
        (basic("nobody:x"), 1, 1),
    ):
        request = w.request(header=header)

        def handle(request=request):
            assert w.gate.is_on()
            refusal = w.gate.check_key(
                request, "/one", recursive=False, streams=False, extra=b"", again=handle
            )
            return refusal or Response(200)

        before = stats.gets_success, stats.gets_fail
        client = Client(handle(), request)
        await w.settled()
        assert client.response is not None
        assert (stats.gets_success, stats.gets_fail) == (before[0] + ok, before[1] + fail)


@in_loop
async def test_a_snapshot_replaces_everything():
    w, other = world(), World()
    assert await w.status("/r/a", header=BOB) == 200
    other.user("bob", "other", "r")
    other.role("r", read=["/elsewhere"])
    w.store.recover(other.store.save())
    assert w.gate.is_on()
    assert await w.status("/elsewhere", header=BOB) == 401
    assert await w.status("/r/a", header=basic("bob:other")) == 401
    assert await w.status("/elsewhere", header=basic("bob:other")) == 200
    off = Store()
    w.store.recover(off.save())
    assert not w.gate.is_on()


CASES = [
    # Authorization, method, key, recursive, status
    (None, "GET", "/free", False, 200),
    (None, "HEAD", "/free", False, 200),
    (None, "GET", "/free", True, 200),
    (None, "PUT", "/free", False, 401),
    (None, "GET", "/r/a", False, 401),
    (b"", "GET", "/free", False, 200),
    (BOB, "GET", "/r/a", False, 200),
    (BOB, "GET", "/r/a", True, 200),
    (BOB, "GET", "/r", False, 401),
    (BOB, "GET", "/one", False, 200),
    (BOB, "GET", "/one", True, 401),
    (BOB, "GET", "/w", False, 401),
    (BOB, "PUT", "/w", False, 200),
    (BOB, "POST", "/w", False, 200),
    (BOB, "DELETE", "/w", False, 200),
    (BOB, "DELETE", "/w", True, 401),
    (BOB, "PUT", "/r/a", False, 401),
    (BOB, "GET", "/free", False, 401),
    (basic("bob:no"), "GET", "/r/a", False, 401),
    (basic("bob:no"), "GET", "/free", False, 401),
    (basic("nobody:pw"), "GET", "/free", False, 401),
    (basic("r:pw"), "GET", "/r/a", False, 401),
    (basic("../roles/r:pw"), "GET", "/r/a", False, 401),
    (basic(":"), "GET", "/free", False, 401),
    (b"Bearer x", "GET", "/free", False, 401),
    (ROOT, "GET", "", True, 200),
    (ROOT, "DELETE", "/any", True, 200),
]


@pytest.mark.parametrize(("header", "method", "key", "recursive", "status"), CASES)
@in_loop
async def test_keys(header, method, key, recursive, status):
    w = world()
    for _ in range(2):  # the first time verified, the second time remembered
        got = await w.status(key, method=method, header=header, recursive=recursive)
        assert got == status
    assert len(w.passwords.checks) <= 1


@in_loop
async def test_the_reply_to_a_refused_key():
    w = world()
    response = w.ask("/r/a").response
    assert response.status == 401
    assert json.loads(response.body) == {
        "errorCode": 110,
        "message": "The request requires user authentication",
        "cause": "Insufficient credentials",
        "index": 0,
    }
    assert b"X-Etcd-Cluster-Id: 1\r\n" in response.headers


ROOT_CASES = [
    (None, 401),
    (b"", 401),
    (b"Basic x", 401),
    (BOB, 401),
    (basic("root:no"), 401),
    (basic("nobody:x"), 401),
    (ROOT, 200),
]


@pytest.mark.parametrize(("header", "status"), ROOT_CASES)
@in_loop
async def test_what_only_root_may(header, status):
    w = world()
    request = w.request("POST", header=header)

    def handle():
        refusal = w.gate.check_root(request, "/v2/members", extra=b"", again=handle)
        return Response(200) if refusal is None else refusal

    client = Client(handle(), request)
    await w.settled()
    assert client.response.status == status
    if status == 401:
        assert client.response.body == b'{"message":"Insufficient credentials"}'


@in_loop
async def test_right_and_wrong_passwords_are_verified_once():
    w = world()
    for _ in range(3):
        assert await w.status("/r/a", header=BOB) == 200
        assert await w.status("/r/a", header=basic("bob:no")) == 401
    assert w.passwords.checks == ["pw", "no"]


@in_loop
async def test_a_changed_password_counts_at_once():
    w = world()
    assert await w.status("/r/a", header=BOB) == 200
    assert await w.status("/r/a", header=basic("bob:new")) == 401
    w.user("bob", "new", "r")
    assert await w.status("/r/a", header=BOB) == 401
    assert await w.status("/r/a", header=basic("bob:new")) == 200
    w.user("bob", "pw", "r")
    assert await w.status("/r/a", header=BOB) == 200
    assert await w.status("/r/a", header=basic("bob:new")) == 401
    assert w.passwords.checks == ["pw", "new", "pw", "new", "pw", "new"]


@in_loop
async def test_changed_roles_count_at_once_and_need_no_password_check():
    w = world()
    assert await w.status("/r/a", header=BOB) == 200
    w.role("r", read=["/other"])
    assert await w.status("/r/a", header=BOB) == 401
    w.user("bob", "pw", "missing", "all")
    assert await w.status("/other", header=BOB) == 401
    w.role("all", read=["/*"])
    assert await w.status("/r/a", header=BOB) == 200
    w.drop("roles/all")
    assert await w.status("/r/a", header=BOB) == 401
    w.user("bob", "pw", "root")
    assert await w.status("/r/a", header=BOB) == 200
    assert w.passwords.checks == ["pw"]


@in_loop
async def test_a_removed_user_is_gone_and_a_new_one_of_the_name_is_another():
    w = world()
    assert await w.status("/r/a", header=BOB) == 200
    w.drop("users/bob")
    assert await w.status("/r/a", header=BOB) == 401
    w.user("bob", "else", "r")
    assert await w.status("/r/a", header=BOB) == 401


@in_loop
async def test_a_guest_role_that_is_gone_allows_nothing():
    w = world()
    w.drop("roles/guest")
    assert await w.status("/free") == 401


@in_loop
async def test_damaged_records_let_nobody_in(caplog):
    w = world()
    for text in ("", "nonsense", "[]", '{"user":3}'):
        w.set("users/bob", text)
        assert await w.status("/r/a", header=BOB) == 401
        w.set("roles/guest", text)
        assert await w.status("/free") == 401
    assert "/2/users/bob is damaged" in caplog.text
    assert w.passwords.checks == []


@in_loop
async def test_what_is_presented_at_the_same_time_is_verified_once():
    w = world()
    w.passwords.may_answer.clear()
    clients = [w.ask("/r/a", header=BOB) for _ in range(5)]
    other = w.ask("/r/a", header=basic("bob:no"))
    await w.settled()
    assert [client.response for client in clients] == [None] * 5
    w.passwords.may_answer.set()
    await w.settled()
    assert [client.response.status for client in clients] == [200] * 5
    assert other.response.status == 401
    assert w.passwords.checks == ["pw", "no"]


@in_loop
async def test_a_password_changed_during_the_check_is_checked_again():
    w = world()
    w.passwords.may_answer.clear()
    client = w.ask("/r/a", header=BOB)
    await w.settled()
    w.user("bob", "new", "r")
    w.passwords.may_answer.set()
    await w.settled()
    await w.settled()
    assert client.response.status == 401
    assert w.passwords.checks == ["pw", "pw"]


@in_loop
async def test_a_client_that_leaves_gets_nothing():
    w = world()
    w.passwords.may_answer.clear()
    client = w.ask("/r/a", header=BOB)
    client.leave()
    w.passwords.may_answer.set()
    await w.settled()
    assert client.response is None


@in_loop
async def test_memory_is_bounded_and_wrong_passwords_do_not_displace_right_ones(monkeypatch):
    monkeypatch.setattr(gate, "KNOWN_MAX", 3)
    w = world()
    assert await w.status("/r/a", header=BOB) == 200
    for n in range(10):
        assert await w.status("/r/a", header=basic(f"bob:no{n}")) == 401
    assert await w.status("/r/a", header=BOB) == 200
    assert w.passwords.checks.count("pw") == 1
    for n in range(10):
        w.user(f"user{n}", "pw", "r")
        assert await w.status("/r/a", header=basic(f"user{n}:pw")) == 200
    assert len(w.gate._right) == len(w.gate._wrong) == 3


@in_loop
async def test_nothing_presented_is_kept():
    w = world()
    await w.status("/r/a", header=basic("bob:topsecret"))
    await w.status("/r/a", header=BOB)
    kept = repr((w.gate._right, w.gate._wrong, w.gate._users))
    assert "topsecret" not in kept
    assert BOB.decode() not in kept


@in_loop
async def test_cors_headers_reach_a_reply_that_was_late():
    w = world()
    for header, status in ((BOB, 200), (basic("bob:no"), 401)):
        client = w.ask("/r/a", header=header, extra=b"X-Extra: 1\r\n")
        await w.settled()
        assert client.response.status == status
        assert bytes(client.response.headers).count(b"X-Extra: 1\r\n") == 1


@in_loop
async def test_a_check_that_breaks_is_a_500(caplog):
    w = world()

    async def broken(_stored, _password):
        raise MemoryError

    w.passwords.check = broken
    assert await w.status("/r/a", header=BOB) == 500
    assert "cannot verify a password" in caplog.text
    assert "pw" not in caplog.text


BASIC = [
    (b"Basic Y2FybDpj", ("carl", b"c")),
    (b"basic Y2FybDpj", ("carl", b"c")),
    (b"BASIC Y2FybDpjOmQ=", ("carl", b"c:d")),
    (b"Basic Y2FybDo=", ("carl", b"")),
    (b"Basic Ojo=", ("", b":")),
    (b"Basic Y2FybA==", None),
    (b"Basic Y2FybDpj=", None),
    (b"Basic Y2FybDpj====", None),
    (b"Basic Y2Fyb", None),
    (b"Basic  Y2FybDpj", None),
    (b"Basic\tY2FybDpj", None),
    (b"Basic !!!!", None),
    (b"Basic Y2Fy=DpjY2Fy", None),
    (b"Basic ", None),
    (b"Basic", None),
    (b"Digest Y2FybDpj", None),
    (b"Basic Y2FybDpj, Basic Y2FybDpj", None),
    (b"Basic /zp4", ("\udcff", b"x")),
]


@pytest.mark.parametrize(("header", "parts"), BASIC)
def test_parse_basic(header, parts):
    assert parse_basic(header) == parts
