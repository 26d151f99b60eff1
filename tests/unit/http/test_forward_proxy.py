"""Requests through an HTTP proxy, and what relaying asks of client and server besides."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from coreos_py.base.tls import client_context, server_context
from coreos_py.http.aclient import AsyncHTTPClient
from coreos_py.http.client import TimedOut, TransportError
from coreos_py.http.exchange import Pending
from coreos_py.http.forward_proxy import parse_proxy
from coreos_py.http.listen import bind_tcp, listen
from coreos_py.http.server import HTTPServer, Limits, Response
from coreos_py.http.url import parse_endpoint
from tests.support.certs import make_certs
from tests.support.procs import free_ports

PROXIES = [
    ("http://proxy:3128", ("proxy", 3128, "")),
    ("proxy:3128", ("proxy", 3128, "")),
    ("proxy", ("proxy", 80, "")),
    ("HTTP://proxy:3128/", ("proxy", 3128, "")),
    ("http://user:pa%20ss@[::1]:8", ("::1", 8, "Basic dXNlcjpwYSBzcw==")),
    ("user@proxy", ("proxy", 80, "Basic dXNlcjo=")),
]


@pytest.mark.parametrize(("text", "expected"), PROXIES)
def test_parse(text, expected):
    proxy = parse_proxy(text)
    assert (proxy.endpoint.host, proxy.endpoint.port, proxy.authorization) == expected


@pytest.mark.parametrize("text", ["", "http://", "https://proxy:1", "socks5://proxy:1", "proxy:x"])
def test_no_proxy(text):
    with pytest.raises(ValueError, match=r"host|port|plain http"):
        parse_proxy(text)


class Tunnels:
    """A proxy that logs what it is asked, answers plain requests and opens tunnels."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_exc):
        self._server.close()
        await self._server.wait_closed()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        if not head.startswith(b"CONNECT "):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain")
            writer.close()
            return
        writer.write(self.answer)
        if b" 200 " not in self.answer:
            writer.close()
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        for pair in ((reader, far_writer), (far_reader, writer)):
            self._tasks.add(asyncio.create_task(self._copy(*pair)))

    async def _copy(self, reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()


def run(scenario):
    async def main():
        async with asyncio.timeout(60):
            await scenario()

    asyncio.run(main(), debug=True)


def test_plain_requests_are_handed_over():
    async def scenario():
        async with Tunnels() as proxy:
            through = parse_proxy(f"http://u:p@127.0.0.1:{proxy.port}")
            client = AsyncHTTPClient(proxy=through)
            reply = await client.request("GET", parse_endpoint("http://far.invalid:81"), "/a?b=c")
            client.close()
        assert reply.body == b"plain"
        assert proxy.heads == [
            b"GET http://far.invalid:81/a?b=c HTTP/1.1\r\nHost: far.invalid:81\r\n"
            b"Proxy-Authorization: Basic dTpw\r\n\r\n"
        ]

    run(scenario)


def test_tls_goes_through_a_tunnel(tmp_path):
    certs = make_certs(tmp_path)

    async def scenario():
        server = HTTPServer(lambda request: Response(200, (), request.path.encode()))
        context = server_context(str(certs.server_cert), str(certs.server_key))
        (listener,) = listen(server, [bind_tcp("127.0.0.1", 0)], tls=context)
        far = parse_endpoint(f"https://localhost:{listener.port}")
        async with Tunnels() as proxy:
            through = parse_proxy(f"http://u:p@127.0.0.1:{proxy.port}")
            trusting = client_context(ca_file=str(certs.ca))
            client = AsyncHTTPClient(proxy=through, tls=trusting)
            for path in ("/one", "/two"):
                assert (await client.request("GET", far, path)).body == path.encode()
            doubting = AsyncHTTPClient(proxy=through)
            with pytest.raises(TransportError, match="x509: certificate signed by unknown"):
                await doubting.request("GET", far, "/")
            client.close()
            listener.close()
            await server.drain(1)
        where = f"localhost:{far.port}"
        assert proxy.heads[0].decode() == (
            f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\nProxy-Authorization: Basic dTpw\r\n\r\n"
        )
        assert len(proxy.heads) == 2  # the second request reused the first tunnel

    run(scenario)


REFUSALS = [
    (b"HTTP/1.1 403 Forbidden\r\n\r\n", "proxy answered CONNECT with status 403"),
    (b"HTTP/1.1 407 Who\r\nContent-Length: 9\r\n\r\n", "proxy answered CONNECT with status 407"),
    (b"SSH-2.0-x\r\n\r\n", "malformed HTTP response"),
    (b"", "proxy closed the connection"),
]


@pytest.mark.parametrize(("answer", "text"), REFUSALS)
def test_no_tunnel(answer, text):
    async def scenario():
        async with Tunnels(answer) as proxy:
            client = AsyncHTTPClient(proxy=parse_proxy(f"127.0.0.1:{proxy.port}"))
            with pytest.raises(TransportError, match=text):
                await client.request("GET", parse_endpoint("https://localhost:1"), "/")

    run(scenario)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_proxy_there(scheme):
    async def scenario():
        (port,) = free_ports(1)
        client = AsyncHTTPClient(proxy=parse_proxy(f"127.0.0.1:{port}"))
        with pytest.raises(TransportError, match=f"dial tcp 127.0.0.1:{port}: .*refused"):
            await client.request("GET", parse_endpoint(f"{scheme}://localhost:1"), "/")

    run(scenario)


# -- what relaying needs besides ------


def test_another_host_header():
    async def scenario():
        server = HTTPServer(lambda request: Response(200, (), request.get("Host").encode()))
        (listener,) = listen(server, [bind_tcp("127.0.0.1", 0)])
        client = AsyncHTTPClient()
        there = parse_endpoint(f"http://127.0.0.1:{listener.port}")
        reply = await client.stream("GET", there, "/", host="elsewhere:1")
        assert await reply.read_all() == b"elsewhere:1"
        client.close()
        listener.close()
        await server.drain(1)

    run(scenario)


def test_a_peer_that_takes_no_request():
    async def scenario():
        with socket.create_server(("127.0.0.1", 0)) as sock:
            there = parse_endpoint(f"http://127.0.0.1:{sock.getsockname()[1]}")
            client = AsyncHTTPClient(write_timeout_s=0.2)
            with pytest.raises(TimedOut, match="write: i/o timeout"):
                await client.request("PUT", there, "/", body=b"x" * (16 << 20))

    run(scenario)


async def _serve(handler, **limits):
    server = HTTPServer(handler, limits=Limits(**limits))
    (listener,) = listen(server, [bind_tcp("127.0.0.1", 0)])
    return server, listener


def test_a_stream_of_known_length():
    async def scenario():
        pending = Pending()
        server, listener = await _serve(lambda _request: pending)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        pending.start(200, (), content_length=5)  # before the request is even there
        pending.write(b"12")
        head = await reader.readuntil(b"\r\n\r\n12")
        assert b"Content-Length: 5\r\n" in head
        assert b"chunked" not in head
        pending.write(b"345")
        pending.end()
        assert await reader.readexactly(3) == b"345"
        writer.close()
        listener.close()
        await server.drain(1)

    run(scenario)


def test_a_stream_that_is_cut():
    async def scenario():
        pending = Pending()
        server, listener = await _serve(lambda _request: pending)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        pending.start(200, ())
        pending.write(b"half")
        await reader.readuntil(b"half\r\n")
        pending.cut()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        assert pending.closed
        assert not server.connections
        writer.close()
        listener.close()

    run(scenario)


@pytest.mark.parametrize("goes_away", [False, True])
def test_room_for_more(goes_away):
    async def scenario():
        pending = Pending()
        server, listener = await _serve(lambda _request: pending, stream_backlog_max=1 << 30)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1 << 16)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        pending.start(200, ())
        await reader.readuntil(b"\r\n\r\n")
        room = asyncio.Event()
        pending.on_drain(room.set)
        assert room.is_set()  # nothing waits
        room.clear()
        size = 16 << 20
        pending.write(b"x" * size)
        pending.on_drain(room.set)
        await asyncio.sleep(0.05)
        assert not room.is_set()
        if goes_away:
            writer.transport.abort()
        else:
            await reader.readexactly(size)
        await room.wait()
        assert pending.closed is goes_away
        later = asyncio.Event()
        pending.on_drain(later.set)
        assert later.is_set()
        writer.transport.abort()
        listener.close()
        await server.drain(1)

    run(scenario)
