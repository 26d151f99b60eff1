"""Data sources, the choice among them, and the client behind the remote ones."""

from __future__ import annotations

import json
import threading

import pytest

from coreos_py.cloudinit import fetch, ip
from coreos_py.cloudinit.fetch import Client, FetchError, NotFound, Unreachable
from coreos_py.cloudinit.metadata import MetadataError
from coreos_py.cloudinit.sources import gojson, guest, local, remote, source
from coreos_py.cloudinit.sources.source import SourceError, select
from tests.support.httpd import Httpd

DATA = b"#cloud-config\n"


def client(log=None, **options):
    return Client((log if log is not None else []).append, pause=lambda _: None, **options)


def shown(metadata):
    """The parts of metadata that are set, addresses as text."""
    found = metadata._asdict()
    return {
        key: ip.text(value) if isinstance(value, bytes) and "ipv" in key else value
        for key, value in found.items()
        if value
    }


# The choice


class Scripted:
    """A source that is there from the given look on."""

    def __init__(self, name, *, at, may_appear=True):
        self.type = name
        self.may_appear = may_appear
        self._at = at
        self.looks = 0

    def is_available(self):
        self.looks += 1
        return self._at is not None and self.looks >= self._at


def test_the_first_that_appears_is_chosen():
    log = []
    late = Scripted("late", at=2)
    assert select([Scripted("never", at=None, may_appear=False), late], log.append) is late
    assert sorted(log) == [
        'Checking availability of "late"',
        'Checking availability of "late"',
        'Checking availability of "never"',
    ]


def test_none_is_chosen_when_all_give_up():
    sources = [Scripted(name, at=None, may_appear=False) for name in "ab"]
    assert select(sources, [].append) is None
    assert [item.looks for item in sources] == [1, 1]


def test_none_is_chosen_when_time_is_over():
    assert select([Scripted("a", at=None)], [].append, timeout_s=0.01) is None


def test_a_source_that_hangs_holds_nobody_up():
    hang = threading.Event()

    class Hanging(Scripted):
        def is_available(self):
            return hang.wait()

    good = Scripted("good", at=1)
    assert select([Hanging("hangs", at=1), good], [].append) is good
    hang.set()


# On disk


def test_local_file(tmp_path):
    path = tmp_path / "user-data"
    found = local.LocalFile(str(path))
    assert not found.is_available()
    path.write_bytes(DATA)
    assert found.is_available()
    assert found.user_data() == DATA
    assert shown(found.metadata()) == {}
    with pytest.raises(SourceError, match=f"read {tmp_path}: is a directory|open {tmp_path}"):
        local.LocalFile(str(tmp_path)).user_data()
    assert local.LocalFile(f"{path}/x").is_available()
    with pytest.raises(SourceError, match="not a directory"):
        local.LocalFile(f"{path}/x").user_data()


def test_a_file_that_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "FILE_BYTES_MAX", 10)
    (tmp_path / "f").write_bytes(bytes(11))
    with pytest.raises(SourceError, match="more than"):
        local.LocalFile(str(tmp_path / "f")).user_data()


def drive(tmp_path, meta=None, **files):
    latest = tmp_path / "openstack/latest"
    latest.mkdir(parents=True, exist_ok=True)
    if meta is not None:
        (latest / "meta_data.json").write_text(meta if isinstance(meta, str) else json.dumps(meta))
    for name, data in files.items():
        (latest / name).write_bytes(data)
    return local.ConfigDrive(str(tmp_path), [].append)


def test_config_drive(tmp_path):
    content = tmp_path / "openstack/content"
    content.mkdir(parents=True)
    (content / "0000").write_bytes(b"iface lo inet loopback\n")
    meta = {
        "hostname": "h",
        "public_keys": {"b": "k1", "a": "k2"},
        "network_config": {"content_path": "/content/0000"},
        "uuid": "x",
    }
    found = drive(tmp_path, meta, user_data=DATA)
    assert found.is_available()
    assert found.user_data() == DATA
    assert shown(found.metadata()) == {
        "hostname": "h",
        "ssh_keys": ("k1", "k2"),
        "network": b"iface lo inet loopback\n",
    }


