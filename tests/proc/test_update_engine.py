"""update_engine and its client as processes: a bus of their own, a server, and a disk image."""

from __future__ import annotations

import shutil
import subprocess
import threading
from xml.etree import ElementTree

import pytest

from coreos_py.update import cmd_update_engine_client as client
from tests.support import payloads
from tests.support.engine import Daemon, can_mount, command, file_system
from tests.support.procs import Process, environment, eventually
from tests.support.slots import bits
from tests.support.system_bus import Peer, SystemBus
from tests.support.update_server import CUSTOM, UpdateServer

pytestmark = [
    pytest.mark.proc,
    pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="needs dbus-daemon"),
]


def _run(*words, env=None):
    return subprocess.run(
        command(*words),
        env=env or environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def payload(tmp_path_factory):
    return payloads.full(file_system(tmp_path_factory.mktemp("fs")), kernel=b"kernel")


@pytest.fixture
def server(payload):
    with UpdateServer(payload) as running:
        yield running


@pytest.fixture
def daemon(tmp_path, server):
    with SystemBus(tmp_path) as bus:
        process = Daemon(tmp_path, bus, server.url)
        process.start()
        eventually(lambda: "Next update check in" in process.log(), logs=[process])
        yield process
        process.close()


FRESH = {
    "LAST_CHECKED_TIME": "0",
    "PROGRESS": "0.000000",
    "CURRENT_OP": "UPDATE_STATUS_IDLE",
    "NEW_VERSION": "0.0.0",
    "NEW_SIZE": "0",
}


@pytest.mark.skipif(not can_mount(), reason="needs root, loop devices and mke2fs")
def test_an_update(daemon, server):
    assert daemon.status() == FRESH
    done = daemon.ask("--update")
    assert done.returncode == 0, daemon.log_tail()
    assert "CURRENT_OP=UPDATE_STATUS_UPDATED_NEED_REBOOT\nNEW_VERSION=2.0.0\n" in done.stdout
    assert "] Initiating update check and install.\n" in done.stderr
    assert done.stderr.endswith("] Update succeeded -- reboot needed.\n")
    assert server.events == [(13, 1, 0), (14, 1, 0), (3, 1, 0)]
    assert bits(daemon.disk) == {3: (1, 0, 1), 4: (2, 1, 0)}
    kernel = daemon.root / "boot/coreos/vmlinuz-b"
    assert kernel.read_bytes() == b"kernel"
    log = daemon.log()
    assert f"postinst: called with disk4 KERNEL={kernel} in /" in log
    assert "postinst: environment: PATH " in log or "LD_LIBRARY_PATH PATH " in log
    # Another daemon knows by the marker; the version is forgotten.
    daemon.restart()
    eventually(lambda: daemon.log().count("Next update check in") == 2, logs=[daemon])
    status = daemon.status()
    assert status["CURRENT_OP"] == "UPDATE_STATUS_UPDATED_NEED_REBOOT"
    assert status["NEW_VERSION"] == "0.0.0"
    done = daemon.ask("-reset_status")
    assert done.returncode == 0
    assert "ResetStatus succeeded" in done.stderr
    assert daemon.status()["CURRENT_OP"] == "UPDATE_STATUS_IDLE"
    assert bits(daemon.disk)[4] == (2, 1, 0)
    assert daemon.stop() == 0


@pytest.mark.skipif(not can_mount(), reason="needs root, loop devices and mke2fs")
def test_killed_in_the_middle_of_a_download(daemon, server, payload):
    server.gate = threading.Event()
    assert daemon.ask("-check_for_update").returncode == 0
    spool = daemon.root / "var/lib/update_engine/payload"
    eventually(lambda: spool.stat().st_size >= len(payload) // 2, logs=[daemon])
    assert daemon.status()["CURRENT_OP"] == "UPDATE_STATUS_DOWNLOADING"
    had = spool.stat().st_size
    daemon.kill9()
    server.gate.set()
    server.gate = None
    server.ranges.clear()
    daemon.start()
    assert daemon.ask("-update").returncode == 0, daemon.log_tail()
    assert server.ranges == [f"bytes={had}-"]
    assert bits(daemon.disk)[4] == (2, 1, 0)


def test_no_update_and_failure(daemon, server):
    server.version = "1.0.0"
    done = daemon.ask("-update")
    assert done.returncode == 0
    assert done.stderr.endswith("] No update available.\n")
    assert "CURRENT_OP=UPDATE_STATUS_IDLE\nNEW_VERSION=0.0.0\nNEW_SIZE=0\n" in done.stdout
    done = daemon.ask("-update", "-no_update_fails")
    assert (done.returncode, done.stderr.endswith("] Update failed.\n")) == (1, True)
    server.version = "2.0.0"
    server.statuses = [404]
    done = daemon.ask("-update")
    assert (done.returncode, done.stderr.endswith("] Update failed.\n")) == (1, True)
    assert server.events[-1] == (3, 0, CUSTOM | 9)
    assert bits(daemon.disk)[4] == (0, 0, 0)


def test_stopping_in_the_middle(daemon, server):
    server.gate = threading.Event()
    daemon.ask("-check_for_update")
    eventually(lambda: "Downloaded" in daemon.log(), logs=[daemon])
    assert daemon.stop(within_s=60) == 0
    assert "Traceback" not in daemon.log()


def test_watching(daemon, server):
    server.version = "1.0.0"
    words = command("update_engine_client", "-watch_for_updates")
    log = daemon.log_path.parent / "watch"
    watcher = Process("watch", words, log_path=log, env=daemon.env)
    watcher.start()
    eventually(lambda: "Watching for status updates." in log.read_text())
    daemon.ask("-check_for_update")

    def seen():
        text = log.read_text()
        return (
            "CURRENT_OP=UPDATE_STATUS_CHECKING_FOR_UPDATE" in text and "UPDATE_STATUS_IDLE" in text
        )

    def again():
        daemon.ask("-check_for_update")  # the watcher may not have listened yet
        return seen()

    eventually(again, logs=[daemon, watcher])
    watcher.close()


def test_what_the_bus_offers(daemon):
    from jeepney.io.blocking import open_dbus_connection
    from jeepney.wrappers import DBusAddress, new_method_call

    with open_dbus_connection(daemon.bus.address) as connection:

        def call(member, *, interface="com.coreos.update1.Manager", path="/com/coreos/update1"):
            address = DBusAddress(path, "com.coreos.update1", interface)
            reply = connection.send_and_get_reply(new_method_call(address, member), timeout=60)
            return reply.header.message_type.name, reply.body

        assert call("GetStatus") == ("method_return", (0, 0.0, "UPDATE_STATUS_IDLE", "0.0.0", 0))
        assert call("ResetStatus") == ("method_return", ())
        assert call("Ping", interface="org.freedesktop.DBus.Peer") == ("method_return", ())
        _, (xml,) = call("Introspect", interface="org.freedesktop.DBus.Introspectable")
        assert '<signal name="StatusUpdate"><arg type="x"/>' in xml
        assert call("Nothing")[0] == "error"
        assert call("GetStatus", path="/")[0] == "error"
        assert call("GetStatus", interface="com.other")[0] == "error"


def test_a_second_daemon_is_refused(daemon):
    done = subprocess.run(
        daemon.argv, env=daemon.env, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    assert "com.coreos.update1 belongs to another process" in done.stderr


def test_no_bus(tmp_path):
    env = environment({"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/none"})
    for words in (["update_engine", "-root", str(tmp_path)], ["update_engine_client", "-status"]):
        done = _run(*words, env=env)
        assert done.returncode == 1
        assert "No such file or directory" in done.stderr
        assert "Traceback" not in done.stderr


def test_nobody_at_the_name(tmp_path, monkeypatch, capsys):
    with SystemBus(tmp_path) as bus:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
        monkeypatch.setattr(client, "RETRY_S", 0.01)
        with pytest.raises(SystemExit) as caught:
            client.main(["update_engine_client", "-status"])
    assert caught.value.code == 1
    err = capsys.readouterr().err
    assert err.count("Error getting dbus proxy for com.coreos.update1") == 4
    assert err.endswith("Giving up -- unable to get dbus proxy for com.coreos.update1\n")


@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        (["update_engine_client"], 0, "", "] Done.\n"),
        (["update_engine_client", "-nosuch"], 1, "", "unknown command line flag 'nosuch'\n"),
        (["update_engine", "-slot"], 1, "", "ERROR: flag 'slot' is missing its argument\n"),
        (["update_engine", "-version"], 0, "update_engine version 0.4.10\n", ""),
    ],
)
def test_flags(words, code, out, err):
    done = _run(*words)
    assert (done.returncode, done.stdout) == (code, out)
    assert done.stderr.endswith(err)


def test_the_policy_is_one(tmp_path):
    """dbus-daemon takes it; root is refused nothing."""
    done = _run("update_engine", "-dbus_policy")
    assert 'user="core"' in done.stdout
    tree = ElementTree.fromstring(done.stdout.partition('dtd">\n')[2])
    core = next(item for item in tree if item.get("user") == "core")
    members = {allow.get("send_member") for allow in core}
    assert members == {"AttemptUpdate", "ResetStatus", "GetStatus"}


def test_the_client_asks_anybody(tmp_path, monkeypatch, capsys):
    """update_engine of others speaks the same interface."""
    with SystemBus(tmp_path) as bus:
        peer = Peer(bus, operation="UPDATE_STATUS_UPDATED_NEED_REBOOT")
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
        assert client.main(["update_engine_client", "-status"]) == 0
        peer.close()
    assert "CURRENT_OP=UPDATE_STATUS_UPDATED_NEED_REBOOT\n" in capsys.readouterr().out
