"""Listening sockets: addresses, errors in Go's words, TLS, unix sockets, the connection limit."""

from __future__ import annotations

import asyncio
import socket
import ssl
import stat

import pytest

from coreos_py.base.tls import client_context, server_context
from coreos_py.http.aclient import AsyncHTTPClient
from coreos_py.http.client import TransportError
from coreos_py.http.listen import ListenError, bind_tcp, bind_unix, listen, split_host_port
from coreos_py.http.server import HTTPServer, Response
from coreos_py.http.url import parse_endpoint
from tests.support.awaiting import until
from tests.support.certs import make_certs


def show_peer(request):
    cert = request.peer_cert
    name = dict(item[0] for item in cert["subject"])["commonName"] if cert else "-"
    return Response(200, (), f"{request.peer} {request.tls} {name}".encode())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:2379", ("127.0.0.1", 2379)),
        ("[::1]:80", ("::1", 80)),
        (":2379", ("", 2379)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_split_host_port(text, expected):
    assert split_host_port(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("127.0.0.1", "address 127.0.0.1: missing port in address"),
        ("a:b:1", "address a:b:1: too many colons in address"),
        ("a:x", "address a:x: invalid port"),
        ("a:65536", "address a:65536: invalid port"),
    ],
)
def test_split_host_port_refuses(text, problem):
    with pytest.raises(ListenError) as err:
        split_host_port(text)
    assert str(err.value) == problem


def test_port_in_use_is_named_as_go_names_it():
    with bind_tcp("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ListenError) as err:
            bind_tcp("127.0.0.1", port)
    assert str(err.value) == f"listen tcp 127.0.0.1:{port}: bind: address already in use"


def test_foreign_address_and_unknown_host():
    with pytest.raises(ListenError, match=r"^listen tcp 192\.0\.2\.1:0: bind: cannot assign "):
        bind_tcp("192.0.2.1", 0)
    with pytest.raises(ListenError, match=r"^listen tcp no\.such\.invalid:0: lookup no\.such"):
        bind_tcp("no.such.invalid", 0)


def test_port_can_be_reused_right_after_a_close():
    with bind_tcp("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        first.setblocking(True)
        first.accept()[0].close()
        client.close()
    bind_tcp("127.0.0.1", port).close()


def test_unix_socket_replaces_a_dead_one_only(tmp_path):
    path = str(tmp_path / "s.sock")
    bind_unix(path, mode=0o600).close()  # leaves the file behind, as a killed process does
    with bind_unix(path, mode=0o600):
        assert stat.S_IMODE((tmp_path / "s.sock").stat().st_mode) == 0o600
        with pytest.raises(ListenError) as err:
            bind_unix(path)
        assert str(err.value) == f"listen unix {path}: bind: address already in use"
    plain = tmp_path / "file"
    plain.write_text("mine")
    with pytest.raises(ListenError):
        bind_unix(str(plain))
    assert plain.read_text() == "mine"


class Served:
    """A server on the sockets, with a client for it."""

    def __init__(self, sockets, *, tls=None, connections_max=None, client_tls=None):
        self.sockets = sockets
        self.options = {"tls": tls, "connections_max": connections_max}
        self.client = AsyncHTTPClient(tls=client_tls)

    async def __aenter__(self):
        self.server = HTTPServer(show_peer)
        self.listeners = listen(self.server, self.sockets, **self.options)
        return self

    async def __aexit__(self, *_exc):
        self.client.close()
        for listener in self.listeners:
            listener.close()
        await self.server.drain(1)
        await asyncio.sleep(0)

    async def get(self, url):
        return await self.client.request("GET", parse_endpoint(url), "/", timeout_s=60)


def test_serves_tcp_v6_and_unix(tmp_path):
    async def scenario():
        path = str(tmp_path / "s.sock")
        sockets = [bind_tcp("127.0.0.1", 0), bind_unix(path)]
        if socket.has_ipv6:
            sockets.append(bind_tcp("::1", 0))
        async with Served(sockets) as served:
            tcp, unix, *v6 = served.listeners
            assert tcp.address == f"127.0.0.1:{tcp.port}"
            reply = await served.get(f"http://127.0.0.1:{tcp.port}")
            assert reply.body.startswith(b"127.0.0.1:")
            assert unix.address == path
            assert (await served.get(f"unix://{path}")).body == b" False -"
            for listener in v6:
                reply = await served.get(f"http://[::1]:{listener.port}")
                assert reply.body.startswith(b"[::1]:")

    asyncio.run(scenario(), debug=True)


def test_connection_limit_makes_newcomers_wait():
    async def scenario():
        async with Served([bind_tcp("127.0.0.1", 0)], connections_max=1) as served:
            port = served.listeners[0].port
            _reader, first = await asyncio.open_connection("127.0.0.1", port)
            await until(lambda: served.server.connections, "the first connection")
            waiting = asyncio.ensure_future(served.get(f"http://127.0.0.1:{port}"))
            await asyncio.sleep(0.2)
            assert not waiting.done()
            assert len(served.server.connections) == 1
            first.close()
            assert (await waiting).status == 200

    asyncio.run(scenario())


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    return make_certs(tmp_path_factory.mktemp("certs"))


def test_tls_with_and_without_client_certificate(certs):
    async def scenario(*, require, own, expected):
        tls = server_context(
            certs.server_cert,
            certs.server_key,
            ca_file=certs.ca if require else "",
            require_client_cert=require,
        )
        client_tls = client_context(
            ca_file=certs.ca,
            cert_file=certs.client_cert if own else "",
            key_file=certs.client_key if own else "",
        )
        served = Served([bind_tcp("127.0.0.1", 0)], tls=tls, client_tls=client_tls)
        async with served:
            url = f"https://127.0.0.1:{served.listeners[0].port}"
            if expected is None:
                with pytest.raises(TransportError):
                    await served.get(url)
            else:
                for _ in range(2):
                    assert (await served.get(url)).body.endswith(expected)

    asyncio.run(scenario(require=False, own=False, expected=b" True -"))
    asyncio.run(scenario(require=True, own=True, expected=b" True client"))
    asyncio.run(scenario(require=True, own=False, expected=None))


def test_peer_that_fails_the_handshake_costs_nothing(certs):
    async def scenario():
        faults = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, what: faults.append(what))
        tls = server_context(certs.server_cert, certs.server_key)
        client_tls = client_context(ca_file=certs.ca)
        served = Served([bind_tcp("127.0.0.1", 0)], tls=tls, client_tls=client_tls)
        async with served:
            port = served.listeners[0].port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(reader.read(), 60)
            writer.close()
            assert (await served.get(f"https://127.0.0.1:{port}")).status == 200
        assert faults == []

    asyncio.run(scenario())


def test_untrusted_server_is_refused(certs):
    async def scenario():
        tls = server_context(certs.server_cert, certs.server_key)
        served = Served(
            [bind_tcp("127.0.0.1", 0)], tls=tls, client_tls=ssl.create_default_context()
        )
        async with served:
            with pytest.raises(TransportError, match=r"signed by unknown authority"):
                await served.get(f"https://127.0.0.1:{served.listeners[0].port}")

    asyncio.run(scenario())
