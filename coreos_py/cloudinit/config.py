"""What a cloud-config asks for, as frozen records, and how user-data becomes one. Pure.

Mirrors config/config.go and initialize/user_data.go of coreos-cloudinit 1.13.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from coreos_py.cloudinit import schema
from coreos_py.cloudinit.encoding import decode_content
from coreos_py.cloudinit.fill import empty, fill
from coreos_py.cloudinit.yaml.parser import parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coreos_py.cloudinit.fill import Record

    Section = dict[str, Any]


class File(NamedTuple):
    """A file to write; `permissions` and `owner` as they were given, "" for the usual."""

    path: str
    content: bytes
    permissions: str = ""
    owner: str = ""


class DropIn(NamedTuple):
    """A unit's drop-in."""

    name: str
    content: str


class Unit(NamedTuple):
    """A unit and what to do with it."""

    name: str
    content: str = ""
    drop_ins: tuple[DropIn, ...] = ()
    command: str = ""
    mask: bool = False
    enable: bool = False
    runtime: bool = False


class User(NamedTuple):
    """A user to create, or to give keys to."""

    name: str
    passwd: str = ""
    ssh_authorized_keys: tuple[str, ...] = ()
    coreos_ssh_import_github: str = ""
    coreos_ssh_import_github_users: tuple[str, ...] = ()
    coreos_ssh_import_url: str = ""
    gecos: str = ""
    homedir: str = ""
    no_create_home: bool = False
    primary_group: str = ""
    groups: tuple[str, ...] = ()
    no_user_group: bool = False
    system: bool = False
    no_log_init: bool = False
    shell: str = ""


class CloudConfig(NamedTuple):
    """A cloud-config; the sections are dicts from key to value, zero values included."""

    hostname: str
    manage_etc_hosts: str
    ssh_authorized_keys: tuple[str, ...]
    users: tuple[User, ...]
    write_files: tuple[File, ...]
    units: tuple[Unit, ...]
    etcd: Section
    etcd2: Section
    fleet: Section
    flannel: Section
    locksmith: Section
    oem: Section
    update: Section


def from_texts(texts: Iterable[bytes]) -> CloudConfig:
    """The cloud-config in these documents, later ones added as repeated keys are.

    YamlError or EncodingError; nothing of a broken config is used.
    """
    record: Record | None = None
    for text in texts:
        record = fill(parse(text), record)
    return from_record(empty(schema.CLOUD_CONFIG) if record is None else record)


def nothing() -> CloudConfig:
    """A cloud-config that asks for nothing."""
    return from_record(empty(schema.CLOUD_CONFIG))


def from_record(record: Record) -> CloudConfig:
    """Decodes the contents of write_files; EncodingError."""
    coreos = record["coreos"]
    return CloudConfig(
        hostname=record["hostname"],
        manage_etc_hosts=record["manage_etc_hosts"],
        ssh_authorized_keys=tuple(record["ssh_authorized_keys"]),
        users=tuple(User(**_frozen(user)) for user in record["users"]),
        write_files=tuple(map(_file, record["write_files"])),
        units=tuple(map(_unit, coreos.pop("units"))),
        **coreos,
    )


def _frozen(record: Record) -> Record:
    return {key: tuple(item) if isinstance(item, list) else item for key, item in record.items()}


def _file(record: Record) -> File:
    content = decode_content(to_bytes(record["content"]), record["encoding"])
    return File(record["path"], content, record["permissions"], record["owner"])


def _unit(record: Record) -> Unit:
    drop_ins = tuple(DropIn(**item) for item in record.pop("drop_ins"))
    return Unit(drop_ins=drop_ins, **record)


def to_bytes(text: str) -> bytes:
    """A scalar's bytes; !!binary may have brought some that are no UTF-8."""
    return text.encode("utf-8", "surrogateescape")
