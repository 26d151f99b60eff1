"""Command lines, requests and peers that are wrong: a clear answer each, and life goes on."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess

import pytest

from tests.support.procs import EtcdCluster, command, environment

pytestmark = pytest.mark.proc

SEE = " See 'etcd --help'."
CHOOSE = 'Choose one of "initial-cluster", "discovery" or "discovery-srv".'


def run_etcd(*words, env=None, cwd=None):
    return subprocess.run(
        [*command("etcd"), *words],
        env=environment(env),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


COMMAND_LINES = [
    (["--nosuch"], 2, "flag provided but not defined: -nosuch"),
    (["--max-wals=-1"], 2, 'invalid value "-1" for flag -max-wals: parse error'),
    (["---x"], 2, "bad flag syntax: ---x"),
    (
        ["--listen-client-urls", "http://foo"],
        2,
        'invalid value "http://foo" for flag -listen-client-urls: '
        'URL address does not have the form "host:port": http://foo',
    ),
    (["foo"], 1, f"E | etcdmain: error verifying flags, 'foo' is not a valid flag.{SEE}"),
    (
        ["--discovery=x", "--initial-cluster=a=http://h:1"],
        1,
        "E | etcdmain: error verifying flags, multiple discovery or bootstrap flags are set. "
        f"{CHOOSE}{SEE}",
    ),
    (
        ["--experimental-v3demo"],
        1,
        "C | etcdmain: -experimental-v3demo=true is not available in this version",
    ),
    (
        ["--name=a", "--initial-cluster=a=foo"],
        1,
        "C | etcdmain: error setting up initial cluster: URL scheme must be http or https: foo",
    ),
    (
        ["--listen-peer-urls=https://127.0.0.1:0"],
        1,
        "C | etcdmain: cannot listen on TLS for https://127.0.0.1:0: "
        "KeyFile and CertFile are not presented",
    ),
]


@pytest.mark.parametrize(("words", "status", "line"), COMMAND_LINES)
def test_command_lines(words, status, line, tmp_path):
    done = run_etcd(*words, cwd=tmp_path)
    lines = [re.sub(r"^[\d-]+ [\d:.]+ ", "", text) for text in done.stderr.splitlines()]
    assert done.returncode == status
    assert lines[-1] == line
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("usage: etcd") == (status == 2)
    assert not (tmp_path / "default.etcd").exists()


def test_bad_environment(tmp_path):
    done = run_etcd(env={"ETCD_SNAPSHOT_COUNT": "x"}, cwd=tmp_path)
    assert done.returncode == 1
    assert 'invalid value "x" for ETCD_SNAPSHOT_COUNT: parse error' in done.stderr


def test_what_flags_and_variables_are_is_told_before_they_are_refused(tmp_path):
    """In the words and before the error, as etcd 2.3.8 does."""
    env = {"ETCD_NAME": "x", "ETCD_FOO": "bar", "ETCD_ELECTION_TIMEOUT": "400"}
    done = run_etcd("--name=y", "--vv", env=env, cwd=tmp_path)
    assert done.returncode == 1
    lines = [re.sub(r"^[\d-]+ [\d:.]+ ", "", text) for text in done.stderr.splitlines()]
    assert "-election-timeout[400ms] should be" in lines.pop()
    assert set(lines) >= {
        "I | flags: recognized and used environment variable ETCD_ELECTION_TIMEOUT=400",
        "I | flags: recognized environment variable ETCD_NAME, but unused: "
        "shadowed by corresponding flag ",
        "W | flags: unrecognized environment variable ETCD_FOO=bar",
        'W | flags: flag "-vv" is no longer supported - ignoring.',
    }


LOCAL = ["--listen-peer-urls=http://127.0.0.1:0", "--listen-client-urls=http://127.0.0.1:0"]
BOOTSTRAPS = [
    (
        ["--initial-cluster=a=http://127.0.0.1:1"],
        'couldn\'t find local name "default" in the initial cluster configuration',
    ),
    (
        ["--name=a", "--initial-cluster=a=http://127.0.0.1:1"],
        "--initial-cluster must include a=http://localhost:2380,a=http://localhost:7001 given "
        "--initial-advertise-peer-urls=http://localhost:2380,http://localhost:7001",
    ),
    (
        [
            "--name=a",
            "--initial-cluster=a=http://127.0.0.1:1,b=http://127.0.0.1:1",
            "--initial-advertise-peer-urls=http://127.0.0.1:1",
        ],
        "initial cluster a=http://127.0.0.1:1,b=http://127.0.0.1:1 has duplicate url",
    ),
    (
        [
            "--name=b",
            "--initial-cluster-state=existing",
            "--initial-cluster=a=http://127.0.0.1:1,b=http://127.0.0.1:2",
        ],
        "cannot fetch cluster info from peer urls: "
        "could not retrieve cluster information from the given urls",
    ),
]


@pytest.mark.parametrize(("words", "text"), BOOTSTRAPS)
def test_bootstraps_that_cannot_be(words, text, tmp_path):
    done = run_etcd(*LOCAL, "--advertise-client-urls=http://127.0.0.1:0", *words, cwd=tmp_path)
    assert done.returncode == 1
    assert f"| etcdmain: {text}\n" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*.etcd/member"))


def test_version_prints_four_lines():
    done = run_etcd("--version")
    assert done.returncode == 0
    names = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert names == ["etcd Version", "Git SHA", "Go Version", "Go OS/Arch"]
    assert done.stdout.startswith("etcd Version: 2.3.8\n")


def test_help_names_every_flag():
    done = run_etcd("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: etcd [flags]")
    assert "--initial-advertise-peer-urls" in done.stdout


@pytest.fixture(scope="module")
def member(tmp_path_factory):
    with EtcdCluster(tmp_path_factory.mktemp("bad")) as cluster:
        yield cluster.members[0]


def raw(url: str, data: bytes) -> bytes:
    """What the server says to these bytes: one answer, or all until it closes."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as sock:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            sock.sendall(data)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while not _is_whole(answer) and (piece := sock.recv(65536)):
                answer += piece
    return answer


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return bool(end) and length is not None and len(body) >= int(length[1])


