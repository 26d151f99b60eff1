"""The v2 primitives over Debian's etcd 3.4 without its v2 API: the same table as over our etcd,
then what only a cluster of etcd 3 can do to a client.
"""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from coreos_py.base.errors import StoreError
from coreos_py.base.tls import client_context
from coreos_py.etcdclient.errors import ClusterUnavailable
from coreos_py.etcdclient.keys import V2, V3, open_keys
from coreos_py.etcdclient.sync_client import Etcd
from coreos_py.etcdclient.v3async import AsyncEtcd3
from coreos_py.etcdclient.v3sync import Etcd3
from coreos_py.etcdclient.v3wire import GatewayError, b64
from coreos_py.locksmith.lock import KeysV2, KeysV3, Lock
from coreos_py.locksmith.semaphore import SemaphoreError
from tests.support.certs import make_certs
from tests.support.debian_etcd import ETCD, Etcd3Cluster, call
from tests.support.procs import EtcdCluster

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(ETCD is None, reason="Debian's etcd-server is missing"),
]


@pytest.fixture(scope="module")
def debian(tmp_path_factory):
    with Etcd3Cluster(tmp_path_factory.mktemp("debian")) as cluster:
        yield cluster.members[0]


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    with EtcdCluster(tmp_path_factory.mktemp("ours"), 1) as cluster:
        yield cluster.members[0]


@pytest.fixture(params=[V2, V3])
def client(request):
    """Open a client of the API, on the server that has it."""
    server = request.getfixturevalue("ours" if request.param == V2 else "debian")
    return lambda: open_keys(request.param, [server.client_url], timeout_s=10)


def run(make, body):
    """Run an async function with a client."""

    async def main():
        client = make()
        try:
            return await body(client)
        finally:
            client.close()

    return asyncio.run(main())


def shown(node):
    """A node without what differs between the APIs: the indexes."""
    if node.dir:
        return {child.key: shown(child) for child in node.nodes}
    return node.value


# (method, arguments, options, what comes of it: the action and the value or tree, or the error).
# NOW and THEN stand for the index that the key has, and for another one.
TABLE = [
    ("get", ["/t"], {}, 100),
    ("update", ["/t/a", "0"], {}, 100),
    ("create", ["/t/a", "1"], {}, ("create", "1")),
    ("create", ["/t/a", "2"], {}, 105),
    ("get", ["/t/a"], {}, ("get", "1")),
    ("get", ["/t/a"], {"quorum": True}, ("get", "1")),
    ("set", ["/t/a", "3"], {}, ("set", "3")),
    ("update", ["/t/a", "4"], {}, ("update", "4")),
    ("update", ["/t/a", ""], {}, ("update", "")),
    ("set", ["/t/a", "ü ☃ %2F\n"], {}, ("set", "ü ☃ %2F\n")),
    ("set", ["/t/a", "4"], {}, ("set", "4")),
    ("cas", ["/t/a", "5"], {"prev_value": "4"}, ("compareAndSwap", "5")),
    ("cas", ["/t/a", "6"], {"prev_value": "4"}, (101, "[4 != 5]")),
    ("cas", ["/t/a", "6"], {"prev_index": "NOW"}, ("compareAndSwap", "6")),
    ("cas", ["/t/a", "7"], {"prev_index": "THEN"}, 101),
    ("cas", ["/t/b", "7"], {"prev_index": "THEN"}, 100),
    ("cas", ["/t/b", "7"], {"prev_value": "x"}, 100),
    ("cad", ["/t/a"], {"prev_value": "x"}, (101, "[x != 6]")),
    ("cad", ["/t/a"], {"prev_index": "THEN"}, 101),
    ("cad", ["/t/b"], {"prev_value": "x"}, 100),
    ("cad", ["/t/a"], {"prev_index": "NOW"}, ("compareAndDelete", "")),
    ("get", ["/t/a"], {}, 100),
    ("set", ["/t/a", "1"], {}, ("set", "1")),
    ("cad", ["/t/a"], {"prev_value": "1"}, ("compareAndDelete", "")),
    ("delete", ["/t/a"], {}, 100),
    ("set", ["/t/d/x", "1"], {}, ("set", "1")),
    ("set", ["/t/d/e/y", "2"], {}, ("set", "2")),
    ("set", ["/t/d-e", "3"], {}, ("set", "3")),
    ("set", ["/t/d/_hidden", "4"], {}, ("set", "4")),
    ("set", ["/t/_d/z", "5"], {}, ("set", "5")),
    ("get", ["/t"], {"sort": True}, ("get", {"/t/d": {}, "/t/d-e": "3"})),
    (
        "get",
        ["/t/"],
        {"recursive": True, "sort": True},
        ("get", {"/t/d": {"/t/d/e": {"/t/d/e/y": "2"}, "/t/d/x": "1"}, "/t/d-e": "3"}),
    ),
    ("get", ["/t/_d"], {"recursive": True}, ("get", {"/t/_d/z": "5"})),
    ("get", ["/t/d/_hidden"], {}, ("get", "4")),
    ("get", ["t/./d/../d/x"], {}, ("get", "1")),
    ("set", ["/t/d", "x"], {}, 102),
    ("update", ["/t/d", "x"], {}, 102),
    ("create", ["/t/d", "x"], {}, 105),
    ("cas", ["/t/d", "x"], {"prev_value": "y"}, 102),
    ("cad", ["/t/d"], {"prev_value": "y"}, 102),
    ("delete", ["/t/d"], {}, 102),
    ("delete", ["/t/d"], {"is_dir": True}, 108),
    ("delete", ["/t/d"], {"recursive": True}, ("delete", {})),
    ("delete", ["/t/d"], {"recursive": True}, 100),
    ("delete", ["/t/d"], {"is_dir": True}, 100),
    ("get", ["/t"], {"recursive": True}, ("get", {"/t/d-e": "3"})),
    ("set", ["/t/l", "1"], {"ttl_s": 100}, ("set", "1")),
    ("refresh", ["/t/l"], {"ttl_s": 200}, ("update", "1")),
    ("get", ["/t/l"], {}, ("get", "1")),
    ("refresh", ["/t/m"], {"ttl_s": 200}, 100),
    ("set", ["/", "x"], {}, 107),
    ("delete", ["/"], {"recursive": True}, 107),
    ("delete", ["/t"], {"recursive": True}, ("delete", {})),
]


