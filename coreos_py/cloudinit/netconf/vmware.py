"""VMware's guestinfo variables about the network. Pure.

Mirrors network/vmware.go of coreos-cloudinit 1.13.0.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from coreos_py.cloudinit import gotext, ip
from coreos_py.cloudinit.ip import Net, Route
from coreos_py.cloudinit.netconf.interfaces import (
    DHCP,
    PHYSICAL,
    STATIC,
    Interface,
    Method,
    NetconfError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


def convert(variables: Mapping[str, str]) -> list[Interface]:
    """The interfaces, counted from 0 until one says nothing; NetconfError."""
    nameservers = tuple(_nameserver(text) for text in _counted(variables, "dns.server.{}"))
    domains = tuple(_counted(variables, "dns.domain.{}"))
    found: list[Interface] = []
    for number in count():
        prefix = f"interface.{number}."
        is_dhcp = _is_dhcp(variables, prefix)
        addresses = tuple(_address(text) for text in _counted(variables, prefix + "ip.{}.address"))
        routes = tuple(_routes(variables, prefix))
        mac = _mac(variables, prefix)
        if addresses or routes:
            method = Method(STATIC, addresses, nameservers, domains, routes, mac)
        elif is_dhcp:
            method = Method(DHCP, mac=mac)
        else:
            break
        name = variables.get(prefix + "name", "")
        found.append(Interface(name, PHYSICAL, method, mac=mac))
    return found


def _counted(variables: Mapping[str, str], form: str) -> list[str]:
    found: list[str] = []
    while (key := form.format(len(found))) in variables:
        found.append(variables[key])
    return found


def _nameserver(text: str) -> bytes:
    address = ip.parse(text)
    if address is None:
        raise NetconfError(f"invalid nameserver: {gotext.quote(text)}")
    return address


def _is_dhcp(variables: Mapping[str, str], prefix: str) -> bool:
    text = variables.get(prefix + "dhcp", "no")
    if text not in ("yes", "no"):
        raise NetconfError(f"invalid DHCP option: {gotext.quote(text)}")
    return text == "yes"


def _address(text: str) -> Net:
    found = ip.parse_cidr(text)
    if found is None:
        raise NetconfError(f"invalid address: {gotext.quote(text)}")
    address, network = found
    return Net(address, network.mask)


def _routes(variables: Mapping[str, str], prefix: str) -> list[Route]:
    found: list[Route] = []
    while True:
        start = f"{prefix}route.{len(found)}."
        gateway_text = variables.get(start + "gateway")
        destination_text = variables.get(start + "destination")
        if gateway_text is None and destination_text is None:
            return found
        if destination_text is None:
            raise NetconfError("missing destination key")
        if gateway_text is None:
            raise NetconfError("missing gateway key")
        gateway = ip.parse(gateway_text)
        if gateway is None:
            raise NetconfError(f"invalid gateway: {gotext.quote(gateway_text)}")
        destination = ip.parse_cidr(destination_text)
        if destination is None:
            raise NetconfError(f"invalid CIDR address: {destination_text}")
        found.append(Route(destination[1], gateway))


def _mac(variables: Mapping[str, str], prefix: str) -> str:
    text = variables.get(prefix + "mac")
    if text is None:
        return ""
    mac = ip.parse_mac(text)
    if mac is None:
        reason = f"address {text}: invalid MAC address" if text else "invalid MAC address"
        raise NetconfError(f"error while parsing MAC address: {reason}")
    return mac
