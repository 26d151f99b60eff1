"""What the files stage does, in order, for a config: accounts, then files, then units.

Pure: a config and what is known about the target in, actions out; printing them is the dry run. A
config of version 2 is followed as Ignition 0.35 follows it, one of version 3 as 2.14 does.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from coreos_py.base import gopath
from coreos_py.base.errors import CoreosError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from coreos_py.ignition.decode import Obj

PRESET = "/etc/systemd/system-preset/20-ignition.preset"
UNITS = "/etc/systemd/system"
_NETWORKD = "/etc/systemd/network"
_KEYS_2 = "authorized_keys.d/coreos-ignition"
_KEYS_3 = "authorized_keys.d/ignition"
_PERMISSIONS = 0o777


class PlanError(CoreosError):
    """The config asks for something that cannot be done; nothing has been."""


class Facts(NamedTuple):
    """What is there already."""

    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    # Directories that were made to mount something there.
    made: tuple[str, ...] = ()


class Source(NamedTuple):
    """Where bytes come from. An empty URL stands for no bytes."""

    url: str
    compression: str = ""
    digest: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    # The digest may also be one of the bytes as they were fetched, still compressed.
    digest_of_either: bool = False


class Owner(NamedTuple):
    """A user or a group, by number or by name; neither: root, or as it is."""

    id: int | None = None
    name: str = ""


class Run(NamedTuple):
    """A tool of the host that works on the target; `{root}` in it stands for the target."""

    argv: tuple[str, ...]


class Keys(NamedTuple):
    """SSH keys of a user: a file in its .ssh, and whether authorized_keys is made of them all."""

    user: str
    keys: tuple[str, ...]
    file: str
    is_collected: bool


class OwnHome(NamedTuple):
    """Give a user those of the directories that are in the user's home, for nobody else to see."""

    user: str
    directories: tuple[str, ...]


class PutFile(NamedTuple):
    """A file. Without a source an existing one keeps its content, and a new one is empty.

    Without a mode an existing one keeps that, too, and a new one gets `new_mode`.

    `device`, if any, is mounted for it, and the path is one on that.
    """

    path: str
    source: Source | None
    appends: tuple[Source, ...]
    mode: int | None
    user: Owner
    group: Owner
    overwrite: bool
    device: str = ""
    new_mode: int = 0o644


class PutDirectory(NamedTuple):
    """A directory; parents that are missing are made like it, or with 0755 and root.

    Without a mode a new one has 0755.
    """

    path: str
    mode: int | None
    user: Owner
    group: Owner
    overwrite: bool
    parents_alike: bool
    device: str = ""


class PutLink(NamedTuple):
    """A link. One that is there already and has this target is kept, if that is allowed."""

    path: str
    target: str
    hard: bool
    user: Owner
    group: Owner
    overwrite: bool
    may_be_there: bool
    device: str = ""


class PutUnit(NamedTuple):
    """A text of ours for systemd."""

    path: str
    text: str


class Mask(NamedTuple):
    """A unit that cannot be started."""

    path: str


class Unmask(NamedTuple):
    """A unit that can be started again."""

    path: str


class Disable(NamedTuple):
    """A unit that nothing starts any more."""

    unit: str


class Preset(NamedTuple):
    """What the first boot enables and disables: `enable NAME`."""

    lines: tuple[str, ...]


Action: TypeAlias = (
    Run
    | Keys
    | OwnHome
    | PutFile
    | PutDirectory
    | PutLink
    | PutUnit
    | Mask
    | Unmask
    | Disable
    | Preset
)


def plan(config: Obj, facts: Facts, *, major: int) -> list[Action]:
    """The actions of the files stage for a config in the latest version of its line."""
    refuse(config, major=major)
    return [
        *_accounts(config["passwd"], facts, major=major),
        *(_files_3(config["storage"]) if major == 3 else _files_2(config["storage"])),
        *_units(config, major=major),
    ]


def refuse(config: Obj, *, major: int) -> None:
    """PlanError when the config asks for something that no stage does."""
    if major != 3:
        return
    arguments = config["kernelArguments"]
    if arguments["shouldExist"] or arguments["shouldNotExist"]:
        raise PlanError("kernelArguments: kernel arguments are not supported here")
    if config["storage"]["luks"]:
        raise PlanError("storage.luks: encrypted devices are not supported here")


def sources(actions: Iterable[Action]) -> Iterator[Source]:
    """Everything that has to be fetched for these."""
    for action in actions:
        if isinstance(action, PutFile):
            if action.source is not None:
                yield action.source
            yield from action.appends


# -- accounts ------


