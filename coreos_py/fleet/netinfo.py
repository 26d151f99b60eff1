"""The address a machine publishes when none is configured: the default route's first IPv4.

Mirrors getLocalIP of fleet 1.0.0; reads /proc and asks the kernel, no netlink.
"""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct

_ROUTES = "/proc/net/route"
_SIOCGIFADDR = 0x8915
_RTF_UP = 0x1


def default_address() -> str:
    """Return the address, "" when there is no default route or nothing usable on it."""
    try:
        with open(_ROUTES, encoding="ascii") as file:
            interface = default_interface(file.read())
    except OSError:
        return ""
    address = _interface_address(interface) if interface else ""
    return address if is_usable(address) else ""


def default_interface(routes: str) -> str:
    """Return the interface of the first default route in the kernel's table."""
    for line in routes.splitlines()[1:]:
        fields = line.split()
        if (
            len(fields) > 7
            and fields[1] == fields[7] == "00000000"
            and int(fields[3], 16) & _RTF_UP
        ):
            return fields[0]
    return ""


def is_usable(address: str) -> bool:
    """Tell whether the address is IPv4 and global unicast in Go's sense: private ranges count."""
    try:
        parsed = ipaddress.IPv4Address(address)
    except ValueError:
        return False
    return not (
        parsed.is_unspecified
        or parsed.is_loopback
        or parsed.is_multicast
        or parsed.is_link_local
        or address == "255.255.255.255"
    )


def _interface_address(interface: str) -> str:
    request = struct.pack("256s", interface.encode()[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
        except OSError:
            return ""
    return socket.inet_ntoa(answer[20:24])