H = b" HTTP/1.1\r\nHost: h\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
JSON = b"Content-Type: application/json\r\n"
KEYS = b"/v2/keys/a"

REQUESTS = [
    (b"BLAH\r\n\r\n", 400, b"400 Bad Request"),
    (b"GET v2/keys" + H + b"\r\n", 400, b"400 Bad Request"),
    (b"GET /v2/keys/%zz" + H + b"\r\n", 400, b"400 Bad Request"),
    (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400, b"400 Bad Request"),
    (b"GET / HTTP/1.1\r\n\r\n", 400, b"missing required Host header"),
    (b"GET / HTTP/7.7\r\nHost: h\r\n\r\n", 505, b"505"),
    (b"GET /" + H + b"X: " + b"x" * (2 << 20) + b"\r\n\r\n", 431, b"431"),
    (b"\x16\x03\x01\x02\x00\x01\x00", 400, b"400 Bad Request"),
    (b"PUT " + KEYS + H + b"Content-Length: x\r\n\r\n", 400, b"400 Bad Request"),
    (b"PUT " + KEYS + H + b"Transfer-Encoding: gzip\r\n\r\n", 501, b"501"),
    (b"get /v2/keys" + H + b"\r\n", 405, b"Method Not Allowed\n"),
    (b"PATCH " + KEYS + H + b"\r\n", 405, b"Allow: HEAD,GET,PUT,POST,DELETE\r\n"),
    (b"GET /nosuch" + H + b"\r\n", 404, b"404 page not found\n"),
    (b"GET /v2/stats" + H + b"\r\n", 404, b"404 page not found\n"),
    (b"GET " + KEYS + b"?x=%zz" + H + b"\r\n", 400, b'"errorCode":210'),
    (b"GET " + KEYS + b"?recursive=x" + H + b"\r\n", 400, b'"errorCode":209'),
    (
        b"PUT " + KEYS + H + FORM + b"Content-Length: 9\r\n\r\nvalue=%zz",
        400,
        b'"cause":"invalid URL escape \\"%zz\\""',
    ),
    (
        b"PUT " + KEYS + H + b"Content-Type: a b\r\nContent-Length: 1\r\n\r\nx",
        400,
        b'"cause":"mime: expected slash after first token"',
    ),
    (b"POST /v2/members" + H + b"Content-Length: 0\r\n\r\n", 415, b"Bad Content-Type , accept"),
    (
        b"POST /v2/members" + H + JSON + b"Content-Length: 0\r\n\r\n",
        400,
        b'{"message":"unexpected end of JSON input"}',
    ),
    (
        b"POST /v2/members" + H + JSON + b"Content-Length: 2\r\n\r\n{}",
        400,
        b'{"message":"no valid URLs given"}',
    ),
    (
        b"POST /v2/members" + H + JSON + b'Content-Length: 20\r\n\r\n{"peerURLs":["foo"]}',
        400,
        b'{"message":"URL scheme must be http or https: foo"}',
    ),
    (
        b"POST /v2/members" + H + JSON + b"Content-Length: 20000\r\n\r\n" + b"[" * 20000,
        400,
        b"invalid character '[' exceeded max depth",
    ),
    (b"DELETE /v2/members" + H + b"\r\n", 405, b"Method Not Allowed\n"),
    (b"DELETE /v2/members/zz" + H + b"\r\n", 404, b'{"message":"No such member: zz"}'),
    (b"DELETE /v2/members/12" + H + b"\r\n", 404, b'{"message":"No such member: 12"}'),
    (b"GET /v2/members/x" + H + b"\r\n", 404, b'{"message":"Not found"}'),
    (
        b"PUT /config/local/log" + H + b'Content-Length: 15\r\n\r\n{"Level":"foo"}',
        400,
        b'{"message":"Invalid log level foo"}',
    ),
    (
        b"PUT /config/local/log" + H + b"Content-Length: 3\r\n\r\nfoo",
        400,
        b'{"message":"Invalid json body"}',
    ),
    (b"PUT /version" + H + b"Content-Length: 0\r\n\r\n", 405, b"Allow: GET\r\n"),
]


