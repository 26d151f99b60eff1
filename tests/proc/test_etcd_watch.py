"""Long polls and streams of a real process: what fires, what is replayed, what is withheld."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.parse
from typing import Any

import pytest

from tests.support.procs import PATIENCE_S, EtcdCluster, eventually

pytestmark = pytest.mark.proc

QUIET_S = 0.4


def write_many(member, count: int, *, key: str = "/other") -> None:
    """Fast: one connection."""
    address = urllib.parse.urlsplit(member.client_url)
    conn = http.client.HTTPConnection(address.hostname, address.port, timeout=120)
    try:
        for number in range(count):
            conn.request("PUT", f"/v2/keys{key}?value={number}")
            conn.getresponse().read()
    finally:
        conn.close()


class Watch:
    """One watch on its own connection."""

    def __init__(self, member, key: str, query: str = "") -> None:
        host, port = member.client_url.removeprefix("http://").split(":")
        self._sock = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
        target = f"/v2/keys{key}?wait=true{query and '&' + query}"
        self._sock.sendall(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        self._data = b""
        while b"\r\n\r\n" not in self._data:
            self._read()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        self.head = head.decode()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self._sock.close()

    def _read(self) -> bool:
        piece = self._sock.recv(65536)
        self._data += piece
        return bool(piece)

    def event(self) -> dict[str, Any]:
        """The next event."""
        self._sock.settimeout(PATIENCE_S)
        while b"\n\r\n" not in self._data:
            assert self._read(), self._data
        size, _, rest = self._data.partition(b"\r\n")
        body, self._data = rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        return json.loads(body)

    @property
    def ended(self) -> bool:
        """Whether the body ends."""
        self._sock.settimeout(PATIENCE_S)
        try:
            while self._data != b"0\r\n\r\n":
                if not self._read():
                    return True
        except TimeoutError:
            return False
        return True

    @property
    def quiet(self) -> bool:
        """Whether nothing comes for a moment, not even the end."""
        self._sock.settimeout(QUIET_S)
        try:
            self._read()
        except TimeoutError:
            return not self._data
        return False


@pytest.fixture(scope="module")
def member(tmp_path_factory):
    with EtcdCluster(tmp_path_factory.mktemp("watch")) as cluster:
        yield cluster.members[0]


def test_headers_come_before_the_first_event_and_the_body_ends_after_it(member):
    index = member.put("/w1", "a").etcd_index
    with Watch(member, "/w1") as watch:
        assert watch.head.startswith("HTTP/1.1 200 OK")
        assert "Transfer-Encoding: chunked" in watch.head
        assert f"X-Etcd-Index: {index}" in watch.head
        member.put("/w1", "b")
        event = watch.event()
        assert (event["action"], event["node"]["value"]) == ("set", "b")
        assert event["prevNode"]["value"] == "a"
        assert watch.ended


def test_directories(member):
    with Watch(member, "/wd") as plain, Watch(member, "/wd", "recursive=true") as recursive:
        member.put("/wd/a", "1")
        assert recursive.event()["node"]["key"] == "/wd/a"
        assert plain.quiet


def test_deleting_a_directory_tells_watchers_below(member):
    member.put("/we/a/b", "1")
    with Watch(member, "/we/a/b") as watch:
        member.request("DELETE", "/v2/keys/we?recursive=true")
        event = watch.event()
        assert (event["action"], event["node"]["key"]) == ("delete", "/we")
        assert event["node"]["dir"] is True


def test_expiry_of_a_directory_tells_watchers_below(member):
    member.put("/wt/x", "1")
    with Watch(member, "/wt/x") as watch:
        member.request("PUT", "/v2/keys/wt?dir=true&ttl=1&prevExist=true")
        event = watch.event()
        assert (event["action"], event["node"]["key"]) == ("expire", "/wt")
        assert "dir" not in event["node"]
        assert event["prevNode"]["dir"] is True


def test_a_refresh_is_not_told(member):
    member.put("/wr", "1")
    with Watch(member, "/wr") as watch:
        member.request("PUT", "/v2/keys/wr?refresh=true&ttl=5000&prevExist=true")
        assert watch.quiet


def test_hidden_keys(member):
    with (
        Watch(member, "/wh", "recursive=true") as above,
        Watch(member, "/wh/_x") as exact,
        Watch(member, "/wh/_y", "recursive=true") as inside,
    ):
        member.put("/wh/_x", "1")
        member.put("/wh/_y/z", "1")
        assert exact.event()["node"]["key"] == "/wh/_x"
        assert inside.event()["node"]["key"] == "/wh/_y/z"
        assert above.quiet


def test_stream_goes_on_until_the_client_leaves(member):
    before = json.loads(member.request("GET", "/v2/stats/store").body)["watchers"]
    with Watch(member, "/ws", "stream=true&recursive=true") as watch:
        for number in range(5):
            member.put(f"/ws/{number}", "x")
        assert [watch.event()["node"]["key"] for _ in range(5)] == [f"/ws/{n}" for n in range(5)]
        assert watch.quiet

    def watchers() -> bool:
        return json.loads(member.request("GET", "/v2/stats/store").body)["watchers"] <= before

    eventually(watchers)


def test_a_stream_hears_of_its_own_directory_twice(member):
    member.put("/wq/a", "1")
    with Watch(member, "/wq", "stream=true&recursive=true") as watch:
        member.request("DELETE", "/v2/keys/wq?recursive=true")
        assert watch.event() == watch.event()
        assert watch.quiet


def test_wait_index(member):
    index = member.put("/wi", "1").etcd_index
    member.put("/wi", "2")
    with Watch(member, "/wi", f"waitIndex={index}") as watch:
        assert watch.event()["node"]["value"] == "1"
        assert watch.ended
    with Watch(member, "/wi", f"waitIndex={index}&stream=true") as watch:
        # etcd 2.3.8 gives a stream exactly one old event.
        assert watch.event()["node"]["value"] == "1"
        assert watch.quiet
    with Watch(member, "/wi", f"waitIndex={index + 3}") as watch:
        member.put("/wi", "3")
        assert watch.quiet
        member.put("/wi", "4")
        assert watch.event()["node"]["value"] == "4"


def test_history_keeps_a_thousand_events(member):
    first = member.put("/wc", "first").etcd_index
    write_many(member, 1000, key="/wcx")
    reply = member.get("/wc", f"wait=true&waitIndex={first}")
    assert (reply.status, reply.json()["errorCode"]) == (400, 401)
    oldest = reply.etcd_index - 999
    cause = f"the requested history has been cleared [{oldest}/{first}]"
    assert reply.json()["cause"] == cause
    with Watch(member, "/wcx", f"waitIndex={oldest}") as watch:
        assert watch.event()["node"]["modifiedIndex"] == oldest


def test_many_watchers_hear_at_once(member):
    watches = [Watch(member, "/wm") for _ in range(50)]
    member.put("/wm", "x")
    for watch in watches:
        with watch:
            assert watch.event()["node"]["value"] == "x"