def test_the_table(client):
    async def body(etcd):
        index = 0
        for method, arguments, options, expected in TABLE:
            given = dict(options)
            if "prev_index" in given:
                given["prev_index"] = {"NOW": index, "THEN": index - 1 or 1}[given["prev_index"]]
            error = None
            try:
                result = await getattr(etcd, method)(*arguments, **given)
            except StoreError as err:
                error = err
            if error is not None:
                got = (error.code, error.cause) if isinstance(expected, tuple) else error.code
                assert got == expected, (method, arguments, error)
                assert error.index >= index or error.code == 107
            else:
                assert (result.action, shown(result.node)) == expected, (method, arguments, result)
                assert result.etcd_index >= result.node.modified_index > 0
                index = max(index, result.node.modified_index)

    run(client, body)


def test_ttls_end_unless_they_are_renewed(client):
    async def body(etcd):
        found = (await etcd.set("/ttl/a", "1", ttl_s=2)).node
        assert found.ttl in (1, 2)  # what is left when the answer is made
        await etcd.set("/ttl/b", "1", ttl_s=2)
        await etcd.set("/ttl/b", "2")  # without a TTL: for good
        await etcd.create("/ttl/c", "1", ttl_s=100)
        assert 90 < (await etcd.get("/ttl/c")).node.ttl <= 101
        result = await etcd.watch("/ttl", wait_index=found.modified_index + 1, recursive=True)
        while result.node.key != "/ttl/a":
            index = result.node.modified_index + 1
            result = await etcd.watch("/ttl", wait_index=index, recursive=True)
        assert result.action == "expire"
        left = await etcd.get("/ttl", recursive=True)
        assert shown(left.node) == {"/ttl/b": "2", "/ttl/c": "1"}

    run(client, body)


