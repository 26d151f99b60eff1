"""A config with everything it refers to: replaced, or with its parts appended or merged.

Pure but for `get`, which fetches. Every referenced config is verified and checked like the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from coreos_py.base.errors import CoreosError
from coreos_py.ignition import config, merge
from coreos_py.ignition.plan import source_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.ignition.config import Parsed
    from coreos_py.ignition.decode import Obj
    from coreos_py.ignition.plan import Source

DEPTH_MAX = 16


class Whole(NamedTuple):
    """A config without references, in the latest version of its line: 2 or 3."""

    config: Obj
    major: int


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


def resolve(data: bytes, get: Callable[[Source], bytes], *, where: str = "config") -> Whole:
    """Read a config and all that belongs to it; CoreosError, and nothing of it counts then."""
    return _resolve(data, get, where=where, depth=0)


def _resolve(data: bytes, get: Callable[[Source], bytes], *, where: str, depth: int) -> Whole:
    if depth > DEPTH_MAX:
        raise CoreosError(f"{where}: configs refer to each other more than {DEPTH_MAX} deep")
    parsed = read(data, where)
    assert parsed.config is not None
    assert parsed.version is not None
    major = 3 if parsed.version[0] == 3 else 2
    whole = merge.lift(parsed.config, parsed.version)
    references = whole["ignition"]["config"]

    def fetch(resource: Obj) -> Obj:
        source = source_of(resource)
        inner = _resolve(get(source), get, where=source.url[:200] or "config", depth=depth + 1)
        if inner.major != major:
            raise CoreosError(
                f"{source.url[:200]}: a config of version {inner.major} cannot be part"
                f" of one of version {major}"
            )
        return inner.config

    replacement = references["replace"]
    if replacement is not None and replacement["source"]:
        return Whole(fetch(replacement), major)
    join = merge.merge if major == 3 else merge.append
    for resource in references["merge" if major == 3 else "append"]:
        whole = join(whole, fetch(resource))
    whole["ignition"].fields["config"] = merge.no_references(major)
    return Whole(whole, major)
