"""The files that are made of a cloud-config's sections. Pure.

Mirrors system/{env,flannel,update,oem,etc_hosts,env_file}.go of coreos-cloudinit 1.13.0; programs
read these files, so every byte counts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from coreos_py.cloudinit import gotext, schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coreos_py.cloudinit.config import Section
    from coreos_py.cloudinit.schema import Field

UPDATE_CONF = "/etc/coreos/update.conf"
UPDATE_CONF_DEFAULTS = "/usr/share/coreos/update.conf"
OEM_RELEASE = "/etc/oem-release"
HOSTS = "/etc/hosts"
FLANNEL_OPTIONS = "/run/flannel/options.env"
ENVIRONMENT = "/etc/environment"
LOCALHOST = "localhost"

_ENVIRONMENT_LINE = re.compile(rb"((?:([a-zA-Z0-9_]+)=)?[^\n]*?)\r?\n")


class RenderError(Exception):
    """A section asks for what cannot be; the message is upstream's."""


def _variables(fields: tuple[Field, ...], section: Section) -> list[str]:
    """NAME=value of every key that is set: 0, false and "" count as not set."""
    values = ((field.env, section[field.name]) for field in fields)
    return [f"{name}={gotext.value(value)}" for name, value in values if value]


def service_drop_in(fields: tuple[Field, ...], section: Section) -> str:
    """A unit's drop-in with the section as environment, "" when nothing is set."""
    lines = [f'Environment="{item}"\n' for item in _variables(fields, section)]
    return "".join(["[Service]\n", *lines]) if lines else ""


def flannel_options(section: Section) -> str:
    """flannel's environment file; upstream ends it without a line break."""
    return "\n".join(_variables(schema.FLANNEL, section))


def oem_release(section: Section) -> str:
    """/etc/oem-release, "" without an id."""
    if not section["id"]:
        return ""
    quoted = {"NAME": "name", "HOME_URL": "home_url", "BUG_REPORT_URL": "bug_report_url"}
    lines = [f"ID={section['id']}", f"VERSION_ID={section['version_id']}"]
    lines += [f"{name}={gotext.quote(section[key])}" for name, key in quoted.items()]
    return "\n".join(lines) + "\n"


def check_hosts(manage: str) -> None:
    """RenderError unless manage_etc_hosts has the one value there is."""
    if manage != LOCALHOST:
        raise RenderError("Invalid option to manage_etc_hosts")


def hosts(hostname: str) -> str:
    """/etc/hosts."""
    return f"127.0.0.1 {hostname}\n"


def check_update(section: Section) -> None:
    """RenderError for a value that update.conf must not get."""
    for field in schema.UPDATE:
        value = section[field.name]
        if value and field.valid and not field.valid.pattern.fullmatch(value):
            name = gotext.quote(schema.UPDATE_GO_NAMES[field.name])
            valid = gotext.quote(field.valid.text)
            raise RenderError(
                f"invalid value {gotext.quote(value)} for option {name} (valid options: {valid})"
            )


def update_conf(base: bytes, section: Section) -> bytes:
    """update.conf from the text it had; a line counts that only begins with a name."""
    items = ((field.env, section[field.name]) for field in schema.UPDATE)
    pending = {
        name.encode(): f"{name}={value}".encode("utf-8", "surrogateescape")
        for name, value in items
        if value
    }
    out: list[bytes] = []
    for line in _lines(base):
        name = next((name for name in pending if line.startswith(name)), b"")
        out.append(pending.pop(name) if name else line)
    out += [pending[name] for name in sorted(pending)]
    return b"".join(line + b"\n" for line in out)


def _lines(data: bytes) -> list[bytes]:
    """Go's ScanLines: no carriage return before a break, no empty line after the last one."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix(b"\r") for line in lines]


def environment(old: bytes, values: Mapping[str, str]) -> bytes:
    """/etc/environment with these variables: the first line of each is replaced, others stay."""
    pending = {
        name.encode(): value.encode("utf-8", "surrogateescape") for name, value in values.items()
    }
    if old and not old.endswith(b"\n"):
        old += b"\n"
    out: list[bytes] = []
    for found in _ENVIRONMENT_LINE.finditer(old):
        name = found.group(2) or b""
        value = pending.pop(name, None)
        out.append(found.group(1) if value is None else name + b"=" + value)
    out += [name + b"=" + pending[name] for name in sorted(pending)]
    return b"".join(line + b"\n" for line in out)
