"""What the disks stage does to partitions, arrays and file systems.

Pure: the config and what is on the devices in, command lines out; what is there and does not fit is
refused before anything is changed. Follows section 12 of Ignition's rules as 0.35 and 2.14 have
them; the words of sgdisk(8), mdadm(8) and mkfs(8) do the work.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.base.errors import CoreosError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coreos_py.ignition.decode import Obj

_SECTORS_PER_MIB = 2048
_MKFS = {
    "ext4": ("mkfs.ext4", ("-F",), "-L", "-U"),
    "btrfs": ("mkfs.btrfs", ("--force",), "-L", "-U"),
    "xfs": ("mkfs.xfs", ("-f",), "-L", "-m"),
    "vfat": ("mkfs.vfat", (), "-n", "-i"),
    "swap": ("mkswap", ("-f",), "-L", "-U"),
}
_BLKID_NAMES = {"swap": "swap"}


class DiskError(CoreosError):
    """What is on a device and what is wanted there do not go together."""


class Partition(NamedTuple):
    """One that is there. Numbers are sectors of 512 bytes."""

    number: int
    start: int
    size: int
    type_guid: str
    guid: str
    label: str


class Found(NamedTuple):
    """What blkid finds on a device, all empty if nothing."""

    kind: str = ""
    label: str = ""
    uuid: str = ""


class Resolved(NamedTuple):
    """Where a partition would be whose start or size was left to sgdisk, in sectors."""

    start: int
    size: int


class Command(NamedTuple):
    """One tool to run; `tool` is argv[0]."""

    argv: tuple[str, ...]

    @property
    def tool(self) -> str:
        """The program."""
        return self.argv[0]


# -- partitions ------


class Wanted(NamedTuple):
    """A partition as the config has it; None where it says nothing. Sectors."""

    number: int
    label: str | None
    start: int | None
    size: int | None
    type_guid: str
    guid: str
    should_exist: bool
    wipe: bool
    resize: bool


def wanted(partition: Obj) -> Wanted:
    """A partition of a config in the latest version of its line."""
    return Wanted(
        partition["number"],
        partition["label"],
        _sectors(partition.get("start"), partition["startMiB"]),
        _sectors(partition.get("size"), partition["sizeMiB"]),
        (partition["typeGuid"] or "").upper(),
        (partition["guid"] or "").upper(),
        partition["shouldExist"] is not False,
        bool(partition["wipePartitionEntry"]),
        bool(partition.get("resize")),
    )


def _sectors(sectors: int | None, mib: int | None) -> int | None:
    return mib * _SECTORS_PER_MIB if mib is not None else sectors


def is_on(device: str, disk: str) -> bool:
    """Whether a device is the disk, or by its name one of the disk's partitions."""
    rest = device.removeprefix(disk) if device.startswith(disk) else None
    between = "p" if disk[-1:].isdigit() else ""
    return rest == "" or (rest is not None and re.fullmatch(f"{between}[0-9]+", rest) is not None)


def zap(device: str) -> Command:
    """Forget the whole table."""
    return Command(("sgdisk", "--zap-all", device))


def question(device: str, parts: Sequence[Wanted]) -> Command | None:
    """A dry run that tells where the partitions would be; None if nothing is left open."""
    words: list[str] = []
    shown: list[str] = []
    for part in parts:
        if not part.should_exist:
            continue
        words += _new(part)
        if part.number:
            shown.append(f"--info={part.number}")
    return Command(("sgdisk", "--pretend", *words, *shown, device)) if shown else None


def partitions(
    device: str,
    parts: Sequence[Wanted],
    present: Sequence[Partition],
    resolved: Mapping[int, Resolved],
) -> list[Command]:
    """The one call that turns what is present into what is wanted; DiskError if it must not."""
    deleted: list[str] = []
    made: list[str] = []
    ordered = [p for p in parts if p.number] + [p for p in parts if not p.number]
    for part in ordered:
        there = _existing(part, present)
        if there is None:
            made += _new(part) if part.should_exist else []
            continue
        part = part._replace(number=there.number)
        if not part.should_exist:
            if not part.wipe:
                raise DiskError(
                    f"{device}: partition {there.number} exists, shall not, and"
                    " wipePartitionEntry is false"
                )
            deleted.append(f"--delete={there.number}")
            continue
        differing = _differences(part, there, resolved)
        if not differing:
            continue
        if part.resize and differing == ["size"]:
            deleted.append(f"--delete={there.number}")
            made += _new(_keep(part, there))
        elif part.wipe:
            deleted.append(f"--delete={there.number}")
            made += _new(part)
        else:
            raise DiskError(
                f"{device}: partition {there.number} exists and differs in"
                f" {', '.join(differing)}, and wipePartitionEntry is false"
            )
    words = (*deleted, *made)
    return [Command(("sgdisk", *words, device))] if words else []


