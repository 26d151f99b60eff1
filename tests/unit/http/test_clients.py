"""Both HTTP clients against a server that says exactly what the test wants."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from time import monotonic

import pytest

from coreos_py.base.tls import client_context, server_context
from coreos_py.http.aclient import AsyncHTTPClient
from coreos_py.http.client import HTTPClient, TimedOut, TransportError
from coreos_py.http.framing import ParseError
from coreos_py.http.listen import bind_tcp, listen
from coreos_py.http.reply import ReplyParser
from coreos_py.http.server import HTTPServer, Response
from coreos_py.http.url import encode_query, escape_path, escape_query, parse_endpoint
from tests.support.certs import make_certs
from tests.support.procs import free_ports

OK = b"HTTP/1.1 200 OK\r\n"


class Canned:
    """Listens; the nth connection gets the nth list of replies, one per request, then is closed.

    A reply of None leaves the request unanswered until the client goes away.
    """

    def __init__(self, *connections):
        self.requests = []
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.endpoint = parse_endpoint(f"http://127.0.0.1:{self.sock.getsockname()[1]}")
        self.thread = threading.Thread(target=self.serve, args=(connections,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_exc):
        self.thread.join(10)
        self.sock.close()

    def serve(self, connections):
        for replies in connections:
            conn, _address = self.sock.accept()
            with conn, contextlib.suppress(ConnectionError):
                conn.settimeout(10)
                for reply in replies:
                    self.requests.append(self.read_request(conn))
                    if reply is None:
                        conn.recv(1)
                    else:
                        conn.sendall(reply)

    def read_request(self, conn):
        data = b""
        while b"\r\n\r\n" not in data:
            received = conn.recv(65536)
            if not received:
                raise ConnectionError
            data += received
        head, _, body = data.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                while len(body) < int(line[15:]):
                    body += conn.recv(65536)
        return head + b"\r\n\r\n" + body


def blocking(endpoint, *requests, timeout_s=60.0):
    """The outcome of each request with one blocking client: (status, body) or the error text."""
    client = HTTPClient()
    out = []
    for method, target, body in requests:
        try:
            reply = client.request(
                method, endpoint, target, body=body, deadline=monotonic() + timeout_s
            )
            out.append((reply.status, reply.body))
        except TransportError as err:
            out.append(str(err))
    client.close()
    return out


def asynchronous(endpoint, *requests, timeout_s=60.0):
    """The same with one async client."""

    async def main():
        client = AsyncHTTPClient()
        out = []
        for method, target, body in requests:
            try:
                reply = await client.request(
                    method, endpoint, target, body=body, timeout_s=timeout_s
                )
                out.append((reply.status, reply.body))
            except TransportError as err:
                out.append(str(err))
        client.close()
        await asyncio.sleep(0)
        return out

    return asyncio.run(main(), debug=True)


both = pytest.mark.parametrize("ask", [blocking, asynchronous])
GET = ("GET", "/", b"")

REPLIES = [
    (OK + b"Content-Length: 2\r\n\r\nhi", (200, b"hi")),
    (OK + b"Content-Length: 0\r\n\r\n", (200, b"")),
    (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1;x\r\n!\r\n0\r\n\r\n", (200, b"hi!")),
    (OK + b"\r\nuntil the end", (200, b"until the end")),
    (b"HTTP/1.0 404 Not Found\r\n\r\nno", (404, b"no")),
    (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
    (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", (200, b"")),
    (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\nx", (200, b"x")),
    (b"", "EOF"),
    (b"HTTP/1.1 200 O", "unexpected EOF"),
    (OK + b"Content-Length: 5\r\n\r\nhi", "unexpected EOF"),
    (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhi", "unexpected EOF"),
    (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed HTTP message"),
    (OK + b"Content-Length: x\r\n\r\n", "malformed HTTP message"),
    (b"SSH-2.0-OpenSSH_9\r\n\r\n", 'malformed HTTP response "SSH-2.0-OpenSSH_9"'),
]


@both
@pytest.mark.parametrize(("wire", "expected"), REPLIES)
def test_reply(ask, wire, expected):
    with Canned([wire]) as server:
        assert ask(server.endpoint, GET) == [expected]


@pytest.mark.parametrize(("wire", "expected"), REPLIES)
def test_reply_byte_by_byte(wire, expected):
    parser = ReplyParser("GET")
    outcome: object
    pieces = []
    try:
        for byte in wire:
            parser.feed(bytes([byte]))
            pieces += parser.take()
        parser.eof()
        outcome = (parser.status, b"".join(pieces))
    except ParseError as err:
        outcome = str(err)
    assert outcome == expected
    assert b"" not in pieces  # a reader takes one for the end


@both
def test_what_is_sent(ask):
    length_0 = OK + b"Content-Length: 0\r\n\r\n"
    with Canned([length_0] * 4) as server:
        ask(server.endpoint, GET, ("PUT", "/a?b", b"v=1"), ("PUT", "/", b""), ("DELETE", "/", b""))
    host = server.endpoint.authority.encode()
    assert server.requests == [
        b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host,
        b"PUT /a?b HTTP/1.1\r\nHost: %b\r\nContent-Length: 3\r\n\r\nv=1" % host,
        b"PUT / HTTP/1.1\r\nHost: %b\r\nContent-Length: 0\r\n\r\n" % host,
        b"DELETE / HTTP/1.1\r\nHost: %b\r\n\r\n" % host,
    ]


@both
def test_connection_is_reopened_when_the_server_closed_it(ask):
    kept = OK + b"Content-Length: 1\r\n\r\n1"
    closing = OK + b"Connection: close\r\nContent-Length: 1\r\n\r\n2"
    with Canned([kept, closing], [kept]) as server:
        expected = [(200, b"1"), (200, b"2"), (200, b"1")]
        assert ask(server.endpoint, GET, GET, GET) == expected


@both
def test_bytes_behind_a_reply_spoil_the_connection(ask):
    with Canned([OK + b"Content-Length: 1\r\n\r\n1surplus"], [OK + b"\r\n2"]) as server:
        assert ask(server.endpoint, GET, GET) == [(200, b"1"), (200, b"2")]


@both
def test_head_has_no_body(ask):
    with Canned([OK + b"Content-Length: 5\r\n\r\n", OK + b"Content-Length: 1\r\n\r\nx"]) as server:
        assert ask(server.endpoint, ("HEAD", "/", b""), GET) == [(200, b""), (200, b"x")]


@both
@pytest.mark.parametrize("wire", [None, OK, OK + b"Content-Length: 2\r\n\r\nx"])
def test_timeout(ask, wire):
    with Canned([wire, None] if wire else [None]) as server:
        assert ask(server.endpoint, GET, timeout_s=0.5) == ["i/o timeout"]


@both
def test_refused_and_unknown_hosts(ask):
    (port,) = free_ports(1)
    refused = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert ask(parse_endpoint(f"http://127.0.0.1:{port}"), GET) == [refused]
    unknown = "dial tcp: lookup no.such.invalid: no such host"
    assert ask(parse_endpoint("http://no.such.invalid:1"), GET) == [unknown]
    no_text = "dial tcp: lookup \udcff: no such host"
    assert ask(parse_endpoint("http://\udcff:1"), GET) == [no_text]
    missing = "dial unix /nonexistent/s: connect: no such file or directory"
    assert ask(parse_endpoint("unix:///nonexistent/s"), GET) == [missing]


def test_stream_pieces_arrive_as_they_are_sent():
    async def main():
        with Canned([OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n", None]) as server:
            client = AsyncHTTPClient()
            stream = await client.stream("GET", server.endpoint, "/", timeout_s=60)
            assert await stream.read() == b"a"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stream.read(), 0.05)
            stream.close()
            with pytest.raises(TransportError):
                await stream.read()
            await asyncio.sleep(0)  # lets the socket close before the server is waited for

    asyncio.run(main(), debug=True)


@pytest.mark.parametrize(
    ("tail", "ended"), [(b"0\r\n\r\n", None), (b"", "unexpected EOF"), (b"?", "unexpected EOF")]
)
def test_stream_by_callback(tail, ended):
    async def main():
        with Canned(
            [OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n" + tail]
        ) as srv:
            client = AsyncHTTPClient()
            stream = await client.stream("GET", srv.endpoint, "/", timeout_s=60)
            got, end = [], asyncio.get_running_loop().create_future()
            stream.receive(got.append, end.set_result)
            error = await asyncio.wait_for(end, 60)
            assert b"".join(got) == b"abc"
            assert (str(error) if error else None) == ended
            client.close()

    asyncio.run(main(), debug=True)


def test_big_body_is_held_back_until_it_is_read():
    async def main():
        body = b"x" * 3_000_000
        with Canned([OK + b"Content-Length: 3000000\r\n\r\n" + body]) as server:
            client = AsyncHTTPClient()
            stream = await client.stream("GET", server.endpoint, "/", timeout_s=60)
            await asyncio.sleep(0.2)
            assert stream._size < 1_000_000
            assert await stream.read_all() == body
            client.close()

    asyncio.run(main(), debug=True)


def test_body_limit():
    async def main():
        with Canned([OK + b"Content-Length: 11\r\n\r\n"]) as server:
            client = AsyncHTTPClient(body_max=10)
            with pytest.raises(TransportError, match="too large"):
                await client.request("GET", server.endpoint, "/", timeout_s=60)

    asyncio.run(main(), debug=True)


def test_blocking_client_over_tls(tmp_path):
    certs = make_certs(tmp_path)

    def ask(port, *, ca):
        tls = (lambda: client_context(ca_file=certs.ca)) if ca else None
        client = HTTPClient(tls=tls)
        endpoint = parse_endpoint(f"https://127.0.0.1:{port}")
        try:
            return client.request("GET", endpoint, "/", deadline=monotonic() + 60).body
        finally:
            client.close()

    async def main():
        server = HTTPServer(lambda _request: Response(200, (), b"secret"))
        tls = server_context(certs.server_cert, certs.server_key)
        listener = listen(server, [bind_tcp("127.0.0.1", 0)], tls=tls)[0]
        assert await asyncio.to_thread(ask, listener.port, ca=True) == b"secret"
        with pytest.raises(TransportError, match=r"^x509: "):
            await asyncio.to_thread(ask, listener.port, ca=False)
        listener.close()
        await server.drain(1)

    asyncio.run(main())


def test_deadline_in_the_past_is_a_timeout():
    with Canned() as server, pytest.raises(TimedOut):
        HTTPClient().request("GET", server.endpoint, "/", deadline=monotonic() - 1)


def test_header_with_a_line_break_is_refused():
    with Canned() as server, pytest.raises(ValueError, match="line break"):
        HTTPClient().request("GET", server.endpoint, "/", headers=[("A", "b\r\nC: d")])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://127.0.0.1:2379", ("http", "127.0.0.1", 2379, "", "127.0.0.1:2379")),
        ("http://h", ("http", "h", 80, "", "h")),
        ("https://h/", ("https", "h", 443, "", "h")),
        ("HTTPS://h:1/pre/fix/", ("https", "h", 1, "/pre/fix", "h:1")),
        ("http://[::1]:2379", ("http", "::1", 2379, "", "[::1]:2379")),
        ("http://u:p@h:1", ("http", "h", 1, "", "h:1")),
        ("http://:2379", ("http", "127.0.0.1", 2379, "", "127.0.0.1:2379")),
        ("unix:///run/fleet.sock", ("unix", "", 0, "", "localhost")),
    ],
)
def test_parse_endpoint(text, expected):
    got = parse_endpoint(text)
    assert (got.scheme, got.host, got.port, got.path, got.authority) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h:1",
        "http://",
        "http://:",
        "http://h:x",
        "http://h:70000",
        "http://a b:1",
        "http://[::1:1",
        "unix://",
    ],
)
def test_parse_endpoint_refuses(text):
    with pytest.raises(ValueError, match=r'^parse "'):
        parse_endpoint(text)


def test_escaping_is_gos():
    text = "a b/c%d?e#f[g]é&=+;,:@$!*'()~\udcff"
    assert escape_path(text) == "a%20b/c%25d%3Fe%23f%5Bg%5D%C3%A9&=+;,:@$%21%2A%27%28%29~%FF"
    assert escape_query("a b&=+/é~") == "a+b%26%3D%2B%2F%C3%A9~"
    assert encode_query([("b", "2"), ("a", "1 ")]) == "a=1+&b=2"
