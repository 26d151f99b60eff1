"""What must hold in a config of version 3, field by field.

Pure. Follows the Validate methods of config/v3_*/types in Ignition 2.14 to 2.26, and the checks for
duplicates in its config/validate.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from coreos_py.base import gopath
from coreos_py.base.gostring import quote
from coreos_py.ignition import checks, jsontext
from coreos_py.ignition.checks import Extent
from coreos_py.ignition.jsontext import BadJSON
from coreos_py.ignition.report import ERROR, WARNING
from coreos_py.ignition.schema import EXPERIMENTAL, has_special_bits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from coreos_py.ignition.decode import Obj
    from coreos_py.ignition.jsontext import Node
    from coreos_py.ignition.report import Path, Report
    from coreos_py.ignition.schema import Version

SCHEMES = frozenset(("http", "https", "tftp", "s3", "gs", "data"))
_FORMATS = ("ext4", "btrfs", "xfs", "swap", "vfat")
_PINS = ("tpm2", "tang", "sss")
_INSTANCE = re.compile(r"(.+?)@(.+?)\.service$")
_KEYED = {
    "Disk": "device",
    "Filesystem": "device",
    "Raid": "name",
    "Luks": "name",
    "Unit": "name",
    "Dropin": "name",
    "PasswdUser": "name",
    "PasswdGroup": "name",
    "HTTPHeader": "name",
    "Resource": "source",
    "ConfigReference": "source",
    "CaReference": "source",
    "FileContents": "source",
    "Tang": "url",
    "File": "path",
    "Directory": "path",
    "Link": "path",
}
# Lists in which something may stand twice.
BAGS = frozenset(
    (
        ("File", "append"),
        ("Filesystem", "options"),
        ("Filesystem", "mountOptions"),
        ("Raid", "options"),
        ("Luks", "options"),
        ("Luks", "openOptions"),
    )
)
# Lists that share their keys with the others of the same structure in the same row.
SHARED = {
    "Storage": ("directories", "files", "links"),
    "KernelArguments": ("shouldExist", "shouldNotExist"),
}


class Checker:
    """One walk over one config."""

    def __init__(self, version: Version, report: Report) -> None:
        self._version = version
        self._report = report

    def check(self, obj: Obj, path: Path = ()) -> None:
        """Check a structure and everything below it."""
        rule = _RULES.get(obj.kind)
        if rule is not None:
            rule(self, obj, path)
        self._duplicates(obj, path)
        for name, value in obj.fields.items():
            inner = (*path, name)
            if isinstance(value, list):
                for at, item in enumerate(value):
                    self._below(obj, item, (*inner, at))
            else:
                self._below(obj, value, inner)

    def _below(self, owner: Obj, value: object, path: Path) -> None:
        if hasattr(value, "fields"):
            self.check(value, path)  # type: ignore[arg-type]
        elif owner.kind == "Raid" and path[-2] == "devices":
            self._add(owner, path, checks.clean(str(value)))

    def _add(self, obj: Obj, path: Path, message: str, *, kind: str = ERROR) -> None:
        if message:
            self._report.add(kind, message, path=path, offset=_offset(obj, path))

    def _field(self, obj: Obj, path: Path, name: str, message: str, *, kind: str = ERROR) -> None:
        self._add(obj, (*path, name), message, kind=kind)

    # -- duplicates ------

    def _duplicates(self, obj: Obj, path: Path) -> None:
        shared = SHARED.get(obj.kind, ())
        together: set[object] = set()
        for name, value in obj.fields.items():
            if not isinstance(value, list) or (obj.kind, name) in BAGS:
                continue
            seen = together if name in shared else set()
            for at, item in enumerate(value):
                key = _key(item)
                if key is None:
                    continue
                if key in seen:
                    self._add(obj, (*path, name, at), "duplicate entry defined")
                seen.add(key)

    # -- structures ------

    def _config(self, obj: Obj, path: Path) -> None:
        for at, resource in enumerate(obj["merge"] if self._version >= (3, 1) else ()):
            self._required(obj, resource, (*path, "merge", at))

    def _tls(self, obj: Obj, path: Path) -> None:
        for at, resource in enumerate(
            obj["certificateAuthorities"] if self._version >= (3, 1) else ()
        ):
            self._required(obj, resource, (*path, "certificateAuthorities", at))

    def _required(self, owner: Obj, resource: Obj, path: Path) -> None:
        source = resource["source"] or ""
        message = checks.source(source, self._schemes()) if source else "source is required"
        self._add(owner, path, message)

    def _resource(self, obj: Obj, path: Path) -> None:
        source = obj["source"]
        if obj["compression"] is not None:
            self._field(obj, path, "compression", checks.compression(obj["compression"]))
        if obj["verification"]["hash"] is not None and source is None:
            text = "source must be specified if verification is specified"
            self._add(obj, (*path, "verification", "hash"), text)
        if source:
            self._field(obj, path, "source", checks.source(source, self._schemes()))
        if obj.get("httpHeaders"):
            self._field(obj, path, "httpHeaders", checks.headers_fit(source or ""))

    def _config_reference(self, obj: Obj, path: Path) -> None:
        if obj["source"]:
            self._field(obj, path, "source", checks.source(obj["source"], self._schemes()))

    def _ca_reference(self, obj: Obj, path: Path) -> None:
        problem = checks.source(obj["source"], self._schemes())
        self._field(obj, path, "source", problem)

    def _schemes(self) -> frozenset[str]:
        schemes = SCHEMES if self._version >= (3, 2) else SCHEMES - {"gs"}
        return schemes | {"arn"} if self._version >= EXPERIMENTAL else schemes

    def _verification(self, obj: Obj, path: Path) -> None:
        functions = ("sha512", "sha256") if self._version >= (3, 1) else ("sha512",)
        if obj["hash"] is not None:
            self._field(obj, path, "hash", checks.digest(obj["hash"], functions))

    def _header(self, obj: Obj, path: Path) -> None:
        if not obj["name"]:
            self._field(obj, path, "name", "HTTP header name can't be empty")
        if obj["value"] == "":
            self._field(obj, path, "value", "unable to parse HTTP header")

    def _proxy(self, obj: Obj, path: Path) -> None:
        for name in ("httpProxy", "httpsProxy"):
            url = obj[name]
            if url is None:
                continue
            scheme = checks.scheme_of(url)
            if scheme is None:
                self._field(obj, path, name, checks.NO_URL)
            elif scheme not in ("http", "https"):
                self._field(obj, path, name, "proxies must be http(s)")
            elif scheme == "http" and name == "httpsProxy":
                text = "insecure plaintext HTTP proxy specified for HTTPS resources"
                self._field(obj, path, name, text, kind=WARNING)

    def _disk(self, obj: Obj, path: Path) -> None:
        if not obj["device"]:
            self._field(obj, path, "device", "disk device is required")
            return
        self._field(obj, path, "device", checks.clean(obj["device"]))
        parts = obj["partitions"]
        inner = (*path, "partitions")
        at = checks.collision([part["number"] for part in parts])
        if at >= 0:
            self._add(obj, (*inner, at), "partition numbers collide")
        at = checks.overlap([Extent(part["startMiB"], part["sizeMiB"]) for part in parts])
        if at >= 0:
            self._add(obj, (*inner, at), "partitions overlap")
        if any(part["shouldExist"] is False for part in parts) and any(
            part["number"] == 0 for part in parts
        ):
            text = "shouldExist is false for a partition and other partition(s) has start or size 0"
            self._add(obj, inner, text)
        at = _repeated([part["label"] for part in parts])
        if at >= 0:
            self._add(obj, (*inner, at), "cannot use the same partition label twice")

    def _partition(self, obj: Obj, path: Path) -> None:
        label = obj["label"]
        has_more = obj["typeGuid"] or obj["guid"] or obj["startMiB"] is not None
        if obj["shouldExist"] is False and (
            label is not None or has_more or obj["sizeMiB"] is not None
        ):
            text = "shouldExist specified false with other options also specified"
            self._add(obj, path, text)
        if obj["number"] == 0 and label is None:
            self._add(obj, path, "a partition number >= 1 or a label must be specified")
        if label is not None:
            problem = checks.partition_label(label) or (checks.COLON if ":" in label else "")
            self._field(obj, path, "label", problem)
        for name in ("guid", "typeGuid"):
            if obj[name] is not None:
                self._field(obj, path, name, checks.guid(obj[name]))

    def _filesystem(self, obj: Obj, path: Path) -> None:
        if obj["path"]:
            self._field(obj, path, "path", checks.clean(obj["path"]))
        self._field(obj, path, "device", checks.clean(obj["device"]))
        name, label = obj["format"] or "", obj["label"] or ""
        if name:
            formats = (*_FORMATS, "none") if self._version >= (3, 3) else _FORMATS
            known = "" if name in formats else "invalid filesystem format"
            self._field(obj, path, "format", known)
        elif self._has_more_than_device(obj):
            text = "format cannot be empty when path, label, uuid, wipeFilesystem, options, or"
            self._field(obj, path, "format", f"{text} mountOptions is specified")
        if label and not name:
            text = "filesystem must specify format if label is specified"
            self._field(obj, path, "label", text)
        elif label:
            self._field(obj, path, "label", checks.filesystem_label(label, name))

    def _has_more_than_device(self, obj: Obj) -> bool:
        names = ("path", "label", "uuid", "wipeFilesystem", "options", "mountOptions")
        return any(obj.get(name) for name in names)

    def _raid(self, obj: Obj, path: Path) -> None:
        level = obj["level"] or ""
        flat = "spares unsupported for linear and raid0 arrays"
        problem = checks.raid_level(level, obj["spares"] or 0, flat=flat)
        if not level and self._version >= (3, 3):
            problem = "raid level is required"
        self._field(obj, path, "level", problem)
        if not obj["devices"]:
            self._field(obj, path, "devices", "raid devices required")

    def _luks(self, obj: Obj, path: Path) -> None:
        if "/" in obj["name"]:
            self._field(obj, path, "name", "device names cannot contain slashes")
        if len((obj["label"] or "").encode("utf-8", "surrogatepass")) > 47:
            text = "luks device labels cannot be longer than 47 characters"
            self._field(obj, path, "label", text)
        device = obj["device"] or ""
        self._field(
            obj, path, "device", checks.clean(device) if device else "disk device is required"
        )
        clevis = obj["clevis"]
        has_custom = clevis["custom"]["pin"]
        if self._version < (3, 3):
            has_custom = clevis.nodes.get("custom")
        if has_custom and (clevis["tang"] or clevis["tpm2"] or clevis["threshold"]):
            text = "cannot use custom clevis config with tpm2, tang, or threshold"
            self._field(obj, path, "clevis", text)
        source = obj["keyFile"]["source"] or ""
        if source and checks.source(source, self._schemes()):
            self._field(obj, path, "keys", "invalid key-file source")
        cex = obj.get("cex")
        if cex is None or not cex["enabled"]:
            return
        if clevis["custom"]["pin"] or clevis["tang"] or clevis["tpm2"] or clevis["threshold"]:
            self._field(obj, path, "cex", "cannot use cex with clevis")
        if source:
            self._field(obj, path, "cex", "cannot use key file with cex")

    def _custom(self, obj: Obj, path: Path) -> None:
        if self._version < (3, 3):
            if not obj["pin"] and not obj["config"]:
                return
        elif not obj["pin"] and not obj["config"] and not obj["needsNetwork"]:
            return
        if not obj["pin"] and self._version >= (3, 3):
            self._field(obj, path, "pin", "missing required custom clevis pin")
        elif obj["pin"] not in _PINS and self._version < (3, 6):
            self._field(obj, path, "pin", "unsupported clevis pin")
        if not obj["config"]:
            self._field(obj, path, "config", "missing required custom clevis config")

    def _tang(self, obj: Obj, path: Path) -> None:
        scheme = checks.scheme_of(obj["url"])
        if scheme is None:
            self._field(obj, path, "url", checks.NO_URL)
        elif scheme not in ("http", "https"):
            self._field(obj, path, "url", checks.BAD_SCHEME)
        if not obj["thumbprint"]:
            self._field(obj, path, "thumbprint", "thumbprint is required")
        if obj.get("advertisement") and not _is_json(obj["advertisement"]):
            self._field(obj, path, "advertisement", "advertisement is not valid JSON")

    def _node(self, obj: Obj, path: Path) -> None:
        self._field(obj, path, "path", checks.clean(obj["path"]))
        mode = obj.get("mode")
        self._field(obj, path, "mode", checks.mode(mode))
        if mode is not None and mode & checks.SPECIAL_BITS and not has_special_bits(self._version):
            since = "supported" if self._version < (3, 4) else "supported or functional"
            wanted = "3.4.0" if self._version < (3, 4) else "3.6.0"
            text = f"setuid/setgid/sticky bits are not {since} in spec versions older than {wanted}"
            self._field(obj, path, "mode", text, kind=WARNING)

    def _file(self, obj: Obj, path: Path) -> None:
        self._node(obj, path)
        if obj["overwrite"] and obj["contents"]["source"] is None:
            text = "overwrite must be false if source is unspecified"
            self._field(obj, path, "overwrite", text)

    def _owner(self, obj: Obj, path: Path) -> None:
        if obj["id"] is not None and obj["name"]:
            self._add(obj, path, "cannot set both id and name")

    def _storage(self, obj: Obj, path: Path) -> None:
        links = obj["links"]
        prefixes = [f"{link['path']}/" for link in links]
        for what, name in (("directory", "directories"), ("file", "files"), ("link", "links")):
            for at, node in enumerate(obj[name]):
                if any(node["path"].startswith(prefix) for prefix in prefixes):
                    text = f"{what} path includes link in config"
                    self._add(obj, (*path, name, at), text)
        directories = {directory["path"] for directory in obj["directories"]}
        for at, link in enumerate(links):
            inner = (*path, "links", at)
            if not link["target"] and self._version >= (3, 3):
                self._add(obj, (*inner, "target"), "link target is required")
            elif link["hard"] and _hard_target(link) in directories:
                self._add(obj, inner, "hard link target is a directory")
            elif link["hard"] and self._version >= (3, 4):
                self._unowned(link, inner)
        if self._version >= (3, 4):
            self._wiped(obj, path)

    def _unowned(self, link: Obj, path: Path) -> None:
        for whose in ("user", "group"):
            for name in ("id", "name"):
                if link[whose][name] is not None:
                    text = "user/group ignored for hard link"
                    self._add(link[whose], (*path, whose, name), text, kind=WARNING)

    def _wiped(self, obj: Obj, path: Path) -> None:
        disks = {disk["device"]: disk for disk in obj["disks"]}
        for at, filesystem in enumerate(obj["filesystems"]):
            disk = disks.get(filesystem["device"])
            if disk is None:
                continue
            text = ""
            if disk["partitions"]:
                text = "filesystem overwrites partitioned device"
            elif disk["wipeTable"] and not filesystem["wipeFilesystem"]:
                text = "device matches disk with wipeTable enabled; filesystem will be wiped"
            inner = (*path, "filesystems", at, "device")
            if text:
                self._add(filesystem, inner, text, kind=WARNING)

    def _whole(self, obj: Obj, path: Path) -> None:
        if self._version < (3, 4):
            return
        taken = set()
        for unit in obj["systemd"]["units"]:
            place = f"/etc/systemd/system/{unit['name']}"
            if unit["contents"]:
                taken.add(place)
            taken |= {f"{place}.d/{d['name']}" for d in unit["dropins"] if d["contents"]}
        for name in SHARED["Storage"]:
            for at, node in enumerate(obj["storage"][name]):
                if node["path"] in taken:
                    text = "path conflicts with systemd unit or dropin"
                    self._add(node, (*path, "storage", name, at, "path"), text)

    def _systemd(self, obj: Obj, path: Path) -> None:
        if self._version < (3, 4):
            return
        texts = {unit["name"]: unit["contents"] or "" for unit in obj["units"]}
        for at, unit in enumerate(obj["units"]):
            instance = _INSTANCE.match(unit["name"])
            if instance is None or not unit["enabled"]:
                continue
            template = f"{instance[1]}@.service"
            if checks.not_installed(template, texts.get(template, "")):
                shown = f"{quote(template)} for {quote(unit['name'])}"
                text = f"template unit {shown} doesn't have Install section"
                self._add(unit, (*path, "units", at, "contents"), text, kind=WARNING)

    def _unit(self, obj: Obj, path: Path) -> None:
        text = obj["contents"] or ""
        self._field(obj, path, "name", checks.unit_name(obj["name"]))
        self._field(obj, path, "contents", checks.unit_text(text))
        if obj["enabled"]:
            problem = checks.not_installed(obj["name"], text)
            self._field(obj, path, "contents", problem, kind=WARNING)

    def _dropin(self, obj: Obj, path: Path) -> None:
        self._field(obj, path, "contents", checks.unit_text(obj["contents"] or ""))
        self._field(obj, path, "name", checks.dropin_name(obj["name"]))


_RULES: dict[str, Callable[[Checker, Obj, Path], None]] = {
    "Config": Checker._whole,
    "Systemd": Checker._systemd,
    "IgnitionConfig": Checker._config,
    "TLS": Checker._tls,
    "Resource": Checker._resource,
    "FileContents": Checker._resource,
    "ConfigReference": Checker._config_reference,
    "CaReference": Checker._ca_reference,
    "Verification": Checker._verification,
    "HTTPHeader": Checker._header,
    "Proxy": Checker._proxy,
    "Disk": Checker._disk,
    "Partition": Checker._partition,
    "Filesystem": Checker._filesystem,
    "Raid": Checker._raid,
    "Luks": Checker._luks,
    "ClevisCustom": Checker._custom,
    "Tang": Checker._tang,
    "File": Checker._file,
    "Directory": Checker._node,
    "Link": Checker._node,
    "NodeUser": Checker._owner,
    "NodeGroup": Checker._owner,
    "Storage": Checker._storage,
    "Unit": Checker._unit,
    "Dropin": Checker._dropin,
}


def key_of(item: Obj) -> str | None:
    """What makes an element of a list the same as another's."""
    if item.kind == "Partition":
        if item["number"]:
            return f"number:{item['number']}"
        return f"label:{item['label']}" if item["label"] is not None else ""
    name = _KEYED.get(item.kind)
    return None if name is None else item[name] or ""


def _key(item: object) -> object:
    return key_of(item) if hasattr(item, "fields") else item  # type: ignore[arg-type]


def _repeated(values: Iterable[object]) -> int:
    seen: set[object] = set()
    for at, value in enumerate(values):
        if value is not None and value in seen:
            return at
        seen.add(value)
    return -1


def _is_json(text: str) -> bool:
    try:
        jsontext.parse(text)
    except BadJSON:
        return False
    return True


def _hard_target(link: Obj) -> str:
    target = link["target"] or ""
    if target.startswith("/"):
        return gopath.clean(target)
    return gopath.clean(posixpath.join(link["path"], target)) if link["path"] or target else ""


def _offset(obj: Obj, path: Path) -> int:
    """Where in the text this is, or the innermost thing around it that is there."""
    node: Node | None = obj.node
    found = node.start if node is not None else -1
    for name in reversed(path):
        if isinstance(name, str) and name in obj.nodes:
            return obj.nodes[name].start
    return found
