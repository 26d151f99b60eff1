"""Proxy mode: its decisions as tables, and its client port against upstreams made for the test."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreos_py.base.errors import CoreosError
from coreos_py.etcd import proxy, proxy_daemon
from coreos_py.etcd.proxy import Director
from coreos_py.etcd.proxy_forward import ProxyAPI, Rules
from coreos_py.etcd.proxy_metrics import ProxyMetrics
from coreos_py.etcd.proxy_relay import WHOLE_BODY_MAX
from coreos_py.http.aclient import AsyncHTTPClient
from coreos_py.http.exchange import Pending
from coreos_py.http.listen import bind_tcp, listen
from coreos_py.http.server import HTTPServer, Limits, Response
from tests.support.awaiting import until
from tests.support.procs import free_ports

# -- whom to ask ------


def keep_order(_upstreams):
    pass


def shown(director):
    return [upstream.url for upstream in director.available()]


def test_director():
    director = Director()
    assert director.available() == []
    urls = ["http://192.0.2.8:4002", "https://example.com", "http://."]
    assert director.replace(urls, shuffle=keep_order) == []
    assert shown(director) == urls
    director.available()[1].available = False
    assert shown(director) == [urls[0], urls[2]]
    director.replace(urls, shuffle=keep_order)  # what failed before is tried again
    assert shown(director) == urls


def test_director_passes_over_what_is_no_url():
    director = Director()
    problems = director.replace(
        ["http://a:1", "b:2", "ftp://c", "http://d:x", "unix:///e"], shuffle=keep_order
    )
    assert shown(director) == ["http://a:1"]
    assert len(problems) == 4


def test_director_shuffles():
    urls = [f"http://h{number}:1" for number in range(9)]
    orders = set()
    for number in range(9):
        director = Director()
        director.replace(urls, shuffle=random.Random(number).shuffle)
        assert sorted(shown(director)) == urls
        orders.add(shown(director)[0])
    assert len(orders) > 2


@pytest.mark.parametrize(
    ("interval_ms", "found", "delay_ms"),
    [
        (30_000, True, 30_000),
        (30_000, False, 1000),
        (60_000, False, 1000),
        (29_999, False, 29_999),
        (500, False, 500),
        (0, True, 100),
    ],
)
def test_refresh_delay(interval_ms, found, delay_ms):
    assert proxy.refresh_delay_ms(interval_ms, found=found) == delay_ms


# -- headers ------

REQUESTS = [
    ({}, "192.0.2.3:8002", [("X-Forwarded-For", "192.0.2.3")]),
    ({}, "[2001:db8::1]:8002", [("X-Forwarded-For", "2001:db8::1")]),
    ({}, "", []),
    ({}, "/run/socket", []),
    ({b"x-forwarded-for": b"a, b"}, "192.0.2.3:1", [("X-Forwarded-For", "a, b, 192.0.2.3")]),
    ({b"x-forwarded-for": b"a"}, "", [("X-Forwarded-For", "a")]),
    (
        {
            b"connection": b"close",
            b"keep-alive": b"x",
            b"proxy-authenticate": b"x",
            b"proxy-authorization": b"x",
            b"te": b"x",
            b"trailers": b"x",
            b"transfer-encoding": b"chunked",
            b"upgrade": b"x",
            b"content-length": b"1",
            b"expect": b"100-continue",
            b"authorization": b"Basic x",
            b"x-foo": b"b\xc3\xa4r",
        },
        "",
        [("Authorization", "Basic x"), ("X-Foo", "bär")],
    ),
    ({b"connection": b"X-A, x-b", b"x-a": b"1", b"x-b": b"2", b"x-c": b"3"}, "", [("X-C", "3")]),
]


@pytest.mark.parametrize(("fields", "peer", "expected"), REQUESTS)
def test_request_headers(fields, peer, expected):
    forwarding = proxy.request_headers({b"host": b"h:1", **fields}, peer=peer)
    assert forwarding == ("h:1", expected)


def test_reply_headers():
    fields = {
        b"x-etcd-index": b"7",
        b"content-type": b"application/json",
        b"date": b"now",
        b"content-length": b"3",
        b"transfer-encoding": b"chunked",
        b"connection": b"x-hop",
        b"x-hop": b"1",
        b"x-odd": b"\xff",
    }
    assert proxy.reply_headers(fields) == [
        ("X-Etcd-Index", "7"),
        ("Content-Type", "application/json"),
        ("X-Odd", "\udcff"),
    ]


@pytest.mark.parametrize(
    ("last", "fine"), [(b"", True), (b'{"node":{}}\n', True), (b'{"node', False)]
)
def test_where_a_body_may_end(last, fine):
    assert proxy.may_end_here(last) is fine


# -- the cluster file ------


def test_cluster_file(tmp_path):
    path = str(tmp_path / "cluster")
    assert proxy_daemon.load_cluster_file(path) is None
    proxy_daemon.save_cluster_file(path, ["http://a:1", "http://b:2"])
    assert (tmp_path / "cluster").read_bytes() == b'{"PeerURLs":["http://a:1","http://b:2"]}'
    assert (tmp_path / "cluster").stat().st_mode & 0o777 == 0o600
    assert proxy_daemon.load_cluster_file(path) == ("http://a:1", "http://b:2")
    (tmp_path / "cluster.bak").write_text("left by a crash" * 99)
    proxy_daemon.save_cluster_file(path, [])
    assert proxy_daemon.load_cluster_file(path) == ()
    assert os.listdir(tmp_path) == ["cluster"]


BAD_FILES = [b"", b"{", b"[]", b"null", b"{}", b'{"PeerURLs":5}', b'{"PeerURLs":[5]}', b"\xff\xfe"]


@pytest.mark.parametrize("data", [*BAD_FILES, b"[" * 100_000])
def test_damaged_cluster_file(tmp_path, data):
    (tmp_path / "cluster").write_bytes(data)
    with pytest.raises(CoreosError, match=f"^{tmp_path}/cluster: ") as caught:
        proxy_daemon.load_cluster_file(str(tmp_path / "cluster"))
    assert caught.value.hint == "remove it to find the cluster by the flags again"


def test_unreadable_cluster_file(tmp_path):
    (tmp_path / "cluster").mkdir()
    with pytest.raises(CoreosError, match="cluster: Is a directory"):
        proxy_daemon.load_cluster_file(str(tmp_path / "cluster"))


@given(st.binary(max_size=60))
def test_any_cluster_file(data):
    with contextlib.suppress(ValueError):
        assert all(isinstance(url, str) for url in proxy.parse_cluster_file(data))


def test_go_lists():
    assert proxy.go_list(["a", "b"]) == "[a b]"
    assert proxy.go_quoted_list(["a", "b"]) == '["a" "b"]'
    assert proxy.go_list([]) == proxy.go_quoted_list([]) == "[]"


# -- metrics ------


def test_metrics():
    metrics = ProxyMetrics()
    metrics.handled("GET", 200, took_s=0.001)
    metrics.handled("GET", 404, took_s=9)
    metrics.handled('X"Y', 200, took_s=0)
    metrics.dropped("PUT", "zero_endpoints")
    metrics.dropped("PUT", "zero_endpoints")
    lines = metrics.render().decode().splitlines()
    for line in (
        'etcd_proxy_handled_total{code="200",method="GET"} 1',
        'etcd_proxy_handled_total{code="404",method="GET"} 1',
        'etcd_proxy_handled_total{code="200",method="other"} 1',
        'etcd_proxy_dropped_total{method="PUT",proxying_error="zero_endpoints"} 2',
        'etcd_proxy_handling_duration_seconds_bucket{method="GET",le="0.0005"} 0',
        'etcd_proxy_handling_duration_seconds_bucket{method="GET",le="0.001"} 1',
        'etcd_proxy_handling_duration_seconds_bucket{method="GET",le="2.048"} 1',
        'etcd_proxy_handling_duration_seconds_bucket{method="GET",le="+Inf"} 2',
        'etcd_proxy_handling_duration_seconds_sum{method="GET"} 9.001',
        'etcd_proxy_handling_duration_seconds_count{method="GET"} 2',
    ):
        assert line in lines
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)


# -- the client port ------


class Bench:
    """A proxy in front of upstreams whose handlers are given; `dead` ones refuse connections."""

    def __init__(self, *handlers, dead=0, rules=None, dial_timeout_s=30.0):
        self.upstreams = []
        self.listeners = []
        self.requests = []
        for handler in handlers:
            server = HTTPServer(self._recording(handler), limits=Limits(body_max=64 << 20))
            listeners = listen(server, [bind_tcp("127.0.0.1", 0)])
            self.upstreams.append((server, *listeners))
        self.urls = [f"http://127.0.0.1:{found[1].port}" for found in self.upstreams]
        self.urls[:0] = [f"http://127.0.0.1:{port}" for port in free_ports(dead)]
        self.director = Director()
        self.director.replace(self.urls, shuffle=keep_order)
        self.client = AsyncHTTPClient(connect_timeout_s=dial_timeout_s, body_max=1 << 62)
        self.api = ProxyAPI(self.director, self.client, rules or Rules(failure_wait_s=3600))
        self.server = HTTPServer(self.api.handle, limits=Limits(body_max=64 << 20))
        (self.listener,) = listen(self.server, [bind_tcp("127.0.0.1", 0)])
        self.wires = []

    def _recording(self, handler):
        def handle(request):
            self.requests.append(request)
            return handler(request) if callable(handler) else handler

        return handle

    async def connect(self):
        self.wires.append(await asyncio.open_connection("127.0.0.1", self.listener.port))
        return self.wires[-1]

    async def ask(self, method, target, headers="", body=b""):
        """Status, lower-case headers and whole body of a reply."""
        reader, writer = await self.connect()
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {target} HTTP/1.1\r\nHost: asked:1\r\n{headers}{length}"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        data = await reader.read()
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        pairs = [line.partition(": ") for line in lines[1:]]
        return int(lines[0].split()[1]), {name.lower(): value for name, _, value in pairs}, body

    async def end(self):
        for _, writer in self.wires:
            writer.transport.abort()
        self.api.close()
        self.client.close()
        for server, listener in (*self.upstreams, (self.server, self.listener)):
            listener.close()
            await server.drain(0.1)


def run(scenario, *handlers, **kwargs):
    async def main():
        bench = Bench(*handlers, **kwargs)
        try:
            async with asyncio.timeout(240):
                await scenario(bench)
        finally:
            await bench.end()

    asyncio.run(main(), debug=True)


OK = Response(200, [("X-Etcd-Index", "7"), ("Content-Type", "application/json")], b"{}\n")


def test_a_request_and_its_reply():
    async def scenario(bench):
        sent = "X-Foo: 1\r\nContent-Type: a/b\r\nTE: x\r\n"
        target = "/v2/keys/a%20b?c=d&e=%2F"
        status, headers, body = await bench.ask("PUT", target, sent, b"value=1")
        assert (status, body) == (200, b"{}\n")
        assert headers["x-etcd-index"] == "7"
        assert headers["content-length"] == "3"
        (request,) = bench.requests
        assert (request.method, request.target) == ("PUT", target.encode())
        assert request.body == b"value=1"
        assert dict(request.headers) == {
            b"host": b"asked:1",
            b"x-foo": b"1",
            b"content-type": b"a/b",
            b"content-length": b"7",
            b"x-forwarded-for": b"127.0.0.1",
        }

    run(scenario, OK)


@pytest.mark.parametrize(
    ("method", "response", "length"),
    [
        ("GET", Response(404, (), b"no"), "2"),
        ("GET", Response(500, (), b"bad"), "3"),
        ("DELETE", Response(204), None),
        ("HEAD", Response(200, (), content_length=42), "42"),
        ("GET", Response(200), "0"),
        ("BREW", Response(405, (), b"pot"), "3"),
    ],
)
def test_any_status_is_an_answer(method, response, length):
    async def scenario(bench):
        status, headers, body = await bench.ask(method, "/x")
        assert (status, headers.get("content-length")) == (response.status, length)
        assert body == response.body
        assert len(bench.requests) == 1

    run(scenario, response, OK)


def test_connections_are_kept_on_both_sides():
    async def scenario(bench):
        reader, writer = await bench.connect()
        for _ in range(3):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"{}\n")
        assert len(bench.upstreams[0][0].connections) == 1

    run(scenario, OK)


def test_the_next_one_is_asked_when_one_is_dead(caplog):
    caplog.set_level(logging.INFO)

    async def scenario(bench):
        dead = bench.urls[0]
        for _ in range(2):
            assert (await bench.ask("GET", "/"))[0] == 200
        assert shown(bench.director) == bench.urls[1:]
        assert [message for message in caplog.messages if dead in message] == [
            f"failed to direct request to {dead}: dial tcp {dead[7:]}: connect: connection refused",
            f"marked endpoint {dead} unavailable",
        ]
        await until(lambda: shown(bench.director) == bench.urls, "it may be tried again")
        assert caplog.messages[-1] == f"marked endpoint {dead} available, to retest connectivity"

    run(scenario, OK, dead=1, rules=Rules(failure_wait_s=2))


def test_nobody_is_there():
    async def scenario(bench):
        reply = await bench.ask("PUT", "/", body=b"x")
        assert (reply[0], reply[2]) == (
            502,
            b'{"message":"proxy: unable to get response from 2 endpoint(s)"}',
        )
        reply = await bench.ask("GET", "/")
        assert (reply[0], reply[2]) == (
            503,
            b'{"message":"proxy: zero endpoints currently available"}',
        )
        metrics = (await bench.ask("GET", "/metrics"))[2].decode()
        for method, error, count in (
            ("PUT", "failed_sending_request", 2),
            ("PUT", "failed_getting_response", 1),
            ("GET", "zero_endpoints", 1),
        ):
            labels = f'{{method="{method}",proxying_error="{error}"}}'
            assert f"etcd_proxy_dropped_total{labels} {count}\n" in metrics

    run(scenario, dead=2)


READONLY = [("GET", 200), ("HEAD", 501), ("PUT", 501), ("POST", 501), ("PATCH", 501)]


@pytest.mark.parametrize(("method", "status"), [*READONLY, ("DELETE", 501), ("OPTIONS", 501)])
def test_readonly(method, status):
    async def scenario(bench):
        reply = await bench.ask(method, "/v2/keys")
        assert reply[0] == status
        assert len(bench.requests) == (status == 200)
        if status == 501:
            assert (reply[1]["content-length"], reply[2]) == ("0", b"")

    run(scenario, OK, rules=Rules(readonly=True))


def test_own_endpoints():
    async def scenario(bench):
        status, headers, body = await bench.ask("GET", "/v2/config/local/proxy")
        assert status == 200
        assert headers["content-type"] == "text/plain; charset=utf-8"
        assert body == f'{{"endpoints":["{bench.urls[0]}"]}}\n'.encode()
        bench.director.replace([], shuffle=keep_order)
        assert (await bench.ask("GET", "/v2/config/local/proxy"))[2] == b'{"endpoints":[]}\n'
        status, headers, body = await bench.ask("PUT", "/v2/config/local/proxy")
        assert (status, headers["allow"], body) == (405, "GET", b"Method Not Allowed\n")
        status, headers, _ = await bench.ask("GET", "/v2//keys/../a%20b?c=d")
        assert (status, headers["location"]) == (301, "/v2/a%20b?c=d")
        assert (await bench.ask("GET", "/metrics"))[1]["content-type"].startswith("text/plain")
        assert (await bench.ask("OPTIONS", "/x"))[0] == 200
        assert bench.requests == []

    run(scenario, OK)


CORS = [
    ((), "http://a", None),
    (("http://a",), "http://a", "http://a"),
    (("http://a",), "http://b", None),
    (("*",), "http://b", "*"),
]


@pytest.mark.parametrize(("origins", "origin", "allowed"), CORS)
def test_cors(origins, origin, allowed):
    async def scenario(bench):
        for method, path in (("GET", "/x"), ("OPTIONS", "/x"), ("GET", "/v2/config/local/proxy")):
            _, headers, _ = await bench.ask(method, path, f"Origin: {origin}\r\n")
            assert headers.get("access-control-allow-origin") == allowed
        assert (await bench.ask("GET", "/metrics"))[1].get("access-control-allow-origin") is None

    run(scenario, OK, rules=Rules(cors=origins))


def test_a_watch_is_passed_on_at_once_and_its_end_goes_back():
    watch, gone = Pending(), asyncio.Event()

    def handler(_request):
        watch.on_close(gone.set)
        watch.start(200, [("X-Etcd-Index", "7")])
        return watch

    async def scenario(bench):
        reader, writer = await bench.connect()
        writer.write(b"GET /v2/keys/a?wait=true&stream=true HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"X-Etcd-Index: 7\r\n" in head
        assert b"Transfer-Encoding: chunked\r\n" in head
        for event in (b'{"node":1}\n', b'{"node":2}\n'):
            watch.write(event)
            assert await reader.readuntil(b"\n\r\n") == b"b\r\n%b\r\n" % event
        assert not gone.is_set()
        writer.close()
        await gone.wait()

    run(scenario, handler)


def test_a_watch_ends_properly():
    watch = Pending()

    def handler(_request):
        watch.start(200, ())
        return watch

    async def scenario(bench):
        reader, writer = await bench.connect()
        writer.write(b"GET /w HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        watch.write(b"1\n")
        watch.end()
        assert await reader.readuntil(b"0\r\n\r\n") == b"2\r\n1\n\r\n0\r\n\r\n"
        writer.write(b"GET /v2/config/local/proxy HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"endpoints")

    run(scenario, handler)


# Body until the upstream vanishes, and whether the client sees a proper end then.
VANISHED = [(b"", True), (b'{"node":1}\n', True), (b'{"node', False)]


@pytest.mark.parametrize(("body", "proper"), VANISHED)
def test_an_upstream_vanishes_in_the_middle_of_a_watch(body, proper):
    watch = Pending()

    def handler(_request):
        watch.start(200, ())
        watch.write(body)
        return watch

    async def scenario(bench):
        reader, writer = await bench.connect()
        writer.write(b"GET /w HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        if body:
            await reader.readuntil(body)
        watch.cut()
        with contextlib.suppress(ConnectionResetError):
            rest = b""
            while not rest.endswith(b"0\r\n\r\n") and (piece := await reader.read(100)):
                rest += piece
        assert rest.endswith(b"0\r\n\r\n") is proper

    run(scenario, handler)


@pytest.mark.parametrize("size", [10, WHOLE_BODY_MAX + 1])
def test_an_upstream_vanishes_in_the_middle_of_a_reply(size):
    def handler(_request):
        half = Pending()
        half.start(200, (), content_length=size)
        half.write(b"12345\n")
        asyncio.get_running_loop().call_later(0.05, half.cut)
        return half

    async def scenario(bench):
        if size > WHOLE_BODY_MAX:  # some of it has been passed on: all that is left is to cut
            with contextlib.suppress(ConnectionResetError):
                assert len((await bench.ask("GET", "/"))[2]) < size
        else:
            status, _, body = await bench.ask("GET", "/")
            assert status == 502
            assert b"unable to get response from 1 endpoint(s)" in body

    run(scenario, handler)


def test_large_bodies_both_ways():
    size = 8 << 20

    async def scenario(bench):
        status, headers, body = await bench.ask("PUT", "/", body=b"x" * size)
        assert (status, headers["content-length"]) == (200, str(size))
        assert body == b"x" * size

    run(scenario, lambda request: Response(200, (), request.body))


def test_a_slow_client_slows_the_upstream_down():
    total = 64 << 20
    sent = 0

    async def scenario(bench):
        stream = Pending()

        async def produce():
            nonlocal sent
            while sent < total:
                stream.write(b"x" * 65536)
                sent += 65536
                room = asyncio.Event()
                stream.on_drain(room.set)
                await room.wait()
            stream.end()

        def handler(_request):
            stream.start(200, (), content_length=total)
            producing.append(asyncio.ensure_future(produce()))
            return stream

        producing = []
        bench.upstreams[0][0].handler = handler
        reader, writer = await bench.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        stalled = -1
        while stalled != sent:
            stalled = sent
            await asyncio.sleep(0.5)
        assert stalled < total  # nobody buffers what the client does not take
        received = 0
        while received < total:
            received += len(await reader.read(1 << 20))
        assert received == total
        await producing[0]

    run(scenario, OK)


def test_read_timeout():
    async def scenario(bench):
        assert (await bench.ask("GET", "/"))[0] == 502
        assert shown(bench.director) == []

    silent = Rules(read_timeout_s=0.2, failure_wait_s=3600)
    run(scenario, lambda _request: Pending(), rules=silent)


def test_read_timeout_within_a_watch():
    def handler(_request):
        watch = Pending()
        watch.start(200, ())
        return watch

    async def scenario(bench):
        status, _, body = await bench.ask("GET", "/")
        assert (status, body) == (200, b"0\r\n\r\n")

    run(scenario, handler, rules=Rules(read_timeout_s=1.5))


def test_a_client_that_leaves_early(caplog):
    caplog.set_level(logging.INFO)
    slow, gone = Pending(), asyncio.Event()

    def handler(_request):
        slow.on_close(gone.set)
        return slow

    async def scenario(bench):
        _, writer = await bench.connect()
        name = "{}:{}".format(*writer.get_extra_info("sockname"))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: bench.requests, "the upstream is asked")
        writer.close()
        await gone.wait()
        assert f"client {name} closed request prematurely" in caplog.messages
        assert shown(bench.director) == bench.urls  # the upstream is not to blame

    run(scenario, handler)


# -- staying up to date ------


class Peers:
    """Stands in for the members that are asked over their peer URLs."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0
        self.exhausted = asyncio.Event()

    async def client_urls(self):
        self.asked += 1
        if not self.answers:
            self.exhausted.set()
            return ["http://last:1"]
        return self.answers.pop(0)


