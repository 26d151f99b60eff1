"""rollerd as a process: its first start, its sockets, its end, and that it forgets nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import ssl
import stat
import subprocess

import pytest

from tests.support import certs
from tests.support.procs import command, environment, eventually, free_ports, http_request
from tests.support.roller_load import roll
from tests.support.rollerd import COREOS, PASSWORD, STABLE, Machine, Rollerd, basic, serving

pytestmark = pytest.mark.proc

APP = f"/api/apps/{COREOS}"
INSTANCES = f"{APP}/groups/{STABLE}/instances"
KEPT = ("events", "status_history")


@pytest.fixture
def started():
    with serving() as start:
        yield start


def run(*words, **env):
    return subprocess.run(
        [*command("rollerd"), *words],
        env=environment(env),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_first_start_and_the_next(started, tmp_path):
    server = Rollerd(tmp_path)
    del server.env["ROLLERD_ADMIN_PASSWORD"]
    started(server)
    shown = server.wait_log(r"user admin has the password (\S+) ")
    assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.database.stat().st_mode) == 0o600
    assert server.ask("GET", "/api/apps", password=shown[1]).status == 200
    assert server.ask("GET", "/api/apps", password="wrong").status == 401
    assert server.ask("GET", "/api/apps", user=None).status == 401
    assert server.stop() == 0

    server.start()
    server.wait_ready()
    assert "password" not in server.log_text()
    assert server.ask("GET", "/api/apps", password=shown[1]).status == 200

    reset = run("-data-dir", str(server.data_dir), "-reset-password", "admin")
    assert reset.returncode == 0
    again = reset.stdout.split()[-1]
    assert server.ask("GET", "/api/apps", password=again).status == 200
    assert server.ask("GET", "/api/apps", password=shown[1]).status == 401


BAD = [
    (["-nosuch"], 2, "flag provided but not defined: -nosuch"),
    (["serve"], 1, "rollerd takes no arguments, but was given 'serve'"),
    (["-bind", "nowhere"], 1, "address nowhere: missing port in address"),
    (["-data-dir", "/dev/null/x"], 1, "-data-dir: /dev/null/x: Not a directory"),
    (["-db", "/dev/null/x.db"], 1, "cannot open the database /dev/null/x.db: "),
    (["-cert", "/dev/null"], 1, "-cert needs -key too"),
    (["-cert", "/nonexistent", "-key", "/nonexistent"], 1, "/nonexistent"),
    (["-compat", "nebraska"], 1, "-compat is coreroller or nothing, not 'nebraska'"),
    (["-payload-max", "much"], 1, "-payload-max is a size like 4G, not 'much'"),
    (["-public-url", "updates"], 1, "-public-url is like https://updates.example.com"),
    (["-keep-events", "12 hours"], 1, "-keep-events is a day or more, like '90 days', not '12"),
    (["-http-static-dir", "/nonexistent"], 1, "/nonexistent: no such directory"),
    (["-admin-password-file", "/nonexistent"], 1, "/nonexistent: No such file or directory"),
    (["-reset-password", "nobody"], 1, "there is no database "),
    (["-etcd", "http://127.0.0.1:1", "-etcd-api", "v4"], 1, "-etcd-api is v2 or v3, not 'v4'"),
    (["-coreroller-url", "updates"], 1, "-coreroller-url is like https://updates.example.com"),
    (["-db", "mysql://u:secret@h/x"], 1, "-db is a file or postgres://..., not mysql://..."),
    (["-etcd", "127.0.0.1:1"], 1, "first path segment in URL cannot contain colon"),
    (["-etcd-username", "root"], 1, "-etcd-username needs -etcd too"),
    (
        ["-etcd", "https://127.0.0.1:1", "-etcd-cafile", "/nonexistent"],
        1,
        "-etcd-cafile needs -etcd-certfile and -etcd-keyfile too",
    ),
]


@pytest.mark.parametrize(("words", "code", "text"), BAD)
def test_bad_settings_are_told_in_one_line(tmp_path, words, code, text):
    free = f"-data-dir={tmp_path}/data"
    done = run(free, "-bind=127.0.0.1:0", *words)
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    if code == 1:
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("rollerd: ")


def test_the_first_password_is_shown_even_if_the_start_fails_then(tmp_path):
    """It is in the database by now, and nobody else knows it."""
    words = (f"-data-dir={tmp_path}/data", "-bind=127.0.0.1:0")
    done = run(*words, "-coreos-packages-path=/proc/none")
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.startswith("rollerd: user admin has the password ")
    assert second == "rollerd: payloads: /proc/none: No such file or directory"


def test_a_second_one_in_the_same_directory_is_refused(started, tmp_path):
    """It would take the uploads of the first one for leftovers."""
    server = started(Rollerd(tmp_path))
    done = run(f"-data-dir={server.data_dir}", "-bind=127.0.0.1:0")
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr == f"rollerd: -data-dir: {server.data_dir}: another rollerd is running there\n"
    )


def test_it_ends_at_once_whoever_listens(started, tmp_path):
    server = started(Rollerd(tmp_path))
    (server.data_dir / "packages" / "large.bin").write_bytes(bytes(32 << 20))
    with socket.socket() as stream, socket.socket() as download, socket.socket() as idle:
        for sock in (stream, download, idle):
            sock.connect(("127.0.0.1", server.port))
            sock.settimeout(60)
        login = basic("admin", PASSWORD).encode()
        stream.sendall(
            b"GET /api/stream HTTP/1.1\r\nHost: x\r\nAuthorization: " + login + b"\r\n\r\n"
        )
        assert b"text/event-stream" in stream.recv(4096)
        download.sendall(b"GET /packages/large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
        assert download.recv(100)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


def test_a_passed_socket_and_its_readiness(tmp_path):
    with socket.socket() as sock, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(60)
        script = 'LISTEN_PID=$$ exec "$@"'
        env = {"LISTEN_FDS": "1", "NOTIFY_SOCKET": str(tmp_path / "notify")}
        process = subprocess.Popen(
            ["sh", "-c", script, "sh", *command("rollerd"), f"-data-dir={tmp_path}/data"],
            env=environment(env),
            preexec_fn=lambda: os.dup2(sock.fileno(), 3, inheritable=True) and None,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert notify.recv(100) == b"READY=1"
            reply = http_request("GET", f"http://127.0.0.1:{sock.getsockname()[1]}/health")
            assert (reply.status, reply.json()) == (200, {"health": "true"})
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        assert notify.recv(100) == b"STOPPING=1"


def test_tls(started, tmp_path):
    files = certs.make_certs(tmp_path)
    server = started(Rollerd(tmp_path, f"-cert={files.server_cert}", f"-key={files.server_key}"))
    url = server.url.replace("http:", "https:")
    trusted = ssl.create_default_context(cafile=files.ca)
    assert http_request("GET", f"{url}/health", tls=trusted).status == 200
    machine = Machine(1)
    reply = http_request("POST", f"{url}/v1/update/", body=machine.check(), tls=trusted)
    assert b'<updatecheck status="noupdate">' in reply.body
    assert server.stop() == 0


def test_kill_9_loses_nothing_that_was_acknowledged(started, tmp_path):
    """Machines are in the middle of their updates when the server dies."""
    server = started(Rollerd(tmp_path))
    server.open_group()
    server.add_package("2.0.0")

    def kill(outcome):
        eventually(lambda: len(outcome.answered) > 500, every_s=0.001)
        server.kill9()

    outcome = roll(server.port, range(300), version="2.0.0", connections=50, meanwhile=kill)
    assert outcome.lost  # it was in the middle
    assert not outcome.refused
    server.start()
    server.wait_ready()
    kinds = {1: (13, 1), 2: (14, 1), 3: (3, 1), 4: (3, 2)}
    with contextlib.closing(sqlite3.connect(server.database)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for step, kind in kinds.items():
            rows = database.execute(
                "SELECT instance_id, COUNT(*) FROM event WHERE type = ? AND result = ?"
                " GROUP BY instance_id",
                kind,
            ).fetchall()
            kept = {int(name, 16) for name, _ in rows}
            assert outcome.acknowledged(step) <= kept
            assert all(count == 1 for _, count in rows)

    # Whoever was not answered says it again, and the rollout comes to its end.
    finished = outcome.acknowledged(4)
    rest = [number for number in range(300) if number not in finished]
    again = roll(server.port, rest, version="2.0.0", connections=20)
    assert not again.refused
    stats = server.must("GET", f"{APP}/groups/{STABLE}")["instances_stats"]
    assert (stats["total"], stats["complete"]) == (300, 300)


def test_old_events_are_forgotten_when_that_is_wanted(started, tmp_path):
    server = started(Rollerd(tmp_path))
    server.open_group()
    server.add_package("2.0.0")
    assert not roll(server.port, range(10), version="2.0.0", connections=1).refused
    assert server.stop() == 0
    with contextlib.closing(sqlite3.connect(server.database)) as database, database:
        earlier = "SET created_us = created_us - 90000000000 WHERE instance_id < printf('%032x', 5)"
        for table in ("event", "instance_status_history"):
            database.execute(" ".join(("UPDATE", table, earlier)))
    server = started(Rollerd(tmp_path, "-keep-events=1 day"))

    def left():
        paths = (f"{INSTANCES}/{number:032x}/{what}" for number in (4, 5) for what in KEPT)
        return [len(server.must("GET", path)) for path in paths]

    eventually(lambda: left() == [0, 0, 4, 5], every_s=0.1, logs=[server])
    stats = server.must("GET", f"{APP}/groups/{STABLE}")["instances_stats"]
    assert (stats["total"], stats["complete"]) == (10, 10)


def test_many_clients_that_send_half_a_request_or_nonsense_stop_nobody(started, tmp_path):
    server = started(Rollerd(tmp_path))
    with contextlib.ExitStack() as open_sockets:
        for number in range(300):
            sock = open_sockets.enter_context(socket.socket())
            sock.connect(("127.0.0.1", server.port))
            half = b"POST /v1/update/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n<"
            sock.sendall(half if number % 2 else os.urandom(50))
        reply = server.omaha(Machine(1).check())
        assert reply.status == 200
    assert server.omaha(b"<request").status == 400
    big = http_request("POST", server.update_url, body=b" " * ((1 << 20) + 1))
    assert big.status == 413
    assert "Traceback" not in server.log_text()


def test_a_port_that_is_taken(tmp_path):
    (port,) = free_ports(1)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", port))
        sock.listen()
        done = run(f"-bind=127.0.0.1:{port}", f"-data-dir={tmp_path}/data")
    assert done.returncode == 1
    assert done.stderr == (f"rollerd: listen tcp 127.0.0.1:{port}: bind: address already in use\n")
    assert not (tmp_path / "data").exists()


def test_the_access_log_and_who_is_behind_a_proxy(started, tmp_path):
    server = started(Rollerd(tmp_path, "-http-log", "-trust-proxy"))
    machine = Machine(7)
    headers = {"X-Forwarded-For": "192.0.2.7, 10.0.0.1"}
    http_request("POST", server.update_url, body=machine.check(), headers=headers)
    server.wait_log(r'192\.0\.2\.7 - - \[.*\] "POST /v1/update/ HTTP/1\.1" 200 \d+\n')
    (found,) = server.must("GET", INSTANCES)
    assert found["ip"] == "192.0.2.7"
    headers = {"X-Forwarded-For": "<b>nobody</b>"}
    http_request("POST", server.update_url, body=machine.check(), headers=headers)
    (found,) = server.must("GET", INSTANCES)
    assert found["ip"] == "127.0.0.1"
