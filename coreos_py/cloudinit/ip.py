"""Addresses as Go's net package reads and prints them. Pure.

An address is 16 bytes, IPv4 as ::ffff:a.b.c.d; None is Go's nil, which prints as `<nil>`.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

_MAPPED = bytes(10) + b"\xff\xff"
_MAC_FORMS = (
    re.compile(r"[0-9a-f]{2}(?:[:-][0-9a-f]{2})+", re.IGNORECASE),
    re.compile(r"[0-9a-f]{4}(?:\.[0-9a-f]{4})+", re.IGNORECASE),
)
_MAC_BYTES = (6, 8, 20)


class Net(NamedTuple):
    """An address with a mask of 4 or 16 bytes, either of which may be missing."""

    address: bytes | None
    mask: bytes | None

    def __str__(self) -> str:
        address = to4(self.address) or self.address
        mask = self.mask
        if address is None or mask is None:
            return "<nil>"
        if len(mask) == 16 and len(address) == 4:
            mask = mask[12:]
        if len(mask) != len(address):
            return "<nil>"
        length = _ones(mask)
        return f"{text(self.address)}/{mask.hex() if length is None else length}"


class Route(NamedTuple):
    """A way to a network."""

    destination: Net
    gateway: bytes | None


def parse(written: str) -> bytes | None:
    """net.ParseIP."""
    if "%" in written:
        return None
    try:
        found = ipaddress.ip_address(written)
    except ValueError:
        return None
    return _MAPPED + found.packed if found.version == 4 else found.packed


def to4(address: bytes | None) -> bytes | None:
    """The four bytes of an IPv4 address, None for all others."""
    if address is None or not address.startswith(_MAPPED):
        return None
    return address[12:]


def text(address: bytes | None) -> str:
    """IP.String."""
    if address is None:
        return "<nil>"
    return str(ipaddress.ip_address(to4(address) or address))


def parse_cidr(written: str) -> tuple[bytes, Net] | None:
    """net.ParseCIDR: the address, and its network."""
    before, slash, after = written.partition("/")
    address = parse(before)
    if address is None or not slash or not re.fullmatch("0*[0-9]{1,3}", after):
        return None
    short = to4(address) if ":" not in before else None
    bits = 32 if short else 128
    length = int(after)
    if length > bits:
        return None
    mask = (((1 << length) - 1) << (bits - length)).to_bytes(bits // 8, "big")
    host = short or address
    network = bytes(octet & cover for octet, cover in zip(host, mask, strict=True))
    return address, Net(_MAPPED + network if short else network, mask)


def parse_mac(written: str) -> str | None:
    """net.ParseMAC, in the form in which Go prints it."""
    separators = {char for char in written if char in ":-."}
    if len(separators) != 1 or not any(form.fullmatch(written) for form in _MAC_FORMS):
        return None
    data = bytes.fromhex(written.translate({ord(char): None for char in ":-."}))
    return data.hex(":") if len(data) in _MAC_BYTES else None


def _ones(mask: bytes) -> int | None:
    """How many bits lead a mask, None when others follow a zero."""
    bits = f"{int.from_bytes(mask, 'big'):0{8 * len(mask)}b}"
    ones = bits.rstrip("0")
    return None if "0" in ones else len(ones)
