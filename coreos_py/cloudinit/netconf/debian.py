"""Debian's /etc/network/interfaces, as config drives carry it. Pure.

Mirrors network/{debian,stanza}.go of coreos-cloudinit 1.13.0: what is not understood in an option
is left out, what is not understood in a stanza's first line is an error.
"""

from __future__ import annotations

import itertools
import re
from typing import NamedTuple

from coreos_py.cloudinit import gotext, ip
from coreos_py.cloudinit.ip import Net, Route
from coreos_py.cloudinit.netconf.interfaces import (
    BOND,
    DHCP,
    LOOPBACK,
    MANUAL,
    PHYSICAL,
    STATIC,
    VLAN,
    Child,
    Interface,
    Method,
    NetconfError,
)

Options = dict[str, list[str]]

_STARTS = ("auto", "iface", "mapping")
_REPEATED = ("post-up", "pre-down")
_BOND_OPTIONS = ("mode", "miimon", "lacp-rate")
_DEFAULT_ROUTE = Net(ip.parse("0.0.0.0"), bytes(4))
_NUMBER = re.compile(r"[-+]?[0-9]{1,18}")


class Stanza(NamedTuple):
    """An iface stanza."""

    name: str
    kind: str
    method: Method
    options: Options
    vlan_id: int = 0


def parse(data: bytes) -> list[Stanza]:
    """The iface stanzas of a file; NetconfError."""
    stanzas: list[list[str]] = []
    for line in _lines(data.decode("utf-8", "surrogateescape")):
        if line.split(" ", 1)[0] in _STARTS or line.startswith("allow-"):
            stanzas.append([line])
        elif stanzas:
            stanzas[-1].append(line)
        else:
            raise NetconfError(f"missing stanza start {gotext.quote(line)}")
    found = (_stanza(lines) for lines in stanzas)
    return [stanza for stanza in found if stanza is not None]


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.replace("\\\n", "").split("\n"))
    return [line for line in lines if line and not line.startswith("#")]


def _stanza(lines: list[str]) -> Stanza | None:
    words = lines[0].split()
    if len(words) < 2:
        raise NetconfError(f"malformed stanza start {gotext.quote(lines[0])}")
    if words[0] == "auto":
        return None
    if words[0] != "iface":
        raise NetconfError(f"unknown stanza {gotext.quote(words[0])}")
    if len(words) != 4:
        raise NetconfError("incorrect number of attributes")
    name = words[1]
    options = _options(lines[1:])
    method = _method(words[3], options, name)
    if "vlan_raw_device" in options or "." in name:
        return Stanza(name, VLAN, method, options, _vlan_id(name))
    kind = BOND if "bond-slaves" in options else PHYSICAL
    return Stanza(name, kind, method, options)


def _options(lines: list[str]) -> Options:
    found: Options = {}
    for line in lines:
        repeated = next((word for word in _REPEATED if line.startswith(word)), "")
        if repeated:
            _, blank, rest = line.partition(" ")
            if blank:
                found.setdefault(repeated, []).append(rest)
        else:
            words = line.split()
            found[words[0]] = words[1:]
    return found


def _vlan_id(name: str) -> int:
    text = name.rpartition(".")[2] if "." in name else name.removeprefix("vlan")
    if ("." not in name and not name.startswith("vlan")) or not _NUMBER.fullmatch(text):
        raise NetconfError(f"malformed vlan name {gotext.quote(name)}")
    return int(text)


def _method(word: str, options: Options, name: str) -> Method:
    if word == STATIC:
        return _static(options, name)
    if word == DHCP:
        return Method(DHCP, mac=_mac(options, name))
    if word in (MANUAL, LOOPBACK):
        return Method(word)
    raise NetconfError(f"invalid config method {gotext.quote(word)}")