def test_watches_miss_nothing(client):
    async def body(etcd):
        first = (await etcd.set("/w/a", "0")).node.modified_index
        for number in range(1, 6):
            await etcd.set("/w/a", str(number))
        await etcd.set("/we", "not below")
        await etcd.delete("/w/a")
        index, seen = first, []
        while len(seen) < 7:
            result = await etcd.watch("/w", wait_index=index, recursive=True)
            seen.append((result.action, result.node.value))
            index = result.node.modified_index + 1
        assert [value for _, value in seen] == ["0", "1", "2", "3", "4", "5", ""]
        assert seen[-1][0] == "delete"
        # A watch of one key, from now on.
        waiting = asyncio.create_task(etcd.watch("/w/b"))
        for number in range(200):
            await etcd.set("/w/c", "other")
            await etcd.set("/w/b", str(number))
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            if done:
                break
        assert (await waiting).node.key == "/w/b"

    run(client, body)


def test_a_stream_begins_with_what_comes_after_it(client):
    async def body(etcd):
        await etcd.set("/s/before", "1")
        stream = await etcd.stream("/s", recursive=True)
        before = (await etcd.get("/s/before")).node.modified_index
        assert stream.etcd_index >= before
        for number in range(5):
            await etcd.set(f"/s/{number}", str(number))
        seen = []
        while len(seen) < 5:
            seen += await stream.next()
        stream.close()
        assert [event.node.value for event in seen] == ["0", "1", "2", "3", "4"]

    run(client, body)


def test_many_keys_come_in_pages(debian):
    async def body(etcd):
        keys = [f"/many/{number:05}" for number in range(2345)]
        body = [{"request_put": {"key": b64(key), "value": b64("v")}} for key in keys]
        for start in range(0, len(body), 100):
            call(debian, "/kv/txn", {"success": body[start : start + 100]})
        found = (await etcd.get("/many", recursive=True)).node
        assert [node.key for node in found.nodes] == keys

    run(lambda: AsyncEtcd3([debian.client_url], timeout_s=10), body)


def test_every_key_of_one_deletion_is_told(debian):
    async def body(etcd):
        await etcd.set("/del/d/a", "1")
        index = (await etcd.set("/del/d/b", "1")).node.modified_index + 1
        gone = await etcd.delete("/del/d", recursive=True)
        keys = []
        for _ in range(2):
            event = await etcd.watch("/del", wait_index=index, recursive=True)
            assert (event.action, event.node.modified_index) == ("delete", gone.etcd_index)
            keys.append(event.node.key)
            index = event.node.modified_index + 1
        assert keys == ["/del/d/a", "/del/d/b"]

    run(lambda: AsyncEtcd3([debian.client_url], timeout_s=10), body)


def test_a_compacted_history_is_error_401(debian):
    async def body(etcd):
        first = (await etcd.set("/c/a", "0")).node.modified_index
        last = (await etcd.set("/c/a", "1")).etcd_index
        call(debian, "/kv/compaction", {"revision": str(last)})
        with pytest.raises(StoreError) as caught:
            await etcd.watch("/c", wait_index=first, recursive=True)
        assert (caught.value.code, caught.value.index >= last) == (401, True)
        # Listing again and going on from there finds what is new.
        read = await etcd.get("/c", recursive=True)
        await etcd.set("/c/a", "2")
        event = await etcd.watch("/c", wait_index=read.etcd_index + 1, recursive=True)
        assert event.node.value == "2"

    run(lambda: AsyncEtcd3([debian.client_url], timeout_s=10), body)


def test_leases_are_few(debian):
    async def body(etcd):
        await asyncio.gather(*(etcd.set(f"/few/{n}", "x", ttl_s=3000) for n in range(50)))
        kvs = call(debian, "/kv/range", {"key": b64("/few/"), "range_end": b64("/few0")})["kvs"]
        assert len(kvs) == 50
        assert len({kv["lease"] for kv in kvs}) == 1
        # A lease that somebody revoked is not insisted on.
        call(debian, "/lease/revoke", {"ID": kvs[0]["lease"]})
        await etcd.set("/few/again", "x", ttl_s=3000)
        assert (await etcd.get("/few", recursive=True)).node.nodes[0].key == "/few/again"

    run(lambda: AsyncEtcd3([debian.client_url], timeout_s=10), body)


