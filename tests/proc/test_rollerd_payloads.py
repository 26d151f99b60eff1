"""Payloads through a real rollerd: uploaded, checked, fetched in parts, and installed."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import shutil
import socket
import threading
from pathlib import Path

import pytest

from tests.support import payloads
from tests.support.engine import Daemon, can_mount, file_system
from tests.support.procs import eventually, http_request
from tests.support.proxy import Proxy
from tests.support.rollerd import COREOS, STABLE, Rollerd, basic
from tests.support.slots import bits
from tests.support.system_bus import SystemBus

pytestmark = pytest.mark.proc

APP = f"/api/apps/{COREOS}"
PAYLOAD = payloads.full(payloads.image(3), kernel=b"kernel")
MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Rollerd(tmp_path_factory.mktemp("rollerd"), "-http-log", "-payload-max=8M")
    running.start()
    try:
        running.wait_ready()
        yield running
    finally:
        running.close()


def digest(data, name):
    return base64.b64encode(hashlib.new(name, data).digest()).decode()


def upload(server, package, data, query="", **more):
    return server.ask("POST", f"{APP}/packages/{package}/payload{query}", data, **more)


def stored(server):
    return sorted(os.listdir(server.data_dir / "packages"))


def test_an_upload_fills_in_the_package(server):
    found = server.publish("10.0.0", PAYLOAD)
    assert found["url"] == f"{server.url}/packages/"
    assert found["size"] == str(len(PAYLOAD))
    assert found["hash"] == digest(PAYLOAD, "sha1")
    assert found["coreos_action"]["sha256"] == digest(PAYLOAD, "sha256")
    name = f"10.0.0-{hashlib.sha256(PAYLOAD).hexdigest()[:16]}.gz"
    assert found["filename"] == name
    reply = http_request("GET", f"{server.url}/packages/{name}")
    assert reply.body == PAYLOAD
    assert http_request("GET", f"{server.url}/coreos/{name}").body == PAYLOAD
    assert (server.data_dir / "packages" / name).stat().st_mode & 0o777 == 0o644


def test_what_update_engine_would_refuse_is_refused(server):
    package = server.add_package("10.0.1")
    before = stored(server)
    for bad, reason in [
        (b"<html>404</html>" * 100, "(error 21)"),
        (PAYLOAD[:-1], "bytes"),
        (PAYLOAD[: len(PAYLOAD) // 2] + b"?" + PAYLOAD[len(PAYLOAD) // 2 + 1 :], "operation"),
        (b"", "the payload is empty"),
    ]:
        reply = upload(server, package, bad)
        assert reply.status == 400, reply
        assert reason in reply.body.decode()
    assert stored(server) == before
    taken = upload(server, package, b"anything", "?check=no&filename=a.tar")
    assert taken.status == 200
    assert taken.json()["filename"].endswith(".tar")


def test_who_may_upload_and_how_much(server):
    package = server.add_package("10.0.2")
    before = stored(server)
    assert upload(server, package, PAYLOAD, user=None).status == 401
    assert upload(server, package, PAYLOAD, password="wrong").status == 401
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert upload(server, package, PAYLOAD, headers=foreign).status == 403
    assert upload(server, COREOS, PAYLOAD).status == 404
    assert upload(server, "no-uuid", PAYLOAD).status == 400
    # Nothing of a body that is too long, or whose sender may not, is waited for.
    for headers, status in [
        ({"Content-Length": str(8 * MIB + 1)}, 413),
        ({"Content-Length": str(4 * MIB)}, 401),
        ({"Content-Length": str(4 * MIB), "Expect": "100-continue"}, 401),
    ]:
        link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        link.putrequest("POST", f"{APP}/packages/{package}/payload")
        for name, value in headers.items():
            link.putheader(name, value)
        link.endheaders()
        assert link.getresponse().status == status
        link.close()
    eventually(lambda: stored(server) == before)


def test_an_upload_that_breaks_off_leaves_nothing(server):
    package = server.add_package("10.0.3")
    before = stored(server)
    with socket.socket() as sock:
        sock.connect(("127.0.0.1", server.port))
        head = (
            f"POST {APP}/packages/{package}/payload HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {basic('admin', 'a long enough password')}\r\n"
            f"Content-Length: {4 * MIB}\r\n\r\n"
        )
        sock.sendall(head.encode() + bytes(MIB))
        eventually(lambda: len(stored(server)) == len(before) + 1)
    eventually(lambda: stored(server) == before)


def test_ranges(server):
    name = server.publish("10.0.4", PAYLOAD)["filename"]
    url = f"{server.url}/packages/{name}"
    size = len(PAYLOAD)

    def get(method="GET", **headers):
        return http_request(method, url, headers={k.replace("_", "-"): headers[k] for k in headers})

    whole = get()
    etag = whole.headers["ETag"]
    assert whole.headers["Accept-Ranges"] == "bytes"
    part = get(Range="bytes=100-")
    assert (part.status, part.body) == (206, PAYLOAD[100:])
    assert part.headers["Content-Range"] == f"bytes 100-{size - 1}/{size}"
    assert get(Range="bytes=0-99", If_Range=etag).body == PAYLOAD[:100]
    assert get(Range="bytes=0-99", If_Range='"other"').body == PAYLOAD
    beyond = get(Range=f"bytes={size}-")
    assert (beyond.status, beyond.body) == (416, b"")
    assert beyond.headers["Content-Range"] == f"bytes */{size}"
    assert get(If_None_Match=etag).status == 304
    head = get("HEAD")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(size))
    assert get("DELETE").status == 405
    assert get("POST").status == 405


PATHS = [
    "/packages/",
    "/packages/..",
    "/packages/../rollerd.db",
    "/packages/%2e%2e/rollerd.db",
    "/packages/..%2frollerd.db",
    "/packages/.hidden",
    "/packages/a/b",
    "/packages/link",
    "/packages/directory",
    "/packages/nul%00",
    "/packages/" + "a" * 300,
    "//packages/../../etc/passwd",
    "/packages//etc/passwd",
    "/coreos/%2fetc%2fpasswd",
]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_else_is_served(server, path):
    folder = server.data_dir / "packages"
    (folder / ".hidden").write_text("secret")
    (folder / "directory").mkdir(exist_ok=True)
    if not (folder / "link").is_symlink():
        (folder / "link").symlink_to("/etc/passwd")
    try:
        reply = http_request("GET", server.url + path)
        assert reply.status == 404
        assert b"root:" not in reply.body
    finally:
        (folder / ".hidden").unlink()
        (folder / "link").unlink()
        (folder / "directory").rmdir()


def test_clients_that_do_not_read_cost_little_and_stop_nobody(server):
    large = server.data_dir / "packages" / "large.bin"
    with large.open("wb") as file:
        file.truncate(64 * MIB)
    links = []
    try:
        for _ in range(40):
            sock = socket.create_connection(("127.0.0.1", server.port), timeout=60)
            sock.sendall(b"GET /packages/large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(1)
            links.append(sock)
        reply = http_request("GET", f"{server.url}/packages/large.bin", timeout_s=120)
        assert len(reply.body) == 64 * MIB
        assert server.ask("GET", "/api/apps").status == 200
        status = Path(f"/proc/{server.pid}/status").read_text()
        resident_kib = int(status.partition("VmRSS:")[2].split()[0])
        assert resident_kib < 200 * 1024
    finally:
        for sock in links:
            sock.close()
        large.unlink()


class Brake:
    """Lets so many bytes of replies through, and the rest when it is released."""

    def __init__(self, limit):
        self.left = limit
        self.released = threading.Event()

    def __call__(self, piece):
        if piece.is_reply and not self.released.is_set():
            self.left -= len(piece.data)
            if self.left < 0:
                self.released.wait(240)


@pytest.mark.skipif(
    not can_mount() or shutil.which("dbus-daemon") is None,
    reason="needs root, loop devices, mke2fs and dbus-daemon",
)
def test_our_update_engine_updates_by_it(tmp_path):
    """Both are killed in the middle of the download, which goes on where it was."""
    content = file_system(tmp_path, ballast=os.urandom(300_000))
    payload = payloads.full(content, kernel=b"kernel")
    server = Rollerd(tmp_path, "-http-log")
    brake = Brake(150_000)
    with SystemBus(tmp_path) as bus, Proxy(server.port, brake) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        server.argv.append(f"-public-url={url}")
        engine = Daemon(tmp_path, bus, f"{url}/v1/update/")
        machine = engine.root / "etc/machine-id"
        machine.write_text("0123456789abcdef0123456789abcdef\n")
        with (engine.root / "etc/coreos/update.conf").open("a") as config:
            config.write("GROUP=stable\n")
        instance = f"{APP}/groups/{STABLE}/instances/{machine.read_text().strip()}"

        def standing():
            return server.must("GET", instance)["application"]

        def events():
            told = server.must("GET", f"{instance}/events")
            return [(item["type"], item["result"]) for item in reversed(told)]

        try:
            server.start()
            server.wait_ready()
            server.open_group()
            server.publish("2.0.0", payload)
            engine.start()
            eventually(lambda: "Next update check in" in engine.log(), logs=[engine])
            assert engine.ask("-check_for_update").returncode == 0
            spool = engine.root / "var/lib/update_engine/payload"
            eventually(lambda: spool.stat().st_size > 20_000, logs=[engine, server])
            eventually(lambda: standing()["status"] == 7, logs=[engine, server])
            engine.kill9()
            server.kill9()
            had = spool.stat().st_size
            brake.released.set()
            server.start()
            server.wait_ready()
            engine.start()
            done = engine.ask("-update")
            assert done.returncode == 0, engine.log_tail()
            assert f'GET /packages/{_name(server)} HTTP/1.1" 206 {len(payload) - had}' in (
                server.log_text()
            )
            assert bits(engine.disk) == {3: (1, 0, 1), 4: (2, 1, 0)}
            assert events() == [(13, 1), (13, 1), (14, 1), (3, 1)]
            assert standing()["update_in_progress"] is True

            # The machine boots what it has installed, and says so.
            engine.stop()
            (engine.root / "usr/share/coreos/release").write_text("COREOS_RELEASE_VERSION=2.0.0\n")
            (engine.root / "run/update_engine_autoupdate_completed").unlink()
            engine.start()
            eventually(lambda: "Next update check in" in engine.log_text(), logs=[engine])
            assert "No update available" in engine.ask("-update").stderr
            assert events()[-1] == (3, 2)
            now = standing()
            assert (now["status"], now["version"], now["update_in_progress"]) == (4, "2.0.0", False)
        finally:
            engine.close()
            server.close()


def _name(server):
    (found,) = server.must("GET", f"{APP}/packages")
    return found["filename"]
