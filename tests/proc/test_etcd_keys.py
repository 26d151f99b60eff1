"""The v2 keys API of a real process against what etcd 2.3.8 answered to the same requests."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.procs import PATIENCE_S, EtcdCluster, EtcdProcess, eventually, http_request

pytestmark = pytest.mark.proc

TABLE = json.loads((Path(__file__).parents[1] / "data/etcd/keys.json").read_text())
FRESH_INDEX = 3  # of a one-member cluster: raftAttributes, attributes, version


def shifted(text: str, by: int) -> str:
    """The text with every store index from FRESH_INDEX on moved."""

    def move(found: re.Match[str]) -> str:
        number = int(found[2])
        width = len(found[2]) if found[2].startswith("0") and len(found[2]) > 1 else 0
        return found[1] + str(number + by if number >= FRESH_INDEX else number).zfill(width)

    for pattern in (
        r'("(?:modifiedIndex|createdIndex|index)":)(\d+)',
        r"(/)(\d{20})(?!\d)",
        r"(\[\d+ != )(\d+)",
        r"(prevIndex=)(\d+)",
    ):
        text = re.sub(pattern, move, text)
    return text


def told(text: str) -> str:
    """A reply without what depends on when it was given; a TTL may have lost a few seconds."""
    text = re.sub(r'"expiration":"[^"]*"', '"expiration":"TIME"', text)
    return re.sub(r'"ttl":(\d+)', lambda ttl: f'"ttl":{-(-int(ttl[1]) // 10)}0', text)


def ask(member: EtcdProcess, step: dict[str, Any], *, by: int):
    headers = {"Content-Type": step["type"]} if step.get("type") else {}
    deadline = time.monotonic() + PATIENCE_S
    while True:
        reply = http_request(
            step["method"],
            member.client_url + shifted(step["path"], by),
            body=step.get("body"),
            headers=headers,
        )
        if reply.status == step.get("until", reply.status) or time.monotonic() > deadline:
            return reply


def compare(member: EtcdProcess, *, by: int) -> None:
    for step in TABLE["steps"]:
        reply = ask(member, step, by=by)
        text = reply.body.decode("utf-8", "surrogateescape")
        got = {"status": reply.status, "reply": told(text)}
        want = {"status": step["status"], "reply": told(shifted(step["reply"], by))}
        if "index" in step:
            got["index"] = reply.etcd_index
            want["index"] = step["index"] + (by if step["index"] else 0)
        if "location" in step:
            got["location"] = reply.headers["Location"]
            want["location"] = step["location"]
        assert got == want, step["name"]


def test_one_member_answers_as_recorded(tmp_path):
    with EtcdCluster(tmp_path) as cluster:
        member = cluster.members[0]
        assert member.get("/").etcd_index == FRESH_INDEX
        compare(member, by=0)


def test_a_follower_answers_as_recorded(tmp_path):
    # No election may come in between: it costs an answer, and no step can be repeated.
    with EtcdCluster(tmp_path, 3, flags=["--election-timeout=3000"]) as cluster:
        follower = cluster.followers()[0]
        fresh = follower.put("/first").etcd_index
        follower.request("DELETE", "/v2/keys/first")
        compare(follower, by=fresh + 1 - FRESH_INDEX)


@pytest.fixture(scope="module")
def member(tmp_path_factory):
    with EtcdCluster(tmp_path_factory.mktemp("keys")) as cluster:
        yield cluster.members[0]


def test_head_has_the_headers_of_get_and_no_body(member):
    member.put("/head", "value")
    get, head = member.get("/head"), member.request("HEAD", "/v2/keys/head")
    for name in ("Content-Length", "Content-Type", "X-Etcd-Index", "X-Etcd-Cluster-Id"):
        assert head.headers[name] == get.headers[name]
    assert head.body == b""


def test_quorum_read_takes_a_raft_index(member):
    before = member.put("/quorum", "v")
    after = member.get("/quorum", "quorum=true")
    assert int(after.headers["X-Raft-Index"]) > int(before.headers["X-Raft-Index"])
    assert after.etcd_index == before.etcd_index


def test_errors_carry_no_raft_headers(member):
    reply = member.get("/none")
    assert reply.status == 404
    assert reply.headers["X-Etcd-Cluster-Id"]
    assert reply.headers["X-Raft-Index"] is None


def test_a_key_expires_and_not_before_its_time(member):
    start = time.monotonic()
    member.put("/ttl", "v", "ttl=1")
    eventually(lambda: member.get("/ttl").status == 404, every_s=0.02)
    assert time.monotonic() - start >= 1


def test_writes_tell_no_value_to_those_who_want_none(member):
    """etcd 2.3.8 knows no such parameter; these are the answers of 3.4."""
    quiet = "noValueOnSuccess=true"
    for method, path, body, status, said in (
        ("PUT", f"/q?{quiet}", {"value": "1"}, 201, b'{"action":"set"}\n'),
        ("PUT", "/q", {"value": "2", "noValueOnSuccess": "1"}, 200, b'{"action":"set"}\n'),
        ("PUT", f"/q?{quiet}", {"prevExist": "true"}, 200, b'{"action":"update"}\n'),
        ("POST", f"/queue?{quiet}", {"value": "1"}, 201, b'{"action":"create"}\n'),
        ("PUT", f"/q?{quiet}&prevIndex=1", {}, 412, b'"errorCode":101'),
        ("GET", f"/q?{quiet}", None, 200, b'"node":{"key":"/q"'),
        ("DELETE", f"/q?{quiet}", None, 200, b'"prevNode":{"key":"/q"'),
    ):
        reply = member.request(method, f"/v2/keys{path}", body=body)
        assert reply.status == status
        assert said in reply.body
        assert len(reply.body) == len(said) or status == 412 or method in ("GET", "DELETE")


def test_pipelined_requests_are_answered_in_order(member):
    import socket

    url = member.client_url.removeprefix("http://").split(":")
    words = [
        b"PUT /v2/keys/p?value=%d HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
        b"GET /v2/keys/p HTTP/1.1\r\nHost: h\r\n\r\n" % number
        for number in range(20)
    ]
    with socket.create_connection((url[0], int(url[1])), timeout=60) as sock:
        sock.sendall(b"".join(words) + b"GET /x HTTP/1.0\r\n\r\n")
        data = b""
        while piece := sock.recv(65536):
            data += piece
    values = re.findall(rb'"action":"(\w+)","node":\{"key":"/p","value":"(\d+)"', data)
    assert values == [
        (action, b"%d" % number) for number in range(20) for action in (b"set", b"get")
    ]