def _accounts(passwd: Obj, facts: Facts, *, major: int) -> Iterator[Action]:
    for group in passwd["groups"]:
        yield from _group(group, facts)
    for user in passwd["users"]:
        yield from _user(user, facts, major=major)


def _group(group: Obj, facts: Facts) -> Iterator[Action]:
    name = group["name"]
    exists = name in facts.groups
    if group.get("shouldExist") is False:
        if exists:
            yield Run(("groupdel", "--root", "{root}", name))
        return
    words = ["groupmod" if exists else "groupadd", "--root", "{root}"]
    if group["gid"] is not None:
        words += ["--gid", str(group["gid"])]
    if not exists or group["passwordHash"]:
        words += ["--password", group["passwordHash"] or "*"]
    if group["system"] and not exists:
        words.append("--system")
    if len(words) > 3:
        yield Run((*words, name))


def _user(user: Obj, facts: Facts, *, major: int) -> Iterator[Action]:
    name = user["name"]
    exists = name in facts.users
    if user.get("shouldExist") is False:
        if exists:
            yield Run(("userdel", "--remove", "--root", "{root}", name))
        return
    given = user
    if major == 2 and user["create"] is not None:
        given = user["create"]
    if exists:
        words = _changes(given)
        if user["passwordHash"] is not None:
            words += ["--password", user["passwordHash"] or "*"]
        if words:
            yield Run(("usermod", "--root", "{root}", *words, name))
    else:
        words = _creation(given)
        words += ["--password", user["passwordHash"] or "*"]
        yield Run(("useradd", "--root", "{root}", *words, name))
    if facts.made and not user["noCreateHome"]:
        yield OwnHome(name, facts.made)
    if user["sshAuthorizedKeys"]:
        file = _KEYS_3 if major == 3 else _KEYS_2
        yield Keys(name, tuple(user["sshAuthorizedKeys"]), file, major == 2)


def _changes(user: Obj) -> list[str]:
    words = _attributes(user)
    if user["homeDir"]:
        words += ["--home", user["homeDir"], "--move-home"]
    return words


def _creation(user: Obj) -> list[str]:
    words = _attributes(user)
    if user["homeDir"]:
        words += ["--home-dir", user["homeDir"]]
    words.append("--no-create-home" if user["noCreateHome"] else "--create-home")
    flags = (
        ("noUserGroup", "--no-user-group"),
        ("system", "--system"),
        ("noLogInit", "--no-log-init"),
    )
    return words + [flag for name, flag in flags if user[name]]


def _attributes(user: Obj) -> list[str]:
    words = []
    if user["uid"] is not None:
        words += ["--uid", str(user["uid"])]
    for field, flag in (("gecos", "--comment"), ("primaryGroup", "--gid"), ("shell", "--shell")):
        if user[field]:
            words += [flag, user[field]]
    if user["groups"]:
        words += ["--groups", ",".join(user["groups"])]
    return words


# -- files ------


def _files_2(storage: Obj) -> Iterator[Action]:
    """As listed; every entry names its file system, which has a place below the root."""
    places = {"root": _Place("/")}
    for filesystem in storage["filesystems"]:
        if filesystem["path"] is not None:
            places[filesystem["name"]] = _Place(_below_sysroot(filesystem["path"]))
        else:
            places[filesystem["name"]] = _Place("/", filesystem["mount"]["device"])
    for directory in storage["directories"]:
        place = _place(directory, places)
        yield PutDirectory(
            place.path,
            (directory["mode"] or 0) & _PERMISSIONS,
            _owner(directory["user"], default=0),
            _owner(directory["group"], default=0),
            bool(directory["overwrite"]),
            parents_alike=True,
            device=place.device,
        )
    for file in storage["files"]:
        contents = _source(file["contents"], digest_of_either=True)
        is_appended = bool(file["append"])
        place = _place(file, places)
        yield PutFile(
            place.path,
            None if is_appended else contents,
            (contents,) if is_appended else (),
            None if is_appended and file["mode"] is None else (file["mode"] or 0) & _PERMISSIONS,
            _owner(file["user"]),
            _owner(file["group"]),
            overwrite=file["overwrite"] is not False,
            device=place.device,
            new_mode=0,
        )
    for link in storage["links"]:
        place = _place(link, places)
        yield PutLink(
            place.path,
            link["target"],
            link["hard"],
            _owner(link["user"]),
            _owner(link["group"]),
            bool(link["overwrite"]),
            may_be_there=False,
            device=place.device,
        )