def test_an_empty_config_drive(tmp_path):
    found = drive(tmp_path)
    assert found.user_data() == b""
    assert shown(found.metadata()) == {}
    assert shown(drive(tmp_path, "").metadata()) == {}
    assert shown(drive(tmp_path, '{"hostname": null, "HOSTNAME": "h"}').metadata()) == {
        "hostname": "h"
    }
    assert drive(tmp_path, {"network_config": {"content_path": "gone"}}).metadata().network == b""


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ("{", r"^unexpected end of JSON input \(line 1, column 2\)$"),
        ("nope", r"^invalid character 'o' in literal null \(expecting 'u'\) \(line 1,"),
        ('{"hostname": "a"}\n x', r"^invalid character 'x' after top-level value \(line 2"),
        ("[]", "cannot unmarshal array into Go value"),
        ('{"hostname": 5}', "cannot unmarshal number into Go struct field hostname of type string"),
        ('{"public_keys": []}', r"array into .* public_keys of type map\[string\]string$"),
        ('{"public_keys": {"a": 1}}', "cannot unmarshal number"),
        ('{"hostname": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "exceeded max depth"),
    ],
)
def test_metadata_that_makes_no_sense(tmp_path, meta, message):
    with pytest.raises(MetadataError, match=message):
        drive(tmp_path, meta).metadata()


SHARED_CONFIG = b"""<SharedConfig><Incarnation instance="two"/><Instances>
<Instance id="one" address="10.0.0.1"/>
<Instance id="two" address="10.0.0.2"><InputEndpoints>
<Endpoint loadBalancedPublicAddress="nonsense"/>
<Endpoint loadBalancedPublicAddress="1.2.3.4:22"/>
<Endpoint loadBalancedPublicAddress="5.6.7.8:22"/>
</InputEndpoints></Instance></Instances></SharedConfig>"""


def test_waagent(tmp_path):
    found = local.Waagent(str(tmp_path), [].append)
    assert not found.is_available()
    (tmp_path / "provisioned").write_text("")
    assert found.is_available()
    assert (found.user_data(), shown(found.metadata())) == (b"", {})
    (tmp_path / "CustomData").write_bytes(DATA)
    (tmp_path / "SharedConfig.xml").write_bytes(SHARED_CONFIG)
    assert found.user_data() == DATA
    assert shown(found.metadata()) == {"public_ipv4": "1.2.3.4", "private_ipv4": "10.0.0.2"}
    named = SHARED_CONFIG.replace(b"<SharedConfig>", b'<SharedConfig xmlns="urn:azure">')
    assert local.shared_config(named) == found.metadata()
    (tmp_path / "SharedConfig.xml").write_bytes(b"<a>")
    with pytest.raises(MetadataError, match="XML syntax error"):
        found.metadata()


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.2.3.4:22", "1.2.3.4"),
        ("[2::1]:22", "2::1"),
        ("1.2.3.4:", "1.2.3.4"),
        ("1.2.3.4:a/b", "1.2.3.4"),
        ("name:22", None),
        ("2::1:22", "5.6.7.8"),
        ("[2::1]", "5.6.7.8"),
        ("1.2.3.4", "5.6.7.8"),
        ("1.2.3.4]:22", "5.6.7.8"),
        ("[1.2.3.4]x:22", "5.6.7.8"),
    ],
)
def test_which_endpoint_is_public(address, public):
    data = SHARED_CONFIG.replace(b"1.2.3.4:22", b"").replace(b"nonsense", address.encode())
    found = local.shared_config(data).public_ipv4
    assert (ip.text(found) if found else None) == public


# Over HTTP


