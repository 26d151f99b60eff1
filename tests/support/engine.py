"""update_engine as a process on a disk image, and images for it to install."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.support import payloads, procs
from tests.support.procs import Process
from tests.support.slots import make_disk
from tests.support.system_bus import SystemBus


def command(name: str, *words: str) -> list[str]:
    """The words that run one of our programs."""
    return [*procs.command(name), *words]


POSTINST = """#!/bin/sh
echo "called with $(basename "$1") $2 in $PWD"
echo "environment: $(env | cut -d= -f1 | grep -v -e PWD -e SHLVL -e '^_$' | sort | tr '\\n' ' ')"
exit 0
"""


def can_mount() -> bool:
    """Root, with loop devices and mke2fs."""
    return bool(os.geteuid() == 0 and shutil.which("mke2fs") and Path("/dev/loop-control").exists())


def file_system(folder: Path, *, ballast: bytes = b"") -> bytes:
    """An ext2 image with a postinst, and maybe more; where nothing can be mounted, anything."""
    if not can_mount():
        return payloads.image(5, blocks=64) + ballast
    root = folder / "image"
    root.mkdir()
    (root / "postinst").write_text(POSTINST)
    (root / "postinst").chmod(0o755)
    (root / "ballast").write_bytes(ballast)
    path = folder / "image.ext2"
    words = ["mke2fs", "-q", "-t", "ext2", "-b", "1024", "-d", str(root), str(path), "600k"]
    subprocess.run(words, check=True, capture_output=True)
    return path.read_bytes()


class Daemon(Process):
    """update_engine on an image below a directory."""

    def __init__(self, folder: Path, bus: SystemBus, server_url: str) -> None:
        self.root = folder / "root"
        self.disk = make_disk(folder / "disk")
        for name in ("etc/coreos", "usr/share/coreos", "usr/share/update_engine", "tmp", "run"):
            (self.root / name).mkdir(parents=True)
        (self.root / "boot/coreos").mkdir(parents=True)
        (self.root / "etc/coreos/update.conf").write_text(f"SERVER={server_url}\n")
        (self.root / "usr/share/coreos/release").write_text("COREOS_RELEASE_VERSION=1.0.0\n")
        key = Path(payloads.PUBLIC_KEY).read_bytes()
        (self.root / "usr/share/update_engine/update-payload-key.pub.pem").write_bytes(key)
        words = ["-foreground", "-logtostderr", "-root", str(self.root), "-disk", self.disk]
        super().__init__(
            "update_engine",
            command("update_engine", *words),
            log_path=folder / "log",
            env={"DBUS_SYSTEM_BUS_ADDRESS": bus.address},
        )
        self.bus = bus

    def log(self) -> str:
        """Everything it has said."""
        return self.log_path.read_text()

    def ask(self, *flags: str) -> subprocess.CompletedProcess[str]:
        """update_engine_client, to its end."""
        return subprocess.run(
            command("update_engine_client", *flags),
            capture_output=True,
            text=True,
            check=False,
            env=self.env,
            timeout=240,
        )

    def status(self) -> dict[str, str]:
        """What `-status` prints."""
        done = self.ask("-status")
        assert done.returncode == 0, done.stderr
        return dict(line.split("=") for line in done.stdout.splitlines())
