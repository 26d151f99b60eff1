"""The four variables that are replaced everywhere in user-data. Pure.

Mirrors initialize/env.go of coreos-cloudinit 1.13.0, with its two passes per variable: of two that
touch, only the first is replaced, and one backslash in front makes it plain text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from coreos_py.cloudinit import ip

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coreos_py.cloudinit.metadata import Metadata

# The environment's names for the addresses, in the order in which they are replaced.
VARIABLES = {
    "COREOS_PUBLIC_IPV4": "$public_ipv4",
    "COREOS_PRIVATE_IPV4": "$private_ipv4",
    "COREOS_PUBLIC_IPV6": "$public_ipv6",
    "COREOS_PRIVATE_IPV6": "$private_ipv6",
}


def addresses(metadata: Metadata, environment: Mapping[str, str]) -> dict[str, str]:
    """The value of each variable: the source's, or else the environment's, or else ""."""
    known = {
        "COREOS_PUBLIC_IPV4": metadata.public_ipv4,
        "COREOS_PRIVATE_IPV4": metadata.private_ipv4,
        "COREOS_PUBLIC_IPV6": metadata.public_ipv6,
        "COREOS_PRIVATE_IPV6": metadata.private_ipv6,
    }
    return {
        name: environment.get(name, "") if address is None else ip.text(address)
        for name, address in known.items()
    }


def apply(data: bytes, values: Mapping[str, str]) -> bytes:
    """The user-data with every variable replaced."""
    for name, token_text in VARIABLES.items():
        token = token_text.encode()
        if token not in data:
            continue
        value = values[name].encode("utf-8", "surrogateescape")
        plain = rb"([^\\]|\A)" + re.escape(token)
        data = re.sub(plain, rb"\g<1>" + value.replace(b"\\", rb"\\"), data)
        data = data.replace(b"\\" + token, token)
    return data
