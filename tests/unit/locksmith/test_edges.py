"""locksmithd's files: the coordinator's, and the terminals of those who are logged in."""

from __future__ import annotations

import fcntl
import os
import pty
import struct

import pytest

from coreos_py.locksmith.broadcast import broadcast
from coreos_py.locksmith.coordinator import Coordinator, NotCoordinator


def test_one_coordinator_at_a_time(tmp_path):
    path = tmp_path / "update-engine" / "coordinator.conf"
    one = Coordinator(str(path), strategy="etcd-lock", state="starting")
    assert path.read_text() == "NAME=locksmithd\nSTRATEGY=etcd-lock\nSTATE=starting"
    with pytest.raises(NotCoordinator, match="file already locked"):
        Coordinator(str(path), strategy="reboot", state="starting")
    one.update("running")
    assert path.read_text() == "NAME=locksmithd\nSTRATEGY=etcd-lock\nSTATE=running"
    assert path.stat().st_mode & 0o777 == 0o644
    # The lock moved to the new file with its name.
    with path.open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert os.listdir(path.parent) == ["coordinator.conf"]
    one.close()
    two = Coordinator(str(path), strategy="reboot", state="starting")
    two.close()
    assert path.read_text().endswith("STATE=starting")


def test_a_coordinator_file_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotCoordinator, match=r"coordinator\.conf: File exists"):
        Coordinator(str(tmp_path / "file" / "coordinator.conf"), strategy="", state="")


def record(line, user="core"):
    """One entry of glibc's utmp."""
    head = struct.pack("hxxi32s4s32s256s", 7, 1, line.encode(), b"1", user.encode(), b"")
    return head.ljust(400 if os.uname().machine == "aarch64" else 384, b"\0")


def test_every_terminal_is_told(tmp_path):
    controller, terminal = pty.openpty()
    other, gone = pty.openpty()
    name = os.ttyname(terminal).removeprefix("/dev/")
    lines = [name, "~", "", "nosuch", "../etc/passwd", "null", os.ttyname(gone)[5:]]
    os.close(gone)
    os.close(other)
    utmp = tmp_path / "utmp"
    utmp.write_bytes(b"".join(record(line) for line in lines) + b"torn")
    assert broadcast("System reboot in 5 minutes!", now="NOW", utmp=str(utmp)) == 1
    said = os.read(controller, 4096).replace(b"\r\r\n", b"\r\n")
    os.close(controller)
    os.close(terminal)
    blank = b"\r" + b" " * 79 + b"\r\n"
    head = b"Broadcast message from locksmithd at NOW:".ljust(79) + b"\a\a\r\n"
    assert said == blank + head + b"System reboot in 5 minutes!".ljust(79) + b"\r\n" + blank


def test_nobody_is_there(tmp_path):
    assert broadcast("x", now="NOW", utmp=str(tmp_path / "none")) == 0
    (tmp_path / "empty").write_bytes(b"")
    assert broadcast("x", now="NOW", utmp=str(tmp_path / "empty")) == 0
