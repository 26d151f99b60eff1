"""From a cloud-config to the ordered steps that bring it about. Pure.

`steps` yields one step at a time and asks `Facts` only when it gets there: an executor that carries
out each step before it takes the next one gets upstream's order of effects and of failures. Mirrors
initialize/config.go of coreos-cloudinit 1.13.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from coreos_py.base import gopath
from coreos_py.cloudinit import gotext, render, schema
from coreos_py.cloudinit.config import DropIn, File, Unit, to_bytes
from coreos_py.cloudinit.netconf import interfaces as net

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from coreos_py.cloudinit.config import CloudConfig, User
    from coreos_py.cloudinit.netconf.interfaces import Interface

CORE_USER = "core"
NETWORKD = "systemd-networkd.service"
LOCKSMITHD = "locksmithd.service"
UPDATE_ENGINE = "update-engine.service"
DROP_IN = "20-cloudinit.conf"
COMMANDS = {
    "start": "StartUnit",
    "stop": "StopUnit",
    "restart": "RestartUnit",
    "reload": "ReloadUnit",
    "try-restart": "TryRestartUnit",
    "reload-or-restart": "ReloadOrRestartUnit",
    "reload-or-try-restart": "ReloadOrTryRestartUnit",
}
_NETWORK_SUFFIXES = (".network", ".netdev", ".link")
_GITHUB_KEYS = "https://api.github.com/users/{}/keys"


class Facts(Protocol):
    """What the machine is like at the moment of asking."""

    def user_exists(self, name: str) -> bool:
        """True when the account is there."""

    def hostname(self) -> str:
        """The kernel's host name."""

    def update_conf(self) -> bytes:
        """The text that update.conf is made from; StepError when there is none."""


class StepError(Exception):
    """A step, or getting to it, failed; the message is upstream's."""


class Note(NamedTuple):
    """Something to tell, nothing to do."""

    text: str


class SetHostname(NamedTuple):
    name: str


class SetPassword(NamedTuple):
    user: str
    passwd: str


class CreateUser(NamedTuple):
    user: User


class AuthorizeKeys(NamedTuple):
    """Make `keys` the set called `name` of a user's authorised keys."""

    user: str
    name: str
    keys: tuple[str, ...]
    note: str = ""


class ImportKeys(NamedTuple):
    """The same with the keys that a URL lists."""

    user: str
    name: str
    url: str
    note: str


class WriteFile(NamedTuple):
    """`what` is "" for a file of the config, else what the file is to a unit."""

    file: File
    what: str = ""
    name: str = ""


class MergeEnvironment(NamedTuple):
    """Set variables in /etc/environment."""

    values: Mapping[str, str]


class RestartNetwork(NamedTuple):
    """Take these interfaces down, load modules, restart networkd."""

    interfaces: tuple[Interface, ...]


class Mask(NamedTuple):
    unit: str
    path: str


class Unmask(NamedTuple):
    """Remove a mask, and nothing else, at a path."""

    unit: str
    path: str


class Enable(NamedTuple):
    unit: str
    runtime: bool


class Reload(NamedTuple):
    """Make systemd read unit files again."""


class RestartNetworkd(NamedTuple):
    """Restart networkd because of changed network units."""


class Command(NamedTuple):
    """A unit command and the wait for its job."""

    unit: str
    command: str


Step = (
    Note
    | SetHostname
    | SetPassword
    | CreateUser
    | AuthorizeKeys
    | ImportKeys
    | WriteFile
    | MergeEnvironment
    | RestartNetwork
    | Mask
    | Unmask
    | Enable
    | Reload
    | RestartNetworkd
    | Command
)


if TYPE_CHECKING:
    Steps = Iterator[Step]


