"""Specifiers of unit files (%n, %i, %H, ...) of systemd.unit(5). Pure: facts are passed in."""

from __future__ import annotations

from typing import NamedTuple

from coreos_py.base.unitfile import name_info


class Facts(NamedTuple):
    """What specifiers can say about the machine and the user units run as."""

    machine_id: str = ""
    boot_id: str = ""
    hostname: str = ""
    kernel: str = ""
    architecture: str = ""
    user: str = ""
    group: str = ""
    uid: int = 0
    gid: int = 0
    home: str = "/"
    login_shell: str = "/bin/sh"
    runtime_dir: str = "/run"
    state_dir: str = "/var/lib"
    cache_dir: str = "/var/cache"
    log_dir: str = "/var/log"
    config_dir: str = "/etc"
    units_dir: str = ""


def table(unit: str, facts: Facts) -> dict[str, str]:
    """The value of every specifier for one unit."""
    info = name_info(unit)
    name, prefix, instance = (
        (info.name, info.prefix, info.instance) if info is not None else (unit, unit, "")
    )
    component = prefix.rpartition("-")[2]
    return {
        "n": unit,
        "N": name,
        "p": prefix,
        "P": unescape(prefix),
        "i": instance,
        "I": unescape(instance),
        "j": component,
        "J": unescape(component),
        "f": "/" + unescape(instance or prefix).lstrip("/"),
        "y": f"{facts.units_dir}/{unit}",
        "Y": facts.units_dir,
        "H": facts.hostname,
        "l": facts.hostname.partition(".")[0],
        "q": facts.hostname,
        "m": facts.machine_id,
        "b": facts.boot_id,
        "v": facts.kernel,
        "a": facts.architecture,
        "u": facts.user,
        "U": str(facts.uid),
        "g": facts.group,
        "G": str(facts.gid),
        "h": facts.home,
        "s": facts.login_shell,
        "t": facts.runtime_dir,
        "S": facts.state_dir,
        "C": facts.cache_dir,
        "L": facts.log_dir,
        "E": facts.config_dir,
        "T": "/tmp",  # noqa: S108  what systemd.unit(5) says %T is
        "V": "/var/tmp",  # noqa: S108  what systemd.unit(5) says %V is
        "%": "%",
    }


def expand(text: str, specifiers: dict[str, str]) -> str:
    """Replace every known specifier; an unknown one stays as it is written."""
    if "%" not in text:
        return text
    parts = []
    at = 0
    while (found := text.find("%", at)) >= 0:
        parts.append(text[at:found])
        letter = text[found + 1 : found + 2]
        parts.append(specifiers.get(letter, "%" + letter))
        at = found + 1 + len(letter)
    parts.append(text[at:])
    return "".join(parts)


def unescape(text: str) -> str:
    r"""Undo systemd-escape: "-" is "/", "\x2d" is "-"."""
    data = bytearray()
    at = 0
    while at < len(text):
        char = text[at]
        if char == "-":
            data += b"/"
        elif char == "\\" and text[at + 1 : at + 2] == "x" and _is_hex(text[at + 2 : at + 4]):
            data.append(int(text[at + 2 : at + 4], 16))
            at += 3
        else:
            data += char.encode("utf-8", "surrogateescape")
        at += 1
    return data.decode("utf-8", "surrogateescape")


def _is_hex(text: str) -> bool:
    return len(text) == 2 and all(char in "0123456789abcdefABCDEF" for char in text)