def _existing(part: Wanted, present: Sequence[Partition]) -> Partition | None:
    for there in present:
        if part.number and there.number == part.number:
            return there
        if not part.number and part.label is not None and there.label == part.label:
            return there
    return None


def _differences(part: Wanted, there: Partition, resolved: Mapping[int, Resolved]) -> list[str]:
    known = resolved.get(part.number)
    start = known.start if part.start == 0 and known is not None else part.start
    size = known.size if part.size == 0 and known is not None else part.size
    checks = (
        ("start", start is None or start == there.start),
        ("size", size is None or size == there.size),
        ("type GUID", not part.type_guid or part.type_guid == there.type_guid.upper()),
        ("GUID", not part.guid or part.guid == there.guid.upper()),
        ("label", part.label is None or part.label == there.label),
    )
    return [name for name, fits in checks if not fits]


def _keep(part: Wanted, there: Partition) -> Wanted:
    """The same partition with another size."""
    return part._replace(
        start=there.start, type_guid=there.type_guid, guid=there.guid, label=there.label
    )


def _new(part: Wanted) -> list[str]:
    size = part.size or 0
    words = [f"--new={part.number}:{part.start or 0}:{f'+{size}' if size else '0'}"]
    if part.label is not None:
        words.append(f"--change-name={part.number}:{part.label.partition(':')[0]}")
    if part.type_guid:
        words.append(f"--typecode={part.number}:{part.type_guid}")
    if part.guid:
        words.append(f"--partition-guid={part.number}:{part.guid}")
    return words


# -- arrays ------


def array(raid: Obj) -> Command:
    """Put devices together."""
    spares = raid["spares"] or 0
    words = ["mdadm", "--create", raid["name"], "--force", "--run", "--level", raid["level"]]
    words += ["--raid-devices", str(len(raid["devices"]) - spares)]
    if spares:
        words += ["--spare-devices", str(spares)]
    return Command((*words, *raid["options"], *raid["devices"]))


# -- file systems ------


class WantedFilesystem(NamedTuple):
    """A file system as the config has it."""

    device: str
    format: str
    label: str | None
    uuid: str | None
    options: tuple[str, ...]
    wipe: bool
    # A `create` of version 2.0: without force it fails where anything is, and never keeps it.
    creates_only: bool


def wanted_filesystem(filesystem: Obj) -> WantedFilesystem | None:
    """A file system of a config in the latest version of its line; None: nothing is to be made."""
    if filesystem.kind == "Filesystem" and "mount" not in filesystem.fields:
        if not filesystem["format"]:
            return None
        return WantedFilesystem(
            filesystem["device"],
            filesystem["format"],
            filesystem["label"],
            filesystem["uuid"],
            tuple(filesystem["options"]),
            bool(filesystem["wipeFilesystem"]),
            creates_only=False,
        )
    mount = filesystem["mount"]
    if mount is None:
        return None
    create = mount["create"]
    return WantedFilesystem(
        mount["device"],
        mount["format"],
        mount["label"],
        mount["uuid"],
        tuple(mount["options"] if create is None else create["options"]),
        bool(mount["wipeFilesystem"] if create is None else create["force"]),
        creates_only=create is not None,
    )


def filesystem(want: WantedFilesystem, there: Found) -> list[Command]:
    """How it is made; nothing if it is there already; DiskError if something else is."""
    is_there = bool(there.kind or there.label or there.uuid)
    if is_there and not want.wipe:
        if not want.creates_only and _fits(want, there):
            return []
        shown = there.kind or "something"
        raise DiskError(
            f"{want.device}: there is {shown} already, {want.format} is wanted, and"
            " wipeFilesystem is false"
        )
    wiped = [Command(("wipefs", "-a", want.device))] if is_there else []
    return wiped if want.format == "none" else [*wiped, _make(want)]


def _fits(want: WantedFilesystem, there: Found) -> bool:
    kind = _BLKID_NAMES.get(want.format, want.format)
    return (
        there.kind == kind
        and want.label in (None, there.label)
        and (want.uuid is None or _uuid(kind, want.uuid) == _uuid(kind, there.uuid))
    )


def _uuid(kind: str, uuid: str) -> str:
    """As mkfs takes it: mkfs.vfat knows no dash in what blkid shows with one."""
    uuid = uuid.lower()
    return uuid[:4] + uuid[5:] if kind == "vfat" and uuid[4:5] == "-" else uuid


def _make(want: WantedFilesystem) -> Command:
    tool, force, label_flag, uuid_flag = _MKFS[want.format]
    words = [tool, *force]
    if want.label is not None:
        words += [label_flag, want.label]
    if want.uuid is not None:
        uuid = _uuid(want.format, want.uuid)
        words += [uuid_flag, f"uuid={uuid}" if want.format == "xfs" else uuid]
    return Command((*words, *want.options, want.device))