def test_users_log_in_and_again_after_a_change_of_password(tmp_path):
    with Etcd3Cluster(tmp_path) as cluster:
        (member,) = cluster.members
        for path, body in (
            ("user/add", {"name": "root", "password": "r"}),
            ("role/add", {"name": "root"}),
            ("user/grant", {"user": "root", "role": "root"}),
            ("user/add", {"name": "u", "password": "p"}),
            ("role/add", {"name": "mine"}),
            ("user/grant", {"user": "u", "role": "mine"}),
        ):
            call(member, f"/auth/{path}", body)
        perm = {"permType": "READWRITE", "key": b64("/mine/"), "range_end": b64("/mine0")}
        call(member, "/auth/role/grant", {"name": "mine", "perm": perm})
        call(member, "/auth/enable")

        async def body(etcd):
            await etcd.set("/mine/a", "1", ttl_s=60)
            waiting = asyncio.create_task(etcd.watch("/mine", wait_index=1, recursive=True))
            assert (await waiting).node.value == "1"
            with pytest.raises(StoreError) as caught:
                await etcd.set("/other", "1")
            assert (caught.value.code, caught.value.cause) == (110, "etcdserver: permission denied")
            with pytest.raises(StoreError) as caught:
                await etcd.watch("/other")
            assert caught.value.code == 110
            token = call(member, "/auth/authenticate", {"name": "root", "password": "r"})["token"]
            headers = {"Authorization": token}
            call(member, "/auth/user/changepw", {"name": "u", "password": "q"}, headers=headers)
            with pytest.raises(StoreError) as caught:
                await etcd.set("/mine/a", "2")
            assert caught.value.code == 110
            call(member, "/auth/user/changepw", {"name": "u", "password": "p"}, headers=headers)
            assert (await etcd.set("/mine/a", "3")).node.value == "3"

        run(lambda: AsyncEtcd3(cluster.urls, timeout_s=10, username="u", password="p"), body)
        nobody = Etcd3(cluster.urls, timeout_s=10)
        with pytest.raises(StoreError) as caught:
            nobody.get("/mine/a")
        assert (caught.value.code, caught.value.cause) == (110, "etcdserver: user name is empty")
        wrong = Etcd3(cluster.urls, timeout_s=10, username="u", password="wrong")
        with pytest.raises(StoreError) as caught:
            wrong.get("/mine/a")
        assert "authentication failed" in caught.value.cause
        nobody.close()
        wrong.close()


def test_counting_while_the_leader_dies(tmp_path):
    """Nothing is lost and nothing is counted twice: who does not know reads again."""
    flags = ("--heartbeat-interval=50", "--election-timeout=500")
    with Etcd3Cluster(tmp_path, 3, flags=flags) as cluster:

        async def body(etcd):
            value, index = 0, (await etcd.set("/n", "0")).node.modified_index
            unsure, leader = 0, cluster.leader()
            while value < 300:
                if value == 100 and leader.running:
                    leader.kill9()
                try:
                    # A StoreError here would mean that our own write was called another's.
                    result = await etcd.cas("/n", str(value + 1), prev_index=index)
                except (ClusterUnavailable, GatewayError):
                    unsure += 1
                    assert unsure < 200
                    await asyncio.sleep(0.2)
                    try:
                        result = await etcd.get("/n", quorum=True)
                    except ClusterUnavailable:
                        continue
                    assert int(result.node.value) in (value, value + 1)
                else:
                    assert result.node.value == str(value + 1)
                value, index = int(result.node.value), result.node.modified_index

        run(lambda: AsyncEtcd3(cluster.urls, timeout_s=3), body)


