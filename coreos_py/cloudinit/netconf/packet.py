"""Packet's network metadata: one bond over all interfaces. Pure.

Mirrors network/packet.go of coreos-cloudinit 1.13.0, which crashes without an interface.
"""

from __future__ import annotations

from typing import NamedTuple

from coreos_py.cloudinit import ip
from coreos_py.cloudinit.ip import Net, Route
from coreos_py.cloudinit.netconf.interfaces import (
    BOND,
    PHYSICAL,
    STATIC,
    Child,
    Interface,
    Method,
    NetconfError,
)

_NAMESERVERS = ("8.8.8.8", "8.8.4.4")
_OPTIONS = (
    ("DownDelaySec", ".2"),
    ("LACPTransmitRate", "fast"),
    ("MIIMonitorSec", ".2"),
    ("Mode", "802.3ad"),
    ("UpDelaySec", ".2"),
)
_ALL_V4 = Net(ip.parse("0.0.0.0"), bytes(4))
_ALL_V6 = Net(ip.parse("::"), bytes(16))
_PRIVATE = Net(ip.parse("10.0.0.0"), b"\xff\0\0\0")


class Block(NamedTuple):
    """An address of the machine."""

    address: bytes | None
    netmask: bytes | None
    gateway: bytes | None
    family: int
    is_public: bool


class Network(NamedTuple):
    """What Packet tells about the network; `dns` is None when it tells nothing of it."""

    nics: tuple[tuple[str, str], ...]  # name and MAC
    blocks: tuple[Block, ...]
    dns: tuple[bytes | None, ...] | None


def convert(network: Network) -> list[Interface]:
    """The interfaces in the order of their units; NetconfError."""
    if not network.nics:
        raise NetconfError("no network interfaces in the metadata")
    nameservers = network.dns
    if nameservers is None:
        nameservers = tuple(map(ip.parse, _NAMESERVERS))
    method = Method(
        STATIC,
        addresses=tuple(Net(block.address, block.netmask) for block in network.blocks),
        nameservers=nameservers,
        routes=tuple(Route(_destination(block), block.gateway) for block in network.blocks),
    )
    mac = ip.parse_mac(network.nics[0][1]) or ""
    bond = Interface("bond0", BOND, method, mac=mac, options=_OPTIONS)
    below = Method(STATIC, nameservers=nameservers)
    children = (Child(bond.name, BOND),)
    slaves = [
        Interface(name, PHYSICAL, below, children=children, depth=number)
        for number, (name, _) in enumerate(network.nics)
    ]
    return [*slaves, bond]


def _destination(block: Block) -> Net:
    if not block.is_public:
        return _PRIVATE
    return _ALL_V4 if block.family == 4 else _ALL_V6
