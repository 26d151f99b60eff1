"""Sources on this machine's disks: a file, a config drive, Azure's agent.

Mirrors datasource/{file,configdrive,waagent} of coreos-cloudinit 1.13.0.
"""

from __future__ import annotations

import os
import posixpath
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from coreos_py.cloudinit import ip
from coreos_py.cloudinit.metadata import Metadata, MetadataError
from coreos_py.cloudinit.sources import gojson
from coreos_py.cloudinit.sources.source import NoMetadata, read_file, read_if_there

if TYPE_CHECKING:
    from coreos_py.cloudinit.log import Log

# net.SplitHostPort: an address with colons needs brackets, and there are no others.
_HOST_PORT = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:]*)):[^\[\]:]*")


class LocalFile(NoMetadata):
    """One file of user-data."""

    type = "local-file"
    may_appear = True

    def __init__(self, path: str) -> None:
        self._path = path

    def is_available(self) -> bool:
        return _is_there(self._path)

    def user_data(self) -> bytes:
        return read_file(self._path)


class ConfigDrive:
    """OpenStack's directory tree."""

    type = "cloud-drive"
    may_appear = True

    def __init__(self, root: str, log: Log) -> None:
        self._root = root
        self._openstack = posixpath.join(root, "openstack")
        self._log = log

    def is_available(self) -> bool:
        return _is_there(self._root)

    def user_data(self) -> bytes:
        return read_if_there(f"{self._openstack}/latest/user_data", self._log)

    def metadata(self) -> Metadata:
        data = read_if_there(f"{self._openstack}/latest/meta_data.json", self._log)
        if not data:
            return Metadata()
        found = gojson.parse(data)
        keys = found.object("public_keys", go_type="map[string]string").strings()
        network: bytes | None = None
        path = found.object("network_config").text("content_path")
        if path:
            path = posixpath.normpath(f"{self._openstack}/{path}")
            network = read_if_there(path, self._log)
        return Metadata(
            hostname=found.text("hostname"),
            ssh_keys=tuple(keys.values()),
            network=network,
        )


class Waagent:
    """What Azure's agent left."""

    type = "waagent"
    may_appear = True

    def __init__(self, root: str, log: Log) -> None:
        self._root = root
        self._log = log

    def is_available(self) -> bool:
        return _is_there(posixpath.join(self._root, "provisioned"))

    def user_data(self) -> bytes:
        return read_if_there(posixpath.join(self._root, "CustomData"), self._log)

    def metadata(self) -> Metadata:
        data = read_if_there(posixpath.join(self._root, "SharedConfig.xml"), self._log)
        return shared_config(data) if data else Metadata()


def shared_config(data: bytes) -> Metadata:
    """The addresses in Azure's SharedConfig.xml, whatever its namespace; MetadataError."""
    try:
        top = ET.fromstring(data)
    except (ET.ParseError, ValueError, LookupError) as error:
        raise MetadataError(f"XML syntax error: {error}") from None
    incarnation = top.find("{*}Incarnation")
    wanted = incarnation.get("instance", "") if incarnation is not None else ""
    for instance in top.iterfind("{*}Instances/{*}Instance"):
        if instance.get("id", "") == wanted:
            break
    else:
        return Metadata()
    public = None
    for endpoint in instance.iterfind("{*}InputEndpoints/{*}Endpoint"):
        found = _HOST_PORT.fullmatch(endpoint.get("loadBalancedPublicAddress", ""))
        if found:
            public = ip.parse(found[1] or found[2] or "")
            break
    return Metadata(public_ipv4=public, private_ipv4=ip.parse(instance.get("address", "")))


def _is_there(path: str) -> bool:
    """False only when it is missing; what cannot be read fails later, with a reason."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True
    return True
