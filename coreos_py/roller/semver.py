"""Semantic versions, strict as blang/semver 3: three numbers, then perhaps -pre.release and +build.

Also tells which of two is newer; build metadata does not count.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TypeAlias

LENGTH_MAX = 255

_NUMBER = r"(0|[1-9][0-9]{0,18})"
_PRE = r"(?:0|[1-9][0-9]{0,18}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_PRE}(?:\.{_PRE})*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)
_UINT64 = 1 << 64

# Compares as the versions do: a release is after its pre-releases, numbers are before words, and
# fewer words before more.
Key: TypeAlias = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]


@lru_cache(maxsize=4096)
def key(version: str) -> Key | None:
    """What versions are compared by; None if it is no semantic version."""
    match = _VERSION.fullmatch(version)
    if match is None or len(version) > LENGTH_MAX:
        return None
    major, minor, patch = (int(text) for text in match.group(1, 2, 3))
    if max(major, minor, patch) >= _UINT64:
        return None
    words = match[4].split(".") if match[4] else []
    pre = tuple((False, int(w), "") if w.isdigit() else (True, 0, w) for w in words)
    return major, minor, patch, not words, pre


def is_valid(version: str) -> bool:
    """Whether this can be an application's version."""
    return key(version) is not None


def is_older(version: str, than: str) -> bool:
    """Whether one version comes before the other; False unless both are versions."""
    one, other = key(version), key(than)
    return one is not None and other is not None and one < other


def sort_key(version: str) -> tuple[bool, Key]:
    """For sorting any texts: what is no version comes first."""
    found = key(version)
    return found is not None, found or (0, 0, 0, False, ())
