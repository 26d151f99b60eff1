"""A cloud-config as an Ignition config, as far as the one can say what the other says.

Pure. What coreos-cloudinit would do is planned, and each step is told in Ignition's words; what has
none is named, not dropped in silence.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from coreos_py.base import gopath
from coreos_py.cloudinit import plan
from coreos_py.cloudinit.plan import (
    AuthorizeKeys,
    Command,
    CreateUser,
    Enable,
    ImportKeys,
    Mask,
    MergeEnvironment,
    Note,
    SetHostname,
    SetPassword,
    WriteFile,
)
from coreos_py.ignition import dataurl

if TYPE_CHECKING:
    from coreos_py.cloudinit.config import CloudConfig, File, User
    from coreos_py.cloudinit.plan import Step

VERSION = "3.3.0"
_UNIT_PATH = re.compile(r"/(?:etc|run)/systemd/system/([^/]+)(?:\.d/([^/]+))?")
_STARTS = frozenset(("start", "restart", "try-restart", "reload-or-restart"))


class Converted(NamedTuple):
    """The config, and what it leaves out, a line each."""

    document: dict[str, Any]
    omitted: list[str]


class _Facts:
    """A machine of which nothing is known but that it has the user every CoreOS has."""

    def user_exists(self, name: str) -> bool:
        return name == plan.CORE_USER

    def hostname(self) -> str:
        return ""

    def update_conf(self) -> bytes:
        return b""


def convert(config: CloudConfig) -> Converted:
    """The Ignition config; StepError if coreos-cloudinit itself would give the cloud-config up."""
    made = _Document()
    key_set = "coreos-cloudinit"
    for step in plan.steps(config, _Facts(), key_set=key_set, addresses={}):
        made.add(step)
    if config.manage_etc_hosts and not config.hostname:
        made.omitted.append("manage_etc_hosts: the host name is not known before the first boot")
    return Converted(made.document(), made.omitted)


class _Document:
    def __init__(self) -> None:
        self.omitted: list[str] = []
        self._users: dict[str, dict[str, Any]] = {}
        self._files: dict[str, dict[str, Any]] = {}
        self._units: dict[str, dict[str, Any]] = {}

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = {"ignition": {"version": VERSION}}
        if self._users:
            found["passwd"] = {"users": list(self._users.values())}
        if self._files:
            found["storage"] = {"files": list(self._files.values())}
        if self._units:
            found["systemd"] = {"units": list(self._units.values())}
        return found

    def add(self, step: Step) -> None:
        match step:
            case SetHostname(name):
                self._file("/etc/hostname", f"{name}\n".encode(), mode=0o644)
            case CreateUser(user):
                self._user(user.name).update(_user_fields(user))
            case SetPassword(user, passwd):
                self._user(user)["passwordHash"] = passwd
            case AuthorizeKeys():
                keys = self._user(step.user).setdefault("sshAuthorizedKeys", [])
                keys += [key for key in step.keys if key not in keys]
            case ImportKeys():
                self.omitted.append(f"user {step.user}: the keys of {step.url} are not fetched")
            case WriteFile():
                self._write(step.file)
            case Mask():
                self._unit(step.unit)["mask"] = True
            case Enable():
                self._unit(step.unit)["enabled"] = True
            case Command():
                self._command(step)
            case MergeEnvironment():
                self.omitted.append("/etc/environment: addresses are not known before the boot")
            case Note():
                self.omitted.append(step.text)

    def _user(self, name: str) -> dict[str, Any]:
        return self._users.setdefault(name, {"name": name})

    def _unit(self, name: str) -> dict[str, Any]:
        return self._units.setdefault(name, {"name": name})

    def _write(self, file: File) -> None:
        path = gopath.clean("/" + file.path.lstrip("/"))
        found = _UNIT_PATH.fullmatch(path)
        text = file.content.decode("utf-8", "replace")
        if found is None:
            user, _, group = file.owner.partition(":")
            mode = int(file.permissions, 8) if file.permissions else 0o644
            self._file(path, file.content, mode=mode, user=user, group=group)
        elif found[2]:
            if text:
                dropins = self._unit(found[1]).setdefault("dropins", [])
                dropins.append({"name": found[2], "contents": text})
        else:
            self._unit(found[1])["contents"] = text

    def _file(
        self, path: str, content: bytes, *, mode: int, user: str = "", group: str = ""
    ) -> None:
        file: dict[str, Any] = {
            "path": path,
            "overwrite": True,
            "mode": mode,
            "contents": {"source": dataurl.encode(content)},
        }
        for field, owner in (("user", user), ("group", group)):
            if owner:
                file[field] = {"id": int(owner)} if owner.isdigit() else {"name": owner}
        self._files[path] = file

    def _command(self, step: Command) -> None:
        unit = self._unit(step.unit)
        if step.command not in _STARTS:
            self.omitted.append(f"unit {step.unit}: command {step.command} has no counterpart")
        elif "contents" in unit and "[Install]" not in unit["contents"]:
            self.omitted.append(
                f"unit {step.unit}: has no [Install] section, so enabling it would not start it"
            )
        else:
            unit["enabled"] = True


def _user_fields(user: User) -> dict[str, Any]:
    fields = {
        "passwordHash": user.passwd,
        "gecos": user.gecos,
        "homeDir": user.homedir,
        "noCreateHome": user.no_create_home,
        "primaryGroup": user.primary_group,
        "groups": list(user.groups),
        "noUserGroup": user.no_user_group,
        "system": user.system,
        "noLogInit": user.no_log_init,
        "shell": user.shell,
    }
    return {name: value for name, value in fields.items() if value}