def steps(
    config: CloudConfig,
    facts: Facts,
    *,
    key_set: str,
    addresses: Mapping[str, str],
    interfaces: tuple[Interface, ...] = (),
) -> Steps:
    """Everything to do, in order; StepError at the place where upstream gives up."""
    if config.hostname:
        yield SetHostname(config.hostname)
    for user in config.users:
        yield from _user(user, facts, key_set=key_set)
    if config.ssh_authorized_keys:
        keys = _trimmed(config.ssh_authorized_keys)
        yield AuthorizeKeys(CORE_USER, key_set, keys, "Authorized SSH keys for core user")
    files = [*config.write_files, *_computed_files(config, facts)]
    for file in files:
        yield WriteFile(file)
    known = {name: value for name, value in addresses.items() if value}
    # Upstream compares with the path as it was given: one without the slash does not count.
    if known and all(gopath.clean(file.path) != render.ENVIRONMENT for file in files):
        yield MergeEnvironment(known)
    if interfaces:
        yield RestartNetwork(interfaces)
    yield from _units([*config.units, *_own_units(config), *_network_units(interfaces)])


# -- users


def _user(user: User, facts: Facts, *, key_set: str) -> Iterator[Step]:
    name = user.name
    if not name:
        yield Note("User object has no 'name' field, skipping")
        return
    if facts.user_exists(name):
        yield Note(f"User '{name}' exists, ignoring creation-time fields")
        if user.passwd:
            yield SetPassword(name, user.passwd)
    else:
        yield CreateUser(user)
    keys = user.ssh_authorized_keys
    if keys:
        yield Note(f"Authorizing {len(keys)} SSH keys for user '{name}'")
        yield AuthorizeKeys(name, key_set, _trimmed(keys))
    github = (user.coreos_ssh_import_github, *user.coreos_ssh_import_github_users)
    for at, account in enumerate(github):
        if account or at:
            text = f"Authorizing github user {account} SSH keys for CoreOS user '{name}'"
            yield ImportKeys(name, f"github-{account}", _GITHUB_KEYS.format(account), text)
    url = user.coreos_ssh_import_url
    if url:
        text = f"Authorizing SSH keys for CoreOS user '{name}' from '{url}'"
        yield ImportKeys(name, f"coreos-cloudinit-{name}", url, text)


