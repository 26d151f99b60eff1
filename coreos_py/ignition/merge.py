"""Putting configs together: `append` of version 2, `merge` of version 3, and older ones made new.

Pure. Follows config/merge of Ignition 2.14 and the Append functions of 0.35.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coreos_py.ignition import dataurl, schema
from coreos_py.ignition.decode import Obj, empty
from coreos_py.ignition.rules3 import BAGS, SHARED, key_of

if TYPE_CHECKING:
    from coreos_py.ignition.schema import Version

LATEST_2: Version = schema.VERSIONS_2[-1]
LATEST_3: Version = schema.VERSIONS_3[-1]
_RENAMED = {"FileContents": "Resource", "ConfigReference": "Resource", "CaReference": "Resource"}
_SCHEMA_2 = schema.of(LATEST_2)
_SCHEMA_3 = schema.of(LATEST_3)


def lift(config: Obj, version: Version) -> Obj:
    """The same config in the latest version of its line: 1 becomes 2, others get more fields."""
    if version[0] == 3:
        return _lift(config, _SCHEMA_3, rename=True)
    lifted = _from_1(config) if version[0] == 1 else _lift(config, _SCHEMA_2, rename=False)
    if version < (2, 3):
        for disk in lifted["storage"]["disks"]:
            for partition in disk["partitions"]:
                _close(partition)
    return lifted


def _close(partition: Obj) -> None:
    """Before 2.3 no start and no size meant 0: the first place, and all that is free."""
    for name in ("start", "size"):
        partition.fields[name] = partition[name] or 0
    partition.fields["label"] = partition["label"] or None


def no_references(major: int) -> Obj:
    """The `ignition.config` of a config that stands alone."""
    return empty(_SCHEMA_3 if major == 3 else _SCHEMA_2, "IgnitionConfig")


def _lift(obj: Obj, target: schema.Schema, *, rename: bool) -> Obj:
    kind = _RENAMED.get(obj.kind, obj.kind) if rename else obj.kind
    lifted = empty(target, kind)
    for name, value in obj.fields.items():
        if isinstance(value, list):
            value = [_lift(v, target, rename=rename) if _is_obj(v) else v for v in value]
        elif _is_obj(value):
            value = _lift(value, target, rename=rename)
        lifted.fields[name] = value
    return lifted


def _from_1(config: Obj) -> Obj:
    """Every file system gets a name, its files a data URL, and their owners an object."""
    lifted = empty(_SCHEMA_2, "Config")
    lifted.fields["ignition"].fields["version"] = "2.0.0"
    for name in ("systemd", "networkd", "passwd"):
        lifted.fields[name] = _lift(config[name], _SCHEMA_2, rename=False)
    storage, old = lifted["storage"], config["storage"]
    for name in ("disks", "raid"):
        storage.fields[name] = [_lift(item, _SCHEMA_2, rename=False) for item in old[name]]
    for at, filesystem in enumerate(old["filesystems"]):
        label = f"_translate-filesystem-{at}"
        mount = empty(_SCHEMA_2, "Mount")
        mount.fields |= {"device": filesystem["device"], "format": filesystem["format"]}
        mount.fields["create"] = filesystem["create"]
        made = empty(_SCHEMA_2, "Filesystem")
        made.fields |= {"name": label, "mount": mount}
        storage["filesystems"].append(made)
        storage["files"].extend(_file_from_1(file, label) for file in filesystem["files"])
    return lifted


def _file_from_1(old: Obj, filesystem: str) -> Obj:
    file = empty(_SCHEMA_2, "File")
    contents = file["contents"]
    text = old["contents"].encode("utf-8", "surrogatepass")
    contents.fields["source"] = dataurl.encode(text) if text else ""
    file.fields |= {"filesystem": filesystem, "path": old["path"], "mode": old["mode"]}
    for owner, kind, number in (("user", "NodeUser", "uid"), ("group", "NodeGroup", "gid")):
        file.fields[owner] = empty(_SCHEMA_2, kind)
        file[owner].fields["id"] = old[number]
    return file


def append(parent: Obj, child: Obj) -> Obj:
    """Version 2: lists one behind the other, of the rest what the child says, if anything."""
    merged = Obj(parent.kind, dict(parent.fields), None)
    for name, value in child.fields.items():
        mine = parent.fields[name]
        if isinstance(value, list):
            merged.fields[name] = [*mine, *value]
        elif name == "version":
            continue
        elif _is_obj(value) and _is_obj(mine):
            merged.fields[name] = append(mine, value)
        elif value:
            merged.fields[name] = value
    return merged


def merge(parent: Obj, child: Obj) -> Obj:
    """Version 3: field by field, lists by what makes their elements the same."""
    merged = Obj(parent.kind, dict(parent.fields), None)
    shared = SHARED.get(parent.kind, ())
    taken = {_key(item) for name in shared for item in child[name]}
    for name, value in child.fields.items():
        mine = parent.fields[name]
        if isinstance(value, list):
            if (parent.kind, name) in BAGS:
                merged.fields[name] = [*mine, *value]
            else:
                own = {_key(item) for item in value}
                if name in shared:
                    mine = [m for m in mine if _key(m) in own or _key(m) not in taken]
                merged.fields[name] = _merge_list(mine, value)
        elif _is_obj(value) and _is_obj(mine):
            merged.fields[name] = merge(mine, value)
        elif value or (value is not None and _SCHEMA_3[parent.kind][name].is_optional):
            merged.fields[name] = value
    return merged


def _merge_list(mine: list[Any], theirs: list[Any]) -> list[Any]:
    found: dict[object, Any] = {_key(item): item for item in mine}
    for item in theirs:
        key = _key(item)
        if _is_obj(item) and item.kind == "HTTPHeader" and item["value"] is None:
            found.pop(key, None)
        elif key in found and _is_obj(item):
            found[key] = merge(found[key], item)
        else:
            found[key] = item
    return list(found.values())


def _key(item: Any) -> object:
    return key_of(item) if _is_obj(item) else item


def _is_obj(value: object) -> bool:
    return isinstance(value, Obj)
