"""The versions this server speaks, and the few comparisons the cluster makes with them.

A version is a triple of integers. Pure. Mirrors etcd 2.3.8's version package; `SERVER` stays a
2.3 number on purpose: a higher one would raise the cluster version and lock older members out.
"""

from __future__ import annotations

from typing import NamedTuple

SERVER = "2.3.8"
MIN_CLUSTER = "2.2.0"
NOT_DECIDED = "not_decided"
GIT_SHA = "coreos-py"


class Version(NamedTuple):
    """major.minor.patch; pre-release and build words are dropped."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    def minor_only(self) -> Version:
        """The same release line, patch 0: what a cluster version looks like."""
        return Version(self.major, self.minor)


def parse(text: str) -> Version:
    """`2.3.8` or `2.4.0-alpha.0+git` as a Version; ValueError with upstream's wording otherwise."""
    core = text.partition("+")[0].partition("-")[0]
    parts = core.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"{text} is not in dotted-tri format")
    return Version(int(parts[0]), int(parts[1]), int(parts[2]))


def short(text: str) -> str:
    """`2.3.0` as people say it: `2.3`."""
    try:
        version = parse(text)
    except ValueError:
        return text
    return f"{version.major}.{version.minor}"


LOCAL = parse(SERVER)
MINIMUM = parse(MIN_CLUSTER)
ABSENT = parse("2.0.0")  # what a peer without version headers or endpoint is taken for


def incompatibility(remote_server: str, remote_min_cluster: str, *, name: str) -> str | None:
    """Why a peer with these two header values may not talk to us, or None."""
    try:
        server = parse(remote_server) if remote_server else ABSENT
        min_cluster = parse(remote_min_cluster) if remote_min_cluster else ABSENT
    except ValueError as err:
        return f"remote version cannot be read: remote[{name}]={err}"
    if server.minor_only() < MINIMUM.minor_only():
        return f"remote version is too low: remote[{name}]={server}, local={LOCAL}"
    if min_cluster.minor_only() > LOCAL.minor_only():
        return f"local version is too low: remote[{name}]={server}, local={LOCAL}"
    return None


def downgrade(cluster_version: str | None) -> str | None:
    """Why this server must not run in a cluster of that version, or None."""
    if cluster_version is None or LOCAL.minor_only() >= parse(cluster_version):
        return None
    return (
        f"cluster cannot be downgraded (current version: {SERVER} is lower than "
        f"determined cluster version: {short(cluster_version)})."
    )
