"""Tell systemd (or whoever set NOTIFY_SOCKET) that a daemon is ready, stopping, or what it does.

The protocol of sd_notify(3): one datagram of NAME=VALUE lines.
"""

from __future__ import annotations

import os
import socket

READY = "READY=1"
STOPPING = "STOPPING=1"


def notify(*lines: str, address: str | None = None) -> bool:
    """Send the lines; False when nobody asked for them, OSError when they cannot be delivered."""
    target = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
    if not target:
        return False
    if target[0] not in "/@":
        raise OSError(22, "NOTIFY_SOCKET is neither a path nor an abstract name", target)
    where = "\0" + target[1:] if target[0] == "@" else target
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto("\n".join(lines).encode(), where)
    return True


def status(text: str) -> bool:
    """One line for `systemctl status`."""
    return notify(f"STATUS={text}")


def booted() -> bool:
    """True when systemd is this machine's init: sd_booted(3)."""
    return os.path.isdir("/run/systemd/system")
