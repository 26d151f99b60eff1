"""Founding a cluster through a discovery URL: what follows from what the service tells.

Pure: listings and events in, decisions and log lines out; discovery_client.py asks. The service is
a plain v2 key space: under the token there is _config/size, and one key per member, named by its
id, that holds its part of --initial-cluster. Who registered among the first SIZE belongs to the
cluster. Mirrors discovery/discovery.go of etcd 2.3.8.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.base.errors import CoreosError
from coreos_py.etcd import urls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coreos_py.etcd.urls import URLsMap

CONFIG = "_config"
RETRY_EXPONENT_MAX = 12  # 4096 s; etcd 2.3.8 doubles for ever

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_REMOVALS = ("delete", "expire", "compareAndDelete")


class Refused(CoreosError):
    """The service has spoken: this member cannot be part of that cluster. Texts are upstream's."""


class BadEndpoint(Refused):
    """What answers there is no discovery service."""

    def __init__(self) -> None:
        super().__init__("discovery: bad discovery endpoint")


class BadSize(Refused):
    """The size is no number, or none that a cluster can have."""

    def __init__(self) -> None:
        super().__init__("discovery: size key is bad")


class DuplicateID(Refused):
    """Our id is registered, but not by this run of ours."""

    def __init__(self) -> None:
        super().__init__("discovery: found duplicate id")


class DuplicateName(Refused):
    """Two members go by one name."""

    def __init__(self) -> None:
        super().__init__("discovery: found duplicate name")


class InvalidURL(Refused):
    """A member registered something that is no name=url list."""

    def __init__(self) -> None:
        super().__init__("discovery: invalid URL")


class ClusterFull(Refused):
    """The cluster has all its members and we are not among them."""

    def __init__(self, listing: Listing) -> None:
        super().__init__("discovery: cluster is full")
        self.listing = listing


class JoinFailed(CoreosError):
    """No cluster came of it; `reason` is one of the above, or the service's own refusal."""

    def __init__(self, reason: CoreosError) -> None:
        super().__init__(f"failed to join discovery cluster ({reason})")
        self.reason = reason


class Registration(NamedTuple):
    """One member: its id in hex, its part of --initial-cluster, and when it registered."""

    id: str
    value: str
    created_index: int


class Listing(NamedTuple):
    """Everybody registered, first come first, and the store's index at that time."""

    members: tuple[Registration, ...]
    size: int
    etcd_index: int

    @property
    def chosen(self) -> tuple[Registration, ...]:
        """Those who make up the cluster."""
        return self.members[: self.size]


def parse_size(text: str) -> int:
    """The number of members the token was made for."""
    if not _NUMBER.fullmatch(text) or int(text) < 1:
        raise BadSize
    return int(text)


def listing(size: int, members: Iterable[Registration], *, etcd_index: int) -> Listing:
    """Who is registered, without the service's own entries."""
    found = [member for member in members if member.id != CONFIG]
    return Listing(tuple(sorted(found, key=lambda member: member.created_index)), size, etcd_index)


def check_room(found: Listing, own: str) -> None:
    """ClusterFull unless we are in, or there is room left."""
    chosen = found.chosen
    if len(chosen) == found.size and all(member.id != own for member in chosen):
        raise ClusterFull(found)


class Roster:
    """Who is in while the cluster fills up. `lines` are for the log."""

    def __init__(self, found: Listing, own: str) -> None:
        self._size = found.size
        self._members = {member.id: member for member in found.chosen}
        self._own = own
        self.lines = [self._line(member.id) for member in found.chosen]

    @property
    def members(self) -> tuple[Registration, ...]:
        """Those who are in, first come first."""
        return tuple(sorted(self._members.values(), key=lambda member: member.created_index))

    @property
    def missing(self) -> int:
        """How many are still to come."""
        return self._size - len(self._members)

    def learn(self, action: str, member: Registration) -> None:
        """Take in one event below the token."""
        self.lines = []
        if action in _REMOVALS:
            self._members.pop(member.id, None)
        else:
            if member.id not in self._members:
                self.lines = [self._line(member.id)]
            self._members[member.id] = member

    def _line(self, number: str) -> str:
        who = "self" if number == self._own else "peer"
        return f"found {who} {number} in the cluster"


def to_urls_map(members: Iterable[Registration], *, size: int) -> URLsMap:
    """The cluster as --initial-cluster would have it."""
    text = ",".join(member.value for member in members)
    try:
        found = urls.parse_urls_map(text)
    except urls.BadURL:
        raise InvalidURL from None
    if len(found) != size:
        raise DuplicateName
    return found


def retry_s(attempt: int) -> int:
    """How long to wait before the nth new attempt, counted from 1."""
    return 1 << min(attempt, RETRY_EXPONENT_MAX)


def advice(error: JoinFailed, *, url: str, name: str, data_dir: str) -> list[tuple[str, str]]:
    """What to log when joining has failed: level letter and text, as etcd 2.3.8 words it."""
    if isinstance(error.reason, DuplicateID):
        return [
            (
                "E",
                f'member "{name}" has previously registered with discovery service token ({url}).',
            ),
            (
                "E",
                "But etcd could not find valid cluster configuration in the given data dir "
                f"({data_dir}).",
            ),
            ("I", "Please check the given data dir path if the previous bootstrap succeeded"),
            ("I", "or use a new discovery token if the previous bootstrap failed."),
        ]
    if isinstance(error.reason, DuplicateName):
        return [
            (
                "E",
                f"member with duplicated name has registered with discovery service token({url}).",
            ),
            ("E", "please check (cURL) the discovery token for more information."),
            (
                "E",
                "please do not reuse the discovery token and generate a new one to bootstrap "
                "the cluster.",
            ),
        ]
    return [
        ("E", str(error)),
        ("I", f"discovery token {url} was used, but failed to bootstrap the cluster."),
        ("I", "please generate a new discovery token and try to bootstrap again."),
    ]