def test_url():
    with Httpd({"/data": (200, DATA), "/moved": (302, b"", {"Location": "/data"})}) as server:
        for path in ("data", "moved"):
            found = remote.Url(f"{server.url}/{path}", client())
            assert found.is_available()
            assert found.user_data() == DATA
        gone = remote.Url(f"{server.url}/gone", client())
        assert not gone.is_available()
        with pytest.raises(NotFound, match=r"^Not found. HTTP status code: 404$"):
            gone.user_data()


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("quiet cloud-config-url=URL ro", "URL"),
        ("cloud_config_url=URL", "URL"),
        ("cloud-config-url=first cloud-config-url=URL cloud-config-url", "URL"),
        ("cloud-config-url", None),
        ("xcloud-config-url=URL", None),
        ("", None),
    ],
)
def test_kernel_command_line(tmp_path, line, url):
    with Httpd({"/c": (200, DATA)}) as server:
        path = tmp_path / "cmdline"
        path.write_text(line.replace("URL", f"{server.url}/c") + "\n")
        found = remote.ProcCmdline(client(), [].append, path=str(path))
        assert found.is_available() is (url is not None)
        if url is None:
            with pytest.raises(SourceError, match="cloud-config-url not found"):
                found.user_data()
        else:
            assert found.user_data() == DATA


def test_no_kernel_command_line(tmp_path):
    found = remote.ProcCmdline(client(), [].append, path=str(tmp_path / "none"))
    assert not found.is_available()
    assert not found.may_appear


def service(kind, routes):
    """A metadata service on a server of its own; close the server."""
    server = Httpd({path: (200, data) for path, data in routes.items()})
    return server, lambda: kind(server.url, client(), [].append)


EC2 = {
    "/2009-04-04/": b"",
    "/2009-04-04/user-data": DATA,
    "/2009-04-04/meta-data/public-keys": b"0=b\n1=a\r\n",
    "/2009-04-04/meta-data/public-keys/0/openssh-key": b"ssh-b\nmore",
    "/2009-04-04/meta-data/public-keys/1/openssh-key": b"ssh-a",
    "/2009-04-04/meta-data/hostname": b"host second third\n",
    "/2009-04-04/meta-data/local-ipv4": b"10.0.0.1",
    "/2009-04-04/meta-data/public-ipv4": b"nonsense",
}
DIGITALOCEAN = {
    "/metadata/v1": b"x",
    "/metadata/v1/user-data": DATA,
    "/metadata/v1.json": json.dumps(
        {
            "hostname": "h",
            "public_keys": ["k1", "k2"],
            "interfaces": {
                "public": [{"ipv4": {"ip_address": "1.2.3.4"}, "ipv6": {"ip_address": "2::1"}}],
                "private": [{"ipv4": {"ip_address": "10.0.0.1"}}, {"ipv4": {"ip_address": "x"}}],
            },
        }
    ).encode(),
}
GCE = {
    "/computeMetadata/v1/": b"",
    "/computeMetadata/v1/instance/attributes/user-data": DATA,
    "/computeMetadata/v1/instance/hostname": b"h.c.internal",
    "/computeMetadata/v1/instance/network-interfaces/0/ip": b"10.0.0.1",
    "/computeMetadata/v1/instance/network-interfaces/0/access-configs/0/external-ip": b"1.2.3.4",
}
PACKET = {
    "/": b"",
    "/userdata": DATA,
    "/metadata": json.dumps(
        {
            "hostname": "h",
            "ssh_keys": ["k"],
            "network": {
                "interfaces": [{"name": "e0", "mac": "00:11:22:33:44:55"}],
                "addresses": [
                    {"address": "1.2.3.4", "address_family": 4, "public": True},
                    {"address": "10.0.0.1", "address_family": 4, "public": False},
                    {"address": "2::1", "address_family": 6, "public": True},
                ],
            },
        }
    ).encode(),
}


