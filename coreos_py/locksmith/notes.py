"""Since when each holder has the lock: a key beside the semaphore that locksmith 0.6.2 ignores.

Pure. The semaphore's bytes have no room for times, and 0.6.2 changes it without a word to us. So
the notes name the index of the semaphore they belong to: a semaphore at another index was changed
by somebody who writes no notes, and how long its holders have held it is not known. Every change
of ours carries the notes over, and so does a look of `locksmithctl release`.
"""

from __future__ import annotations

import json

from coreos_py.base import gotime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NAME = "x-holders"


def key_of(semaphore_key: str) -> str:
    """The key of the notes on a semaphore."""
    return f"{semaphore_key.rpartition('/')[0]}/{_NAME}"


class Notes:
    """The times, in ns since 1970, from which on holders are known to have held the lock."""

    __slots__ = ("index", "since")

    def __init__(self, index: int, since: Mapping[str, int]) -> None:
        self.index = index
        self.since = dict(since)

    def at(self, index: int) -> Mapping[str, int]:
        """The times, if these are notes on the semaphore at `index`."""
        return self.since if index == self.index else {}

    def carried(self, holders: Iterable[str], *, before: int, after: int, now_ns: int) -> Notes:
        """The notes when the semaphore goes from one index to another: who was not known to hold
        it holds it from now on, and so does who holds it from a time that is yet to come: clocks
        differ and are set back, and its age would stay below zero for as long.
        """
        known = self.at(before)
        since = {holder: min(known.get(holder, now_ns), now_ns) for holder in holders}
        return Notes(after, since)

    def to_json(self) -> str:
        """The value to store."""
        since = {holder: gotime.format_ns(ns) for holder, ns in self.since.items()}
        return json.dumps({"index": self.index, "since": since}, separators=(",", ":"))


NONE = Notes(0, {})


def parse(text: str) -> Notes:
    """The notes a value stands for; a value that is none says nothing."""
    try:
        data = json.loads(text)
        index, since = data["index"], data["since"]
        times = {holder: gotime.parse_ns(when) for holder, when in since.items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return NONE
    return Notes(index, times) if isinstance(index, int) else NONE
