"""Both clients against servers that answer from a table: failover, timeouts, watches, members."""

from __future__ import annotations

import asyncio
import json
from time import monotonic

import pytest

from coreos_py.base.errors import StoreError
from coreos_py.etcdclient import calls
from coreos_py.etcdclient.async_client import AsyncEtcd
from coreos_py.etcdclient.errors import ClusterUnavailable, DeadlineExceeded
from coreos_py.etcdclient.sync_client import Etcd
from tests.support.httpd import Httpd
from tests.support.procs import free_ports

REQUEST = "/v2/keys/k"


def keep_order(_items):
    """Endpoints are tried as given."""


def ok(value):
    return (
        200,
        b'{"action":"get","node":{"key":"/k","value":"%b"}}' % value,
        {"X-Etcd-Index": "7"},
    )


def blocking(urls, count=1, *, call=None, timeout_s=60.0, total_s=None, **options):
    """Outcomes of `count` equal requests by the blocking client."""
    client = Etcd(urls, timeout_s=timeout_s, shuffle=keep_order, **options)
    if total_s is not None:
        client.deadline = monotonic() + total_s
    out = []
    for _ in range(count):
        try:
            out.append(client.result(call or calls.get("/k")).node.value)
        except (ClusterUnavailable, DeadlineExceeded, StoreError) as err:
            out.append(err)
    client.close()
    return out


def asynchronous(urls, count=1, *, call=None, timeout_s=60.0, total_s=None, **options):
    """The same by the async client."""

    async def main():
        client = AsyncEtcd(
            urls, timeout_s=timeout_s, total_timeout_s=total_s, shuffle=keep_order, **options
        )
        out = []
        for _ in range(count):
            try:
                if call is not None and call.wait:
                    result = await client.watch("/k")
                else:
                    result = await client.get("/k")
                out.append(result.node.value)
            except (ClusterUnavailable, DeadlineExceeded, StoreError) as err:
                out.append(err)
        client.close()
        await asyncio.sleep(0)
        return out

    return asyncio.run(main(), debug=True)


both = pytest.mark.parametrize("ask", [blocking, asynchronous])


def dead_url():
    return f"http://127.0.0.1:{free_ports(1)[0]}"


@both
def test_dead_and_leaderless_members_are_passed_over_and_the_good_one_is_pinned(ask):
    dead = dead_url()
    with Httpd({REQUEST: (503, b"")}) as leaderless, Httpd({REQUEST: ok(b"v")}) as good:
        assert ask([dead, leaderless.url, good.url], 3) == ["v", "v", "v"]
        assert len(leaderless.asked) == 1
        assert len(good.asked) == 3


@both
def test_every_failure_is_told(ask):
    dead = dead_url()
    with Httpd({REQUEST: (500, b"")}) as one, Httpd({REQUEST: (504, b"")}) as two:
        (error,) = ask([dead, one.url, two.url])
    assert error.errors == (
        f"dial tcp {dead.removeprefix('http://')}: connect: connection refused",
        f"client: etcd member {one.url} has no leader",
        f"client: etcd member {two.url} returns server error [Gateway Timeout]",
    )


@both
def test_an_error_of_the_store_is_an_answer(ask):
    body = b'{"errorCode":100,"message":"Key not found","cause":"/k","index":3}'
    with Httpd({REQUEST: (404, body)}) as first, Httpd({REQUEST: ok(b"v")}) as second:
        (error,) = ask([first.url, second.url])
        assert (error.code, error.cause, error.index) == (100, "/k", 3)
        assert second.asked == []


@both
def test_silent_member_is_passed_over_after_the_timeout(ask):
    with Httpd({REQUEST: None}) as silent, Httpd({REQUEST: ok(b"v")}) as good:
        assert ask([silent.url, good.url], 2, timeout_s=3.0) == ["v", "v"]
        (error,) = ask([silent.url], timeout_s=0.5)
        assert error.errors == (f"client: endpoint {silent.url} exceeded header timeout",)


@both
def test_total_timeout(ask):
    with Httpd({REQUEST: None}) as silent:
        (error,) = ask([silent.url], timeout_s=5, total_s=0.2)
    assert isinstance(error, DeadlineExceeded)
    assert str(error) == "context deadline exceeded"


