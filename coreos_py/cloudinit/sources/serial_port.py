"""A question over a serial port, and an interface's address: two system calls of guest.py."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import termios
import time
import tty

from coreos_py.cloudinit.sources.source import FILE_BYTES_MAX, SourceError, go_reason

PORT = "/dev/ttyS1"
_BAUD = termios.B115200
_END = b"\x04"
_TIMEOUT_S = 60.0
_SIOCGIFADDR = 0x8915


def ask(key: str, *, port: str = PORT, timeout_s: float = _TIMEOUT_S) -> bytes:
    """CloudSigma's answer about a key; SourceError."""
    try:
        fd = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise SourceError(f"open {port}: {go_reason(error)}") from None
    try:
        _raw(fd)
        os.write(fd, f"<\n{key}\n>".encode())
        return _until_end(fd, port, time.monotonic() + timeout_s)
    except OSError as error:
        raise SourceError(f"read {port}: {go_reason(error)}") from None
    except termios.error as error:
        raise SourceError(f"{port}: {error.args[-1]}") from None
    finally:
        os.close(fd)


def _raw(fd: int) -> None:
    tty.setraw(fd)
    settings = termios.tcgetattr(fd)
    settings[4] = settings[5] = _BAUD
    termios.tcsetattr(fd, termios.TCSANOW, settings)


def _until_end(fd: int, port: str, deadline: float) -> bytes:
    found = bytearray()
    while _END not in found:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            raise SourceError(f"read {port}: no answer in time")
        piece = os.read(fd, 4096)
        if not piece:
            raise SourceError(f"read {port}: EOF")
        found += piece
        if len(found) > FILE_BYTES_MAX:
            raise SourceError(f"read {port}: more than {FILE_BYTES_MAX >> 20} MiB")
    return bytes(found.partition(_END)[0])


def interface_ipv4(name: str) -> str:
    """The interface's IPv4 address, "" without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("256s", name.encode()[:15])
        try:
            reply = fcntl.ioctl(sock.fileno(), _SIOCGIFADDR, request)
        except OSError:
            return ""
    return socket.inet_ntoa(reply[20:24])
