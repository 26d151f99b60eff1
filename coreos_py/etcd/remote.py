"""Questions to other members over their peer URLs: who is in the cluster, which version runs.

Mirrors etcdserver/cluster_util.go of etcd 2.3.8.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.etcd import urls, version
from coreos_py.etcd.membership import Cluster, Member, parse_id, parse_member
from coreos_py.http.client import TransportError
from coreos_py.http.url import parse_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from coreos_py.etcd.version import Version
    from coreos_py.http.aclient import AsyncHTTPClient
    from coreos_py.http.reply import Reply

BOOTSTRAP_TIMEOUT_S = 1.0
VERSION_TIMEOUT_S = 5.0

log = logging.getLogger("etcdserver")
netutil_log = logging.getLogger("netutil")


class Versions(NamedTuple):
    """What a member says on /version."""

    server: str
    cluster: str


async def get(client: AsyncHTTPClient, url: str, target: str, *, timeout_s: float) -> Reply:
    """GET a peer URL's path; TransportError if that cannot be had."""
    try:
        endpoint = parse_endpoint(url)
    except ValueError as error:
        raise TransportError(str(error)) from None
    return await client.request("GET", endpoint, target, timeout_s=timeout_s)


async def fetch_cluster(
    peer_urls: Iterable[str], *, client: AsyncHTTPClient, timeout_s: float, log_errors: bool
) -> Cluster | None:
    """The cluster as the first peer that answers describes it."""
    for url in peer_urls:
        try:
            reply = await get(client, url, "/members", timeout_s=timeout_s)
            members = _parse_members(reply.body)
            number = parse_id(reply.get("X-Etcd-Cluster-Id"))
        except TransportError as error:
            if log_errors:
                log.warning("could not get cluster response from %s: %s", url, error)
        except ValueError as error:
            if log_errors:
                log.warning("could not understand cluster response from %s: %s", url, error)
        else:
            return Cluster(number, members)
    return None


async def is_bootstrapped(
    peer_urls: Iterable[str], number: int, *, client: AsyncHTTPClient
) -> bool:
    """Whether the others know this member as one that has run before."""
    cluster = await fetch_cluster(
        peer_urls, client=client, timeout_s=BOOTSTRAP_TIMEOUT_S, log_errors=False
    )
    if cluster is None:
        return False
    member = cluster.members.get(number)
    return member is not None and bool(member.client_urls)


async def is_dispensable(cluster: Cluster, number: int, *, client: AsyncHTTPClient) -> bool:
    """Whether another member, if there is one, describes the cluster without this one."""
    others = [member for member in cluster.sorted() if member.id != number]
    for member in others:
        known = await fetch_cluster(
            member.peer_urls, client=client, timeout_s=BOOTSTRAP_TIMEOUT_S, log_errors=False
        )
        if known is not None and number not in known.members:
            return True
    return not others


async def get_version(member: Member, *, client: AsyncHTTPClient) -> Versions | None:
    """What one member runs, None if it cannot be asked."""
    for url in member.peer_urls:
        try:
            reply = await get(client, url, "/version", timeout_s=VERSION_TIMEOUT_S)
            if reply.status == 404:  # etcd 2.0 has no such endpoint
                return Versions(str(version.ABSENT), str(version.ABSENT))
            body = json.loads(reply.body)
            return Versions(str(body["etcdserver"]), str(body["etcdcluster"]))
        except TransportError as error:
            text = "failed to reach the peerURL(%s) of member %x (%s)"
            log.warning(text, url, member.id, error)
        except (ValueError, KeyError, TypeError) as error:
            text = "failed to understand the version from the peerURL(%s) of member %x (%s)"
            log.warning(text, url, member.id, error)
    return None


async def get_versions(
    cluster: Cluster, local: int, *, client: AsyncHTTPClient
) -> dict[int, Versions | None]:
    """What every member runs; None for those that cannot be asked."""
    others = [member for member in cluster.sorted() if member.id != local]
    answers = await asyncio.gather(*(get_version(member, client=client) for member in others))
    found = dict(zip((member.id for member in others), answers, strict=True))
    for number, answer in found.items():
        if answer is None:
            log.warning("cannot get the version of member %x", number)
    own = Versions(version.SERVER, cluster.version or version.NOT_DECIDED)
    return {local: own, **found}


def decide_cluster_version(versions: dict[int, Versions | None]) -> Version | None:
    """The lowest server version, or None while one of them is not known."""
    lowest: Version | None = None
    for number, found in versions.items():
        if found is None:
            return None
        try:
            server = version.parse(found.server)
        except ValueError as error:
            log.error("cannot understand the version of member %x (%s)", number, error)
            return None
        if server > version.LOCAL:
            log.warning("the local etcd version %s is not up-to-date", version.LOCAL)
            log.warning("member %x has a higher version %s", number, found.server)
        lowest = server if lowest is None or server < lowest else lowest
    return lowest


async def is_compatible(cluster: Cluster, local: int, *, client: AsyncHTTPClient) -> bool:
    """Whether this program may join: one member says so and none objects."""
    versions = await get_versions(cluster, local, client=client)
    fits = False
    for number, found in versions.items():
        if number == local or found is None:
            continue
        try:
            running = version.parse(found.cluster)
        except ValueError as error:
            text = "cannot understand the cluster version of member %x (%s)"
            log.error(text, number, error)
            continue
        if running < version.MINIMUM:
            text = "the running cluster version(%s) is lower than the minimal %s supported"
            log.warning(text, running, f"cluster version({version.MINIMUM})")
            return False
        if running > version.LOCAL.minor_only():
            text = "the running cluster version(%s) is higher than the maximum %s supported"
            log.warning(text, running, f"cluster version({version.LOCAL.minor_only()})")
            return False
        fits = True
    return fits


async def same_urls(ours: Sequence[str], listed: Sequence[str]) -> bool:
    """Whether two URL lists mean the same places; host names are looked up if need be."""
    ours, listed = sorted(ours), sorted(listed)
    if ours == listed:
        return True
    if len(ours) != len(listed):
        return False
    return sorted([await _resolved(url) for url in ours]) == sorted(
        [await _resolved(url) for url in listed]
    )


async def _resolved(url: str) -> str:
    where = urls.address(url)
    if where.host == "localhost" or where.host.replace(".", "").isdigit() or ":" in where.host:
        return url
    try:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(where.host, where.port or None)
    except OSError as error:
        netutil_log.error("could not resolve host %s (%s)", where.host, error)
        return url
    address = found[0][4][0]
    netutil_log.info("resolving %s to %s", where.host, address)
    return f"{where.scheme}://{address}:{where.port}"


def _parse_members(body: bytes) -> list[Member]:
    found = json.loads(body)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ValueError("not a list of members")
    return [parse_member(item) for item in found]
