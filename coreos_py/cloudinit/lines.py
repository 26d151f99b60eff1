"""Where a key stands in the text of a cloud-config, found as upstream's validator finds it. Pure.

Knows no YAML: a key is the first line from its parent's on that looks like it, so comments and
block texts may match, and keys in flow style are not found. Mirrors config/validate/node.go.
"""

from __future__ import annotations

import re
from bisect import bisect_left

_KEY = re.compile(r"^ *-? ?(.*?):")
_ELEMENT = re.compile(r"^ *-")


class Lines:
    """The lines of a text; positions count from 0, `end` means not found."""

    def __init__(self, text: str) -> None:
        lines = text.replace("\r", "").split("\n")
        self.end = len(lines)
        self._elements: list[int] = []
        self._keys: dict[str, list[int]] = {}
        self._any_key: list[int] = []
        for number, line in enumerate(lines):
            if _ELEMENT.match(line):
                self._elements.append(number)
            found = _KEY.match(line)
            if found:
                self._keys.setdefault(found.group(1), []).append(number)
                self._any_key.append(number)

    def key(self, name: str, start: int) -> int:
        """The line of a key, from `start` on; an empty name is found in any key's line."""
        return self._next(self._keys.get(name, []) if name else self._any_key, start)

    def element(self, start: int) -> int:
        """The line of a list's next element, from `start` on."""
        return self._next(self._elements, start)

    def _next(self, numbers: list[int], start: int) -> int:
        at = bisect_left(numbers, start)
        return numbers[at] if at < len(numbers) else self.end

    def shown(self, number: int) -> int:
        """The number for people, from 1 on; 0 for what was not found."""
        return number + 1 if number < self.end else 0
