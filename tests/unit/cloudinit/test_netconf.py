"""Network configurations as networkd units, against recordings of coreos-cloudinit 1.13.0."""

from __future__ import annotations

import json

import pytest

from coreos_py.cloudinit import ip
from coreos_py.cloudinit.netconf import debian, packet, vmware
from coreos_py.cloudinit.netconf.interfaces import NetconfError
from coreos_py.cloudinit.sources import gojson
from coreos_py.cloudinit.sources.remote import packet_network
from tests.unit.cloudinit import recorded

CASES = recorded.load("netconf.json")


def convert(form, text):
    if form == "debian":
        return debian.build(debian.parse(text.encode()))
    if form == "packet":
        return packet.convert(packet_network(gojson.parse(text.encode())))
    return vmware.convert(json.loads(text))


def outcome(form, text):
    try:
        found = convert(form, text)
    except NetconfError as error:
        return {"error": str(error)}
    rows = [
        [
            item.name,
            item.file_name(),
            item.kind,
            item.modprobe_options(),
            item.netdev(),
            item.network(),
        ]
        for item in found
    ]
    return {"interfaces": rows}


def test_everything_recorded():
    assert {case["format"] for case in CASES} == {"debian", "packet", "vmware"}
    wrong = []
    for case in CASES:
        found = outcome(case["format"], case["text"])
        if found != {key: case[key] for key in ("error", "interfaces") if key in case}:
            wrong.append((case, found))
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "length"),
    [("1.2.3.4/08", 8), ("1.2.3.4/000", 0), ("::1/0064", 64), ("1.2.3.4/33", None), ("1::/", None)],
)
def test_lengths_of_masks(text, length):
    found = ip.parse_cidr(text)
    assert (str(found[1]).rpartition("/")[2] if found else None) == (
        None if length is None else str(length)
    )


def test_packet_without_an_interface():
    with pytest.raises(NetconfError, match="no network interfaces"):
        convert("packet", "{}")


def test_interfaces_built_on_each_other():
    text = (
        "iface eth0 inet manual\n"
        "iface bond0 inet manual\nbond-slaves eth0 bond1\n"
        "iface bond1 inet manual\nbond-slaves bond0\n"
    )
    assert outcome("debian", text) == {"error": 'interface "bond0" is built on itself'}
