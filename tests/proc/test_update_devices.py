"""An update on real block devices: a loop disk with partitions, one of them mounted as /usr."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from coreos_py.update.attempt import Operation
from coreos_py.update.disk import mounted_from, rootdev, whole_disk
from coreos_py.update.engine import Engine, Places
from coreos_py.update.slots import Slots
from tests.support import payloads
from tests.support.slots import SLOT_SIZE, bits, make_disk
from tests.support.update_server import UpdateServer

pytestmark = [
    pytest.mark.proc,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, ("losetup", "partx", "mke2fs"))),
        reason="needs root, losetup, partx and mke2fs",
    ),
]
SHIMS = Path(__file__).resolve().parents[2] / "shims"


def _run(*words):
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


class Machine:
    """The disk's device, and where its slot A is mounted."""

    def __init__(self, folder: Path) -> None:
        self.image = make_disk(folder / "disk")
        self.usr = folder / "usr"
        self.usr.mkdir()
        self._undo = contextlib.ExitStack()
        self.disk = ""

    def __enter__(self):
        try:
            self.disk = _run("losetup", "-f", "--show", self.image)
        except AssertionError as err:
            pytest.skip(f"no loop devices: {err}")
        self._undo.callback(_run, "losetup", "-d", self.disk)
        subprocess.run(["partx", "-a", self.disk], capture_output=True, check=False)
        self._undo.callback(
            subprocess.run, ["partx", "-d", self.disk], capture_output=True, check=False
        )
        if not Path(f"{self.disk}p3").is_block_device():
            self._undo.close()
            pytest.skip("the kernel makes no nodes for partitions of loop devices")
        _run("mke2fs", "-q", "-b", "1024", f"{self.disk}p3")
        _run("mount", "-o", "ro", f"{self.disk}p3", self.usr)
        self._undo.callback(_run, "umount", self.usr)
        return self

    def __exit__(self, *_exc):
        self._undo.close()


@pytest.fixture
def machine(tmp_path):
    with Machine(tmp_path) as machine:
        yield machine


def _tool(name, *words):
    return _run(SHIMS / name, *words)


def test_devices(machine):
    assert rootdev(str(machine.usr)) == f"{machine.disk}p3"
    assert rootdev(str(machine.usr), strip=True) == machine.disk
    assert whole_disk(f"{machine.disk}p4") == (machine.disk, 4)
    assert mounted_from(f"{machine.disk}p3") == str(machine.usr)
    assert mounted_from(f"{machine.disk}p4") == ""
    assert _tool("rootdev", "-s", machine.usr) == f"{machine.disk}p3"
    assert _tool("rootdev", "-d", machine.usr) == machine.disk
    slots = Slots.of_machine(str(machine.usr))
    assert (slots.current.device, slots.other.device) == (f"{machine.disk}p3", f"{machine.disk}p4")


def test_tools_take_a_partition(machine):
    _tool("cgpt", "add", "-S0", "-T1", f"{machine.disk}p4")
    _tool("cgpt", "prioritize", f"{machine.disk}p4")
    assert _tool("cgpt", "show", "-i4", "-P", machine.disk) == "2"
    assert _tool("cgpt", "show", "-T", f"{machine.disk}p4") == "1"
    found = _tool("cgpt", "find", "-t", "coreos-usr", machine.disk)
    assert found.split() == [f"{machine.disk}p3", f"{machine.disk}p4"]
    _tool("coreos-setgoodroot", f"{machine.disk}p3")
    _run("sync")
    assert bits(machine.disk) == {3: (2, 0, 1), 4: (1, 1, 0)}
    wrong = [SHIMS / "cgpt", "add", "-i3", "-S1", f"{machine.disk}p4"]
    done = subprocess.run(wrong, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    problem = f"device {machine.disk}p4 is partition 4 but 3 was specified"
    assert done.stderr == f"ERROR: cgpt add: {problem}\n"


def _image(folder: Path) -> bytes:
    """A file system whose postinst is coreos-postinst."""
    tree = folder / "tree"
    (tree / "share/coreos").mkdir(parents=True)
    (tree / "share/coreos/release").write_text("COREOS_RELEASE_VERSION=2.0.0\n")
    tool = SHIMS / "coreos-postinst"
    (tree / "postinst").write_text(f'#!/bin/sh\nexec {tool} -image "$(dirname "$0")" "$@"\n')
    (tree / "postinst").chmod(0o755)
    _run("mke2fs", "-q", "-t", "ext2", "-b", "1024", "-d", tree, folder / "image", "600k")
    return (folder / "image").read_bytes()


def test_an_update(machine, tmp_path, caplog):
    caplog.set_level("INFO")
    root = tmp_path / "root"
    for name in ("etc/coreos", "tmp", "boot/coreos"):
        (root / name).mkdir(parents=True)
    image = _image(tmp_path)
    with UpdateServer(payloads.full(image, kernel=b"kernel", key="")) as server:
        (root / "etc/coreos/update.conf").write_text(f"SERVER={server.url}\n")

        async def run():
            engine = Engine(
                Places(root=str(root)),
                lambda: Slots.of_machine(str(machine.usr)),
                rng=random.Random(1),
            )
            await engine.check(on_demand=True)
            return engine.attempt.status.operation

        assert asyncio.run(run()) is Operation.NEED_REBOOT, caplog.text
        assert server.events == [(13, 1, 0), (14, 1, 0), (3, 1, 0)]
    assert bits(machine.disk) == {3: (1, 0, 1), 4: (2, 1, 0)}
    area = Slots(machine.disk, 4).current.open()
    assert area.size == SLOT_SIZE
    assert area.read(0, len(image)) == image
    area.close()
    assert f"postinst: Setup USR-B ({machine.disk}p4) for next boot." in caplog.text