def test_a_member_without_a_quorum_is_left(tmp_path):
    flags = ("--heartbeat-interval=50", "--election-timeout=500")
    with Etcd3Cluster(tmp_path, 3, flags=flags) as cluster:
        first, second, third = cluster.members

        async def body(etcd):
            index = (await etcd.set("/q/a", "1")).etcd_index + 1
            waiting = asyncio.create_task(etcd.watch("/q", wait_index=index, recursive=True))
            stream = await etcd.stream("/q", recursive=True)
            second.kill9()
            third.kill9()
            async with asyncio.timeout(60):
                with pytest.raises(ClusterUnavailable, match="unavailable"):
                    await waiting
                with pytest.raises(ClusterUnavailable):
                    await stream.next()
            stream.close()
            with pytest.raises(ClusterUnavailable) as caught:
                await etcd.set("/q/a", "2")
            assert len(caught.value.errors) == 1
            second.start()
            for attempt in range(100):
                try:
                    await etcd.set("/q/a", "3")
                    break
                except ClusterUnavailable:
                    assert attempt < 99
                    await asyncio.sleep(0.5)
            # The watch that was given up is taken up where it was; a write whose outcome nobody
            # knew may have happened.
            event = await etcd.watch("/q", wait_index=index, recursive=True)
            assert event.node.value in ("2", "3")

        run(lambda: AsyncEtcd3([first.client_url], timeout_s=2), body)


def test_over_tls_with_a_client_certificate(tmp_path):
    certs = make_certs(tmp_path)
    flags = (
        f"--cert-file={certs.server_cert}",
        f"--key-file={certs.server_key}",
        f"--trusted-ca-file={certs.ca}",
        "--client-cert-auth",
    )
    pair = {"cert_file": certs.client_cert, "key_file": certs.client_key}
    context = client_context(ca_file=certs.ca, **pair)
    with Etcd3Cluster(tmp_path, flags=flags, scheme="https", tls=context) as cluster:

        async def body(etcd):
            index = (await etcd.set("/tls", "1", ttl_s=60)).node.modified_index
            assert (await etcd.watch("/tls", wait_index=index)).node.value == "1"

        run(lambda: AsyncEtcd3(cluster.urls, timeout_s=10, tls=context), body)
        client = Etcd3(cluster.urls, timeout_s=10, tls=lambda: context)
        assert client.get("/tls").node.value == "1"
        client.close()
        anonymous = client_context(ca_file=certs.ca)
        refused = Etcd3(cluster.urls, timeout_s=10, tls=lambda: anonymous)
        with pytest.raises(ClusterUnavailable):
            refused.get("/tls")
        refused.close()


@pytest.mark.parametrize("api", [V2, V3])
def test_a_race_for_the_reboot_lock_has_so_many_winners(api, request):
    server = request.getfixturevalue("ours" if api == V2 else "debian")
    counted = threading.Lock()
    inside, most, rounds = 0, 0, []

    def racer(name):
        nonlocal inside, most
        if api == V2:
            etcd = Etcd([server.client_url], timeout_s=30)
            lock = Lock(KeysV2(etcd), group="race")
        else:
            etcd = Etcd3([server.client_url], timeout_s=30)
            lock = Lock(KeysV3(etcd), group="race")
        done = 0
        while done < 10:
            try:
                lock.lock(name)
            except SemaphoreError:
                continue
            with counted:
                inside += 1
                most = max(most, inside)
            rounds.append(name)
            with counted:
                inside -= 1
            lock.unlock(name)
            done += 1
        etcd.close()

    first = Etcd([server.client_url], timeout_s=30) if api == V2 else None
    third = Etcd3([server.client_url], timeout_s=30) if api == V3 else None
    lock = Lock(KeysV2(first) if first else KeysV3(third), group="race")
    assert lock.set_limit(3) == 1
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(racer, "abcdef"))
    assert len(rounds) == 60
    assert most <= 3
    assert lock.read().to_json() == '{"semaphore":3,"max":3,"holders":[]}'
    (first or third).close()


def test_an_etcd_2_has_no_gateway(ours):
    client = Etcd3([ours.client_url], timeout_s=10)
    with pytest.raises(ClusterUnavailable) as caught:
        client.get("/a")
    (why,) = caught.value.errors
    assert "no JSON gateway" in why
    client.close()


def test_operators_see_plain_keys(debian):
    client = Etcd3([debian.client_url], timeout_s=10)
    client.put("/plain/key", json.dumps({"a": 1}), ttl_s=50)
    (kv,) = call(debian, "/kv/range", {"key": b64("/plain/key")})["kvs"]
    assert kv["value"] == b64('{"a": 1}')
    assert int(kv["lease"])
    assert client.get("/plain").node.nodes[0].value == '{"a": 1}'
    assert client.delete("/plain", recursive=True).action == "delete"
    client.close()
