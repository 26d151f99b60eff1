"""Which part of a file a GET asks for: Range, If-Range and the preconditions of RFC 9110.

Pure. One range is served; several at once are answered by the whole file, as the RFC allows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from email.utils import formatdate, parsedate_to_datetime
from typing import NamedTuple

_ONE = re.compile(r"bytes[ \t]*=[ \t]*(?:([0-9]+)-([0-9]*)|-([0-9]+))[ \t]*", re.IGNORECASE)
_BYTES_MAX = 1 << 63
_DIGITS_MAX = 18


class Validators(NamedTuple):
    """What tells one content of a file from another."""

    etag: str
    modified_s: int

    @property
    def last_modified(self) -> str:
        """The date as a header has it."""
        return formatdate(self.modified_s, usegmt=True)


class Part(NamedTuple):
    """What to answer: 200 or 206 with `length` bytes from `start`, or 304, 412, 416 and none."""

    status: int
    start: int = 0
    length: int = 0

    def content_range(self, size: int) -> str:
        """The Content-Range of a 206 or 416."""
        if self.status == 416:
            return f"bytes */{size}"
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def select(header: Callable[[str], str], size: int, known: Validators) -> Part:
    """The part of a file of `size` bytes that a request with these headers gets."""
    failed = _precondition(header, known)
    if failed:
        return Part(failed)
    asked = header("Range")
    if asked and _may_range(header("If-Range"), known):
        return _range(asked, size)
    return Part(200, 0, size)


def _range(asked: str, size: int) -> Part:
    found = _ONE.fullmatch(asked.strip())
    if found is None:
        return Part(200, 0, size)
    first, last, suffix = (_number(text) for text in found.groups(default=""))
    if suffix is not None:
        start, end = max(size - suffix, 0), size
        satisfiable = suffix > 0 and size > 0
    else:
        assert first is not None
        if last is not None and last < first:
            return Part(200, 0, size)  # not a range at all
        start, end = first, size if last is None else min(last + 1, size)
        satisfiable = start < size
    return Part(206, start, end - start) if satisfiable else Part(416)


def _number(text: str) -> int | None:
    if not text:
        return None
    digits = text.lstrip("0")
    return int(digits or "0") if len(digits) <= _DIGITS_MAX else _BYTES_MAX


def _precondition(header: Callable[[str], str], known: Validators) -> int:
    """304 or 412 if a precondition is not met, else 0."""
    match, none_match = header("If-Match"), header("If-None-Match")
    since, unmodified = header("If-Modified-Since"), header("If-Unmodified-Since")
    if match:
        if not _names(match, known.etag, weak=False):
            return 412
    elif unmodified and _later(known.modified_s, unmodified):
        return 412
    if none_match:
        return 304 if _names(none_match, known.etag, weak=True) else 0
    return 304 if since and _later(known.modified_s, since) is False else 0


def _may_range(if_range: str, known: Validators) -> bool:
    """Whether what the client has a part of is still what is here."""
    if not if_range:
        return True
    if if_range.startswith(('"', "W/")):
        return if_range == known.etag
    seconds = _seconds(if_range)
    return seconds is not None and seconds == known.modified_s


def _names(tags: str, etag: str, *, weak: bool) -> bool:
    for item in tags.split(","):
        tag = item.strip()
        if tag == "*" or (tag.removeprefix("W/") if weak else tag) == etag:
            return True
    return False


def _later(modified_s: int, date: str) -> bool | None:
    """Whether the file is younger than a date; None when that is none."""
    seconds = _seconds(date)
    return None if seconds is None else modified_s > seconds


def _seconds(date: str) -> int | None:
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
