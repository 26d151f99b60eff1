"""Small /usr file systems for the slots of tests/support/slot_machines.py, and their payloads.

What is in an image: the archive with every command of the suite, their units, D-Bus policy, the
release file, the public key, /postinst, a health check. What is not: Debian's own programs, which
are links out of the slot to /os/usr, where the machine finds them whatever slot it runs from.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.support import payloads

SIZE_MB = 24
# Folders that are the slot's own; of every other one of Debian's there is a link.
_OWN = ("", "bin", "lib", "lib/systemd", "share", "share/dbus-1")
_COPIED = ("lib/os-release", "lib/systemd/system", "share/dbus-1/system.d")
ENABLED = ("health-check", "etcd2", "update-engine", "locksmithd")
# These machines are containers, their terminals are nobody's, and their patience is short.
_FILES = {
    "lib/systemd/system/health-check.service": """\
[Unit]
Description=Is this version of the system any good?
FailureAction=reboot-force
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/coreos/health-check
""",
    "lib/systemd/system/update-engine.service.d/10-test.conf": """\
[Unit]
ConditionVirtualization=
Requires=health-check.service
After=health-check.service
""",
    "lib/systemd/system/locksmithd.service.d/10-test.conf": """\
[Unit]
ConditionVirtualization=
[Service]
RestartSec=1
""",
}
_POSTINST = '#!/bin/sh\nexec "${0%/*}/bin/coreos-postinst" -image "${0%/*}" "$@"\n'
GOOD, NO_INIT, UNHEALTHY = "good", "no init", "unhealthy"


class Images:
    """Makes images below `folder` from an archive and the root of a Debian."""

    def __init__(self, folder: Path, *, archive: Path, debian: Path) -> None:
        self._folder = folder
        self._tree = folder / "usr"
        _link(debian / "usr", self._tree)
        python = ["/usr/bin/python3", "-IS", str(archive)]
        install = [*python, "install", str(self._tree / "bin")]
        subprocess.run(install, check=True, capture_output=True)
        units = [*python, "units", "--bin-dir", "/usr/bin", "--install", str(self._units)]
        subprocess.run(units, check=True, capture_output=True)
        for name, text in _FILES.items():
            self._write(name, text)
        (self._units / "multi-user.target.wants").mkdir(exist_ok=True)
        for name in ENABLED:
            link = self._units / "multi-user.target.wants" / f"{name}.service"
            link.symlink_to(f"../{name}.service")
        keys = self._tree / "share/update_engine"
        keys.mkdir()
        shutil.copy(payloads.PUBLIC_KEY, keys / "update-payload-key.pub.pem")
        self._write("postinst", _POSTINST, 0o755)

    def image(self, version: str, *, kind: str = GOOD) -> bytes:
        """The content of a slot with this version."""
        self._write("share/coreos/release", f"COREOS_RELEASE_VERSION={version}\n")
        code = 1 if kind == UNHEALTHY else 0
        self._write("lib/coreos/health-check", f"#!/bin/sh\nexit {code}\n", 0o755)
        init = self._tree / "lib/systemd/systemd"
        init.unlink(missing_ok=True)
        init.symlink_to("/os/usr/lib/systemd/systemd" if kind != NO_INIT else "/os/nothing")
        path = self._folder / "image"
        path.unlink(missing_ok=True)
        words = ["mke2fs", "-q", "-t", "ext2", "-b", "4096", "-i", "8192", "-d", str(self._tree)]
        subprocess.run([*words, str(path), f"{SIZE_MB}M"], check=True, capture_output=True)
        return path.read_bytes()

    def payload(self, version: str, *, kind: str = GOOD) -> bytes:
        """A signed full payload with that version and its kernel."""
        return payloads.full(self.image(version, kind=kind), kernel=kernel(version))

    @property
    def _units(self) -> Path:
        return self._tree / "lib/systemd/system"

    def _write(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self._tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)


def kernel(version: str) -> bytes:
    """What stands for a version's kernel: these machines run on the host's."""
    return f"kernel of {version}\n".encode() * 1000


def _link(source: Path, target: Path, name: str = "") -> None:
    """Make `target` a folder that has what `source` has: links to it, where it is in a machine."""
    target.mkdir()
    for child in sorted(os.listdir(source)):
        inner = f"{name}/{child}".lstrip("/")
        there, here = source / child, target / child
        if there.is_symlink() and inner not in _COPIED:
            here.symlink_to(there.readlink())
        elif inner in _OWN:
            _link(there, here, inner)
        elif inner in _COPIED:
            _copy(there, here)
        else:
            here.symlink_to(f"/os/usr/{inner}")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy(source, target)