def test_refresher(caplog):
    caplog.set_level(logging.INFO)
    director = Director()
    peers = Peers([], ["http://a:1", "bad"], ["http://a:1", "http://b:1"])

    async def main():
        refresher = proxy_daemon.Refresher(peers, director, interval_ms=100, shuffle=keep_order)
        await refresher.refresh()
        assert shown(director) == []
        await refresher.refresh()
        assert shown(director) == ["http://a:1"]
        task = asyncio.ensure_future(refresher.run())
        await peers.exhausted.wait()
        await asyncio.sleep(0)
        task.cancel()
        assert shown(director) == ["http://last:1"]

    asyncio.run(main())
    assert peers.asked == 4
    assert caplog.messages == [
        'upstream URL invalid: parse "bad": missing protocol scheme',
        'endpoints found ["http://a:1"]',
    ]


def _members(*members):
    body = ",".join(
        f'{{"id":{number},"peerURLs":["http://p{number}:1"],"clientURLs":["http://c{number}:1"]}}'
        for number in members
    )
    return Response(200, [("X-Etcd-Cluster-Id", "1f")], f"[{body}]".encode())


def test_members_are_remembered(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    file = tmp_path / "cluster"

    async def scenario(bench):
        client = AsyncHTTPClient()
        members = proxy_daemon.Members(str(file), tuple(bench.urls), client=client)
        assert await members.client_urls() == ["http://c1:1", "http://c2:1"]
        assert file.read_bytes() == b'{"PeerURLs":["http://p1:1","http://p2:1"]}'
        assert caplog.messages[-1] == (
            f"proxy: updated peer urls in cluster file from [{bench.urls[0]}] "
            "to [http://p1:1 http://p2:1]"
        )
        client.close()

    run(scenario, _members(2, 1))


def test_a_cluster_without_members_changes_nothing(tmp_path):
    async def scenario(bench):
        client = AsyncHTTPClient()
        members = proxy_daemon.Members(str(tmp_path / "f"), tuple(bench.urls), client=client)
        assert await members.client_urls() == []
        assert os.listdir(tmp_path) == []
        client.close()

    run(scenario, _members())


def test_a_directory_that_cannot_be_written(tmp_path, caplog):
    async def scenario(bench):
        client = AsyncHTTPClient()
        file = str(tmp_path / "gone" / "cluster")
        members = proxy_daemon.Members(file, tuple(bench.urls), client=client)
        for _ in range(2):
            assert await members.client_urls() == ["http://c1:1"]
        assert caplog.messages[0].startswith("proxy: error on writing urls ")
        client.close()

    run(scenario, _members(1))


def test_no_member_answers(tmp_path, caplog):
    async def scenario(bench):
        client = AsyncHTTPClient()
        peer_urls = (*bench.urls, "nonsense")
        members = proxy_daemon.Members(str(tmp_path / "f"), peer_urls, client=client)
        assert await members.client_urls() == []
        assert len(caplog.messages) == 4
        assert caplog.messages[-1] == (
            "proxy: could not retrieve cluster information from the given urls"
        )
        client.close()

    run(scenario, Response(200, (), b"[]"), dead=1)
