"""The founding members of a cluster, as told by DNS SRV records (--discovery-srv).

Mirrors discovery/srv.go of etcd 2.3.8: priority and weight do not matter, every record is a member,
and the one that leads to our own peer URL has our name.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING

from coreos_py.base.errors import CoreosError
from coreos_py.base.golog import NOTICE
from coreos_py.etcd import urls
from coreos_py.etcd.dns import LookupFailed, system_resolver
from coreos_py.etcd.srv import host_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from coreos_py.etcd.config import Config
    from coreos_py.etcd.dns import Resolver

SERVER_SERVICES = (("etcd-server-ssl", "https"), ("etcd-server", "http"))

Place = tuple[str, int]

log = logging.getLogger("discovery")


async def discover(config: Config) -> str:
    """The cluster that --discovery-srv leads to, looked up in a thread; CoreosError if none."""
    return await asyncio.to_thread(
        initial_cluster,
        config.discovery_srv,
        system_resolver(),
        name=config.name,
        peer_urls=config.advertise_peer_urls,
    )


def initial_cluster(
    domain: str,
    resolver: Resolver,
    *,
    name: str,
    peer_urls: Iterable[str],
    resolve: Callable[[str, int], Place] | None = None,
) -> str:
    """The cluster in the form of --initial-cluster; CoreosError if DNS knows none.

    `resolve` finds the address of a host and port, OSError if there is none.
    """
    resolve = resolve or first_address
    own = {_own_place(url, resolve) for url in peer_urls}
    members: list[str] = []
    strangers = 0
    failures: list[tuple[str, LookupFailed]] = []
    for service, scheme in SERVER_SERVICES:
        try:
            records = resolver.lookup_srv(service, domain)
        except LookupFailed as error:
            failures.append((service, error))
            continue
        for record in records:
            where = host_port(record)
            try:
                place = resolve(record.target, record.port)
            except OSError:
                log.warning("couldn't resolve host %s during SRV discovery", where)
                continue
            if place in own:
                word = name
            else:
                word = str(strangers)
                strangers += 1
            members.append(f"{word}={scheme}://{where}")
            log.log(NOTICE, "got bootstrap from DNS for %s at %s://%s", service, scheme, where)
    if len(failures) == len(SERVER_SERVICES):
        for service, failure in failures:
            log.warning("error querying DNS SRV records for _%s %s", service, failure)
        log.error("SRV discovery failed: too many errors querying DNS SRV records")
        raise failures[-1][1]
    return ",".join(members)


def first_address(host: str, port: int) -> Place:
    """The address a connection would go to, IPv4 before IPv6; OSError if there is none."""
    if not host:
        raise OSError(f"no host for port {port}")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host!r} is no host name") from error
    address = min(found, key=lambda item: item[0] != socket.AF_INET)[4]
    return str(address[0]), int(address[1])


def _own_place(url: str, resolve: Callable[[str, int], Place]) -> Place:
    where = urls.address(url)
    try:
        return resolve(where.host, int(where.port or 0))
    except OSError as error:
        shown = f"{where.host}:{where.port}"
        log.error("couldn't resolve host %s during SRV discovery", shown)
        raise CoreosError(f"lookup {where.host}: no such host") from error
