"""Which payloads nobody needs any more. Pure.

Only files that an upload has named count, and only when no package names them at two looks in a
row: a machine may be in the middle of one whose package was replaced a moment ago.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_BY_UPLOAD = re.compile(r".+-[0-9a-f]{16}\.[A-Za-z0-9]{1,10}")


class Leftovers:
    """What was seen last time."""

    def __init__(self) -> None:
        self._suspects: set[str] = set()

    def look(self, present: Iterable[str], needed: Iterable[str]) -> list[str]:
        """The files to remove, of those that are there."""
        unneeded = {name for name in present if _BY_UPLOAD.fullmatch(name)} - set(needed)
        gone = sorted(unneeded & self._suspects)
        self._suspects = unneeded.difference(gone)
        return gone