def _trimmed(keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(key.strip() for key in keys)


def useradd_arguments(user: User) -> list[str]:
    """The words after `useradd`; the quotes around the comment are upstream's."""
    words = ["--password", user.passwd or "*"]
    if user.gecos:
        words += ["--comment", gotext.quote(user.gecos)]
    if user.homedir:
        words += ["--home-dir", user.homedir]
    words.append("--no-create-home" if user.no_create_home else "--create-home")
    if user.primary_group:
        words += ["--gid", user.primary_group]
    if user.groups:
        words += ["--groups", ",".join(user.groups)]
    flags = (
        (user.no_user_group, "--no-user-group"),
        (user.system, "--system"),
        (user.no_log_init, "--no-log-init"),
    )
    words += [word for is_set, word in flags if is_set]
    if user.shell:
        words += ["--shell", user.shell]
    return [*words, user.name]


# -- files


def _computed_files(config: CloudConfig, facts: Facts) -> list[File]:
    """The files that sections stand for; nothing is written before all of them are known."""
    files = []
    try:
        if oem := render.oem_release(config.oem):
            files.append(_file(render.OEM_RELEASE, to_bytes(oem)))
        if any(config.update.values()):
            render.check_update(config.update)
            text = render.update_conf(facts.update_conf(), config.update)
            files.append(_file(render.UPDATE_CONF, text))
        if config.manage_etc_hosts:
            render.check_hosts(config.manage_etc_hosts)
            files.append(_file(render.HOSTS, to_bytes(render.hosts(facts.hostname()))))
        if flannel := render.flannel_options(config.flannel):
            files.append(_file(render.FLANNEL_OPTIONS, to_bytes(flannel)))
    except render.RenderError as error:
        raise StepError(str(error)) from None
    return files


def _file(path: str, content: bytes) -> File:
    """Upstream names its own files without the first slash, which matters to nobody but logs."""
    return File(path, content, "0644")


# -- units


def is_network(unit: str) -> bool:
    """True for networkd's own unit types."""
    return unit.endswith(_NETWORK_SUFFIXES)


def unit_directory(unit: Unit) -> str:
    """Where a unit's file belongs."""
    top = "/run" if unit.runtime else "/etc"
    return f"{top}/systemd/{'network' if is_network(unit.name) else 'system'}"


def _joined(*parts: str) -> str:
    """Go's path.Join of an absolute path."""
    return gopath.clean("/".join(parts))


def _own_units(config: CloudConfig) -> list[Unit]:
    """The units of the sections; they are there also when the sections are empty."""
    sections = (
        ("etcd.service", schema.ETCD, config.etcd),
        ("etcd2.service", schema.ETCD2, config.etcd2),
        ("fleet.service", schema.FLEET, config.fleet),
        (LOCKSMITHD, schema.LOCKSMITH, config.locksmith),
    )
    units = [
        Unit(
            name,
            drop_ins=(DropIn(DROP_IN, render.service_drop_in(fields, section)),),
            runtime=True,
        )
        for name, fields, section in sections
    ]
    strategy = config.update["reboot_strategy"]
    if strategy:
        is_off = strategy == "off"
        command = "stop" if is_off else "restart"
        units.append(Unit(LOCKSMITHD, command=command, mask=is_off, runtime=True))
    if config.update["group"] or config.update["server"]:
        units.append(Unit(UPDATE_ENGINE, command="restart"))
    return units


def _network_units(interfaces: tuple[Interface, ...]) -> list[Unit]:
    units = []
    for interface in interfaces:
        texts = ((".netdev", interface.netdev()), (".network", interface.network()))
        units += [
            Unit(interface.file_name() + suffix, content=text, runtime=True)
            for suffix, text in texts
            if text
        ]
    return units


def _units(units: list[Unit]) -> Iterator[Step]:
    needs_reload = False
    needs_networkd = False
    commands: list[Command] = []
    for at, unit in enumerate(units):
        if not unit.name:
            yield Note("Skipping unit without name")
            continue
        for step in _placed(unit):
            needs_reload = True
            yield step
        yield from _mask(unit, units[at + 1 :])
        if unit.enable:
            if is_network(unit.name):
                yield Note(f"Skipping enable for network-like unit {gotext.quote(unit.name)}")
            else:
                yield Enable(unit.name, unit.runtime)
        if is_network(unit.name):
            needs_networkd = True
        elif unit.command:
            commands.append(Command(unit.name, unit.command))
    if needs_reload:
        yield Reload()
    if needs_networkd:
        yield RestartNetworkd()
    yield from commands


def _placed(unit: Unit) -> Iterator[WriteFile]:
    directory = unit_directory(unit)
    if unit.content:
        path = _joined(directory, unit.name)
        yield WriteFile(File(path, to_bytes(unit.content), "0644"), "unit", unit.name)
    for drop_in in unit.drop_ins:
        if drop_in.name and drop_in.content:
            path = _joined(directory, f"{unit.name}.d", drop_in.name)
            file = File(path, to_bytes(drop_in.content), "0644")
            yield WriteFile(file, "drop-in unit", drop_in.name)


def _mask(unit: Unit, later: list[Unit]) -> Iterator[Step]:
    """A mask that a later unit makes again is left, so that a second run does not touch it."""
    path = _joined(unit_directory(unit), unit.name)
    if unit.mask:
        yield Mask(unit.name, path)
    elif unit.runtime:
        comes_back = any(
            other.mask and _joined(unit_directory(other), other.name) == path for other in later
        )
        yield Note(unmask_text(unit.name)) if comes_back else Unmask(unit.name, path)


def unmask_text(unit: str) -> str:
    """What is told before a unit is unmasked."""
    return f"Ensuring runtime unit file {gotext.quote(unit)} is unmasked"


def modprobes(interfaces: tuple[Interface, ...]) -> list[list[str]]:
    """The kernel modules that converted interfaces need, each with modprobe's arguments."""
    found = []
    if any(interface.kind == net.VLAN for interface in interfaces):
        found.append(["8021q"])
    bond = next((item for item in interfaces if item.kind == net.BOND), None)
    if bond is not None:
        found.append(["bonding", *bond.modprobe_options().split(" ")])
    return found
