"""A config with everything it refers to: replaced, or with its parts appended or merged.

Pure but for `get`, which fetches. Every referenced config is verified and checked like the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from coreos_py.base.errors import CoreosError
from coreos_py.ignition import config, merge, rules3
from coreos_py.ignition.plan import source_of
from coreos_py.ignition.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.ignition.config import Parsed
    from coreos_py.ignition.decode import Obj
    from coreos_py.ignition.plan import Source
    from coreos_py.ignition.schema import Version

DEPTH_MAX = 16


class Whole(NamedTuple):
    """A config without references, in the latest version of its line: 2 or 3.

    `version` is the highest that any part of it has.
    """

    config: Obj
    major: int
    version: Version


class Unusable(CoreosError):
    """A config that has errors; `lines` is the report."""

    def __init__(self, text: str, lines: list[str]) -> None:
        super().__init__(text)
        self.lines = lines


def read(data: bytes, where: str) -> Parsed:
    """A config that can be used; Unusable."""
    parsed = config.parse(data)
    if parsed.config is None:
        lines = parsed.report.lines(data.decode("utf-8", "replace"))
        raise Unusable(f"{where}: {parsed.problem}", lines)
    return parsed


def resolve(
    data: bytes, settle: Callable[[Obj], Callable[[Source], bytes]], *, where: str = "config"
) -> Whole:
    """Read a config and all that belongs to it; CoreosError, and nothing of it counts then.

    `settle` gives the way to fetch for a config that may say something about fetching.
    """
    return checked(_resolve(data, settle, None, where=where, depth=0), where)


def under(base: list[bytes], whole: Whole, *, where: list[str]) -> Whole:
    """A config with others below it, which have no references; CoreosError."""
    for data, place in zip(reversed(base), reversed(where), strict=True):
        parsed = read(data, place)
        assert parsed.config is not None
        assert parsed.version is not None
        below = Whole(merge.lift(parsed.config, parsed.version), _major(parsed), parsed.version)
        below.config["ignition"].fields["config"] = merge.no_references(below.major)
        whole = _join(below, whole, place)
    return checked(whole, "the system's config and the machine's") if base else whole


def checked(whole: Whole, where: str) -> Whole:
    """The same config: what was put together has to hold the rules, too; Unusable."""
    if whole.major == 3:
        report = Report()
        rules3.Checker(whole.version, report).check(whole.config)
        if report.fatal:
            raise Unusable(f"{where}: {config.INVALID} as it was merged", report.lines(""))
    return whole


def remote(config: Obj) -> str:
    """A URL in the config that can be had with a network only; "" if there is none."""
    for value in config.fields.values():
        for item in value if isinstance(value, list) else [value]:
            if hasattr(item, "fields") and (url := remote(item)):
                return url
    source = str(config.get("source") or "")
    return "" if source.partition(":")[0].lower() in ("", "data", "oem") else source


def _resolve(
    data: bytes,
    settle: Callable[[Obj], Callable[[Source], bytes]],
    around: Whole | None,
    *,
    where: str,
    depth: int,
) -> Whole:
    """`around`: what was read before, whose settings hold for the references here."""
    if depth > DEPTH_MAX:
        raise CoreosError(f"{where}: configs refer to each other more than {DEPTH_MAX} deep")
    parsed = read(data, where)
    assert parsed.config is not None
    assert parsed.version is not None
    major = _major(parsed)
    whole = Whole(merge.lift(parsed.config, parsed.version), major, parsed.version)
    references = whole.config["ignition"]["config"]

    def fetch(resource: Obj, around: Whole | None, asking: Whole) -> Whole:
        settings = asking if around is None else _join(around, asking, where)
        source = source_of(resource)
        place = source.url[:200] or "config"
        inner = settle(settings.config)(source)
        return _resolve(inner, settle, settings, where=place, depth=depth + 1)

    replacement = references["replace"]
    if replacement is not None and replacement["source"]:
        found = fetch(replacement, around, whole)
        return _of_one_line(found, major, replacement["source"])
    for resource in references["merge" if major == 3 else "append"]:
        whole = _join(whole, fetch(resource, around, whole), resource["source"] or "config")
    whole.config["ignition"].fields["config"] = merge.no_references(major)
    return whole


def _join(parent: Whole, child: Whole, where: str) -> Whole:
    _of_one_line(child, parent.major, where)
    join = merge.merge if parent.major == 3 else merge.append
    version = max(parent.version, child.version)
    return Whole(join(parent.config, child.config), parent.major, version)


def _of_one_line(child: Whole, major: int, where: str) -> Whole:
    if child.major != major:
        raise CoreosError(
            f"{where[:200]}: a config of version {child.major} cannot be part"
            f" of one of version {major}"
        )
    return child


def _major(parsed: Parsed) -> int:
    assert parsed.version is not None
    return 3 if parsed.version[0] == 3 else 2
