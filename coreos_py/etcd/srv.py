"""Where the members of a cluster serve their clients, as told by DNS SRV records.

Light: etcdctl imports it when --discovery-srv is given. Mirrors client/srv.go of etcd 2.3.8,
except that host names lose their final dot, which certificates do not have.
"""

from __future__ import annotations

from coreos_py.base.errors import CoreosError
from coreos_py.etcd.dns import LookupFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.etcd.dns import Resolver
    from coreos_py.etcd.dns_wire import SRV

CLIENT_SERVICES = (("etcd-client-ssl", "https"), ("etcd-client", "http"))


def client_endpoints(domain: str, resolver: Resolver) -> list[str]:
    """The client URLs of a domain's cluster; CoreosError if both lookups fail."""
    found: list[str] = []
    failures: list[LookupFailed] = []
    for service, scheme in CLIENT_SERVICES:
        try:
            records = resolver.lookup_srv(service, domain)
        except LookupFailed as error:
            failures.append(error)
        else:
            found += [f"{scheme}://{host_port(record)}" for record in records if record.target]
    if len(failures) == len(CLIENT_SERVICES):
        raise CoreosError(f"dns lookup errors: {failures[0]} and {failures[1]}")
    return found


def host_port(record: SRV) -> str:
    """`host:port` of a record."""
    return f"{record.target}:{record.port}"
