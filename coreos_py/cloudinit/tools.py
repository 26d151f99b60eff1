"""The programs that change the machine, and what is asked of it: hostnamectl, useradd, modprobe ...

An edge: nothing here decides anything. Errors are Go's texts for a command that failed.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import sys
from typing import NamedTuple

import coreos_py
from coreos_py.base.atomic import write_atomically
from coreos_py.cloudinit.sources.source import go_reason

_CHPASSWD = "/usr/sbin/chpasswd"
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
# What a systemd unit or a container may have left out of PATH.
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


class ToolError(Exception):
    """A program failed; the message is Go's."""


class Done(NamedTuple):
    """How a program ended; `error` is "" for success."""

    error: str
    stdout: str
    stderr: str


def run(argv: list[str], data: bytes = b"") -> Done:
    """Run a program to its end."""
    path = shutil.which(argv[0], path=search_path())
    if path is None:
        return Done(f'exec: "{argv[0]}": executable file not found in $PATH', "", "")
    try:
        done = subprocess.run(
            [path, *argv[1:]], input=data, capture_output=True, check=False, close_fds=True
        )
    except (OSError, ValueError) as error:
        return Done(f"exec: {argv[0]}: {error}", "", "")
    stdout, stderr = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    return Done(_ended(done.returncode), stdout, stderr)


def check(argv: list[str], data: bytes = b"") -> None:
    """The same; ToolError unless it succeeded."""
    done = run(argv, data)
    if done.error:
        raise ToolError(done.error)


def _ended(status: int) -> str:
    if status >= 0:
        return f"exit status {status}" if status else ""
    return f"signal: {(signal.strsignal(-status) or str(-status)).lower()}"


def search_path() -> str:
    """PATH, with the places of system programs at the end."""
    parts = os.environ.get("PATH", os.defpath).split(":")
    return ":".join([*parts, *(part for part in _SBIN if part not in parts)])


def user_exists(name: str) -> bool:
    """True when NSS knows the account."""
    try:
        pwd.getpwnam(name)
    except (KeyError, ValueError):
        return False
    return True


def set_hostname(name: str) -> None:
    """Through hostnamectl; by hand where there is none, as in containers without systemd."""
    if shutil.which("hostnamectl", path=search_path()):
        check(["hostnamectl", "set-hostname", name])
        return
    try:
        socket.sethostname(name)
        data = f"{name}\n".encode("utf-8", "surrogateescape")
        write_atomically("/etc/hostname", data, mode=0o644)
    except (OSError, ValueError) as error:
        raise ToolError(f"cannot set the host name: {error}") from None


def create_user(arguments: list[str]) -> Done:
    """useradd with these words."""
    return run(["useradd", *arguments])


def set_password(user: str, passwd: str) -> None:
    """Set an encrypted password."""
    check([_CHPASSWD, "-e"], f"{user}:{passwd}".encode("utf-8", "surrogateescape"))


def chown(owner: str, path: str) -> None:
    """As chown(1) reads owners: names, numbers, with or without a group."""
    check(["chown", owner, path])


def authorize_keys(user: str, name: str, keys: tuple[str, ...]) -> None:
    """Make `keys` a user's set; ToolError."""
    data = ("\n".join(keys) + "\n").encode("utf-8", "surrogateescape")
    words = ["-u", user, "-a", name]
    argv = ["update-ssh-keys", *words]
    if shutil.which(argv[0], path=search_path()) is None:
        argv = [*_own_command("update-ssh-keys"), *words]
    done = run(argv, data)
    if done.error:
        text = f"{done.stdout} {done.stderr}"
        raise ToolError(f"Call to update-ssh-keys failed with {done.error}: {text}")


def _own_command(name: str) -> list[str]:
    """The suite's own command, where nobody has installed a link to it."""
    archive = getattr(coreos_py.__loader__, "archive", None)
    if archive is not None:
        return [sys.executable, "-IS", archive, name]
    top = os.path.dirname(os.path.dirname(os.path.abspath(coreos_py.__file__)))
    return [os.path.join(top, "shims", name)]


def interface_names() -> list[str]:
    """The network interfaces that there are."""
    return [name for _, name in socket.if_nameindex()]


def take_down(interface: str) -> None:
    """Set an interface down; ToolError."""
    name = interface.encode("utf-8", "surrogateescape")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock.fileno(), _SIOCGIFFLAGS, struct.pack("16sh22x", name, 0))
            flags = struct.unpack_from("H", answer, 16)[0] & ~_IFF_UP
            fcntl.ioctl(sock.fileno(), _SIOCSIFFLAGS, struct.pack("16sH22x", name, flags))
        except OSError as error:
            raise ToolError(go_reason(error)) from None
