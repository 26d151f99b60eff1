"""locksmithctl reboot and send-need-reboot on a bus of our own, with a logind that only listens."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading

import pytest
from jeepney.bus_messages import MatchRule, message_bus
from jeepney.io.blocking import open_dbus_connection
from jeepney.low_level import HeaderFields, MessageType
from jeepney.wrappers import new_error, new_method_return

from coreos_py.locksmith.cmd_locksmithctl import main
from coreos_py.locksmith.ctl import session
from tests.support.procs import EtcdCluster

pytestmark = [
    pytest.mark.proc,
    pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="needs dbus-daemon"),
]

KEY = "/coreos.com/updateengine/rebootlock/semaphore"
CONFIG = """<busconfig>
  <type>session</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>"""


@pytest.fixture
def bus(tmp_path, monkeypatch):
    path = tmp_path / "bus"
    config = tmp_path / "bus.conf"
    config.write_text(CONFIG.format(path=path))
    words = ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout.readline()
        address = f"unix:path={path}"
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        yield address
        daemon.kill()


@pytest.fixture
def locksmithctl(capsys, monkeypatch, tmp_path):
    (tmp_path / "machine-id").write_text("m1\n")
    monkeypatch.setattr(session, "MACHINE_ID_FILE", str(tmp_path / "machine-id"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    def run(*words):
        code = main(["locksmithctl", *words])
        return code, *capsys.readouterr()

    return run


class Login(threading.Thread):
    """Answers one call of Reboot, with an error if there is one."""

    def __init__(self, address, error=""):
        super().__init__(daemon=True)
        self.connection = open_dbus_connection(address)
        self.connection.send_and_get_reply(message_bus.RequestName("org.freedesktop.login1"))
        self.error = error
        self.asked = []
        self.start()

    def run(self):
        while not self.asked:
            message = self.connection.receive(timeout=120)
            if message.header.message_type is MessageType.method_call:
                fields = message.header.fields
                name = f"{fields[HeaderFields.interface]}.{fields[HeaderFields.member]}"
                self.asked.append((fields[HeaderFields.path], name, *message.body))
                name = "org.freedesktop.DBus.Error.AccessDenied"
                refusal = new_error(message, name, "s", (self.error,))
                self.connection.send(refusal if self.error else new_method_return(message))
        self.connection.close()


@pytest.mark.parametrize(
    ("error", "said", "left"),
    [
        ("", (0, "", ""), '{"semaphore":0,"max":1,"holders":["m1"]}'),
        (
            "not now",
            (1, "", "Error rebooting: not now\nThe lock was given back.\n"),
            '{"semaphore":1,"max":1,"holders":[]}',
        ),
    ],
)
def test_reboot_takes_the_lock_first(tmp_path, bus, locksmithctl, error, said, left):
    login = Login(bus, error)
    with EtcdCluster(tmp_path, 1) as cluster:
        etcd = cluster.members[0]
        assert locksmithctl("-endpoint", etcd.client_url, "reboot", "ignored") == said
        assert etcd.value(KEY) == left
        login.join(60)
        name = "org.freedesktop.login1.Manager.Reboot"
        assert login.asked == [("/org/freedesktop/login1", name, False)]


def test_its_own_lock_is_in_nobodys_way(tmp_path, bus, locksmithctl):
    """0.6.2 says "semaphore is at 0" to the very machine that has the lock."""
    with EtcdCluster(tmp_path, 1) as cluster:
        etcd = cluster.members[0]
        flags = ("-endpoint", etcd.client_url)
        assert locksmithctl(*flags, "lock") == (0, "", "")
        held = etcd.value(KEY)
        login = Login(bus, "not now")
        kept = (1, "", "Error rebooting: not now; the lock is kept\n")
        assert locksmithctl(*flags, "reboot") == kept
        login.join(60)
        login = Login(bus)
        assert locksmithctl(*flags, "reboot") == (0, "", "")
        login.join(60)
        assert etcd.value(KEY) == held
        assert locksmithctl(*flags, "unlock") == (0, "", "")
        assert locksmithctl(*flags, "lock", "other") == (0, "", "")
        full = (1, "", "Error locking: semaphore is at 0\n")
        assert locksmithctl(*flags, "reboot") == full


def test_nobody_there_to_ask(tmp_path, bus, locksmithctl):
    with EtcdCluster(tmp_path, 1) as cluster:
        etcd = cluster.members[0]
        code, out, err = locksmithctl("-endpoint", etcd.client_url, "reboot")
        assert (code, out) == (1, "")
        assert err.startswith("Error rebooting: ")
        assert err.endswith("\nThe lock was given back.\n")
        assert etcd.value(KEY) == '{"semaphore":1,"max":1,"holders":[]}'


def test_only_root_may(monkeypatch, locksmithctl):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert locksmithctl("reboot") == (1, "", "Must be root to initiate reboot.\n")


def test_no_bus(tmp_path, monkeypatch, locksmithctl):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    problem = f"unix:path={tmp_path}/none: No such file or directory\n"
    said = (1, "", f"error connecting to system dbus: {problem}")
    assert locksmithctl("send-need-reboot") == said
    with EtcdCluster(tmp_path, 1) as cluster:
        words = ("-endpoint", cluster.members[0].client_url, "reboot")
        assert locksmithctl(*words) == (1, "", f"Error initializing login connection: {problem}")
        assert cluster.members[0].value(KEY) == '{"semaphore":1,"max":1,"holders":null}'


def test_need_reboot_is_signalled(bus, locksmithctl):
    with open_dbus_connection(bus) as listener:
        rule = MatchRule(type="signal", interface="com.coreos.update1.Manager")
        listener.send_and_get_reply(message_bus.AddMatch(rule))
        assert locksmithctl("send-need-reboot") == (0, "", "")
        while True:
            message = listener.receive(timeout=120)
            fields = message.header.fields
            if fields.get(HeaderFields.interface) == "com.coreos.update1.Manager":
                break
    assert fields[HeaderFields.path] == "/com/coreos/update1"
    assert fields[HeaderFields.member] == "StatusUpdate"
    assert fields[HeaderFields.signature] == "xdssx"
    assert message.body == (0, 0.0, "UPDATE_STATUS_UPDATED_NEED_REBOOT", "", 0)