@both
def test_watch_outlasts_the_timeout_and_empty_answers(ask):
    def slowly(_asked):
        with Httpd({}) as other:
            other.stopping.wait(0.4)
        return ok(b"event")

    answers = [(200, b""), (200, b"")]

    def answer(asked):
        return answers.pop() if answers else slowly(asked)

    with Httpd({REQUEST: answer}) as server:
        assert ask([server.url], call=calls.wait("/k"), timeout_s=0.1) == ["event"]
        assert len(server.asked) == 3
        assert "wait=true" in server.targets()[0]


@both
def test_password_is_sent(ask):
    with Httpd({REQUEST: ok(b"v")}) as server:
        assert ask([server.url], username="root", password="pw") == ["v"]
        assert server.asked[0].authorization == "Basic cm9vdDpwdw=="


@both
def test_redirects_are_followed_within_reason(ask):
    with Httpd({REQUEST: ok(b"there")}) as there:
        onwards = {"Location": f"{there.url}{REQUEST}"}
        with Httpd({REQUEST: (307, b"", onwards)}) as here:
            assert ask([here.url]) == ["there"]
    with Httpd({REQUEST: (307, b"", {"Location": REQUEST})}) as circle:
        (error,) = ask([circle.url])
        assert error.errors == ("client: too many redirects",)
        assert len(circle.asked) == 11


def test_async_writes_and_members():
    members = {"members": [{"id": "a", "name": "n", "clientURLs": ["http://c:1"]}]}

    def keys(asked):
        text = f"{asked.method} {asked.target.removeprefix('/v2/keys/k')} {asked.body.decode()}"
        body = {"action": "set", "node": {"key": "/k", "value": text.strip()}}
        return (200, json.dumps(body).encode())

    routes = {
        REQUEST: keys,
        "/v2/members": lambda asked: (
            (200, json.dumps(members).encode())
            if asked.method == "GET"
            else (201, b'{"id":"new","peerURLs":["http://p:1"]}')
        ),
        "/v2/members/leader": (200, b'{"id":"a"}'),
        "/v2/members/a": (204, b""),
        "/health": (200, b'{"health": "true"}'),
    }

    async def main(url):
        client = AsyncEtcd([url])
        said = [
            (await operation).node.value
            for operation in (
                client.set("/k", "v", ttl_s=5),
                client.set("/k", is_dir=True),
                client.create("/k", "v"),
                client.update("/k", "v"),
                client.refresh("/k", ttl_s=3),
                client.cas("/k", "v", prev_value="o", ttl_s=1),
                client.cad("/k", prev_index=4),
                client.delete("/k", recursive=True),
                client.create_in_order("/k", "v"),
            )
        ]
        assert [member.name for member in await client.members()] == ["n"]
        assert (await client.leader()).id == "a"
        assert (await client.add_member(["http://p:1"])).id == "new"
        await client.update_member("a", ["http://p:1"])
        await client.remove_member("a")
        assert await client.healthy(url)
        assert not await client.healthy(dead_url())
        await client.sync()
        assert client.endpoints == ["http://c:1"]
        client.close()
        await asyncio.sleep(0)
        return said

    with Httpd(routes) as server:
        assert asyncio.run(main(server.url), debug=True) == [
            "PUT  ttl=5&value=v",
            "PUT ?dir=true",
            "PUT ?prevExist=false value=v",
            "PUT ?prevExist=true value=v",
            "PUT ?prevExist=true refresh=true&ttl=3&value=",
            "PUT ?prevValue=o ttl=1&value=v",
            "DELETE ?prevIndex=4",
            "DELETE ?recursive=true",
            "POST  value=v",
        ]


def test_cancelling_a_watch_drops_its_connection():
    async def main(url):
        client = AsyncEtcd([url], timeout_s=60)
        watch = asyncio.ensure_future(client.watch("/k"))
        await asyncio.sleep(0.1)
        watch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watch
        assert (await client.get("/q")).node.value == "v"
        client.close()
        await asyncio.sleep(0)

    with Httpd({REQUEST: None, "/v2/keys/q": ok(b"v")}) as server:
        asyncio.run(main(server.url), debug=True)
