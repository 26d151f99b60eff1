"""A running member and what the network may bring: it answers or hangs up, and stays small."""

from __future__ import annotations

import random
import socket
import urllib.parse
from pathlib import Path

import pytest

from tests.support.procs import EtcdCluster, EtcdProcess

pytestmark = pytest.mark.proc

CONNECTIONS = 1500
GROWTH_KIB_MAX = 40 << 10
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
PEER = b"X-Server-Version: 2.3.8\r\nX-Min-Cluster-Version: 2.1.0\r\n"

CLIENT_SEEDS = [
    b"GET /v2/keys/k?recursive=true&sorted=true HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /v2/keys/k?wait=true&waitIndex=1&stream=true HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /v2/keys/k?quorum=true HTTP/1.1\r\nHost: h\r\n\r\n",
    b"PUT /v2/keys/k HTTP/1.1\r\nHost: h\r\n%bContent-Length: 14\r\n\r\nvalue=1&ttl=10" % FORM,
    b"POST /v2/keys/q HTTP/1.1\r\nHost: h\r\n%bTransfer-Encoding: chunked\r\n\r\n"
    b"7\r\nvalue=1\r\n0\r\n\r\n" % FORM,
    b"DELETE /v2/keys/k?recursive=true&prevIndex=7 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /v2/members HTTP/1.1\r\nHost: h\r\n\r\nGET /health HTTP/1.0\r\n\r\n",
    b"POST /v2/members HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
    b'Content-Length: 21\r\n\r\n{"peerURLs":["x://"]}',
    b"PUT /v2/auth/users/u HTTP/1.1\r\nHost: h\r\nAuthorization: Basic eDp5\r\n"
    b'Content-Length: 14\r\n\r\n{"user":"root"}',
    b"OPTIONS * HTTP/1.1\r\nHost: h\r\nOrigin: http://o\r\n\r\n",
]
PEER_SEEDS = [
    b"GET /members HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /raft/stream/msgapp/1 HTTP/1.1\r\nHost: h\r\n%bX-Etcd-Cluster-Id: 1\r\n\r\n" % PEER,
    b"GET /raft/probing HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST /raft HTTP/1.1\r\nHost: h\r\n%bContent-Length: 12\r\n\r\n"
    b"\x08\x08\x10\x01\x18\x02\x20\x00\x3a\x02\x08\x00" % PEER,
    b"POST /raft HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\nx",
]
PIECES = [
    b"\r\n", b"\n", b"\r", b" ", b"\x00", b"%", b"%2", b"%00", b"/../", b"//", b"?", b"#", b";",
    b"&", b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n",
    b"Expect: 100-continue\r\n", b"Transfer-Encoding: gzip\r\n", b"Connection: upgrade\r\n",
    b"HTTP/9.9", b"\xff\xfe", b"A" * 9000,
]  # fmt: skip


def damaged(seed: bytes, rng: random.Random) -> bytes:
    """A request with a few bytes changed, taken out, doubled or put in."""
    data = bytearray(seed)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at : at + rng.randrange(1, 30)]
            case 2:
                data[at:at] = data[at : at + rng.randrange(1, 60)]
            case 3:
                data[at:at] = rng.choice(PIECES)
            case 4:
                del data[at:]
                break
    return bytes(data)


def rss_kib(member: EtcdProcess) -> int:
    status = Path(f"/proc/{member.pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def send(url: str, data: bytes, *, patience_s: float) -> bytes:
    """What comes back within a moment; a reset counts as an answer."""
    parts = urllib.parse.urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as sock:
        sock.settimeout(patience_s)
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            return sock.recv(1 << 16)
        except OSError:
            return b""


@pytest.mark.slow
def test_damaged_requests_are_answered_or_dropped_and_the_member_lives_on(tmp_path, rng):
    with EtcdCluster(tmp_path) as cluster:
        member = cluster.members[0]
        assert member.put("/kept", "value").status == 201
        before: int | None = None
        for number in range(CONNECTIONS):
            if number % 3:
                url, seeds = member.client_url, CLIENT_SEEDS
            else:
                url, seeds = member.peer_url, PEER_SEEDS
            data = damaged(rng.choice(seeds), rng)
            answer = send(url, data, patience_s=0.05)
            assert not answer or answer.startswith(b"HTTP/1."), (data, answer)
            assert member.running, (data, member.log_tail())
            if number == CONNECTIONS // 5:
                before = rss_kib(member)
        assert before is not None
        assert rss_kib(member) - before < GROWTH_KIB_MAX
        assert member.value("/kept", quorum=True) in ("value", None)
        assert member.put("/after", "noise").status == 201
        assert "Traceback" not in member.log_text()
        member.restart()
        member.wait_ready()
        assert member.value("/after") == "noise"


@pytest.mark.parametrize("port", ["client", "peer"])
def test_bodies_that_never_end_take_no_memory(tmp_path, port):
    """Beyond the limit of its port a body is refused, however it is framed."""
    with EtcdCluster(tmp_path) as cluster:
        member = cluster.members[0]
        url = member.client_url if port == "client" else member.peer_url
        target = "/v2/keys/k" if port == "client" else "/raft"
        parts = urllib.parse.urlsplit(url)
        before = rss_kib(member)
        socks = []
        for number in range(20):
            sock = socket.create_connection((parts.hostname, parts.port), timeout=60)
            socks.append(sock)
            framing = (
                b"Transfer-Encoding: chunked\r\n\r\nfffffffff\r\n"
                if number % 2
                else b"Content-Length: 99999999999\r\n\r\n"
            )
            method = b"PUT" if port == "client" else b"POST"
            head = b"%b %b HTTP/1.1\r\nHost: h\r\n%b" % (method, target.encode(), FORM)
            try:
                sock.sendall(head + framing)
                for _ in range(8):
                    sock.sendall(b"x" * 65536)
            except OSError:
                continue
        assert member.put("/k", "v").status in (200, 201)
        assert rss_kib(member) - before < GROWTH_KIB_MAX
        for sock in socks:
            sock.close()
