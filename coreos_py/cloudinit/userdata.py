"""What a user-data is: nothing, a script, a cloud-config, Ignition, several of them in MIME. Pure.

Mirrors config.Is... of coreos-cloudinit 1.13.0. Upstream has no multipart; what people hand to EC2
as one is taken apart here, and each part is judged by the same rules. Upstream refuses a byte-order
mark as well; here whoever reads data drops the one that editors put before UTF-8.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from coreos_py.cloudinit.encoding import GZIP_MAGIC, gunzip

NOTHING = "nothing"
SCRIPT = "script"
CLOUD_CONFIG = "cloud-config"
IGNITION = "Ignition"
MULTIPART = "multipart"
UNKNOWN = "unknown"

PARTS_MAX = 100
_MARK = b"\xef\xbb\xbf"

_HEADER = "#cloud-config"
_GO_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_MIME = re.compile(rb"(?:MIME-Version|Content-Type):", re.IGNORECASE)
_MIME_HEAD = re.compile(rb"(?:[!-9;-~]+:[^\n]*\n(?:[ \t][^\n]*\n)*)+", re.IGNORECASE)
_MULTIPART = re.compile(rb"^Content-Type:\s*multipart/", re.IGNORECASE | re.MULTILINE)


class Part(NamedTuple):
    """One piece of user-data; `lines_before` is how many lines of the whole precede it."""

    kind: str
    data: bytes
    name: str = ""
    lines_before: int = 0


def without_mark(data: bytes) -> bytes:
    """The data without a byte-order mark at its start."""
    return data.removeprefix(_MARK)


def kind(data: bytes) -> str:
    """The kind of a user-data as the program applies it."""
    if not data:
        return NOTHING
    if data.startswith(b"#!"):
        return SCRIPT
    if is_cloud_config(data):
        return CLOUD_CONFIG
    if is_ignition(data):
        return IGNITION
    return MULTIPART if is_multipart(data) else UNKNOWN


def is_cloud_config(data: bytes) -> bool:
    """True when the first line is the header, white space at its end aside."""
    first = data.partition(b"\n")[0].decode("utf-8", "replace")
    return first.rstrip(_GO_SPACE) == _HEADER


def is_multipart(data: bytes) -> bool:
    """True for mail headers that say multipart."""
    head = _MIME_HEAD.match(data) if _MIME.match(data) else None
    return head is not None and _MULTIPART.search(head.group()) is not None


def is_ignition(data: bytes) -> bool:
    """True for one JSON object with an integer ignitionVersion or a string ignition.version."""
    if data.lstrip(b" \t\r\n")[:1] != b"{":
        return False
    try:
        top = json.loads(
            data.decode("utf-8", "replace"),
            object_pairs_hook=_pairs,
            parse_constant=_refuse,
        )
        return _has_version(top)
    except (ValueError, RecursionError):
        return False


def _has_version(top: _Pairs) -> bool:
    """ValueError where Go's decoder finds a wrong type, which makes it no Ignition at all."""
    version = _last(top, "ignitionversion")
    if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
        raise ValueError("ignitionVersion is no integer")
    inner = _last(top, "ignition")
    if inner is None:
        return version is not None
    if not isinstance(inner, _Pairs):
        raise ValueError("ignition is no object")
    text = _last(inner, "version")
    if text is not None and not isinstance(text, str):
        raise ValueError("ignition.version is no string")
    return version is not None or text is not None


class _Pairs(list[tuple[str, object]]):
    """A JSON object; Go compares its names without case."""


def _pairs(items: list[tuple[str, object]]) -> _Pairs:
    return _Pairs(items)


def _last(items: _Pairs, name: str) -> object:
    found = [value for key, value in items if key.lower() == name]
    return found[-1] if found else None


def _refuse(text: str) -> object:
    raise ValueError(f"{text} is not JSON")


def parts(data: bytes) -> list[Part]:
    """The pieces of a multipart user-data, nested ones too; the data itself if it is no multipart.

    ValueError when the MIME structure is broken.
    """
    found = kind(data)
    if found != MULTIPART:
        return [Part(found, data)]
    return _mime_parts(data)


def _mime_parts(data: bytes) -> list[Part]:
    from email import message_from_bytes, policy

    message = message_from_bytes(data, policy=policy.compat32)
    found: list[Part] = []
    at = 0
    for piece in message.walk():
        if piece.defects:
            raise ValueError(f"broken multipart: {type(piece.defects[0]).__name__}")
        if piece.is_multipart():
            continue
        body = piece.get_payload(decode=True)
        assert isinstance(body, bytes)
        lines_before = 0
        begin = data.find(body, at) if body else -1
        if begin >= 0:  # neither base64 nor quoted-printable
            at = begin + len(body)
            lines_before = data.count(b"\n", 0, begin)
        if body.startswith(GZIP_MAGIC):
            body = _unpacked(body)
        body = without_mark(body)
        name = piece.get_filename() or f"part {len(found) + 1}"
        found.append(Part(_part_kind(piece.get_content_type(), body), body, name, lines_before))
        if len(found) > PARTS_MAX:
            raise ValueError(f"broken multipart: more than {PARTS_MAX} parts")
    return found


def _unpacked(body: bytes) -> bytes:
    try:
        found = gunzip(body)
    except ValueError as error:
        raise ValueError(f"broken part: {error}") from None
    if found.problem:
        raise ValueError(f"broken part: {found.problem}")
    return found.data


def _part_kind(content_type: str, body: bytes) -> str:
    """A part is what it looks like; only a cloud-config may go without its header."""
    found = kind(body)
    if found == UNKNOWN and content_type == "text/cloud-config":
        return CLOUD_CONFIG
    return UNKNOWN if found == MULTIPART else found
