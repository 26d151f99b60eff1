"""Rules that configs of every version share, each as a message, "" when all is well.

Pure. The words are the ones Ignition's users know and search for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs

from coreos_py.base import gopath, unitfile
from coreos_py.base.errors import CoreosError
from coreos_py.base.gostring import quote
from coreos_py.ignition import dataurl
from coreos_py.ignition.dataurl import BadDataURL

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_URL = "unable to parse url"
BAD_SCHEME = "invalid url scheme"
ILLEGAL_MODE = "illegal file mode"

MODE_MAX = 0o7777
SPECIAL_BITS = 0o7000
LABEL_MAX = 36
_GUID = re.compile(r"|[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")
_UNIT_TYPES = frozenset(
    f".{kind}"
    for kind in (
        "service socket device mount automount swap target path timer snapshot slice scope"
    ).split()
)
_NETWORKD_TYPES = frozenset((".link", ".netdev", ".network"))
_LABELS = {"ext4": 16, "btrfs": 256, "xfs": 12, "swap": 15, "vfat": 11}
_LEVELS = frozenset("raid1 1 mirror raid4 4 raid5 5 raid6 6 raid10 10".split())
_FLAT_LEVELS = frozenset("linear raid0 0 stripe".split())
_DIGEST_SIZES = {"sha256": 64, "sha512": 128}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_BAD_IN_URL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"(?:\[[^\[\]]*\]|[^\[\]:]*)(?::[0-9]*)?")


def scheme_of(url: str) -> str | None:
    """The scheme as Go's url.Parse finds it, "" for none; None if that cannot parse the URL."""
    if _BAD_IN_URL.search(url):
        return None
    found = _SCHEME.match(url)
    scheme = ""
    rest = url
    if found is not None and url[found.end() : found.end() + 1] == ":":
        scheme, rest = found[0].lower(), url[found.end() + 1 :]
    elif url.startswith(":") or ":" in url.partition("/")[0].partition("?")[0].partition("#")[0]:
        return None
    rest, _, fragment = rest.partition("#")
    rest = rest.partition("?")[0]
    if scheme and not rest.startswith("/"):
        return None if _BAD_ESCAPE.search(fragment) else scheme  # opaque
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        host = authority.rpartition("@")[2]
        if _HOST.fullmatch(host) is None or re.search(r'[ "<>\\^`{|}]', host):
            return None
        rest = slash + path
    return None if _BAD_ESCAPE.search(rest) or _BAD_ESCAPE.search(fragment) else scheme


def source(url: str, schemes: frozenset[str]) -> str:
    """A URL to fetch something from."""
    scheme = scheme_of(url)
    if scheme is None:
        return NO_URL
    if scheme not in schemes:
        return BAD_SCHEME
    if scheme == "arn" and not _is_object_arn(url):
        return "invalid S3 ARN format"
    if scheme in ("s3", "arn"):
        query = parse_qs(url.partition("?")[2].partition("#")[0], keep_blank_values=True)
        if query.get("versionId", ["x"])[0] == "":
            return "invalid S3 object VersionId"
    if scheme == "data":
        try:
            dataurl.decode(url)
        except BadDataURL as error:
            return str(error)
    return ""


def _is_object_arn(url: str) -> bool:
    """arn:aws:s3:::BUCKET/KEY or arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/object/KEY"""
    text = url.partition("#")[0].partition("?")[0]
    parts = text.split(":", 5)
    if len(parts) < 6 or parts[2] != "s3":
        return False
    return text.count("/") >= (2 if parts[5].startswith("accesspoint/") else 1)


def headers_fit(url: str) -> str:
    """Whether request headers can be sent to this source."""
    scheme = scheme_of(url)
    if not url or scheme is None:
        return NO_URL
    return "" if scheme in ("http", "https") else "cannot use HTTP headers with this source scheme"


def digest(text: str, functions: tuple[str, ...]) -> str:
    """A hash to verify something by: FUNCTION-HEX."""
    function, dash, sum_hex = text.partition("-")
    if not dash:
        return "malformed hash specifier"
    if function not in functions:
        return "unrecognized hash function"
    return "" if len(sum_hex) == _DIGEST_SIZES[function] else "incorrect size for hash sum"


def compression(name: str) -> str:
    """How something is compressed."""
    return "" if name in ("", "gzip") else "invalid compression method"