@pytest.mark.parametrize(
    ("kind", "routes", "metadata"),
    [
        (
            remote.Ec2,
            EC2,
            {"hostname": "host", "ssh_keys": ("ssh-b", "ssh-a"), "private_ipv4": "10.0.0.1"},
        ),
        (
            remote.DigitalOcean,
            DIGITALOCEAN,
            {
                "hostname": "h",
                "ssh_keys": ("k1", "k2"),
                "public_ipv4": "1.2.3.4",
                "public_ipv6": "2::1",
                "private_ipv4": "10.0.0.1",
            },
        ),
        (
            remote.Gce,
            GCE,
            {"hostname": "h.c.internal", "public_ipv4": "1.2.3.4", "private_ipv4": "10.0.0.1"},
        ),
        (
            remote.Packet,
            PACKET,
            {
                "hostname": "h",
                "ssh_keys": ("k",),
                "public_ipv4": "1.2.3.4",
                "public_ipv6": "2::1",
                "private_ipv4": "10.0.0.1",
            },
        ),
    ],
)
def test_metadata_services(kind, routes, metadata):
    server, make = service(kind, routes)
    with server:
        found = make()
        assert found.is_available()
        assert found.user_data() == DATA
        known = shown(found.metadata())
        known.pop("network", None)
        assert known == metadata
        server.routes = {}
        assert not found.is_available()
        assert found.user_data() == b""
        assert shown(found.metadata()) == {}


@pytest.mark.parametrize(
    ("kind", "routes", "message"),
    [
        (remote.Ec2, {"/2009-04-04/meta-data/public-keys": b"x"}, 'malformed public key: "x"'),
        (
            remote.Gce,
            {"/computeMetadata/v1/instance/network-interfaces/0/ip": b"x"},
            'couldn\'t parse "x" as IP address',
        ),
        (remote.DigitalOcean, {"/metadata/v1.json": b"["}, "unexpected end of JSON input"),
        (
            remote.Packet,
            {"/metadata": b'{"network": {"dns": ["x"]}}'},
            "invalid IP address: x",
        ),
    ],
)
def test_metadata_services_that_make_no_sense(kind, routes, message):
    server, make = service(kind, routes)
    with server, pytest.raises(MetadataError) as caught:
        make().metadata()
    assert message in str(caught.value)


# Guests


def ovf(properties):
    lines = [f'<Property oe:key="guestinfo.{k}" oe:value="{v}"/>' for k, v in properties.items()]
    return (
        '<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1"'
        ' xmlns:oe="http://schemas.dmtf.org/ovf/environment/1">'
        f"<PropertySection>{''.join(lines)}</PropertySection></Environment>"
    )


GUEST = {
    "hostname": "h",
    "dns.server.0": "8.8.8.8",
    "dns.server.2": "not counted",
    "interface.0.name": "ens3",
    "interface.0.role": "public",
    "interface.0.ip.0.address": "1.2.3.4/24",
    "interface.0.ip.1.address": "2::1/64",
    "interface.1.mac": "00:11:22:33:44:55",
    "interface.1.role": "private",
    "interface.1.ip.0.address": "10.0.0.1/8",
    "interface.1.route.0.gateway": "10.0.0.254",
    "interface.1.route.0.destination": "0.0.0.0/0",
    "interface.3.name": "not counted",
}


def vmware(tmp_path, properties):
    path = tmp_path / "ovf.xml"
    path.write_text(ovf(properties))
    return guest.vmware_from_file(str(path), client(), [].append)


def test_vmware(tmp_path):
    data = {"coreos.config.data": "I2Nsb3VkLWNvbmZpZwo=", "coreos.config.data.encoding": "base64"}
    found = vmware(tmp_path, {**GUEST, **data})
    assert found.is_available()
    assert found.user_data() == DATA
    metadata = shown(found.metadata())
    counted = {key: value for key, value in GUEST.items() if value != "not counted"}
    assert metadata.pop("network") == {
        key: value for key, value in counted.items() if "role" not in key and key != "hostname"
    }
    assert metadata == {
        "hostname": "h",
        "public_ipv4": "1.2.3.4",
        "public_ipv6": "2::1",
        "private_ipv4": "10.0.0.1",
    }


