"""What a dashboard hears and does through a real rollerd: events, reboot locks."""

from __future__ import annotations

import json
import socket
import subprocess

import pytest

from tests.support.debian_etcd import ETCD, Etcd3Cluster
from tests.support.procs import EtcdCluster, command, environment, eventually
from tests.support.rollerd import COREOS, PASSWORD, Machine, Rollerd, basic, serving

pytestmark = pytest.mark.proc

STREAM = (
    b"GET /api/stream HTTP/1.1\r\nHost: x\r\nAuthorization: %b\r\n\r\n"
    % basic("admin", PASSWORD).encode()
)


@pytest.fixture
def started(tmp_path):
    with serving() as start:
        yield lambda *flags: start(Rollerd(tmp_path, *flags))


class Listener:
    """A dashboard's event stream."""

    def __init__(self, server):
        self.sock = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self.sock.sendall(STREAM)
        self.text = ""
        self.until("retry: ")

    def until(self, mark):
        """What has come until this has."""
        while mark not in self.text:
            data = self.sock.recv(4096)
            assert data, self.text
            self.text += data.decode()
        seen, self.text = self.text, ""
        return seen

    def change(self, kind):
        """The next change of this kind: the application."""
        while True:
            line = self.until(f'"{kind}"')
            if "\n\n" not in line.partition(f'"{kind}"')[2]:
                self.text = line
                line = self.until("\n\n")
            for event in line.split("event: change")[1:]:
                data = json.loads(event.partition("data: ")[2].partition("\n")[0])
                if kind in data["kinds"]:
                    return data["app"]

    def close(self):
        self.sock.close()


def test_changes_are_told(started):
    server = started()
    assert server.ask("GET", "/api/stream", user=None).status == 401
    assert server.ask("HEAD", "/api/stream").headers["Content-Type"] == "text/event-stream"
    assert server.ask("POST", "/api/stream").status == 405
    listener = Listener(server)
    assert server.omaha(Machine(1).check()).status == 200
    assert listener.change("instance") == COREOS
    server.open_group()
    assert listener.change("group") == COREOS
    server.add_package("2.0.0")
    assert listener.change("channel") == COREOS
    metrics = server.ask("GET", "/metrics").body.decode()
    assert "rollerd_event_streams 1\n" in metrics
    assert 'rollerd_instances{application="CoreOS",group="Stable",status="1"} 1\n' in metrics
    listener.close()
    eventually(lambda: b"rollerd_event_streams 0\n" in server.ask("GET", "/metrics").body)


def test_no_locks_without_an_etcd(started):
    server = started()
    assert server.must("GET", "/api/config")["locks"] is False
    for method, path in (("GET", "/api/locks"), ("PUT", "/api/locks/x")):
        assert server.ask(method, path, user=None).status == 401
        assert server.ask(method, path).status == 404


def locks_over(server, url, api):
    """What locksmithctl does is seen, and what is done here it sees."""

    def locksmithctl(*words):
        done = subprocess.run(
            [*command("locksmithctl"), f"--endpoint={url}", f"--etcd-api={api}", *words],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def locks():
        return server.must("GET", "/api/locks")["groups"]

    assert locks() == []
    assert server.ask("POST", "/api/locks//unlock", {"holder": "m1"}).status == 404
    assert locks() == []  # nothing was made

    locksmithctl("lock", "m1")
    locksmithctl("--group=a/b c", "set-max", "2")
    locksmithctl("--group=a/b c", "lock", "m2")
    everybody, named = locks()
    assert (everybody["group"], everybody["max"], everybody["semaphore"]) == ("", 1, 0)
    (holder,) = everybody["holders"]
    assert (holder["id"], holder["alias"]) == ("m1", None)
    assert holder["age_s"] >= 0
    assert holder["since_ts"].endswith("Z")
    assert (named["group"], named["max"], named["semaphore"]) == ("a/b c", 2, 1)
    assert [holder["id"] for holder in named["holders"]] == ["m2"]

    listener = Listener(server)
    assert server.ask("POST", "/api/locks//unlock", {"holder": "m1"}).status == 204
    assert listener.change("lock") == ""
    assert "m1" not in locksmithctl("status")
    group = "/api/locks/a%2Fb%20c"
    assert server.ask("PUT", group, {"max": 5}).status == 204
    assert locksmithctl("--group=a/b c", "status").startswith("Available: 4\nMax: 5\n")
    # Somebody else's change is noticed as long as somebody watches.
    locksmithctl("lock", "m3")
    assert listener.change("lock") == ""
    listener.close()

    assert server.ask("POST", "/api/locks//unlock", {"holder": "m1"}).status == 404
    for body in ({}, {"max": "5"}, {"max": True}, {"max": -1}, {"max": 1 << 40}, [], b"{"):
        assert server.ask("PUT", group, body).status == 400, body
    assert server.ask("POST", f"{group}/unlock", {"holder": 7}).status == 400
    assert server.ask("GET", f"{group}/unlock").status == 405
    assert server.ask("PUT", group, {"max": 1}, user=None).status == 401
    assert server.ask("GET", "/api/locks", user=None).status == 401
    viewer = {"name": "eve", "password": "looks at all", "role": "viewer"}
    server.must("POST", "/api/users", viewer)
    eve = {"user": "eve", "password": "looks at all"}
    assert server.ask("GET", "/api/locks", **eve).status == 200
    assert server.ask("PUT", group, {"max": 1}, **eve).status == 403


def test_locks_in_etcd_2(started, tmp_path):
    with EtcdCluster(tmp_path, 1) as cluster:
        member = cluster.members[0]
        server = started(f"-etcd={member.client_url}")
        assert server.must("GET", "/api/config")["locks"] is True
        locks_over(server, member.client_url, "v2")
        # Who is known as a machine has its name.
        machine = Machine(5)
        server.omaha(machine.check())
        name = machine.client.machine_id
        server.must("PUT", f"/api/instances/{name}", {"alias": "the fifth"})
        key = "/coreos.com/updateengine/rebootlock/groups/x/semaphore"
        member.write(key, json.dumps({"semaphore": 0, "max": 1, "holders": [name]}))
        member.write("/coreos.com/updateengine/rebootlock/groups/bad/semaphore", "nonsense")
        found = {lock["group"]: lock for lock in server.must("GET", "/api/locks")["groups"]}
        (holder,) = found["x"]["holders"]
        assert (holder["alias"], holder["age_s"]) == ("the fifth", None)
        assert found["bad"]["max"] is None
    reply = server.ask("GET", "/api/locks")
    assert reply.status == 503
    assert "cannot be reached" in reply.json()["error"]
    assert server.ask("GET", "/api/apps").status == 200


@pytest.mark.interop
@pytest.mark.skipif(ETCD is None, reason="needs Debian's etcd-server")
def test_locks_in_etcd_3(started, tmp_path):
    with Etcd3Cluster(tmp_path) as cluster:
        url = cluster.members[0].client_url
        locks_over(started(f"-etcd={url}", "-etcd-api=v3"), url, "v3")
