"""Sources of virtual machines' hosts: VMware's guestinfo, CloudSigma's server context.

Mirrors datasource/vmware and datasource/metadata/cloudsigma of coreos-cloudinit 1.13.0. Upstream
speaks to VMware's backdoor itself; here vmtoolsd does.
"""

from __future__ import annotations

import os
import re
import subprocess
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from coreos_py.cloudinit import gotext, ip
from coreos_py.cloudinit.config import to_bytes
from coreos_py.cloudinit.encoding import EncodingError, decode_content
from coreos_py.cloudinit.metadata import Metadata, MetadataError
from coreos_py.cloudinit.sources import gojson, serial_port
from coreos_py.cloudinit.sources.source import SourceError, read_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.cloudinit.fetch import Client
    from coreos_py.cloudinit.log import Log

    Read = Callable[[str], str]

DMI = "/sys/class/dmi/id"
LEASES = "/run/systemd/netif/leases"
_GUESTINFO = "guestinfo."
_VMTOOLSD_TIMEOUT_S = 30
_USER_DATA_FIELD = "cloudinit-user-data"
# Everything is counted upwards until a number is missing; a host that answers all of them lies.
_NUMBERS_MAX = 256
_QUOTED = re.compile(rb"\"[^\"<]*\"|'[^'<]*'")


class VMware:
    """guestinfo variables, from the host or from an OVF document."""

    type = "vmware"
    may_appear = False

    def __init__(self, read: Read, client: Client, *, is_available: Callable[[], bool]) -> None:
        self._read = read
        self._client = client
        self.is_available = is_available

    def user_data(self) -> bytes:
        encoding = self._read("coreos.config.data.encoding")
        data = to_bytes(self._read("coreos.config.data"))
        if not data and (url := self._read("coreos.config.url")):
            data = self._client.get_retry(url)
        if not encoding:
            return data
        try:
            return decode_content(data, encoding)
        except EncodingError as error:
            raise SourceError(str(error)) from None

    def metadata(self) -> Metadata:
        return guestinfo(self._read)


def guestinfo(read: Read) -> Metadata:
    """What guestinfo variables tell; MetadataError."""
    network: dict[str, str] = {}

    def keep(key: str) -> str:
        value = read(key)
        if value:
            network[key] = value
        return value

    for form in ("dns.server.{}", "dns.domain.{}"):
        next((True for number in range(_NUMBERS_MAX) if not keep(form.format(number))), None)
    addresses: dict[str, bytes | None] = {}
    for number in range(_NUMBERS_MAX):
        if not _guest_interface(f"interface.{number}.", read, keep, addresses):
            break
    return Metadata(
        public_ipv4=addresses.get("public_ipv4"),
        private_ipv4=addresses.get("private_ipv4"),
        public_ipv6=addresses.get("public_ipv6"),
        private_ipv6=addresses.get("private_ipv6"),
        hostname=read("hostname"),
        network=network,
    )


def _guest_interface(
    prefix: str, read: Read, keep: Read, addresses: dict[str, bytes | None]
) -> bool:
    """Keep what there is about one interface; False when there is nothing."""
    found = [bool(keep(prefix + name)) for name in ("name", "mac", "dhcp")]
    role = read(prefix + "role")
    for number in range(_NUMBERS_MAX):
        text = keep(f"{prefix}ip.{number}.address")
        if not text:
            break
        found.append(True)
        parsed = ip.parse_cidr(text)
        if parsed is None:
            raise MetadataError(f"invalid CIDR address: {text}")
        if role not in ("", "public", "private"):
            raise MetadataError(f"unrecognized role: {gotext.quote(role)}")
        if role:
            family = "ipv4" if ip.to4(parsed[0]) else "ipv6"
            addresses[f"{role}_{family}"] = parsed[0]
    for number in range(_NUMBERS_MAX):
        route = f"{prefix}route.{number}."
        texts = [keep(route + "gateway"), keep(route + "destination")]
        if not any(texts):
            break
        found.append(True)
    return any(found)


def vmware_from_file(path: str, client: Client, log: Log) -> VMware:
    """The variables in an OVF document; SourceError when it is none."""
    log(f"Using OVF environment from {path}")
    try:
        data = read_file(path)
    except SourceError:
        data = b""
    return VMware(_ovf_reader(data), client, is_available=lambda: os.path.exists(path))