def test_vmware_keeps_the_lines_of_a_property(tmp_path):
    data = "#cloud-config\nhostname: 'h'\n#\ttab &quot;q&quot;\r\n"
    found = vmware(tmp_path, {"coreos.config.data": data, "hostname": "a b"})
    assert found.user_data() == b"#cloud-config\nhostname: 'h'\n#\ttab \"q\"\n"
    assert found.metadata().hostname == "a b"


def test_vmware_from_a_url(tmp_path):
    with Httpd({"/c": (200, DATA)}) as server:
        assert vmware(tmp_path, {"coreos.config.url": f"{server.url}/c"}).user_data() == DATA


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"interface.0.role": "both"}, 'unrecognized role: "both"'),
        ({"interface.0.ip.0.address": "1.2.3.4"}, "invalid CIDR address: 1.2.3.4"),
    ],
)
def test_vmware_that_makes_no_sense(tmp_path, change, message):
    with pytest.raises(MetadataError) as caught:
        vmware(tmp_path, {**GUEST, **change}).metadata()
    assert str(caught.value) == message


def test_ovf_documents_that_are_none(tmp_path):
    missing = guest.vmware_from_file(str(tmp_path / "none"), client(), [].append)
    assert not missing.is_available()
    assert missing.user_data() == b""
    (tmp_path / "bad").write_text("<a")
    with pytest.raises(SourceError, match="XML syntax error"):
        guest.vmware_from_file(str(tmp_path / "bad"), client(), [].append)
    data = {"coreos.config.data": "x", "coreos.config.data.encoding": "rot13"}
    with pytest.raises(SourceError, match='Unsupported encoding "rot13"'):
        vmware(tmp_path, data).user_data()


def test_vmware_through_the_guest_tools(tmp_path, monkeypatch):
    tool = tmp_path / "vmtoolsd"
    tool.write_text('#!/bin/sh\ncase "$2" in *guestinfo.hostname) echo h;; *) exit 1;; esac\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "sys_vendor").write_text("VMware, Inc.\n")
    found = guest.vmware_from_host(client(), [].append, dmi=str(tmp_path))
    assert found.is_available()
    assert shown(found.metadata()) == {"hostname": "h"}
    monkeypatch.setenv("PATH", "/nonexistent")
    log = []
    found = guest.vmware_from_host(client(), log.append, dmi="/nonexistent")
    assert not found.is_available()
    assert log[0].startswith('Failed to read from "ovfenv"')


def test_cloudsigma_context():
    context = {
        "name": "",
        "uuid": "u-1",
        "meta": {"ssh_public_key": "ssh-a x@y"},
        "nics": [{"ip_v4_conf": {"ip": {"uuid": "1.2.3.4"}}, "mac": "x", "vlan": None}],
    }
    assert shown(guest.server_context(json.dumps(context).encode())) == {
        "hostname": "u-1",
        "ssh_keys": ("ssh-a x@y",),
        "public_ipv4": "1.2.3.4",
    }


def test_cloudsigma_is_known_by_its_name(tmp_path):
    (tmp_path / "product_name").write_text("CloudSigma\n")
    leases = tmp_path / "leases"
    found = guest.CloudSigma(dmi=str(tmp_path), leases=str(leases))
    assert not found.is_available()
    leases.mkdir()
    assert not found.is_available()
    (leases / "2").write_text("")
    assert found.is_available()


@pytest.mark.parametrize(
    ("fields", "data"),
    [
        ({"cloudinit-user-data": "plain"}, b"plain"),
        ({"cloudinit-user-data": "eA==", "base64_fields": "a,cloudinit-user-data"}, b"x"),
        ({"cloudinit-user-data": "?", "base64_fields": "cloudinit-user-data"}, b""),
        ({}, b""),
    ],
)
def test_cloudsigma_user_data(monkeypatch, fields, data):
    asked = []

    def ask(key, *, port):
        asked.append((key, port))
        return json.dumps(fields).encode()

    monkeypatch.setattr(guest.serial_port, "ask", ask)
    assert guest.CloudSigma(port="/dev/x").user_data() == data
    assert asked == [("/meta/", "/dev/x")]


# The client


def test_retries():
    log, pauses = [], []
    tries = [(500, b""), (503, b""), (200, DATA)]
    with Httpd({"/c": tries}) as server:
        patient = Client(log.append, pause=pauses.append)
        assert patient.get_retry(f"{server.url}/c") == DATA
        assert log == [
            f"Fetching data from {server.url}/c. Attempt #1",
            "Server error. HTTP status code: 500",
            "Sleeping for 100ms...",
            f"Fetching data from {server.url}/c. Attempt #2",
            "Server error. HTTP status code: 503",
            "Sleeping for 200ms...",
            f"Fetching data from {server.url}/c. Attempt #3",
        ]
    assert pauses == [0.1, 0.2]


def test_retries_end():
    pauses = []
    with pytest.raises(FetchError, match=r"^Unable to fetch data. Maximum retries reached: 15$"):
        Client([].append, pause=pauses.append).get_retry("http://127.0.0.1:1/")
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, *[5.0] * 9]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "URL is empty. Skipping."),
        ("ftp://h/x", "URL ftp://h/x does not have a valid HTTP scheme. Skipping."),
        ("/etc/passwd", "URL /etc/passwd does not have a valid HTTP scheme. Skipping."),
        (
            "file:///etc/passwd",
            "URL file:///etc/passwd does not have a valid HTTP scheme. Skipping.",
        ),
        ("http://<token>@h/", 'parse "http://<token>@h/": net/url: invalid URL'),
        ("http://h/a\0", 'parse "http://h/a\\x00": net/url: invalid control character in URL'),
    ],
)
def test_urls_that_are_none(url, message):
    with pytest.raises(FetchError) as caught:
        client().get_retry(url)
    assert str(caught.value) == message


