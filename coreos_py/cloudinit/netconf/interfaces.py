"""Interfaces, and the networkd units that describe them. Pure.

Mirrors network/interface.go of coreos-cloudinit 1.13.0.
"""

from __future__ import annotations

from typing import NamedTuple

from coreos_py.cloudinit import ip
from coreos_py.cloudinit.ip import Net, Route

PHYSICAL = "physical"
BOND = "bond"
VLAN = "vlan"

STATIC = "static"
DHCP = "dhcp"
MANUAL = "manual"
LOOPBACK = "loopback"


class NetconfError(Exception):
    """The network configuration cannot be converted; the message is upstream's."""


class Method(NamedTuple):
    """How an interface gets its addresses; `mac` is the one a VLAN shall take on."""

    kind: str
    addresses: tuple[Net, ...] = ()
    nameservers: tuple[bytes | None, ...] = ()
    domains: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    mac: str = ""


class Child(NamedTuple):
    """An interface that is built on top of another one."""

    name: str
    kind: str


class Interface(NamedTuple):
    """One interface; `depth` is how many levels of others are built on it."""

    name: str
    kind: str
    method: Method
    mac: str = ""
    children: tuple[Child, ...] = ()
    depth: int = 0
    options: tuple[tuple[str, str], ...] = ()  # of a bond
    vlan_id: int = 0

    def file_name(self) -> str:
        """The name of its unit files, without the suffix."""
        return f"{self.depth:02x}-{self.name or self.mac}"

    def netdev(self) -> str:
        """The .netdev file, "" for interfaces that exist by themselves."""
        if self.kind == PHYSICAL:
            return ""
        mac = self.mac if self.kind == BOND else self.method.mac
        lines = ["[NetDev]", f"Kind={self.kind}", f"Name={self.name}"]
        lines += [f"MACAddress={mac}"] if mac else []
        if self.kind == BOND:
            lines += ["", "[Bond]", *(f"{key}={value}" for key, value in sorted(self.options))]
        else:
            lines += ["", "[VLAN]", f"Id={self.vlan_id}"]
        return "\n".join(lines) + "\n"

    def network(self) -> str:
        """The .network file."""
        lines = ["[Match]"]
        lines += [f"Name={self.name}"] if self.name else []
        lines += [f"MACAddress={self.mac}"] if self.mac else []
        lines += ["", "[Network]"]
        words = {VLAN: "VLAN", BOND: "Bond"}
        lines += [f"{words[child.kind]}={child.name}" for child in self.children]
        lines += _method_lines(self.method)
        return "\n".join(lines) + "\n"

    def modprobe_options(self) -> str:
        """What the kernel's bonding module is told."""
        return " ".join(f"{key}={value}" for key, value in sorted(self.options))


def _method_lines(method: Method) -> list[str]:
    if method.kind == DHCP:
        return ["DHCP=true"]
    if method.kind != STATIC:
        return []
    lines = [f"Domains={' '.join(method.domains)}"] if method.domains else []
    lines += [f"DNS={ip.text(server)}" for server in method.nameservers]
    for address in method.addresses:
        lines += ["", "[Address]", f"Address={address}"]
    for route in method.routes:
        gateway = ip.text(route.gateway)
        lines += ["", "[Route]", f"Destination={route.destination}", f"Gateway={gateway}"]
    return lines
