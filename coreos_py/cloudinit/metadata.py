"""What a data source knows about the machine besides its user-data. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from coreos_py.cloudinit.netconf.packet import Network


class MetadataError(Exception):
    """The source's metadata makes no sense."""


class Metadata(NamedTuple):
    """Addresses are ip.py's; `network` is what the network converter of that source takes."""

    public_ipv4: bytes | None = None
    private_ipv4: bytes | None = None
    public_ipv6: bytes | None = None
    private_ipv6: bytes | None = None
    hostname: str = ""
    ssh_keys: tuple[str, ...] = ()
    network: bytes | Network | dict[str, str] | None = None