def test_urls_are_escaped_once():
    with Httpd({"/a%20b/%C3%A9%20%25": (200, DATA)}) as server:
        assert client().get_retry(f"{server.url}/a b/é%20%25#part") == DATA


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_redirects_only_lead_to_http(target):
    with Httpd({"/c": (302, b"", {"Location": target})}) as server, pytest.raises(Unreachable):
        client().get(f"{server.url}/c")


def test_what_is_too_large(monkeypatch):
    monkeypatch.setattr(fetch, "BODY_BYTES_MAX", 10)
    with Httpd({"/c": (200, bytes(100))}) as server:
        with pytest.raises(FetchError, match="more than") as caught:
            client().get_retry(f"{server.url}/c")
        assert not isinstance(caught.value, Unreachable)
        assert len(server.asked) == 1


def test_who_never_answers():
    with Httpd({"/c": None}) as server:
        with pytest.raises(Unreachable, match="timed out"):
            client(timeout_s=0.2).get(f"{server.url}/c")
        server.stopping.set()


def test_no_proxy_for_this_machine(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with Httpd({"/c": (200, DATA)}) as server:
        assert client().get(f"{server.url}/c") == DATA
    with pytest.raises(Unreachable, match="refused"):
        client().get("http://metadata.invalid/")


def test_a_proxy_for_others(monkeypatch):
    with Httpd({"http://metadata.invalid/x": (200, DATA), "/x": (200, DATA)}) as server:
        monkeypatch.setenv("http_proxy", server.url)
        assert client().get("http://metadata.invalid/x") == DATA


# JSON


def test_json_fields_are_checked_one_by_one():
    found = gojson.parse(b'{"n": 5, "t": true, "L": ["a", null], "o": {"x": "y"}}')
    assert (found.number("N"), found.flag("t"), found.texts("l")) == (5, True, ["a", ""])
    assert found.object("o").strings() == {"x": "y"}
    assert found.texts("missing") is None
    assert found.optional("missing") is None
    with pytest.raises(MetadataError):
        found.number("t")
    with pytest.raises(MetadataError):
        found.objects("L")