def _static(options: Options, name: str) -> Method:
    address = ip.parse(_only(options, "address"))
    mask = ip.to4(ip.parse(_only(options, "netmask")))
    if address is None or mask is None:
        raise NetconfError(f"malformed static network config for {gotext.quote(name)}")
    routes = []
    if len(options.get("gateway", ())) == 1:
        routes.append(Route(_DEFAULT_ROUTE, ip.parse(options["gateway"][0])))
    mac = _mac(options, name)
    for command in options.get("post-up", ()):
        route = _route(command)
        if route is not None:
            routes.append(route)
    return Method(
        STATIC,
        addresses=(Net(address, mask),),
        nameservers=tuple(map(ip.parse, options.get("dns-nameservers", ()))),
        routes=tuple(routes),
        mac=mac,
    )


def _only(options: Options, name: str) -> str:
    """An option's value if it is one word."""
    words = options.get(name, [])
    return words[0] if len(words) == 1 else ""


def _mac(options: Options, name: str) -> str:
    words = options.get("hwaddress", [])
    if len(words) != 2 or words[0] != "ether":
        return ""
    mac = ip.parse_mac(words[1])
    if mac is None:
        raise NetconfError(f"malformed hwaddress option for {gotext.quote(name)}")
    return mac


def _route(command: str) -> Route | None:
    """`route add -net NET [netmask MASK] gw ADDRESS`; None for all other commands."""
    if not command.startswith("route add"):
        return None
    address = mask = gateway = None
    words = command.split()
    for word, value in itertools.pairwise(words):
        if word == "-net":
            network = ip.parse_cidr(value)
            if network is not None:
                address, mask = network[1]
            else:
                address = ip.parse(value)
        elif word == "netmask":
            mask = ip.to4(ip.parse(value))
        elif word == "gw":
            gateway = ip.parse(value)
    if address is None or mask is None or gateway is None:
        return None
    return Route(Net(address, mask), gateway)


# -- from stanzas to interfaces


def build(stanzas: list[Stanza]) -> list[Interface]:
    """The interfaces, by name; NetconfError."""
    found: dict[str, Interface] = {}
    above: dict[str, list[str]] = {}  # an interface to the ones it is built on
    for stanza in stanzas:
        if stanza.kind == PHYSICAL and stanza.method.kind == LOOPBACK:
            continue
        below = _below(stanza)
        for name in below:
            found.setdefault(name, Interface(name, PHYSICAL, Method(MANUAL)))
        found[stanza.name] = _interface(stanza)
        above[stanza.name] = below
    children: dict[str, list[Child]] = {name: [] for name in found}
    for name in sorted(found):
        for parent in above.get(name, ()):
            if found[parent].kind != VLAN:
                children[parent].append(Child(name, found[name].kind))
    depths = _depths(children)
    return [
        found[name]._replace(children=tuple(children[name]), depth=depths[name])
        for name in sorted(found)
    ]


def _below(stanza: Stanza) -> list[str]:
    """The interfaces that this one is built on."""
    if stanza.kind == BOND:
        return stanza.options["bond-slaves"]
    if stanza.kind == VLAN:
        device = stanza.options.get("vlan_raw_device", [])
        return device if len(device) == 1 else []
    return []


def _interface(stanza: Stanza) -> Interface:
    words = _BOND_OPTIONS if stanza.kind == BOND else ()
    options = [(word, stanza.options.get(f"bond-{word}", [])) for word in words]
    return Interface(
        stanza.name,
        stanza.kind,
        stanza.method,
        options=tuple((word, values[0]) for word, values in options if values),
        vlan_id=stanza.vlan_id,
    )


def _depths(children: dict[str, list[Child]]) -> dict[str, int]:
    """How deep the tree on top of each interface is; what only hangs on itself stays at 0."""
    depths = dict.fromkeys(children, 0)
    names = {child.name for items in children.values() for child in items}

    def measure(name: str, path: tuple[str, ...]) -> int:
        if name in path:
            raise NetconfError(f"interface {gotext.quote(name)} is built on itself")
        deepest = [measure(child.name, (*path, name)) for child in children[name]]
        depths[name] = max(deepest, default=0)
        return depths[name] + 1

    for name in sorted(set(children) - names):
        measure(name, ())
    return depths
