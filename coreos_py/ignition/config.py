"""A config's text, read and checked: the entry to everything pure about Ignition.

Pure. Detects the version, reads by that version's schema, checks by its rules, and says the rest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.ignition import checks, decode, jsontext, rules2, rules3, schema
from coreos_py.ignition.jsontext import BadJSON, Node
from coreos_py.ignition.report import DEPRECATED, ERROR, WARNING, Report

if TYPE_CHECKING:
    from coreos_py.ignition.decode import Decoded, Obj
    from coreos_py.ignition.schema import Version

EMPTY = "not a config (empty)"
CLOUD_CONFIG = "not a config (found coreos-cloudconfig)"
SCRIPT = "not a config (found coreos-cloudinit script)"
INVALID = "config is not valid"
NO_VERSION = "invalid config version (couldn't parse)"
UNKNOWN_VERSION = "unsupported config version"

_SEMVER = re.compile(r"([0-9]+)\.([0-9]+)\.([0-9]+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")


class Parsed(NamedTuple):
    """What became of a text: `config` is None unless it can be used, `problem` says why."""

    config: Obj | None
    version: Version | None
    report: Report
    problem: str


def parse(data: bytes) -> Parsed:
    """Read and check a config of any version."""
    text = data.decode("utf-8", "replace")
    report = Report()
    refused = _no_config(text)
    if refused:
        return Parsed(None, None, report, refused)
    try:
        root = jsontext.parse(text)
    except BadJSON as error:
        report.add(ERROR, str(error), offset=error.offset)
        return Parsed(None, None, report, INVALID)
    version, problem = _version(root, report)
    if version is None:
        return Parsed(None, None, report, problem)
    decoded = decode.decode(root, schema.of(version), names_fields=version[0] == 3)
    if decoded.problem is not None:
        message, offset = decoded.problem
        report.add(ERROR, message, offset=offset)
        return Parsed(None, version, report, INVALID)
    if version[0] == 3:
        _check_3(decoded, version, report)
    else:
        _check_2(decoded, version, report)
    if report.fatal:
        return Parsed(None, version, report, INVALID)
    if version[0] == 3 and not schema.has_special_bits(version):
        _drop_special_bits(decoded.config)
    return Parsed(decoded.config, version, report, "")


def _drop_special_bits(config: Obj) -> None:
    """Set-uid, set-gid and sticky bits do not count in older versions, which are warned of them."""
    storage = config["storage"]
    for node in (*storage["files"], *storage["directories"]):
        if node["mode"] is not None:
            node.fields["mode"] &= ~checks.SPECIAL_BITS


def _no_config(text: str) -> str:
    if not text:
        return EMPTY
    head = text.split("\n", 1)[0].rstrip()
    if head == "#cloud-config":
        return CLOUD_CONFIG
    return SCRIPT if text.startswith("#!") else ""


def _version(root: Node, report: Report) -> tuple[Version | None, str]:
    if root.kind == jsontext.NULL:
        return None, NO_VERSION
    if root.kind != jsontext.OBJECT:
        shown = f"json: cannot unmarshal {root.kind} into Go value of type util.versionStub"
        report.add(ERROR, shown, offset=root.start + 1)
        return None, INVALID
    ignition = _member(root, "ignition")
    old = _member(root, "ignitionVersion")
    stated = _member(ignition, "version") if ignition is not None else None
    if old is not None and stated is None:
        if old.kind == jsontext.NUMBER and old.value == "1":
            return (1, 0), ""
        return None, UNKNOWN_VERSION
    if stated is not None and stated.kind not in (jsontext.STRING, jsontext.NULL):
        place = "Go struct field .Ignition.Version of type string"
        report.add(ERROR, f"json: cannot unmarshal {stated.kind} into {place}", offset=stated.end)
        return None, INVALID
    text = str(stated.value) if stated is not None and stated.value is not None else ""
    if text == schema.EXPERIMENTAL_NAME:
        return schema.EXPERIMENTAL, ""
    found = _SEMVER.fullmatch(text)
    if found is None:
        return None, NO_VERSION
    version = (int(found[1]), int(found[2]))
    if found[4] or int(found[3]) or version not in (*schema.VERSIONS_2, *schema.VERSIONS_3):
        return None, UNKNOWN_VERSION
    return version, ""


def _member(node: Node, name: str) -> Node | None:
    found = None
    for member in node.members:
        if member.key.lower() == name.lower():
            found = member.node
    return found


def _check_3(decoded: Decoded, version: Version, report: Report) -> None:
    rules3.Checker(version, report).check(decoded.config)
    for mismatch in decoded.mismatches:
        place = "$" + "".join(f".{part}" for part in mismatch.path)
        report.add(
            WARNING,
            f"context tree does not match content tree at {place}. Line and column reporting may be"
            " inconsistent. Unused keys may not be reported.",
            path=mismatch.path,
            offset=mismatch.offset,
        )
    for unused in decoded.unused:
        report.add(WARNING, f"Unused key {unused.key}", path=unused.path, offset=unused.start)


def _check_2(decoded: Decoded, version: Version, report: Report) -> None:
    rules2.Checker(version, report).check(decoded.config)
    if version[0] == 1 and not report.fatal:
        report.add(DEPRECATED, "config format deprecated")
