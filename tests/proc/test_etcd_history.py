"""Watches that start in the past: longer histories, replayed streams, and etcdctl's that last."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

from tests.proc.test_etcd_watch import write_many
from tests.support.procs import PATIENCE_S, EtcdCluster, command, environment, eventually

pytestmark = pytest.mark.proc


class Stream:
    """A streaming watch that reads events as they come."""

    def __init__(self, url: str, target: str, *, timeout_s: float = PATIENCE_S) -> None:
        address = urllib.parse.urlsplit(url)
        self._conn = http.client.HTTPConnection(address.netloc, timeout=timeout_s)
        self._conn.request("GET", target)
        assert isinstance(self._conn.sock, socket.socket)
        self._sock = self._conn.sock
        self.reply = self._conn.getresponse()

    def next(self) -> dict:
        return json.loads(self.reply.readline())

    def is_quiet(self) -> bool:
        """Whether nothing comes for a moment, not even the end."""
        self._sock.settimeout(0.5)
        try:
            self.reply.readline()
        except TimeoutError:
            return True
        return False

    def indexes(self, count: int) -> list[int]:
        return [self.next()["node"]["modifiedIndex"] for _ in range(count)]

    def close(self) -> None:
        self.reply.close()
        self._conn.close()


@pytest.fixture
def member(tmp_path, request):
    flags = getattr(request, "param", [])
    with EtcdCluster(tmp_path, 1, flags=flags) as cluster:
        yield cluster.members[0]


def test_1000_events_and_where_they_begin(member):
    first = member.put("/k", "v").json()["node"]["modifiedIndex"]
    write_many(member, 1000)
    reply = member.get("/k", f"wait=true&waitIndex={first}")
    assert reply.status == 400
    body = reply.json()
    assert body["errorCode"] == 401
    oldest = int(reply.headers["x-etcd-oldest-index"])
    assert body["cause"] == f"the requested history has been cleared [{oldest}/{first}]"
    found = member.get("/other", f"wait=true&waitIndex={oldest}").json()["node"]
    assert found["modifiedIndex"] == oldest


@pytest.mark.parametrize(
    "member", [["--event-history=3000", "--snapshot-count=700"]], indirect=True
)
def test_a_longer_history_survives_a_restart(member):
    first = member.put("/k", "v").json()["node"]["modifiedIndex"]
    write_many(member, 1600)
    for _ in range(2):
        found = member.get("/k", f"wait=true&waitIndex={first}").json()["node"]
        assert (found["key"], found["modifiedIndex"]) == ("/k", first)
        eventually(lambda: len(list(member.snap_dir.glob("*.snap"))) >= 2, logs=[member])
        member.restart()
        member.wait_ready()


def test_a_stream_from_an_old_index_has_everything_and_goes_on(member):
    begin = member.put("/d/first", "0").json()["node"]["modifiedIndex"]
    member.put("/d/_hidden", "x")
    member.put("/elsewhere", "x")
    write_many(member, 200, key="/d/k")
    query = "wait=true&stream=true&recursive=true"
    # etcd 2.3.8, and ours unless asked, shows one event on such a stream and no other.
    plain = Stream(member.client_url, f"/v2/keys/d?{query}&waitIndex={begin}")
    assert plain.next()["node"]["key"] == "/d/first"
    assert plain.is_quiet()
    plain.close()

    writing = threading.Thread(target=write_many, args=(member, 300), kwargs={"key": "/d/k"})
    writing.start()
    stream = Stream(member.client_url, f"/v2/keys/d?{query}&waitIndex={begin}&replay=true")
    try:
        assert stream.indexes(1) == [begin]
        assert stream.indexes(500) == list(range(begin + 3, begin + 503))
        writing.join()
        member.put("/d/_hidden", "y")
        last = member.put("/d/last", "x").json()["node"]["modifiedIndex"]
        assert stream.indexes(1) == [last]
    finally:
        writing.join()
        stream.close()
    reply = member.get("/d", f"{query}&waitIndex={begin}&replay=maybe")
    assert (reply.status, reply.json()["errorCode"]) == (400, 209)


def test_a_replay_larger_than_a_client_takes_at_once(member):
    value = "x" * 20_000
    begin = member.put("/big", value).json()["node"]["modifiedIndex"]
    for _ in range(300):
        member.put("/big", value)
    query = f"wait=true&stream=true&replay=true&waitIndex={begin}"
    stream = Stream(member.client_url, f"/v2/keys/big?{query}")
    try:
        member.put("/big", "end")
        assert stream.indexes(302) == list(range(begin, begin + 302))
    finally:
        stream.close()


def test_an_idle_watch_hears_how_far_the_store_has_come(member):
    """Who goes on behind what he was told last never meets error 401, however busy others are."""
    begin = member.put("/quiet/k", "v").json()["node"]["modifiedIndex"]
    query = "wait=true&recursive=true&progress=60"
    stream = Stream(member.client_url, f"/v2/keys/quiet?{query}&stream=true")
    try:
        write_many(member, 2500)
        told = stream.next()
        assert told["action"] == "progress"
        assert told["node"]["key"] == "/quiet"
        assert told["node"]["modifiedIndex"] > begin
        member.put("/quiet/k", "end")
        last = stream.next()
        while last["action"] == "progress":
            told, last = last, stream.next()
        assert last["node"]["value"] == "end"
    finally:
        stream.close()
    index = told["node"]["modifiedIndex"]
    found = member.get("/quiet", f"{query}&waitIndex={index + 1}")
    assert found.json()["node"]["value"] == "end"
    poll = Stream(member.client_url, f"/v2/keys/quiet?{query.replace('60', '1')}")
    try:
        assert poll.next()["action"] == "progress"
        assert poll.reply.read() == b""
    finally:
        poll.close()
    reply = member.get("/quiet", "wait=true&progress=soon")
    assert (reply.status, reply.json()["errorCode"]) == (400, 209)


def watching(member, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command("etcdctl"), "--endpoints", member.client_url, *words],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_watch_forever_lists_what_the_history_has_lost(member):
    begin = member.put("/q/a", "1").json()["node"]["modifiedIndex"]
    member.put("/q/b", "2")
    write_many(member, 1000)
    words = ["watch", "--forever", "--recursive", "--after-index", str(begin), "/q"]
    process = watching(member, *words)
    try:
        assert process.stdout.readline() == "[set] /q/b\n"
        assert process.stdout.readline() == "2\n"
        member.put("/q/a", "3")
        assert process.stdout.readline() == "[set] /q/a\n"
        assert process.stdout.readline() == "3\n"
    finally:
        process.kill()
    text = f"etcdctl: events from index {begin + 1} on are gone from the history; "
    assert process.communicate()[1].startswith(text)
    # A single watch still ends as etcdctl 2.3.8's does.
    process = watching(member, "watch", "--after-index", str(begin), "/q")
    assert process.communicate(timeout=120)[1].startswith("Error:  401: ")
    assert process.returncode == 4


def test_watch_forever_of_a_quiet_key_loses_nothing_on_a_busy_server(member):
    member.put("/quiet", "0")
    process = watching(member, "watch", "--forever", "/quiet")

    def waits() -> bool:
        return member.request("GET", "/v2/stats/store").json()["watchers"] == 1

    try:
        eventually(waits)
        for _ in range(25):
            write_many(member, 100)  # far less than a history, then a moment to hear of it
            time.sleep(0.05)
            eventually(waits)
        member.kill9()
        assert "is interrupted, trying again" in process.stderr.readline()
        member.start()
        member.wait_ready()
        member.put("/quiet", "1")
        assert process.stdout.readline() == "1\n"
    finally:
        process.kill()
    assert "gone from the history" not in process.communicate()[1]


@pytest.mark.parametrize("way", ["watch", "exec-watch"])
def test_a_watch_outlives_its_member(member, way):
    member.put("/other", "x")
    words = {
        "watch": ["watch", "--forever", "/k"],
        "exec-watch": ["exec-watch", "/k", "--", "sh", "-c", "echo $ETCD_WATCH_VALUE"],
    }[way]
    process = watching(member, *words)
    try:
        eventually(
            lambda: member.request("GET", "/v2/stats/store").json()["watchers"] == 1,
        )
        member.kill9()
        assert "is interrupted, trying again" in process.stderr.readline()
        member.start()
        member.wait_ready()
        # Written before the watch is back, so that it shows whether anything is missed.
        member.put("/k", "1")
        assert process.stdout.readline() == "1\n"
        again = "etcdctl: watching /k again from index "
        assert any(line.startswith(again) for line in iter(process.stderr.readline, ""))
        member.put("/k", "2")
        assert process.stdout.readline() == "2\n"
    finally:
        process.kill()
        process.communicate()


def test_a_watch_that_never_began_ends():
    done = subprocess.run(
        [*command("etcdctl"), "--no-sync", "--endpoints", "http://127.0.0.1:1", "watch",
         "--forever", "/k"],
        env=environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert "connection refused" in done.stderr
