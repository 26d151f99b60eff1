"""Auth on real members: etcd 2.3.8's session replayed, remembered passwords, and etcdctl."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import pty
import select
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.procs import EtcdCluster, command, environment, eventually

pytestmark = pytest.mark.proc

SESSION = Path(__file__).parents[1] / "data" / "auth" / "etcd-2.3.8.jsonl"


def credentials(text: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


ROOT = credentials("root:rootpw")


def auth(member, method, path, body=None, *, status=(200, 201), headers=None):
    """A request to /v2/auth that goes well."""
    text = None if body is None else json.dumps(body)
    reply = member.request(method, f"/v2/auth/{path}", body=text, headers=headers)
    assert reply.status in status, reply
    return reply


def enable(member, **users):
    """Users with their roles; guests may read; auth on."""
    auth(member, "PUT", "users/root", {"user": "root", "password": "rootpw"})
    kv = {"read": ["/app*"], "write": ["/app*"]}
    auth(member, "PUT", "roles/app", {"role": "app", "permissions": {"kv": kv}})
    guest = {"role": "guest", "permissions": {"kv": {"read": ["/*"]}}}
    auth(member, "PUT", "roles/guest", guest)
    for name, password in users.items():
        user = {"user": name, "password": password, "roles": ["app"]}
        auth(member, "PUT", f"users/{name}", user)
    auth(member, "PUT", "enable")


def test_the_session_of_etcd(tmp_path):
    with EtcdCluster(tmp_path) as cluster:
        member = cluster.members[0]
        failures = []
        for line in SESSION.read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            headers = case.get("headers", {}) | (credentials(case["as"]) if "as" in case else {})
            body = case.get("body")
            reply = member.request(
                case["method"],
                case["path"],
                body=body.encode() if body is not None else None,
                headers=headers,
            )
            got = {"status": reply.status, "body": reply.body.decode()}
            fields = (("type", "Content-Type"), ("allow", "Allow"), ("index", "X-Etcd-Index"))
            got |= {key: reply.headers[name] for key, name in fields if name in reply.headers}
            got["cluster_id"] = "X-Etcd-Cluster-Id" in reply.headers
            if got != case["got"]:
                what = {key: case[key] for key in case if key != "got"}
                failures.append(f"{what}\n  etcd {case['got']}\n  ours {got}")
        assert not failures, "\n".join(failures)
        assert "Traceback" not in member.log_text(whole=True)


def test_a_password_is_verified_once(tmp_path):
    with EtcdCluster(tmp_path) as cluster:
        member = cluster.members[0]
        enable(member, bob="pw")
        host = member.client_url.removeprefix("http://")
        conn = http.client.HTTPConnection(host, timeout=120)
        with contextlib.closing(conn):

            def cpu_seconds(count, headers, status):
                begin = member.cpu_seconds()
                for _ in range(count):
                    conn.request("GET", "/v2/keys/app", headers=headers)
                    reply = conn.getresponse()
                    assert reply.status == status
                    reply.read()
                return member.cpu_seconds() - begin

            for text, status in (("bob:pw", 404), ("bob:no", 401)):
                first = cpu_seconds(1, credentials(text), status)
                # bcrypt takes some 50 ms each time: remembered, a hundred requests cost less.
                assert cpu_seconds(100, credentials(text), status) < 20 * max(first, 0.05)


def test_pipelined_requests_are_answered_in_order(tmp_path):
    with EtcdCluster(tmp_path) as cluster:
        member = cluster.members[0]
        enable(member, bob="pw")
        host, port = member.client_url.removeprefix("http://").split(":")
        line = f"Authorization: {credentials('bob:pw')['Authorization']}\r\nHost: x\r\n"
        form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\n"
        requests = (
            f"PUT /v2/keys/app/k HTTP/1.1\r\n{line}{form}value=1"
            f"GET /v2/keys/app/k HTTP/1.1\r\n{line}\r\n"
            f"PUT /v2/keys/other HTTP/1.1\r\n{line}{form}value=1"
            f"GET /v2/keys/app/k?quorum=true HTTP/1.1\r\n{line}Connection: close\r\n\r\n"
        )
        with socket.create_connection((host, int(port)), timeout=120) as conn:
            conn.sendall(requests.encode())
            data = b"".join(iter(lambda: conn.recv(65536), b""))
        statuses = [int(part[:3]) for part in data.decode().split("HTTP/1.1 ")[1:]]
        assert statuses == [201, 200, 401, 200]


def test_a_watch_begins_after_its_password_was_verified(tmp_path):
    with EtcdCluster(tmp_path) as cluster:
        member = cluster.members[0]
        enable(member, bob="pw")
        host = member.client_url.removeprefix("http://")

        def watchers():
            return int(member.request("GET", "/v2/stats/store").json()["watchers"])

        conn = http.client.HTTPConnection(host, timeout=120)
        with contextlib.closing(conn):
            conn.request("GET", "/v2/keys/app/k?wait=true", headers=credentials("bob:pw"))
            reply = conn.getresponse()
            assert reply.status == 200
            assert watchers() == 1
            assert member.put("/app/k", "1", headers=credentials("bob:pw")).status == 201
            assert json.loads(reply.read())["node"]["value"] == "1"
        gone = http.client.HTTPConnection(host, timeout=120)
        gone.request("GET", "/v2/keys/app/k?wait=true", headers=credentials("root:rootpw"))
        gone.close()
        assert member.get("/app/k", headers=ROOT).status == 200
        eventually(lambda: watchers() == 0, logs=[member])


def test_every_member_asks_and_hears_of_changes(tmp_path):
    with EtcdCluster(tmp_path, 3, flags=["--election-timeout=3000"]) as cluster:
        enable(cluster.members[0], bob="pw")

        def all_answer(status, text):
            headers = credentials(text)
            return lambda: all(
                member.put("/app/k", "1", headers=headers).status in status
                for member in cluster.members
            )

        eventually(all_answer((200, 201), "bob:pw"))
        eventually(all_answer((401,), "bob:no"))
        change = {"user": "bob", "password": "new"}
        auth(cluster.members[1], "PUT", "users/bob", change, headers=ROOT)
        eventually(all_answer((401,), "bob:pw"))
        eventually(all_answer((200,), "bob:new"))
        assert [member.put("/x", "1").status for member in cluster.members] == [401] * 3
        auth(cluster.members[2], "DELETE", "enable", headers=ROOT)
        eventually(all_answer((200,), "bob:nonsense"))


@pytest.mark.parametrize("flags", [(), ("--snapshot-count=5",)], ids=["log", "snapshot"])
def test_it_survives_kill_9(tmp_path, flags):
    with EtcdCluster(tmp_path, flags=flags) as cluster:
        member = cluster.members[0]
        enable(member, bob="pw")
        for _ in range(12):
            assert member.put("/app/k", "1", headers=credentials("bob:pw")).status in (200, 201)
        member.restart()
        member.wait_ready()
        assert member.put("/app/k", "2").status == 401
        assert member.put("/app/k", "2", headers=credentials("bob:no")).status == 401
        assert member.put("/app/k", "2", headers=credentials("bob:pw")).status == 200
        assert member.get("/app/k").status == 200


def test_membership_is_roots(tmp_path):
    with EtcdCluster(tmp_path) as cluster:
        member = cluster.members[0]
        enable(member, bob="pw")
        body = b'{"peerURLs":["http://127.0.0.1:1"]}'
        kind = {"Content-Type": "application/json"}

        def add(headers):
            return member.request("POST", "/v2/members", body=body, headers=kind | headers)

        for headers in ({}, credentials("bob:pw"), credentials("root:no")):
            reply = add(headers)
            assert (reply.status, reply.body) == (401, b'{"message":"Insufficient credentials"}')
        assert member.request("GET", "/v2/members").status == 200
        assert add(ROOT).status == 201


# --- etcdctl --------------------------------------------------------------------------------------


def etcdctl(member, *words, stdin=b""):
    return subprocess.run(
        [*command("etcdctl"), *words],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=120,
        env=environment({"ETCDCTL_ENDPOINTS": member.client_url}),
    )


def test_passwords_from_a_pipe(tmp_path):
    with EtcdCluster(tmp_path) as cluster:
        member = cluster.members[0]
        done = etcdctl(member, "user", "add", "root", stdin=b" rootpw \r\nrest")
        assert (done.returncode, done.stdout, done.stderr) == (
            0,
            b"New password: \nUser root created\n",
            b"",
        )
        assert etcdctl(member, "auth", "enable").stdout == b"Authentication Enabled\n"
        done = etcdctl(member, "-u", "root", "user", "list", stdin=b"rootpw")
        assert (done.returncode, done.stdout, done.stderr) == (0, b"Password: \nroot\n", b"")
        done = etcdctl(member, "-u", "root", "user", "list", stdin=b"")
        assert (done.returncode, done.stderr) == (1, b"Insufficient credentials\n")
        done = etcdctl(member, "-u", "root:rootpw", "user", "passwd", "root", stdin=b"new\n")
        assert (done.returncode, done.stdout) == (0, b"New password: \nPassword updated\n")
        done = etcdctl(member, "-u", "root:rootpw", "user", "passwd", "root", stdin=b"x\n")
        assert (done.returncode, done.stderr) == (1, b"Insufficient credentials\n")
        done = etcdctl(member, "-u", "root:new", "user", "add", "bob", stdin=b"\n")
        text = b"auth: Cannot create user bob with an empty password\n"
        assert (done.returncode, done.stderr) == (1, text)


def test_a_password_is_not_shown_while_it_is_typed(tmp_path):
    with EtcdCluster(tmp_path) as cluster:
        member = cluster.members[0]
        pid, terminal = pty.fork()
        if pid == 0:
            words = [*command("etcdctl"), "user", "add", "root"]
            os.execvpe(words[0], words, environment({"ETCDCTL_ENDPOINTS": member.client_url}))
        shown = _read_until(terminal, b"New password: ")
        os.write(terminal, b"rootpw\n")
        shown += _read_until(terminal, b"created")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        os.close(terminal)
        assert shown.replace(b"\r", b"") == b"New password: \nUser root created"
        auth(member, "PUT", "enable")
        assert auth(member, "GET", "users", headers=ROOT).json()["users"][0]["user"] == "root"


def _read_until(terminal: int, text: bytes) -> bytes:
    data = b""
    while text not in data:
        assert select.select([terminal], [], [], 120)[0], data
        data += os.read(terminal, 1 if text in b"New password: " else 1024)
    return data[: data.index(text) + len(text)]
