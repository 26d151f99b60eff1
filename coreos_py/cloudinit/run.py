"""One run of coreos-cloudinit, from the choice of a source to the last unit command.

Mirrors main of coreos-cloudinit 1.13.0 (coreos-cloudinit.go): its order, its log lines, its exits.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.base import gopath
from coreos_py.cloudinit import config, gotext, plan, substitute, userdata
from coreos_py.cloudinit.config import CloudConfig
from coreos_py.cloudinit.describe import describe
from coreos_py.cloudinit.encoding import GZIP_MAGIC, TOO_LARGE, EncodingError, gunzip
from coreos_py.cloudinit.execute import Executor, Machine
from coreos_py.cloudinit.fetch import Client, FetchError
from coreos_py.cloudinit.files import compare
from coreos_py.cloudinit.log import log
from coreos_py.cloudinit.metadata import Metadata, MetadataError
from coreos_py.cloudinit.netconf import debian, packet, vmware
from coreos_py.cloudinit.netconf.interfaces import Interface, NetconfError
from coreos_py.cloudinit.plan import StepError
from coreos_py.cloudinit.sources import guest, local, remote
from coreos_py.cloudinit.sources.source import Source, SourceError, select
from coreos_py.cloudinit.units import here
from coreos_py.cloudinit.validate import ValidatorError, validate
from coreos_py.cloudinit.yaml.nodes import YamlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.cli.program import Call
    from coreos_py.cli.settings import Values

EC2_DEFAULT = "http://169.254.169.254/"


class Stop(Exception):
    """The run ends here, with this exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Wanted(NamedTuple):
    """What the user-data came to."""

    config: CloudConfig
    scripts: tuple[bytes, ...]
    failed: bool


def run(call: Call) -> int:
    """The whole run; its exit code."""
    settings = call.settings
    try:
        source = _choose(settings)
        data, failed = _user_data(source)
        _validate(data, stop=settings["validate"])
        metadata = _metadata(source)
        addresses = substitute.addresses(metadata, os.environ)
        wanted = _understand(data, addresses)
        merged = _merge(wanted.config, metadata)
        interfaces = _interfaces(settings["convert-netconf"], metadata)
        steps = _Steps(merged, addresses, interfaces, settings)
        if settings["dry-run"]:
            steps.show(wanted.scripts)
        else:
            steps.apply(wanted.scripts)
    except Stop as stop:
        return stop.code
    return 1 if (failed or wanted.failed) and not settings["ignore-failure"] else 0


# -- data


def _choose(settings: Values) -> Source:
    try:
        source = select(_sources(settings), log)
    except SourceError as error:
        log(str(error))
        raise Stop(1) from None
    if source is None:
        log("No datasources available in time")
        raise Stop(1)
    return source


def _sources(settings: Values) -> list[Source]:
    """A source for every flag that was given, in the table's order; SourceError."""
    client = Client(log)
    gce = Client(log, headers=remote.GCE_HEADERS)
    makers: dict[str, Callable[[str], Source]] = {
        "from-file": local.LocalFile,
        "from-url": lambda url: remote.Url(url, client),
        "from-configdrive": lambda path: local.ConfigDrive(path, log),
        "from-metadata-service": lambda _: remote.Ec2(EC2_DEFAULT, client, log),
        "from-ec2-metadata": lambda url: remote.Ec2(url, client, log),
        "from-gce-metadata": lambda url: remote.Gce(url, gce, log),
        "from-cloudsigma-metadata": lambda _: guest.CloudSigma(),
        "from-digitalocean-metadata": lambda url: remote.DigitalOcean(url, client, log),
        "from-waagent": lambda path: local.Waagent(path, log),
        "from-packet-metadata": lambda url: remote.Packet(url, client, log),
        "from-proc-cmdline": lambda _: remote.ProcCmdline(client, log),
        "from-vmware-guestinfo": lambda _: guest.vmware_from_host(client, log),
        "from-vmware-ovf-env": lambda path: guest.vmware_from_file(path, client, log),
    }
    return [make(settings[name]) for name, make in makers.items() if settings[name]]


def _user_data(source: Source) -> tuple[bytes, bool]:
    """What the source has, unpacked, and whether something went wrong."""
    log(f"Fetching user-data from datasource of type {gotext.quote(source.type)}")
    try:
        data = source.user_data()
    except (SourceError, FetchError, MetadataError) as error:
        log(f"Failed fetching user-data from datasource: {error}. Continuing...")
        return b"", True
    if not data.startswith(GZIP_MAGIC):
        return userdata.without_mark(data), False
    try:
        data, problem = gunzip(data)
    except ValueError as error:
        data, problem = b"", str(error)
    if problem == TOO_LARGE:
        data = b""  # half of it is worse than nothing
    if problem:
        log(f"Failed decompressing user-data from datasource: {problem}. Continuing...")
    return userdata.without_mark(data), bool(problem)


def _validate(data: bytes, *, stop: bool) -> None:
    """Tell what is wrong with the user-data; the end of the run if that was all to do."""
    try:
        entries = validate(data)
    except ValidatorError as error:
        log(f"Failed while validating user_data ({gotext.quote(str(error))})")
        if stop:
            raise Stop(1) from None
        return
    for entry in entries:
        log(str(entry))
    if stop:
        raise Stop(1 if entries else 0)


def _metadata(source: Source) -> Metadata:
    log(f"Fetching meta-data from datasource of type {gotext.quote(source.type)}")
    try:
        return source.metadata()
    except (SourceError, FetchError, MetadataError) as error:
        log(f"Failed fetching meta-data from datasource: {error}")
        raise Stop(1) from None