def absolute(path: str) -> str:
    """A path of 1 and 2.x."""
    return "" if path.startswith("/") else "path not absolute"


def clean(path: str) -> str:
    """A path of 3.x."""
    if not path:
        return "path not specified"
    if not path.startswith("/"):
        return "path not absolute"
    return "" if gopath.clean(path) == path else "path is not fully simplified"


def mode(bits: int | None) -> str:
    """Permissions."""
    return "" if bits is None or 0 <= bits <= MODE_MAX else ILLEGAL_MODE


def guid(text: str) -> str:
    """A GUID, or nothing."""
    if _GUID.fullmatch(text):
        return ""
    return 'doesn\'t match the form "01234567-89AB-CDEF-EDCB-A98765432101"'


def partition_label(label: str) -> str:
    """The length of a partition's name."""
    if len(label.encode("utf-8", "surrogatepass")) <= LABEL_MAX:
        return ""
    return "partition labels may not exceed 36 characters"


COLON = "partition label will be truncated to text before the colon"


def filesystem_label(label: str, format_name: str) -> str:
    """The length of a file system's name."""
    limit = _LABELS.get(format_name)
    if limit is None or len(label.encode("utf-8", "surrogatepass")) <= limit:
        return ""
    return f"filesystem labels cannot be longer than {limit} characters when using {format_name}"


def raid_level(level: str, spares: int, *, flat: str) -> str:
    """A level and the number of spares; `flat` says that this level has none."""
    if level in _FLAT_LEVELS:
        return flat if spares else ""
    return "" if level in _LEVELS else "unrecognized raid level"


def unit_name(name: str) -> str:
    """A unit of systemd."""
    return "" if _extension(name) in _UNIT_TYPES else "invalid systemd unit extension"


def dropin_name(name: str) -> str:
    """A drop-in of a unit of systemd."""
    return "" if _extension(name) == ".conf" else "invalid systemd drop-in extension"


def networkd_name(name: str) -> str:
    """A unit of systemd-networkd."""
    return "" if _extension(name) in _NETWORKD_TYPES else "invalid networkd unit extension"


def networkd_dropin_name(name: str) -> str:
    """A drop-in of a unit of systemd-networkd."""
    return "" if _extension(name) == ".conf" else "invalid networkd drop-in extension"


def unit_text(text: str) -> str:
    """Whether a unit file can be read."""
    return _read_unit(text)[1]


def not_installed(name: str, text: str, *, when_empty: str | None = None) -> str:
    """Whether enabling the unit has no effect; `when_empty` is said of a text without settings."""
    sections, problem = _read_unit(text)
    if not text or problem or "Install" in sections:
        return ""
    if not sections and when_empty is not None:
        return when_empty
    return f"unit {quote(name)} is enabled, but has no install section so enable does nothing"


def _read_unit(text: str) -> tuple[set[str], str]:
    try:
        parsed = unitfile.parse(text.encode("utf-8", "surrogatepass"))
    except CoreosError as error:
        return set(), f"invalid unit content: {error}"
    return {section for section, _, _ in parsed.options}, ""


def _extension(name: str) -> str:
    base = name.rpartition("/")[2]
    return base[base.rfind(".") :] if "." in base else ""


class Extent(NamedTuple):
    """Where a partition is, in one unit of length; None where that is left open."""

    start: int | None
    size: int | None

    @property
    def last(self) -> int:
        """Its last unit, as far as the text tells."""
        assert self.start is not None
        assert self.size is not None
        return self.start + self.size - 1 if self.size else self.start


def overlap(extents: Sequence[Extent]) -> int:
    """The first of these that another one reaches into; -1 if they keep apart.

    Equal ones are taken for one and the same, as upstream takes them.
    """
    placed = [(at, one) for at, one in enumerate(extents) if one.start and one.size is not None]
    for _, one in placed:
        for at, other in placed:
            if one == other:
                continue
            assert one.start is not None
            assert other.start is not None
            if one.start <= other.last and other.start <= one.last:
                return at
    return -1


def collision(numbers: Sequence[int]) -> int:
    """The first of these that repeats an earlier one, other than 0; -1 if none does."""
    seen: set[int] = set()
    for at, number in enumerate(numbers):
        if number and number in seen:
            return at
        seen.add(number)
    return -1
