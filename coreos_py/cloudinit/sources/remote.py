"""Sources behind HTTP: a URL, the kernel's command line, the clouds' metadata services.

Mirrors datasource/{url,proc_cmdline} and datasource/metadata of coreos-cloudinit 1.13.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.cloudinit import gotext, ip
from coreos_py.cloudinit.fetch import Client, FetchError, NotFound
from coreos_py.cloudinit.metadata import Metadata, MetadataError
from coreos_py.cloudinit.netconf.packet import Block, Network
from coreos_py.cloudinit.sources import gojson
from coreos_py.cloudinit.sources.source import NoMetadata, SourceError, read_file

if TYPE_CHECKING:
    from coreos_py.cloudinit.log import Log
    from coreos_py.cloudinit.sources.gojson import Object

CMDLINE = "/proc/cmdline"
_CMDLINE_KEY = "cloud-config-url"
GCE_HEADERS = {"Metadata-Flavor": "Google"}


class Url(NoMetadata):
    """One URL of user-data."""

    type = "url"
    may_appear = True

    def __init__(self, url: str, client: Client) -> None:
        self._url = url
        self._client = client

    def is_available(self) -> bool:
        return _answers(self._client, self._url)

    def user_data(self) -> bytes:
        return self._client.get_retry(self._url)


class ProcCmdline(NoMetadata):
    """The URL that the kernel was started with."""

    type = "proc-cmdline"
    may_appear = False

    def __init__(self, client: Client, log: Log, *, path: str = CMDLINE) -> None:
        self._client = client
        self._log = log
        self._path = path

    def is_available(self) -> bool:
        try:
            return bool(self._find())
        except SourceError:
            return False

    def user_data(self) -> bytes:
        found = self._find()
        if not found:
            raise SourceError(f"{_CMDLINE_KEY} not found")
        return self._client.get_retry(found[0])

    def _find(self) -> list[str]:
        """No URL, or the last one, which may be empty."""
        words = read_file(self._path).decode("utf-8", "surrogateescape").strip().split(" ")
        found: list[str] = []
        for word in words:
            key, equals, value = word.partition("=")
            if key.replace("_", "-") != _CMDLINE_KEY:
                continue
            if equals:
                found = [value]
            else:
                self._log(f"Found {_CMDLINE_KEY} in {CMDLINE} with no value, ignoring.")
        return found


class MetadataService:
    """What the clouds' services share; paths are below `root`."""

    type = ""
    may_appear = True
    probe_path = ""
    user_data_path = ""

    def __init__(self, root: str, client: Client, log: Log) -> None:
        self._root = root if root.endswith("/") else root + "/"
        self._client = client
        self._log = log

    def is_available(self) -> bool:
        return _answers(self._client, self._root + self.probe_path)

    def user_data(self) -> bytes:
        return self.fetch(self.user_data_path)

    def fetch(self, path: str) -> bytes:
        """What is there, empty when nothing is; FetchError."""
        try:
            return self._client.get_retry(self._root + path)
        except NotFound:
            return b""


class Ec2(MetadataService):
    type = "ec2-metadata-service"
    probe_path = "2009-04-04/"
    user_data_path = "2009-04-04/user-data"
    _PATH = "2009-04-04/meta-data/"

    def metadata(self) -> Metadata:
        ids: dict[str, str] = {}
        for line in self._lines("public-keys"):
            key_id, equals, name = line.partition("=")
            if not equals:
                raise MetadataError(f"malformed public key: {gotext.quote(line)}")
            ids[name] = key_id
        keys = []
        for name, key_id in ids.items():
            keys.append(self._line(f"public-keys/{key_id}/openssh-key"))
            self._log(f"Found SSH key for {gotext.quote(name)}")
        return Metadata(
            hostname=self._line("hostname").split(" ", 1)[0],
            private_ipv4=ip.parse(self._line("local-ipv4")),
            public_ipv4=ip.parse(self._line("public-ipv4")),
            ssh_keys=tuple(keys),
        )

    def _lines(self, path: str) -> list[str]:
        text = self.fetch(self._PATH + path).decode("utf-8", "surrogateescape")
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()
        return [line.removesuffix("\r") for line in lines]

    def _line(self, path: str) -> str:
        return next(iter(self._lines(path)), "")


