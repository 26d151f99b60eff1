"""Where a machine's config comes from: the cache, the kernel's command line, or its platform.

An edge. Mirrors the providers of Ignition 0.12 to 2.14; a platform that has none to give is an
empty config.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.base.errors import CoreosError
from coreos_py.ignition import tools
from coreos_py.ignition.fetch import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from coreos_py.ignition.fetch import Fetcher

SYSTEM_DIRECTORY = "/usr/lib/ignition"
CMDLINE = "/proc/cmdline"
_URL_KEYS = ("coreos.config.url=", "ignition.config.url=")
_QEMU = "/sys/firmware/qemu_fw_cfg/by_name/opt/com.coreos/config/raw"
_URLS = {
    "ec2": "http://169.254.169.254/2009-04-04/user-data",
    "digitalocean": "http://169.254.169.254/metadata/v1/user-data",
    "gce": "http://metadata.google.internal/computeMetadata/v1/instance/attributes/user-data",
    "packet": "https://metadata.packet.net/userdata",
}
_OPENSTACK_URL = "http://169.254.169.254/openstack/latest/user_data"
_OPENSTACK_DRIVE = ("/dev/disk/by-label/config-2", "openstack/latest/user_data")
_AZURE_DRIVE = ("/dev/disk/by-id/ata-Virtual_CD", "CustomData.bin")
_NOTHING = frozenset(
    "pxe vagrant cloudsigma cloudstack brightbox exoscale hyperv niftycloud rackspace"
    " rackspace-onmetal xendom0 interoute metal nutanix ibmcloud aliyun".split()
)


class Given(NamedTuple):
    """A config's text and where it was found."""

    data: bytes
    where: str


def platforms() -> tuple[str, ...]:
    """The names that --platform takes."""
    return tuple(sorted({*_URLS, *_NOTHING, "openstack", "azure", "vmware", "qemu", "file"}))


def cmdline_url(text: str) -> str:
    """The URL on a kernel command line, the last one; "" if there is none."""
    found = ""
    for word in text.split():
        for key in _URL_KEYS:
            if word.startswith(key):
                found = word.removeprefix(key)
    return found


def acquire(
    platform: str,
    fetcher: Fetcher,
    *,
    env: Mapping[str, str],
    say: Callable[[str], None],
    cmdline: str = CMDLINE,
    directory: str = SYSTEM_DIRECTORY,
) -> Given:
    """The machine's config; CoreosError if its place cannot be read."""
    with contextlib.suppress(OSError), open(cmdline, encoding="utf-8", errors="replace") as file:
        url = cmdline_url(file.read())
        if url:
            say(f"using the config of the kernel command line: {url}")
            return Given(fetcher.fetch(url), url)
    return _of_system(f"{directory}/user.ign") or Given(
        _of_platform(platform, fetcher, env), f"platform {platform}"
    )


def base(platform: str, *, directory: str = SYSTEM_DIRECTORY) -> list[Given]:
    """What the system itself wants, to be below the machine's config; CoreosError."""
    found = [_of_system(f"{directory}/base.ign")]
    for place in (f"{directory}/base.d", f"{directory}/base.platform.d/{platform}"):
        try:
            names = sorted(os.listdir(place))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise CoreosError(f"{place}: {error.strerror}") from None
        found += [_of_system(f"{place}/{name}") for name in names]
    return [given for given in found if given is not None]


def default(*, directory: str = SYSTEM_DIRECTORY) -> Given | None:
    """The system's config for machines that have none; CoreosError."""
    return _of_system(f"{directory}/default.ign")


def _of_system(path: str) -> Given | None:
    try:
        with open(path, "rb") as file:
            return Given(file.read(), path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CoreosError(f"{path}: {error.strerror}") from None


def _of_platform(platform: str, fetcher: Fetcher, env: Mapping[str, str]) -> bytes:
    if platform in _NOTHING:
        return b""
    if platform in _URLS:
        extra = (("Metadata-Flavor", "Google"),) if platform == "gce" else ()
        return _fetch_or_empty(fetcher, _URLS[platform], extra)
    if platform == "openstack":
        if os.path.exists(_OPENSTACK_DRIVE[0]):
            return _from_drive(*_OPENSTACK_DRIVE)
        return _fetch_or_empty(fetcher, _OPENSTACK_URL, ())
    if platform == "azure":
        return _from_drive(*_AZURE_DRIVE)
    if platform == "vmware":
        return _guestinfo()
    path = _QEMU if platform == "qemu" else env.get("IGNITION_CONFIG_FILE", "config.ign")
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        if platform == "qemu":
            return b""
        raise CoreosError(f"{path}: no such file") from None
    except OSError as error:
        raise CoreosError(f"{path}: {error.strerror}") from None


def _fetch_or_empty(fetcher: Fetcher, url: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    try:
        return fetcher.fetch(url, headers)
    except NotFound:
        return b""


def _from_drive(device: str, path: str) -> bytes:
    with tools.mounted(device) as place:
        try:
            with open(os.path.join(place, path), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""


def _guestinfo() -> bytes:
    """What VMware's hypervisor tells its guest."""
    tool = tools.find("vmtoolsd", "vmware-rpctool")
    data = _guest_value(tool, "guestinfo.coreos.config.data")
    encoding = _guest_value(tool, "guestinfo.coreos.config.data.encoding").decode().strip()
    return _decode(data, encoding)


def _guest_value(tool: str, key: str) -> bytes:
    asked = f"info-get {key}"
    argv = [tool, "--cmd", asked] if tool.endswith("vmtoolsd") else [tool, asked]
    done = tools.attempt(argv)
    return done.stdout if done.returncode == 0 else b""


def _decode(data: bytes, encoding: str) -> bytes:
    import base64
    import binascii
    import zlib

    try:
        if encoding in ("b64", "base64", "gz+b64", "gz+base64", "gzip+b64", "gzip+base64"):
            data = base64.b64decode(data)
        if encoding.startswith("gz"):
            data = zlib.decompress(data, wbits=31)
    except (binascii.Error, zlib.error) as error:
        raise CoreosError(f"vmware: the config is not {encoding}: {error}") from None
    return data