def _below_sysroot(path: str) -> str:
    """The root file system was mounted at /sysroot when Ignition ran."""
    cleaned = gopath.clean(path)
    return cleaned.removeprefix("/sysroot") or "/"


class _Place(NamedTuple):
    """Where a named file system is: below the root, or on a device."""

    path: str
    device: str = ""


def _place(node: Obj, places: dict[str, _Place]) -> _Place:
    name = node["filesystem"]
    if name not in places:
        raise PlanError(f'the filesystem ("{name}"), was not defined')
    place = places[name]
    path = gopath.clean(posixpath.join(place.path, node["path"].lstrip("/")))
    return _Place(path, place.device)


def _files_3(storage: Obj) -> Iterator[Action]:
    """Directories and files by depth, then links, hard ones last."""
    nodes = [*storage["directories"], *storage["files"]]
    for node in sorted(nodes, key=lambda node: _depth(node["path"])):
        user, group = _owner(node["user"]), _owner(node["group"])
        if node.kind == "Directory":
            yield PutDirectory(
                node["path"],
                node["mode"],
                user,
                group,
                bool(node["overwrite"]),
                parents_alike=False,
            )
            continue
        contents = node["contents"]
        yield PutFile(
            node["path"],
            _source(contents) if contents["source"] is not None else None,
            tuple(_source(part) for part in node["append"]),
            node["mode"],
            user,
            group,
            overwrite=bool(node["overwrite"]),
        )
    links = sorted(storage["links"], key=lambda link: (bool(link["hard"]), _depth(link["path"])))
    for link in links:
        user, group = _owner(link["user"]), _owner(link["group"])
        overwrite, is_hard = bool(link["overwrite"]), bool(link["hard"])
        target = link["target"] or ""
        yield PutLink(link["path"], target, is_hard, user, group, overwrite, may_be_there=True)


def _depth(path: str) -> int:
    return 0 if path == "/" else path.count("/")


def _owner(owner: Obj | None, *, default: int | None = None) -> Owner:
    found = Owner(owner["id"], owner["name"] or "") if owner is not None else Owner()
    return Owner(default) if found == Owner() else found


def source_of(resource: Obj) -> Source:
    """Where a referenced config, or another whole resource, comes from."""
    return _source(resource, digest_of_either=resource.kind == "ConfigReference")


def _source(resource: Obj, *, digest_of_either: bool = False) -> Source:
    headers = tuple((h["name"], h["value"] or "") for h in resource["httpHeaders"])
    return Source(
        resource["source"] or "",
        resource.get("compression") or "",
        resource["verification"]["hash"] or "",
        headers,
        digest_of_either,
    )


# -- units ------


def _units(config: Obj, *, major: int) -> Iterator[Action]:
    presets: list[str] = []
    for unit in config["systemd"]["units"]:
        name, path = unit["name"], f"{UNITS}/{unit['name']}"
        for dropin in unit["dropins"]:
            # In version 3 an empty one is written, and hides the distribution's of that name.
            if dropin["contents"] or (major == 3 and dropin["contents"] is not None):
                yield PutUnit(f"{path}.d/{dropin['name']}", dropin["contents"])
        if unit["contents"]:
            yield PutUnit(path, unit["contents"])
        if unit["mask"]:
            yield Mask(path)
        elif unit["mask"] is False and major == 3:
            yield Unmask(path)
        if unit.get("enable"):
            presets.append(f"enable {name}")
        if unit["enabled"]:
            presets.append(f"enable {name}")
        elif unit["enabled"] is False:
            presets.append(f"disable {name}")
            if major == 3:
                yield Disable(name)
    if presets:
        yield Preset(tuple(_join_instances(presets)) if major == 3 else tuple(presets))
    if major == 2:
        for unit in config["networkd"]["units"]:
            path = f"{_NETWORKD}/{unit['name']}"
            for dropin in unit["dropins"]:
                if dropin["contents"]:
                    yield PutUnit(f"{path}.d/{dropin['name']}", dropin["contents"])
            if unit["contents"]:
                yield PutUnit(path, unit["contents"])


def _join_instances(presets: list[str]) -> list[str]:
    """`enable foo@a.service` and `enable foo@b.service` as `enable foo@.service a b`."""
    joined: dict[str, list[str]] = {}
    for line in presets:
        word, _, name = line.partition(" ")
        stem, at, rest = name.partition("@")
        instance, dot, kind = rest.rpartition(".")
        if at and dot and instance:
            joined.setdefault(f"{word} {stem}@.{kind}", []).append(instance)
        else:
            joined.setdefault(line, [])
    return [" ".join([line, *instances]) for line, instances in joined.items()]