def vmware_from_host(client: Client, log: Log, *, dmi: str = DMI) -> VMware:
    """The variables that the host keeps for this machine."""
    read = _host_reader(log)
    document = read("ovfenv")
    if document:
        log("Using OVF environment from guestinfo")
        read = _ovf_reader(to_bytes(document))
    else:
        log("Using guestinfo variables")
    return VMware(read, client, is_available=lambda: _dmi(dmi, "sys_vendor").startswith("VMware"))


def _ovf_reader(data: bytes) -> Read:
    properties = ovf_properties(data) if data else {}
    return lambda key: properties.get(_GUESTINFO + key, "")


def ovf_properties(data: bytes) -> dict[str, str]:
    """The properties of an OVF environment, whatever its namespaces; SourceError.

    A property may be a whole cloud-config: as for Go, and against the rules of XML, its lines stay.
    """
    try:
        top = ET.fromstring(_QUOTED.sub(_with_lines, data))
    except (ET.ParseError, ValueError, LookupError) as error:
        raise SourceError(f"XML syntax error: {error}") from None
    found = {}
    for item in top.iterfind("{*}PropertySection/{*}Property"):
        local = {name.rpartition("}")[2]: value for name, value in item.attrib.items()}
        found[local.get("key", "")] = local.get("value", "")
    return found


def _with_lines(quoted: re.Match[bytes]) -> bytes:
    value = quoted.group().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return value.replace(b"\n", b"&#10;").replace(b"\t", b"&#9;")


def _host_reader(log: Log) -> Read:
    def read(key: str) -> str:
        argv = ["vmtoolsd", "--cmd", f"info-get {_GUESTINFO}{key}"]
        try:
            done = subprocess.run(
                argv,
                capture_output=True,
                check=False,
                timeout=_VMTOOLSD_TIMEOUT_S,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            log(f"Failed to read from {gotext.quote(key)}: {error}")
            return ""
        text = done.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")
        return text if done.returncode == 0 else ""

    return read


class CloudSigma:
    """The server context behind the second serial port."""

    type = "server-context"
    may_appear = True

    def __init__(
        self, *, port: str = serial_port.PORT, dmi: str = DMI, leases: str = LEASES
    ) -> None:
        self._port = port
        self._dmi = dmi
        self._leases = leases

    def is_available(self) -> bool:
        try:
            has_leases = bool(os.listdir(self._leases))
        except OSError:
            return False
        return has_leases and _dmi(self._dmi, "product_name").startswith("CloudSigma")

    def user_data(self) -> bytes:
        fields = gojson.parse(serial_port.ask("/meta/", port=self._port)).strings()
        data = to_bytes(fields.get(_USER_DATA_FIELD, ""))
        if _USER_DATA_FIELD not in fields.get("base64_fields", "").split(","):
            return data
        try:
            return gotext.base64_bytes(data)
        except ValueError:
            return b""

    def metadata(self) -> Metadata:
        return server_context(serial_port.ask("", port=self._port))


def server_context(data: bytes) -> Metadata:
    """What CloudSigma's context tells; MetadataError."""
    found = gojson.parse(data)
    key = found.object("meta").strings().get("ssh_public_key", "")
    public = private = None
    for nic in found.objects("nics"):
        address = nic.object("ip_v4_conf").object("ip").text("uuid")
        if address:
            public = ip.parse(address)
        if nic.object("vlan").text("uuid"):
            private = _local_address(nic.text("mac")) or private
    return Metadata(
        hostname=found.text("name") or found.text("uuid"),
        ssh_keys=(key,) if key else (),
        public_ipv4=public,
        private_ipv4=private,
    )


def _local_address(mac: str) -> bytes | None:
    """The first IPv4 address of the interface with this MAC."""
    wanted = ip.parse_mac(mac)
    if wanted is None:
        return None
    for name in sorted(os.listdir("/sys/class/net")):
        try:
            with open(f"/sys/class/net/{name}/address", encoding="ascii") as file:
                if file.read().strip() != wanted:
                    continue
        except OSError:
            continue
        address = serial_port.interface_ipv4(name)
        if address:
            return ip.parse(address)
    return None


def _dmi(directory: str, name: str) -> str:
    try:
        with open(f"{directory}/{name}", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
