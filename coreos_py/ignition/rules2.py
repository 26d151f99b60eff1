"""What must hold in a config of version 1 or 2, field by field.

Pure. Follows the Validate methods of config/v2_*/types in Ignition 0.35: what is wrong with a whole
structure keeps its insides from being looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.ignition import checks
from coreos_py.ignition.checks import Extent
from coreos_py.ignition.report import DEPRECATED, ERROR, INFO, WARNING

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.ignition.decode import Obj
    from coreos_py.ignition.report import Path, Report
    from coreos_py.ignition.schema import Version

_SECTORS_PER_MIB = 2048
_USER_FIELDS = (
    "gecos groups homeDir noCreateHome noLogInit noUserGroup primaryGroup shell system uid"
).split()


class Checker:
    """One walk over one config."""

    def __init__(self, version: Version, report: Report) -> None:
        self._version = version
        self._report = report
        self._schemes = frozenset(("", "http", "https", "oem", "data"))
        if version >= (2, 1):
            self._schemes |= {"tftp", "s3"}

    def check(self, obj: Obj, path: Path = ()) -> None:
        """Check a structure and, unless it is wrong as a whole, everything below it."""
        before = self._errors()
        early = _EARLY.get(obj.kind) if self._version <= (2, 0) else None
        for whole in (early, _WHOLE.get(obj.kind)):
            if whole is not None:
                whole(self, obj)
            if self._errors() > before:
                return
        fields = _FIELDS.get(obj.kind)
        if fields is not None:
            fields(self, obj)
        for unused in obj.unused:
            text = f"Config has unrecognized key: {unused.key}"
            self._report.add(WARNING, text, offset=unused.end)
            if unused.near:
                text = f"Did you mean {unused.near} instead of {unused.key}"
                self._report.add(INFO, text, offset=unused.end)
        for name, value in obj.fields.items():
            if name == "httpHeaders":
                self._headers(obj, value)
            for item in value if isinstance(value, list) else [value]:
                if hasattr(item, "fields"):
                    self.check(item, (*path, name))

    def _errors(self) -> int:
        return sum(entry.kind == ERROR for entry in self._report.entries)

    def _add(self, obj: Obj, message: str, *, field: str = "", kind: str = ERROR) -> None:
        if not message:
            return
        node = obj.nodes.get(field) or obj.node
        self._report.add(kind, message, offset=node.end if node is not None else -1)

    def _warn(self, obj: Obj, message: str, *, field: str = "") -> None:
        self._add(obj, message, field=field, kind=WARNING)

    # -- whole structures ------

    def _config(self, obj: Obj) -> None:
        if self._version[0] == 1:
            return
        storage = obj["storage"]
        known = {"root"} | {fs["name"] for fs in storage["filesystems"]}
        for what, name in (("File", "files"), ("Link", "links"), ("Directory", "directories")):
            for node in storage.get(name) or ():
                if node["filesystem"] and node["filesystem"] not in known:
                    text = (
                        f'{what} "{node["path"]}" references nonexistent filesystem '
                        f'"{node["filesystem"]}". (This is ok if it is defined in a referenced '
                        "config)"
                    )
                    self._warn(obj, text)
        seen = {"root"}
        for filesystem in storage["filesystems"]:
            if filesystem["name"] in seen:
                text = f'Filesystem "{filesystem["name"]}" shadows exising filesystem definition'
                self._warn(obj, text)
            seen.add(filesystem["name"])

    def _file(self, obj: Obj) -> None:
        if obj.get("append") and obj.get("overwrite"):
            self._add(obj, "cannot set both append and overwrite to true")

    def _filesystem(self, obj: Obj) -> None:
        if self._version[0] == 1:
            return
        mount = obj["mount"]
        if mount is None:
            if obj["path"] is None:
                self._add(obj, "filesystem is missing mount or path")
            return
        if obj["path"] is not None:
            self._add(obj, "filesystem has both mount and path defined")
        if mount["create"] is not None and self._version >= (2, 1):
            if mount["wipeFilesystem"]:
                self._add(obj, "cannot use both create object and wipeFilesystem field")
            if mount["options"]:
                self._add(obj, "cannot use both create object and mount-level options field")
            text = "the create object has been deprecated in favor of mount-level options"
            self._warn(obj, text)

    def _format(self, obj: Obj) -> None:
        formats = {"ext4", "btrfs", "xfs"}
        if self._version >= (2, 1):
            formats |= {"swap", "vfat"}
        if obj["format"] not in formats:
            self._add(obj, "invalid filesystem format")

    def _partition(self, obj: Obj) -> None:
        if self._version < (2, 3):
            return
        sectors = obj["start"] is not None or obj["size"] is not None
        if sectors and (obj["startMiB"] is not None or obj["sizeMiB"] is not None):
            self._add(obj, "cannot mix MBs and sectors within a disk")
        more = obj["label"] is not None or obj["typeGuid"] or obj["guid"] or sectors
        if obj["shouldExist"] is False and more:
            self._add(obj, "shouldExist specified false with other options also specified")

    def _owner(self, obj: Obj) -> None:
        if obj["id"] is not None and obj.get("name"):
            self._add(obj, "cannot set both id and name")

    def _user(self, obj: Obj) -> None:
        if obj["create"] is None or self._version < (2, 1):
            return
        text = "the create object has been deprecated in favor of user-level options"
        self._warn(obj, text)
        for name in _USER_FIELDS:
            if obj[name] or (name == "uid" and obj[name] is not None):
                text = f"cannot use both the create object and the user-level {name} field"
                self._add(obj, text)

    def _verification(self, obj: Obj) -> None:
        if obj["hash"] is not None:
            self._add(obj, checks.digest(obj["hash"], ("sha512",)))

    def _unit_text(self, obj: Obj) -> None:
        self._add(obj, checks.unit_text(obj["contents"]))

    def _file_filesystem(self, obj: Obj) -> None:
        if self._version == (2, 0) and not obj["filesystem"]:
            self._add(obj, "no filesystem specified")

    def _dropin(self, obj: Obj) -> None:
        self._unit_text(obj)
        self._add(obj, checks.dropin_name(obj["name"]))

    def _networkd_unit(self, obj: Obj) -> None:
        self._unit_text(obj)
        self._add(obj, checks.networkd_name(obj["name"]))

    def _networkd_dropin(self, obj: Obj) -> None:
        self._unit_text(obj)
        self._add(obj, checks.networkd_dropin_name(obj["name"]))

    def _headers(self, obj: Obj, headers: list[Obj]) -> None:
        seen: set[str] = set()
        for header in headers:
            if not header["name"]:
                self._add(obj, "HTTP header name can't be empty", field="httpHeaders")
            elif header["name"] in seen:
                text = f'Found duplicate HTTP header: "{header["name"]}"'
                self._add(obj, text, field="httpHeaders")
            seen.add(header["name"])

    # -- fields ------

    def _reference(self, obj: Obj) -> None:
        self._add(obj, self._source(obj["source"]), field="source")
        if obj.get("httpHeaders"):
            self._add(obj, self._headers_fit(obj["source"]), field="httpHeaders")

    def _contents(self, obj: Obj) -> None:
        self._add(obj, checks.compression(obj["compression"]), field="compression")
        problem = self._source(obj["source"])
        if problem and self._version >= (2, 3):
            problem = f'invalid url "{obj["source"]}": {problem}'
        self._add(obj, problem, field="source")
        if obj.get("httpHeaders"):
            self._add(obj, self._headers_fit(obj["source"]), field="httpHeaders")

    def _source(self, url: str) -> str:
        if url and checks.scheme_of(url) == "":
            return checks.BAD_SCHEME
        return checks.source(url, self._schemes)

    def _headers_fit(self, url: str) -> str:
        scheme = checks.scheme_of(url)
        if scheme is None:
            return checks.NO_URL
        if scheme in ("http", "https"):
            return ""
        return "cannot use HTTP headers with this source scheme"

    def _disk(self, obj: Obj) -> None:
        device = obj["device"]
        problem = checks.absolute(device) if device else "disk device is required"
        self._add(obj, problem, field="device")
        parts = obj["partitions"]
        numbers = [part["number"] for part in parts]
        if checks.collision(numbers) >= 0:
            self._add(obj, "partition numbers collide", field="partitions")
        if checks.overlap([Extent(part["start"], part["size"]) for part in parts]) >= 0:
            self._add(obj, "partitions overlap", field="partitions")
        if any((part["start"] or 0) % _SECTORS_PER_MIB for part in parts):
            self._add(obj, "partitions misaligned", field="partitions")
        if self._version < (2, 3):
            return
        if any(part["shouldExist"] is False for part in parts) and 0 in numbers:
            text = "shouldExist is false for a partition and other partition(s) has start or size 0"
            self._add(obj, text, field="partitions")
        in_sectors = any(p["start"] is not None or p["size"] is not None for p in parts)
        in_mib = any(p["startMiB"] is not None or p["sizeMiB"] is not None for p in parts)
        if in_sectors and in_mib:
            self._add(obj, "cannot mix MBs and sectors within a disk", field="partitions")

    def _partition_fields(self, obj: Obj) -> None:
        for name in ("size", "start"):
            if self._version >= (2, 3) and obj[name] is not None:
                text = f"{name} is deprecated; use {name}MB instead"
                self._add(obj, text, field=name, kind=DEPRECATED)
        label = obj["label"] or ""
        self._add(obj, checks.partition_label(label), field="label")
        if ":" in label:
            self._warn(obj, checks.COLON, field="label")
        self._add(obj, checks.guid(obj["typeGuid"]), field="typeGuid")
        self._add(obj, checks.guid(obj.get("guid") or ""), field="guid")

    def _raid_level(self, obj: Obj) -> None:
        flat = "spares unsupported for arrays with a level greater than 0"
        problem = checks.raid_level(obj["level"], obj["spares"], flat=flat)
        self._add(obj, problem, field="level")

    def _raid(self, obj: Obj) -> None:
        self._raid_level(obj)
        for device in obj["devices"]:
            self._add(obj, checks.absolute(device), field="devices")

    def _filesystem_fields(self, obj: Obj) -> None:
        if self._version[0] == 1:
            self._format(obj)
            self._add(obj, checks.absolute(obj["device"]), field="device")
        elif obj["path"] is not None and checks.absolute(obj["path"]):
            text = f'filesystem "{obj["name"]}": path not absolute'
            self._add(obj, text, field="path")

    def _mount_fields(self, obj: Obj) -> None:
        self._add(obj, checks.absolute(obj["device"]), field="device")
        label = obj.get("label")
        if label is not None:
            self._add(obj, checks.filesystem_label(label, obj["format"]), field="label")

    def _node_fields(self, obj: Obj) -> None:
        if self._version[0] != 1 and not obj["filesystem"]:
            self._add(obj, "no filesystem specified", field="filesystem")
        self._add(obj, checks.absolute(obj["path"]), field="path")
        if obj.kind == "Link":
            return
        self._add(obj, checks.mode(obj["mode"]), field="mode")
        if obj["mode"] is None and self._version >= (2, 2):
            self._warn(obj, "permissions unset, defaulting to 0000", field="mode")

    def _unit_fields(self, obj: Obj) -> None:
        text = obj["contents"]
        self._add(obj, checks.unit_text(text), field="contents")
        if obj["enable"] or obj.get("enabled"):
            self._warn(
                obj, checks.not_installed(obj["name"], text, when_empty=""), field="contents"
            )
        self._add(obj, checks.unit_name(obj["name"]), field="name")


# What a structure of version 1 and 2.0 is refused for before anybody looks inside.
_EARLY: dict[str, Callable[[Checker, Obj], None]] = {
    "Disk": Checker._disk,
    "Raid": Checker._raid_level,
    "File": Checker._file_filesystem,
    "Unit": Checker._unit_text,
    "SystemdDropin": Checker._unit_text,
    "Networkdunit": Checker._unit_text,
}
_WHOLE: dict[str, Callable[[Checker, Obj], None]] = {
    "Config": Checker._config,
    "File": Checker._file,
    "Filesystem": Checker._filesystem,
    "Mount": Checker._format,
    "Partition": Checker._partition,
    "NodeUser": Checker._owner,
    "NodeGroup": Checker._owner,
    "PasswdUser": Checker._user,
    "Verification": Checker._verification,
    "SystemdDropin": Checker._dropin,
    "Networkdunit": Checker._networkd_unit,
    "NetworkdDropin": Checker._networkd_dropin,
}
_FIELDS: dict[str, Callable[[Checker, Obj], None]] = {
    "ConfigReference": Checker._reference,
    "CaReference": Checker._reference,
    "FileContents": Checker._contents,
    "Disk": Checker._disk,
    "Partition": Checker._partition_fields,
    "Raid": Checker._raid,
    "Filesystem": Checker._filesystem_fields,
    "Mount": Checker._mount_fields,
    "File": Checker._node_fields,
    "Directory": Checker._node_fields,
    "Link": Checker._node_fields,
    "Unit": Checker._unit_fields,
}