class DigitalOcean(MetadataService):
    type = "digitalocean-metadata-service"
    probe_path = "metadata/v1"
    user_data_path = "metadata/v1/user-data"

    def metadata(self) -> Metadata:
        data = self.fetch("metadata/v1.json")
        if not data:
            return Metadata()
        found = gojson.parse(data)
        interfaces = found.object("interfaces")
        public = next(iter(interfaces.objects("public")), None)
        private = next(iter(interfaces.objects("private")), None)
        return Metadata(
            public_ipv4=_address(public, "ipv4"),
            public_ipv6=_address(public, "ipv6"),
            private_ipv4=_address(private, "ipv4"),
            private_ipv6=_address(private, "ipv6"),
            hostname=found.text("hostname"),
            ssh_keys=tuple(found.texts("public_keys") or ()),
        )


def _address(interface: Object | None, family: str) -> bytes | None:
    found = interface.optional(family) if interface is not None else None
    return ip.parse(found.text("ip_address")) if found is not None else None


class Gce(MetadataService):
    type = "gce-metadata-service"
    probe_path = "computeMetadata/v1/"
    user_data_path = "computeMetadata/v1/instance/attributes/user-data"
    _PATH = "computeMetadata/v1/instance/"

    def metadata(self) -> Metadata:
        return Metadata(
            public_ipv4=self._ip("network-interfaces/0/access-configs/0/external-ip"),
            private_ipv4=self._ip("network-interfaces/0/ip"),
            hostname=self._text("hostname"),
        )

    def _text(self, path: str) -> str:
        return self.fetch(self._PATH + path).decode("utf-8", "surrogateescape")

    def _ip(self, path: str) -> bytes | None:
        text = self._text(path)
        address = ip.parse(text)
        if text and address is None:
            raise MetadataError(f"couldn't parse {gotext.quote(text)} as IP address")
        return address


class Packet(MetadataService):
    type = "packet-metadata-service"
    probe_path = ""
    user_data_path = "userdata"

    def metadata(self) -> Metadata:
        data = self.fetch("metadata")
        if not data:
            return Metadata()
        found = gojson.parse(data)
        network = packet_network(found.object("network"))
        addresses: dict[str, bytes | None] = {}
        for block in network.blocks:
            name = "public_ipv6"
            if block.family == 4:
                name = "public_ipv4" if block.is_public else "private_ipv4"
            addresses[name] = block.address
        return Metadata(
            hostname=found.text("hostname"),
            ssh_keys=tuple(found.texts("ssh_keys") or ()),
            network=network,
            **addresses,
        )


def packet_network(found: Object) -> Network:
    """The network part of Packet's metadata; MetadataError."""
    blocks = [
        Block(
            _packet_ip(item.text("address")),
            _packet_ip(item.text("netmask")),
            _packet_ip(item.text("gateway")),
            item.number("address_family"),
            item.flag("public"),
        )
        for item in found.objects("addresses")
    ]
    nics = [(item.text("name"), item.text("mac")) for item in found.objects("interfaces")]
    dns = found.texts("dns")
    servers = None if dns is None else tuple(map(_packet_ip, dns))
    return Network(tuple(nics), tuple(blocks), servers)


def _packet_ip(text: str) -> bytes | None:
    address = ip.parse(text)
    if text and address is None:
        raise MetadataError(f"invalid IP address: {text}")
    return address


def _answers(client: Client, url: str) -> bool:
    try:
        client.get(url)
    except FetchError:
        return False
    return True