@pytest.mark.parametrize(("data", "status", "text"), REQUESTS)
def test_requests(member, data, status, text):
    answer = raw(member.client_url, data)
    assert answer.split(b" ", 2)[:2] == [b"HTTP/1.1", b"%d" % status], answer[:200]
    assert text in answer
    assert member.put("/alive", "1").status in (200, 201)
    assert "Traceback" not in member.log_text()


def test_a_form_of_eleven_megabytes(member):
    reply = member.put("/big", "x" * (11 << 20))
    assert reply.status == 400
    assert reply.json()["errorCode"] == 210
    assert reply.json()["cause"] == "http: POST too large"
    assert member.value("/big") is None


def test_a_value_of_one_megabyte(member):
    assert member.put("/large", "x" * (1 << 20)).status == 201
    assert len(member.value("/large")) == 1 << 20


CLUSTER = b"X-Server-Version: 2.3.8\r\nX-Min-Cluster-Version: 2.2.0\r\n"

PEERS = [
    (b"GET /raft" + H + b"\r\n", 405, b"Allow: POST"),
    (b"POST /raft" + H + b"Content-Length: 0\r\n\r\n", 412, b"incompatible version\n"),
    (b"POST /raft" + H + CLUSTER + b"Content-Length: 0\r\n\r\n", 412, b"cluster ID mismatch\n"),
    (
        b"POST /raft" + H + CLUSTER + b"X-Etcd-Cluster-ID: CID\r\nContent-Length: 3\r\n\r\nabc",
        400,
        b"error unmarshaling raft message\n",
    ),
    (
        b"GET /raft/stream/nosuch/1" + H + CLUSTER + b"X-Etcd-Cluster-ID: CID\r\n\r\n",
        404,
        b"invalid path\n",
    ),
    (
        b"GET /raft/stream/message/zz" + H + CLUSTER + b"X-Etcd-Cluster-ID: CID\r\n\r\n",
        404,
        b"invalid from\n",
    ),
    (
        b"GET /raft/stream/message/1" + H + CLUSTER + b"X-Etcd-Cluster-ID: CID\r\n\r\n",
        404,
        b"error sender not found\n",
    ),
    (b"GET /raft/probing" + H + b"\r\n", 200, b'{"OK":true,"Now":"'),
    (b"GET /members" + H + b"\r\n", 200, b'[{"id":'),
    (b"PUT /members" + H + b"Content-Length: 0\r\n\r\n", 405, b"Allow: GET"),
    (b"GET /version" + H + b"\r\n", 200, b'"etcdserver":"2.3.8"'),
    (b"GET /v2/keys" + H + b"\r\n", 404, b"404 page not found\n"),
]


@pytest.mark.parametrize(("data", "status", "text"), PEERS)
def test_peers(member, data, status, text):
    cluster = member.get("/").headers["X-Etcd-Cluster-Id"].encode()
    answer = raw(member.peer_url, data.replace(b"CID", cluster))
    assert answer.split(b" ", 2)[:2] == [b"HTTP/1.1", b"%d" % status], answer[:200]
    assert text in answer
    assert member.is_healthy()
