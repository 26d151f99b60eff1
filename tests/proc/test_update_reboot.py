"""From the offer of a new version to the reboot: update_engine and locksmithd on one bus."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import payloads, procs
from tests.support.procs import EtcdCluster, Process, eventually
from tests.support.slots import bits, make_disk
from tests.support.system_bus import Peer, SystemBus
from tests.support.update_server import UpdateServer

pytestmark = [
    pytest.mark.proc,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, ("dbus-daemon", "mke2fs"))),
        reason="needs root, dbus-daemon and mke2fs",
    ),
    pytest.mark.skipif(not Path("/dev/loop-control").exists(), reason="needs loop devices"),
]

KEY = "/coreos.com/updateengine/rebootlock/semaphore"
# locksmithd with the files of a machine of its own.
LOCKSMITHD = """\
import sys
from coreos_py.locksmith import broadcast, cmd_locksmithd, connect, coordinator
home = sys.argv[1]
connect.MACHINE_ID_FILE = home + "/etc/machine-id"
coordinator.PATH = home + "/run/coordinator.conf"
broadcast.UTMP = home + "/run/utmp"
sys.exit(cmd_locksmithd.main(["locksmithd", *sys.argv[2:]]))
"""


def _image(folder: Path) -> bytes:
    tree = folder / "tree"
    tree.mkdir()
    (tree / "postinst").write_text("#!/bin/sh\nexit 0\n")
    (tree / "postinst").chmod(0o755)
    words = ["mke2fs", "-q", "-t", "ext2", "-b", "1024", "-d", str(tree), str(folder / "i"), "600k"]
    subprocess.run(words, check=True, capture_output=True)
    return (folder / "i").read_bytes()


def test_an_update_reboots_under_the_lock(tmp_path):
    root = tmp_path / "root"
    for name in ("etc/coreos", "usr/share/coreos", "tmp", "run"):
        (root / name).mkdir(parents=True)
    (root / "etc/machine-id").write_text("m1\n")
    (root / "usr/share/coreos/release").write_text("COREOS_RELEASE_VERSION=1.0.0\n")
    disk = make_disk(tmp_path / "disk")
    payload = payloads.full(_image(tmp_path), key="")
    with (
        SystemBus(tmp_path) as bus,
        UpdateServer(payload) as server,
        EtcdCluster(tmp_path, 1) as cluster,
    ):
        (root / "etc/coreos/update.conf").write_text(f"SERVER={server.url}\n")
        env = {"DBUS_SYSTEM_BUS_ADDRESS": bus.address}
        words = [*procs.command("update_engine"), "-root", str(root), "-disk", disk]
        engine = Process("update_engine", words, log_path=tmp_path / "engine.log", env=env)
        etcd = cluster.members[0]
        lock = {
            **env,
            "REBOOT_STRATEGY": "etcd-lock",
            "LOCKSMITHD_ENDPOINT": etcd.client_url,
        }
        words = [sys.executable, "-c", LOCKSMITHD, str(root)]
        daemon = Process("locksmithd", words, log_path=tmp_path / "lock.log", env=lock)
        engine.start()
        try:
            log = tmp_path / "engine.log"
            eventually(lambda: "Next update check in" in log.read_text(), logs=[engine])
            logind = Peer(bus)  # the name of update_engine has an owner already
            daemon.start()
            starting = "locksmithd starting"
            eventually(lambda: starting in (tmp_path / "lock.log").read_text(), logs=[daemon])
            ask = [*procs.command("update_engine_client"), "-check_for_update"]
            subprocess.run(ask, env=engine.env, check=True, capture_output=True, timeout=120)
            eventually(lambda: logind.reboots == [False], logs=[engine, daemon])
            assert bits(disk) == {3: (1, 0, 1), 4: (2, 1, 0)}
            assert '"holders":["m1"]' in etcd.value(KEY)
            assert server.events == [(13, 1, 0), (14, 1, 0), (3, 1, 0)]
        finally:
            daemon.close()
            engine.close()
        logind.close()
