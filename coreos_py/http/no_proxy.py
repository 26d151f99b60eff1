"""Which hosts need no proxy: one reading of what NO_PROXY, curl and Go understand. Pure."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def needs_none(host: str, exceptions: Iterable[str]) -> bool:
    """Whether one of the exceptions is this host, a domain that it is in, its network, or `*`."""
    return any(_covers(item.strip().lower(), host.lower()) for item in exceptions)


def _covers(item: str, host: str) -> bool:
    if item == "*":
        return True
    try:
        network = ip_network(item.strip("[]"), strict=False)
    except ValueError:
        name = item.partition(":")[0].lstrip(".")
        return name != "" and (host == name or host.endswith(f".{name}"))
    try:
        return ip_address(host) in network
    except ValueError:
        return False
