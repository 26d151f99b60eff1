"""HTTP as update_engine does it: the bytes on the wire, proxies, redirects, and what goes wrong."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import threading
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from coreos_py.http.client import TransportError
from coreos_py.http.url import parse_endpoint
from coreos_py.omaha.response import Update
from coreos_py.update import transfer
from coreos_py.update.payload.errors import PayloadError
from coreos_py.update.spool import Spool
from coreos_py.update.transfer import Patience, TransferError
from tests.support import payloads
from tests.support.certs import make_certs
from tests.support.update_machine import Machine
from tests.support.update_server import UpdateServer

QUICK = Patience(retry_s=0.01, connect_s=60, answer_s=60, slow_s=60)
DATA = Path(__file__).resolve().parents[2] / "data" / "omaha"
PAYLOAD = payloads.full(payloads.image(2, blocks=30))


class Wire(threading.Thread):
    """Answers each connection with the next bytes, and keeps what it was asked."""

    def __init__(self, *answers):
        super().__init__(daemon=True)
        self.answers = list(answers)
        self.asked = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.start()

    def run(self):
        for answer in self.answers:
            connection, _ = self.listener.accept()
            with connection:
                connection.settimeout(60)
                data = b""
                while b"\r\n\r\n" not in data:
                    data += connection.recv(65536)
                head = data.partition(b"\r\n\r\n")[0]
                size = re.search(rb"Content-Length: (\d+)", head)
                while size and len(data) < len(head) + 4 + int(size[1]):
                    data += connection.recv(65536)
                self.asked.append(data)
                connection.sendall(answer)
        self.listener.close()


def ok(body, *, status="200 OK", fields=""):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body


def post(url, body=b"<x/>"):
    return asyncio.run(transfer.post(url, body, patience=QUICK))


def test_the_bytes_of_a_post():
    wire = Wire(ok(b"answer"))
    assert post(f"{wire.base}/v1/update/?a=b") == b"answer"
    host = wire.base.removeprefix("http://")
    assert wire.asked[0].decode() == (
        f"POST /v1/update/?a=b HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n"
        "Content-Type: text/xml\r\nContent-Length: 4\r\n\r\n<x/>"
    )


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (ok(b"", status="500 No"), 500, 2500),
        (ok(b"", status="404 No"), 404, 2404),
        (b"", 0, 2000),
        (b"nonsense\r\n\r\n", 0, 2000),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", 0, 2000),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", 0, 2000),
    ],
)
def test_answers_that_are_none(answer, status, code):
    wire = Wire(answer)
    with pytest.raises(TransferError) as caught:
        post(f"{wire.base}/")
    assert (caught.value.status, caught.value.check_code) == (status, code)


def test_redirects():
    last = Wire(ok(b"here"))
    first = Wire(ok(b"", status="302 Found", fields=f"Location: {last.base}/there\r\n"))
    assert post(f"{first.base}/") == b"here"
    assert last.asked[0].startswith(b"POST /there ")
    other = Wire(ok(b"", status="302 Found", fields="Location: https://x/\r\n"))
    with pytest.raises(TransferError, match="redirected to another protocol") as caught:
        post(f"{other.base}/")
    assert caught.value.check_code == 2302
    loop = Wire(*[ok(b"", status="301 Moved", fields="Location: /\r\n")] * 11)
    with pytest.raises(TransferError, match="redirected more than 10 times") as caught:
        post(f"{loop.base}/")
    assert caught.value.check_code == 2301


@pytest.mark.parametrize("status", ["200 OK", "203 Changed", "299 Odd"])
def test_every_success_is_one(tmp_path, status):
    """update_engine 0.4.10 takes all of 2xx."""
    assert post(Wire(ok(b"answer", status=status)).base) == b"answer"
    wire = Wire(ok(PAYLOAD, status=status))
    assert fetch_from(f"{wire.base}/p", tmp_path / "spool").manifest


def test_a_proxy(monkeypatch):
    proxy = Wire(ok(b"from the proxy"))
    monkeypatch.setenv("http_proxy", proxy.base.replace("http://", "http://me:pw@"))
    assert post("http://nowhere.example/x") == b"from the proxy"
    head = proxy.asked[0].decode()
    assert head.startswith("POST http://nowhere.example/x HTTP/1.1\r\nHost: nowhere.example\r\n")
    assert "Proxy-Authorization: Basic bWU6cHc=\r\n" in head


@pytest.mark.parametrize(
    ("environ", "url", "host"),
    [
        ({}, "http://a/", None),
        ({"http_proxy": "p:1"}, "http://a/", "p"),
        ({"HTTP_PROXY": "p:1"}, "http://a/", None),
        ({"http_proxy": "p:1"}, "https://a/", None),
        ({"HTTPS_PROXY": "p:1"}, "https://a/", "p"),
        ({"https_proxy": "q:1", "HTTPS_PROXY": "p:1"}, "https://a/", "q"),
        ({"ALL_PROXY": "p:1"}, "http://a/", "p"),
        ({"ALL_PROXY": "p:1"}, "https://a/", "p"),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "a"}, "https://a/", None),
        ({"ALL_PROXY": "p:1", "no_proxy": "b, .c.d"}, "https://x.c.d/", None),
        ({"ALL_PROXY": "p:1", "no_proxy": "b,c.d"}, "https://xc.d/", "p"),
        ({"ALL_PROXY": "p:1", "no_proxy": "*"}, "https://x/", None),
    ],
)
def test_which_proxy(environ, url, host):
    found = transfer.proxy_for(parse_endpoint(url), environ)
    assert (found and found.endpoint.host) == host


def test_a_proxy_that_is_none():
    with pytest.raises(TransportError, match="plain http"):
        transfer.proxy_for(parse_endpoint("http://a/"), {"http_proxy": "socks5://p:1"})


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://a", "/"),
        ("http://a/", "/"),
        ("http://a/b?c=d#e", "/b?c=d"),
        ("http://a?c", "/?c"),
        ("http://a/b c/ü", "/b%20c/%C3%BC"),
        ("http://a/b\r\nX: y", "/b%0D%0AX:%20y"),
    ],
)
def test_targets(url, target):
    assert transfer.split(url)[1] == target


@pytest.mark.parametrize("url", ["ftp://a/", "a/b", "http://", "http://a:x/", "file:///etc/passwd"])
def test_urls_that_are_refused(url):
    with pytest.raises(TransferError):
        post(url)


def fetch(server, path, *, patience=QUICK):
    return fetch_from(f"{server._offer().codebases[0]}update.gz", path, patience=patience)


def fetch_from(url, path, *, patience=QUICK):
    update = Update("2", ("",), len(PAYLOAD), b64encode(sha256(PAYLOAD).digest()).decode())

    async def run():
        spool = Spool(str(path), update, check_signature=None)
        try:
            spool.prepare({})
            await transfer.download(url, spool, on_bytes=lambda _: None, patience=patience)
            return spool.finish()
        finally:
            spool.close()

    return asyncio.run(run())


SIZE = len(PAYLOAD)
HALF = PAYLOAD[:5000]
REST = "Content-Range: bytes 5000-{}/{}\r\n"
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE + HALF


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        # The server has no more: nothing is gained by asking again.
        ((ok(HALF),), 11),
        ((ok(b""),), 11),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nCrA\r\n0\r\n\r\n",), 11),
        (
            (
                CUT,
                ok(PAYLOAD[5000:5100], status="206 Partial", fields=REST.format(5099, 5100)),
            ),
            11,
        ),
        # It may have more: the connection ended, or the range was shorter than asked for.
        ((b"HTTP/1.1 200 OK\r\n\r\n" + HALF, ok(PAYLOAD)), 0),
        ((CUT, ok(PAYLOAD)), 0),
        (
            (
                CUT,
                ok(PAYLOAD[5000:5100], status="206 Partial", fields=REST.format(5099, SIZE)),
                ok(PAYLOAD),
            ),
            0,
        ),
    ],
    ids=["half", "nothing", "chunked", "resumed", "until the end", "cut", "piece"],
)
def test_who_has_no_more(tmp_path, answers, code):
    wire = Wire(*answers)
    if code:
        with pytest.raises(PayloadError) as caught:
            fetch_from(f"{wire.base}/p", tmp_path / "spool")
        assert caught.value.code == code
    else:
        assert fetch_from(f"{wire.base}/p", tmp_path / "spool").manifest
    assert len(wire.asked) == len(answers)


def test_retries_have_an_end(tmp_path):
    with UpdateServer(PAYLOAD) as server:
        server.cut_at = [100] + [0] * 50
        with pytest.raises(TransferError, match="EOF"):
            fetch(server, tmp_path / "spool", patience=QUICK._replace(retries=3))
        assert server.ranges == ["", *["bytes=100-"] * 3]


def test_a_server_that_answers_another_range(tmp_path):
    with UpdateServer(PAYLOAD) as server:
        server.cut_at = [100]
        size = len(PAYLOAD)
        wrong = Wire(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + PAYLOAD[:100],
            ok(
                PAYLOAD[50:],
                status="206 Partial",
                fields=f"Content-Range: bytes 50-{size - 1}/{size}\r\n",
            ),
        )
        update = Update("2", ("",), size, server.sha256)

        async def run():
            spool = Spool(str(tmp_path / "spool"), update, check_signature=None)
            spool.prepare({})
            await transfer.download(
                f"{wrong.base}/p", spool, on_bytes=lambda _: None, patience=QUICK
            )

        with pytest.raises(TransferError, match="a range that was not asked for"):
            asyncio.run(run())


def test_a_transfer_that_trickles():
    meter = transfer._Meter(0.0)
    meter._start -= 100
    with pytest.raises(TransferError, match="fewer than 10 bytes a second"):
        meter.count("u", 1)
    meter = transfer._Meter(90.0)
    meter.count("u", 1)


def test_nothing_comes(tmp_path):
    with UpdateServer(PAYLOAD) as server:
        server.gate = threading.Event()
        patience = QUICK._replace(slow_s=0.3, retries=1)
        with pytest.raises(TransferError, match="nothing came for"):
            fetch(server, tmp_path / "spool", patience=patience)


def test_https(tmp_path, monkeypatch):
    certs = make_certs(tmp_path)
    with UpdateServer(PAYLOAD) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certs.server_cert, certs.server_key)
        server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
        url = server.url.replace("http:", "https:")
        check = Path(DATA / "check.xml").read_bytes()
        with pytest.raises(TransferError, match="unknown authority") as caught:
            post(url, check)
        assert caught.value.check_code == 2000
        monkeypatch.setenv("SSL_CERT_FILE", certs.ca)
        assert b"<response" in post(url, check)


def test_one_connection_for_each_request(tmp_path):
    """The wire of a whole update, in the order and shape of update_engine 0.4.10's."""
    with UpdateServer(PAYLOAD) as server:
        machine = Machine(tmp_path, server.url)
        accepted = []
        real = server._server.get_request

        def get_request():
            accepted.append(1)
            return real()

        server._server.get_request = get_request
        machine.check()
        assert len(accepted) == 5
