"""locksmithd as a process: a bus of its own, an update_engine and a logind that only listen, and
the lock in an etcd of ours and of Debian's.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from coreos_py.base.tls import client_context
from coreos_py.etcdclient.v3sync import Etcd3
from tests.support.certs import etcd_flags, make_certs
from tests.support.debian_etcd import ETCD, Etcd3Cluster
from tests.support.procs import EtcdCluster, Process, command, environment, eventually
from tests.support.system_bus import IDLE, NEED_REBOOT, Peer, SystemBus

pytestmark = [
    pytest.mark.proc,
    pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="needs dbus-daemon"),
]

KEY = "/coreos.com/updateengine/rebootlock/semaphore"
# The program with the files of a machine of its own.
DRIVER = """\
import sys
from coreos_py.locksmith import broadcast, cmd_locksmithd, connect, coordinator
home = sys.argv[1]
connect.MACHINE_ID_FILE = home + "/machine-id"
coordinator.PATH = home + "/run/coordinator.conf"
broadcast.UTMP = home + "/utmp"
sys.exit(cmd_locksmithd.main(["locksmithd", *sys.argv[2:]]))
"""


class Locksmithd(Process):
    def __init__(self, name, directory, bus, *words, **env):
        self.home = directory / name
        self.home.mkdir()
        (self.home / "machine-id").write_text(f"{name}\n")
        super().__init__(
            name,
            [sys.executable, "-c", DRIVER, str(self.home), *words],
            log_path=self.home / "log",
            env={"DBUS_SYSTEM_BUS_ADDRESS": bus.address, **env},
        )

    def state(self):
        text = (self.home / "run" / "coordinator.conf").read_text()
        return dict(line.split("=") for line in text.split("\n"))["STATE"]


@pytest.fixture
def bus(tmp_path):
    with SystemBus(tmp_path) as bus:
        yield bus


@pytest.fixture
def peer(bus):
    peer = Peer(bus)
    yield peer
    peer.close()


@pytest.fixture
def start(tmp_path, bus):
    """Start a locksmithd; it is gone after the test."""
    daemons = []

    def start(*words, name="m1", **env):
        daemon = Locksmithd(name, tmp_path, bus, *words, **env)
        daemons.append(daemon)
        daemon.start()
        return daemon

    yield start
    for daemon in daemons:
        daemon.close()


@pytest.fixture(params=["v2", "v3"])
def etcd(request, tmp_path):
    """(flags of both programs, what the semaphore is)."""
    if request.param == "v2":
        with EtcdCluster(tmp_path, 1) as cluster:
            yield (
                ["--endpoint", cluster.members[0].client_url],
                lambda: cluster.members[0].value(KEY),
            )
        return
    if ETCD is None:
        pytest.skip("Debian's etcd-server is missing")
    with Etcd3Cluster(tmp_path) as cluster:
        client = Etcd3(cluster.urls, timeout_s=10)
        flags = ["--endpoint", cluster.urls[0], "--etcd-api", "v3"]
        yield flags, lambda: client.get(KEY, quorum=True).node.value
        client.close()


def locksmithctl(flags, *words):
    done = subprocess.run(
        [*command("locksmithctl"), *flags, *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def test_reboot_without_a_lock(start, peer):
    daemon = start()
    running = 'I | daemon: locksmithd starting currentOperation="UPDATE_STATUS_IDLE"'
    daemon.wait_log(f'{running.replace("|", "[|]")} strategy="reboot"', within_s=60)
    eventually(lambda: daemon.state() == "running")
    assert "I | daemon: No configured reboot window" in daemon.log_text()
    peer.announce("UPDATE_STATUS_DOWNLOADING", progress=0.25)
    said = 'Progress=0[.]25 CurrentOperation="UPDATE_STATUS_DOWNLOADING" NewVersion= NewSize=0\n'
    daemon.wait_log(f"\nLastCheckedTime=0 {said}")
    assert peer.reboots == []
    peer.announce(NEED_REBOOT)
    daemon.wait_log("daemon: Reboot sent. Going to sleep[.]")
    assert peer.reboots == [False]
    eventually(lambda: daemon.state() == "rebooting")
    assert daemon.stop() == 0
    text = "N | daemon: Received interrupt/termination signal - locksmithd is exiting."
    assert daemon.log_text().endswith(f"{text}\n")
    assert daemon.state() == "rebooting"


def test_reboots_under_the_lock(start, peer, etcd):
    flags, semaphore = etcd
    assert locksmithctl(flags, "lock", "other") == (0, "", "")
    daemon = start(*flags, REBOOT_STRATEGY="etcd-lock")
    daemon.wait_log("locksmithd starting", within_s=60)
    peer.announce(NEED_REBOOT)
    waiting = "W [|] daemon: Failed to acquire lock: semaphore is at 0[.] Retrying in 10s[.]"
    daemon.wait_log(waiting, within_s=60)
    assert daemon.state() == "reboot-planned"
    assert peer.reboots == []
    code, out, err = locksmithctl(flags, "status", "--long")
    assert (code, err) == (0, "")
    assert out.startswith("Available: 0\nMax: 1\n\nMACHINE ID  HELD FOR  FLEET\nother ")
    refused = locksmithctl(flags, "release", "other")
    assert refused == (
        1,
        "",
        "Error releasing: other: it has not had the lock for long enough\n",
    )
    assert locksmithctl(flags, "release", "--after", "1ns", "other") == (0, "", "")
    eventually(lambda: peer.reboots == [False], within_s=60, logs=[daemon])
    held = '{"semaphore":0,"max":1,"holders":["m1"]}'
    assert semaphore() == held
    # The machine goes down with the lock, and gives it back when it is up again.
    daemon.kill9()
    peer.operation = IDLE
    daemon.start()
    daemon.wait_log("I [|] daemon: Unlocked existing lock for this machine", within_s=60)
    assert semaphore() == '{"semaphore":1,"max":1,"holders":[]}'


def test_best_effort_without_an_etcd(start, peer):
    peer.operation = NEED_REBOOT
    daemon = start("--reboot-strategy=best-effort")
    eventually(lambda: peer.reboots == [False], within_s=60, logs=[daemon])
    assert 'strategy="best-effort"' in daemon.log_text()


def test_best_effort_with_one(start, peer):
    peer.operation = NEED_REBOOT
    peer.active = {"etcd2.service": "failed"}
    daemon = start(
        "--reboot-strategy=best-effort",
        LOCKSMITHD_ETCD_CAFILE="/nonexistent/ca",
    )
    assert daemon.wait(within_s=60) == 1
    problem = "open : no such file or directory"
    text = f"E | daemon: Failed to set up lock: Error initializing etcd client: {problem}"
    assert text in daemon.log_text()
    assert peer.reboots == []


def test_a_second_one_ends_at_once(start, peer, tmp_path, bus):
    first = start()
    first.wait_log("locksmithd starting", within_s=60)
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(first.home)],
        env=environment({"DBUS_SYSTEM_BUS_ADDRESS": bus.address}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    problem = "C | daemon: unable to become 'update coordinator': file already locked"
    assert problem in done.stderr


def test_nobody_to_ask(start):
    daemon = start()
    assert daemon.wait(within_s=60) == 1
    assert "C | daemon: Cannot get update engine status: " in daemon.log_text()
    assert "com.coreos.update1" in daemon.log_text()


def test_a_bus_that_goes_away(start, peer, bus):
    daemon = start()
    daemon.wait_log("locksmithd starting", within_s=60)
    bus.__exit__()
    assert daemon.wait(within_s=60) == 1
    assert "C | daemon: the connection to the system bus was lost" in daemon.log_text()


BOTH = "Either both or neither $REBOOT_WINDOW_START and $REBOOT_WINDOW_LENGTH must be set"
HOUR = 'unable to parse start: invalid time of day "25:00": hour must be >= 0 and <= 23'
START, LENGTH = "LOCKSMITHD_REBOOT_WINDOW_START", "LOCKSMITHD_REBOOT_WINDOW_LENGTH"


@pytest.mark.parametrize(
    ("words", "env", "code", "said"),
    [
        (
            [],
            {"REBOOT_STRATEGY": "off", START: "25:00"},
            0,
            'N | daemon: Reboot strategy is "off" - locksmithd is exiting.',
        ),
        ([], {START: "14:00"}, 1, f"C | daemon: {BOTH}"),
        ([], {"REBOOT_WINDOW_LENGTH": "1h"}, 1, f"C | daemon: {BOTH}"),
        (
            [],
            {START: "25:00", LENGTH: "1h"},
            1,
            f"C | daemon: Error parsing reboot window: {HOUR}",
        ),
        (
            ["--reboot-window-start=Thu 14:00", "--reboot-window-length=168h"],
            {},
            1,
            "C | daemon: Error parsing reboot window: duration cannot exceed period",
        ),
        (
            [],
            {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent/bus"},
            1,
            "C | daemon: Error initializing update1 client: unix:path=/nonexistent/bus: No such",
        ),
        (["--nosuch"], {}, 2, "flag provided but not defined: -nosuch"),
    ],
)
def test_starts_that_end_at_once(tmp_path, words, env, code, said):
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path), *words],
        env=environment(env),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_next_window_is_told(start, peer):
    daemon = start(TZ="UTC", REBOOT_WINDOW_START="Thu 14:00", REBOOT_WINDOW_LENGTH="1h30m")
    daemon.wait_log(
        'Reboot window start is "Thu 14:00" and length is "1h30m"\n.*'
        r"Next window begins at \d{4}-\d\d-\d\d 14:00:00 \+0000 UTC"
        r" and ends at \d{4}-\d\d-\d\d 15:30:00 \+0000 UTC\n",
        within_s=60,
    )


def test_the_notes_of_a_lock_are_beside_it(tmp_path):
    with EtcdCluster(tmp_path, 1) as cluster:
        (member,) = cluster.members
        flags = ["--endpoint", member.client_url, "--group", "a/b"]
        assert locksmithctl(flags, "lock", "x") == (0, "", "")
        place = KEY.replace("semaphore", "groups/a%252Fb")
        found = json.loads(member.value(f"{place}/x-holders"))
        assert list(found["since"]) == ["x"]
        node = member.get(f"{place}/semaphore").json()["node"]
        assert found["index"] == node["modifiedIndex"]


def test_the_lock_over_tls_is_named_in_the_environment(tmp_path, start, peer):
    """As update.conf has it: what the machine held is given back after a boot."""
    certs = make_certs(tmp_path)
    pair = {"cert_file": certs.client_cert, "key_file": certs.client_key}
    context = client_context(ca_file=certs.ca, **pair)
    with EtcdCluster(tmp_path, 1, flags=etcd_flags(certs), scheme="https", tls=context) as cluster:
        (member,) = cluster.members
        member.write(KEY, '{"semaphore":0,"max":1,"holders":["m1"]}')
        daemon = start(
            REBOOT_STRATEGY="etcd-lock",
            LOCKSMITHD_ENDPOINT=member.client_url,
            LOCKSMITHD_ETCD_CAFILE=certs.ca,
            LOCKSMITHD_ETCD_CERTFILE=certs.client_cert,
            LOCKSMITHD_ETCD_KEYFILE=certs.client_key,
        )
        daemon.wait_log("Unlocked existing lock for this machine")
        assert member.value(KEY) == '{"semaphore":1,"max":1,"holders":[]}'