# -- what it means


def _understand(data: bytes, addresses: dict[str, str]) -> Wanted:
    """The config and the scripts in user-data; one that is broken counts as empty."""
    try:
        parts = _parts(data, addresses)
    except ValueError as error:
        return _unusable(str(error))
    kinds = {part.kind for part in parts}
    if userdata.IGNITION in kinds:
        sys.stdout.write("Detected an Ignition config. Exiting...")
        raise Stop(0)
    if userdata.UNKNOWN in kinds:
        return _unusable("Unrecognized user-data format")
    scripts = tuple(part.data for part in parts if part.kind == userdata.SCRIPT)
    texts = [part.data for part in parts if part.kind == userdata.CLOUD_CONFIG]
    if scripts:
        log("Parsing user-data as script")
    if texts:
        log("Parsing user-data as cloud-config")
    try:
        return Wanted(config.from_texts(texts), scripts, failed=False)
    except (YamlError, EncodingError) as error:
        return _unusable(str(error))


def _parts(data: bytes, addresses: dict[str, str]) -> list[userdata.Part]:
    """Variables are replaced before anything is looked at; in MIME, inside of its encodings."""
    if not userdata.is_multipart(data):
        return userdata.parts(substitute.apply(data, addresses))
    parts = userdata.parts(data)
    return [part._replace(data=substitute.apply(part.data, addresses)) for part in parts]


def _unusable(reason: str) -> Wanted:
    sys.stdout.write(f"Failed to parse user-data: {reason}\nContinuing...\n")
    return Wanted(config.nothing(), (), failed=True)


def _merge(wanted: CloudConfig, metadata: Metadata) -> CloudConfig:
    log("Merging cloud-config from meta-data and user-data")
    hostname = wanted.hostname or metadata.hostname
    if wanted.hostname and metadata.hostname:
        names = f"({wanted.hostname}) overrides metadata hostname ({metadata.hostname})"
        log(f"Warning: user-data hostname {names}")
    keys = wanted.ssh_authorized_keys + metadata.ssh_keys
    return wanted._replace(hostname=hostname, ssh_authorized_keys=keys)


def _interfaces(wanted: str, metadata: Metadata) -> tuple[Interface, ...]:
    """The converted network configuration; upstream crashes when the source has none."""
    network = metadata.network
    try:
        if not wanted:
            return ()
        if wanted == "debian" and isinstance(network, bytes):
            return _debian(network)
        if wanted == "packet" and isinstance(network, packet.Network):
            return tuple(packet.convert(network))
        if wanted == "vmware" and isinstance(network, dict):
            log("Processing VMware network config")
            return tuple(vmware.convert(network))
    except NetconfError as error:
        log(f"Failed to generate interfaces: {error}")
        raise Stop(1) from None
    log(f"Failed to generate interfaces: the source has no {wanted} network config")
    raise Stop(2)


def _debian(network: bytes) -> tuple[Interface, ...]:
    log("Processing Debian network config")
    stanzas = debian.parse(network)
    log(f"Parsed {len(stanzas)} network interfaces")
    log("Processed Debian network config")
    return tuple(debian.build(stanzas))


# -- the doing


class _Steps:
    """The plan, to be carried out or to be shown."""

    def __init__(
        self,
        wanted: CloudConfig,
        addresses: dict[str, str],
        interfaces: tuple[Interface, ...],
        settings: Values,
    ) -> None:
        self._config = wanted
        self._addresses = addresses
        self._interfaces = interfaces
        self._key_set: str = settings["ssh-key-name"]
        self._workspace: str = gopath.clean("/" + settings["workspace"])

    def apply(self, scripts: tuple[bytes, ...]) -> None:
        executor = Executor(
            log, client=Client(log), units=lambda: here(f"{self._workspace}/embedded")
        )
        try:
            executor.run(self._steps(Machine()))
        except StepError as error:
            log(f"Failed to apply cloud-config: {error}\n")
            raise Stop(1) from None
        for script in scripts:
            try:
                executor.run_script(script, self._workspace, name=_random_digits())
            except StepError as error:
                log(f"Failed to run script: {error}\n")
                raise Stop(1) from None

    def show(self, scripts: tuple[bytes, ...]) -> None:
        """Print the plan; the machine is asked, but not changed."""
        number = 0
        try:
            for number, step in enumerate(self._steps(_Imagined(self._config)), 1):
                sys.stdout.write(f"{number:3d}. {describe(step, compare)}\n")
        except StepError as error:
            log(f"Failed to apply cloud-config: {error}\n")
            raise Stop(1) from None
        for extra, script in enumerate(scripts, number + 1):
            text = f"run a script of {len(script)} bytes as a unit, kept in {self._workspace}"
            sys.stdout.write(f"{extra:3d}. {text}\n")

    def _steps(self, facts: Machine) -> plan.Steps:
        return plan.steps(
            self._config,
            facts,
            key_set=self._key_set,
            addresses=self._addresses,
            interfaces=self._interfaces,
        )


class _Imagined(Machine):
    """This machine as it will be when the steps before have been taken."""

    def __init__(self, wanted: CloudConfig) -> None:
        super().__init__()
        self._config = wanted
        self._asked: set[str] = set()

    def hostname(self) -> str:
        return self._config.hostname or super().hostname()

    def user_exists(self, name: str) -> bool:
        was_asked = name in self._asked
        self._asked.add(name)
        return was_asked or super().user_exists(name)


def _random_digits() -> str:
    return str(int.from_bytes(os.urandom(4), "big")).zfill(10)
